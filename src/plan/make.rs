//! Planning from end to end: targets and needed derivations in, a [`Plan`] out.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use anyhow::{Result, ensure};

use super::baseline::baselines;
use super::estimate::CostModel;
use super::job_graph::{JobGraph, direct_inputs};
use super::names::{self, Naming};
use super::needed::{BUILTIN, NeededGraph};
use super::partition::partition;
use super::problem::{ANY_SYSTEM, Adjacency, JobNodes, Millis, Node};
use super::schedule::{Fleet, build_time, simulate};
use super::{
    Base, Estimate, EstimateSource, Estimates, EvaluationError, FlakeSource, Job, JobIndex, JobOptions, Plan,
    SkipReason, Skipped, Strategy,
};
use crate::attribute::AttributePath;
use crate::availability::Needed;
use crate::executor::Executor;
use crate::graph::{DrvId, Graph};

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
    /// Attributes that were selected and then left out.
    pub excluded: Vec<AttributePath>,
    /// Attributes that did not evaluate.
    pub errors: Vec<EvaluationError>,
    /// The machines that the provider offers.
    pub executors: &'a [Executor],
    /// Assumptions about time.
    pub costs: &'a CostModel,
}

/// Makes the plan. The same inputs give the same plan, byte for byte.
pub fn make(inputs: Inputs) -> Result<Plan> {
    let Inputs { flake, base, graph, targets, mut needed, excluded, errors, executors, costs } = inputs;
    let unbuildable = drop_unbuildable(graph, targets, &mut needed, executors);

    let mut skipped: Vec<Skipped> = excluded
        .into_iter()
        .map(|target| Skipped { target, derivation: None, reason: SkipReason::Excluded, place: None })
        .collect();
    let mut attributes: BTreeMap<DrvId, Vec<&AttributePath>> = BTreeMap::new();
    for (attribute, id) in targets {
        if needed.has(*id) && !unbuildable.contains(id) {
            attributes.entry(*id).or_default().push(attribute);
        } else {
            skipped.push(Skipped {
                target: attribute.clone(),
                derivation: Some(graph.path(*id).into()),
                reason: if unbuildable.contains(id) { SkipReason::NoExecutor } else { SkipReason::Available },
                place: None,
            });
        }
    }
    skipped.sort_by(|a, b| a.target.cmp(&b.target));

    let target_drvs: Vec<DrvId> = attributes.keys().copied().collect();
    let small = NeededGraph::new(graph, &needed, &target_drvs, costs);
    let fleet = fleet(&small.systems, executors, costs);
    let problem = &small.problem;
    let mut answer = partition(problem);
    let main = main_system(problem.system.iter().copied());
    for job in &mut answer.jobs {
        if job.system == ANY_SYSTEM {
            job.system = main;
        }
    }

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
    let job_graph = JobGraph::new(&direct_inputs(problem, &answer)?, &rank)?;

    let paths: Vec<Arc<str>> = small.drvs.iter().map(|&id| graph.path(id).into()).collect();
    // A job of nothing but `builtin` runs on the first machine that there is.
    let anywhere = executors.iter().flat_map(|executor| &executor.systems).next().map_or(BUILTIN, String::as_str);
    let mut jobs = Vec::with_capacity(answer.jobs.len());
    let mut durations = Vec::with_capacity(answer.jobs.len());
    let mut plan = Strategy { jobs: answer.jobs.len() as u64, ..Strategy::default() };
    for ((&number, requires), inputs) in job_graph.order.iter().zip(&job_graph.requires).zip(&job_graph.inputs) {
        let nodes = &answer.jobs[number as usize];
        let built = merge(&nodes.owned, &nodes.co_located);
        ensure!(!built.is_empty(), "job {number} builds nothing");
        let duration = fleet.start_up + build_time(problem, &built, fleet.slots(nodes.system));
        plan.builds += built.len() as u64;
        plan.job_time += duration;
        plan.credits += fleet.credits(nodes.system, duration);
        durations.push(Some(duration));
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
    plan.makespan = simulate(&durations, &Adjacency::from_lists(job_graph.requires), fleet.concurrency).makespan;

    let simpler = baselines(problem, &fleet);
    Ok(Plan {
        flake,
        base,
        store_dir: graph.store_dir().into(),
        jobs,
        final_jobs: Vec::new(),
        skipped,
        errors,
        estimates: Estimates {
            needed: problem.len() as u64,
            duplicates: plan.builds - problem.len() as u64,
            lower_bound: lower_bound(&small, &fleet),
            plan,
            flat: simpler.flat,
            ordered: simpler.ordered,
            per_derivation: simpler.per_derivation,
        },
    })
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

/// The machines of the problem's systems.
fn fleet(systems: &[Arc<str>], executors: &[Executor], costs: &CostModel) -> Fleet {
    let machines = systems
        .iter()
        .map(|system| executor_of(executors, system))
        .map(|executor| executor.map_or((1, 0), |executor| (executor.cores, executor.credits_per_minute)))
        .collect();
    Fleet::new(costs.start_up, costs.concurrency, machines)
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

/// No plan is faster than its longest path after one start-up, nor than all work on all slots.
fn lower_bound(small: &NeededGraph, fleet: &Fleet) -> Millis {
    let problem = &small.problem;
    if problem.is_empty() {
        return 0;
    }
    let mut height = vec![0; problem.len()];
    for node in 0..problem.len() {
        let below = problem.inputs.of(node as Node).iter().map(|&input| height[input as usize]).max().unwrap_or(0);
        height[node] = below + problem.duration[node];
    }
    let path = height.into_iter().max().unwrap_or(0) + fleet.start_up;
    let work: Millis = problem.duration.iter().sum();
    path.max(work / (u64::from(fleet.concurrency) * u64::from(fleet.most_slots())))
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
