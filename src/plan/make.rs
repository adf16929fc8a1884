//! Planning from end to end: targets and needed derivations in, a [`Plan`] out.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use anyhow::{Result, ensure};

use super::baseline::baselines;
use super::estimate::CostModel;
use super::job_graph::{JobGraph, direct_inputs};
use super::model::{Granularity, Model, Options};
use super::names::{self, Naming};
use super::needed::{BUILTIN, NeededGraph};
use super::partition::partition;
use super::prices::Prices;
use super::problem::{ANY_SYSTEM, JobNodes, Node, Partition, Problem};
use super::simulate::{Simulation, lower_bound, simulate};
use super::{
    Base, Estimate, EstimateSource, Estimates, EvaluationError, FlakeSource, HandOffEstimate, HandOffKind, Job,
    JobIndex, JobOptions, Plan, SkipReason, Skipped, Strategy,
};
use crate::attribute::AttributePath;
use crate::availability::Needed;
use crate::executor::Executor;
use crate::graph::{DrvId, Graph};
use crate::nix::binary_cache::Reliance;
use crate::target::Target;

/// Everything that a plan is made of.
#[derive(Clone, Debug)]
pub struct Inputs<'a> {
    /// Where the targets come from; none for a recorded evaluation.
    pub flake: Option<FlakeSource>,
    /// The revision compared with.
    pub base: Option<Base>,
    /// The derivation graph of all targets.
    pub graph: &'a Graph,
    /// Attributes and their derivations, sorted by attribute.
    pub targets: &'a [(AttributePath, DrvId)],
    /// What must be built.
    pub needed: Needed,
    /// Targets, with their derivations' paths, that are left out as they are the same at the base.
    pub unaffected: Vec<Target>,
    /// Attributes that were selected and then left out.
    pub excluded: Vec<AttributePath>,
    /// Attributes that did not evaluate.
    pub errors: Vec<EvaluationError>,
    /// The caches that the plan counts on.
    pub caches: Reliance,
    /// The machines that the provider offers.
    pub executors: &'a [Executor],
    /// Assumptions about time.
    pub costs: &'a CostModel,
    /// What the planner is asked for.
    pub options: &'a Options,
    /// Other granularities to predict the figures of.
    pub also: &'a [Granularity],
    /// Results travel through a workspace, where every ancestor is a layer to attach.
    pub workspace: bool,
}

/// A plan, and what is to be said about it.
#[derive(Clone, Debug)]
pub struct Made {
    /// The plan.
    pub plan: Plan,
    /// Limits and wishes that could not be met or that cost something, in words.
    pub notes: Vec<String>,
    /// What plans of other granularities would take.
    pub others: Vec<(Granularity, Strategy)>,
}

