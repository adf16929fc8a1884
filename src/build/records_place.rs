//! Where the jobs of a pipeline leave their records for the one that puts them together: a folder that the CI carries, with a folder for
//! each job, or a version of a package in GitLab's registry, with a file for each.
//!
//! Records are hints: what cannot be left or read costs a warning and nothing else.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::compared::compare;
use crate::handoff::registry::Registry;
use crate::history::files;
use crate::history::last_plan::{LastJob, LastPlan};
use crate::history::pipelines::PipelineRun;
use crate::history::records::{FILE, Keep, Records};
use crate::output::Output;
use crate::plan::{Job, Plan};
use crate::plural::counted;
use crate::printable::printable;

/// Longest file of one job that is taken from a registry, bytes.
const MAX_OF_A_JOB: u64 = 4 << 20;

/// Files of a registry that are in memory at once: anybody who may run a job in the project can make each as long as is allowed.
const FILES_AT_ONCE: usize = 8;

/// After so long no more files are asked for.
const LONGEST_READING: Duration = Duration::from_secs(3 * 60);

/// So many jobs are named, the others are counted.
const MOST_NAMED: usize = 5;

/// Where records are left.
#[derive(Debug)]
pub enum RecordsPlace {
    /// `DIR/<job>/records.json`.
    Folder(PathBuf),
    /// `<job>.json` of a version of a package.
    Registry(Registry),
}

/// What the jobs of a pipeline have left.
#[derive(Debug)]
pub struct Collected {
    /// All of it, and what was known before, pruned.
    pub records: Records,
    /// Lines for people.
    pub notes: Vec<String>,
}

impl RecordsPlace {
    /// Leaves the records of a job.
    pub fn leave(&self, job: &str, records: &Records) -> Result<()> {
        match self {
            Self::Folder(dir) => {
                let dir = dir.join(job);
                fs::create_dir_all(&dir).with_context(|| format!("cannot create `{}`", dir.display()))?;
                Output::File(dir.join(FILE)).write(|out| records.write(out))
            }
            Self::Registry(registry) => {
                let mut text = Vec::new();
                records.write(&mut text)?;
                registry.put_bytes(&format!("{job}.json"), &text)
            }
        }
    }

    /// What the jobs have left, with a warning for each that cannot be used. `now` in seconds since 1970.
    fn read<'a>(&self, jobs: impl Iterator<Item = &'a str>, now: u64) -> Result<(Records, Vec<String>)> {
        match self {
            Self::Folder(dir) if !dir.exists() => Ok((Records::default(), Vec::new())),
            Self::Folder(dir) => files::read(std::slice::from_ref(dir), Keep::default(), now),
            Self::Registry(registry) => {
                let names: Vec<String> = jobs.map(|job| format!("{job}.json")).collect();
                let (mut all, mut warnings) = (Records::default(), Vec::new());
                let begun = Instant::now();
                for (at, names) in names.chunks(FILES_AT_ONCE).enumerate() {
                    if begun.elapsed() > LONGEST_READING {
                        warnings.push(format!(
                            "the registry is slow: nothing more is read after the first {}",
                            counted((at * FILES_AT_ONCE) as u64, "job")
                        ));
                        break;
                    }
                    for (name, text) in names.iter().zip(registry.get_all(names, MAX_OF_A_JOB)) {
                        let records = text.and_then(|text| text.map(|text| Records::read(&text, now)).transpose());
                        match records {
                            Ok(records) => all.merge(records.unwrap_or_default()),
                            Err(error) => {
                                warnings.push(format!("`{name}` is left out: {}", printable(&format!("{error:#}"))));
                            }
                        }
                        all.prune(Keep::default(), now);
                    }
                }
                Ok((all, warnings))
            }
        }
    }
}

/// How far predictions have been from what came, over all pipelines that are known.
fn error(pipelines: &[PipelineRun]) -> Option<String> {
    let mut ratios: Vec<f64> = pipelines
        .iter()
        .filter(|run| run.predicted > 0 && run.measured > 0)
        .map(|run| run.measured as f64 / run.predicted as f64)
        .collect();
    ratios.sort_unstable_by(f64::total_cmp);
    let (least, most) = (ratios.first()?, ratios.last()?);
    let median = ratios[ratios.len() / 2];
    (ratios.len() > 1).then(|| {
        format!(
            "over {} pipelines: {median:.2} times what was predicted in the median, from {least:.2} to {most:.2}",
            ratios.len()
        )
    })
}

/// What the next plan wants to know of this one.
fn last_plan(plan: &Plan, now: u64) -> LastPlan {
    let job = |job: &Job| LastJob::new(&job.system, job.derivations.iter().map(|path| &**path));
    LastPlan { at: now, jobs: plan.jobs.iter().map(job).collect() }
}

/// Puts together what the jobs of a plan have left in a place, and what the file `known` holds of earlier pipelines, where it is there and
/// can be used. `now` in seconds since 1970.
pub fn collect(plan: &Plan, place: &RecordsPlace, known: &Path, now: u64) -> Collected {
    let builders = || plan.all_jobs().filter(|job| job.builds().next().is_some()).map(|job| job.id.as_str());
    let (mut records, mut notes) = place.read(builders(), now).unwrap_or_else(|error| {
        (Records::default(), vec![format!("no records can be read: {}", printable(&format!("{error:#}")))])
    });
    let left: HashSet<&str> = records.jobs.iter().map(|run| run.job.as_str()).collect();
    let without: Vec<&str> = builders().filter(|job| !left.contains(job)).collect();
    let all = builders().count() as u64;
    if !without.is_empty() {
        let named: Vec<String> = without.iter().take(MOST_NAMED).map(|job| format!("`{job}`")).collect();
        let more = without.len().saturating_sub(MOST_NAMED);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        notes.push(format!(
            "{} of {} left no records: {}{more} (they did not run, or not to their end)",
            without.len(),
            counted(all, "job"),
            named.join(", ")
        ));
    }
    let (pipeline, lines) = compare(plan, &records.jobs);
    notes.extend(lines);
    records.pipelines.extend(pipeline);
    if !plan.jobs.is_empty() {
        records.last_plan = Some(last_plan(plan, now));
    }
    let builds = records.builds.len() as u64;
    if known.exists() {
        match files::read(&[known.to_owned()], Keep::default(), now) {
            Ok((earlier, warnings)) => {
                records.merge(earlier);
                notes.extend(warnings);
            }
            Err(error) => notes.push(format!("what was known is left out: {}", printable(&format!("{error:#}")))),
        }
    }
    records.prune(Keep::default(), now);
    notes.extend(error(&records.pipelines));
    notes.push(format!(
        "{} of this pipeline recorded, {} known with those of earlier ones",
        counted(builds, "build"),
        counted(records.builds.len() as u64, "build")
    ));
    Collected { records, notes }
}
