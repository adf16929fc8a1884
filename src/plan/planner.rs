//! Cuts the needed derivations into jobs: as asked, within a budget, or as the last plan had them.
//!
//! In: the needed derivations, where each is built, costs, options. Out: jobs as they run, and the figures of plans of other kinds.

use anyhow::{Context, Result};

use super::advice;
use super::baseline::baselines;
use super::budget;
use super::estimate::{CostModel, are_recorded};
use super::job_graph::direct_inputs;
use super::job_list::Simulated;
use super::keeping::{Cost, is_within_limits};
use super::model::{Granularity, Model, ModelFigures, Objective, PartitionOptions, Stage};
use super::moved::Moved;
use super::needed::NeededGraph;
use super::partition::bands::{self, InWaves};
use super::partition::guesses::over_draws;
use super::partition::kept::Kept;
use super::partition::units::Units;
use super::partition::{Solution, partition, partition_in_waves};
use super::placement::Placements;
use super::prices::Prices;
use super::problem::{ANY_SYSTEM, JobNodes, Millis, Partition, Problem};
use super::simulate::{lower_bound, simulate_in_waves, start_and_end};
use super::workers::plan_workers;
use super::workers::search::Way;
use super::{Durations, EstimateSource, Estimates, HandOffEstimate, Strategy};
use crate::choice::Choice;
use crate::delivery::HandOffKind;
use crate::plural::counted;

/// What one way to plan gives.
pub(super) struct Planned {
    /// The jobs, as they run.
    pub simulated: Simulated,
    /// The jobs where none come in waves.
    pub free: Partition,
    /// What there is to be said.
    pub notes: Vec<String>,
}

/// What cutting the needed derivations into jobs takes, whatever the granularity.
pub(super) struct Planner<'a> {
    /// The needed derivations.
    pub small: &'a NeededGraph,
    /// Where each is built.
    pub placements: &'a Placements,
    costs: &'a CostModel,
    handoff: HandOffKind,
    /// What jobs cost.
    pub model: Model,
    /// What machines cost.
    pub prices: Prices,
    /// How jobs are cut.
    pub options: PartitionOptions,
}

