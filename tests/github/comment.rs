//! The comment on a pull request.

use std::fs;
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::comment_server::{Api, CommentServer, TOKEN, checks};

/// Whether `nixdag comment` succeeds, and what it prints.
fn comment(event: &Value, text: &str, token: &str, api: &str) -> (bool, String) {
    let dir = TempDir::new().unwrap();
    let (file, at) = (dir.path().join("comment.md"), dir.path().join("event.json"));
    fs::write(&file, text).unwrap();
    fs::write(&at, event.to_string()).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_nixdag"))
        .args(["comment", "--provider", "github", "--token-variable", "GITHUB_TOKEN"])
        .arg(file)
        .env("GITHUB_REPOSITORY", "o/r")
        .env("GITHUB_API_URL", api)
        .env("GITHUB_EVENT_PATH", at)
        .env("GITHUB_TOKEN", token)
        .output()
        .unwrap();
    (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// A pull request from this repository.
fn pull(repository: &str) -> Value {
    json!({ "pull_request": { "number": 7, "head": { "repo": { "full_name": repository } } } })
}

#[test]
fn the_one_comment_of_its_own_is_made_and_updated() {
    checks(Api::GitHub, &|text, token, api| comment(&pull("o/r"), text, token, api));
}

#[test]
fn a_fork_gets_none_and_the_token_goes_nowhere() {
    let server = CommentServer::new(Api::GitHub, &[]);
    let text = format!("{}\n", nixdag::page::comment::MARK);
    for event in [pull("fork/r"), json!({ "ref": "refs/heads/main" })] {
        let (succeeded, output) = comment(&event, &text, TOKEN, &server.url());
        assert!(succeeded && output.contains("no comment is written"), "{output}");
    }
    assert!(server.state.lock().unwrap().requests.is_empty());
    let (succeeded, output) = comment(&pull("o/r"), &text, TOKEN, "http://api.example.org");
    assert!(!succeeded && output.contains("not safe for a token"), "{output}");
}
