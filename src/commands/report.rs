//! `nixdag report`: all jobs of a pipeline in one report.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::ExitCode;
use crate::build::record::{self, Record, Verdict};
use crate::build::report::Report;
use crate::cli::{ReportArgs, ReportFormat};
use crate::output::Output;

/// Folders of artifacts are a few levels deep.
const MAX_DEPTH: usize = 8;

pub(super) fn run(args: &ReportArgs) -> Result<ExitCode> {
    let mut files = Vec::new();
    for path in &args.records {
        if path.is_dir() { find(path, 0, &mut files)? } else { files.push(path.clone()) }
    }
    if files.is_empty() {
        bail!("no `{}` in the folders given (`nixdag build --results DIR` writes it)", record::REPORT);
    }
    let records = files.iter().map(|path| Record::read(path)).collect::<Result<_>>()?;
    let report = Report::new(records);
    Output::from(args.output.clone()).write(|out| match args.format {
        ReportFormat::Text => report.print(out),
        ReportFormat::Json => {
            serde_json::to_writer_pretty(&mut *out, &report)?;
            writeln!(out)
        }
    })?;
    Ok(if report.verdict() == Verdict::Failure { ExitCode::Failed } else { ExitCode::Done })
}

/// Finds all records below a folder, in the order of their paths.
fn find(dir: &Path, depth: usize, files: &mut Vec<PathBuf>) -> Result<()> {
    let mut entries = fs::read_dir(dir)
        .and_then(|entries| entries.map(|entry| entry.map(|entry| entry.path())).collect::<std::io::Result<Vec<_>>>())
        .with_context(|| format!("cannot read `{}`", dir.display()))?;
    entries.sort_unstable();
    for entry in entries {
        if entry.is_dir() && depth < MAX_DEPTH {
            find(&entry, depth + 1, files)?;
        } else if entry.file_name().is_some_and(|name| name == record::REPORT) {
            files.push(entry);
        }
    }
    Ok(())
}
