//! A repository on the stand-in for GitHub, with the workflow that docs/github.md has people commit and one Nix.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use super::github::{GitHub, Outcome};
use super::{copy_of, repository, stripped};

/// The workflow that users commit, where the action gets these inputs.
pub fn file(inputs: &[(&str, &str)]) -> String {
    let file = fs::read_to_string(repository().join("github/nixdag.yml")).unwrap();
    let line = file.lines().find(|line| line.contains("/github/plan@")).unwrap();
    // The machines of the stand-in bring nixdag.
    let mut with = "        with:\n          program: nixdag\n".to_owned();
    for (name, value) in inputs {
        with.push_str(&format!("          {name}: {}\n", serde_json::to_string(value).unwrap()));
    }
    file.replace(line, &format!("{line}\n{with}"))
}

/// The same, with the secret passed on as docs/github.md says.
pub fn file_with_secrets(inputs: &[(&str, &str)]) -> String {
    let page = fs::read_to_string(repository().join("docs/github.md")).unwrap();
    let secrets = page.lines().find(|line| line.starts_with("    secrets: {")).unwrap();
    let file = file(inputs);
    let call = file.lines().find(|line| line.contains("needs.plan.outputs.plan")).unwrap().to_owned();
    file.replace(&call, &format!("{call}\n{secrets}"))
}

/// A copy of an example, and what runs its workflow.
pub fn project(example: &str, nix: &Path, inputs: &[(&str, &str)]) -> (TempDir, GitHub) {
    project_of(&file(inputs), example, nix)
}

/// The same with this workflow.
pub fn project_of(file: &str, example: &str, nix: &Path) -> (TempDir, GitHub) {
    let checkout = copy_of(example);
    let github = GitHub::new(file, checkout.path(), nix).unwrap();
    // Its machines are virtual ones by what they show, and cannot nest a sandbox.
    let github = github.nix_conf("sandbox = false\n");
    (checkout, github.repository("org/nixdag", repository()).program(stripped()))
}

/// What all jobs have recorded, put together by `nixdag report`.
pub fn report(outcome: &Outcome) -> serde_json::Value {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_nixdag"));
    command.args(["report", "--format", "json"]);
    for name in outcome.artifacts.matching("nixdag-results-*").unwrap() {
        command.arg(outcome.artifact(&name).unwrap());
    }
    let output = command.output().unwrap();
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)))
}
