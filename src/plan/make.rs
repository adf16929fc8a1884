//! Planning from end to end: targets and needed derivations in, a [`Plan`] out.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use anyhow::{Result, bail, ensure};

use super::baseline::baselines;
use super::estimate::CostModel;
use super::job_graph::{JobGraph, direct_inputs};
use super::model::{Granularity, Model, Options};
use super::names::{self, Naming};
use super::needed::NeededGraph;
use super::partition::partition;
use super::placement::{Decision, MachineChoice, Placements, place};
use super::prices::Prices;
use super::problem::{ANY_SYSTEM, JobNodes, Node, Partition};
use super::simulate::{Simulation, lower_bound, simulate};
use super::{
    Base, Estimate, EstimateSource, Estimates, EvaluationError, FlakeSource, HandOffEstimate, Job, JobIndex,
    JobOptions, Plan, SkipReason, Skipped, Strategy,
};
use crate::attribute::AttributePath;
use crate::availability::Needed;
use crate::delivery::HandOffKind;
use crate::fleet::system::BUILTIN;
use crate::graph::{DrvId, Graph};
use crate::nix::binary_cache::Reliance;
use crate::target::Target;

/// Everything that a plan is made of.
#[derive(Clone, Debug)]
pub struct PlanInputs<'a> {
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
    /// Targets that are left out because their packages say so.
    pub disabled: Vec<Target>,
    /// Attributes that did not evaluate.
    pub errors: Vec<EvaluationError>,
    /// The caches that the plan counts on.
    pub caches: Reliance,
    /// What decides on which machine a derivation is built.
    pub choice: MachineChoice<'a>,
    /// Assumptions about time.
    pub costs: &'a CostModel,
    /// What the planner is asked for.
    pub options: &'a Options,
    /// Other granularities to predict the figures of.
    pub also: &'a [Granularity],
    /// How results travel: in a workspace every ancestor is a layer to attach.
    pub handoff: HandOffKind,
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
    /// Who decided where each target is built; nobody where the plan was read from a file.
    pub decisions: BTreeMap<AttributePath, Decision>,
}

