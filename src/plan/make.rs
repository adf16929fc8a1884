//! Planning from end to end: targets and needed derivations in, a [`Plan`] out.
//!
//! In five steps: where each derivation is built ([`place`]); which targets are left out, and why ([`skipped`](super::skipped)); how the needed
//! derivations are cut into jobs ([`partition`]); names, order and machines of these jobs; and what the plan and simpler ones are expected to take.

use std::collections::{BTreeMap, HashSet};

use anyhow::{Result, bail};

use super::baseline::baselines;
use super::budget;
use super::capacity;
use super::estimate::{BuildEstimate, CostModel};
use super::failed_before;
use super::fit_inputs;
use super::fitted::fitted;
use super::job_graph::{JobGraph, direct_inputs};
use super::job_list::{Simulated, job_list};
use super::job_namer::JobNamer;
use super::keeping::is_worth_keeping;
use super::last_jobs::{as_before, last_jobs};
use super::model::{Granularity, Model, PartitionOptions};
use super::needed::NeededGraph;
use super::partition::bands::{self, InWaves};
use super::partition::kept::kept;
use super::partition::{Solution, partition, partition_in_waves};
use super::placement::{Attributes, Decision, MachineChoice, Placements};
use super::placer::place;
use super::planning_cost::PlanningCost;
use super::prices::Prices;
use super::problem::{ANY_SYSTEM, JobNodes, Millis, Node, Partition};
use super::report_cost::ReportEstimate;
use super::simulate::{lower_bound, simulate_in_waves};
use super::skipped::{LeftOut, drop_unbuildable};
use super::{
    Base, Durations, EstimateSource, Estimates, EvaluationError, FlakeSource, HandOffEstimate, ModelFigures, Plan,
    Strategy,
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
    pub options: &'a PartitionOptions,
    /// Other granularities to predict the figures of.
    pub also: &'a [Granularity],
    /// How results travel: in a workspace every ancestor is a layer to attach.
    pub handoff: HandOffKind,
    /// Whether a job behind all others puts together what they record.
    pub reports: bool,
}

impl PlanInputs<'_> {
    /// What there is to be said before planning begins, which takes long then: targets have to share jobs.
    pub fn crowd(&self) -> Option<String> {
        let most = self.options.limits.jobs.filter(|_| self.options.granularity == Granularity::Target)?;
        let needed = self.targets.iter().map(|(_, id)| id).filter(|id| self.needed.has(**id));
        let count = needed.collect::<HashSet<_>>().len();
        (count > most).then(|| format!("{count} targets are to be built, and the plan may have {most} jobs"))
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
    let Planned { mut simulated, free, mut notes } = match inputs.options.max_credits {
        Some(most) => planner.within(most)?,
        None => planner.planned(inputs.options.granularity)?,
    };
    notes.extend(placements.warnings.iter().cloned());
    notes.extend(failed_before::notes(graph, &small.drvs, &costs.history));

    let mut kept_jobs = None;
    if let Some(last) = &costs.history.last_plan {
        let earlier = last_jobs(graph, &small, last);
        if let Some(kept) = planner.kept(&earlier, &simulated)? {
            kept_jobs = Some(as_before(&kept.jobs.partition, &earlier, last));
            simulated = kept;
        }
    }
    notes.extend(capacity::notes(graph, &small, &placements, &simulated.jobs.partition));
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

    let mut estimates = planner.estimates(&simulated);
    estimates.kept = kept_jobs;
    estimates.free = planner.in_free_order(&free)?;
    estimates.report = (inputs.reports && !jobs.is_empty()).then(|| {
        let Strategy { jobs, builds, .. } = estimates.plan;
        ReportEstimate::new(inputs.choice.fleet, costs.start_up, jobs, builds)
    });
    let others = inputs.also.iter().map(|&granularity| Ok((granularity, planner.figures(granularity)?)));
    let others = others.collect::<Result<_>>()?;
    let decided = targets.iter().filter_map(|(path, id)| Some((path.clone(), *placements.decisions.get(id)?)));
    let decisions = decided.collect();
    let planning = Some(PlanningCost::new(inputs.choice.fleet, costs.start_up));
    let plan = Plan {
        provider: None, // whoever asks for the plan knows
        flake: inputs.flake,
        base: inputs.base,
        store_dir: graph.store_dir().into(),
        caches: inputs.caches,
        job_limit: planner.options.limits.job_length.map(|limit| limit / 1000 * 1000),
        jobs,
        same_as: BTreeMap::new(),
        built_while_planning: BTreeMap::new(),
        expected: capacity::expected(graph, &small),
        targets: Vec::new(),
        allow_failure: Vec::new(),
        final_jobs: Vec::new(),
        skipped,
        errors: inputs.errors,
        estimates,
    };
    Ok(Made { plan, notes, others, decisions, planning })
}

