//! The results folder of a job, for people and for later pipelines.
//!
//! In: a [`Record`]. Out: `report.json` (the record, which `nixdag report` reads), `records.json` (what later plans read as
//! `--history`), `junit.xml`, `to-save` (see [`TO_SAVE`]) and `verdict`, each whole or not there. `logs/`, of what failed, is there by then.

use std::fs::{self, Permissions};
use std::io::{BufWriter, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result, bail};

use super::command_end::CommandEnd;
use super::junit;
use super::record::{Outcome, REPORT, Record, TO_SAVE, Verdict};
use crate::history::jobs::JobRun;
use crate::history::records::{Ending, FILE, Measurement, Records};

const VERDICT: &str = "verdict";

/// Writes all files into the results folder; the verdict comes last.
pub fn write(record: &Record, dir: &Path) -> Result<()> {
    fs::create_dir_all(dir).with_context(|| format!("cannot create `{}`", dir.display()))?;
    whole(dir, REPORT, &mut |out| Ok(writeln!(out, "{}", serde_json::to_string_pretty(record)?)?))?;
    whole(dir, FILE, &mut |out| Ok(measured(record).write(out)?))?;
    whole(dir, "junit.xml", &mut |out| Ok(junit::write(record, out)?))?;
    let verdict = match record.verdict {
        Verdict::Success => "success\n",
        Verdict::Failure => "failure\n",
        Verdict::Cancelled => "cancelled\n",
    };
    if record.handed_off.signed > 0 {
        whole(dir, TO_SAVE, &mut |out| Ok(writeln!(out, "{} paths", record.handed_off.signed)?))?;
    }
    whole(dir, VERDICT, &mut |out| Ok(out.write_all(verdict.as_bytes())?))
}

/// What later plans can learn from the run: how long it took, what was built here, or failed for a reason of its own.
pub fn measured(record: &Record) -> Records {
    let builds = record.derivations.iter().filter_map(|derivation| {
        let ending = match derivation.outcome {
            Outcome::Built => Ending::Built,
            Outcome::Failed => Ending::Failed,
            _ => return None,
        };
        Some(Measurement {
            name: derivation.name.clone(),
            system: derivation.system.clone(),
            derivation: derivation.derivation.clone(),
            at: record.started,
            job: record.job.clone(),
            duration: derivation.duration.or((ending == Ending::Failed).then_some(0))?,
            ending,
            class: derivation.class.filter(|_| ending == Ending::Failed).map(|class| class.name().to_owned()),
            attempts: 1 + derivation.retried.len() as u32,
            used: derivation.used.clone(),
        })
    });
    let run = JobRun {
        job: record.job.clone(),
        system: record.system.clone(),
        at: record.started,
        duration: record.duration,
        resource_class: record.resource_class.clone(),
        measured: record.measured.clone(),
    };
    Records { builds: builds.collect(), jobs: vec![run], ..Records::default() }
}

/// Adds how a final job's command ended to what the job has left, and gives the record. None where the command cannot have begun: what it finds
/// could not be restored.
pub fn end_command(dir: &Path, ended: CommandEnd) -> Result<Option<Record>> {
    let mut record = Record::read(&dir.join(REPORT))?;
    if record.verdict != Verdict::Success {
        return Ok(None);
    }
    record.command = Some(ended);
    if ended == CommandEnd::Failure {
        record.verdict = Verdict::Failure;
        record.errors.push("the job's command failed: the job's log has what it printed".to_owned());
    }
    write(&record, dir)?;
    Ok(Some(record))
}

/// Reads the verdict that a build step has left.
pub fn read_verdict(dir: &Path) -> Result<Verdict> {
    let path = dir.join(VERDICT);
    let text = fs::read_to_string(&path)
        .with_context(|| format!("no verdict in `{}`: the build step did not come to its end", path.display()))?;
    match text.as_str() {
        "success\n" => Ok(Verdict::Success),
        "failure\n" => Ok(Verdict::Failure),
        "cancelled\n" => Ok(Verdict::Cancelled),
        _ => bail!("`{}` holds no verdict", path.display()),
    }
}

/// Removes what an earlier run left, so that nobody takes its verdict for this one's.
pub fn clear(dir: &Path) -> Result<()> {
    for name in [VERDICT, TO_SAVE, REPORT, FILE, "junit.xml"] {
        match fs::remove_file(dir.join(name)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("cannot remove `{}`", dir.join(name).display()));
            }
            _ => {}
        }
    }
    Ok(())
}

fn whole(dir: &Path, name: &str, fill: &mut dyn FnMut(&mut dyn Write) -> Result<()>) -> Result<()> {
    let what = || format!("cannot write `{}`", dir.join(name).display());
    let file =
        tempfile::Builder::new().permissions(Permissions::from_mode(0o644)).tempfile_in(dir).with_context(what)?;
    let mut out = BufWriter::new(file);
    fill(&mut out).with_context(what)?;
    let file = out.into_inner().map_err(std::io::IntoInnerError::into_error).with_context(what)?;
    file.persist(dir.join(name)).with_context(what)?;
    Ok(())
}