/// Makes the plan. The same inputs give the same plan, byte for byte.
pub fn make(inputs: PlanInputs) -> Result<Made> {
    let PlanInputs {
        flake,
        base,
        graph,
        targets,
        mut needed,
        unaffected,
        excluded,
        disabled,
        errors,
        caches,
        choice,
        costs,
        options,
        also,
        handoff,
    } = inputs;
    let mut of_drv: BTreeMap<DrvId, Vec<&AttributePath>> = BTreeMap::new();
    for (attribute, id) in targets {
        of_drv.entry(*id).or_default().push(attribute);
    }
    let placements = place(graph, &needed, &of_drv, &choice, costs)?;
    let unbuildable = drop_unbuildable(graph, targets, &mut needed, &placements);

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
    skipped.extend(disabled.into_iter().map(|target| Skipped {
        target: target.attribute,
        derivation: Some(target.drv_path.into()),
        reason: SkipReason::Excluded,
        place: Some("its package says `disable`".into()),
    }));
    let mut attributes: BTreeMap<DrvId, Vec<&AttributePath>> = BTreeMap::new();
    for (attribute, id) in targets {
        let lacking = unbuildable.get(id);
        if needed.has(*id) && lacking.is_none() {
            attributes.entry(*id).or_default().push(attribute);
        } else {
            skipped.push(Skipped {
                target: attribute.clone(),
                derivation: Some(graph.path(*id).into()),
                reason: if lacking.is_some() { SkipReason::NoExecutor } else { SkipReason::Available },
                place: lacking.cloned().or_else(|| needed.place(*id).map(str::to_owned)),
            });
        }
    }
    skipped.sort_by(|a, b| a.target.cmp(&b.target));

    let target_drvs: Vec<DrvId> = attributes.keys().copied().collect();
    let small = NeededGraph::new(graph, &needed, &target_drvs, &placements, costs);
    let workspace = handoff == HandOffKind::Workspace;
    if !workspace {
        check_floating_inputs(graph, &small)?;
    }
    let (model, prices) = machines(&placements, costs, workspace);
    let problem = &small.problem;
    let options = &Options { durations_recorded: are_recorded(&small.estimates), ..options.clone() };
    let planned = partition(problem, &model, options);
    let answer = on_machines(planned.partition, &placements);
    let mut notes = planned.notes;
    notes.extend(placements.warnings.iter().cloned());

    let systems: HashSet<&str> =
        targets.iter().map(|(_, id)| &*graph.node(*id).system).filter(|&system| system != BUILTIN).collect();
    let namer = Namer {
        graph,
        small: &small,
        placements: &placements,
        attributes: &attributes,
        many_systems: systems.len() > 1,
    };
    let job_names = names::assign(
        &answer.jobs.iter().map(|job| namer.naming(job)).collect::<Vec<_>>(),
        choice.fleet.reserved_names,
    );
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
    let mut jobs = Vec::with_capacity(answer.jobs.len());
    let plan = strategy(&answer, &simulation, &prices);
    for ((&number, requires), inputs) in job_graph.order.iter().zip(&job_graph.requires).zip(&job_graph.inputs) {
        let nodes = &answer.jobs[number as usize];
        let built = merge(&nodes.owned, &nodes.co_located);
        ensure!(!built.is_empty(), "job {number} builds nothing");
        let duration = simulation.end[number as usize] - simulation.start[number as usize];
        let placement = placements.list.get(usize::from(nodes.system));
        let list = |nodes: &[Node]| nodes.iter().map(|&node| paths[node as usize].clone()).collect();
        let job_index = |jobs: &[u32]| jobs.iter().map(|&job| JobIndex(job)).collect();
        jobs.push(Job {
            id: job_names[number as usize].id.clone(),
            name: job_names[number as usize].name.clone(),
            system: placement.map_or(BUILTIN, |placement| &placement.system).into(),
            targets: namer.targets(nodes).cloned().collect(),
            derivations: list(&nodes.owned),
            co_located: list(&nodes.co_located),
            requires: job_index(requires),
            inputs: job_index(inputs),
            executor: placement.map(|placement| placement.executor.clone()),
            image: placement.and_then(|placement| placement.image.clone()),
            resource_class: placement.map(|placement| placement.resource_class.clone()),
            options: placement.map_or_else(JobOptions::default, |placement| placement.options.clone()),
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
        targets: Vec::new(),
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
                kind: handoff,
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
            let other = on_machines(partition(problem, &model, &options).partition, &placements);
            let simulation = simulate(problem, &other, &direct_inputs(problem, &other)?, &model);
            Ok((granularity, strategy(&other, &simulation, &prices)))
        })
        .collect::<Result<_>>()?;
    let decided = targets.iter().filter_map(|(path, id)| Some((path.clone(), *placements.decisions.get(id)?)));
    Ok(Made { plan, notes, others, decisions: decided.collect() })
}

/// Refuses a content-addressed input of a job with contexts where jobs hand on through a store: such a job builds nothing but its targets, and
/// which path the input has travels only in a workspace, beside the path itself.
fn check_floating_inputs(graph: &Graph, small: &NeededGraph) -> Result<()> {
    let problem = &small.problem;
    let name = |node: Node| graph.node(small.drvs[node as usize]).name().escape_debug();
    for node in (0..problem.len() as Node).filter(|&node| problem.confined[node as usize]) {
        let apart = |input: &Node| {
            problem.floating[*input as usize] && problem.system[*input as usize] != problem.system[node as usize]
        };
        if let Some(input) = problem.inputs.of(node).iter().copied().find(apart) {
            bail!(
                "`{}` is built with contexts and needs `{}`, which is content-addressed and built in a job without: only \
                 `handoff: workspace` passes on which path that has (or build `{}` without contexts)",
                name(node),
                name(input),
                name(node)
            );
        }
    }
    Ok(())
}

/// True where most of the builds have been timed before: a plan made from guesses keeps a reserve, one made from records does not.
fn are_recorded(estimates: &[Estimate]) -> bool {
    let guessed = estimates.iter().filter(|estimate| estimate.from == EstimateSource::Default).count();
    let recorded = estimates.iter().filter(|estimate| estimate.from == EstimateSource::History).count();
    recorded > 9 * guessed
}

/// Gives the jobs that anybody could run to the machines that have the most to do.
fn on_machines(mut partition: Partition, placements: &Placements) -> Partition {
    for job in &mut partition.jobs {
        if job.system == ANY_SYSTEM {
            job.system = placements.anywhere;
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

/// Takes the targets away whose needed closure holds a derivation that no executor builds; gives them, with a sentence that says why.
fn drop_unbuildable(
    graph: &Graph,
    targets: &[(AttributePath, DrvId)],
    needed: &mut Needed,
    placements: &Placements,
) -> BTreeMap<DrvId, String> {
    if placements.lacking.is_empty() {
        return BTreeMap::new();
    }
    // What is at fault for each derivation that cannot be built: itself, or the first one below it.
    let mut at_fault: Vec<Option<DrvId>> = vec![None; graph.len()];
    for id in needed.ids() {
        let below = graph.inputs(id).iter().filter(|input| needed.has(input.drv));
        let below = below.filter_map(|input| at_fault[input.drv.at()]).next();
        at_fault[id.at()] = if placements.lacking.contains_key(&id) { Some(id) } else { below };
    }
    let (dropped, kept): (Vec<DrvId>, Vec<DrvId>) =
        targets.iter().map(|(_, id)| *id).partition(|id| at_fault[id.at()].is_some());
    needed.restrict(graph, &kept);
    dropped
        .into_iter()
        .filter_map(|id| {
            let fault = at_fault[id.at()]?;
            let lacking = placements.lacking.get(&fault)?;
            let subject = match graph.node(fault).name() {
                _ if fault == id => "it".to_owned(),
                name => format!("`{}`, which it needs,", name.escape_debug()),
            };
            Some((id, format!("{subject} {lacking}")))
        })
        .collect()
}

/// The machines of the problem's systems and what they cost.
fn machines(placements: &Placements, costs: &CostModel, workspace: bool) -> (Model, Prices) {
    let list = &placements.list;
    let anywhere = list.get(usize::from(placements.anywhere));
    let model = Model {
        start_up: costs.start_up,
        layer: if workspace { costs.layer } else { 0 },
        fetch: costs.transfer(),
        whole_layers: workspace,
        concurrency: costs.concurrency,
        slots: list.iter().map(|placement| placement.cores as usize).collect(),
        default_slots: anywhere.map_or(1, |placement| placement.cores as usize),
    };
    (model, Prices(list.iter().map(|placement| placement.credits_per_minute).collect()))
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
    placements: &'a Placements,
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
        let placement = self.placements.list.get(usize::from(job.system));
        let system = placement.map_or(BUILTIN, |placement| &placement.system);
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
