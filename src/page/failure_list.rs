//! What failed, each with its class, the end of its log, the next command and what it stopped.
//!
//! In: the pipeline. Out: the section of the page.

use std::fmt::{self, Write};

use super::links::job;
use super::pipeline::{Failure, JobNumber, Pipeline};
use super::words::{counted, duration};
use crate::plural;
use crate::view::markup::{lines, name};

/// Failures that are shown in full; the rest are counted.
const MOST: usize = 50;

/// Targets that are listed of one failure.
const MOST_TARGETS: usize = 400;

/// The section, where anything failed.
pub fn write(pipeline: &Pipeline, out: &mut dyn Write) -> fmt::Result {
    if pipeline.failures.is_empty() {
        return Ok(());
    }
    out.write_str("<h2 id=\"failures\">What failed</h2>")?;
    for failure in pipeline.failures.iter().take(MOST) {
        one(pipeline, failure, out)?;
    }
    match pipeline.failures.len().saturating_sub(MOST) {
        0 => Ok(()),
        more => {
            write!(out, "<p>{} more failed; the records have all of them.</p>", plural::counted(more as u64, "thing"))
        }
    }
}

fn one(pipeline: &Pipeline, failure: &Failure, out: &mut dyn Write) -> fmt::Result {
    write!(out, "<div class=\"fail\"><h3><span class=\"bad\">✕</span> <bdi>{}</bdi> <small>", name(&failure.name))?;
    if failure.job != JobNumber::MAX {
        out.write_str("in job ")?;
        job(pipeline, failure.job, out)?;
    }
    if let Some(class) = &failure.class {
        write!(out, " {}", name(class))?;
    }
    if let Some(time) = failure.duration {
        write!(out, " after {}", duration(time))?;
    }
    out.write_str("</small></h3>")?;
    if !failure.attributes.is_empty() {
        write!(out, "<p>It is <bdi>{}</bdi>.</p>", name(&failure.attributes.join(", ")))?;
    }
    if let Some(derivation) = &failure.derivation {
        write!(out, "<p class=\"mono n\">{}</p>", name(derivation))?;
    }
    if !failure.message.is_empty() {
        write!(out, "<pre tabindex=\"0\" aria-label=\"message\">{}</pre>", lines(&failure.message))?;
    }
    if let Some(log) = &failure.log {
        write!(out, "<pre tabindex=\"0\" aria-label=\"end of the log\">{}</pre>", lines(log))?;
    }
    if let Some(next) = &failure.next {
        write!(out, "<p><b>Next:</b> {}</p>", name(next))?;
    }
    if let Some(command) = &failure.reproduce {
        write!(out, "<p><b>On your machine:</b> <code class=\"n\">{}</code></p>", lines(command))?;
    }
    stopped(failure, out)?;
    out.write_str("</div>")
}

fn stopped(failure: &Failure, out: &mut dyn Write) -> fmt::Result {
    if failure.stopped_targets.is_empty() && failure.stopped.is_empty() {
        return Ok(());
    }
    write!(
        out,
        "<details><summary>{}{} missing</summary><ul class=\"chips\">",
        match failure.stopped.len() {
            0 => String::new(),
            count => format!("{} behind it did not run, ", counted(count, "job")),
        },
        match failure.stopped_targets.len() {
            1 => "1 target is".to_owned(),
            count => format!("{} are", counted(count, "target")),
        }
    )?;
    for target in failure.stopped_targets.iter().take(MOST_TARGETS) {
        write!(out, "<li><bdi>{}</bdi></li>", name(target))?;
    }
    if failure.stopped_targets.len() > MOST_TARGETS {
        write!(out, "<li class=\"dim\">and {} more</li>", failure.stopped_targets.len() - MOST_TARGETS)?;
    }
    out.write_str("</ul></details>")
}
