//! Puts final jobs behind a plan's other jobs. In: the plan of everything else, the graph, what is asked for. Out: the same plan
//! with its final jobs, and warnings. Pure, like all planning.
//!
//! A final job that builds owns what its attributes need and no other job builds. What two of them need belongs to the first, and
//! the second comes after it: nothing is built twice.

mod build;
mod run;
mod sizes;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use anyhow::{Context, Result, ensure};

use super::estimate::CostModel;
use super::final_job::{Attribute, FinalJob, FinalJobRequest, Task};
use super::final_machines::Machines;
use super::sizes::{SizeCheck, SizeLimits};
use super::{Estimate, EstimateSource, Job, JobIndex, JobOptions, Plan, SkipReason, Skipped, names};
use crate::attribute::AttributePath;
use crate::availability::Needed;
use crate::delivery::HandOffKind;
use crate::fleet::Fleet;
use crate::fleet::executor::Executor;
use crate::fleet::system::BUILTIN;
use crate::graph::{DrvId, Graph};
use crate::nearest::meant;
use crate::pattern::Pattern;
use crate::printable::printable;

/// How many targets a message lists.
const MOST_LISTED: usize = 8;

/// What final jobs are made of.
#[derive(Clone, Copy, Debug)]
pub struct FinalJobInputs<'a> {
    /// What is asked for.
    pub requests: &'a [FinalJobRequest],
    /// The graph of all targets, final ones included.
    pub graph: &'a Graph,
    /// The targets of the plan.
    pub targets: &'a [Attribute],
    /// What each request builds; see [`super::final_job::split`].
    pub built: &'a [Vec<Attribute>],
    /// What must be built for all targets, final ones included.
    pub needed: &'a Needed,
    /// The machines that there are.
    pub fleet: &'a Fleet,
    /// Assumptions about time.
    pub costs: &'a CostModel,
    /// How results travel.
    pub handoff: HandOffKind,
    /// Less was selected than the settings say: what a final job wants may not be there for that reason.
    pub is_part: bool,
}

/// Adds the final jobs. Gives warnings.
pub fn add(plan: &mut Plan, inputs: &FinalJobInputs) -> Result<Vec<String>> {
    if inputs.requests.is_empty() {
        return Ok(Vec::new());
    }
    let mut finals = Finals::new(plan, inputs);
    for (request, built) in inputs.requests.iter().zip(inputs.built) {
        let said = finals.warnings.len();
        let added = match &request.task {
            Task::Build(patterns) => finals.build(request, patterns, built),
            Task::Run { .. } => finals.run(request),
            Task::Sizes(_) => finals.sizes(request),
        };
        let Some(place) = &request.place else {
            added?;
            continue;
        };
        added.with_context(|| place.clone())?;
        // Warnings about limits have the places of their own entries.
        if !matches!(request.task, Task::Sizes(_)) {
            for warning in &mut finals.warnings[said..] {
                *warning = format!("{place}: {warning}");
            }
        }
    }
    let Finals { mut jobs, skipped, warnings, size_check, .. } = finals;
    let names: Vec<&str> = jobs.iter().map(|job| job.job.name.as_str()).collect();
    let taken = plan.jobs.iter().map(|job| (job.id.as_str(), job.name.as_str()));
    let assigned = names::assign_beside(&names, inputs.fleet.reserved_names, taken);
    for (job, name) in jobs.iter_mut().zip(assigned) {
        (job.job.name, job.job.id) = (name.name, name.id);
    }
    plan.sizes = size_check.map(|(at, limits)| SizeCheck::new(jobs[at].job.id.clone(), limits));
    plan.final_jobs = jobs;
    plan.skipped.extend(skipped);
    plan.skipped.sort_by(|a, b| a.target.cmp(&b.target));
    Ok(warnings)
}

struct Finals<'a> {
    plan: &'a Plan,
    inputs: &'a FinalJobInputs<'a>,
    machines: Machines<'a>,
    /// The job that builds a derivation and no other does.
    owner: HashMap<DrvId, JobIndex>,
    co_located: HashSet<DrvId>,
    /// Everything that patterns may mean so far: targets, and attributes of the final jobs before.
    known: Vec<(&'a AttributePath, DrvId)>,
    jobs: Vec<FinalJob>,
    skipped: Vec<Skipped>,
    warnings: Vec<String>,
    /// Which of the jobs holds sizes against their limits.
    size_check: Option<(usize, &'a SizeLimits)>,
}

/// Targets that come before a final job, and the jobs that build them.
type Before<'a> = (Vec<(&'a AttributePath, DrvId)>, BTreeSet<JobIndex>);

