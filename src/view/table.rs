//! The plan as a table for people: jobs, what was skipped, what failed, and the plan beside simpler ones.

use std::collections::{HashMap, HashSet};
use std::io::{self, Write};

use super::look::Look;
use crate::choice::Choice;
use crate::delivery::HandOffKind;
use crate::duration::{day, in_words};
use crate::plan::advice;
use crate::plan::make::Made;
use crate::plan::model::{Granularity, Objective};
use crate::plan::nothing;
use crate::plan::problem::Millis;
use crate::plan::{Durations, HandOffEstimate, Job, JobIndex, JobOptions, Plan, SkipReason, Skipped, Strategy};
use crate::plural::counted;
use crate::printable::printable;

/// Rows that are printed of each part before the rest is only counted.
const MOST_ROWS: usize = 60;

/// Characters of a command that are shown.
const MAX_COMMAND: usize = 50;

/// What [`compared`] says of a plan that is no better and no worse.
const SAME: &str = "the same wall time, the same machine time, as many builds";

/// Writes the whole plan; `objective` is what it was made for.
pub fn write(made: &Made, objective: Objective, look: &Look, out: &mut impl Write) -> io::Result<()> {
    jobs(&made.plan, look, out)?;
    final_jobs(&made.plan, look, out)?;
    skipped(&made.plan, look, out)?;
    errors(&made.plan, look, out)?;
    strategies(made, objective, look, out)
}

fn jobs(plan: &Plan, look: &Look, out: &mut impl Write) -> io::Result<()> {
    let critical: HashSet<JobIndex> = plan.critical_path().into_iter().collect();
    if let Some(why) = nothing::why(plan) {
        return look.sentence(&why, out);
    }
    if plan.jobs.is_empty() {
        return writeln!(out, "nothing to build before the final jobs");
    }
    let machines = machines(plan);
    let mut rows = vec![["JOB", "SYSTEM", "TARGETS", "BUILDS", "ESTIMATE", "AFTER"].map(String::from).to_vec()];
    if machines.is_some() {
        rows[0].insert(2, "MACHINE".into());
    }
    for (index, job) in (0..).map(JobIndex).zip(&plan.jobs).take(MOST_ROWS) {
        let co_located = match job.co_located.len() {
            0 => String::new(),
            count => format!("+{count} co-located"),
        };
        rows.push(vec![
            job.name.clone(),
            job.system.clone(),
            list(job.targets.iter().map(ToString::to_string), 3),
            format!("{}{co_located}", job.derivations.len()),
            format!("{}{}", in_words(job.estimate.duration), if critical.contains(&index) { " *" } else { "" }),
            list(job.requires.iter().map(|index| plan.jobs[index.at()].name.clone()), 3),
        ]);
        if let (Some(machines), Some(row)) = (&machines, rows.last_mut()) {
            row.insert(2, machines[index.at()].clone());
        }
    }
    look.columns(&rows, out)?;
    more(plan.jobs.len(), out)?;
    writeln!(out, "* on the critical path, which has {}", counted(critical.len() as u64, "job"))
}

/// Where the durations come from, in a sentence.
fn sources(durations: &Durations) -> String {
    let Durations { recorded, derivation, default, youngest } = durations;
    let guessed = derivation + default;
    match (recorded, youngest) {
        (0, _) => "Durations are guesses: no records yet (`--history` takes those of earlier pipelines).".to_owned(),
        (recorded, youngest) => {
            let last = youngest.map_or(String::new(), |time| format!(", the last time on {}", day(time)));
            format!("{} recorded{last}; {guessed} guessed.", counted(*recorded, "duration"))
        }
    }
}

/// What each job runs on, where jobs of one system differ in that or something special is said about a job.
fn machines(plan: &Plan) -> Option<Vec<String>> {
    let mut of_system: HashMap<&str, &str> = HashMap::new();
    let texts: Vec<String> = plan.jobs.iter().map(machine).collect();
    let differ = plan.jobs.iter().zip(&texts).any(|(job, text)| {
        job.options != JobOptions::default() || *of_system.entry(&job.system).or_insert(text) != text.as_str()
    });
    differ.then_some(texts)
}

