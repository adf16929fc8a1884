//! Where each derivation is built, before anything is cut into jobs. In: the needed derivations, executors, rules, and what packages say
//! about themselves. Out: a [`Placement`] each, which is what the planner calls a system: derivations of different ones never share
//! a job.
//!
//! The machine of a derivation is the one that the first matching rule names, else the one that its package names, else the executor
//! that offers the features it requires and declares the fewest others, the first among equals. What nothing of this is said about, and
//! one place alone needs, is built in that place, but without its contexts: these are for targets only, so that no dependency's builder
//! and no fetch runs where a context's variables are.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use anyhow::{Result, ensure};

use super::allowed_failure::{AllowedFailure, allows};
use super::estimate::CostModel;
use super::options::JobOptions;
use super::problem::{ANY_SYSTEM, Millis, System};
use super::rules::{self, JobSettings, Rule, Subject};
use crate::attribute::AttributePath;
use crate::availability::Needed;
use crate::fleet::Fleet;
use crate::fleet::executor::AUTO;
use crate::fleet::system::BUILTIN;
use crate::graph::{DrvId, Graph, Node};

/// What decides on which machine a derivation is built.
#[derive(Clone, Copy, Debug)]
pub struct MachineChoice<'a> {
    /// The machines that there are.
    pub fleet: &'a Fleet,
    /// What the settings say, the first one that matches wins.
    pub rules: &'a [Rule],
    /// What packages say about themselves.
    pub packages: &'a BTreeMap<AttributePath, JobSettings>,
    /// What may fail.
    pub allow_failure: &'a [AllowedFailure],
}

/// A kind of job: everything in a job has the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    /// The Nix system of the job.
    pub system: Arc<str>,
    /// Name of the executor.
    pub executor: String,
    /// What the machine starts from; none for a self-hosted machine.
    pub image: Option<String>,
    /// Size of the machine.
    pub resource_class: String,
    /// Derivations built side by side.
    pub cores: u32,
    /// What a minute costs.
    pub credits_per_minute: u32,
    /// Timeout, contexts, retries, environment.
    pub options: JobOptions,
}

/// Who decided where a derivation is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Nobody: the first executor for its system and features.
    Default,
    /// The features that it requires.
    Features,
    /// What its package says about itself.
    Package,
    /// The rule at this position.
    Rule(usize),
    /// What alone needs it.
    Consumer,
}

impl std::fmt::Display for Decision {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        match self {
            Self::Default => f.write_str("the first executor for its system"),
            Self::Features => f.write_str("the executor for its system and the features that it requires"),
            Self::Package => f.write_str("what its package says (`passthru.ci`, `meta.ci`, `meta.timeout`)"),
            Self::Rule(at) => write!(f, "rule {} of nixdag.yml", at + 1),
            Self::Consumer => f.write_str("where what needs it is built"),
        }
    }
}

/// All placements, and who has which.
#[derive(Clone, Debug, Default)]
pub struct Placements {
    /// The placements, by number.
    pub list: Vec<Placement>,
    /// The placement of each needed derivation; [`ANY_SYSTEM`] for what any machine builds.
    pub of: HashMap<DrvId, System>,
    /// Who decided that.
    pub decisions: HashMap<DrvId, Decision>,
    /// Cheap derivations that may be built along with whatever needs them, wherever that is.
    pub portable: BTreeSet<DrvId>,
    /// Where a job goes that any machine could run.
    pub anywhere: System,
    /// Derivations that no executor can build, and why; with a derivation as its subject that is a sentence.
    pub lacking: BTreeMap<DrvId, String>,
    /// What may not be as its author thinks, in sentences.
    pub warnings: BTreeSet<String>,
}

impl Placements {
    /// True where jobs get the variables of contexts.
    pub fn has_contexts(&self, system: System) -> bool {
        self.list.get(usize::from(system)).is_some_and(|placement| !placement.options.context.is_empty())
    }
}

/// What tells placements apart. The last part is the derivation that wants a job of its own.
type Key = (Arc<str>, usize, String, String, JobOptions, Option<DrvId>);

/// The attributes of each target, by derivation.
pub type Attributes<'a> = BTreeMap<DrvId, Vec<&'a AttributePath>>;

/// Finds a place for each needed derivation.
pub fn place(
    graph: &Graph,
    needed: &Needed,
    attributes: &Attributes,
    choice: &MachineChoice,
    costs: &CostModel,
) -> Result<Placements> {
    let mut placer =
        Placer { graph, choice, costs, keys: HashMap::new(), may_fail: HashMap::new(), placed: Placements::default() };
    // Consumers first, for what they alone need follows them.
    let ids: Vec<DrvId> = needed.ids().collect();
    let mut consumers: HashMap<DrvId, Vec<DrvId>> = HashMap::new();
    for &id in ids.iter().rev() {
        let attributes = attributes.get(&id).map_or(&[][..], Vec::as_slice);
        placer.place(id, attributes, consumers.get(&id).map_or(&[][..], Vec::as_slice));
        for input in graph.inputs(id).iter().filter(|input| needed.has(input.drv)) {
            consumers.entry(input.drv).or_default().push(id);
        }
    }
    placer.finish(&ids)
}

