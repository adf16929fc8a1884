//! All jobs of a pipeline in one report: how long it took, what was built where, and above all what was built twice.
//!
//! In: the records of the jobs. Out: a [`Report`], as text or JSON.

use std::collections::BTreeMap;
use std::io::{self, Write};

use serde::Serialize;

use super::builder_log::last_lines;
use super::closure_record::ClosureRecord;
use super::record::{Missing, Outcome, Record, Role, Verdict};
use crate::duration::in_words;
use crate::duration::seconds;
use crate::plural::counted;
use crate::printable::printable;

/// How many of the slowest derivations are listed.
const SLOWEST: usize = 10;

/// JSON schema of a report.
pub const SCHEMA: &str = include_str!("report.schema.json");

/// A pipeline.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// Number of jobs.
    pub jobs: u64,
    /// From the first job's start to the last one's end.
    #[serde(rename = "wall_seconds", with = "seconds")]
    pub wall: u64,
    /// Sum of all jobs' durations.
    #[serde(rename = "job_seconds", with = "seconds")]
    pub job_time: u64,
    /// Derivation builds, repeats included.
    pub built: u64,
    /// Derivations whose outputs were fetched.
    pub substituted: u64,
    /// Derivations that were in a job's store from the beginning.
    pub present: u64,
    /// Derivations built in more than one job, or by a job that should not have, other than co-located ones.
    pub built_twice: Vec<Repeated>,
    /// Derivations built in more than one job on purpose.
    pub co_located: Vec<Repeated>,
    /// The slowest builds, slowest first.
    pub slowest: Vec<Slow>,
    /// What failed.
    pub failures: Vec<JobFailure>,
    /// Jobs that a signal ended, by id.
    pub cancelled: Vec<String>,
    /// What was not handed off as it should have been.
    pub missing: Vec<MissingIn>,
    /// Hand-offs that could not be used.
    pub damaged: Vec<String>,
    /// Runtime closures beside those at the base, as far as a job has looked at them; by target.
    pub closures: Vec<ClosureRecord>,
}

/// A derivation built more than once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Repeated {
    /// Its path.
    pub derivation: String,
    /// The jobs, by id.
    pub jobs: Vec<String>,
}

/// A build.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Slow {
    /// The derivation's path.
    pub derivation: String,
    /// The job.
    pub job: String,
    /// How long it took.
    #[serde(rename = "seconds", with = "seconds")]
    pub duration: u64,
}

/// Something that failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct JobFailure {
    /// The job.
    pub job: String,
    /// The derivation; null where the job itself failed, or nothing was built for an attribute.
    pub derivation: Option<String>,
    /// The attributes, as far as they are known.
    pub attributes: Vec<String>,
    /// Why it failed, as a class: that of a build, `evaluation` or `no-executor`; null for what did not fail by itself.
    pub class: Option<String>,
    /// Why.
    pub message: String,
    /// What helps; null where that is not known.
    pub next: Option<String>,
    /// The command that shows it on another machine; null where there is none.
    pub reproduce: Option<String>,
    /// The last lines that its builder printed; null where there are none.
    pub log: Option<String>,
}

/// An output that a job needed and did not find.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MissingIn {
    /// The job that needed it.
    pub needed_by: String,
    /// The output.
    #[serde(flatten)]
    pub missing: Missing,
}

