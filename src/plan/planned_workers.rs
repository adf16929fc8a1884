//! Plans workers, and jobs behind them for what no worker may build: what gets contexts or an environment, and what needs that.
//!
//! In: the needed derivations, where each is built. Out: jobs, of which each is a unit that workers take or runs behind all of them; the workers; the figures of both together.

use anyhow::{Context, Result};

use super::model::{PartitionOptions, PlanLimits, Waves};
use super::partition::bands::InWaves;
use super::partition::units::Units;
use super::planner::{Planned, Planner};
use super::problem::{JobNodes, Node, Partition};
use super::worker_plan::WorkerPlan;
use super::workers::search::Way;
use super::workers::{are_behind, in_plan};
use super::{JobIndex, Strategy};
use crate::plural::counted;

/// Waves of the workers themselves, where a provider has waves.
const WAVES: usize = 2;

/// Workers, what they take, and what comes behind them.
pub(super) struct PlannedWorkers {
    /// What workers and the jobs behind them are expected to take together.
    pub figures: Strategy,
    way: Way,
    units: Units,
    /// The node of the whole problem, of each node that workers build.
    nodes: Vec<Node>,
}

impl PlannedWorkers {
    /// All jobs, those that workers take first, and the best workers; none where there is nothing that workers may build.
    pub fn new(planner: &Planner) -> Result<Option<(Planned, Self)>> {
        let is_behind = are_behind(&planner.small.problem, planner.placements);
        let (behind, nodes): (Vec<Node>, Vec<Node>) =
            (0..is_behind.len() as Node).partition(|&node| is_behind[node as usize]);
        if nodes.is_empty() {
            return Ok(None);
        }
        let small = planner.small.part(&nodes);
        let own = planner.of_part(&small, planner.options.clone());
        let best = own.workers();
        let (units, way) = best.context("`mode: workers` cannot build what no machine builds (use `mode: jobs`)")?;
        let mut jobs = in_plan::partition(&units).jobs;
        jobs.iter_mut().for_each(|job| renumber(job, &nodes));
        let mut workers = Self { figures: own.figures_of(&way), way, units, nodes };
        let notes = if behind.is_empty() { Vec::new() } else { workers.add_behind(planner, &behind, &mut jobs)? };
        let mut free = Partition { jobs };
        planner.place_anywhere(&mut free);
        let simulated = planner.simulated(InWaves { partition: free.clone(), waves: Vec::new() })?;
        Ok(Some((Planned { simulated, free, notes }, workers)))
    }

    /// Adds the jobs for these nodes.
    fn add_behind(&mut self, planner: &Planner, behind: &[Node], jobs: &mut Vec<JobNodes>) -> Result<Vec<String>> {
        let small = planner.small.part(behind);
        let planner = planner.of_part(&small, options_behind(&planner.options, self.way.outcome.lengths.len()));
        let Planned { simulated, mut notes, .. } = planner.asked()?.1;
        let figures = planner.strategy(&simulated);
        let has_waves = planner.options.limits.waves.is_some();
        // They wait for the job that says what workers have done.
        let gate = if has_waves { 0 } else { planner.model.start_up };
        self.figures.makespan += gate + figures.makespan;
        self.figures.jobs += figures.jobs;
        self.figures.builds += figures.builds;
        self.figures.job_time += figures.job_time;
        self.figures.credits += figures.credits;
        let partition = simulated.jobs.partition;
        notes.push(format!(
            "{} built behind the workers, in {}: what gets contexts or an environment, and what needs that",
            is_or_are(behind.len()),
            counted(partition.jobs.len() as u64, "job")
        ));
        jobs.extend(partition.jobs.into_iter().map(|mut job| {
            renumber(&mut job, behind);
            job
        }));
        Ok(notes)
    }

    /// The workers, by the job of each derivation.
    pub fn in_plan(
        &self,
        planner: &Planner,
        store: Option<String>,
        job_of: impl Fn(Node) -> Option<JobIndex>,
    ) -> WorkerPlan {
        let most_names = planner.options.limits.worker_names.map(|most| most as u32);
        let talk = (store, most_names);
        in_plan::in_plan(&self.way, &self.units, &planner.model, talk, |node| job_of(self.nodes[node as usize]))
    }
}

fn is_or_are(derivations: usize) -> String {
    format!("{} {}", counted(derivations as u64, "derivation"), if derivations == 1 { "is" } else { "are" })
}

/// What the planner may do behind so many workers, and the job that says what they have done.
fn options_behind(options: &PartitionOptions, workers: usize) -> PartitionOptions {
    let PlanLimits { jobs, waves, .. } = options.limits;
    let limits = PlanLimits {
        jobs: jobs.map(|most| most.saturating_sub(workers + 1).max(1)),
        waves: waves.map(|waves| Waves { count: waves.count.saturating_sub(WAVES).max(1), ..waves }),
        ..options.limits.clone()
    };
    PartitionOptions { limits, ..options.clone() }
}

/// Gives a job's nodes the numbers that they have in the whole problem.
fn renumber(job: &mut JobNodes, nodes: &[Node]) {
    job.owned.iter_mut().chain(&mut job.co_located).for_each(|node| *node = nodes[*node as usize]);
}