/// What one way to plan gives.
struct Planned {
    simulated: Simulated,
    /// The jobs where none come in waves.
    free: Partition,
    notes: Vec<String>,
}

/// What cutting the needed derivations into jobs takes, whatever the granularity.
struct Planner<'a> {
    small: &'a NeededGraph,
    placements: &'a Placements,
    costs: &'a CostModel,
    handoff: HandOffKind,
    model: Model,
    prices: Prices,
    options: PartitionOptions,
}

impl<'a> Planner<'a> {
    fn new(
        small: &'a NeededGraph,
        placements: &'a Placements,
        costs: &'a CostModel,
        options: &PartitionOptions,
        handoff: HandOffKind,
    ) -> Self {
        let list = &placements.list;
        let anywhere = list.get(usize::from(placements.anywhere));
        let workspace = handoff.has_layers();
        let model = Model {
            start_up: costs.start_up,
            layer: if workspace { costs.layer } else { 0 },
            fetch: costs.transfer(),
            hand_off: costs.transfer(),
            queue: costs.queue,
            whole_layers: workspace,
            concurrency: costs.concurrency,
            slots: list.iter().map(|placement| placement.cores as usize).collect(),
            default_slots: anywhere.map_or(1, |placement| placement.cores as usize),
            memory: list.iter().map(|placement| placement.memory).collect(),
            disk: list.iter().map(|placement| placement.disk).collect(),
        };
        let prices = Prices(list.iter().map(|placement| placement.credits_per_minute).collect());
        let options = PartitionOptions { durations_recorded: are_recorded(&small.estimates), ..options.clone() };
        Self { small, placements, costs, handoff, model, prices, options }
    }

    /// The jobs of a granularity, in waves where there are waves, and run on paper.
    fn planned(&self, granularity: Granularity) -> Result<Planned> {
        let Solution { partition: free, mut notes } = self.partition(granularity)?;
        let jobs = self.in_waves(granularity, &free, &mut notes)?;
        Ok(Planned { simulated: self.simulated(jobs)?, free, notes })
    }

    /// The first way to plan that takes no more credits than that, else the one that takes the fewest.
    fn within(&self, most: u64) -> Result<Planned> {
        let asked = (self.options.granularity, self.options.objective);
        let mut best = (u64::MAX, asked, self.planned(asked.0)?);
        best.0 = self.strategy(&best.2.simulated).credits;
        for way in budget::ways(asked).into_iter().skip(1) {
            if best.0 <= most {
                break;
            }
            let options = PartitionOptions { granularity: way.0, objective: way.1, ..self.options.clone() };
            let (model, prices) = (self.model.clone(), self.prices.clone());
            let planned = Self { options, model, prices, ..*self }.planned(way.0)?;
            let credits = self.strategy(&planned.simulated).credits;
            if credits < best.0 {
                best = (credits, way, planned);
            }
        }
        let (credits, way, mut planned) = best;
        planned.notes.extend(budget::note(asked, way, credits, most));
        Ok(planned)
    }