impl Report {
    /// Puts records together. Of a job that ran twice only the later run counts.
    pub fn new(records: Vec<Record>) -> Report {
        let mut latest: BTreeMap<String, Record> = BTreeMap::new();
        for record in records {
            match latest.get(&record.job) {
                Some(other) if other.started >= record.started => {}
                _ => {
                    latest.insert(record.job.clone(), record);
                }
            }
        }
        let records: Vec<&Record> = latest.values().collect();
        let derivations = || records.iter().flat_map(|record| record.derivations.iter().map(move |drv| (*record, drv)));
        let count = |outcome| derivations().filter(|(_, drv)| drv.outcome == outcome).count() as u64;

        let mut builders: BTreeMap<&str, Vec<(&str, Role)>> = BTreeMap::new();
        for (record, drv) in derivations().filter(|(_, drv)| drv.outcome == Outcome::Built) {
            builders.entry(&drv.derivation).or_default().push((&record.job, drv.role));
        }
        let repeated = |on_purpose: bool| -> Vec<Repeated> {
            builders
                .iter()
                .filter(|(_, jobs)| {
                    jobs.len() > 1 && jobs.iter().all(|(_, role)| *role == Role::CoLocated) == on_purpose
                })
                .map(|(drv, jobs)| Repeated {
                    derivation: (*drv).to_owned(),
                    jobs: jobs.iter().map(|(job, _)| (*job).to_owned()).collect(),
                })
                .collect()
        };
        let mut slowest: Vec<Slow> = derivations()
            .filter(|(_, drv)| drv.outcome == Outcome::Built)
            .map(|(record, drv)| Slow {
                derivation: drv.derivation.clone(),
                job: record.job.clone(),
                duration: drv.duration.unwrap_or(0),
            })
            .collect();
        slowest.sort_by(|a, b| b.duration.cmp(&a.duration).then_with(|| a.derivation.cmp(&b.derivation)));
        slowest.truncate(SLOWEST);
        let cancelled = || records.iter().filter(|record| record.verdict == Verdict::Cancelled);
        let mut failures = Vec::new();
        for record in &records {
            // What a signal ended is no failure of its own.
            let errors = record.errors.iter().filter(|_| record.verdict != Verdict::Cancelled);
            failures.extend(errors.map(|error| JobFailure {
                job: record.job.clone(),
                derivation: None,
                attributes: Vec::new(),
                class: None,
                message: error.clone(),
                next: None,
                reproduce: None,
                log: None,
            }));
            failures.extend(record.failures.iter().map(|failure| JobFailure {
                job: record.job.clone(),
                derivation: None,
                attributes: vec![failure.target.to_string()],
                class: Some(failure.cause.name().to_owned()),
                message: format!("{}{}", failure.message, failure.remark()),
                next: None,
                reproduce: None,
                log: None,
            }));
            let is_cancelled = record.verdict == Verdict::Cancelled;
            let failed = record
                .derivations
                .iter()
                .filter(|drv| !(drv.outcome.is_good() || is_cancelled && drv.outcome == Outcome::NotBuilt));
            failures.extend(failed.map(|drv| JobFailure {
                next: drv.class.filter(|_| drv.outcome == Outcome::Failed).map(|class| class.next().to_owned()),
                reproduce: drv.names.reproduce.clone().filter(|_| drv.outcome == Outcome::Failed),
                job: record.job.clone(),
                derivation: Some(drv.derivation.clone()),
                attributes: drv.names.attributes.clone(),
                class: drv.class.filter(|_| drv.outcome == Outcome::Failed).map(|class| class.name().to_owned()),
                message: drv.message.clone().unwrap_or_else(|| "not built".to_owned()),
                log: drv.log.as_deref().filter(|log| !log.is_empty()).map(last_lines),
            }));
        }
        let start = records.iter().map(|record| record.started.saturating_mul(1000)).min().unwrap_or(0);
        let end = records
            .iter()
            .map(|record| record.started.saturating_mul(1000).saturating_add(record.duration))
            .max()
            .unwrap_or(0);
        Report {
            jobs: records.len() as u64,
            wall: end - start,
            job_time: records.iter().fold(0, |sum, record| sum.saturating_add(record.duration)),
            built: count(Outcome::Built),
            substituted: count(Outcome::Substituted),
            present: count(Outcome::Present),
            built_twice: repeated(false),
            co_located: repeated(true),
            slowest,
            failures,
            cancelled: cancelled().map(|record| record.job.clone()).collect(),
            missing: records
                .iter()
                .flat_map(|record| {
                    let job = record.job.clone();
                    record
                        .missing
                        .iter()
                        .map(move |missing| MissingIn { needed_by: job.clone(), missing: missing.clone() })
                })
                .collect(),
            damaged: records.iter().flat_map(|record| record.damaged.iter().cloned()).collect(),
            closures: records.iter().flat_map(|record| record.closures.iter().cloned()).collect(),
        }
    }

    /// Failure where anything failed, else cancelled where a job was.
    pub fn verdict(&self) -> Verdict {
        match (&self.failures[..], &self.cancelled[..]) {
            ([], []) => Verdict::Success,
            ([], _) => Verdict::Cancelled,
            _ => Verdict::Failure,
        }
    }

