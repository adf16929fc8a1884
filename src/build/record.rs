//! What happened in a job: the record of its run, which `nixdag report` reads back.
//!
//! In: what each stage puts down. Out: a [`Record`], which [`super::results`] writes into files.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use super::class::Class;
use super::closure_record::ClosureRecord;
use super::command_end::CommandEnd;
use crate::byte_size;
use crate::duration::{now, seconds};
use crate::handoff::partial_cache::Written;
use crate::history::jobs::Measured;
use crate::history::used::Used;
use crate::plan::failures::Failure;
use crate::plural::counted;
use crate::regular_file;

/// Version of `report.json`.
pub const VERSION: u64 = 1;

/// Name of the record's file.
pub const REPORT: &str = "report.json";

/// Is there where what is left for later runs holds signatures that the CI's cache does not have yet.
pub const TO_SAVE: &str = "to-save";

/// Longest record that is read, in bytes.
const MAX_SIZE: u64 = 1 << 30;

/// One job's run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// [`VERSION`].
    pub version: u64,
    /// The job's id.
    pub job: String,
    /// The job's name.
    pub name: String,
    /// The job's system.
    pub system: String,
    /// The size of its machine, where the provider has sizes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_class: Option<String>,
    /// The CI's number of the pipeline, where its records are in one place with those of others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pipeline: Option<String>,
    /// Version of Nix; empty where it was not found.
    pub nix: String,
    /// When the run began, in seconds since 1970.
    pub started: u64,
    /// How long the run took.
    #[serde(rename = "seconds", with = "seconds")]
    pub duration: u64,
    /// How it ended.
    pub verdict: Verdict,
    /// The signal that ended it, where one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancelled_by: Option<String>,
    /// Whether a later run of the job finds what this one has built.
    #[serde(default)]
    pub keeps_results: bool,
    /// How the command of a final job ended, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<CommandEnd>,
    /// Why it failed, beyond single derivations.
    pub errors: Vec<String>,
    /// Everything that the job owns or repeats, in build order, then what it built beyond that.
    pub derivations: Vec<DerivationRecord>,
    /// What failed before anything was built, in the record of the job that reports it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failures: Vec<Failure>,
    /// Errors of Nix's that were about no derivation, where all were built in the end.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub survived: Vec<String>,
    /// Targets of jobs that take from this one, where it has not succeeded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waiting: Vec<String>,
    /// Outputs that should have been there and were not.
    pub missing: Vec<Missing>,
    /// Files of hand-offs, and of earlier pipelines' results, that could not be used.
    pub damaged: Vec<String>,
    /// Store paths fetched from a substituter, hand-offs included.
    pub fetched: u64,
    /// What was handed off.
    pub handed_off: HandedOff,
    /// What was pushed, by destination.
    #[serde(default)]
    pub pushed: Vec<Pushed>,
    /// Runtime closures, in the record of the job that looks at their sizes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub closures: Vec<ClosureRecord>,
    /// What the job has measured of itself and its machine.
    #[serde(default)]
    pub measured: Measured,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Everything that the job owns exists.
    Success,
    /// Something does not, or it is not known.
    Failure,
    /// A signal ended it before all was done.
    Cancelled,
}

/// What became of one derivation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DerivationRecord {
    /// Its path.
    pub derivation: String,
    /// Its name.
    pub name: String,
    /// The system it is built on.
    pub system: String,
    /// What the plan says about it and this job.
    pub role: Role,
    /// What became of it.
    pub outcome: Outcome,
    /// How long it was built or fetched; null where neither happened.
    #[serde(rename = "seconds", with = "seconds::optional")]
    pub duration: Option<u64>,
    /// The cache that it was fetched from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fetched_from: Option<String>,
    /// What building it used.
    #[serde(flatten)]
    pub used: Used,
    /// Nix's message where it failed.
    pub message: Option<String>,
    /// The last lines that its builder printed, where it failed.
    pub log: Option<String>,
    /// Why it failed; where it was not begun for that, why what it needs failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<Class>,
    /// Why it was tried again, each time that it was.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub retried: Vec<Class>,
    /// What was built in its place, where it failed and the output is there all the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instead: Option<Instead>,
    /// Where it is not good: who it is for people.
    #[serde(flatten)]
    pub names: Names,
}

/// Another derivation with the same output.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instead {
    /// Its path.
    pub derivation: String,
    /// Why the one that it was built for failed.
    pub failure: String,
}

/// What a derivation is called where it has failed, and what to do next.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Names {
    /// The attributes that it is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attributes: Vec<String>,
    /// Some of the attributes that need it, where it is none itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needed_by: Vec<String>,
    /// The command that shows its failure on another machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reproduce: Option<String>,
    /// Its builder's whole log, in the results folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_file: Option<String>,
}

/// What the plan says about a derivation and the job that reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// This job builds it and no other.
    Owned,
    /// Built here and elsewhere on purpose.
    CoLocated,
    /// Not to be built here.
    Other,
}

/// What became of a derivation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It was built here.
    Built,
    /// Its outputs were fetched.
    Substituted,
    /// Its outputs were in the store from the beginning.
    Present,
    /// Its own build failed.
    Failed,
    /// It was not built since something below it failed.
    DependencyFailed,
    /// It was not built for another reason.
    NotBuilt,
}

impl Outcome {
    /// True where the outputs exist.
    pub fn is_good(self) -> bool {
        matches!(self, Outcome::Built | Outcome::Substituted | Outcome::Present)
    }
}

