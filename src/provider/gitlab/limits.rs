//! GitLab's limits.

use std::num::{NonZeroU32, NonZeroU64};

use crate::provider::limits::Limits;

/// Most bytes of a file that a child pipeline is made from, and of the archive that it is in.
pub const FILE_BYTES: u64 = 5 << 20;

/// Most jobs that one `needs` may name, as GitLab.com has it and others by default.
pub const NEEDS: u32 = 50;

/// Hours after which hosted runners end a job, whatever it says.
pub const JOB_HOURS: u64 = 3;

/// Jobs beside those of the plan, in the pipeline that plans and in its child: planning, records, `evaluation`, `sign-and-push`, `gate`, `report`,
/// `forget`, the user's own.
pub const OWN_JOBS: u32 = 10;

/// What GitLab allows. The jobs of a project's active pipelines are counted by plan, 500 on GitLab.com's free one, with those beside
/// the plan's; a self-managed server may allow fewer or more. Hosted runners end a job after three hours.
pub const LIMITS: Limits = Limits {
    jobs: Some(500 - OWN_JOBS),
    jobs_vary: true,
    relays: NonZeroU32::new(10),
    requires: Some(NEEDS),
    inputs: Some(NEEDS),
    waves: None,
    worker_names: None,
    job_seconds: Some(JOB_HOURS * 60 * 60),
    compiled_bytes: Some(FILE_BYTES),
    // A name of 255 characters and 50 needs included.
    job_bytes: NonZeroU64::new(5_000),
};