impl<'a> Planner<'a> {
    pub(super) fn new(
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
            sizes: costs.sizes(),
        };
        let a_minute = list.iter().map(|placement| placement.credits_per_minute).collect();
        let prices = Prices { a_minute, rounding: costs.prices.rounding };
        let options = PartitionOptions { durations_recorded: are_recorded(&small.estimates), ..options.clone() };
        Self { small, placements, costs, handoff, model, prices, options }
    }

    /// The jobs of a granularity, in waves where there are waves, and run on paper.
    pub(super) fn planned(&self, granularity: Granularity) -> Result<Planned> {
        let Solution { partition: free, mut notes } = self.partition(granularity);
        let jobs = self.in_waves(granularity, &free, &mut notes)?;
        Ok(Planned { simulated: self.simulated(jobs)?, free, notes })
    }

    /// The jobs that are asked for, and their objective: where waiting has a price, that of the objectives which costs least.
    pub(super) fn asked(&self) -> Result<(Objective, Planned)> {
        let Some(worth) = self.options.minute_worth else {
            return Ok((self.options.objective, self.planned(self.options.granularity)?));
        };
        let mut best: Option<(Millis, (Objective, Planned))> = None;
        for &(_, _, objective) in Objective::ALL {
            let planned = self.for_objective(objective).planned(self.options.granularity)?;
            let cost = advice::cost(&self.strategy(&planned.simulated), worth);
            if best.as_ref().is_none_or(|(least, _)| cost < *least) {
                best = Some((cost, (objective, planned)));
            }
        }
        Ok(best.context("there are objectives")?.1)
    }

    /// The same for some of the derivations, with other options.
    pub(super) fn of_part<'b>(&self, small: &'b NeededGraph, options: PartitionOptions) -> Planner<'b>
    where
        'a: 'b,
    {
        let (model, prices) = (self.model.clone(), self.prices.clone());
        Planner { small, options, model, prices, placements: self.placements, costs: self.costs, handoff: self.handoff }
    }

    /// The same for another objective.
    fn for_objective(&self, objective: Objective) -> Self {
        let options = PartitionOptions { objective, ..self.options.clone() };
        Self { options, model: self.model.clone(), prices: self.prices.clone(), ..*self }
    }

    /// The first way to plan that takes no more credits than that, else the one that takes the fewest.
    pub(super) fn within(&self, most: u64) -> Result<Planned> {
        let (objective, planned) = self.asked()?;
        let asked = (self.options.granularity, objective);
        let mut best = (u64::MAX, asked, planned);
        best.0 = self.strategy(&best.2.simulated).credits;
        for way in budget::ways(asked).into_iter().skip(1) {
            if best.0 <= most {
                break;
            }
            let planned = self.for_objective(way.1).planned(way.0)?;
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
    fn partition(&self, granularity: Granularity) -> Solution {
        let options = PartitionOptions { granularity, ..self.options.clone() };
        let mut solution = partition(&self.small.problem, &self.model, &options);
        self.place_anywhere(&mut solution.partition);
        solution
    }

    /// What a plan of another granularity would take, at most: it takes half of the search for the plan itself, which saves machine time alone.
    pub(super) fn figures(&self, granularity: Granularity) -> Result<Strategy> {
        let options = PartitionOptions { without: Some(Stage::Refill), ..self.options.clone() };
        let free = self.of_part(self.small, options).partition(granularity).partition;
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
        if granularity == Granularity::Target && self.shared(&found.partition) > self.shared(free) {
            notes.push(format!("targets share jobs: jobs run in at most {}", counted(most.count, "wave")));
        }
        Ok(found)
    }

    /// Jobs with several targets.
    fn shared(&self, partition: &Partition) -> usize {
        let targets =
            |job: &JobNodes| job.owned.iter().filter(|&&node| self.small.problem.target[node as usize]).count();
        partition.jobs.iter().filter(|job| targets(job) > 1).count()
    }

    /// The jobs of the last plan, or most of them, where they are within the limits and cost no more than keeping them may.
    pub(super) fn kept(&self, earlier: &[Option<u32>], ours: &Simulated) -> Result<Option<Simulated>> {
        let (problem, asked) = (&self.small.problem, &self.options);
        // Where a limit has targets share jobs, they may go on sharing them.
        let shares = asked.granularity == Granularity::Target && self.shared(&ours.jobs.partition) > 0;
        let granularity = if shares { Granularity::Auto } else { asked.granularity };
        let options = PartitionOptions { granularity, ..asked.clone() };
        let Some(kept) = Kept::new(problem, &self.model, &options, earlier, ours.simulation.makespan) else {
            return Ok(None);
        };
        let most_credits = self.options.max_credits.map(|most| most.max(self.strategy(ours).credits));
        let is_allowed = |theirs: &Simulated| -> Result<bool> {
            let is_paid = most_credits.is_none_or(|most| self.strategy(theirs).credits <= most);
            Ok(is_paid && is_within_limits(theirs, ours, &self.options)?)
        };
        let over_draws = |theirs: &Simulated, percent: u32| {
            let most = self.cost_over_draws(ours).and_percent(percent);
            self.cost_over_draws(theirs).is_within(most)
        };
        let (theirs, most) = (self.again(kept.partition())?, Cost::of(&ours.simulation).and_percent(asked.keep_plan));
        let costs = Cost::of(&theirs.simulation);
        // Where durations are guesses, plans are made for many sets of them. What takes longer with the guesses alone may take as long with these.
        let are_guesses = kept.expects_surprises();
        if costs.is_within(most) || are_guesses && over_draws(&theirs, asked.keep_plan) {
            return Ok(is_allowed(&theirs)?.then_some(theirs));
        }
        let Some(partition) = kept.repaired(costs, most) else { return Ok(None) };
        let theirs = self.again(partition)?;
        // The other way round what is as fast with the guesses must not be much slower with these.
        let is_cheap = Cost::of(&theirs.simulation).is_within(most)
            && (!are_guesses || over_draws(&theirs, asked.keep_plan.saturating_mul(2)));
        Ok((is_cheap && is_allowed(&theirs)?).then_some(theirs))
    }

    /// What a plan costs over many sets of durations.
    fn cost_over_draws(&self, simulated: &Simulated) -> Cost {
        let Simulated { jobs, direct, .. } = simulated;
        let run = |real: &Problem| simulate_in_waves(real, &jobs.partition, direct, &jobs.waves, &self.model);
        let (wall, machine) = over_draws(&self.small.problem, run);
        Cost { wall, machine }
    }

    /// Jobs that an earlier plan had, run on paper.
    fn again(&self, mut partition: Partition) -> Result<Simulated> {
        self.place_anywhere(&mut partition);
        self.simulated(match self.options.limits.waves {
            Some(most) => bands::in_waves(&self.small.problem, &self.model, &partition, most)?,
            None => InWaves { partition, waves: Vec::new() },
        })
    }

    /// Runs jobs on paper.
    pub(super) fn simulated(&self, jobs: InWaves) -> Result<Simulated> {
        let problem = &self.small.problem;
        let direct = direct_inputs(problem, &jobs.partition)?;
        let simulation = simulate_in_waves(problem, &jobs.partition, &direct, &jobs.waves, &self.model);
        Ok(Simulated { jobs, direct, simulation })
    }

    /// Has jobs that anybody could run go to the machines that have the most to do.
    pub(super) fn place_anywhere(&self, partition: &mut Partition) {
        for job in partition.jobs.iter_mut().filter(|job| job.system == ANY_SYSTEM) {
            job.system = self.placements.anywhere;
        }
    }

    /// The model for what stands beside the plan. Only waves count what machines are waited for, so others do that beside waves alone.
    fn waiting_model(&self) -> Model {
        let queue = if self.options.limits.waves.is_some() { self.model.queue } else { 0 };
        Model { queue, ..self.model.clone() }
    }

    /// Workers in place of jobs, and the units that they would take.
    pub(super) fn workers(&self) -> Option<(Units, Way)> {
        let (model, most_names) = (self.waiting_model(), self.options.limits.worker_names);
        plan_workers(&self.small.problem, self.placements, &model, self.options.objective, most_names)
    }

    /// The figures of workers.
    pub(super) fn figures_of(&self, way: &Way) -> Strategy {
        let systems = way.crews.iter().flat_map(|crew| (0..crew.workers()).map(|_| crew.system));
        let lengths = systems.zip(&way.outcome.lengths);
        Strategy {
            jobs: way.outcome.lengths.len() as u64,
            builds: self.small.problem.len() as u64,
            job_time: way.outcome.machine_time,
            makespan: way.outcome.makespan,
            credits: lengths.map(|(system, &length)| self.prices.credits(system, length)).sum(),
        }
    }

    /// What a plan would take whose jobs come in no waves, where the provider has waves.
    pub(super) fn in_free_order(&self, free: &Partition) -> Result<Option<Strategy>> {
        if self.options.limits.waves.is_none() {
            return Ok(None);
        }
        let simulated = self.simulated(InWaves { partition: free.clone(), waves: Vec::new() })?;
        let lengths: Vec<Option<Millis>> = simulated.simulation.lengths().map(Some).collect();
        let (_, end) = start_and_end(&lengths, &simulated.direct, self.model.concurrency, self.model.queue);
        Ok(Some(Strategy { makespan: end.into_iter().max().unwrap_or(0), ..self.strategy(&simulated) }))
    }

    /// What the plan and simpler ones are expected to take.
    pub(super) fn estimates(&self, simulated: &Simulated) -> Estimates {
        let (problem, simulation) = (&self.small.problem, &simulated.simulation);
        let plan = self.strategy(simulated);
        let simpler = baselines(problem, &self.waiting_model(), &self.prices);
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
                bytes: match self.model.sizes {
                    Some(_) => Some(simulation.fetched),
                    None => self.costs.bytes.map(|bytes| simulation.fetched.saturating_mul(bytes)),
                },
                time: simulation.layers * self.model.layer
                    + self
                        .model
                        .sizes
                        .map_or(simulation.fetched * self.model.fetch, |sizes| sizes.time(simulation.fetched)),
            }),
            downloads: None,
            price: self.moved().price(simulated),
            report: None,
            model: Some(ModelFigures {
                start_up: self.model.start_up,
                layer: self.model.layer,
                fetch: self.model.fetch,
                queue: if simulated.jobs.waves.is_empty() { 0 } else { self.model.queue },
                concurrency: self.model.concurrency as u64,
                bandwidth: self.costs.bytes.and(self.costs.bandwidth),
                bandwidth_recorded: self.costs.bytes.is_some() && self.costs.replaced.bandwidth,
                start_up_recorded: self.costs.replaced.start_up,
            }),
        }
    }

    /// What is moved between jobs.
    fn moved(&self) -> Moved<'_> {
        let own = self.placements.list.iter().map(|placement| placement.image.is_none()).collect();
        Moved { small: self.small, costs: self.costs, handoff: self.handoff, own }
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
    pub(super) fn strategy(&self, simulated: &Simulated) -> Strategy {
        let Simulated { jobs: InWaves { partition, .. }, simulation, .. } = simulated;
        let credits = |(job, length): (&JobNodes, Millis)| self.prices.credits(job.system, length);
        Strategy {
            jobs: partition.jobs.len() as u64,
            builds: partition.jobs.iter().map(|job| (job.owned.len() + job.co_located.len()) as u64).sum(),
            job_time: simulation.job_time,
            makespan: simulation.makespan,
            credits: partition.jobs.iter().zip(simulation.lengths()).map(credits).sum(),
        }
    }
}