/// An output that the job needed and did not find.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missing {
    /// The store path.
    pub path: String,
    /// The derivation that it comes from, where it is known.
    pub derivation: Option<String>,
    /// The job that should have delivered it; null where a substituter should have.
    pub job: Option<String>,
    /// True where a substituter has it, and no key that counts has signed it.
    #[serde(default)]
    pub unsigned: bool,
    /// True where it was built here instead.
    pub built: bool,
}

/// What a job handed off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HandedOff {
    /// Store paths.
    pub paths: u64,
    /// Of these, paths that an earlier run of the same job had left.
    pub kept: u64,
    /// Paths that this run has signed: what there is to save for later pipelines.
    #[serde(default)]
    pub signed: u64,
    /// Bytes, not compressed.
    pub nar_bytes: u64,
    /// Bytes, compressed.
    pub file_bytes: u64,
}

/// What became of one destination.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pushed {
    /// The destination.
    pub to: String,
    /// Store paths that it has got; what they refer to is not counted.
    pub paths: u64,
    /// What was missing, so that nothing was pushed.
    pub skipped: Option<String>,
    /// Why it was given up.
    pub error: Option<String>,
}

impl Pushed {
    /// Nothing yet.
    pub fn to(to: String) -> Self {
        Self { to, ..Self::default() }
    }

    /// One line for people.
    pub fn text(&self) -> String {
        match (&self.skipped, &self.error) {
            (Some(lacks), _) => format!("nothing is pushed to `{}`: {lacks}", self.to),
            (None, Some(error)) => format!("cannot push to `{}`: {error}", self.to),
            (None, None) => format!("{} pushed to `{}`", counted(self.paths, "path"), self.to),
        }
    }
}

impl HandedOff {
    /// How large that is, in parentheses; nothing where nothing was handed off.
    pub fn sizes(self) -> String {
        match self.paths {
            0 => String::new(),
            _ => format!(" ({}, {} compressed)", byte_size::text(self.nar_bytes), byte_size::text(self.file_bytes)),
        }
    }

    /// Both together.
    pub fn and(self, other: Self) -> Self {
        Self {
            paths: self.paths + other.paths,
            kept: self.kept + other.kept,
            signed: self.signed + other.signed,
            nar_bytes: self.nar_bytes + other.nar_bytes,
            file_bytes: self.file_bytes + other.file_bytes,
        }
    }
}

impl From<Written> for HandedOff {
    fn from(written: Written) -> Self {
        HandedOff {
            paths: written.paths,
            kept: written.kept,
            signed: written.signed,
            nar_bytes: written.nar_bytes,
            file_bytes: written.file_bytes,
        }
    }
}

impl Record {
    /// The record of a job that begins now and has done nothing yet.
    pub fn begin(job: &str, name: &str, system: &str) -> Self {
        Self {
            version: VERSION,
            job: job.to_owned(),
            name: name.to_owned(),
            system: system.to_owned(),
            resource_class: None,
            pipeline: None,
            nix: String::new(),
            started: now(),
            duration: 0,
            verdict: Verdict::Success,
            cancelled_by: None,
            keeps_results: false,
            command: None,
            errors: Vec::new(),
            derivations: Vec::new(),
            failures: Vec::new(),
            survived: Vec::new(),
            waiting: Vec::new(),
            missing: Vec::new(),
            damaged: Vec::new(),
            fetched: 0,
            handed_off: HandedOff::default(),
            pushed: Vec::new(),
            closures: Vec::new(),
            measured: Measured::default(),
        }
    }

    /// The verdict on what is in the record so far.
    pub fn judge(&self) -> Verdict {
        let is_good = self.errors.is_empty()
            && self.failures.is_empty()
            && self.derivations.iter().all(|drv| drv.outcome.is_good());
        if is_good { Verdict::Success } else { Verdict::Failure }
    }

    /// Reads a record back.
    pub fn read(path: &Path) -> Result<Record> {
        use std::io::Read;
        let mut text = Vec::new();
        regular_file::open(path)
            .and_then(|file| file.take(MAX_SIZE).read_to_end(&mut text))
            .with_context(|| format!("cannot read `{}`", path.display()))?;
        Self::parse(&text, &path.display().to_string())
    }

    /// Reads the text of a record; `name` is what messages call it.
    pub fn parse(text: &[u8], name: &str) -> Result<Record> {
        #[derive(Deserialize)]
        struct VersionOnly {
            version: u64,
        }
        let what = || format!("`{name}` is not a record of a job (expected `{REPORT}` of `nixdag build`)");
        let VersionOnly { version } = serde_json::from_slice(text).with_context(what)?;
        ensure!(version == VERSION, "`{name}` has version {version}, this nixdag reads version {VERSION}");
        let record: Record = serde_json::from_slice(text).with_context(what)?;
        ensure!(record.is_plausible(), "`{name}` has more entries, or a later date, than a job leaves");
        Ok(record)
    }
}

impl Missing {
    /// One line for people.
    pub fn text(&self) -> String {
        let from = match &self.job {
            Some(job) => format!("job `{job}` should have handed it off"),
            None => "no substituter has it".to_owned(),
        };
        let why = if self.unsigned {
            "; a substituter has it, without a signature by a key that counts (see `--signing-public-key` and `trusted-public-keys`)"
        } else {
            ""
        };
        let then = if self.built { "; built here instead" } else { "" };
        format!("`{}` is missing: {from}{why}{then}", self.path)
    }
}