    /// Prints the report for people. Records come from elsewhere: nothing in them steers a terminal.
    pub fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut text = Vec::new();
        self.render(&mut text)?;
        String::from_utf8_lossy(&text).lines().try_for_each(|line| writeln!(out, "{}", printable(line)))
    }

    fn render(&self, out: &mut Vec<u8>) -> io::Result<()> {
        writeln!(
            out,
            "{} in {} ({} of job time)",
            counted(self.jobs, "job"),
            in_words(self.wall),
            in_words(self.job_time)
        )?;
        let built = counted(self.built, "derivation");
        writeln!(out, "{built} built, {} fetched, {} present", self.substituted, self.present)?;
        writeln!(out, "{} built in more than one job", self.built_twice.len())?;
        for repeated in &self.built_twice {
            writeln!(out, "  {} in {}", repeated.derivation, repeated.jobs.join(", "))?;
        }
        if !self.co_located.is_empty() {
            writeln!(out, "{} co-located, built in several jobs on purpose", self.co_located.len())?;
        }
        if !self.slowest.is_empty() {
            writeln!(out, "slowest:")?;
            for slow in &self.slowest {
                writeln!(out, "  {:>10}  {}  ({})", in_words(slow.duration), slow.derivation, slow.job)?;
            }
        }
        for missing in &self.missing {
            writeln!(out, "job `{}`: {}", missing.needed_by, missing.missing.text())?;
        }
        for damaged in &self.damaged {
            writeln!(out, "{damaged}")?;
        }
        if !self.cancelled.is_empty() {
            writeln!(out, "cancelled: {}", self.cancelled.join(", "))?;
        }
        if !self.failures.is_empty() {
            writeln!(out, "failures:")?;
            for failure in &self.failures {
                let what = match (&failure.attributes[..], &failure.derivation) {
                    ([], None) => "the job itself".to_owned(),
                    ([], Some(drv)) => drv.clone(),
                    (attributes, None) => attributes.join(", "),
                    (attributes, Some(drv)) => format!("{} ({drv})", attributes.join(", ")),
                };
                let class = failure.class.as_ref().map(|class| format!(" [{class}]")).unwrap_or_default();
                writeln!(out, "  {}: {what}{class}: {}", failure.job, failure.message.replace('\n', "\n    "))?;
                if let Some(log) = &failure.log {
                    writeln!(out, "    end of its log:\n      {}", log.replace('\n', "\n      "))?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::record::{DerivationRecord, HandedOff, Names, VERSION};

    fn record(job: &str, started: u64, derivations: &[(&str, Role, Outcome, u64)]) -> Record {
        Record {
            version: VERSION,
            job: job.into(),
            name: job.into(),
            system: "x86_64-linux".into(),
            pipeline: None,
            nix: "2.8.0".into(),
            started,
            duration: 10_000,
            verdict: Verdict::Success,
            cancelled_by: None,
            keeps_results: false,
            command: None,
            errors: Vec::new(),
            derivations: derivations
                .iter()
                .map(|&(name, role, outcome, seconds)| DerivationRecord {
                    derivation: format!("/nix/store/{name}.drv"),
                    name: name.into(),
                    system: "x86_64-linux".into(),
                    role,
                    outcome,
                    duration: Some(seconds * 1000),
                    fetched_from: None,
                    used: crate::history::used::Used::default(),
                    message: None,
                    log: None,
                    class: None,
                    retried: Vec::new(),
                    instead: None,
                    names: Names::default(),
                })
                .collect(),
            failures: Vec::new(),
            survived: Vec::new(),
            waiting: Vec::new(),
            missing: Vec::new(),
            damaged: Vec::new(),
            fetched: 0,
            handed_off: HandedOff::default(),
            pushed: Vec::new(),
            closures: Vec::new(),
            measured: crate::history::jobs::Measured::default(),
            resource_class: None,
        }
    }

    #[test]
    fn the_text_has_the_end_of_the_log_of_what_failed() {
        let mut record = record("a", 0, &[("x", Role::Owned, Outcome::Failed, 1)]);
        record.derivations[0].message = Some("builder failed".to_owned());
        record.derivations[0].log = Some((1..=20).map(|line| format!("line {line}\n")).collect());
        let mut text = Vec::new();
        Report::new(vec![record]).print(&mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        let end = "  a: /nix/store/x.drv: builder failed\n    end of its log:\n      line 6\n      line 7\n";
        assert!(text.contains(end) && text.ends_with("\n      line 20\n"), "{text}");
    }

    #[test]
    fn only_what_was_not_meant_to_repeat_counts_as_built_twice() {
        use Outcome::{Built, Substituted};
        use Role::{CoLocated, Other, Owned};
        let report = Report::new(vec![
            record("a", 100, &[("x", Owned, Built, 5), ("src", CoLocated, Built, 1), ("y", Owned, Built, 2)]),
            record("b", 112, &[("z", Owned, Substituted, 1), ("src", CoLocated, Built, 1), ("x", Other, Built, 7)]),
        ]);
        assert_eq!((report.jobs, report.wall, report.job_time), (2, 22_000, 20_000));
        assert_eq!((report.built, report.substituted), (5, 1));
        assert_eq!(
            report.built_twice,
            [Repeated { derivation: "/nix/store/x.drv".into(), jobs: vec!["a".into(), "b".into()] }]
        );
        assert_eq!(report.co_located.len(), 1);
        assert_eq!((report.slowest[0].job.as_str(), report.slowest[0].duration), ("b", 7_000));
    }

    #[test]
    fn a_rerun_replaces_the_run_before() {
        let first = record("a", 100, &[("x", Role::Owned, Outcome::Failed, 5)]);
        let second = record("a", 200, &[("x", Role::Owned, Outcome::Built, 5)]);
        for records in [vec![first.clone(), second.clone()], vec![second.clone(), first.clone()]] {
            let report = Report::new(records);
            assert_eq!((report.jobs, report.failures.len()), (1, 0));
        }
        assert_eq!(Report::new(vec![first]).verdict(), Verdict::Failure);
    }
}
