//! The plan as a table for people: jobs, what was skipped, what failed, and the plan beside simpler ones.

use std::collections::{HashMap, HashSet};
use std::io::{self, Write};

use crate::delivery::HandOffKind;
use crate::duration::{day, in_words};
use crate::plan::make::Made;
use crate::plan::model::Granularity;
use crate::plan::nothing;
use crate::plan::problem::Millis;
use crate::plan::{Durations, HandOffEstimate, Job, JobIndex, JobOptions, Plan, SkipReason, Skipped, Strategy};
use crate::plural::counted;
use crate::printable::{printable, shortened};

/// Rows that are printed of each part before the rest is only counted.
const MOST_ROWS: usize = 60;

/// Characters of a cell that are shown: names come from anybody, and may be of any length.
const MAX_CELL: usize = 200;

/// The same of the last cell in a row.
const MAX_SENTENCE: usize = 1000;

/// Characters of a command that are shown.
const MAX_COMMAND: usize = 50;

/// What [`compared`] says of a plan that is no better and no worse.
const SAME: &str = "the same wall time, the same machine time, as many builds";

/// Writes the whole plan.
pub fn write(made: &Made, out: &mut impl Write) -> io::Result<()> {
    jobs(&made.plan, out)?;
    final_jobs(&made.plan, out)?;
    skipped(&made.plan, out)?;
    errors(&made.plan, out)?;
    strategies(made, out)
}

