//! What one run measures is what the next one is planned from.

use std::fs;

use serde_json::Value;

use crate::support::github::Outcome;
use crate::support::github::Status::{Failure, Success};
use crate::support::github_project::project;
use crate::support::project::every_nix;

/// How many durations a run's plan has recorded, and how many it has guessed.
fn durations(outcome: &Outcome) -> [u64; 2] {
    let text = fs::read(outcome.artifact("nixdag-bundle").unwrap().join("plan.json")).unwrap();
    let plan: Value = serde_json::from_slice(&text).unwrap();
    let of = &plan["estimates"]["durations"];
    [of["recorded"].as_u64().unwrap(), of["default"].as_u64().unwrap()]
}

#[test]
fn the_second_run_plans_from_what_the_first_measured_and_a_pull_request_from_the_default_branch() {
    let (checkout, mut github) = project("examples/hermetic", &every_nix()[0], &[("attributes", "packages.*.{a,b}")]);
    let first = github.run().unwrap();
    assert_eq!(first.result("gate"), Success, "{}", first.logs());
    assert_eq!(durations(&first), [0, 2]);
    let log = &first.job("verdict").log;
    assert!(log.contains("2 builds of this pipeline recorded"), "{log}");
    assert!(!checkout.path().join(".nixdag").exists());
    let second = github.run().unwrap();
    assert_eq!((second.result("gate"), durations(&second)), (Success, [2, 0]), "{}", second.logs());

    // What a pull request records stays with it.
    github.pull_request(3, false);
    let flake = checkout.path().join("flake.nix");
    let good = fs::read_to_string(&flake).unwrap();
    let broken = "words=\n                  if [ \"$name\" = b ]; then echo broken; exit 3; fi\n";
    fs::write(&flake, good.replace("words=\n", broken)).unwrap();
    let failed = github.run().unwrap();
    assert_eq!((failed.result("gate"), durations(&failed)), (Failure, [2, 0]), "{}", failed.logs());
    let again = github.run().unwrap();
    let said = "`b` failed in an earlier pipeline";
    assert!(again.job("plan").log.contains(said), "{}", again.job("plan").log);
    github.push("main");
    let main = github.run().unwrap();
    assert!(!main.job("plan").log.contains(said), "{}", main.job("plan").log);
}
