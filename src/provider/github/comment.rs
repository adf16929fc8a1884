//! Comments of GitHub's pull requests. In: the variables of a job, and the event that it runs for. Out: where the comments are.

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::provider::comment::{CommentApi, CommentPlace, Edit, api_address};

/// Who writes with the token that GitHub gives to each job, which may not ask for its own name.
const BOT: &str = "github-actions[bot]";

/// Where the comment of a job goes; `event` is what GitHub says of what the job runs for.
pub fn place(variable: impl Fn(&str) -> Option<String>, event: &Value) -> Result<CommentPlace> {
    let Some(pull) = event.get("pull_request") else {
        return Ok(CommentPlace::Nowhere("this is not a pull request".into()));
    };
    let repository = variable("GITHUB_REPOSITORY").context("`GITHUB_REPOSITORY` is not set")?;
    let head = pull.pointer("/head/repo/full_name").and_then(Value::as_str);
    if head != Some(&*repository) {
        return Ok(CommentPlace::Nowhere("the pull request comes from a fork".into()));
    }
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
    ensure!(
        repository.chars().all(is_plain) && repository.matches('/').count() == 1 && !repository.contains(".."),
        "`GITHUB_REPOSITORY` is not a repository"
    );
    let number = pull.get("number").and_then(Value::as_u64).context("the event names no pull request")?;
    let api = api_address(&variable("GITHUB_API_URL").unwrap_or_else(|| "https://api.github.com".into()))?;
    let issues = format!("{api}/repos/{repository}/issues");
    Ok(CommentPlace::Api(Box::new(CommentApi {
        owner: (format!("{api}/user"), "login"),
        unnamed: Some(BOT),
        list: format!("{issues}/{number}/comments"),
        edit: (format!("{issues}/comments"), Edit::Patch),
        author: ["user", "login"],
        header: ("authorization", "Bearer "),
        rights: "`permissions: { pull-requests: write }` in its job",
    })))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_a_pull_request_of_the_repository_itself_gets_a_comment() {
        let place =
            |event: &Value| place(|name| (name == "GITHUB_REPOSITORY").then(|| "o/r".to_owned()), event).unwrap();
        let from = |head: Value| json!({ "pull_request": { "number": 7, "head": { "repo": head } } });
        for event in
            [json!({}), from(Value::Null), from(json!({ "full_name": "other/r" })), from(json!({ "full_name": "O/R" }))]
        {
            assert!(matches!(place(&event), CommentPlace::Nowhere(_)), "{event}");
        }
        let CommentPlace::Api(api) = place(&from(json!({ "full_name": "o/r" }))) else { panic!("it is its own") };
        assert_eq!(api.list, "https://api.github.com/repos/o/r/issues/7/comments");
    }
}
