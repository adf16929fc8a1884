//! Why one target is built or not, in which job, and what made it another derivation than at the base.
//!
//! In: a plan, and as far as they are known the targets of head and base and the derivation graph. Out: an [`Explanation`], a plain
//! value that [`text`] writes for people and serde for programs.

pub mod attribute;
pub mod causes;
pub mod change;
pub mod closer;
pub mod definition;
pub mod pairing;
mod source_files;
pub mod text;
mod values;

use std::collections::BTreeSet;

use serde::Serialize;

use crate::affected::BaseEvaluation;
use crate::attribute::AttributePath;
use crate::graph::{DrvId, Graph};
use crate::nix::store_path;
use crate::plan::{Estimate, Job, JobIndex, Plan, SkipReason, Skipped};
use crate::target::Target;
use causes::Comparison;

/// Everything that there is to say about one target; keys in this order.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Explanation {
    /// The attribute.
    pub target: AttributePath,
    /// All attributes that are the same derivation, this one included.
    pub attributes: Vec<AttributePath>,
    /// Path of the derivation; none where it did not evaluate, or was not asked to.
    pub derivation: Option<String>,
    /// What happens to it.
    pub verdict: TargetVerdict,
    /// The job that builds it.
    pub job: Option<JobSummary>,
    /// Its failure does not make the pipeline red (`allow_failure`).
    pub may_fail: bool,
    /// Who decided what its job runs on; none where a plan was read from a file.
    pub decided_by: Option<String>,
    /// Of its closure, itself included; none where the derivations are not at hand.
    pub closure: Option<Closure>,
    /// What waits for its job.
    pub delays: Delays,
    /// The comparison with the base; none without one.
    pub change: Option<Difference>,
}

/// What happens to a target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum TargetVerdict {
    /// A job builds it, as its outputs are not available.
    Built,
    /// No job builds it for its own sake.
    Skipped {
        /// Why.
        reason: SkipReason,
        /// The cache that has it, where that is known.
        #[serde(rename = "where")]
        place: Option<String>,
    },
    /// It does not evaluate.
    Fails {
        /// Nix's own words.
        message: String,
    },
    /// The settings ignore all files that changed, so nothing was evaluated.
    NotEvaluated,
}

/// The job of a target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct JobSummary {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The system that it builds for.
    pub system: String,
    /// Name of its executor.
    pub executor: Option<String>,
    /// Size of the machine.
    pub resource_class: Option<String>,
    /// Other targets that it completes.
    pub also_builds: Vec<AttributePath>,
    /// How many derivations it builds.
    pub derivations: usize,
    /// Names of the jobs right before it.
    pub after: Vec<String>,
    /// How long it is predicted to take.
    pub estimate: Estimate,
    /// It is on the longest chain of jobs.
    pub critical: bool,
    /// It is a final job.
    pub is_final: bool,
}

/// What a target is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Closure {
    /// Derivations.
    pub derivations: usize,
    /// Those that a job of the plan builds.
    pub built: usize,
}

impl Closure {
    /// Counts what the target is made of.
    pub fn of(graph: &Graph, target: DrvId, plan: &Plan) -> Self {
        let mut in_closure = vec![false; graph.len()];
        in_closure[target.at()] = true;
        // Inputs stand before their consumers.
        for id in graph.ids().rev().filter(|id| *id <= target) {
            if in_closure[id.at()] {
                graph.inputs(id).iter().for_each(|input| in_closure[input.drv.at()] = true);
            }
        }
        let mut built = vec![false; graph.len()];
        let paths = plan.all_jobs().flat_map(Job::builds);
        paths.filter_map(|path| graph.find(path)).for_each(|id| built[id.at()] = true);
        let built = in_closure.iter().zip(&built).filter(|(is_in, built)| **is_in && **built).count();
        Self { derivations: in_closure.iter().filter(|is_in| **is_in).count(), built }
    }
}

/// What waits for a target's job.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Delays {
    /// Targets that other jobs complete after it.
    pub targets: Vec<AttributePath>,
    /// Targets of its own job that need it; none where the derivations are not at hand.
    pub same_job: Option<Vec<AttributePath>>,
    /// Names of final jobs after it.
    pub final_jobs: Vec<String>,
}