fn jobs(plan: &Plan, out: &mut impl Write) -> io::Result<()> {
    let critical: HashSet<JobIndex> = plan.critical_path().into_iter().collect();
    if let Some(why) = nothing::why(plan) {
        return writeln!(out, "{why}");
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
    columns(&rows, out)?;
    more(plan.jobs.len(), out)?;
    writeln!(out, "* on the critical path, which has {}", counted(critical.len() as u64, "job"))
}

/// Where the durations come from, in a sentence.
fn sources(durations: &Durations) -> String {
    let Durations { recorded, derivation, default, youngest } = durations;
    let guessed = derivation + default;
    match (recorded, youngest) {
        (0, _) => {
            "All durations are guesses: pass on what earlier pipelines have recorded with `--history`.".to_owned()
        }
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

fn final_jobs(plan: &Plan, out: &mut impl Write) -> io::Result<()> {
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
    columns(&rows, out)?;
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

fn skipped(plan: &Plan, out: &mut impl Write) -> io::Result<()> {
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
    columns(&rows, out)?;
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

fn errors(plan: &Plan, out: &mut impl Write) -> io::Result<()> {
    if plan.errors.is_empty() {
        return Ok(());
    }
    writeln!(out, "\nDOES NOT EVALUATE")?;
    for error in plan.errors.iter().take(MOST_ROWS) {
        let new = if error.new == Some(true) { "  (new: not so at the base)" } else { "" };
        writeln!(out, "{}{new}", printable(&error.target.to_string()))?;
        for line in error.message.lines() {
            writeln!(out, "    {}", printable(line))?;
        }
    }
    more(plan.errors.len(), out)
}

fn strategies(made: &Made, out: &mut impl Write) -> io::Result<()> {
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
        let flag = match granularity {
            Granularity::Target => "target",
            Granularity::Auto => "auto",
            Granularity::Single => "single",
        };
        add(&format!("with --granularity {flag}"), strategy);
    }
    add("flat: a job a target, no order", &estimates.flat);
    add("ordered: a job a target, in order", &estimates.ordered);
    add("a job a derivation", &estimates.per_derivation);
    columns(&rows, out)?;
    let rest = if made.plan.final_jobs.is_empty() { "" } else { " Final jobs are not in these figures." };
    writeln!(
        out,
        "\n{} to build{}; no plan takes less than {}.{rest}",
        counted(estimates.needed, "derivation"),
        match estimates.duplicates {
            0 => String::new(),
            repeats => format!(", {} on purpose", counted(repeats, "repeat")),
        },
        in_words(estimates.lower_bound)
    )?;
    if let Some(durations) = &estimates.durations {
        writeln!(out, "{}", sources(durations))?;
    }
    let is_other = |(_, other): &(&str, &Strategy)| compared(&estimates.plan, other) != SAME;
    for (name, other) in [("flat", &estimates.flat), ("ordered", &estimates.ordered)].into_iter().filter(is_other) {
        writeln!(out, "Beside {name}: {}.", compared(&estimates.plan, other))?;
    }
    let moves = |handoff: &&HandOffEstimate| handoff.layers > 0 || handoff.bytes != Some(0);
    if let Some(handoff) = estimates.handoff.as_ref().filter(moves) {
        self::handoff(handoff, estimates.plan.job_time, out)?;
    }
    if let Some(report) = &estimates.report {
        let (took, credits) = (in_words(report.duration), report.credits);
        let price = if credits > 0 { format!(" and {}", counted(credits, "credit")) } else { String::new() };
        writeln!(
            out,
            "A job behind all others puts together what they record: {took}{price} more, and nobody waits for it."
        )?;
    }
    Ok(())
}

fn handoff(handoff: &HandOffEstimate, job_time: Millis, out: &mut impl Write) -> io::Result<()> {
    let about = handoff.bytes.map(|bytes| format!("about {} MB", bytes / 1_000_000));
    match handoff.kind {
        HandOffKind::Workspace | HandOffKind::Artifacts => {
            let layers = match handoff.kind {
                HandOffKind::Workspace => format!("attach {} of the workspace", counted(handoff.layers, "layer")),
                _ => format!("fetch {}", counted(handoff.layers, "artifact")),
            };
            let about = about.map(|about| format!(", {about}")).unwrap_or_default();
            write!(out, "Jobs {layers}{about}, in {}", in_words(handoff.time))?;
            if handoff.time * 10 > job_time {
                write!(out, ": results would travel faster through a binary cache (`--handoff cache`)")?;
            }
            writeln!(out, ".")
        }
        HandOffKind::Packages | HandOffKind::Cache => {
            let Some(about) = about else { return Ok(()) };
            writeln!(
                out,
                "Jobs fetch {about} from each other through {}, in {}.",
                if handoff.kind == HandOffKind::Packages { "the package registry" } else { "the cache" },
                in_words(handoff.time)
            )
        }
    }
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

pub(super) fn columns(rows: &[Vec<String>], out: &mut (impl Write + ?Sized)) -> io::Result<()> {
    // The last column has the sentences, and widens no other.
    let shown = |row: &Vec<String>| -> Vec<String> {
        let most = |column: usize| if column + 1 == row.len() { MAX_SENTENCE } else { MAX_CELL };
        row.iter().enumerate().map(|(column, cell)| printable(&shortened(cell, most(column)))).collect()
    };
    let rows: Vec<Vec<String>> = rows.iter().map(shown).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..rows[0].len()).map(width).collect();
    for row in &rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            line.push_str(&format!("{cell:width$}  "));
        }
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_any_length_is_a_row() {
        let rows = [vec!["x".repeat(70_000), "y".repeat(70_000)], vec!["é".repeat(200), "z".to_owned()]];
        let mut text = Vec::new();
        columns(&rows, &mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        assert!(text.lines().all(|line| line.chars().count() < 1210) && text.lines().count() == 2, "{text}");
    }

    #[test]
    fn savings_are_said_in_words() {
        let strategy = |makespan, job_time, builds| Strategy { makespan, job_time, builds, ..Strategy::default() };
        let (plan, flat) = (strategy(28_000, 100_000, 100), strategy(100_000, 1_000_000, 1500));
        assert_eq!(compared(&plan, &flat), "72 % less wall time, 90 % less machine time, 15.0 times fewer builds");
        assert_eq!(compared(&plan, &plan), "the same wall time, the same machine time, as many builds");
        assert_eq!(compared(&flat, &plan), "257 % more wall time, 900 % more machine time, 15.0 times as many builds");
    }
}
