//! An [`Explanation`] for people: what happens to the target, in which job, what waits for it, and what changed.

use std::io::{self, Write};

use super::causes::{ChangedDerivation, Comparison};
use super::definition::{Change, Kind};
use super::{Closure, Difference, Explanation, JobSummary, TargetVerdict};
use crate::affected::base::short;
use crate::attribute::AttributePath;
use crate::duration::in_words;
use crate::plan::{EstimateSource, SkipReason};
use crate::plural::counted;
use crate::printable::printable;

/// Names that are listed before the rest is only counted.
const MOST_NAMES: usize = 8;

/// Causes of each kind, and changes of each cause, that are shown.
const MOST_CAUSES: usize = 8;

/// Steps that are shown of a path, half of them at each end.
const MOST_STEPS: usize = 12;

/// Writes the whole explanation.
pub fn write(explanation: &Explanation, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "{}", name(&explanation.target))?;
    if let Some(derivation) = &explanation.derivation {
        writeln!(out, "  {}", printable(derivation))?;
    }
    let others: Vec<String> =
        explanation.attributes.iter().filter(|other| **other != explanation.target).map(name).collect();
    if !others.is_empty() {
        writeln!(out, "  the same derivation as {}", list(&others))?;
    }
    writeln!(out, "\n{}", verdict(explanation))?;
    if explanation.may_fail {
        writeln!(out, "  it may fail (`allow_failure`): the gate does not wait for it")?;
    }
    if let Some(job) = &explanation.job {
        write_job(job, explanation.decided_by.as_deref(), out)?;
    }
    if let Some(Closure { derivations, built }) = explanation.closure {
        writeln!(out, "  its closure has {}; jobs build {built} of them", counted(derivations, "derivation"))?;
    }
    if explanation.job.is_some() {
        write_delays(explanation, out)?;
    }
    match &explanation.change {
        Some(change) => write_change(change, out),
        None => Ok(()),
    }
}

fn verdict(explanation: &Explanation) -> String {
    let job = explanation.job.as_ref().map(|job| printable(&job.name)).unwrap_or_default();
    match &explanation.verdict {
        TargetVerdict::Built => format!("built in job `{job}`: its outputs are not available"),
        TargetVerdict::Skipped { reason, place } => {
            let said = place.as_ref().map(|place| format!(": {}", printable(place))).unwrap_or_default();
            let place = place.as_ref().map(|place| format!(" in {}", printable(place))).unwrap_or_default();
            let why = match reason {
                SkipReason::Available => format!("skipped: its outputs are available{place}"),
                SkipReason::Unaffected => "skipped: the change does not touch it".to_owned(),
                SkipReason::Excluded => format!("skipped: it is excluded{said}"),
                SkipReason::NoExecutor => format!("skipped: no executor builds it{said}"),
            };
            match &explanation.job {
                Some(_) => format!("{why}; job `{job}` still builds it, since others need it"),
                None => why,
            }
        }
        TargetVerdict::Fails { message } => {
            let lines: Vec<String> = message.lines().map(printable).collect();
            format!("not built: it does not evaluate: {}", lines.join("\n  "))
        }
        TargetVerdict::NotEvaluated => {
            "not built: all files that changed are ignored (`ignore` in nixdag.yml), so nothing was evaluated"
                .to_owned()
        }
    }
}

fn write_job(job: &JobSummary, decided_by: Option<&str>, out: &mut impl Write) -> io::Result<()> {
    let machine: Vec<&str> = [Some(&job.system), job.executor.as_ref(), job.resource_class.as_ref()]
        .into_iter()
        .flatten()
        .map(String::as_str)
        .collect();
    writeln!(out, "  the job runs on {}", printable(&machine.join(", ")))?;
    if let Some(decided_by) = decided_by {
        writeln!(out, "  reason for this machine: {decided_by}")?;
    }
    let from = match job.estimate.from {
        EstimateSource::History => "as recorded",
        EstimateSource::Derivation | EstimateSource::Default => "a guess",
    };
    let critical = if job.critical { ", and is on the critical path" } else { "" };
    writeln!(
        out,
        "  it builds {} in {} ({from}){critical}",
        counted(job.derivations, "derivation"),
        in_words(job.estimate.duration)
    )?;
    if !job.also_builds.is_empty() {
        let names: Vec<String> = job.also_builds.iter().map(name).collect();
        writeln!(out, "  it also completes {}", list(&names))?;
    }
    if !job.after.is_empty() {
        let names: Vec<String> = job.after.iter().map(|name| format!("`{}`", printable(name))).collect();
        writeln!(out, "  it starts after {}", list(&names))?;
    }
    Ok(())
}

fn write_delays(explanation: &Explanation, out: &mut impl Write) -> io::Result<()> {
    let delays = &explanation.delays;
    let same_job: Vec<String> = delays.same_job.iter().flatten().map(name).collect();
    if !same_job.is_empty() {
        let verb = if same_job.len() == 1 { "needs" } else { "need" };
        writeln!(out, "  {} of the same job {verb} it: {}", counted(same_job.len(), "target"), list(&same_job))?;
    }
    let may_be_needed =
        delays.same_job.is_none() && explanation.job.as_ref().is_some_and(|job| !job.also_builds.is_empty());
    match delays.targets.len() {
        0 if !delays.final_jobs.is_empty() => {}
        0 if !same_job.is_empty() || may_be_needed => writeln!(out, "  no target of another job waits for it")?,
        0 => writeln!(out, "  no other target waits for it")?,
        waiting => {
            let names: Vec<String> = delays.targets.iter().map(name).collect();
            let verb = if waiting == 1 { "waits" } else { "wait" };
            writeln!(out, "  {} {verb} for it: {}", counted(waiting, "target"), list(&names))?;
        }
    }
    if !delays.final_jobs.is_empty() {
        let names: Vec<String> = delays.final_jobs.iter().map(|name| format!("`{}`", printable(name))).collect();
        let verb = if names.len() == 1 { "waits" } else { "wait" };
        writeln!(out, "  {} {verb} for it: {}", counted(names.len(), "final job"), list(&names))?;
    }
    Ok(())
}

