//! Where the time went, in sentences, with the critical path as a table.
//!
//! In: the pipeline. Out: the section of the page.

use std::fmt::{self, Write};

use super::bars;
use super::failed::users;
use super::links;
use super::pipeline::{JobNumber, PHASE_NAMES, PHASES, Pipeline, Span, State};
use super::words::{counted, difference, duration, percent};
use crate::view::markup::name;

/// A stretch in which one job ran alone is worth a sentence from this share of the wall time on.
const SHARE_ALONE: f64 = 0.03;

/// Derivations from which on a job that ran alone may be worth a cut.
const MANY: usize = 20;

/// Rows of the critical path.
const MOST_ROWS: usize = 200;

/// The section.
pub fn write(pipeline: &Pipeline, out: &mut dyn Write) -> fmt::Result {
    let run = pipeline.has_run;
    write!(out, "<h2 id=\"time\">{}</h2>", if run { "Where the time went" } else { "Where the time will go" })?;
    if pipeline.critical.is_empty() {
        return out.write_str("<p>Unknown, because no job has run.</p>");
    }
    out.write_str("<p>")?;
    match pipeline.critical.len() {
        1 => write!(out, "One job alone {} the wall time.", if run { "took" } else { "takes" })?,
        count => write!(
            out,
            "The last job {} at the end of a chain of {}, each of which {} for the one before it.",
            if run { "ended" } else { "ends" },
            counted(count, "job"),
            if run { "waited" } else { "waits" }
        )?,
    }
    furthest(pipeline, out)?;
    alone(pipeline, out)?;
    out.write_str("</p>")?;
    assumptions(pipeline, out)?;
    phases(pipeline, out)?;
    table(pipeline, out)
}

/// The job of the critical path that was furthest from its prediction.
fn furthest(pipeline: &Pipeline, out: &mut dyn Write) -> fmt::Result {
    let compared = pipeline.critical.iter().filter_map(|&number| {
        let job = pipeline.job(number);
        Some((number, job.run()?.span.total, job.predicted.as_ref()?.total))
    });
    if let Some((job, measured, predicted)) = compared.max_by_key(|(_, a, b)| a.abs_diff(*b)) {
        out.write_str(" The furthest from its prediction on it is ")?;
        links::job(pipeline, job, out)?;
        write!(out, ", {}.", difference(measured, predicted))?;
    }
    Ok(())
}

/// The longest stretch in which a single job ran.
fn alone(pipeline: &Pipeline, out: &mut dyn Write) -> fmt::Result {
    let Some((job, from, length)) = longest_alone(pipeline) else { return Ok(()) };
    let end = pipeline.jobs.iter().filter_map(|job| job.span()?.end()).max().unwrap_or(0);
    if pipeline.jobs.len() < 2 || (length as f64) < SHARE_ALONE * end as f64 {
        return Ok(());
    }
    let needed_by = users(&pipeline.jobs)[job as usize].len();
    write!(out, " For {}, from {} on, only ", duration(length), duration(from))?;
    links::job(pipeline, job, out)?;
    write!(out, " {}: ", if pipeline.has_run { "ran" } else { "will run" })?;
    match needed_by {
        0 => out.write_str("no job needs it")?,
        1 => out.write_str("1 job needs it")?,
        count => write!(out, "{} need it", counted(count, "job"))?,
    }
    let builds = pipeline.job(job).derivations.len();
    write!(out, ", {} in it", counted(builds, "derivation"))?;
    out.write_str(if builds > MANY && needed_by > 0 { ", which may be worth a cut." } else { "." })
}

/// The job that ran alone for the longest time, when that began, and how long it was, milliseconds.
fn longest_alone(pipeline: &Pipeline) -> Option<(JobNumber, u64, u64)> {
    let mut events: Vec<(u64, bool, JobNumber)> = Vec::new();
    for (number, job) in pipeline.jobs.iter().enumerate() {
        let Some(span) = job.span() else { continue };
        if let (Some(start), Some(end)) = (span.start, span.end()) {
            events.extend([(start, true, number as JobNumber), (end, false, number as JobNumber)]);
        }
    }
    events.sort_unstable();
    let mut running = std::collections::BTreeSet::new();
    let mut longest: Option<(JobNumber, u64, u64)> = None;
    for (at, &(time, begins, job)) in events.iter().enumerate() {
        if begins {
            running.insert(job)
        } else {
            running.remove(&job)
        };
        let until = events.get(at + 1).map_or(time, |next| next.0);
        if let (1, Some(&only)) = (running.len(), running.first())
            && longest.is_none_or(|(.., length)| until - time > length)
        {
            longest = Some((only, time, until - time)).filter(|(.., length)| *length > 0).or(longest);
        }
    }
    longest
}