impl<'a> Finals<'a> {
    fn new(plan: &'a Plan, inputs: &'a FinalJobInputs<'a>) -> Self {
        let find = |path: &Arc<str>| inputs.graph.find(path);
        let owned = plan.jobs.iter().enumerate().flat_map(|(at, job)| {
            job.derivations.iter().filter_map(move |path| Some((find(path)?, JobIndex(at as u32))))
        });
        let systems = |attributes: &'a [Attribute]| {
            attributes.iter().map(|(_, id)| &*inputs.graph.node(*id).system).collect::<Vec<_>>()
        };
        let targets = inputs.built.iter().map(Vec::as_slice).chain([inputs.targets]).flat_map(systems).collect();
        let jobs = plan.jobs.iter().map(|job| job.system.as_str()).collect();
        Self {
            plan,
            inputs,
            machines: Machines::new(&inputs.fleet.executors, [jobs, targets]),
            owner: owned.collect(),
            co_located: plan.jobs.iter().flat_map(|job| &job.co_located).filter_map(find).collect(),
            known: inputs.targets.iter().map(|(attribute, id)| (attribute, *id)).collect(),
            jobs: Vec::new(),
            skipped: Vec::new(),
            warnings: Vec::new(),
            size_check: None,
        }
    }

    fn job(&self, index: JobIndex) -> &Job {
        match self.jobs.get(index.at().wrapping_sub(self.plan.jobs.len())) {
            Some(job) => &job.job,
            None => &self.plan.jobs[index.at()],
        }
    }

    /// Where a derivation is built.
    fn system_of(&self, id: DrvId) -> &'a str {
        match &*self.inputs.graph.node(id).system {
            BUILTIN => self.machines.main(),
            system => system,
        }
    }

    /// The attributes that a pattern means.
    fn meant(&self, pattern: &Pattern) -> Vec<(&'a AttributePath, DrvId)> {
        self.known.iter().filter(|(attribute, _)| pattern.matches_at_or_above(attribute.names())).copied().collect()
    }

    /// ` (did you mean …?)`, else the first of the targets that there are.
    fn hint(&self, pattern: &Pattern) -> String {
        let names: Vec<String> = self.known.iter().map(|(attribute, _)| attribute.to_string()).collect();
        let meant = meant(&pattern.to_string(), names.iter().map(String::as_str));
        if !meant.is_empty() || names.is_empty() {
            return meant;
        }
        let mut shown: Vec<String> =
            names.iter().take(MOST_LISTED).map(|name| format!("`{}`", printable(name))).collect();
        if names.len() > MOST_LISTED {
            shown.push(format!("{} more", names.len() - MOST_LISTED));
        }
        format!(" (targets: {})", shown.join(", "))
    }

    /// The targets that come before, and the jobs that build them. Fails where a pattern means none: the job would not wait for what its
    /// author had in mind.
    fn after(&self, request: &FinalJobRequest) -> Result<Before<'a>> {
        let Some(patterns) = &request.after else {
            let may_fail = |at: &JobIndex| self.plan.jobs[at.at()].options.allow_failure;
            let all = self.inputs.targets.iter().map(|(attribute, id)| (attribute, *id));
            let all = all.filter(|(_, id)| !self.owner.get(id).is_some_and(may_fail)).collect();
            return Ok((all, (0..self.plan.jobs.len() as u32).map(JobIndex).filter(|at| !may_fail(at)).collect()));
        };
        let mut found = Vec::new();
        for pattern in patterns {
            let meant = self.meant(pattern);
            let is_meant = |skipped: &Skipped| {
                skipped.reason == SkipReason::Unaffected && pattern.matches_at_or_above(skipped.target.names())
            };
            let is_known = self.inputs.is_part || self.has_failed(pattern) || self.plan.skipped.iter().any(is_meant);
            ensure!(
                is_known || !meant.is_empty(),
                "final job `{}` comes after `{}`, which is not a target{}",
                request.name,
                printable(&pattern.to_string()),
                self.hint(pattern)
            );
            // As where nothing is named: what may fail is waited for only by its own name.
            let is_named = |attribute: &AttributePath| {
                pattern.alternatives().contains(&Pattern::literal(attribute).alternatives()[0])
            };
            let may_fail = |id: &DrvId| self.owner.get(id).is_some_and(|at| self.job(*at).options.allow_failure);
            found.extend(meant.into_iter().filter(|(attribute, id)| is_named(attribute) || !may_fail(id)));
        }
        found.sort_unstable();
        found.dedup();
        let jobs = found.iter().filter_map(|(_, id)| self.owner.get(id).copied()).collect();
        Ok((found, jobs))
    }

    /// A job that does nothing yet, behind these others.
    fn shell(
        &self,
        request: &FinalJobRequest,
        system: &str,
        executor: Option<&Executor>,
        direct: BTreeSet<JobIndex>,
    ) -> Job {
        let below: BTreeSet<JobIndex> =
            direct.iter().flat_map(|&index| self.job(index).inputs.iter().copied()).collect();
        Job {
            id: String::new(),
            name: request.name.clone(),
            system: system.into(),
            targets: Vec::new(),
            derivations: Vec::new(),
            co_located: Vec::new(),
            requires: direct.difference(&below).copied().collect(),
            inputs: direct.union(&below).copied().collect(),
            wave: None,
            executor: executor.map(|executor| executor.name.clone()),
            image: executor.map(|executor| executor.image.clone()).filter(|image| !image.is_empty()),
            resource_class: executor.map(|executor| self.inputs.fleet.offers.plain(executor).to_owned()),
            options: JobOptions::default(),
            estimate: Estimate { duration: self.inputs.costs.start_up, from: EstimateSource::Default },
            predicted: None,
        }
    }
}
