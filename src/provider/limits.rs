//! What a provider allows: data that each one fills in, for planning and for the check of what was written.

use std::num::{NonZeroU32, NonZeroU64};

/// Waves, each of which starts when all jobs of those before have ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WaveLimits {
    /// Waves in one pipeline.
    pub count: u32,
    /// Jobs in one wave.
    pub jobs: u32,
}

/// What a provider allows; none where it publishes no number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Jobs in one pipeline.
    pub jobs: Option<u32>,
    /// True where that number is only the usual one: a plan that is paid for or a server of one's own may allow more, as a setting then says.
    pub jobs_vary: bool,
    /// One in so many jobs is left for passing on what others have left, where results do not travel in artifacts or through a store.
    pub relays: Option<NonZeroU32>,
    /// Jobs that one job may require.
    pub requires: Option<u32>,
    /// Jobs whose artifacts one job can take, where results travel in these.
    pub inputs: Option<u32>,
    /// Waves of jobs, where jobs come in waves; none where each job starts when those that it requires have ended.
    pub waves: Option<WaveLimits>,
    /// Names that one worker can make, where those are artifacts of its job.
    pub worker_names: Option<u32>,
    /// Seconds that one job may run.
    pub job_seconds: Option<u64>,
    /// Bytes of the configuration with every job's body written out.
    pub compiled_bytes: Option<u64>,
    /// Bytes that a job takes of these, a little more than measured.
    pub job_bytes: Option<NonZeroU64>,
}
