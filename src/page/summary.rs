//! The verdict in a sentence, and the four numbers: wall time, machine time, builds, credits.
//!
//! In: the pipeline. Out: sentences, and the section with the numbers.

use std::collections::BTreeSet;
use std::fmt::{self, Write};

use super::bars;
use super::pipeline::{Failure, JobNumber, Pipeline, State, Verdict};
use super::words::{counted, duration, number};
use crate::build::record::Outcome;
use crate::plan::{Plan, SkipReason, failures, nothing};
use crate::view::markup::name;

/// Sign, class and sentence of a verdict.
pub struct Headline {
    /// One sign.
    pub sign: char,
    /// Class of the page's head, and one word for those who see no sign.
    pub class: &'static str,
    /// The sentence.
    pub text: String,
}

/// The verdict in a sentence.
pub fn headline(pipeline: &Pipeline) -> Headline {
    let (sign, class) = match pipeline.verdict() {
        Verdict::Planned => ('○', "planned"),
        Verdict::Passed => ('✓', "passed"),
        Verdict::Failed => ('✕', "failed"),
        Verdict::Cancelled => ('✕', "cancelled"),
        Verdict::Incomplete => ('?', "incomplete"),
    };
    Headline { sign, class, text: sentence(pipeline) }
}

/// The sentence alone, for a terminal: its spaces are plain ones.
pub fn plain(pipeline: &Pipeline) -> String {
    sentence(pipeline).replace(['\u{a0}', '\u{202f}'], " ")
}

fn sentence(pipeline: &Pipeline) -> String {
    let jobs = |state| pipeline.jobs.iter().filter(|job| job.state == state).count();
    let missing = match (pipeline.missing_targets, targets(pipeline)) {
        (0, _) => String::new(),
        (1, all) => format!(": 1 of {} is missing", counted(all, "target")),
        (missing, all) => format!(": {} of {} are missing", number(missing as u64), counted(all, "target")),
    };
    match pipeline.verdict() {
        Verdict::Planned => match pipeline.plan {
            Some(plan) => planned(plan),
            None => "Nothing is known".to_owned(),
        },
        Verdict::Passed => match targets(pipeline) + pipeline.plan.map_or(0, |plan| plan.skipped.len()) {
            0 => format!("{} passed", counted(jobs(State::Passed), "job")),
            1 => "The one target is accounted for".to_owned(),
            all => format!("All {} are accounted for", counted(all, "target")),
        },
        Verdict::Failed => match pipeline.plan.filter(|_| !pipeline.has_run) {
            Some(plan) => format!("{}; {}", planned(plan), failures::counts(&failures::of(plan))),
            None => format!("{} failed{missing}", failed(pipeline)),
        },
        Verdict::Cancelled => format!("{} cancelled{missing}", was(jobs(State::Cancelled))),
        Verdict::Incomplete => {
            let silent = counted(pipeline.unrecorded().count(), "job");
            match pipeline.missing_targets {
                0 => {
                    format!("Unknown: {silent} left no record, so nobody can say whether {} ran", one_or_more(pipeline))
                }
                missing => format!(
                    "Unknown: {silent} left no record, so nobody can say whether {} exist{}",
                    counted(missing, "target"),
                    if missing == 1 { "s" } else { "" }
                ),
            }
        }
    }
}

/// Jobs without a record as a sentence goes on: the only one by its name.
fn one_or_more(pipeline: &Pipeline) -> String {
    let names: Vec<&str> = pipeline.unrecorded().collect();
    match names[..] {
        [only] => only.to_owned(),
        _ => "they".to_owned(),
    }
}

/// How many things of which kind.
fn failed(pipeline: &Pipeline) -> String {
    let count = |kind: fn(&Failure) -> bool| pipeline.failures.iter().filter(|failure| kind(failure)).count();
    // What a job could not do may have several reasons.
    let failed_jobs: BTreeSet<JobNumber> =
        pipeline.failures.iter().filter(|failure| failure.class.is_none()).map(|failure| failure.job).collect();
    let kinds = [
        (count(|failure| failure.derivation.is_some()), "derivation"),
        (count(|failure| failure.derivation.is_none() && failure.class.is_some()), "attribute"),
        (failed_jobs.len(), "job"),
    ];
    let parts: Vec<String> =
        kinds.iter().filter(|(count, _)| *count > 0).map(|(count, noun)| counted(*count, noun)).collect();
    match &parts[..] {
        [] => counted(pipeline.jobs.iter().filter(|job| job.state == State::Failed).count(), "job"),
        [first @ .., last] if !first.is_empty() => format!("{} and {last}", first.join(", ")),
        parts => parts.concat(),
    }
}

