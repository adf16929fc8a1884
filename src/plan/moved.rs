//! What jobs move between them, and what that costs beside the machines: what the CI keeps of it, and what machines of one's own fetch from there.
//!
//! In: jobs as they run, sizes as far as they are recorded, prices. Out: a [`PriceEstimate`].

use super::estimate::CostModel;
use super::job_list::Simulated;
use super::needed::NeededGraph;
use super::prices::{PriceEstimate, PriceTable};
use super::problem::{Adjacency, JobNodes, Node};
use crate::delivery::HandOffKind;

/// Bytes of a gigabyte.
const GIGABYTE: u128 = 1_000_000_000;

/// What jobs move, for their price.
pub struct Moved<'a> {
    /// What is built.
    pub small: &'a NeededGraph,
    /// Prices, and the size of what has none recorded.
    pub costs: &'a CostModel,
    /// How results travel.
    pub handoff: HandOffKind,
    /// True for the machines of one's own, by number of system.
    pub own: Vec<bool>,
}

impl Moved<'_> {
    /// What a plan costs beside its machines; none where the user has said no price.
    pub fn price(&self, simulated: &Simulated) -> Option<PriceEstimate> {
        let table = &self.costs.prices;
        if *table == (PriceTable { rounding: table.rounding, ..PriceTable::default() }) {
            return None;
        }
        let jobs = &simulated.jobs.partition.jobs;
        let mut estimate = PriceEstimate {
            credit_millionths: table.credit,
            currency: table.currency.clone(),
            ..PriceEstimate::default()
        };
        // What travels through a store is kept there, and not by the CI.
        let is_kept = self.handoff != HandOffKind::Cache;
        if let Some(price) = table.storage.filter(|_| is_kept) {
            let left = jobs.iter().map(|job| self.owned(job)).sum();
            estimate.storage = self.of(left, price, "storage", &mut estimate.unknown);
        }
        if let Some(price) = table.egress.filter(|_| is_kept) {
            let fetched =
                (0..jobs.len()).filter(|&job| self.is_own(&jobs[job])).map(|job| self.fetched(job, simulated)).sum();
            estimate.egress = self.of(fetched, price, "egress", &mut estimate.unknown);
        }
        Some(estimate)
    }

    /// Credits for so many bytes, where they are known.
    fn of(&self, bytes: Option<u64>, price: u64, name: &str, unknown: &mut Vec<String>) -> Option<u64> {
        let Some(bytes) = bytes else {
            unknown.push(name.to_owned());
            return None;
        };
        let credits = (u128::from(bytes) * u128::from(price)).div_ceil(GIGABYTE);
        Some(u64::try_from(credits).unwrap_or(u64::MAX))
    }

    fn is_own(&self, job: &JobNodes) -> bool {
        self.own.get(usize::from(job.system)).copied().unwrap_or(false)
    }

    /// Bytes that a node's outputs take: as recorded, else as most others take.
    fn bytes(&self, node: Node) -> Option<u64> {
        let recorded = self.small.problem.bytes.get(node as usize).copied().filter(|bytes| *bytes > 0);
        recorded.or(self.costs.bytes)
    }

    /// Bytes that a job hands on.
    fn owned(&self, job: &JobNodes) -> Option<u64> {
        job.owned.iter().map(|&node| self.bytes(node)).sum()
    }

    /// Bytes that a job fetches: all of its ancestors' with layers, else what it misses.
    fn fetched(&self, job: usize, simulated: &Simulated) -> Option<u64> {
        let jobs = &simulated.jobs.partition.jobs;
        if self.handoff.has_layers() {
            return ancestors(&simulated.direct, job).into_iter().map(|above| self.owned(&jobs[above])).sum();
        }
        let mut tasks: Vec<Node> = jobs[job].owned.iter().chain(&jobs[job].co_located).copied().collect();
        tasks.sort_unstable();
        let mut missing: Vec<Node> =
            tasks.iter().flat_map(|&task| self.small.problem.inputs.of(task)).copied().collect();
        missing.sort_unstable();
        missing.dedup();
        missing.into_iter().filter(|node| tasks.binary_search(node).is_err()).map(|node| self.bytes(node)).sum()
    }
}

/// All jobs that a job waits for.
fn ancestors(direct: &Adjacency, job: usize) -> Vec<usize> {
    let mut seen = vec![false; direct.len()];
    let (mut open, mut found) = (vec![job as Node], Vec::new());
    while let Some(next) = open.pop() {
        for &above in direct.of(next) {
            if !std::mem::replace(&mut seen[above as usize], true) {
                open.push(above);
                found.push(above as usize);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_waits_for_each_of_its_ancestors_once() {
        let direct = Adjacency::from_lists([vec![], vec![0], vec![0], vec![1, 2]]);
        let mut of_last = ancestors(&direct, 3);
        of_last.sort_unstable();
        assert_eq!((of_last, ancestors(&direct, 0)), (vec![0, 1, 2], vec![]));
    }
}
