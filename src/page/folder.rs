//! The pages of a pipeline in a folder, as the job behind all others keeps them: for people, for the CI's own page of a run, for programs.
//!
//! In: the plan, and what its jobs have recorded. Out: the files, each whole or not there.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::{comment, document, gather, summary, trace};
use crate::build::record::Record;
use crate::build::report::Report;
use crate::output::Output;
use crate::plan::Plan;
use crate::view::markdown;

/// The page.
pub const PAGE: &str = "nixdag.html";

/// The same in short, as Markdown.
pub const SUMMARY: &str = "summary.md";

/// What goes into a comment on the pull request.
pub const COMMENT: &str = "comment.md";

/// The report, as `nixdag report --format json` prints it.
const REPORT: &str = "report.json";

/// The time line in Chrome's trace format.
const TRACE: &str = "trace.json";

/// Writes all of them; `address` is where the CI will have the page.
pub fn write(dir: &Path, plan: &Plan, records: Vec<Record>, address: Option<&str>) -> Result<()> {
    fs::create_dir_all(dir).with_context(|| format!("cannot create `{}`", dir.display()))?;
    let file = |name: &str| Output::File(dir.join(name));
    let pipeline = gather::pipeline(Some(plan), &records);
    file(PAGE).write(|out| document::write(&pipeline, out))?;
    file(COMMENT).write(|out| comment::write(&pipeline, address, out))?;
    file(TRACE).write(|out| trace::write(&pipeline, out))?;
    let report = Report::new(records);
    file(SUMMARY).write(|out| markdown::write(Some(plan), Some((&report, &summary::plain(&pipeline))), out))?;
    file(REPORT).write(|out| {
        serde_json::to_writer_pretty(&mut *out, &report)?;
        writeln!(out)
    })
}
