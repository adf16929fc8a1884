//! Whether the jobs of the last plan stay: as long as they are within the provider's limits, and cost little more than jobs that are planned anew.
//! Names of jobs, what the CI keeps for each, and what people know of a pipeline stay with them.
//!
//! In: figures of both plans. Out: yes or no.

use anyhow::Result;

use super::job_graph::JobGraph;
use super::job_list::Simulated;
use super::model::PartitionOptions;
use super::problem::Millis;
use super::simulate::Simulation;

/// What a plan costs, beside others of the same derivations.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    /// Wall time; in milliseconds, or summed over sets of durations, each in millionths of its lower bound.
    pub wall: u64,
    /// Machine time, milliseconds.
    pub machine: Millis,
}

impl Cost {
    /// If all durations are what they are assumed to be.
    pub fn of(simulation: &Simulation) -> Self {
        Self { wall: simulation.makespan, machine: simulation.job_time }
    }

    /// So many percent more.
    pub fn and_percent(self, percent: u32) -> Self {
        let more = |time: u64| time.saturating_mul(100 + u64::from(percent)) / 100;
        Self { wall: more(self.wall), machine: more(self.machine) }
    }

    /// True where both are at most that.
    pub fn is_within(self, most: Self) -> bool {
        self.wall <= most.wall && self.machine <= most.machine
    }

    /// How many thousandths of another cost this is.
    pub fn thousandths_of(self, other: Self) -> (u64, u64) {
        let part = |this: u64, other: u64| this.saturating_mul(1000) / other.max(1);
        (part(self.wall, other.wall), part(self.machine, other.machine))
    }
}

/// True where jobs that were kept are within the provider's limits, as far as new ones are.
pub fn is_within_limits(kept: &Simulated, new: &Simulated, options: &PartitionOptions) -> Result<bool> {
    let (limits, simulation) = (&options.limits, &kept.simulation);
    let count = kept.jobs.partition.jobs.len();
    let is_allowed = limits.jobs.is_none_or(|most| count <= most)
        && limits.job_length.is_none_or(|most| longest(simulation) <= most.max(longest(&new.simulation)))
        && limits.waves.is_none_or(|most| kept.jobs.waves.iter().all(|&wave| (wave as usize) < most.count));
    if !is_allowed {
        return Ok(false);
    }
    let rank: Vec<u32> = (0..count as u32).collect();
    let graph = JobGraph::new(&kept.direct, &rank)?;
    let most = |lists: &[Vec<u32>]| lists.iter().map(Vec::len).max().unwrap_or(0);
    Ok(limits.requires.is_none_or(|limit| most(&graph.requires) <= limit)
        && limits.inputs.is_none_or(|limit| most(&graph.inputs) <= limit))
}

/// The longest job, milliseconds.
fn longest(simulation: &Simulation) -> Millis {
    simulation.lengths().max().unwrap_or(0)
}
