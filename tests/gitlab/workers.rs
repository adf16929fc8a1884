//! `mode: workers`: pipelines whose jobs are machines that take one derivation after another, results in a cache, names in a bucket.

use std::fs;

use crate::support::gitlab::{Outcome, Status};
use crate::support::gitlab_project::{project, report};
use crate::support::project::{figure, one_nix};
use crate::support::s3_server::{KEY, S3Server};
use crate::support::writable_cache::WritableCache;

/// Runs the hermetic example with two workers; `setup` is a command in front of all jobs, `settings` are more lines of nixdag.yml.
fn run(turn: usize, setup: &str, settings: &str) -> Outcome {
    let (names, cache) = (S3Server::new(false), WritableCache::new());
    let arguments = format!(
        "--objective time --cost ordinary=600 --mode workers --worker-store '{}' --handoff cache --cache {}?trusted=true",
        names.url(),
        cache.url()
    );
    let (checkout, gitlab) = project("examples/hermetic", &one_nix(turn), &arguments);
    let file = checkout.path().join("nixdag.yml");
    let executor = format!("executors: {{ docker: {{ cores: 1, setup: {setup:?} }} }}");
    fs::write(&file, format!("{}{executor}\n{settings}\n", fs::read_to_string(&file).unwrap())).unwrap();
    let sandbox = "sandbox = true\nsandbox-paths = /bin /usr /lib /lib64\nbuild-users-group = nixbld\n";
    let variables = [("NIX_CONFIG", sandbox), ("AWS_ACCESS_KEY_ID", KEY.0), ("AWS_SECRET_ACCESS_KEY", KEY.1)];
    let mut gitlab = variables.iter().fold(gitlab, |gitlab, (name, value)| gitlab.variable(name, value));
    gitlab.run().unwrap()
}

#[test]
fn a_worker_that_dies_is_a_warning_and_the_others_build_everything() {
    let outcome = run(0, "case $NIXDAG_JOB in nixdag-worker-0) exit 1;; esac", "");
    assert!(outcome.succeeded(), "{}", outcome.logs());
    let child = &outcome.children[0];
    assert_eq!(child.status("nixdag-worker-0"), Status::Failed, "{}", outcome.logs());
    assert!(child.job("nixdag-workers").log.contains("4 of 4 units done by workers"), "{}", outcome.logs());
    let said = report(child);
    assert_eq!((figure(&said, "built"), said["built_twice"].as_array().map(Vec::len)), (4, Some(0)), "{said}");
}

#[test]
fn where_all_workers_die_the_gate_is_red() {
    let outcome = run(1, "case $NIXDAG_JOB in nixdag-worker-?) exit 1;; esac", "");
    let child = &outcome.children[0];
    assert!(!outcome.succeeded() && child.status("nixdag-workers") == Status::Failed, "{}", outcome.logs());
    assert!(child.job("nixdag-workers").log.contains("0 of 4 units done by workers"), "{}", outcome.logs());
}

#[test]
fn what_gets_a_variable_is_built_behind_the_workers() {
    let outcome = run(2, "true", "rules: [{ match: { attribute: packages.*.b }, environment: { A: b } }]");
    assert!(outcome.succeeded(), "{}", outcome.logs());
    let child = &outcome.children[0];
    assert!(child.job("nixdag-workers").log.contains("2 of 2 units done by workers"), "{}", outcome.logs());
    assert_eq!((child.status("b"), child.status("d")), (Status::Success, Status::Success));
    assert_eq!(figure(&report(child), "built"), 4);
}
