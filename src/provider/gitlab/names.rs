//! Names in the child pipeline that others rely on.

use crate::plan::failures;

/// Name of the job behind all others, in a stage of its own.
pub const GATE: &str = "gate";

/// Name of the job that puts together what the others have recorded.
pub const REPORT: &str = "report";

/// Name of the parent's job that plans, and whose artifact the bundle is.
pub const PLAN: &str = "nixdag-plan";

/// Names, in lower case, that no job of a plan may have: nixdag's own, and the words of GitLab's language.
pub const RESERVED: [&str; 20] = [
    GATE,
    failures::JOB,
    REPORT,
    PLAN,
    "restore",
    "image",
    "services",
    "stages",
    "before_script",
    "after_script",
    "variables",
    "cache",
    "include",
    "default",
    "workflow",
    "spec",
    "pages",
    "pages:deploy",
    "types",
    "true",
];
