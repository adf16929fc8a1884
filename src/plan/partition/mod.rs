//! The planner.
pub mod contract;
pub mod jobs;
pub mod neighbours;
pub mod schedule;
pub mod search;
pub mod sweep;
pub mod units;
pub mod zero;

use super::problem::{JobNodes, Partition, Problem};
use jobs::Jobs;
use units::Units;

pub fn emit(problem: &Problem, units: &Units, jobs: &Jobs) -> Partition {
    let mut uses = vec![0u32; problem.len()];
    for job in &jobs.list {
        for &t in &job.tasks { uses[t as usize] += 1; }
    }
    let mut p = Partition::default();
    for job in &jobs.list {
        if job.units.is_empty() { continue; }
        let (owned, co_located) = job.tasks.iter().partition(|&&t| units.of_node[t as usize] != units::CO_LOCATED || uses[t as usize] == 1);
        p.jobs.push(JobNodes { system: job.system, owned, co_located });
    }
    p
}