    /// The jobs of a granularity; those that anybody could run go to the machines that have the most to do.
    fn partition(&self, granularity: Granularity) -> Result<Solution> {
        let cut = |jobs: Option<usize>| {
            let mut options = PartitionOptions { granularity, ..self.options.clone() };
            options.limits.jobs = jobs.into_iter().chain(options.limits.jobs).min();
            partition(&self.small.problem, &self.model, &options)
        };
        let mut solution = match self.options.limits.inputs {
            Some(most) => fit_inputs::fit(most, cut, |solution| self.widest(&solution.partition))?,
            None => cut(None),
        };
        self.place_anywhere(&mut solution.partition);
        Ok(solution)
    }

    /// How many others the job takes from that takes from most.
    fn widest(&self, partition: &Partition) -> Result<usize> {
        let direct = direct_inputs(&self.small.problem, partition)?;
        let rank: Vec<u32> = (0..partition.jobs.len() as u32).collect();
        Ok(JobGraph::new(&direct, &rank)?.inputs.iter().map(Vec::len).max().unwrap_or(0))
    }

    /// What a plan of another granularity would take.
    fn figures(&self, granularity: Granularity) -> Result<Strategy> {
        let free = self.partition(granularity)?.partition;
        let jobs = self.in_waves(granularity, &free, &mut Vec::new())?;
        Ok(self.strategy(&self.simulated(jobs)?))
    }

    /// Jobs in waves, where the provider has waves: planned for them, or the same jobs, some merged, where that is shorter.
    fn in_waves(&self, granularity: Granularity, free: &Partition, notes: &mut Vec<String>) -> Result<InWaves> {
        let Some(most) = self.options.limits.waves else {
            return Ok(InWaves { partition: free.clone(), waves: Vec::new() });
        };
        let problem = &self.small.problem;
        let options = PartitionOptions { granularity, ..self.options.clone() };
        let mut found = bands::in_waves(problem, &self.model, free, most)?;
        if let Some(mut planned) = partition_in_waves(problem, &self.model, &options, most) {
            self.place_anywhere(&mut planned.partition);
            let (planned, banded) = (self.simulated(planned)?, self.simulated(found)?);
            found = if planned.simulation.makespan <= banded.simulation.makespan { planned.jobs } else { banded.jobs };
        }
        let many = found.waves.iter().max().map_or(0, |last| *last as usize + 1);
        if many > most.count {
            notes.push(format!("the jobs need {many} waves, and there are {} at most", most.count));
        }
        let shared = |partition: &Partition| {
            let targets =
                |job: &JobNodes| job.owned.iter().filter(|&&node| self.small.problem.target[node as usize]).count();
            partition.jobs.iter().filter(|job| targets(job) > 1).count()
        };
        if granularity == Granularity::Target && shared(&found.partition) > shared(free) {
            notes.push(format!("targets share jobs, since jobs run in at most {} waves", most.count));
        }
        Ok(found)
    }

    /// The jobs of the last plan, where they are within the limits and cost no more than keeping them may.
    fn kept(&self, earlier: &[Option<u32>], ours: &Simulated) -> Result<Option<Simulated>> {
        let problem = &self.small.problem;
        let Some(mut partition) = kept(problem, &self.model, &self.options, earlier, ours.simulation.makespan) else {
            return Ok(None);
        };
        self.place_anywhere(&mut partition);
        let jobs = match self.options.limits.waves {
            Some(most) => bands::in_waves(problem, &self.model, &partition, most)?,
            None => InWaves { partition, waves: Vec::new() },
        };
        let theirs = self.simulated(jobs)?;
        let most = self.options.max_credits.map(|most| most.max(self.strategy(ours).credits));
        let is_paid = most.is_none_or(|most| self.strategy(&theirs).credits <= most);
        Ok((is_paid && is_worth_keeping(&theirs, ours, &self.options)?).then_some(theirs))
    }

    /// Runs jobs on paper.
    fn simulated(&self, jobs: InWaves) -> Result<Simulated> {
        let problem = &self.small.problem;
        let direct = direct_inputs(problem, &jobs.partition)?;
        let simulation = simulate_in_waves(problem, &jobs.partition, &direct, &jobs.waves, &self.model);
        Ok(Simulated { jobs, direct, simulation })
    }

