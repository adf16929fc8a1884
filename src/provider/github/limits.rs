//! GitHub's limits.

use std::num::NonZeroU64;

use crate::provider::limits::{Limits, WaveLimits};

/// Waves that the workflow has.
pub const WAVES: u32 = 16;

/// Most jobs of one matrix.
pub const MATRIX: u32 = 256;

/// Most bytes of all outputs of a job, counted in UTF-16.
pub const OUTPUT_BYTES: u64 = 1 << 20;

/// Most bytes of what a job runs: it reaches the job in a variable, of which Linux takes 128 KiB.
pub const SCRIPT_BYTES: u64 = 100_000;

/// What GitHub allows. A hosted runner ends a job after six hours.
pub const LIMITS: Limits = Limits {
    jobs: Some(2_000),
    jobs_vary: false,
    relays: None,
    requires: None,
    inputs: None,
    // One more reports what could not be planned.
    waves: Some(WaveLimits { count: WAVES, jobs: MATRIX - 1 }),
    // Artifacts of a job.
    worker_names: Some(500),
    job_seconds: Some(6 * 60 * 60),
    compiled_bytes: Some(OUTPUT_BYTES),
    // An entry of a matrix with the longest id and a label of usual length.
    job_bytes: NonZeroU64::new(400),
};
