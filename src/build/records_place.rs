//! Where the jobs of a pipeline leave their records for the one that puts them together: a folder that the CI carries, with a folder for
//! each job, a version of a package in GitLab's registry, with files for each, or the store that jobs hand on through. A job leaves two
//! files: what later plans read, and the whole record for the report of its own pipeline.
//!
//! Records are hints: what cannot be left or read costs a warning and nothing else.

use std::collections::HashSet;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Error, Result, ensure};

use super::compared::compare;
use super::record::{REPORT, Record};
use super::record_files;
use super::results;
use super::stored_records::StoredRecords;
use crate::handoff::registry::Registry;
use crate::history::files;
use crate::history::last_plan::{LastJob, LastPlan, base_name};
use crate::history::pipelines::PipelineRun;
use crate::history::records::{FILE, Keep, Records};
use crate::history::store::Subject;
use crate::output::Output;
use crate::plan::{Job, Plan, worker_jobs};
use crate::plural::counted;
use crate::printable::{printable, shortened};
use crate::regular_file;

/// Longest file of one job that is taken from a registry, bytes.
const MAX_OF_A_JOB: u64 = 4 << 20;

/// Longest record of one job that is taken for the report, bytes.
const MAX_RECORD: u64 = 16 << 20;

/// Bytes of all records of a pipeline that are taken for the report.
const MAX_ALL_RECORDS: u64 = 64 << 20;

/// Files of a registry or a store that are in memory at once: anybody who may run a job in the project can make each as long as is allowed.
const FILES_AT_ONCE: usize = 8;

/// After so long no more files are asked for.
const LONGEST_READING: Duration = Duration::from_secs(3 * 60);

/// Characters of a sentence about a record, which may quote any of it.
const LONGEST_REASON: usize = 300;

/// So many jobs are named, the others are counted.
const MOST_NAMED: usize = 5;

/// Where records are left.
#[derive(Debug)]
pub enum RecordsPlace {
    /// `DIR/<job>/records.json` and `DIR/<job>/report.json`.
    Folder(PathBuf),
    /// `<job>.json` and `<job>.report.json` of a version of a package, which later pipelines of the branch overwrite: a record counts for the one
    /// whose number it has.
    Registry {
        /// The version of the package.
        registry: Registry,
        /// The number of this pipeline, where that is known.
        pipeline: Option<String>,
    },
    /// A store that keeps what each job of a branch has left last.
    Store(Box<StoredRecords>),
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
    /// Leaves what a job has recorded.
    pub fn leave(&self, record: &Record) -> Result<()> {
        let job = &record.job;
        let mut text = Vec::new();
        results::measured(record).write(&mut text)?;
        match self {
            Self::Folder(dir) => {
                let dir = dir.join(job);
                fs::create_dir_all(&dir).with_context(|| format!("cannot create `{}`", dir.display()))?;
                Output::File(dir.join(FILE)).write(|out| out.write_all(&text))?;
                Output::File(dir.join(REPORT)).write(|out| Ok(serde_json::to_writer(out, record)?))
            }
            Self::Registry { registry, pipeline } => {
                registry.put_bytes(&format!("{job}.json"), &text)?;
                let whole = Record { pipeline: pipeline.clone(), ..record.clone() };
                registry.put_bytes(&report_name(job), &serde_json::to_vec(&whole)?)
            }
            Self::Store(stored) => {
                stored.leave(job, &text)?;
                stored.leave(&report_name(job), &serde_json::to_vec(record)?)
            }
        }
    }

    /// The whole records that these jobs have left, with a sentence for each that cannot be used. They are hints like all others: the report of
    /// a pipeline shows them, and nothing is decided by them.
    pub fn reports<'a>(&self, jobs: impl Iterator<Item = &'a str>) -> (Vec<Record>, Vec<String>) {
        let mut reports = Reports::default();
        match self {
            Self::Folder(dir) if !dir.exists() => {}
            Self::Folder(dir) => {
                let mut found = record_files::Found::default();
                if let Err(error) = record_files::find(dir, &mut found) {
                    reports.warn("", &error);
                }
                reports.warnings.extend(found.left_out());
                for path in found.files {
                    reports.add(&path.display().to_string(), read_record(&path).map(Some));
                }
            }
            Self::Registry { registry, pipeline } => {
                let names: Vec<String> = jobs.map(report_name).collect();
                let begun = Instant::now();
                for names in names.chunks(FILES_AT_ONCE).take_while(|_| begun.elapsed() <= LONGEST_READING) {
                    for (name, text) in names.iter().zip(registry.get_all(names, MAX_RECORD)) {
                        reports.add(name, text);
                    }
                }
                reports.records.retain(|record| record.pipeline == *pipeline);
            }
            Self::Store(stored) => {
                let names: Vec<String> = jobs.map(report_name).collect();
                let begun = Instant::now();
                for names in names.chunks(FILES_AT_ONCE).take_while(|_| begun.elapsed() <= LONGEST_READING) {
                    let subjects: Vec<Subject> = names.iter().map(|name| stored.subject.job(name)).collect();
                    for (name, text) in names.iter().zip(stored.store.get_all(&subjects)) {
                        reports.add(name, stored.of_job(text, MAX_RECORD));
                    }
                }
            }
        }
        (reports.records, reports.warnings)
    }

    /// What the jobs have left, with a warning for each that cannot be used. `now` in seconds since 1970.
    fn read<'a>(&self, jobs: impl Iterator<Item = &'a str>, now: u64) -> Result<(Records, Vec<String>)> {
        match self {
            Self::Folder(dir) if !dir.exists() => Ok((Records::default(), Vec::new())),
            Self::Folder(dir) => files::read(std::slice::from_ref(dir), Keep::default(), now),
            Self::Registry { registry, .. } => Ok(read_in_turn(jobs, now, |jobs| {
                let names: Vec<String> = jobs.iter().map(|job| format!("{job}.json")).collect();
                let texts = registry.get_all(&names, MAX_OF_A_JOB);
                texts.into_iter().map(|text| text?.map(|text| Records::read(&text, now)).transpose()).collect()
            })),
            Self::Store(stored) => Ok(read_in_turn(jobs, now, |jobs| {
                let subjects: Vec<Subject> = jobs.iter().map(|job| stored.subject.job(job)).collect();
                let texts = stored.store.get_all(&subjects);
                let read = |text| stored.of_job(text, MAX_OF_A_JOB)?.map(|text| Records::read(&text, now)).transpose();
                texts.into_iter().map(read).collect()
            })),
        }
    }

    /// What the place itself keeps of earlier pipelines, or else the file `into`, where there is something.
    fn known(&self, into: Option<&Path>, now: u64) -> Result<(Records, Vec<String>)> {
        match (self, into) {
            (Self::Store(stored), _) => {
                let known = stored.known(now)?;
                let remarks = known.remarks().iter().map(|remark| format!("earlier records: {remark}")).collect();
                Ok((known, remarks))
            }
            (_, Some(file)) if file.exists() => files::read(&[file.to_owned()], Keep::default(), now),
            _ => Ok((Records::default(), Vec::new())),
        }
    }
}

