//! The comment on a merge request.

use std::fs;
use std::process::Command;

use tempfile::TempDir;

use crate::support::comment_server::{Api, CommentServer, TOKEN, checks};
use crate::support::gitlab::Status;
use crate::support::gitlab::registry::{Behaviour, Registry};
use crate::support::gitlab_project::project;
use crate::support::project::one_nix;

/// Whether `nixdag comment` succeeds, and what it prints; the merge request comes from the project `source`.
fn comment(source: &str, text: &str, token: &str, api: &str) -> (bool, String) {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("comment.md");
    fs::write(&file, text).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_nixdag"))
        .args(["comment", "--provider", "gitlab", "--token-variable", "COMMENT_TOKEN"])
        .arg(file)
        .env("CI_API_V4_URL", api)
        .env("CI_PROJECT_ID", "3")
        .env("CI_MERGE_REQUEST_IID", "7")
        .env("CI_MERGE_REQUEST_PROJECT_ID", "3")
        .env("CI_MERGE_REQUEST_SOURCE_PROJECT_ID", source)
        .env("COMMENT_TOKEN", token)
        .output()
        .unwrap();
    (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn the_one_comment_of_its_own_is_made_and_updated() {
    checks(Api::GitLab, &|text, token, api| comment("3", text, token, api));
}

#[test]
fn the_pipeline_has_a_job_of_its_own_that_takes_the_finished_text_alone() {
    let registry = Registry::start(Behaviour::default());
    let server = CommentServer::new(Api::GitLab, &[]);
    let (checkout, gitlab) = project("examples/hermetic", &one_nix(0), "");
    let file = checkout.path().join("nixdag.yml");
    let settings = fs::read_to_string(&file).unwrap();
    fs::write(&file, format!("{settings}comment: {{ token_variable: COMMENT_TOKEN, environment: comments }}\n"))
        .unwrap();
    let outcome = gitlab.variable("CI_API_V4_URL", &registry.url()).run().unwrap();
    let job = outcome.children[0].job("comment");
    assert_eq!(job.status, Status::Success, "{}", job.log);
    assert!(job.log.contains("no comment is written: this is not a pipeline of a merge request"), "{}", job.log);
    // What the job before it has left is a comment.
    let text = outcome.children[0].job("report").artifacts.join(".nixdag/results/report/comment.md");
    let (succeeded, output) = comment("3", &fs::read_to_string(text).unwrap(), TOKEN, &server.url());
    assert!(succeeded && output.contains("is made"), "{output}");
    let config = fs::read_to_string(outcome.job("nixdag-pipeline").artifacts.join("nixdag-pipeline.yml")).unwrap();
    let config: serde_yaml::Value = serde_yaml::from_str(&config).unwrap();
    let named = config.as_mapping().unwrap().iter().filter(|(_, job)| {
        job.get("environment").and_then(|environment| environment.get("name")).and_then(|name| name.as_str())
            == Some("comments")
    });
    assert_eq!(named.map(|(name, _)| name.as_str().unwrap()).collect::<Vec<_>>(), ["comment"], "{config:?}");
}

#[test]
fn a_fork_gets_none_and_the_token_goes_nowhere() {
    let server = CommentServer::new(Api::GitLab, &[]);
    let text = format!("{}\n", nixdag::page::comment::MARK);
    let (succeeded, output) = comment("4", &text, TOKEN, &server.url());
    assert!(succeeded && output.contains("no comment is written"), "{output}");
    assert!(server.state.lock().unwrap().requests.is_empty());
}
