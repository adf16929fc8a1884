//! Finds the place of each derivation, before anything is cut into jobs. In: the needed derivations, executors, rules, and what packages say
//! about themselves. Out: [`Placements`].
//!
//! The machine of a derivation is the one that the first matching rule names, else the one that its package names, else the executor
//! that offers the features it requires and declares the fewest others, the first among equals. What nothing of this is said about, and
//! one place alone needs, is built in that place, but without its contexts: these are for targets only, so that no dependency's builder
//! and no fetch runs where a context's variables are.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::sync::Arc;

use anyhow::{Result, ensure};

use super::allowed_failure::allows;
use super::estimate::CostModel;
use super::options::JobOptions;
use super::placement::{Attributes, Decision, MachineChoice, Placement, Placements};
use super::problem::{ANY_SYSTEM, Millis, System};
use super::rules::{self, JobSettings, Subject};
use crate::attribute::AttributePath;
use crate::availability::Needed;
use crate::fleet::executor::{AUTO, Executor};
use crate::fleet::offers::Load;
use crate::fleet::system::BUILTIN;
use crate::graph::{DrvId, Graph, Node};
use crate::printable::printable;

/// What tells placements apart.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct PlacementKey {
    system: Arc<str>,
    /// Position of the executor.
    executor: usize,
    resource_class: String,
    image: String,
    options: JobOptions,
    /// The derivation that wants a job of its own.
    alone: Option<DrvId>,
}

/// A place, and the settings that led to it: what only those there need inherits them.
#[derive(PartialEq, Eq, Hash)]
struct Chosen {
    place: PlacementKey,
    settings: JobSettings,
}

/// Finds a place for each needed derivation.
pub fn place(
    graph: &Graph,
    needed: &Needed,
    attributes: &Attributes,
    choice: &MachineChoice,
    costs: &CostModel,
) -> Result<Placements> {
    let mut placer = Placer {
        graph,
        choice,
        costs,
        known: HashSet::new(),
        chosen: HashMap::new(),
        may_fail: HashMap::new(),
        placed: Placements::default(),
    };
    // Consumers first, for what they alone need follows them.
    let ids: Vec<DrvId> = needed.ids().collect();
    let mut consumers = vec![Consumers::default(); graph.len()];
    for &id in ids.iter().rev() {
        let attributes = attributes.get(&id).map_or(&[][..], Vec::as_slice);
        placer.place(id, attributes, std::mem::take(&mut consumers[id.at()]));
        for input in graph.inputs(id).iter().filter(|input| needed.has(input.drv)) {
            let system = |id| &*graph.node(id).system;
            let of_input = &mut consumers[input.drv.at()];
            let chosen = placer.chosen.get(&id).filter(|_| system(id) == system(input.drv));
            of_input.chosen.add(chosen, |a, b| Rc::ptr_eq(a, b) || a.settings.inherited() == b.settings.inherited());
            of_input.may_fail.add(placer.may_fail.get(&id), |a, b| a == b);
        }
    }
    placer.finish(&ids)
}

/// What the consumers of a derivation have in common.
#[derive(Clone, Default)]
struct Consumers {
    /// Where they are built, if that is on the same system.
    chosen: Common<Rc<Chosen>>,
    /// Whose jobs they share, if they may fail.
    may_fail: Common<DrvId>,
}

/// What several have in common.
#[derive(Clone, Default)]
enum Common<T> {
    /// There are none so far.
    #[default]
    Nobody,
    Same(T),
    Different,
    /// One of them has nothing of the kind.
    Lacking,
}

impl<T: Clone> Common<T> {
    fn add(&mut self, value: Option<&T>, is_same: impl Fn(&T, &T) -> bool) {
        match (&self, value) {
            (Self::Lacking, _) => {}
            (_, None) => *self = Self::Lacking,
            (Self::Nobody, Some(value)) => *self = Self::Same(value.clone()),
            (Self::Same(first), Some(value)) if is_same(first, value) => {}
            _ => *self = Self::Different,
        }
    }
}

struct Placer<'a> {
    graph: &'a Graph,
    choice: &'a MachineChoice<'a>,
    costs: &'a CostModel,
    /// Each choice once: a hundred thousand derivations go to a handful of places.
    known: HashSet<Rc<Chosen>>,
    chosen: HashMap<DrvId, Rc<Chosen>>,
    /// What may fail: targets, and what only such targets need; each with the one whose jobs it shares.
    may_fail: HashMap<DrvId, DrvId>,
    placed: Placements,
}