/// `docker: large, ≤ 30 min 00 s, context signing`
fn machine(job: &Job) -> String {
    let executor = job.executor.as_deref().unwrap_or("?");
    let mut text = match &job.resource_class {
        Some(class) => format!("{executor}: {class}"),
        None => executor.to_owned(),
    };
    let options = &job.options;
    if let Some(seconds) = options.timeout {
        text.push_str(&format!(", ≤ {}", in_words(u64::from(seconds) * 1000)));
    }
    for context in &options.context {
        text.push_str(&format!(", context {context}"));
    }
    if let Some(retries) = options.retries {
        text.push_str(&format!(", retries: {retries}"));
    }
    if options.allow_failure {
        text.push_str(", may fail");
    }
    text
}

fn final_jobs(plan: &Plan, look: &Look, out: &mut impl Write) -> io::Result<()> {
    if plan.final_jobs.is_empty() {
        return Ok(());
    }
    writeln!(out)?;
    let mut rows = vec![["FINAL JOB", "SYSTEM", "DOES", "RESTORED", "AFTER"].map(String::from).to_vec()];
    for final_job in plan.final_jobs.iter().take(MOST_ROWS) {
        let job = &final_job.job;
        rows.push(vec![
            job.name.clone(),
            job.system.clone(),
            match &final_job.run {
                Some(command) => first_line(command),
                None => format!("builds {}", list(job.targets.iter().map(ToString::to_string), 3)),
            },
            list(final_job.restore.iter().map(|restored| restored.target.to_string()), 3),
            list(job.requires.iter().map(|&index| plan.job(index).name.clone()), 3),
        ]);
    }
    look.columns(&rows, out)?;
    more(plan.final_jobs.len(), out)
}

/// The first line of a command that says something, as far as it fits.
fn first_line(command: &str) -> String {
    let mut lines = command.lines().map(str::trim).filter(|line| !line.is_empty());
    let first = lines.next().unwrap_or_default();
    let mut shown: String = first.chars().take(MAX_COMMAND).collect();
    if shown.len() < first.len() || lines.next().is_some() {
        shown.push_str(" …");
    }
    shown
}

fn skipped(plan: &Plan, look: &Look, out: &mut impl Write) -> io::Result<()> {
    if plan.skipped.is_empty() {
        return Ok(());
    }
    writeln!(out)?;
    let mut rows = vec![["SKIPPED", "WHY"].map(String::from).to_vec()];
    // What the change leaves alone is most of a package set, and tells least.
    let is_unaffected = |skipped: &&Skipped| skipped.reason == SkipReason::Unaffected;
    let (last, first): (Vec<_>, Vec<_>) = plan.skipped.iter().partition(is_unaffected);
    for skipped in first.into_iter().chain(last.iter().copied()).take(MOST_ROWS) {
        let reason = match skipped.reason {
            SkipReason::Available => "available",
            SkipReason::Unaffected => "unaffected by the change",
            SkipReason::Excluded => "excluded",
            SkipReason::NoExecutor => "no executor builds it",
        };
        let link = match skipped.reason {
            SkipReason::Available | SkipReason::Unaffected => " in",
            SkipReason::Excluded | SkipReason::NoExecutor => ":",
        };
        let place = skipped.place.as_ref().map(|place| format!("{link} {place}")).unwrap_or_default();
        rows.push(vec![skipped.target.to_string(), format!("{reason}{place}")]);
    }
    look.columns(&rows, out)?;
    more(plan.skipped.len(), out)?;
    match last.len() {
        0 => Ok(()),
        unaffected => {
            writeln!(
                out,
                "{} unaffected by the change since {}",
                counted(unaffected as u64, "target"),
                nothing::base(plan)
            )
        }
    }
}

fn errors(plan: &Plan, look: &Look, out: &mut impl Write) -> io::Result<()> {
    if plan.errors.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n{}", look.red("DOES NOT EVALUATE"))?;
    for error in plan.errors.iter().take(MOST_ROWS) {
        let new = if error.new == Some(true) { "  (new: not so at the base)" } else { "" };
        writeln!(out, "{}{new}", printable(&error.target.to_string()))?;
        for line in error.message.lines() {
            writeln!(out, "    {}", printable(line))?;
        }
    }
    more(plan.errors.len(), out)
}

