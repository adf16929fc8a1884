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

/// True where jobs that were kept are worth it beside new ones.
pub fn is_worth_keeping(kept: &Simulated, new: &Simulated, options: &PartitionOptions) -> Result<bool> {
    let (limits, simulation, best) = (&options.limits, &kept.simulation, &new.simulation);
    let may_take = |time: Millis| time.saturating_mul(100 + Millis::from(options.keep_plan)) / 100;
    let is_cheap = simulation.makespan <= may_take(best.makespan) && simulation.job_time <= may_take(best.job_time);
    let count = kept.jobs.partition.jobs.len();
    let is_allowed = limits.jobs.is_none_or(|most| count <= most)
        && limits.job_length.is_none_or(|most| longest(simulation) <= most.max(longest(best)))
        && limits.waves.is_none_or(|most| kept.jobs.waves.iter().all(|&wave| (wave as usize) < most.count));
    if !is_cheap || !is_allowed {
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
