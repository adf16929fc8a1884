//! Planning from end to end: targets and needed derivations in, a [`Plan`] out.
//!
//! In five steps: where each derivation is built ([`place`]); which targets are left out, and why ([`skipped`](super::skipped)); how the needed
//! derivations are cut into jobs ([`planner`](super::planner)); names, order and machines of these jobs; and what the plan and simpler ones are expected to take.

use std::collections::{BTreeMap, HashMap, HashSet};

use anyhow::{Result, bail};

use super::capacity;
use super::downloads;
use super::estimate::CostModel;
use super::failed_before;
use super::fitted::{BANDWIDTH, fitted};
use super::job_list::job_list;
use super::job_namer::JobNamer;
use super::last_jobs::{as_before, last_jobs};
use super::likeness::{likeness, where_names_leave_a_choice};
use super::model::{Granularity, PartitionOptions};
use super::needed::NeededGraph;
use super::placement::{Attributes, Decision, MachineChoice};
use super::placer::place;
use super::planned_workers::PlannedWorkers;
use super::planner::{Planned, Planner};
use super::planning_cost::PlanningCost;
use super::problem::Node;
use super::report_cost::ReportEstimate;
use super::skipped::{LeftOut, drop_unbuildable};
use super::workers::search::Way;
use super::{Base, EvaluationError, FlakeSource, JobIndex, Plan, Strategy};
use crate::attribute::AttributePath;
use crate::availability::Needed;
use crate::delivery::HandOffKind;
use crate::fleet::system::BUILTIN;
use crate::graph::{DrvId, Graph};
use crate::nix::binary_cache::Reliance;
use crate::plural::counted;
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
    pub options: &'a PartitionOptions,
    /// Other granularities to predict the figures of.
    pub also: &'a [Granularity],
    /// Whether to predict the figures of workers in place of jobs.
    pub workers: bool,
    /// How results travel: in a workspace every ancestor is a layer to attach.
    pub handoff: HandOffKind,
}

impl PlanInputs<'_> {
    /// What there is to be said before planning begins, which takes long then: targets have to share jobs.
    pub fn crowd(&self) -> Option<String> {
        let most = self.options.limits.jobs.filter(|_| self.options.granularity == Granularity::Target)?;
        let needed = self.targets.iter().map(|(_, id)| id).filter(|id| self.needed.has(**id));
        let count = needed.collect::<HashSet<_>>().len();
        (count > most)
            .then(|| format!("{count} targets are to be built, and the plan may have {}", counted(most, "job")))
    }
}

/// A plan, and what is to be said about it.
#[derive(Clone, Debug)]
pub struct Made {
    /// The plan.
    pub plan: Plan,
    /// Limits and requests that could not be met or that cost something, in words.
    pub notes: Vec<String>,
    /// What plans of other granularities would take.
    pub others: Vec<(Granularity, Strategy)>,
    /// What workers in place of jobs would take, where that was asked for.
    pub workers: Option<Way>,
    /// Who decided where each target is built; nobody where the plan was read from a file.
    pub decisions: BTreeMap<AttributePath, Decision>,
    /// What the job that plans takes to start; none where the plan was read from a file.
    pub planning: Option<PlanningCost>,
}

