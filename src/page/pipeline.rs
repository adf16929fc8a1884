//! A pipeline as the page shows it: each job's prediction beside what its runs have measured. What is not known is none.
//!
//! In: what [`gather`](super::gather) puts together. Out: figures of jobs and of all together, each of them optional.

use std::ops::Range;

use crate::build::closure_record::ClosureRecord;
use crate::build::record::Outcome;
use crate::plan::Plan;
use crate::plan::estimate::EstimateKind;

/// Number of phases of a job.
pub const PHASES: usize = 4;

/// The phases, in order.
pub const PHASE_NAMES: [&str; PHASES] = ["start-up", "restore", "build", "hand-off"];

/// Index of a job in [`Pipeline::jobs`].
pub type JobNumber = u32;

/// Jobs, their derivations, and what failed.
#[derive(Debug, Default)]
pub struct Pipeline<'a> {
    /// The plan; none where only records are known.
    pub plan: Option<&'a Plan>,
    /// True where jobs have left records.
    pub has_run: bool,
    /// When the first job's machine began, milliseconds since 1970; none where none has.
    pub origin: Option<u64>,
    /// The plan's jobs, its final jobs, then jobs that only records know.
    pub jobs: Vec<Job>,
    /// Everything that jobs build, by job.
    pub derivations: Vec<Derivation>,
    /// The chain of jobs that the last one's end depended on, or depends on; first to last.
    pub critical: Vec<JobNumber>,
    /// What failed, by job.
    pub failures: Vec<Failure>,
    /// Runtime closures beside those at the base, as far as a job has looked at them.
    pub closures: Vec<ClosureRecord>,
    /// Targets whose outputs do not exist, though they were selected and evaluated.
    pub missing_targets: usize,
}

/// A job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The system of its machine.
    pub system: String,
    /// The size of its machine.
    pub resource_class: Option<String>,
    /// How it ended.
    pub state: State,
    /// Comes after others and is in no prediction.
    pub is_final: bool,
    /// Jobs that end before it starts, ascending.
    pub requires: Vec<JobNumber>,
    /// The prediction.
    pub predicted: Option<Span>,
    /// Its runs that have left a record, oldest first; the last one counts.
    pub runs: Vec<Run>,
    /// What it completes.
    pub targets: Vec<String>,
    /// Its derivations.
    pub derivations: Range<usize>,
}

/// How a job ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Nothing has run yet.
    Planned,
    /// All that it owns exists.
    Passed,
    /// A final job has restored what its command finds; no record says how the command ended.
    Begun,
    /// Something does not.
    Failed,
    /// A signal ended it.
    Cancelled,
    /// It left no record, and a job that it needs failed or was cancelled.
    Stopped,
    /// It left no record, for an unknown reason.
    Unknown,
    /// It runs a command of the user's and left no record, so nothing says whether it ran.
    Unrecorded,
}

impl State {
    /// For people.
    pub fn text(self) -> &'static str {
        match self {
            State::Planned => "planned",
            State::Passed => "passed",
            State::Begun => "begun: how its command ended is not recorded",
            State::Failed => "failed",
            State::Cancelled => "cancelled",
            State::Stopped => "not run: a job before it failed",
            State::Unknown => "unknown: it left no record",
            State::Unrecorded => "unknown: it runs a command of yours and left no record",
        }
    }
}

/// When a job ran or will run, milliseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// After the start of the pipeline.
    pub start: Option<u64>,
    /// Start-up, restore, build, hand-off.
    pub phases: [Option<u64>; PHASES],
    /// From start to end, with what belongs to no phase.
    pub total: u64,
}

impl Span {
    /// After the start of the pipeline.
    pub fn end(&self) -> Option<u64> {
        self.start.map(|start| start.saturating_add(self.total))
    }

    /// What belongs to no phase that is known.
    pub fn rest(&self) -> u64 {
        self.total.saturating_sub(self.phases.iter().flatten().sum())
    }
}

/// One run of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// When.
    pub span: Span,
    /// From the end of the jobs before it to its start: for a machine; none where these ends are not known.
    pub waited: Option<u64>,
    /// How it ended.
    pub state: State,
    /// It ran a command of the user's, and how that ended is in `state`.
    pub has_ended: bool,
}

impl Job {
    /// The run that counts.
    pub fn run(&self) -> Option<&Run> {
        self.runs.last()
    }