fn strategies(made: &Made, objective: Objective, look: &Look, out: &mut impl Write) -> io::Result<()> {
    let estimates = &made.plan.estimates;
    if estimates.needed == 0 {
        return Ok(());
    }
    writeln!(out)?;
    let mut rows =
        vec![["PREDICTED", "JOBS", "BUILDS", "MACHINE TIME", "WALL TIME", "CREDITS"].map(String::from).to_vec()];
    let mut add = |name: &str, strategy: &Strategy| {
        rows.push(vec![
            name.to_owned(),
            strategy.jobs.to_string(),
            strategy.builds.to_string(),
            in_words(strategy.job_time),
            in_words(strategy.makespan),
            strategy.credits.to_string(),
        ]);
    };
    add("this plan", &estimates.plan);
    if let Some(free) = &estimates.free {
        add("without waves", free);
    }
    for (granularity, strategy) in &made.others {
        let name = match granularity {
            Granularity::Single if strategy.jobs == 1 => "one job".to_owned(),
            Granularity::Single => "one job per system".to_owned(),
            other => format!("granularity: {}", other.name()),
        };
        add(&name, strategy);
    }
    add("flat matrix", &estimates.flat);
    add("ordered matrix", &estimates.ordered);
    add("job per derivation", &estimates.per_derivation);
    look.columns(&rows, out)?;
    writeln!(out)?;
    look.sentence(
        &format!(
            "{} to build{}; no plan takes less than {}.",
            counted(estimates.needed, "derivation"),
            match estimates.duplicates {
                0 => String::new(),
                repeats => format!(", {} on purpose", counted(repeats, "repeat")),
            },
            in_words(estimates.lower_bound)
        ),
        out,
    )?;
    look.sentence(&left_out(made), out)?;
    if let Some(durations) = &estimates.durations {
        look.sentence(&sources(durations), out)?;
    }
    if let Some(kept) = &estimates.kept {
        look.sentence(
            &format!("{} of {} are those of the last plan.", kept.jobs, counted(estimates.plan.jobs, "job")),
            out,
        )?;
    }
    let is_other = |(_, other): &(&str, &Strategy)| compared(&estimates.plan, other) != SAME;
    let others = [("a flat matrix", &estimates.flat), ("an ordered matrix", &estimates.ordered)];
    for (name, other) in others.into_iter().filter(is_other) {
        look.sentence(&format!("Compared with {name}: {}.", compared(&estimates.plan, other)), out)?;
    }
    let moves = |handoff: &&HandOffEstimate| handoff.layers > 0 || handoff.bytes.is_some_and(|bytes| bytes > 0);
    if let Some(handoff) = estimates.handoff.as_ref().filter(moves) {
        self::handoff(handoff, estimates.plan.job_time, look, out)?;
    }
    if let Some(report) = &estimates.report {
        let (took, credits) = (in_words(report.duration), report.credits);
        let price = if credits > 0 { format!(" and {}", counted(credits, "credit")) } else { String::new() };
        look.sentence(
            &format!("A job after all others collects what they record: {took}{price} more, and nothing waits for it."),
            out,
        )?;
    }
    if made.others.is_empty() {
        return Ok(());
    }
    look.sentence(&advice(made, objective), out)
}

/// The jobs that are in none of the figures, and what is known of them.
fn left_out(made: &Made) -> String {
    let start = made.planning.map_or(String::new(), |planning| {
        let price = match planning.credits {
            0 => String::new(),
            credits => format!(" and {}", counted(credits, "credit")),
        };
        format!(" ({}{price} to start, then the evaluation)", in_words(planning.start_up))
    });
    let also = if made.plan.final_jobs.is_empty() { "" } else { "; final jobs after them" };
    format!("Not in these figures: the job that plans, before all others{start}{also}.")
}