struct Placer<'a> {
    graph: &'a Graph,
    choice: &'a MachineChoice<'a>,
    costs: &'a CostModel,
    /// The place of each derivation, and the settings that its inputs inherit.
    keys: HashMap<DrvId, (Key, JobSettings)>,
    /// What may fail: targets, and what only such targets need; each with the one whose jobs it shares.
    may_fail: HashMap<DrvId, DrvId>,
    placed: Placements,
}

impl Placer<'_> {
    fn place(&mut self, id: DrvId, attributes: &[&AttributePath], consumers: &[DrvId]) {
        let node = self.graph.node(id);
        let duration = self.costs.of(node, &self.graph.path(id), !attributes.is_empty()).duration;
        let subject = Subject {
            attributes,
            name: node.name(),
            system: &node.system,
            features: &node.required_system_features,
            duration,
        };
        let rule = rules::first(self.choice.rules, &subject);
        let packages = attributes.iter().filter_map(|path| self.choice.packages.get(path));
        let own = packages.fold(JobSettings::default(), |settings, package| settings.or(package));
        let has_own = !own.is_empty();
        let mut settings = rule.map_or_else(JobSettings::default, |(_, rule)| rule.settings.clone()).or(&own);
        let mut decision = match rule {
            Some((at, rule))
                if rule.settings.executor.is_some() || rule.settings.resource_class.is_some() || !has_own =>
            {
                Decision::Rule(at)
            }
            _ if has_own => Decision::Package,
            _ if !node.required_system_features.is_empty() => Decision::Features,
            _ => Decision::Default,
        };
        if matches!(decision, Decision::Default | Decision::Features)
            && attributes.is_empty()
            && let Some(inherited) = self.inherited(node, consumers)
        {
            (settings, decision) = (inherited, Decision::Consumer);
        }
        if attributes.is_empty() && settings.context.take().is_some_and(|names| !names.is_empty()) {
            self.placed.warnings.extend(rule.filter(|(_, rule)| rule.condition.is_specific()).map(|(at, _)| {
                format!(
                    "rule {} of nixdag.yml names contexts, which only targets get: what it is for beside them is built without \
                     (select its attribute to build it with them)",
                    at + 1
                )
            }));
        }
        let cheap = node.fixed_output || node.prefer_local_build;
        if cheap && attributes.is_empty() && rule.is_none_or(|(_, rule)| !rule.condition.is_specific()) {
            self.placed.portable.insert(id);
        }
        if let Some(with) = self.may_fail_with(id, attributes, consumers) {
            self.may_fail.insert(id, with);
        }
        if &*node.system == BUILTIN && settings.is_empty() && !self.may_fail.contains_key(&id) {
            self.placed.of.insert(id, ANY_SYSTEM);
            return;
        }
        let by = match rule {
            Some((at, rule)) if rule.settings.executor.is_some() => Decision::Rule(at),
            _ => Decision::Package,
        };
        match self.choose(id, !attributes.is_empty(), duration, &settings, by) {
            Ok(key) => {
                self.placed.decisions.insert(id, decision);
                self.keys.insert(id, (key, settings));
            }
            Err(lacking) => drop(self.placed.lacking.insert(id, lacking)),
        }
    }

    /// Whose jobs something shares that may fail; none where it may not: another failure would not be seen in a job that may fail.
    fn may_fail_with(&self, id: DrvId, attributes: &[&AttributePath], consumers: &[DrvId]) -> Option<DrvId> {
        if !attributes.is_empty() {
            return attributes.iter().all(|path| allows(self.choice.allow_failure, path)).then_some(id);
        }
        let with: Option<BTreeSet<DrvId>> = consumers.iter().map(|id| self.may_fail.get(id).copied()).collect();
        let with = with.filter(|with| !with.is_empty())?;
        Some(if with.len() == 1 { with.into_iter().next()? } else { id })
    }

    /// What the consumers name for, where they all name for the same and it suits the derivation.
    fn inherited(&self, node: &Node, consumers: &[DrvId]) -> Option<JobSettings> {
        let mut settings = consumers.iter().map(|id| {
            let (_, settings) = self.keys.get(id)?;
            let same = *self.graph.node(*id).system == *node.system;
            same.then(|| settings.inherited())
        });
        let first = settings.next()??;
        let suits = |name: &String| {
            let executor = self.choice.fleet.executors.iter().find(|executor| executor.name == *name);
            executor.is_some_and(|executor| node.requirement().is_met_by(executor))
        };
        (!first.is_empty()
            && first.executor.as_ref().is_none_or(suits)
            && settings.all(|other| other.as_ref() == Some(&first)))
        .then_some(first)
    }

    /// The place that the settings mean, or why there is none. Where they name an executor, they do so `by` this.
    fn choose(
        &mut self,
        id: DrvId,
        is_target: bool,
        duration: Millis,
        settings: &JobSettings,
        by: Decision,
    ) -> Result<Key, String> {
        let (executors, node) = (&self.choice.fleet.executors, self.graph.node(id));
        let requirement = node.requirement();
        let at = match &settings.executor {
            Some(name) => match executors.iter().position(|executor| executor.name == *name) {
                None => {
                    return Err(format!("is sent by {by} to executor `{}`, which does not exist", name.escape_debug()));
                }
                Some(at) if requirement.is_met_by(&executors[at]) => at,
                Some(at) => return Err(requirement.unmet_by(&executors[at], by)),
            },
            None => requirement.best(executors).ok_or_else(|| requirement.unmet(executors))?,
        };
        let executor = &executors[at];
        let system = if &*node.system == BUILTIN { executor.system().into() } else { node.system.clone() };
        let offers = &self.choice.fleet.offers;
        let mut class = executor.resource_class.clone();
        if let Some(name) = settings.resource_class.as_ref().filter(|name| *name != AUTO) {
            match offers.fitted(executor, name) {
                Some(fitted) => class = fitted,
                None => drop(self.placed.warnings.insert(format!(
                    "resource class `{name}` is none of executor `{}`, which keeps `{class}`",
                    executor.name
                ))),
            }
        } else if settings.resource_class.is_some() {
            class = AUTO.into();
        }
        if class == AUTO {
            let big = node.required_system_features.iter().any(|feature| feature == "big-parallel");
            class = offers.automatic(executor, duration, big).map_or(String::new(), |size| size.name.into());
        }
        let mut image = executor.image.clone();
        if let Some(name) = &settings.image {
            if offers.excludes_image(executor, name) {
                self.placed
                    .warnings
                    .insert(format!("image `{name}` is none for executor `{}`, which keeps `{image}`", executor.name));
            } else {
                image = name.clone();
            }
        }
        let options = JobOptions {
            timeout: settings.timeout,
            allow_failure: self.may_fail.contains_key(&id),
            context: settings.context.clone().unwrap_or_default(),
            retries: settings.retries,
            environment: settings.environment.clone(),
        };
        let alone = (settings.never_group && is_target).then_some(id).or(self.may_fail.get(&id).copied());
        Ok((system, at, class, image, options, alone))
    }

    /// Numbers the places: by system, then by executor, so that the numbers follow from what is there alone.
    fn finish(mut self, ids: &[DrvId]) -> Result<Placements> {
        let of = std::mem::take(&mut self.keys);
        let mut keys: Vec<&Key> = of.values().map(|(key, _)| key).collect();
        keys.sort_unstable();
        keys.dedup();
        ensure!(
            keys.len() < usize::from(ANY_SYSTEM) - 1,
            "rules and packages ask for {} different kinds of jobs, which is more than nixdag plans with",
            keys.len()
        );
        let numbers: HashMap<&Key, System> = keys.iter().enumerate().map(|(at, key)| (*key, at as System)).collect();
        let mut count = vec![0usize; keys.len()];
        for id in ids {
            if let Some((key, _)) = of.get(id) {
                count[usize::from(numbers[key])] += 1;
                self.placed.of.insert(*id, numbers[key]);
            }
        }
        self.placed.list = keys.iter().map(|key| self.placement(key)).collect();
        self.placed.anywhere = self.anywhere(&keys, &count);
        let is_special = |options: &JobOptions| !options.context.is_empty() || options.allow_failure;
        if self.placed.list.iter().any(|placement| is_special(&placement.options)) {
            // What any machine can build must not end up in a job with contexts, or in one that may fail.
            let anywhere = self.placed.anywhere;
            self.placed.of.values_mut().filter(|system| **system == ANY_SYSTEM).for_each(|system| *system = anywhere);
        }
        Ok(self.placed)
    }

    fn placement(&self, (system, at, class, image, options, _): &Key) -> Placement {
        let executor = &self.choice.fleet.executors[*at];
        let offers = &self.choice.fleet.offers;
        Placement {
            system: system.clone(),
            executor: executor.name.clone(),
            image: (!image.is_empty()).then(|| image.clone()),
            resource_class: class.clone(),
            cores: offers.cores(executor, class).unwrap_or(executor.cores).max(1),
            credits_per_minute: self
                .costs
                .credits
                .get(class)
                .copied()
                .unwrap_or_else(|| offers.credits_per_minute(executor, class)),
            options: options.clone(),
        }
    }

    /// The most frequent place without secrets where nothing may fail, or where there is none the first executor, which is added.
    fn anywhere(&mut self, keys: &[&Key], count: &[usize]) -> System {
        let plain = |at: &usize| keys[*at].4 == JobOptions::default() && keys[*at].5.is_none();
        let most = (0..keys.len()).filter(plain).max_by_key(|&at| (count[at], std::cmp::Reverse(at)));
        if let Some(at) = most {
            return at as System;
        }
        let Some(executor) = self.choice.fleet.executors.first() else { return ANY_SYSTEM };
        let (system, class, image) =
            (executor.system().into(), executor.resource_class.clone(), executor.image.clone());
        let key = (system, 0, class, image, JobOptions::default(), None);
        let placement = self.placement(&key);
        self.placed.list.push(placement);
        keys.len() as System
    }
}
