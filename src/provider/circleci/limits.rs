//! CircleCI's limits.

use crate::provider::limits::Limits;

/// What CircleCI allows. It publishes no number for jobs in a workflow nor for `requires`, but a job's body counts against the
/// compiled size each time it is invoked, 2.8 kB as nixdag writes it: 2,400 jobs leave room for long names and many `requires`.
/// Jobs run three hours on the middle plan.
pub const LIMITS: Limits = Limits {
    jobs: Some(2_400),
    requires: None,
    waves: None,
    job_seconds: 3 * 60 * 60,
    compiled_bytes: 8_000_000,
    job_bytes: 3_300,
};
