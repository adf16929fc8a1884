//! Names in the configuration that others rely on: required checks, merged configurations.

use crate::plan::{delivery_job, failures};

/// The first line of a configuration whose jobs have nothing to build from.
pub const PREVIEW: &str = "# A preview, whose jobs have nothing to build from: `nixdag generate --bundle DIR` makes a configuration that runs.";

/// Name of the workflow; GitHub sees a job as `ci/circleci: <workflow>/<job>`.
pub const WORKFLOW: &str = "nixdag";

/// Name of a job behind all others that puts together what they have recorded.
pub const REPORT: &str = "report";

/// Name of the job that restores what jobs with secrets start from.
pub const RESTORE: &str = "restore";

/// Names, in lower case, that no other job may have, whether this configuration has such a job or not.
pub const RESERVED: [&str; 5] = [GATE, failures::JOB, REPORT, RESTORE, delivery_job::JOB];

/// Name of the job that costs nothing and needs all others: one to be made a required check.
pub const GATE: &str = "gate";
