//! What starts a pipeline: what GitLab says of it in variables, whether its ref is protected, which pipelines `workflow: rules` allow, and what
//! a runner's clone holds.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Map, Value};

use crate::support::run;

/// What starts a pipeline.
#[derive(Clone, Debug)]
pub struct Event {
    pub variables: BTreeMap<String, String>,
    /// Jobs get protected variables, and caches of protected refs.
    pub protected: bool,
    /// What is checked out.
    pub revision: String,
}

impl Event {
    fn new(source: &str, name: &str, revision: &str, more: &[(&str, &str)]) -> Self {
        let slug = name.to_lowercase().replace(|c: char| !c.is_ascii_alphanumeric(), "-");
        let own = [("CI_PIPELINE_SOURCE", source), ("CI_COMMIT_REF_NAME", name), ("CI_COMMIT_REF_SLUG", &slug)];
        let all = own.iter().chain(more).map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Self { variables: all.collect(), protected: false, revision: revision.to_owned() }
    }

    /// A push to a branch.
    pub fn push(branch: &str) -> Self {
        Self::new("push", branch, branch, &[("CI_COMMIT_BRANCH", branch)])
    }

    /// A schedule of a branch.
    pub fn schedule(branch: &str) -> Self {
        Self::new("schedule", branch, branch, &[("CI_COMMIT_BRANCH", branch)])
    }

    /// A tag.
    pub fn tag(name: &str) -> Self {
        Self::new("push", name, name, &[("CI_COMMIT_TAG", name)])
    }

    /// Merge request 1; `kind` is `detached`, `merged_result` or `merge_train`.
    pub fn merge_request(source: &str, kind: &str) -> Self {
        let reference = match kind {
            "detached" => "refs/merge-requests/1/head",
            "merged_result" => "refs/merge-requests/1/merge",
            _ => "refs/merge-requests/1/train",
        };
        let more = [
            ("CI_MERGE_REQUEST_IID", "1"),
            ("CI_MERGE_REQUEST_REF_PATH", reference),
            ("CI_MERGE_REQUEST_SOURCE_BRANCH_NAME", source),
            ("CI_MERGE_REQUEST_TARGET_BRANCH_NAME", "main"),
            ("CI_MERGE_REQUEST_EVENT_TYPE", kind),
        ];
        Self::new("merge_request_event", source, reference, &more)
    }

    /// Its ref is a protected one.
    pub fn protected(mut self) -> Self {
        self.protected = true;
        self
    }

    /// Another variable.
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.variables.insert(name.into(), value.into());
        self
    }

    /// Whether a file's pipeline is created. Jobs here have no rules: without `workflow: rules` they are for branches and tags.
    pub fn creates(&self, top: &Map<String, Value>) -> Result<bool> {
        let Some(rules) = top.get("workflow").and_then(|workflow| workflow.get("rules")) else {
            return Ok(!self.variables.contains_key("CI_MERGE_REQUEST_IID"));
        };
        for rule in rules.as_array().context("`rules` is a list")? {
            let rule = rule.as_object().context("a rule is a mapping")?;
            ensure!(rule.keys().all(|key| ["if", "when"].contains(&key.as_str())), "a rule {rule:?}");
            if rule.get("if").and_then(Value::as_str).map_or(Ok(true), |condition| self.is_true(condition))? {
                return Ok(rule.get("when").is_none_or(|when| when != "never"));
            }
        }
        Ok(false)
    }

    fn is_true(&self, condition: &str) -> Result<bool> {
        for term in condition.split(" && ") {
            let words: Vec<&str> = term.split(' ').collect();
            let value = |word: &str| -> Result<Option<String>> {
                match (word.strip_prefix('$'), word.strip_prefix('"').and_then(|word| word.strip_suffix('"'))) {
                    (Some(name), _) => Ok(self.variables.get(name).cloned()),
                    (_, Some(text)) => Ok(Some(text.to_owned())),
                    _ => bail!("`{word}` in a condition"),
                }
            };
            let holds = match words.as_slice() {
                [one] => value(one)?.is_some_and(|value| !value.is_empty()),
                [one, "==", other] => value(one)? == value(other)?,
                [one, "!=", other] => value(one)? != value(other)?,
                _ => bail!("the condition `{term}`"),
            };
            if !holds {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Clones as a runner does where all history is wanted: branches and tags, and the commit alone, on no branch. Where the repository was is not seen by jobs.
    pub fn check_out(&self, repository: &Path, into: &Path) {
        let from = repository.to_str().unwrap();
        run(into, "git", &["init", "-q"]);
        run(into, "git", &["remote", "add", "origin", from]);
        let own = format!("+{}:refs/pipelines/1", self.revision);
        let all = ["fetch", "-q", "origin", "+refs/heads/*:refs/remotes/origin/*", "+refs/tags/*:refs/tags/*", &own];
        run(into, "git", &all);
        run(into, "git", &["checkout", "-q", "--detach", "refs/pipelines/1"]);
    }
}