/// Makes the plan. The same inputs give the same plan, byte for byte.
pub fn make(inputs: Inputs) -> Result<Made> {
    let Inputs {
        flake,
        base,
        graph,
        targets,
        mut needed,
        unaffected,
        excluded,
        errors,
        caches,
        executors,
        costs,
        options,
        also,
        workspace,
    } = inputs;
    let unbuildable = drop_unbuildable(graph, targets, &mut needed, executors);

    let mut skipped: Vec<Skipped> = excluded
        .into_iter()
        .map(|target| Skipped { target, derivation: None, reason: SkipReason::Excluded, place: None })
        .collect();
    skipped.extend(unaffected.into_iter().map(|target| Skipped {
        target: target.attribute,
        derivation: Some(target.drv_path.into()),
        reason: SkipReason::Unaffected,
        place: None,
    }));
    let mut attributes: BTreeMap<DrvId, Vec<&AttributePath>> = BTreeMap::new();
    for (attribute, id) in targets {
        if needed.has(*id) && !unbuildable.contains(id) {
            attributes.entry(*id).or_default().push(attribute);
        } else {
            skipped.push(Skipped {
                target: attribute.clone(),
                derivation: Some(graph.path(*id).into()),
                reason: if unbuildable.contains(id) { SkipReason::NoExecutor } else { SkipReason::Available },
                place: needed.place(*id).map(str::to_owned),
            });
        }
    }
    skipped.sort_by(|a, b| a.target.cmp(&b.target));

    let target_drvs: Vec<DrvId> = attributes.keys().copied().collect();
    let small = NeededGraph::new(graph, &needed, &target_drvs, costs);
    let (model, prices) = machines(&small.systems, executors, costs, workspace);
    let problem = &small.problem;
    let options = &Options { durations_recorded: are_recorded(&small.estimates), ..options.clone() };
    let planned = partition(problem, &model, options);
    let (answer, notes) = (on_machines(problem, planned.partition), planned.notes);

    let systems: HashSet<&str> =
        targets.iter().map(|(_, id)| &*graph.node(*id).system).filter(|&system| system != BUILTIN).collect();
    let namer = Namer { graph, small: &small, attributes: &attributes, many_systems: systems.len() > 1 };
    let job_names = names::assign(&answer.jobs.iter().map(|job| namer.naming(job)).collect::<Vec<_>>());
    let mut by_id: Vec<usize> = (0..answer.jobs.len()).collect();
    by_id.sort_unstable_by_key(|&job| &job_names[job].id);
    let mut rank = vec![0; by_id.len()];
    for (position, &job) in by_id.iter().enumerate() {
        rank[job] = position as u32;
    }
    let direct = direct_inputs(problem, &answer)?;
    let simulation = simulate(problem, &answer, &direct, &model);
    let job_graph = JobGraph::new(&direct, &rank)?;

    let paths: Vec<Arc<str>> = small.drvs.iter().map(|&id| graph.path(id).into()).collect();
    // A job of nothing but `builtin` runs on the first machine that there is.
    let anywhere = executors.iter().flat_map(|executor| &executor.systems).next().map_or(BUILTIN, String::as_str);
    let mut jobs = Vec::with_capacity(answer.jobs.len());
    let plan = strategy(&answer, &simulation, &prices);
    for ((&number, requires), inputs) in job_graph.order.iter().zip(&job_graph.requires).zip(&job_graph.inputs) {
        let nodes = &answer.jobs[number as usize];
        let built = merge(&nodes.owned, &nodes.co_located);
        ensure!(!built.is_empty(), "job {number} builds nothing");
        let duration = simulation.end[number as usize] - simulation.start[number as usize];
        let system = small.systems.get(usize::from(nodes.system)).map_or(anywhere, |system| system);
        let executor = executor_of(executors, system);
        let list = |nodes: &[Node]| nodes.iter().map(|&node| paths[node as usize].clone()).collect();
        let job_index = |jobs: &[u32]| jobs.iter().map(|&job| JobIndex(job)).collect();
        jobs.push(Job {
            id: job_names[number as usize].id.clone(),
            name: job_names[number as usize].name.clone(),
            system: system.into(),
            targets: namer.targets(nodes).cloned().collect(),
            derivations: list(&nodes.owned),
            co_located: list(&nodes.co_located),
            requires: job_index(requires),
            inputs: job_index(inputs),
            executor: executor.map(|executor| executor.name.clone()),
            image: executor.map(|executor| executor.image.clone()),
            resource_class: executor.map(|executor| executor.resource_class.clone()),
            options: JobOptions {},
            estimate: Estimate {
                duration,
                from: built
                    .iter()
                    .map(|&node| small.estimates[node as usize].from)
                    .max()
                    .unwrap_or(EstimateSource::Default),
            },
        });
    }
    let simpler = baselines(problem, &model, &prices);
    let plan = Plan {
        flake,
        base,
        store_dir: graph.store_dir().into(),
        caches,
        jobs,
        final_jobs: Vec::new(),
        skipped,
        errors,
        estimates: Estimates {
            needed: problem.len() as u64,
            duplicates: plan.builds - problem.len() as u64,
            lower_bound: lower_bound(problem, &model),
            plan,
            flat: simpler.flat,
            ordered: simpler.ordered,
            per_derivation: simpler.per_derivation,
            handoff: Some(HandOffEstimate {
                kind: if workspace { HandOffKind::Workspace } else { HandOffKind::Cache },
                layers: if workspace { simulation.layers } else { 0 },
                layer: model.layer,
                bytes: simulation.fetched.saturating_mul(costs.bytes),
                time: simulation.layers * model.layer + simulation.fetched * model.fetch,
            }),
        },
    };
    let others = also
        .iter()
        .map(|&granularity| {
            let options = Options { granularity, ..options.clone() };
            let other = on_machines(problem, partition(problem, &model, &options).partition);
            let simulation = simulate(problem, &other, &direct_inputs(problem, &other)?, &model);
            Ok((granularity, strategy(&other, &simulation, &prices)))
        })
        .collect::<Result<_>>()?;
    Ok(Made { plan, notes, others })
}

/// True where most of the builds have been timed before: a plan made from guesses keeps a reserve, one made from records does not.
fn are_recorded(estimates: &[Estimate]) -> bool {
    let guessed = estimates.iter().filter(|estimate| estimate.from == EstimateSource::Default).count();
    let recorded = estimates.iter().filter(|estimate| estimate.from == EstimateSource::History).count();
    recorded > 9 * guessed
}

/// Gives the jobs that anybody could run to the machines that have the most to do.
fn on_machines(problem: &Problem, mut partition: Partition) -> Partition {
    let main = main_system(problem.system.iter().copied());
    for job in &mut partition.jobs {
        if job.system == ANY_SYSTEM {
            job.system = main;
        }
    }
    partition
}

/// The figures of a partition.
fn strategy(partition: &Partition, simulation: &Simulation, prices: &Prices) -> Strategy {
    let lengths = simulation.end.iter().zip(&simulation.start).map(|(end, start)| end - start);
    Strategy {
        jobs: partition.jobs.len() as u64,
        builds: partition.jobs.iter().map(|job| (job.owned.len() + job.co_located.len()) as u64).sum(),
        job_time: simulation.job_time,
        makespan: simulation.makespan,
        credits: partition.jobs.iter().zip(lengths).map(|(job, length)| prices.credits(job.system, length)).sum(),
    }
}