fn was(jobs: usize) -> String {
    format!("{} {}", counted(jobs, "job"), if jobs == 1 { "was" } else { "were" })
}

fn planned(plan: &Plan) -> String {
    match nothing::why(plan) {
        Some(why) => why,
        None => format!(
            "{} will build {} in about {}",
            counted(plan.jobs.len(), "job"),
            counted(plan.estimates.needed as usize, "derivation"),
            duration(plan.estimates.plan.makespan)
        ),
    }
}

/// Targets that jobs should build.
fn targets(pipeline: &Pipeline) -> usize {
    pipeline.jobs.iter().map(|job| job.targets.len()).sum()
}

/// One line of counts.
pub fn counts(pipeline: &Pipeline) -> String {
    let mut parts = Vec::new();
    let all = targets(pipeline);
    match pipeline.has_run {
        true if pipeline.plan.is_some() => {
            parts.push(format!("{} built or fetched", counted(all - pipeline.missing_targets, "target")));
        }
        false => parts.push(format!("{} to complete", counted(all, "target"))),
        true => {}
    }
    if let Some(plan) = pipeline.plan {
        for (reason, words) in [
            (SkipReason::Available, "existed before"),
            (SkipReason::Unaffected, "the same as at the base"),
            (SkipReason::Excluded, "excluded"),
            (SkipReason::NoExecutor, "without an executor"),
        ] {
            let count = nothing::count(plan, reason);
            if count > 0 {
                parts.push(format!("{} {words}", number(count as u64)));
            }
        }
        if !plan.errors.is_empty() {
            parts.push(format!("{} not evaluated", number(plan.errors.len() as u64)));
        }
    }
    let stopped = pipeline.jobs.iter().filter(|job| job.state == State::Stopped).count();
    if stopped > 0 {
        parts.push(format!("{} not run", counted(stopped, "job")));
    }
    parts.join(", ")
}

/// The flake, its commit, the base and the provider.
pub fn title(pipeline: &Pipeline) -> String {
    let Some(plan) = pipeline.plan else { return "records without a plan".to_owned() };
    let mut title = plan.flake.as_ref().map_or_else(|| "a recorded evaluation".to_owned(), |flake| flake.url.clone());
    if let Some(revision) = plan.flake.as_ref().and_then(|flake| flake.revision.as_ref()) {
        title.push_str(&format!(" at {}", revision.chars().take(12).collect::<String>()));
    }
    if plan.base.is_some() {
        title.push_str(&format!(", compared with {}", nothing::base(plan)));
    }
    if let Some(provider) = &plan.provider {
        title.push_str(&format!(", {provider}"));
    }
    title
}

/// What is said of measured times where the start of some machines was not measured.
pub const WITHOUT_START_UP: &str = "without the start-up of machines";

/// The four numbers.
pub fn numbers(pipeline: &Pipeline, out: &mut dyn Write) -> fmt::Result {
    let estimates = pipeline.plan.map(|plan| &plan.estimates);
    out.write_str("<dl class=\"nums\">")?;
    let wall = (pipeline.wall(), estimates.map(|estimates| estimates.plan.makespan));
    let lacks = pipeline.lacks_start_up();
    time("Wall time", wall, estimates.map(|estimates| estimates.lower_bound), lacks, out)?;
    let machines = (pipeline.machine_time(), estimates.map(|estimates| estimates.plan.job_time));
    time("Machine time", machines, None, lacks, out)?;
    builds(pipeline, out)?;
    credits(pipeline, out)?;
    out.write_str("</dl>")
}

