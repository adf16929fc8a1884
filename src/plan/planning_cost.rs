//! What the job that plans costs before it begins: every pipeline pays for it, and everything else waits for it.
//!
//! In: the fleet, and how long a job takes to start. Out: a [`PlanningCost`]. How long evaluation takes there is only known afterwards.

use super::prices::charged;
use super::problem::Millis;
use crate::fleet::Fleet;

/// What starting that job is predicted to take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlanningCost {
    /// From the pipeline's start to nixdag's.
    pub start_up: Millis,
    /// What the provider charges for that, rounded up to a whole credit.
    pub credits: u64,
}

impl PlanningCost {
    /// On the machine that jobs get where nothing else is said; time is rounded up to `rounding`.
    pub fn new(fleet: &Fleet, start_up: Millis, rounding: Millis) -> Self {
        let price = fleet.executors.first().map_or(0, |executor| executor.credits_per_minute);
        Self { start_up, credits: charged(price, start_up, rounding) }
    }
}