/// Takes the targets away whose needed closure holds a derivation that no executor builds; gives them.
fn drop_unbuildable(
    graph: &Graph,
    targets: &[(AttributePath, DrvId)],
    needed: &mut Needed,
    executors: &[Executor],
) -> HashSet<DrvId> {
    let known: HashSet<&str> =
        executors.iter().flat_map(|executor| &executor.systems).map(String::as_str).chain([BUILTIN]).collect();
    let mut blocked = vec![false; graph.len()];
    let mut any = false;
    for id in needed.ids() {
        let inputs = graph.inputs(id).iter().any(|input| needed.has(input.drv) && blocked[input.drv.at()]);
        blocked[id.at()] = inputs || !known.contains(&*graph.node(id).system);
        any |= blocked[id.at()];
    }
    if !any {
        return HashSet::new();
    }
    let (dropped, kept): (Vec<DrvId>, Vec<DrvId>) = targets.iter().map(|(_, id)| *id).partition(|id| blocked[id.at()]);
    needed.restrict(graph, &kept);
    dropped.into_iter().collect()
}

fn executor_of<'a>(executors: &'a [Executor], system: &str) -> Option<&'a Executor> {
    executors.iter().find(|executor| executor.systems.iter().any(|has| has == system))
}

/// The machines of the problem's systems and what they cost.
fn machines(systems: &[Arc<str>], executors: &[Executor], costs: &CostModel, workspace: bool) -> (Model, Prices) {
    let found: Vec<Option<&Executor>> = systems.iter().map(|system| executor_of(executors, system)).collect();
    let cores = |executor: &Executor| executor.cores.max(1) as usize;
    let model = Model {
        start_up: costs.start_up,
        layer: if workspace { costs.layer } else { 0 },
        fetch: costs.transfer(),
        whole_layers: workspace,
        concurrency: costs.concurrency,
        slots: found.iter().map(|executor| executor.map_or(1, cores)).collect(),
        default_slots: executors.first().map_or(1, cores),
    };
    (model, Prices(found.iter().map(|executor| executor.map_or(0, |executor| executor.credits_per_minute)).collect()))
}

/// The system that most derivations have: derivations that anybody can build go there.
fn main_system(systems: impl Iterator<Item = u16>) -> u16 {
    let mut count: HashMap<u16, usize> = HashMap::new();
    for system in systems.filter(|&system| system != ANY_SYSTEM) {
        *count.entry(system).or_default() += 1;
    }
    count
        .into_iter()
        .max_by_key(|&(system, count)| (count, std::cmp::Reverse(system)))
        .map_or(ANY_SYSTEM, |(system, _)| system)
}

fn merge(a: &[Node], b: &[Node]) -> Vec<Node> {
    let mut all = [a, b].concat();
    all.sort_unstable();
    all
}

/// Finds names for jobs.
struct Namer<'a> {
    graph: &'a Graph,
    small: &'a NeededGraph,
    attributes: &'a BTreeMap<DrvId, Vec<&'a AttributePath>>,
    many_systems: bool,
}

impl<'a> Namer<'a> {
    fn attributes(&self, node: Node) -> &[&'a AttributePath] {
        self.attributes.get(&self.small.drvs[node as usize]).map_or(&[], Vec::as_slice)
    }

    /// The attributes that the job completes, sorted.
    fn targets(&self, job: &JobNodes) -> impl Iterator<Item = &'a AttributePath> + use<'a> {
        let mut targets: Vec<_> = job.owned.iter().flat_map(|&node| self.attributes(node)).copied().collect();
        targets.sort_unstable();
        targets.into_iter()
    }

    fn naming(&self, job: &JobNodes) -> Naming {
        let problem = &self.small.problem;
        let system = self.small.systems.get(usize::from(job.system)).map_or(BUILTIN, |system| system);
        let name = |node: Node| self.graph.node(self.small.drvs[node as usize]).name();
        let mut completed: Vec<&AttributePath> =
            job.owned.iter().filter_map(|&node| names::representative(self.attributes(node).iter().copied())).collect();
        completed.sort_unstable();
        let (mut wish, others, content) = match names::representative(completed.iter().copied()) {
            Some(first) => {
                (names::label(first, system), completed.len() - 1, completed.iter().map(ToString::to_string).collect())
            }
            None => {
                // The largest one; among equals the one that the others lead to, then by name.
                let largest = job.owned.iter().copied().max_by(|&a, &b| {
                    let duration = |node: Node| problem.duration[node as usize];
                    duration(a).cmp(&duration(b)).then(a.cmp(&b))
                });
                let mut content: Vec<String> = job.owned.iter().map(|&node| name(node).to_owned()).collect();
                content.sort_unstable();
                (largest.map(name).unwrap_or_default().to_owned(), job.owned.len() - 1, content)
            }
        };
        if others > 0 {
            wish.push_str(&format!("+{others}"));
        }
        if self.many_systems {
            wish.push_str(&format!(" ({system})"));
        }
        let paths = job.owned.iter().map(|&node| self.graph.path(self.small.drvs[node as usize])).collect();
        Naming { wish, content, paths }
    }
}