/// Makes the plan. The same inputs give the same plan, byte for byte.
pub fn make(inputs: PlanInputs) -> Result<Made> {
    let PlanInputs { graph, targets, mut needed, handoff, .. } = inputs;
    let costs = &fitted(inputs.costs, graph, &needed.ids().collect::<Vec<_>>());
    let mut of_drv = Attributes::new();
    for (attribute, id) in targets {
        of_drv.entry(*id).or_default().push(attribute);
    }
    let placements = place(graph, &needed, &of_drv, &inputs.choice, costs)?;

    let unbuildable = drop_unbuildable(graph, targets, &mut needed, &placements);
    let left_out =
        LeftOut { excluded: inputs.excluded, unaffected: inputs.unaffected, disabled: inputs.disabled, unbuildable };
    let (attributes, skipped) = left_out.split(graph, targets, &needed);

    let target_drvs: Vec<DrvId> = attributes.keys().copied().collect();
    let small = NeededGraph::new(graph, &needed, &target_drvs, &placements, costs);
    if handoff == HandOffKind::Cache {
        check_floating_inputs(graph, &small)?;
    }
    let planner = Planner::new(&small, &placements, costs, inputs.options, handoff);
    let names = inputs.options.workers.as_ref();
    let crew = names.map(|_| PlannedWorkers::new(&planner)).transpose()?.flatten();
    let (planned, crew) = match crew {
        Some((planned, crew)) => (planned, Some(crew)),
        None => match inputs.options.max_credits {
            Some(most) => (planner.within(most)?, None),
            None => (planner.asked()?.1, None),
        },
    };
    let Planned { mut simulated, free, mut notes } = planned;
    if names.is_some() && crew.is_none() && !small.problem.is_empty() {
        notes.push("no workers: all that is to be built gets contexts or an environment, or needs what does".into());
    }
    notes.extend(placements.warnings.iter().cloned());
    notes.extend(failed_before::notes(graph, &small.drvs, &costs.history));

    let alike = likeness(graph, &small);
    let mut kept_jobs = None;
    if let Some(last) = costs.history.last_plan.as_ref().filter(|_| crew.is_none()) {
        let earlier = last_jobs(graph, &small, &alike, last);
        if let Some(kept) = planner.kept(&earlier, &simulated)? {
            kept_jobs = Some(as_before(&kept.jobs.partition, &earlier, last));
            simulated = kept;
        }
    }
    let fetched = capacity::downloads(graph, &needed, &small, &simulated.jobs.partition);
    notes.extend(capacity::notes(graph, &small, &placements, &simulated.jobs.partition, &fetched));
    let systems: HashSet<&str> =
        targets.iter().map(|(_, id)| &*graph.node(*id).system).filter(|&system| system != BUILTIN).collect();
    let namer = JobNamer {
        graph,
        small: &small,
        placements: &placements,
        attributes: &attributes,
        many_systems: systems.len() > 1,
    };
    let jobs = job_list(&simulated, &namer, inputs.choice.fleet.reserved_names, &planner.model)?;

    if crew.is_none() {
        notes.extend(capacity::too_long(&jobs, planner.options.limits.job_length));
    }

    let rounding = planner.prices.rounding;
    let mut estimates = planner.estimates(&simulated);
    if let Some(crew) = &crew {
        estimates.plan = crew.figures.clone();
    }
    estimates.kept = kept_jobs;
    estimates.downloads = downloads::of_all(&fetched, costs.bandwidth.unwrap_or(BANDWIDTH));
    estimates.free = planner.in_free_order(&free)?;
    estimates.report = (!jobs.is_empty()).then(|| {
        let Strategy { jobs, builds, .. } = estimates.plan;
        ReportEstimate::new(inputs.choice.fleet, (costs.start_up, rounding), jobs, builds)
    });
    let others = inputs.also.iter().map(|&granularity| Ok((granularity, planner.figures(granularity)?)));
    let others = others.collect::<Result<_>>()?;
    let workers = inputs.workers.then(|| planner.workers()).flatten().map(|(_, way)| way);
    let job_of: HashMap<&str, JobIndex> =
        (0..).zip(&jobs).flat_map(|(at, job)| job.derivations.iter().map(move |drv| (&**drv, JobIndex(at)))).collect();
    let job_of = |node: Node| job_of.get(&*graph.path(small.drvs[node as usize])).copied();
    let store = names.and_then(|names| names.0.clone());
    let crew = crew.map(|crew| crew.in_plan(&planner, store, job_of));
    let decided = targets.iter().filter_map(|(path, id)| Some((path.clone(), *placements.decisions.get(id)?)));
    let decisions = decided.collect();
    let planning = Some(PlanningCost::new(inputs.choice.fleet, costs.start_up, rounding));
    let plan = Plan {
        provider: None, // whoever asks for the plan knows
        flake: inputs.flake,
        base: inputs.base,
        change: None,
        sizes: None,
        store_dir: graph.store_dir().into(),
        caches: inputs.caches,
        job_limit: planner.options.limits.job_length.map(|limit| limit / 1000 * 1000),
        jobs,
        workers: crew,
        same_as: BTreeMap::new(),
        built_while_planning: BTreeMap::new(),
        expected: capacity::expected(graph, &small),
        likeness: where_names_leave_a_choice(graph, &small, &alike),
        targets: Vec::new(),
        allow_failure: Vec::new(),
        final_jobs: Vec::new(),
        skipped,
        errors: inputs.errors,
        estimates,
    };
    Ok(Made { plan, notes, others, workers, decisions, planning })
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
