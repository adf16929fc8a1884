//! What CircleCI says in the environment of its jobs, by the names of its variables.

use crate::affected::base::Hints;

/// How secrets are kept out of the job that plans.
pub const KEEPS_SECRETS: &str = "put it into a context, name that in `delivery_contexts`, and give it neither to the setup job nor to the whole project";

/// The variable that a setup job finds the key in with which it continues the pipeline.
pub const CONTINUATION_KEY: &str = "CIRCLE_CONTINUATION_KEY";

/// The variables with keys to the pipeline and its project, for which only continuing has a use.
pub const KEYS: [&str; 3] = [CONTINUATION_KEY, "CIRCLE_TOKEN", "CIRCLECI_CLI_TOKEN"];

/// What is said of the commit that is checked out. An empty variable says nothing.
pub fn hints(variable: impl Fn(&'static str) -> Option<String>) -> Hints {
    let given = |name| variable(name).filter(|value| !value.is_empty());
    Hints {
        branch: given("CIRCLE_BRANCH"),
        tag: given("CIRCLE_TAG"),
        commit: given("CIRCLE_SHA1"),
        default_branch: None,
    }
}

/// The page among the artifacts of this job.
pub fn page_address(variable: impl Fn(&str) -> Option<String>) -> Option<String> {
    let job = variable("CIRCLE_WORKFLOW_JOB_ID")?;
    Some(format!("https://output.circle-artifacts.com/output/job/{job}/artifacts/0/nixdag/nixdag.html"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_that_is_empty_says_nothing() {
        let found = hints(|name| match name {
            "CIRCLE_BRANCH" => Some("main".into()),
            "CIRCLE_TAG" => Some(String::new()),
            _ => None,
        });
        assert_eq!(found, Hints { branch: Some("main".into()), ..Hints::default() });
    }
}