    /// Has jobs that anybody could run go to the machines that have the most to do.
    fn place_anywhere(&self, partition: &mut Partition) {
        for job in partition.jobs.iter_mut().filter(|job| job.system == ANY_SYSTEM) {
            job.system = self.placements.anywhere;
        }
    }

    /// What a plan would take whose jobs come in no waves, where the provider has waves.
    fn in_free_order(&self, free: &Partition) -> Result<Option<Strategy>> {
        if self.options.limits.waves.is_none() {
            return Ok(None);
        }
        let simulated = self.simulated(InWaves { partition: free.clone(), waves: Vec::new() })?;
        Ok(Some(self.strategy(&simulated)))
    }

    /// What the plan and simpler ones are expected to take.
    fn estimates(&self, simulated: &Simulated) -> Estimates {
        let (problem, simulation) = (&self.small.problem, &simulated.simulation);
        let plan = self.strategy(simulated);
        let simpler = baselines(problem, &self.model, &self.prices);
        Estimates {
            needed: problem.len() as u64,
            duplicates: plan.builds - problem.len() as u64,
            lower_bound: lower_bound(problem, &self.model),
            plan,
            free: None,
            flat: simpler.flat,
            ordered: simpler.ordered,
            per_derivation: simpler.per_derivation,
            single: Some(simpler.single),
            durations: Some(self.durations()),
            kept: None,
            handoff: Some(HandOffEstimate {
                kind: self.handoff,
                layers: if self.handoff.has_layers() { simulation.layers } else { 0 },
                layer: self.model.layer,
                bytes: self.costs.bytes.map(|bytes| simulation.fetched.saturating_mul(bytes)),
                time: simulation.layers * self.model.layer + simulation.fetched * self.model.fetch,
            }),
            report: None,
            model: Some(ModelFigures {
                start_up: self.model.start_up,
                layer: self.model.layer,
                fetch: self.model.fetch,
                queue: if simulated.jobs.waves.is_empty() { 0 } else { self.model.queue },
                concurrency: self.model.concurrency as u64,
                bandwidth: self.costs.bandwidth,
                start_up_recorded: self.costs.replaced.start_up,
            }),
        }
    }

    /// How many durations come from where.
    fn durations(&self) -> Durations {
        let mut durations =
            Durations { youngest: self.costs.history.span.map(|(_, last)| last), ..Durations::default() };
        for estimate in &self.small.estimates {
            *match estimate.from {
                EstimateSource::History => &mut durations.recorded,
                EstimateSource::Derivation => &mut durations.derivation,
                EstimateSource::Default => &mut durations.default,
            } += 1;
        }
        durations
    }

    /// The figures of jobs.
    fn strategy(&self, simulated: &Simulated) -> Strategy {
        let Simulated { jobs: InWaves { partition, .. }, simulation, .. } = simulated;
        let lengths = simulation.end.iter().zip(&simulation.start).map(|(end, start)| end - start);
        let credits = |(job, length): (&JobNodes, Millis)| self.prices.credits(job.system, length);
        Strategy {
            jobs: partition.jobs.len() as u64,
            builds: partition.jobs.iter().map(|job| (job.owned.len() + job.co_located.len()) as u64).sum(),
            job_time: simulation.job_time,
            makespan: simulation.makespan,
            credits: partition.jobs.iter().zip(lengths).map(credits).sum(),
        }
    }
}

/// True where most of the builds have been timed before: a plan made from guesses keeps a reserve, one made from records does not.
fn are_recorded(estimates: &[BuildEstimate]) -> bool {
    let guessed = estimates.iter().filter(|estimate| estimate.from == EstimateSource::Default).count();
    let recorded = estimates.iter().filter(|estimate| estimate.from == EstimateSource::History).count();
    recorded > 9 * guessed
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
