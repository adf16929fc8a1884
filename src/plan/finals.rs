//! Puts final jobs behind a plan's other jobs. In: the plan of everything else, the graph, what is asked for. Out: the same plan
//! with its final jobs, and warnings. Pure, like all planning.
//!
//! A final job that builds owns what its attributes need and no other job builds. What two of them need belongs to the first, and
//! the second comes after it: nothing is built twice.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use anyhow::{Result, anyhow, bail};

use super::estimate::CostModel;
use super::final_job::{Attribute, FinalJob, FinalJobRequest, Task};
use super::final_machines::{Features, Machines, features};
use super::{Estimate, EstimateSource, Job, JobIndex, JobOptions, Plan, SkipReason, Skipped, names, restored};
use crate::attribute::AttributePath;
use crate::availability::Needed;
use crate::fleet::Fleet;
use crate::fleet::executor::Executor;
use crate::fleet::system::BUILTIN;
use crate::graph::{DrvId, Graph};
use crate::nearest::meant;
use crate::pattern::Pattern;

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
        match &request.task {
            Task::Build(patterns) => finals.build(request, patterns, built)?,
            Task::Run { .. } => finals.run(request)?,
        }
    }
    let Finals { mut jobs, skipped, warnings, .. } = finals;
    let names: Vec<&str> = jobs.iter().map(|job| job.job.name.as_str()).collect();
    let taken = plan.jobs.iter().map(|job| (job.id.as_str(), job.name.as_str()));
    let assigned = names::assign_beside(&names, inputs.fleet.reserved_names, taken);
    for (job, name) in jobs.iter_mut().zip(assigned) {
        (job.job.name, job.job.id) = (name.name, name.id);
    }
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
}

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

    /// ` (did you mean …?)`
    fn hint(&self, pattern: &Pattern) -> String {
        let names: Vec<String> = self.known.iter().map(|(attribute, _)| attribute.to_string()).collect();
        meant(&pattern.to_string(), names.iter().map(String::as_str))
    }

    /// The targets that come before, and the jobs that build them.
    fn after(&mut self, request: &FinalJobRequest) -> (Vec<(&'a AttributePath, DrvId)>, BTreeSet<JobIndex>) {
        let Some(patterns) = &request.after else {
            let may_fail = |at: &JobIndex| self.plan.jobs[at.at()].options.allow_failure;
            let all = self.inputs.targets.iter().map(|(attribute, id)| (attribute, *id));
            let all = all.filter(|(_, id)| !self.owner.get(id).is_some_and(may_fail)).collect();
            return (all, (0..self.plan.jobs.len() as u32).map(JobIndex).filter(|at| !may_fail(at)).collect());
        };
        let mut found = Vec::new();
        for pattern in patterns {
            let meant = self.meant(pattern);
            let is_meant = |skipped: &Skipped| {
                skipped.reason == SkipReason::Unaffected && pattern.matches_at_or_above(skipped.target.names())
            };
            if meant.is_empty() && !self.inputs.is_part && !self.plan.skipped.iter().any(is_meant) {
                let warning = format!(
                    "final job `{}` comes after `{pattern}`, which is no target{}",
                    request.name,
                    self.hint(pattern)
                );
                self.warnings.push(warning);
            }
            found.extend(meant);
        }
        found.sort_unstable();
        found.dedup();
        let jobs = found.iter().filter_map(|(_, id)| self.owner.get(id).copied()).collect();
        (found, jobs)
    }

    /// A job that runs a command.
    fn run(&mut self, request: &FinalJobRequest) -> Result<()> {
        let Task::Run { command, checkout, restore, environment } = &request.task else { return Ok(()) };
        let (after, mut direct) = self.after(request);
        let targets = match restore {
            None => self.restorable(request, after),
            Some(patterns) => {
                let mut all = Vec::new();
                for pattern in patterns {
                    let meant = self.meant(pattern);
                    let none = meant.is_empty();
                    let found = self.restorable(request, meant);
                    // The command does not run then: it waits for the job that reports the failure.
                    if found.is_empty() && self.has_failed(pattern) {
                        let why = format!("final job `{}` cannot have `{pattern}`: it failed before", request.name);
                        self.warnings.push(why);
                    } else if none && self.inputs.is_part {
                        let why = format!(
                            "final job `{}` is left out: `{pattern}`, which it restores, is not selected",
                            request.name
                        );
                        self.warnings.push(why);
                        return Ok(());
                    } else if found.is_empty() {
                        bail!(
                            "final job `{}` wants `{pattern}` restored, {}",
                            request.name,
                            if none {
                                format!("which is no target{}", self.hint(pattern))
                            } else {
                                format!("and cannot have it: {}", self.warnings.pop().unwrap_or_default())
                            }
                        );
                    }
                    all.extend(found);
                }
                all.sort_unstable();
                all.dedup();
                all
            }
        };
        direct.extend(targets.iter().filter_map(|(_, id)| self.owner.get(id).copied()));
        let (system, executor) = self.machines.of(request);
        let mut job = self.shell(request, system, executor, direct);
        job.name = request.name.clone();
        self.jobs.push(FinalJob {
            restore: restored::name(self.inputs.graph, &targets, system),
            job,
            run: Some(command.clone()),
            checkout: *checkout,
            environment: environment.clone(),
        });
        Ok(())
    }

    /// True if the pattern means something that does not evaluate or has no executor.
    fn has_failed(&self, pattern: &Pattern) -> bool {
        let errors = self.plan.errors.iter().map(|error| &error.target);
        let lacking = self.plan.skipped.iter().filter(|skipped| skipped.reason == SkipReason::NoExecutor);
        errors.chain(lacking.map(|skipped| &skipped.target)).any(|target| pattern.matches_at_or_above(target.names()))
    }

    /// Those targets whose outputs a job can have before it builds anything; warns about others.
    fn restorable(
        &mut self,
        request: &FinalJobRequest,
        targets: Vec<(&'a AttributePath, DrvId)>,
    ) -> Vec<(&'a AttributePath, DrvId)> {
        let (inputs, owner) = (self.inputs, &self.owner);
        let mut found = targets;
        found.retain(|(attribute, id)| {
            let problem = if inputs.graph.node(*id).is_floating() {
                "its output path is known only once it is built"
            } else if inputs.needed.has(*id) && !owner.contains_key(id) {
                "no job builds it"
            } else {
                return true;
            };
            self.warnings.push(format!("final job `{}` does without target `{attribute}`: {problem}", request.name));
            false
        });
        found
    }

    /// A job a system that builds attributes.
    fn build(&mut self, request: &FinalJobRequest, patterns: &'a [Pattern], built: &'a [Attribute]) -> Result<()> {
        self.check_built(request, patterns, built)?;
        let graph = self.inputs.graph;
        let by_system = self.by_system(request, built);
        if let (Some(name), true) = (&request.executor, by_system.is_empty())
            && built.iter().any(|(_, id)| self.inputs.needed.has(*id))
        {
            bail!(
                "final job `{}`: executor `{name}` builds none of its attributes, for system or features: name another",
                request.name
            );
        }
        let count = by_system.len();
        for (system, (attributes, features)) in by_system {
            let executor = self.machines.with(request, system, &features).map_err(|why| {
                anyhow!(
                    "final job `{}` {why}; or make several final jobs of it, which run on machines of their own",
                    request.name
                )
            })?;
            let job = self.build_on(request, (system, executor), &attributes, count > 1)?;
            let index = JobIndex((self.plan.jobs.len() + self.jobs.len()) as u32);
            self.owner.extend(job.derivations.iter().filter_map(|path| Some((graph.find(path)?, index))));
            self.jobs.push(FinalJob {
                job,
                restore: Vec::new(),
                run: None,
                checkout: false,
                environment: BTreeMap::new(),
            });
        }
        self.known.extend(built.iter().map(|(attribute, id)| (attribute, *id)));
        Ok(())
    }

    /// What is to be built on each system, with the features that it requires. What exists, or no executor builds, is skipped.
    fn by_system(
        &mut self,
        request: &FinalJobRequest,
        built: &'a [Attribute],
    ) -> BTreeMap<&'a str, (Vec<&'a Attribute>, Features<'a>)> {
        let (needed, graph) = (self.inputs.needed, self.inputs.graph);
        let features = features(graph, needed, |id| self.owner.contains_key(&id));
        let mut by_system: BTreeMap<&str, (Vec<&Attribute>, Features)> = BTreeMap::new();
        for attribute in built {
            let (path, id) = (&attribute.0, attribute.1);
            let system = self.system_of(id);
            let required = features.get(&id).cloned().unwrap_or_default();
            let (reason, place) = match self.machines.with(request, system, &required) {
                _ if !needed.has(id) => (SkipReason::Available, needed.place(id).map(str::to_owned)),
                Err(why) => (SkipReason::NoExecutor, Some(format!("it {why}"))),
                Ok(_) => {
                    let (attributes, all) = by_system.entry(system).or_default();
                    attributes.push(attribute);
                    all.extend(required);
                    continue;
                }
            };
            let derivation = Some(graph.path(id).into());
            self.skipped.push(Skipped { target: path.clone(), derivation, reason, place });
        }
        by_system
    }

    /// A pattern that means nothing, or what another job builds, is a mistake.
    fn check_built(&self, request: &FinalJobRequest, patterns: &[Pattern], built: &[Attribute]) -> Result<()> {
        let left_out = self.plan.skipped.iter().map(|skipped| &skipped.target);
        let left_out: Vec<_> = left_out.chain(self.plan.errors.iter().map(|error| &error.target)).collect();
        for pattern in patterns {
            let is_meant = |attribute: &AttributePath| pattern.matches_at_or_above(attribute.names());
            if !built.iter().any(|(attribute, _)| is_meant(attribute)) && !left_out.iter().any(|path| is_meant(path)) {
                let other = self.inputs.built.iter().flatten().any(|(attribute, _)| is_meant(attribute));
                let why = if other { "another final job builds it" } else { "no such attribute is a derivation" };
                bail!("final job `{}` cannot build `{pattern}`: {why}", request.name);
            }
        }
        for (attribute, id) in built {
            if let Some(owner) = self.owner.get(id) {
                bail!(
                    "final job `{}` is to build `{attribute}`, but job `{}` has to build it: a target is the same derivation, \
                     or needs it",
                    request.name,
                    self.job(*owner).name
                );
            }
        }
        Ok(())
    }

    fn build_on(
        &mut self,
        request: &FinalJobRequest,
        (system, executor): (&str, &Executor),
        attributes: &[&'a Attribute],
        many_systems: bool,
    ) -> Result<Job> {
        let (_, mut direct) = self.after(request);
        let (graph, needed) = (self.inputs.graph, self.inputs.needed);
        let mut seen: BTreeSet<DrvId> = attributes.iter().map(|(_, id)| *id).collect();
        let mut open: Vec<DrvId> = seen.iter().copied().collect();
        while let Some(id) = open.pop() {
            for input in graph.inputs(id).iter().filter(|input| needed.has(input.drv)) {
                match self.owner.get(&input.drv) {
                    Some(&owner) => drop(direct.insert(owner)),
                    None if seen.insert(input.drv) => open.push(input.drv),
                    None => {}
                }
            }
        }
        for &id in &seen {
            let node = graph.node(id);
            if *node.system != *system && &*node.system != BUILTIN {
                bail!(
                    "final job `{}` builds on {system}, but needs `{}` of {}, which no other job builds: make that a target",
                    request.name,
                    node.name(),
                    node.system
                );
            }
        }
        // Numbers of inputs are smaller than those of their consumers: ascending is a build order.
        let (co_located, owned): (Vec<DrvId>, Vec<DrvId>) = seen.iter().partition(|id| self.co_located.contains(id));
        let mut job = self.shell(request, system, Some(executor), direct);
        if many_systems {
            job.name = format!("{} ({system})", request.name);
        }
        let paths = |ids: &[DrvId]| ids.iter().map(|&id| graph.path(id).into()).collect();
        (job.derivations, job.co_located) = (paths(&owned), paths(&co_located));
        job.targets = attributes.iter().map(|(attribute, _)| attribute.clone()).collect();
        job.targets.sort_unstable();
        let targets: BTreeSet<DrvId> = attributes.iter().map(|(_, id)| *id).collect();
        job.estimate = self.inputs.costs.of_job(graph, &seen, &targets, executor.cores);
        Ok(job)
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
        }
    }
}
