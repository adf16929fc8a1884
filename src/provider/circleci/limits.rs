//! CircleCI's limits.

use std::num::NonZeroU64;

use crate::provider::limits::Limits;

/// Most bytes of a configuration, as it is sent and compiled.
pub const COMPILED_BYTES: u64 = 8_000_000;

/// What CircleCI allows. It publishes no number for jobs in a workflow nor for `requires`, but a job's body counts against the
/// compiled size each time it is invoked, and the job that puts records together has a step for each: 2,000 jobs leave room for
/// long names and many `requires`. Jobs run three hours on the middle plan.
pub const LIMITS: Limits = Limits {
    jobs: Some(2_000),
    jobs_vary: false,
    relays: None,
    requires: None,
    inputs: None,
    waves: None,
    worker_names: None,
    job_seconds: Some(3 * 60 * 60),
    compiled_bytes: Some(COMPILED_BYTES),
    job_bytes: NonZeroU64::new(3_900),
};
