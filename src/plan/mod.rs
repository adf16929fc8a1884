//! The plan: the intermediate representation between the derivation graph and everything that is made of it.
//!
//! Its JSON form is a contract: `nixdag plan --format json` writes it, every command reads it back with `--plan`, and so do
//! other programs. Planning itself is pure: no files, no network, no clock, no environment.

pub mod advice;
pub mod allowed_failure;
mod ancestors;
pub mod baseline;
mod budget;
mod capacity;
pub mod change;
pub mod complete;
pub mod delivery_job;
pub mod downloads;
pub mod estimate;
pub mod evaluation_errors;
pub mod expected;
pub mod failed_before;
pub mod failures;
pub mod final_job;
mod final_machines;
pub mod finals;
pub mod fitted;
mod flake_source;
pub mod idle_rules;
pub mod impure;
pub mod job;
pub mod job_graph;
mod job_list;
mod job_namer;
pub mod json;
mod keeping;
mod last_jobs;
mod likeness;
pub mod make;
pub mod model;
mod moved;
pub mod names;
pub mod needed;
pub mod nothing;
pub mod options;
pub mod partition;
pub mod placement;
pub mod placer;
pub mod planned_target;
mod planned_workers;
mod planner;
pub mod planning_cost;
pub mod predicted;
pub mod prices;
pub mod problem;
pub mod report_cost;
pub mod restored;
pub mod rules;
pub mod simulate;
pub mod sizes;
mod skipped;
pub mod worker_job;
pub mod worker_jobs;
pub mod worker_plan;
pub mod workers;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::attribute::AttributePath;
use crate::duration::seconds;
use crate::nix::binary_cache::Reliance;
use crate::nix::hash::Sha256;
use change::Change;
use downloads::Downloads;
pub use downloads::HandOffEstimate;
pub use estimate::{Estimate, EstimateSource};
pub use expected::Expected;
use final_job::FinalJob;
pub use flake_source::FlakeSource;
pub use job::{Job, JobIndex};
use model::ModelFigures;
pub use options::JobOptions;
pub use planned_target::PlannedTarget;
use prices::PriceEstimate;
use problem::Millis;
use report_cost::ReportEstimate;
use sizes::SizeCheck;
use worker_plan::WorkerPlan;

/// Jobs, their order, what was skipped and why, what failed to evaluate, the estimates.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// The CI system that it was made for, by name; none in a plan that does not say.
    pub provider: Option<String>,
    /// Where the targets come from; none for a recorded evaluation.
    pub flake: Option<FlakeSource>,
    /// The revision that the change was compared with.
    pub base: Option<Base>,
    /// What the change does; none without a base.
    pub change: Option<Change>,
    /// What is held against the limits for sizes, where there are some.
    pub sizes: Option<SizeCheck>,
    /// The store directory of all paths, without a slash at its end.
    pub store_dir: String,
    /// The caches that have what the plan does not build.
    pub caches: Reliance,
    /// How long the CI lets a job run, where it says so.
    pub job_limit: Option<Millis>,
    /// In topological order, then by id.
    pub jobs: Vec<Job>,
    /// Who builds the jobs, where workers do.
    pub workers: Option<WorkerPlan>,
    /// Derivations with the same outputs as another one, which is built for them; path to path.
    pub same_as: BTreeMap<Arc<str>, Arc<str>>,
    /// What evaluation itself has built of what jobs own or repeat, by derivation: the digest of the NAR of each output, by path. Jobs take it from
    /// the bundle.
    pub built_while_planning: BTreeMap<Arc<str>, BTreeMap<Arc<str>, Sha256>>,
    /// What builds are expected to need, by derivation, as far as something is recorded of them.
    pub expected: BTreeMap<Arc<str>, Expected>,
    /// What derivations are like, for the next plan to find their jobs, where names leave a choice: a number that neither paths nor versions change.
    pub likeness: BTreeMap<Arc<str>, u32>,
    /// What was selected and evaluated, whatever became of it; by attribute.
    pub targets: Vec<PlannedTarget>,
    /// Attributes that may fail to evaluate or lack an executor; by attribute.
    pub allow_failure: Vec<AttributePath>,
    /// What runs after other jobs, in the order of the settings.
    pub final_jobs: Vec<FinalJob>,
    /// Targets that no job builds; by attribute.
    pub skipped: Vec<Skipped>,
    /// Attributes that did not evaluate; by attribute.
    pub errors: Vec<EvaluationError>,
    /// What the plan is predicted to take, beside what simpler plans would.
    pub estimates: Estimates,
}