/// A target beside the base.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Difference {
    /// The base has the same derivation.
    Same {
        /// The base's revision.
        base: Option<String>,
        /// Its attributes at the base, where the target's own is none of them.
        renamed_from: Vec<AttributePath>,
    },
    /// The base has no such attribute, and no such derivation.
    New {
        /// The base's revision.
        base: Option<String>,
    },
    /// The base has another derivation.
    Changed {
        /// The base's revision.
        base: Option<String>,
        /// Path of the derivation there.
        base_derivation: String,
        /// Its attribute there, where that is another one.
        renamed_from: Option<AttributePath>,
        /// Why it is another; none where the derivations are not at hand.
        why: Option<Comparison>,
    },
}

/// All targets of a plan, sorted: built, skipped, failed.
pub fn targets(plan: &Plan) -> BTreeSet<&AttributePath> {
    let built = plan.all_jobs().flat_map(|job| &job.targets);
    let skipped = plan.skipped.iter().map(|skipped| &skipped.target);
    built.chain(skipped).chain(plan.errors.iter().map(|error| &error.target)).collect()
}

/// Explains a target as far as the plan and the evaluations tell: `closure`, and why a derivation changed, are left to
/// whoever has the derivations.
pub fn explain(
    plan: &Plan,
    target: &AttributePath,
    evaluated: &[Target],
    base: Option<&BaseEvaluation>,
) -> Explanation {
    let skipped = plan.skipped.iter().find(|skipped| skipped.target == *target);
    let failed = plan.errors.iter().find(|error| error.target == *target);
    let in_job = || jobs(plan).find(|(_, job)| job.targets.contains(target));
    let derivation = derivation(plan, target, skipped, evaluated, in_job());
    // A target that is left out is built all the same where another one needs it.
    let owner = in_job().or_else(|| {
        let derivation = derivation.as_deref()?;
        let owns = |job: &Job| job.builds().any(|path| *path == *derivation);
        jobs(plan).find(|(_, job)| owns(job))
    });
    let verdict = match (failed, skipped) {
        (Some(error), _) => TargetVerdict::Fails { message: error.message.clone() },
        (None, Some(skipped)) => TargetVerdict::Skipped { reason: skipped.reason, place: skipped.place.clone() },
        (None, None) if owner.is_some() => TargetVerdict::Built,
        (None, None) => TargetVerdict::NotEvaluated,
    };
    let mut attributes: BTreeSet<AttributePath> = match &derivation {
        Some(derivation) => {
            let same = evaluated.iter().filter(|other| *other.drv_path == **derivation);
            same.map(|other| other.attribute.clone()).collect()
        }
        None => BTreeSet::new(),
    };
    attributes.insert(target.clone());
    Explanation {
        target: target.clone(),
        attributes: attributes.into_iter().collect(),
        verdict,
        job: owner.map(|(index, job)| summary(plan, target, index, job)),
        may_fail: owner.is_some_and(|(_, job)| job.options.allow_failure) || plan.may_fail(target),
        decided_by: None,
        closure: None,
        delays: owner.map(|(index, _)| delays(plan, index)).unwrap_or_default(),
        change: base.and_then(|base| difference(target, derivation.as_deref()?, base, evaluated)),
        derivation,
    }
}

fn jobs(plan: &Plan) -> impl Iterator<Item = (JobIndex, &Job)> {
    (0..).map(JobIndex).zip(plan.all_jobs())
}

/// The derivation of a target; a job that completes one target alone builds it last.
fn derivation(
    plan: &Plan,
    target: &AttributePath,
    skipped: Option<&Skipped>,
    evaluated: &[Target],
    job: Option<(JobIndex, &Job)>,
) -> Option<String> {
    let known = evaluated.iter().find(|other| other.attribute == *target).map(|found| found.drv_path.to_string());
    let restored = || {
        let mut all = plan.final_jobs.iter().flat_map(|job| &job.restore);
        all.find(|restored| restored.target == *target).map(|restored| restored.derivation.to_string())
    };
    let alone = || {
        let (_, job) = job.filter(|(_, job)| job.targets.len() == 1)?;
        job.derivations.last().map(ToString::to_string)
    };
    known.or_else(|| Some(skipped?.derivation.as_ref()?.to_string())).or_else(restored).or_else(alone)
}