/// What to write into nixdag.yml, if anything.
fn advice(made: &Made, objective: Objective) -> String {
    let ours = &made.plan.estimates.plan;
    let meaning = Objective::ALL.iter().find(|(_, _, value)| *value == objective);
    let meaning =
        meaning.map_or(String::new(), |(name, meaning, _)| format!(" (`objective: {name}`: {})", lower(meaning)));
    let Some((granularity, better)) = advice::best(&made.others, ours, objective) else {
        return format!("Advice: keep these settings; no other granularity is clearly better{meaning}.");
    };
    let enough = if better.jobs == 1 && ours.jobs > 1 { " One job is enough for this." } else { "" };
    format!(
        "Advice: `granularity: {}` takes {} and {} credits instead of {} and {}{meaning}.{enough}",
        granularity.name(),
        in_words(better.makespan),
        better.credits,
        in_words(ours.makespan),
        ours.credits
    )
}

/// The text with a small letter at its beginning, to go on in a sentence.
fn lower(text: &str) -> String {
    let mut letters = text.trim().chars();
    letters.next().map_or(String::new(), |first| first.to_lowercase().chain(letters).collect())
}

fn handoff(handoff: &HandOffEstimate, job_time: Millis, look: &Look, out: &mut impl Write) -> io::Result<()> {
    let about = handoff.bytes.map(|bytes| format!("about {} MB", bytes / 1_000_000));
    let what = match (handoff.kind, &about) {
        (HandOffKind::Workspace, _) => format!("attach {} of the workspace", counted(handoff.layers, "layer")),
        (HandOffKind::Artifacts, _) => format!("fetch {}", counted(handoff.layers, "artifact")),
        // Nothing is known of what they fetch.
        (_, None) => return Ok(()),
        (HandOffKind::Packages, _) => "fetch from each other through the package registry".to_owned(),
        (HandOffKind::Cache, _) => "fetch from each other through the cache".to_owned(),
    };
    let is_layered = matches!(handoff.kind, HandOffKind::Workspace | HandOffKind::Artifacts);
    let faster = if is_layered && handoff.time * 10 > job_time {
        ": results would travel faster through a binary cache (`--handoff cache`)"
    } else {
        ""
    };
    let about = about.map(|about| format!(", {about}")).unwrap_or_default();
    look.sentence(&format!("Jobs {what}{about}, in {}{faster}.", in_words(handoff.time)), out)
}

/// `72 % less wall time, 90 % less machine time, 15 times fewer builds`.
fn compared(plan: &Strategy, other: &Strategy) -> String {
    let change = |ours: Millis, theirs: Millis, what: &str| {
        let percent = 100.0 * (1.0 - ours as f64 / theirs.max(1) as f64);
        match percent.round() as i64 {
            0 => format!("the same {what}"),
            less @ 1.. => format!("{less} % less {what}"),
            more => format!("{} % more {what}", -more),
        }
    };
    let builds = match other.builds as f64 / plan.builds.max(1) as f64 {
        ratio if ratio >= 1.05 => format!("{ratio:.1} times fewer builds"),
        ratio if ratio > 0.95 => "as many builds".to_owned(),
        ratio => format!("{:.1} times as many builds", 1.0 / ratio),
    };
    let wall = change(plan.makespan, other.makespan, "wall time");
    format!("{wall}, {}, {builds}", change(plan.job_time, other.job_time, "machine time"))
}

fn more(count: usize, out: &mut impl Write) -> io::Result<()> {
    if count > MOST_ROWS {
        writeln!(out, "… and {} more (`--format json` has them all)", count - MOST_ROWS)
    } else {
        Ok(())
    }
}

fn list(items: impl ExactSizeIterator<Item = String>, most: usize) -> String {
    let count = items.len();
    let mut shown: Vec<String> = items.take(most).collect();
    if count > most {
        shown.push(format!("… {} more", count - most));
    }
    shown.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn savings_are_said_in_words() {
        let strategy = |makespan, job_time, builds| Strategy { makespan, job_time, builds, ..Strategy::default() };
        let (plan, flat) = (strategy(28_000, 100_000, 100), strategy(100_000, 1_000_000, 1500));
        assert_eq!(compared(&plan, &flat), "72 % less wall time, 90 % less machine time, 15.0 times fewer builds");
        assert_eq!(compared(&plan, &plan), "the same wall time, the same machine time, as many builds");
        assert_eq!(compared(&flat, &plan), "257 % more wall time, 900 % more machine time, 15.0 times as many builds");
    }
}
