//! The plan beside simpler ones, as a table for people, and what to make of it.

use std::io::{self, Write};

use super::look::{InText, Look, row};
use super::price;
use crate::choice::Choice;
use crate::duration::day;
use crate::plan::advice;
use crate::plan::make::Made;
use crate::plan::model::{Aim, Granularity, Objective};
use crate::plan::{Durations, HandOffEstimate, Strategy};
use crate::plural::counted;
use crate::provider::Provider;
use crate::provider::credit::Credit;

/// What [`compared`] says of a plan that is no better and no worse.
const SAME: &str = "the same wall time, the same machine time, the same number of builds";

/// Writes what the plan is expected to take, beside simpler plans; `aim` is what it was made for.
pub fn write(made: &Made, aim: Aim, look: &Look, out: &mut impl Write) -> io::Result<()> {
    let (estimates, duration) = (&made.plan.estimates, look.duration());
    if estimates.needed == 0 {
        return Ok(());
    }
    writeln!(out)?;
    look.columns_or(&rows(made, duration, false), || rows(made, duration, true), out)?;
    writeln!(out)?;
    look.sentence(
        &format!(
            "{} to build{}{}; no plan takes less than {}{}.",
            counted(estimates.needed, "derivation"),
            provider(made).map_or_else(String::new, |provider| format!(" on {}", provider.title())),
            match estimates.duplicates {
                0 => String::new(),
                repeats => format!(", {} on purpose", counted(repeats, "repeat")),
            },
            duration(estimates.lower_bound),
            match &estimates.model {
                Some(model) if estimates.plan.jobs > model.concurrency =>
                    format!(" with {} at once (`concurrency`)", counted(model.concurrency, "job")),
                _ => String::new(),
            }
        ),
        out,
    )?;
    look.sentence(&left_out(made, duration), out)?;
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
    // Workers pass on each result by itself, whatever the hand-off of jobs is.
    let is_for_workers = made.plan.workers.is_some();
    let moves = |handoff: &&HandOffEstimate| handoff.layers > 0 || handoff.bytes.is_some_and(|bytes| bytes > 0);
    let hand_off =
        estimates.handoff.as_ref().filter(moves).filter(|handoff| !is_for_workers || !handoff.kind.has_layers());
    if let Some(sentence) = hand_off.and_then(|handoff| price::hand_off(handoff, estimates.plan.job_time, duration)) {
        look.sentence(&sentence, out)?;
    }
    if let Some(downloads) = &estimates.downloads {
        look.sentence(&price::downloads(downloads, duration), out)?;
    }
    if let Some(estimate) = &estimates.price {
        look.sentence(&price::sentence(estimate, estimates.plan.credits, credit(made)), out)?;
    }
    if let Some(report) = &estimates.report {
        let (took, credits) = (duration(report.duration), report.credits);
        let price = if credits > 0 { format!(" and {}", credit(made).amount(credits)) } else { String::new() };
        let machine = if credits > 0 { " on the cheapest machine" } else { "" };
        look.sentence(
            &format!("A job after all others collects what they record: {took}{price} more{machine}, and nothing waits for it."),
            out,
        )?;
    }
    if made.others.is_empty() {
        return Ok(());
    }
    look.sentence(&advice(made, aim, duration), out)
}

/// What prices are counted in.
fn credit(made: &Made) -> Credit {
    provider(made).unwrap_or_default().credit()
}

/// The CI system that a plan is for; none where the plan does not say.
fn provider(made: &Made) -> Option<Provider> {
    made.plan.provider.as_deref().and_then(|name| Provider::parse(name).ok())
}

/// A row for the plan and for each of the others.
fn rows(made: &Made, duration: InText, is_narrow: bool) -> Vec<Vec<String>> {
    let estimates = &made.plan.estimates;
    let [machine, wall] = if is_narrow { ["MACHINE", "WALL"] } else { ["MACHINE TIME", "WALL TIME"] };
    let credits = match credit(made) {
        Credit::Own => "CREDITS",
        Credit::Minute if is_narrow => "MINUTES",
        Credit::Minute => "CREDITS (MINUTES)",
        Credit::Millidollar => "USD",
    };
    let mut rows = vec![row(["PREDICTED", "JOBS", "BUILDS", machine, wall, credits])];
    let mut add = |name: &str, strategy: &Strategy| {
        rows.push(vec![
            name.to_owned(),
            strategy.jobs.to_string(),
            strategy.builds.to_string(),
            duration(strategy.job_time),
            duration(strategy.makespan),
            credit(made).figure(strategy.credits),
        ]);
    };
    add("this plan", &estimates.plan);
    if let Some(free) = &estimates.free {
        add("without waves", free);
    }
    for (granularity, strategy) in &made.others {
        match granularity {
            Granularity::Single if strategy.jobs == 1 => add("one job", strategy),
            other => add(&format!("granularity: {}", other.name()), strategy),
        }
    }
    add("flat matrix", &estimates.flat);
    add("ordered matrix", &estimates.ordered);
    add("job per derivation", &estimates.per_derivation);
    rows
}

