//! Final jobs that build: what their attributes need and no other job builds, a job for each system.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, anyhow, bail};

use super::Finals;
use crate::attribute::AttributePath;
use crate::fleet::executor::Executor;
use crate::fleet::system::BUILTIN;
use crate::graph::DrvId;
use crate::pattern::Pattern;
use crate::plan::final_job::{Attribute, FinalJob, FinalJobRequest};
use crate::plan::final_machines::{Features, features};
use crate::plan::{Job, JobIndex, SkipReason, Skipped};

impl<'a> Finals<'a> {
    /// A job a system that builds attributes.
    pub fn build(&mut self, request: &FinalJobRequest, patterns: &'a [Pattern], built: &'a [Attribute]) -> Result<()> {
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
            self.jobs.push(FinalJob::without_command(job));
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
                let why = if other {
                    "another final job builds it".to_owned()
                } else {
                    format!("no such attribute is a derivation{}", self.hint(pattern))
                };
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
        let (_, mut direct) = self.after(request)?;
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
}