fn write_change(change: &Difference, out: &mut impl Write) -> io::Result<()> {
    let base = |revision: &Option<String>| match revision {
        Some(revision) => printable(short(revision)),
        None => "the base".to_owned(),
    };
    writeln!(out)?;
    match change {
        Difference::Same { base: revision, renamed_from } => {
            write!(out, "unchanged: {} has the same derivation", base(revision))?;
            if !renamed_from.is_empty() {
                write!(out, " under another name, {}", list(&renamed_from.iter().map(name).collect::<Vec<_>>()))?;
            }
            writeln!(out)
        }
        Difference::New { base: revision } => writeln!(out, "new: {} has no such target", base(revision)),
        Difference::Changed { base: revision, base_derivation, renamed_from, why } => {
            let other = renamed_from.as_ref().map(|other| format!(", as {}", name(other))).unwrap_or_default();
            writeln!(
                out,
                "changed since {}; its derivation there{other}\n  {}",
                base(revision),
                printable(base_derivation)
            )?;
            match why {
                Some(comparison) => write_comparison(comparison, out),
                None => writeln!(out, "  the change is unknown: the base's derivations are missing"),
            }
        }
    }
}

fn write_comparison(comparison: &Comparison, out: &mut impl Write) -> io::Result<()> {
    if comparison.same_outputs {
        writeln!(out, "  its outputs are the same, so what is built does not change")?;
    }
    if comparison.causes.is_empty() {
        return writeln!(out, "  no difference in any definition was found");
    }
    let (roots, others): (Vec<&ChangedDerivation>, Vec<&ChangedDerivation>) =
        comparison.causes.iter().partition(|cause| cause.deepest);
    for (title, causes) in [("the change begins in", roots), ("changed on the way", others)] {
        for cause in causes.iter().take(MOST_CAUSES) {
            write_cause(title, cause, out)?;
        }
        if causes.len() > MOST_CAUSES {
            writeln!(out, "  … and {} more of these (`--format json` has more)", causes.len() - MOST_CAUSES)?;
        }
    }
    match comparison.more_causes {
        0 => Ok(()),
        more => writeln!(out, "  … and {} that changed", counted(more, "more derivation")),
    }
}

fn write_cause(title: &str, cause: &ChangedDerivation, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "\n  {title} {}", cause.name)?;
    if cause.path.len() > 1 {
        writeln!(out, "    path: {}", path(&cause.path))?;
    }
    for change in cause.changes.iter().take(MOST_CAUSES) {
        writeln!(out, "    {}", sentence(change))?;
        if !change.files.is_empty() {
            writeln!(out, "      {} changed: {}", counted(change.files.len(), "file"), list(&change.files))?;
        }
        if let Some(content) = &change.content {
            writeln!(out, "      {content}")?;
        }
    }
    match cause.changes.len().saturating_sub(MOST_CAUSES) + cause.more_changes {
        0 => Ok(()),
        more => writeln!(out, "    … and {}", counted(more, "more change")),
    }
}

fn path(names: &[String]) -> String {
    let half = MOST_STEPS / 2;
    if names.len() <= MOST_STEPS {
        return names.join(" -> ");
    }
    let left_out = names.len() - MOST_STEPS;
    format!("{} -> ({left_out} more) -> {}", names[..half].join(" -> "), names[names.len() - half..].join(" -> "))
}

/// One change in a line.
pub fn sentence(change: &Change) -> String {
    let Change { kind, name, old, new, .. } = change;
    let what = match kind {
        Kind::Source => format!("source `{name}`"),
        Kind::Environment => format!("environment `{name}`"),
        Kind::Builder => "builder".to_owned(),
        Kind::Argument => format!("argument {name}"),
        Kind::System => "system".to_owned(),
        Kind::Output => format!("output `{name}`"),
        Kind::Dependency => format!("dependency `{name}`"),
    };
    match (old, new, kind) {
        (Some(old), Some(new), _) => format!("{what}: {old} -> {new}"),
        (None, Some(new), Kind::Dependency) => format!("{what} added ({new})"),
        (Some(old), None, Kind::Dependency) => format!("{what} removed ({old})"),
        (None, Some(new), _) => format!("{what} added: {new}"),
        (Some(old), None, _) => format!("{what} removed, it was: {old}"),
        (None, None, _) => what,
    }
}

fn name(attribute: &AttributePath) -> String {
    printable(&attribute.to_string())
}

fn list(names: &[String]) -> String {
    let mut shown: Vec<String> = names.iter().take(MOST_NAMES).cloned().collect();
    if names.len() > MOST_NAMES {
        shown.push(format!("{} more", names.len() - MOST_NAMES));
    }
    shown.join(", ")
}