/// How far the model's assumptions were from what jobs that passed have measured, by phase.
fn assumptions(pipeline: &Pipeline, out: &mut dyn Write) -> fmt::Result {
    let passed = pipeline.jobs.iter().filter(|job| job.state == State::Passed);
    let pairs: Vec<(&Span, &Span)> =
        passed.filter_map(|job| Some((&job.run()?.span, job.predicted.as_ref()?))).collect();
    let mut parts = Vec::new();
    for (phase, phase_name) in PHASE_NAMES.iter().enumerate() {
        let both: Vec<(u64, Option<u64>)> = pairs
            .iter()
            .filter_map(|(measured, predicted)| Some((measured.phases[phase]?, predicted.phases[phase])))
            .collect();
        let measured: u64 = both.iter().map(|pair| pair.0).sum();
        let predicted: Option<u64> = both.iter().map(|pair| pair.1).sum();
        if both.is_empty() {
            parts.push(format!("{phase_name} unknown, because no record has it"));
            continue;
        }
        let mean = duration(measured / both.len() as u64);
        parts.push(match predicted {
            Some(0) => format!("{phase_name} {mean} (assumed: none)"),
            Some(predicted) => {
                format!("{phase_name} {mean} ({:.2} times what was assumed)", measured as f64 / predicted as f64)
            }
            None => format!("{phase_name} {mean}"),
        });
    }
    if pairs.is_empty() {
        return Ok(());
    }
    write!(out, "<p class=\"dim\">Measured, the mean of {}: {}.</p>", counted(pairs.len(), "job"), parts.join(", "))
}

/// The critical path's time by phase: one bar and its key.
fn phases(pipeline: &Pipeline, out: &mut dyn Write) -> fmt::Result {
    let mut sum = Span { start: None, phases: [Some(0); PHASES], total: 0 };
    let mut waited = 0u64;
    for &number in &pipeline.critical {
        let job = pipeline.job(number);
        let Some(span) = job.span() else { continue };
        waited = waited.saturating_add(job.run().and_then(|run| run.waited).unwrap_or(0));
        sum.total = sum.total.saturating_add(span.total);
        for (sum, phase) in sum.phases.iter_mut().zip(span.phases) {
            *sum = Some(sum.unwrap_or(0).saturating_add(phase.unwrap_or(0)));
        }
    }
    let all = sum.total.saturating_add(waited);
    bars::span(out, &sum, waited, None, all)?;
    out.write_str("<div class=\"key\">")?;
    let parts =
        std::iter::once(("pw", "waiting for a machine", waited))
            .chain(PHASE_NAMES.iter().enumerate().map(|(phase, phase_name)| {
                (["p0", "p1", "p2", "p3"][phase], *phase_name, sum.phases[phase].unwrap_or(0))
            }))
            .chain([("p4", "in no phase that is known", sum.rest())]);
    for (class, part, time) in parts.filter(|(.., time)| *time > 0) {
        write!(out, "<span><i class=\"{class}\"></i>{part} <b>{}</b> {}</span>", percent(time, all), duration(time))?;
    }
    out.write_str("</div>")
}

fn table(pipeline: &Pipeline, out: &mut dyn Write) -> fmt::Result {
    let run = pipeline.has_run;
    let length = |number: &JobNumber| {
        let job = pipeline.job(*number);
        let waited = job.run().and_then(|run| run.waited).unwrap_or(0);
        let span = job.span().map_or(0, |span| span.total);
        (waited + span).max(job.predicted.as_ref().map_or(0, |span| span.total))
    };
    let widest = pipeline.critical.iter().map(length).max().unwrap_or(1);
    out.write_str("<div class=\"scroll\"><table><thead><tr><th scope=\"col\">job on the critical path</th>")?;
    out.write_str(if run {
        "<th scope=\"col\" class=\"w\">measured, thin: predicted</th><th scope=\"col\" class=\"r\">measured</th><th scope=\"col\" class=\"r wide\">predicted</th>"
    } else {
        "<th scope=\"col\" class=\"w\">predicted</th><th scope=\"col\" class=\"r\">predicted</th>"
    })?;
    out.write_str("<th scope=\"col\" class=\"r wide\">not building</th><th scope=\"col\" class=\"r wide\">ends at</th></tr></thead><tbody>")?;
    let unknown = "unknown".to_owned();
    for &number in pipeline.critical.iter().take(MOST_ROWS) {
        let job = pipeline.job(number);
        let Some(span) = job.span() else { continue };
        let waited = job.run().and_then(|run| run.waited).unwrap_or(0);
        let predicted = job.predicted.as_ref().map(|span| span.total);
        out.write_str("<tr><td>")?;
        links::job(pipeline, number, out)?;
        out.write_str("</td><td class=\"w\">")?;
        bars::span(out, span, waited, predicted.filter(|_| run), widest)?;
        write!(out, "</td><td class=\"r\">{}</td>", duration(span.total))?;
        if run {
            write!(out, "<td class=\"r wide\">{}</td>", predicted.map_or(unknown.clone(), duration))?;
        }
        let other = span.phases[2].map(|build| duration(span.total.saturating_sub(build)));
        let end = span.end().map(duration);
        write!(
            out,
            "<td class=\"r wide\">{}</td><td class=\"r wide\">{}</td></tr>",
            other.unwrap_or_else(|| unknown.clone()),
            end.unwrap_or_else(|| unknown.clone())
        )?;
    }
    out.write_str("</tbody></table></div>")?;
    match pipeline.critical.len().saturating_sub(MOST_ROWS) {
        0 => Ok(()),
        more => write!(out, "<p class=\"dim\">{} more on it.</p>", name(&counted(more, "job"))),
    }
}
