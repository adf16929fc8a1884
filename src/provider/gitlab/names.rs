//! Names in the child pipeline: those that others rely on, and those of its jobs.

use std::collections::BTreeSet;

use crate::plan::{Plan, delivery_job, failures};

/// The stage of the jobs that build.
pub const STAGE: &str = "nixdag";

/// Name of the job behind all others, in a stage of its own.
pub const GATE: &str = "gate";

/// Name of the job that puts together what the others have left.
pub const REPORT: &str = "report";

/// Name of the job that removes what the pipeline has put into the registry of packages.
pub const FORGET: &str = "forget";

/// Name of the job that comments on the merge request.
pub const COMMENT: &str = "comment";

/// Name of the parent's job that plans, and whose artifact the bundle is.
pub const PLAN: &str = "nixdag-plan";

/// The variable with the parent's pipeline, which the trigger job sets.
pub const PLAN_PIPELINE: &str = "NIXDAG_PLAN_PIPELINE";

/// The first line of a pipeline whose jobs have nothing to build from.
pub const PREVIEW: &str =
    "# A preview, whose jobs have nothing to build from: `nixdag generate --bundle DIR` makes a pipeline that runs.";

/// Words of GitLab's language, which a job cannot have as its name.
pub const KEYWORDS: [&str; 18] = [
    "image",
    "services",
    "stages",
    "types",
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
    "true",
    "false",
    "nil",
    "null",
];

/// Names, in lower case, that no job of a plan may have: nixdag's own, and GitLab's words.
pub const RESERVED: [&str; 26] = {
    let mut all = [""; 26];
    let own = [GATE, failures::JOB, REPORT, FORGET, COMMENT, PLAN, "restore", delivery_job::JOB];
    let mut at = 0;
    while at < all.len() {
        all[at] = if at < own.len() { own[at] } else { KEYWORDS[at - own.len()] };
        at += 1;
    }
    all
};

/// Longest name of a job that others need, in characters: more has failed without a message.
pub const MAX_NAME: usize = 128;

/// What the jobs of a plan are called, in its order: by their names where these are plain words, else by their ids.
pub fn of_jobs(plan: &Plan) -> Vec<&str> {
    let ids: BTreeSet<&str> = plan.all_jobs().map(|job| job.id.as_str()).collect();
    let name = |name: &'_ str| is_plain(name) && !ids.contains(name) && !RESERVED.contains(&&*name.to_lowercase());
    plan.all_jobs().map(|job| if name(&job.name) { job.name.as_str() } else { job.id.as_str() }).collect()
}

/// True for a name that means nothing else to GitLab, to readers of YAML, and to what shows it.
fn is_plain(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._+@()- ".contains(c);
    name.len() <= MAX_NAME
        && name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.chars().all(plain)
        && !name.ends_with(' ')
        && !name.contains("  ")
        // `test 1 2` is shown as one of a group.
        && !name.rsplit([' ', '(']).next().is_some_and(|last| last.trim_end_matches(')').bytes().all(|b| b.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_names_stay_and_others_give_way_to_ids() {
        for name in ["packages.x86_64-linux.a", "checks.vm (x86_64-linux)", "openssl-3.5+12", "yes"] {
            assert!(is_plain(name), "{name}");
        }
        for name in ["", ".hidden", "a:b", "a/b", "test 1 2", "a\n", "ü", "1", "$a", "a ", "[a]", "a  b", "-"] {
            assert!(!is_plain(name), "{name}");
        }
        assert!(RESERVED.contains(&"gate") && RESERVED.contains(&"null"));
    }
}
