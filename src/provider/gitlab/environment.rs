//! What GitLab says in the environment of its jobs, by the names of its variables.

use crate::affected::base::Hints;

/// The variables with what a job may do at GitLab. The address of the repository holds the token too.
pub const KEYS: [&str; 5] =
    ["CI_JOB_TOKEN", "CI_REPOSITORY_URL", "CI_REGISTRY_PASSWORD", "CI_DEPLOY_PASSWORD", "CI_DEPENDENCY_PROXY_PASSWORD"];

/// How secrets are kept out of the job that plans.
pub const KEEPS_SECRETS: &str =
    "give the variable the environment that `delivery_contexts` names as its scope, in place of all";

/// What is said of the commit that is checked out. An empty variable says nothing. Pipelines of merge requests have no
/// `CI_COMMIT_BRANCH`; their own ref stands for the branch, which in a fork may have the name of the default one.
pub fn hints(variable: impl Fn(&'static str) -> Option<String>) -> Hints {
    let given = |name| variable(name).filter(|value| !value.is_empty());
    Hints {
        branch: given("CI_COMMIT_BRANCH").or_else(|| given("CI_MERGE_REQUEST_REF_PATH")),
        tag: given("CI_COMMIT_TAG"),
        commit: given("CI_COMMIT_SHA"),
        default_branch: given("CI_DEFAULT_BRANCH"),
    }
}

/// The page among the artifacts of this job.
pub fn page_address(variable: impl Fn(&str) -> Option<String>) -> Option<String> {
    let (job, address) = (variable("NIXDAG_JOB")?, variable("CI_JOB_URL")?);
    Some(format!("{address}/artifacts/file/.nixdag/results/{job}/nixdag.html"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_merge_requests_branch_is_its_own_ref() {
        let found = hints(|name| match name {
            "CI_COMMIT_BRANCH" => Some(String::new()),
            "CI_MERGE_REQUEST_REF_PATH" => Some("refs/merge-requests/1/head".into()),
            "CI_MERGE_REQUEST_SOURCE_BRANCH_NAME" | "CI_DEFAULT_BRANCH" => Some("main".into()),
            _ => None,
        });
        assert_eq!(
            found,
            Hints {
                branch: Some("refs/merge-requests/1/head".into()),
                default_branch: Some("main".into()),
                ..Hints::default()
            }
        );
    }
}
