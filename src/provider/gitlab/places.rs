//! Where the jobs of a child pipeline have their things: below the project's folder, since artifacts come from there and go there.

use crate::provider::job_script::Places;

/// Where the planning job writes the bundle, and where its artifact is unpacked.
pub const BUNDLE: &str = ".nixdag/bundle";

/// The variable with the id of the job in the plan.
pub const JOB: &str = "NIXDAG_JOB";

/// The variable with the hash of what the job builds.
pub const REUSE: &str = "NIXDAG_REUSE";

/// Hand-offs, a folder a job.
pub const WORKSPACE: &str = ".nixdag/handoff";

/// Records of earlier pipelines.
pub const HISTORY: &str = ".nixdag/history";

/// Where a job has its things.
pub const PLACES: Places = Places {
    bundle: BUNDLE,
    program: ".nixdag/program",
    workspace: WORKSPACE,
    reuse: ".nixdag/reuse",
    packages: "\"$CI_API_V4_URL/projects/$CI_PROJECT_ID/packages/generic/nixdag/$CI_PIPELINE_ID\"",
    signed: "\"$CI_API_V4_URL/projects/$CI_PROJECT_ID/packages/generic/nixdag-signed/1\"",
    results: ".nixdag/results/$NIXDAG_JOB",
    records: "\"$CI_API_V4_URL/projects/$CI_PROJECT_ID/packages/generic/nixdag-records/$CI_COMMIT_REF_SLUG\"",
    restored: ".nixdag/restored",
    job: "$NIXDAG_JOB",
};