/// The jobs that are in none of the figures, and what is known of them.
fn left_out(made: &Made, duration: InText) -> String {
    let start = made.planning.map_or(String::new(), |planning| {
        let price = match planning.credits {
            0 => String::new(),
            credits => format!(" and {}", credit(made).amount(credits)),
        };
        format!(" ({}{price} to start, then the evaluation)", duration(planning.start_up))
    });
    let gate = if made.plan.workers.is_some() { "; the job that reports on all workers, after them" } else { "" };
    let also = if made.plan.final_jobs.is_empty() { "" } else { "; final jobs after them" };
    format!("Not in these figures: the job that plans, before all others{start}{gate}{also}.")
}

/// Why one worker is no better than a job.
const ALONE: &str = "one job does this as well as one worker, and no job has to report on it";

/// What to write into nixdag.yml, if anything.
fn advice(made: &Made, aim: Aim, duration: InText) -> String {
    let ours = &made.plan.estimates.plan;
    let known = |aimed: Objective| Objective::ALL.iter().find(|(_, _, value)| *value == aimed);
    let meaning = match aim {
        Aim::Objective(aimed) => known(aimed)
            .map_or(String::new(), |(name, meaning, _)| format!(" (`objective: {name}`: {})", lower(meaning))),
        Aim::Worth(worth) => format!(" (a machine minute is worth {} of waiting)", duration(worth)),
    };
    let has_workers = made.plan.workers.is_some();
    let Some((granularity, better)) = advice::best(&made.others, ours, aim) else {
        let why = match (ours.jobs, has_workers) {
            (1, true) => {
                return format!("Advice: leave out `mode: workers` where plans are like this one: {ALONE}{meaning}.");
            }
            (1, false) => "one job does this as well as any",
            (_, true) => "no plan of jobs is clearly better",
            (_, false) => "no other granularity is clearly better",
        };
        return format!("Advice: keep these settings; {why}{meaning}.");
    };
    let without = if has_workers { " without `mode: workers`" } else { "" };
    // Machines of one's own cost none.
    let is_free = ours.credits == 0 && better.credits == 0;
    let takes = |strategy: &Strategy| match is_free {
        true => duration(strategy.makespan),
        false => format!("{} and {}", duration(strategy.makespan), credit(made).amount(strategy.credits)),
    };
    let enough = if better.jobs == 1 && ours.jobs > 1 { " One job is enough for this." } else { "" };
    format!(
        "Advice: `granularity: {}` in nixdag.yml{without} takes {} instead of {}{meaning}.{enough}",
        granularity.name(),
        takes(better),
        takes(ours)
    )
}

/// The text with a small letter at its beginning, to go on in a sentence.
fn lower(text: &str) -> String {
    let mut letters = text.trim().chars();
    letters.next().map_or(String::new(), |first| first.to_lowercase().chain(letters).collect())
}

/// `72 % less wall time, 90 % less machine time, 93 % fewer builds`.
fn compared(plan: &Strategy, other: &Strategy) -> String {
    let change = |ours: u64, theirs: u64, what: &str, [same, less, more]: [&str; 3]| {
        let percent = 100.0 * (1.0 - ours as f64 / theirs.max(1) as f64);
        match percent.round() as i64 {
            0 => format!("{same} {what}"),
            fewer @ 1.. => format!("{fewer} % {less} {what}"),
            further => format!("{} % {more} {what}", -further),
        }
    };
    let time = ["the same", "less", "more"];
    let wall = change(plan.makespan, other.makespan, "wall time", time);
    let machine = change(plan.job_time, other.job_time, "machine time", time);
    format!(
        "{wall}, {machine}, {}",
        change(plan.builds, other.builds, "builds", ["the same number of", "fewer", "more"])
    )
}

/// Where the durations come from, in a sentence.
fn sources(durations: &Durations) -> String {
    let Durations { recorded, derivation, default, youngest } = durations;
    let guessed = derivation + default;
    match (recorded, youngest) {
        (0, Some(_)) => "Durations are guesses: nothing of this plan is recorded.".to_owned(),
        (0, None) => "Durations are guesses: no records yet (`--history` takes those of earlier pipelines).".to_owned(),
        (recorded, youngest) => {
            let last = youngest.map_or(String::new(), |time| format!(", the last time on {}", day(time)));
            format!("{} recorded{last}; {guessed} guessed.", counted(*recorded, "duration"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn savings_are_said_in_words() {
        let strategy = |makespan, job_time, builds| Strategy { makespan, job_time, builds, ..Strategy::default() };
        let (plan, flat) = (strategy(28_000, 100_000, 100), strategy(100_000, 1_000_000, 1500));
        assert_eq!(compared(&plan, &flat), "72 % less wall time, 90 % less machine time, 93 % fewer builds");
        assert_eq!(compared(&plan, &plan), "the same wall time, the same machine time, the same number of builds");
        assert_eq!(compared(&flat, &plan), "257 % more wall time, 900 % more machine time, 1400 % more builds");
    }
}