/// `time` is measured and predicted; `lacks_start_up` says that the start of some machines was not measured.
fn time(
    label: &str,
    time: (Option<u64>, Option<u64>),
    bound: Option<u64>,
    lacks_start_up: bool,
    out: &mut dyn Write,
) -> fmt::Result {
    let (shown, mut note) = match time {
        (Some(measured), Some(predicted)) if lacks_start_up => {
            (Some(measured), format!("{WITHOUT_START_UP}, predicted {} with it", duration(predicted)))
        }
        (Some(measured), Some(predicted)) => (Some(measured), format!("predicted {}", duration(predicted))),
        (Some(measured), None) => (Some(measured), "prediction unknown, because there is no plan".to_owned()),
        (None, Some(predicted)) => (Some(predicted), "predicted".to_owned()),
        (None, None) => (None, "because there is no plan".to_owned()),
    };
    if let Some(bound) = bound {
        note.push_str(&format!(", {} at best", duration(bound)));
    }
    let text = shown.map_or("unknown".to_owned(), duration);
    write!(out, "<div><dt>{label}</dt><dd><b>{text}</b> <span class=\"dim\">{note}</span>")?;
    if let Some(shown) = shown {
        let most = (shown.max(time.1.unwrap_or(0)) / 20).saturating_mul(21);
        let marks: Vec<u64> = time.1.into_iter().chain(bound).collect();
        bars::value(out, shown, &marks, most)?;
    }
    out.write_str("</dd></div>")
}

fn builds(pipeline: &Pipeline, out: &mut dyn Write) -> fmt::Result {
    let built = |drv: &&super::pipeline::Derivation| drv.outcome == Some(Outcome::Built);
    let on_purpose = pipeline.derivations.iter().filter(|drv| drv.co_located);
    let estimates = pipeline.plan.map(|plan| &plan.estimates);
    let (count, note) = if pipeline.has_run {
        let count = pipeline.derivations.iter().filter(built).count();
        let repeated: std::collections::BTreeSet<&str> =
            pipeline.derivations.iter().filter(|drv| drv.repeated).map(|drv| &*drv.path).collect();
        let accident = match repeated.len() {
            0 => "none in two jobs by accident".to_owned(),
            count => format!("<span class=\"bad\">{} in two jobs by accident</span>", number(count as u64)),
        };
        let predicted =
            estimates.map_or(String::new(), |estimates| format!("predicted {}, ", number(estimates.plan.builds)));
        (
            count as u64,
            format!(
                "{predicted}{} of them repeats on purpose, {accident}",
                number(on_purpose.filter(built).count() as u64)
            ),
        )
    } else {
        let (builds, repeats) = estimates.map_or((0, 0), |estimates| (estimates.plan.builds, estimates.duplicates));
        (builds, format!("{} of them repeats on purpose, none by accident", number(repeats)))
    };
    write!(out, "<div><dt>Builds</dt><dd><b>{}</b> <span class=\"dim\">{note}</span></dd></div>", number(count))
}

fn credits(pipeline: &Pipeline, out: &mut dyn Write) -> fmt::Result {
    let (value, note) = match (measured_credits(pipeline), pipeline.plan.map(|plan| &plan.estimates)) {
        (Some(credits), Some(estimates)) => (
            format!("about {}", number(credits)),
            format!("at the plan's price of machine time; predicted {}", number(estimates.plan.credits)),
        ),
        (None, Some(estimates)) if !pipeline.has_run && estimates.plan.credits > 0 => (
            number(estimates.plan.credits),
            format!("predicted; one job per target, in no order: {}", number(estimates.flat.credits)),
        ),
        (_, Some(_)) => ("unknown".to_owned(), "because the plan has no prices for its machines".to_owned()),
        (_, None) => ("unknown".to_owned(), "because there is no plan".to_owned()),
    };
    write!(out, "<div><dt>Credits</dt><dd><b>{value}</b> <span class=\"dim\">{}</span></dd></div>", name(&note))
}

/// What the measured machine time costs at the average price of the plan's; none where that is not known.
pub fn measured_credits(pipeline: &Pipeline) -> Option<u64> {
    let plan = &pipeline.plan?.estimates.plan;
    let time = pipeline.machine_time()?;
    let known = plan.credits > 0 && plan.job_time > 0;
    known.then(|| (time as f64 * plan.credits as f64 / plan.job_time as f64).round() as u64)
}
