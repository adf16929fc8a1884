//! Names of jobs that the workflow has itself.

use crate::plan::{delivery_job, failures};

/// Name of the job that plans.
pub const PLAN: &str = "plan";

/// Name of the job behind all others: one to be made a required check.
pub const GATE: &str = "gate";

/// Names, in lower case, that no job of a plan may have.
pub const RESERVED: [&str; 5] = [PLAN, GATE, failures::JOB, delivery_job::JOB, "report"];