impl Plan {
    /// The chain of jobs that takes longest, from first to last: no number of machines makes the pipeline shorter.
    pub fn critical_path(&self) -> Vec<JobIndex> {
        let mut end: Vec<Millis> = Vec::with_capacity(self.jobs.len());
        let mut before: Vec<Option<JobIndex>> = Vec::with_capacity(self.jobs.len());
        for job in &self.jobs {
            let last =
                job.requires.iter().copied().max_by_key(|required| (end[required.at()], std::cmp::Reverse(*required)));
            end.push(last.map_or(0, |last| end[last.at()]) + job.estimate.duration);
            before.push(last);
        }
        let indices = (0..self.jobs.len() as u32).map(JobIndex);
        let mut at = indices.max_by_key(|job| (end[job.at()], std::cmp::Reverse(*job)));
        let mut path = Vec::new();
        while let Some(job) = at {
            path.push(job);
            at = before[job.at()];
        }
        path.reverse();
        path
    }

    /// True for an attribute that may fail.
    pub fn may_fail(&self, attribute: &AttributePath) -> bool {
        self.allow_failure.binary_search(attribute).is_ok()
    }

    /// Outputs of a job's derivations that evaluation has built, with the digests of their NARs.
    pub fn built_before<'a>(&'a self, job: &'a Job) -> impl Iterator<Item = (&'a str, Sha256)> {
        let built = job.builds().filter_map(|drv| self.built_while_planning.get(drv));
        built.flatten().map(|(path, digest)| (&**path, *digest))
    }

    /// A job or final job; the index has to come from this plan.
    pub fn job(&self, index: JobIndex) -> &Job {
        match index.at().checked_sub(self.jobs.len()) {
            Some(at) => &self.final_jobs[at].job,
            None => &self.jobs[index.at()],
        }
    }

    /// All jobs and then all final jobs.
    pub fn all_jobs(&self) -> impl Iterator<Item = &Job> + Clone {
        self.jobs.iter().chain(self.final_jobs.iter().map(|job| &job.job))
    }

    /// The final job at an index, where that is the index of one.
    pub fn final_job(&self, index: JobIndex) -> Option<&FinalJob> {
        self.final_jobs.get(index.at().checked_sub(self.jobs.len())?)
    }
}

/// What the change is compared with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Base {
    /// The commit; none for a recorded evaluation that nobody gave a name.
    pub revision: Option<String>,
    /// How many files differ from it, where the settings say of all of them that they make no difference: then nothing was
    /// evaluated, and there is nothing to build.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ignored_changes: Option<u64>,
}

/// A target that no job builds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skipped {
    /// The attribute.
    pub target: AttributePath,
    /// Path of its derivation; none where it was not evaluated.
    pub derivation: Option<Arc<str>>,
    /// Why.
    pub reason: SkipReason,
    /// The cache that has it; for [`SkipReason::NoExecutor`] a sentence that says why, for [`SkipReason::Excluded`] who says so; where that is known.
    #[serde(rename = "where")]
    pub place: Option<String>,
}

/// Why a target is not built.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SkipReason {
    /// All of its outputs exist already.
    Available,
    /// Its derivation is the same as at the base.
    Unaffected,
    /// `--exclude` names it.
    Excluded,
    /// No executor builds it, or something that it needs.
    NoExecutor,
}

