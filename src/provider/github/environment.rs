//! What GitHub says in the environment of its jobs, by the names of its variables.

use crate::affected::base::Hints;

/// The variables with what a job may do at GitHub.
pub const KEYS: [&str; 3] = ["GITHUB_TOKEN", "ACTIONS_RUNTIME_TOKEN", "ACTIONS_ID_TOKEN_REQUEST_TOKEN"];

/// How secrets are kept out of the job that plans.
pub const KEEPS_SECRETS: &str =
    "map the secret in the steps that sign or push, and not in the job `plan` or for the whole workflow";

/// What is said of the commit that is checked out. An empty variable says nothing. A pull request's own ref, `7/merge`, stands for the
/// branch: the one that it comes from may, in a fork, have the name of the default one.
pub fn hints(variable: impl Fn(&'static str) -> Option<String>) -> Hints {
    let given = |name| variable(name).filter(|value| !value.is_empty());
    let is = |kind| given("GITHUB_REF_TYPE").as_deref() == Some(kind);
    let name = || given("GITHUB_REF_NAME");
    Hints {
        branch: name().filter(|_| is("branch")),
        tag: name().filter(|_| is("tag")),
        commit: given("GITHUB_SHA"),
        default_branch: None,
    }
}

/// The run: its artifacts have no addresses that a browser shows.
pub fn page_address(variable: impl Fn(&str) -> Option<String>) -> Option<String> {
    let [server, repository, run] = ["GITHUB_SERVER_URL", "GITHUB_REPOSITORY", "GITHUB_RUN_ID"].map(variable);
    Some(format!("{}/{}/actions/runs/{}", server?, repository?, run?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pull_requests_branch_is_its_own_ref_and_a_tag_is_no_branch() {
        let of = |said: &[(&str, &str)]| {
            hints(|name| said.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()))
        };
        let pull = of(&[("GITHUB_HEAD_REF", "main"), ("GITHUB_REF_NAME", "7/merge"), ("GITHUB_REF_TYPE", "branch")]);
        assert_eq!((pull.branch.as_deref(), pull.tag), (Some("7/merge"), None));
        let push = of(&[("GITHUB_HEAD_REF", ""), ("GITHUB_REF_NAME", "main"), ("GITHUB_REF_TYPE", "branch")]);
        assert_eq!(push.branch.as_deref(), Some("main"));
        let tag = of(&[("GITHUB_REF_NAME", "v1"), ("GITHUB_REF_TYPE", "tag"), ("GITHUB_SHA", "0a")]);
        assert_eq!(tag, Hints { tag: Some("v1".into()), commit: Some("0a".into()), ..Hints::default() });
    }
}
