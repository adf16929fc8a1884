//! What the job costs that puts together what the others have recorded: a part of the plan's price, though nobody waits for it.
//!
//! In: the fleet, and what the plan's jobs are. Out: a [`ReportEstimate`]. Reading the records of one job is assumed to take a second, and a
//! build to be 400 bytes of them.

use serde::{Deserialize, Serialize};

use super::prices::charged;
use super::problem::Millis;
use crate::duration::seconds;
use crate::fleet::Fleet;
use crate::fleet::size::Machine;

/// Finding and reading the records of one job.
const READ: Millis = 1_000;

/// Bytes of the records of a job, and of each of its builds.
const BYTES: (u64, u64) = (500, 400);

/// What the job is predicted to take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportEstimate {
    /// Start-up included.
    #[serde(rename = "seconds", with = "seconds")]
    pub duration: Millis,
    /// Bytes that it reads.
    pub bytes: u64,
    /// What the provider charges, rounded up to a whole credit.
    pub credits: u64,
}

impl ReportEstimate {
    /// For so many jobs with so many builds, on the machine that costs least, which takes so long to start and whose time is rounded up to that.
    pub fn new(fleet: &Fleet, (start_up, rounding): (Millis, Millis), jobs: u64, builds: u64) -> Self {
        let price = fleet.executors.iter().map(|executor| {
            let credits = fleet.offers.credits_per_minute(executor, fleet.offers.cheapest(executor));
            (executor.machine != Machine::Docker, credits)
        });
        let credits = price.min().map_or(0, |(_, credits)| credits);
        let duration = start_up + jobs * READ;
        Self { duration, bytes: jobs * BYTES.0 + builds * BYTES.1, credits: charged(credits, duration, rounding) }
    }
}