impl Placer<'_> {
    fn place(&mut self, id: DrvId, attributes: &[&AttributePath], consumers: Consumers) {
        let node = self.graph.node(id);
        let duration = self.costs.of(self.graph, id, !attributes.is_empty()).duration;
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
            && let Some(inherited) = self.inherited(node, &consumers)
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
        let with = self.may_fail_with(id, attributes, &consumers);
        if let Some(with) = with {
            self.may_fail.insert(id, with);
        }
        if &*node.system == BUILTIN && settings.is_empty() && with.is_none() {
            self.placed.of.insert(id, ANY_SYSTEM);
            return;
        }
        let by = match rule {
            Some((at, rule)) if rule.settings.executor.is_some() => Decision::Rule(at),
            _ => Decision::Package,
        };
        match self.executor(node, settings.executor.as_deref(), by) {
            Ok(executor) => {
                let mut place = self.place_at(executor, id, duration, &settings);
                place.options.allow_failure = with.is_some();
                place.alone = (settings.never_group && !attributes.is_empty()).then_some(id).or(with);
                let chosen = Chosen { place, settings };
                let chosen = self.known.get(&chosen).cloned().unwrap_or_else(|| {
                    let chosen = Rc::new(chosen);
                    self.known.insert(chosen.clone());
                    chosen
                });
                self.placed.decisions.insert(id, decision);
                self.chosen.insert(id, chosen);
            }
            Err(lacking) => drop(self.placed.lacking.insert(id, lacking)),
        }
    }

    /// Whose jobs something shares that may fail; none where it may not: another failure would not be seen in a job that may fail.
    fn may_fail_with(&self, id: DrvId, attributes: &[&AttributePath], consumers: &Consumers) -> Option<DrvId> {
        if !attributes.is_empty() {
            return attributes.iter().all(|path| allows(self.choice.allow_failure, path)).then_some(id);
        }
        match consumers.may_fail {
            Common::Same(with) => Some(with),
            Common::Different => Some(id),
            Common::Nobody | Common::Lacking => None,
        }
    }

    /// What all consumers pass on, where that suits the derivation.
    fn inherited(&self, node: &Node, consumers: &Consumers) -> Option<JobSettings> {
        let Common::Same(chosen) = &consumers.chosen else { return None };
        let settings = chosen.settings.inherited();
        let suits = |name: &String| {
            let executor = self.choice.fleet.executors.iter().find(|executor| executor.name == *name);
            executor.is_some_and(|executor| node.requirement().is_met_by(executor))
        };
        (!settings.is_empty() && settings.executor.as_ref().is_none_or(suits)).then_some(settings)
    }

    /// Position of the executor with this name, which is given `by` this, else of the one that suits best; or why there is none.
    fn executor(&self, node: &Node, name: Option<&str>, by: Decision) -> Result<usize, String> {
        let (executors, requirement) = (&self.choice.fleet.executors, node.requirement());
        let Some(name) = name else {
            return requirement.best(executors).ok_or_else(|| requirement.unmet(executors));
        };
        match executors.iter().position(|executor| executor.name == *name) {
            None => Err(format!("is sent by {by} to executor `{}`, which does not exist", name.escape_debug())),
            Some(at) if requirement.is_met_by(&executors[at]) => Ok(at),
            Some(at) => Err(requirement.unmet_by(&executors[at], by)),
        }
    }

    /// The place on an executor that the settings mean.
    fn place_at(&mut self, at: usize, id: DrvId, duration: Millis, settings: &JobSettings) -> PlacementKey {
        let (executor, node) = (&self.choice.fleet.executors[at], self.graph.node(id));
        let system = if &*node.system == BUILTIN { executor.system().into() } else { node.system.clone() };
        let offers = &self.choice.fleet.offers;
        let mut class = executor.resource_class.clone();
        if let Some(name) = settings.resource_class.as_ref().filter(|name| *name != AUTO) {
            match offers.fitted(executor, name) {
                Some(fitted) => class = fitted,
                None => drop(self.placed.warnings.insert(format!(
                    "resource class `{name}` does not fit executor `{}`; keeping `{class}`",
                    executor.name
                ))),
            }
        } else if settings.resource_class.is_some() {
            class = AUTO.into();
        }
        if class == AUTO {
            let needs = &self.costs.history.needs;
            let path = if needs.is_empty() { String::new() } else { self.graph.path(id) };
            let load = Load {
                duration,
                big_parallel: node.required_system_features.iter().any(|feature| feature == "big-parallel"),
                memory: needs.memory(&path, node.name(), &node.system),
                processors: needs.processors(&path, node.name(), &node.system),
            };
            class = offers.automatic(executor, load).map_or(String::new(), |size| size.name.into());
        }
        self.avoid_kill(executor, node, &mut class);
        let mut image = executor.image.clone();
        if let Some(name) = &settings.image {
            if offers.excludes_image(executor, name) {
                self.placed
                    .warnings
                    .insert(format!("image `{name}` does not fit executor `{}`; keeping `{image}`", executor.name));
            } else {
                image = name.clone();
            }
        }
        let options = JobOptions {
            timeout: settings.timeout,
            allow_failure: false,
            context: settings.context.clone().unwrap_or_default(),
            retries: settings.retries,
            environment: settings.environment.clone(),
        };
        PlacementKey { system, executor: at, resource_class: class, image, options, alone: None }
    }

    /// Takes the next larger size where the build was killed for lack of memory on one that is not smaller than this.
    fn avoid_kill(&mut self, executor: &Executor, node: &Node, class: &mut String) {
        let Some(killed_on) = self.costs.history.needs.killed_on(node.name(), &node.system) else { return };
        let offers = &self.choice.fleet.offers;
        let memory = |class: &str| offers.memory(executor, class);
        if *class != *killed_on && memory(class) > memory(killed_on) {
            return;
        }
        let name = printable(node.name());
        let before = format!(
            "`{name}` was killed on `{}` in an earlier pipeline, probably for lack of memory",
            printable(killed_on)
        );
        self.placed.warnings.insert(
            match offers.larger(executor, killed_on).or_else(|| offers.larger(executor, class)) {
                Some(larger) => {
                    *class = larger.name.into();
                    format!("{before}: it is built on `{class}` now")
                }
                None => {
                    format!("{before}, and executor `{}` has no larger size: send it to another one", executor.name)
                }
            },
        );
    }

    /// Numbers the places: by system, then by executor, so that the numbers follow from what is there alone.
    fn finish(mut self, ids: &[DrvId]) -> Result<Placements> {
        let known = std::mem::take(&mut self.known);
        let mut places: Vec<&PlacementKey> = known.iter().map(|chosen| &chosen.place).collect();
        places.sort_unstable();
        places.dedup();
        ensure!(
            places.len() < usize::from(ANY_SYSTEM) - 1,
            "rules and packages ask for {} different kinds of jobs, more than nixdag can plan with",
            places.len()
        );
        let numbers: HashMap<&PlacementKey, System> =
            places.iter().enumerate().map(|(at, place)| (*place, at as System)).collect();
        let mut count = vec![0usize; places.len()];
        for id in ids {
            if let Some(chosen) = self.chosen.get(id) {
                let number = numbers[&chosen.place];
                count[usize::from(number)] += 1;
                self.placed.of.insert(*id, number);
            }
        }
        self.placed.list = places.iter().map(|place| self.placement(place)).collect();
        self.placed.anywhere = self.anywhere(&places, &count);
        let is_special = |options: &JobOptions| !options.context.is_empty() || options.allow_failure;
        if self.placed.list.iter().any(|placement| is_special(&placement.options)) {
            // What any machine can build must not end up in a job with contexts, or in one that may fail.
            let anywhere = self.placed.anywhere;
            self.placed.of.values_mut().filter(|system| **system == ANY_SYSTEM).for_each(|system| *system = anywhere);
        }
        Ok(self.placed)
    }

    fn placement(&self, place: &PlacementKey) -> Placement {
        let executor = &self.choice.fleet.executors[place.executor];
        let (offers, class) = (&self.choice.fleet.offers, &place.resource_class);
        Placement {
            system: place.system.clone(),
            executor: executor.name.clone(),
            image: (!place.image.is_empty()).then(|| place.image.clone()),
            resource_class: class.clone(),
            cores: offers.cores(executor, class).unwrap_or(executor.cores).max(1),
            memory: offers.memory(executor, class),
            disk: offers.disk(executor, class),
            credits_per_minute: self
                .costs
                .credits
                .get(class)
                .copied()
                .unwrap_or_else(|| offers.credits_per_minute(executor, class)),
            options: place.options.clone(),
        }
    }

    /// The most frequent place without secrets where nothing may fail, or where there is none the first executor, which is added.
    fn anywhere(&mut self, places: &[&PlacementKey], count: &[usize]) -> System {
        let plain = |at: &usize| places[*at].options == JobOptions::default() && places[*at].alone.is_none();
        let most = (0..places.len()).filter(plain).max_by_key(|&at| (count[at], std::cmp::Reverse(at)));
        if let Some(at) = most {
            return at as System;
        }
        let Some(executor) = self.choice.fleet.executors.first() else { return ANY_SYSTEM };
        let added = PlacementKey {
            system: executor.system().into(),
            executor: 0,
            resource_class: executor.resource_class.clone(),
            image: executor.image.clone(),
            options: JobOptions::default(),
            alone: None,
        };
        let placement = self.placement(&added);
        self.placed.list.push(placement);
        places.len() as System
    }
}