fn summary(plan: &Plan, target: &AttributePath, index: JobIndex, job: &Job) -> JobSummary {
    JobSummary {
        id: job.id.clone(),
        name: job.name.clone(),
        system: job.system.clone(),
        executor: job.executor.clone(),
        resource_class: job.resource_class.clone(),
        also_builds: job.targets.iter().filter(|other| *other != target).cloned().collect(),
        derivations: job.derivations.len() + job.co_located.len(),
        after: job.requires.iter().map(|&index| plan.job(index).name.clone()).collect(),
        estimate: job.estimate,
        critical: plan.critical_path().contains(&index),
        is_final: plan.final_job(index).is_some(),
    }
}

fn delays(plan: &Plan, job: JobIndex) -> Delays {
    let after = |other: &&Job| other.inputs.contains(&job);
    let targets: BTreeSet<&AttributePath> = plan.jobs.iter().filter(after).flat_map(|job| &job.targets).collect();
    let finals = plan.final_jobs.iter().map(|job| &job.job).filter(after);
    Delays {
        targets: targets.into_iter().cloned().collect(),
        same_job: None,
        final_jobs: finals.map(|job| job.name.clone()).collect(),
    }
}

/// Adds which targets of its own job need the target, which the plan does not tell; `graph` has the derivations of all `evaluated` ones.
pub fn add_same_job(explanation: &mut Explanation, evaluated: &[Target], graph: &Graph) {
    let (Some(job), Some(derivation)) = (&explanation.job, &explanation.derivation) else { return };
    let Some(target) = graph.find(derivation) else { return };
    let mut needs = vec![false; graph.len()];
    needs[target.at()] = true;
    // Inputs stand before their consumers.
    for id in graph.ids().filter(|id| *id > target) {
        needs[id.at()] = graph.inputs(id).iter().any(|input| needs[input.drv.at()]);
    }
    let others = job.also_builds.iter().filter(|attribute| {
        let other = evaluated.iter().find(|other| other.attribute == **attribute);
        let other = other.and_then(|other| graph.find(&other.drv_path));
        other.is_some_and(|other| other != target && needs[other.at()])
    });
    explanation.delays.same_job = Some(others.cloned().collect());
}

/// A target beside the base.
fn difference(
    target: &AttributePath,
    derivation: &str,
    base: &BaseEvaluation,
    evaluated: &[Target],
) -> Option<Difference> {
    let revision = base.revision.clone();
    let same: Vec<&Target> = base.targets.iter().filter(|other| *other.drv_path == *derivation).collect();
    if !same.is_empty() {
        let kept = same.iter().any(|other| other.attribute == *target);
        let renamed_from =
            if kept { Vec::new() } else { same.into_iter().map(|other| other.attribute.clone()).collect() };
        return Some(Difference::Same { base: revision, renamed_from });
    }
    let there = base.targets.iter().find(|other| other.attribute == *target);
    Some(match there.or_else(|| under_another_name(derivation, base, evaluated)) {
        Some(there) => Difference::Changed {
            base: revision,
            base_derivation: there.drv_path.to_string(),
            renamed_from: Some(there.attribute.clone()).filter(|attribute| attribute != target),
            why: None,
        },
        None => Difference::New { base: revision },
    })
}

/// The base's only derivation of that name, if its attribute is gone.
fn under_another_name<'a>(derivation: &str, base: &'a BaseEvaluation, evaluated: &[Target]) -> Option<&'a Target> {
    let name = |path: &str| path.rsplit('/').next().map(|base| store_path::name_of(base).to_owned());
    let is_gone = |other: &&Target| !evaluated.iter().any(|target| target.attribute == other.attribute);
    let mut same = base.targets.iter().filter(|other| name(&other.drv_path) == name(derivation)).filter(is_gone);
    let first = same.next()?;
    same.all(|other| other.drv_path == first.drv_path).then_some(first)
}
