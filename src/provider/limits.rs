//! What a provider allows: data that each one fills in, for planning and for the check of what was written.

use std::num::NonZeroU64;

/// What a provider allows; none where it publishes no number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Jobs in one pipeline.
    pub jobs: Option<u32>,
    /// Jobs that one job may require.
    pub requires: Option<u32>,
    /// Jobs whose artifacts one job can take, where results travel in these.
    pub inputs: Option<u32>,
    /// Jobs that can stand behind one another.
    pub waves: Option<u32>,
    /// Seconds that one job may run.
    pub job_seconds: Option<u64>,
    /// Bytes of the configuration with every job's body written out.
    pub compiled_bytes: Option<u64>,
    /// Bytes that a job takes of these, a little more than measured.
    pub job_bytes: Option<NonZeroU64>,
}
