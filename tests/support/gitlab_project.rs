//! A repository on the stand-in for GitLab, with the `.gitlab-ci.yml` that docs/gitlab.md shows and one Nix.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::gitlab::{GitLab, Outcome};
use super::{copy_of, repository, stripped};

/// The `.gitlab-ci.yml` of the documentation, with these arguments for `nixdag generate`.
pub fn file(arguments: &str) -> String {
    let page = fs::read_to_string(repository().join("docs/gitlab.md")).unwrap();
    let start = page.find("```yaml\nstages:").expect("docs/gitlab.md shows a .gitlab-ci.yml") + "```yaml\n".len();
    let file = &page[start..start + page[start..].find("```").unwrap()];
    assert!(file.contains("nixdag generate"), "{file}");
    file.replace("nixdag generate", &format!("nixdag generate {arguments}"))
}

/// A copy of an example, and what runs its pipelines.
pub fn project(example: &str, nix: &Path, arguments: &str) -> (TempDir, GitLab) {
    let checkout = copy_of(example);
    let gitlab = GitLab::new(&file(arguments), checkout.path(), nix).unwrap().program(stripped());
    (checkout, gitlab)
}

/// What all jobs of a child pipeline have recorded, put together by `nixdag report`.
pub fn report(child: &Outcome) -> serde_json::Value {
    report_of(child.jobs.iter().map(|job| job.artifacts.clone()))
}

/// The same of the artifacts of jobs, a folder each.
pub fn report_of(artifacts: impl Iterator<Item = PathBuf>) -> serde_json::Value {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_nixdag"));
    command.args(["report", "--format", "json"]);
    for folder in artifacts.map(|job| job.join(".nixdag/results")).filter(|folder| folder.is_dir()) {
        let mut own: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        own.sort();
        command.args(own);
    }
    let output = command.output().unwrap();
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)))
}