/// Reads what jobs have left, some at a time, with a warning for each that cannot be used.
fn read_in_turn<'a>(
    jobs: impl Iterator<Item = &'a str>,
    now: u64,
    read: impl Fn(&[&str]) -> Vec<Result<Option<Records>>>,
) -> (Records, Vec<String>) {
    let jobs: Vec<&str> = jobs.collect();
    let (mut all, mut warnings) = (Records::default(), Vec::new());
    let begun = Instant::now();
    for (at, jobs) in jobs.chunks(FILES_AT_ONCE).enumerate() {
        if begun.elapsed() > LONGEST_READING {
            warnings.push(format!(
                "records are slow to come: nothing more is read after the first {}",
                counted((at * FILES_AT_ONCE) as u64, "job")
            ));
            break;
        }
        for (job, records) in jobs.iter().zip(read(jobs)) {
            match records {
                Ok(records) => {
                    let records = records.unwrap_or_default();
                    let remarks = records.remarks();
                    warnings.extend(remarks.iter().map(|remark| format!("the records of `{job}`: {remark}")));
                    all.merge(records);
                }
                Err(error) => {
                    warnings.push(format!("the records of `{job}` are left out: {}", printable(&format!("{error:#}"))));
                }
            }
            all.prune(Keep::default(), now);
        }
    }
    (all, warnings)
}

/// The name of a whole record in a registry.
fn report_name(job: &str) -> String {
    format!("{job}.{REPORT}")
}

/// The text of a record; one that is too long is an error.
fn read_record(path: &Path) -> Result<Vec<u8>> {
    let mut text = Vec::new();
    regular_file::open(path)?.take(MAX_RECORD + 1).read_to_end(&mut text)?;
    ensure!(text.len() as u64 <= MAX_RECORD, "it has more than {MAX_RECORD} bytes");
    Ok(text)
}

/// Whole records as far as they are read.
#[derive(Default)]
struct Reports {
    records: Vec<Record>,
    warnings: Vec<String>,
    bytes: u64,
}

impl Reports {
    fn add(&mut self, name: &str, text: Result<Option<Vec<u8>>>) {
        let read = || {
            let Some(text) = text? else { return Ok(None) };
            self.bytes = self.bytes.saturating_add(text.len() as u64);
            ensure!(self.bytes <= MAX_ALL_RECORDS, "all records together have more than {MAX_ALL_RECORDS} bytes");
            Record::parse(&text, name).map(Some)
        };
        match read() {
            Ok(record) => self.records.extend(record),
            Err(error) => self.warn(name, &error),
        }
    }

    fn warn(&mut self, name: &str, error: &Error) {
        let why = shortened(&printable(&format!("{error:#}")), LONGEST_REASON);
        self.warnings.push(format!("a record is not in the report: `{}`: {why}", printable(name)));
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
    let likeness = plan.likeness.iter().filter_map(|(path, &likeness)| Some((base_name(path)?, likeness))).collect();
    LastPlan { at: now, jobs: plan.jobs.iter().map(job).collect(), likeness }
}

/// Puts together what the jobs of a plan have left in a place, and what the place or the file `into` holds of earlier pipelines, where it is
/// there and can be used. `now` in seconds since 1970.
pub fn collect(plan: &Plan, place: &RecordsPlace, into: Option<&Path>, now: u64) -> Collected {
    let runs = worker_jobs::runs(plan);
    let builders = || runs.iter().filter(|(_, builds)| *builds).map(|(job, _)| job.as_str());
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
    match place.known(into, now) {
        Ok((earlier, warnings)) => {
            records.merge(earlier);
            notes.extend(warnings);
        }
        Err(error) => notes.push(format!("earlier records are left out: {}", printable(&format!("{error:#}")))),
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
