//! Names in the configuration that others rely on: required checks, merged configurations.

/// Name of the workflow; GitHub sees a job as `ci/circleci: <workflow>/<job>`.
pub const WORKFLOW: &str = "nixdag";

/// Name of the job that costs nothing and needs all others: one to be made a required check.
pub const GATE: &str = "gate";