/// An attribute that did not evaluate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EvaluationError {
    /// The attribute.
    pub target: AttributePath,
    /// Nix's own message.
    pub message: String,
    /// Whether the base has no such failure; none where that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new: Option<bool>,
}

/// The plan's figures beside those of simpler plans.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Estimates {
    /// Needed derivations.
    pub needed: u64,
    /// Derivation builds beyond that: `plan.builds - needed`.
    pub duplicates: u64,
    /// No plan can be faster: critical path, or work over all slots.
    #[serde(rename = "lower_bound_seconds", with = "seconds")]
    pub lower_bound: Millis,
    /// This plan.
    pub plan: Strategy,
    /// Where jobs come in waves: what the shortest plan without waves would take, each job starting as soon as it can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub free: Option<Strategy>,
    /// One job a target, each building its whole needed closure, in no order.
    pub flat: Strategy,
    /// One job a target, after the jobs of the targets below it, less what those have built.
    pub ordered: Strategy,
    /// One job a needed derivation.
    pub per_derivation: Strategy,
    /// One job a kind of machine; none in plans of programs that do not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub single: Option<Strategy>,
    /// Where the durations come from; none in plans of programs that do not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub durations: Option<Durations>,
    /// How many jobs are those of the last plan; none where there is none, or where keeping it would cost too much.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept: Option<KeptJobs>,
    /// What this plan's hand-offs come to; none in plans of programs that do not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handoff: Option<HandOffEstimate>,
    /// What jobs fetch from caches at least; none where no cache has said how large anything is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub downloads: Option<Downloads>,
    /// What the plan costs beside its machines; none where the user has said no prices for that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<PriceEstimate>,
    /// The job that puts together what the others record, which is in no other figure; none where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report: Option<ReportEstimate>,
    /// The assumptions that all of this rests on; none in plans of programs that do not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<ModelFigures>,
}

/// What a plan has of the last one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptJobs {
    /// Jobs of the plan that own what a job of the last plan owned, and nothing else.
    pub jobs: u64,
    /// Jobs of the last plan.
    pub of: u64,
}

/// How many of the needed derivations' durations come from where.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Durations {
    /// Measured in earlier pipelines.
    pub recorded: u64,
    /// By what the derivation says about itself (a fetch, `preferLocalBuild`, `big-parallel`).
    pub derivation: u64,
    /// The stated default.
    pub default: u64,
    /// When the last job began that was recorded, in seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub youngest: Option<u64>,
}

/// Predicted figures of one way to run everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Strategy {
    /// Number of jobs.
    pub jobs: u64,
    /// Derivation builds over all jobs, repeats included.
    pub builds: u64,
    /// Sum of all jobs' durations, start-ups included.
    #[serde(rename = "job_seconds", with = "seconds")]
    pub job_time: Millis,
    /// From the first job's start to the last one's end.
    #[serde(rename = "makespan_seconds", with = "seconds")]
    pub makespan: Millis,
    /// What the provider charges, rounded up to a whole credit a job.
    pub credits: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(seconds: Millis, requires: &[u32]) -> Job {
        let requires: Vec<JobIndex> = requires.iter().copied().map(JobIndex).collect();
        Job {
            id: String::new(),
            name: String::new(),
            system: String::new(),
            targets: Vec::new(),
            derivations: Vec::new(),
            co_located: Vec::new(),
            inputs: requires.clone(),
            requires,
            wave: None,
            executor: None,
            image: None,
            resource_class: None,
            options: JobOptions::default(),
            estimate: Estimate { duration: seconds * 1000, from: EstimateSource::Default },
            predicted: None,
        }
    }

    #[test]
    fn the_critical_path_is_the_longest_chain() {
        let jobs = vec![job(10, &[]), job(30, &[]), job(5, &[0, 1]), job(20, &[0])];
        let plan = Plan { jobs, ..Plan::default() };
        assert_eq!(plan.critical_path(), [1, 2].map(JobIndex));
        assert_eq!(Plan::default().critical_path(), []);
    }
}