    /// When it ran, else when it is predicted to.
    pub fn span(&self) -> Option<&Span> {
        self.run().map(|run| &run.span).or(self.predicted.as_ref())
    }
}

/// A derivation in a job.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Derivation {
    /// Its path.
    pub path: String,
    /// The job.
    pub job: JobNumber,
    /// Built in several jobs on purpose.
    pub co_located: bool,
    /// Built in more than one job, not on purpose.
    pub repeated: bool,
    /// Predicted, milliseconds.
    pub estimate: Option<u64>,
    /// How that is known.
    pub kind: Option<EstimateKind>,
    /// What became of it; none where no record says.
    pub outcome: Option<Outcome>,
    /// Measured, milliseconds.
    pub duration: Option<u64>,
    /// Begun, milliseconds after the job's own start.
    pub begun: Option<u64>,
    /// Which of the builds side by side.
    pub slot: Option<u32>,
    /// Of its outputs.
    pub nar_bytes: Option<u64>,
    /// How many times it was tried again.
    pub retried: u32,
}

impl Derivation {
    /// Its name, without hash and `.drv`.
    pub fn name(&self) -> &str {
        let base = self.path.rsplit('/').next().unwrap_or(&self.path);
        let name = base.split_once('-').map_or(base, |(_, name)| name);
        name.strip_suffix(".drv").unwrap_or(name)
    }
}

/// Something that failed by itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Failure {
    /// Its name.
    pub name: String,
    /// The job.
    pub job: JobNumber,
    /// The class, for people; none where the job itself failed.
    pub class: Option<String>,
    /// Milliseconds until it failed.
    pub duration: Option<u64>,
    /// Path of the derivation.
    pub derivation: Option<String>,
    /// The attributes that it is.
    pub attributes: Vec<String>,
    /// Why.
    pub message: String,
    /// The end of the builder's log.
    pub log: Option<String>,
    /// What helps.
    pub next: Option<String>,
    /// A command for the reader's own machine.
    pub reproduce: Option<String>,
    /// Jobs that did not run because of its job.
    pub stopped: Vec<JobNumber>,
    /// Their targets, and those of its job that do not exist.
    pub stopped_targets: Vec<String>,
}

/// How the whole ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing has run yet.
    Planned,
    /// Everything that was selected is accounted for.
    Passed,
    /// Something failed.
    Failed,
    /// Nothing failed; a job was cancelled.
    Cancelled,
    /// Nothing failed; a job left no record.
    Incomplete,
}

impl Pipeline<'_> {
    /// A job.
    pub fn job(&self, number: JobNumber) -> &Job {
        &self.jobs[number as usize]
    }

    /// Jobs of the plan of which nothing is recorded, although nothing before them failed, by name.
    pub fn unrecorded(&self) -> impl Iterator<Item = &str> {
        let jobs = self.jobs.iter().filter(|job| matches!(job.state, State::Unknown | State::Unrecorded));
        jobs.map(|job| job.name.as_str())
    }

    /// The verdict.
    pub fn verdict(&self) -> Verdict {
        let any = |state| self.jobs.iter().any(|job| job.state == state);
        if !self.failures.is_empty() || any(State::Failed) {
            Verdict::Failed
        } else if !self.has_run {
            Verdict::Planned
        } else if any(State::Cancelled) {
            Verdict::Cancelled
        } else if any(State::Unknown) || any(State::Unrecorded) {
            Verdict::Incomplete
        } else {
            Verdict::Passed
        }
    }

    /// From the first job's start to the last one's end as measured, milliseconds; none where nothing was.
    pub fn wall(&self) -> Option<u64> {
        self.jobs.iter().filter_map(|job| job.run()?.span.end()).max()
    }

    /// True where some runs do not know how long their machines took to start: measured times lack that, predicted ones have it.
    pub fn lacks_start_up(&self) -> bool {
        self.jobs.iter().flat_map(|job| &job.runs).any(|run| run.span.phases[0].is_none())
    }

    /// Time of all machines as measured, milliseconds, with runs that were repeated; none where nothing was measured.
    pub fn machine_time(&self) -> Option<u64> {
        let runs = || self.jobs.iter().flat_map(|job| &job.runs);
        runs().next()?;
        Some(runs().fold(0, |sum, run| sum.saturating_add(run.span.total)))
    }
}
