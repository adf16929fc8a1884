//! What one pipeline measures is what the next one is planned from.

use std::fs;

use serde_json::Value;

use crate::support::gitlab::event::Event;
use crate::support::gitlab::registry::{Behaviour, Registry};
use crate::support::gitlab::{Outcome, Status};
use crate::support::gitlab_project::project;
use crate::support::project::every_nix;

/// How many durations a pipeline's plan has recorded, and how many it has guessed.
fn durations(outcome: &Outcome) -> [u64; 2] {
    let text = fs::read(outcome.job("nixdag-plan").artifacts.join(".nixdag/bundle/plan.json")).unwrap();
    let plan: Value = serde_json::from_slice(&text).unwrap();
    let of = &plan["estimates"]["durations"];
    [of["recorded"].as_u64().unwrap(), of["default"].as_u64().unwrap()]
}

#[test]
fn the_second_pipeline_plans_from_what_the_first_measured() {
    let registry = Registry::start(Behaviour { is_maintainer: true, lists_nonsense: true, ..Behaviour::default() });
    let (checkout, gitlab) = project("examples/hermetic", &every_nix()[0], "--select packages.*.{a,b}");
    let mut gitlab = gitlab.variable("CI_API_V4_URL", &registry.url());
    let first = gitlab.run().unwrap();
    assert!(first.succeeded(), "{}", first.logs());
    assert_eq!(durations(&first), [0, 2]);
    let log = &first.children[0].job("report").log;
    assert!(log.contains("2 builds of this pipeline recorded") && log.contains("is removed"), "{log}");
    assert!(log.contains("warning: 3 packages of the registry's list cannot be read: "), "{log}");
    let page = |outcome: &Outcome| {
        fs::read_to_string(outcome.children[0].job("report").artifacts.join(".nixdag/results/report/nixdag.html"))
            .unwrap()
    };
    assert!(page(&first).contains("accounted for"), "{}", page(&first));
    assert!(!log.contains("glcbt-token") && registry.files().is_empty(), "{:?}", registry.files());

    // A failure is recorded as well, by a job that runs although the gate does not.
    let flake = checkout.path().join("flake.nix");
    let broken = "words=\n                  if [ \"$name\" = a ]; then echo broken; exit 3; fi\n";
    fs::write(&flake, fs::read_to_string(&flake).unwrap().replace("words=\n", broken)).unwrap();
    let second = gitlab.run().unwrap();
    assert_eq!(durations(&second), [2, 0]);
    let child = &second.children[0];
    let ended = ["a", "b", "gate", "report"].map(|job| child.status(job));
    assert_eq!(ended, [Status::Failed, Status::Skipped, Status::Skipped, Status::Success], "{}", child.logs());
    assert!(
        page(&second).contains("not run: a job before it failed"),
        "a record of the first is none of the second: {}",
        page(&second)
    );
    let third = gitlab.run().unwrap();
    let log = &third.job("nixdag-plan").log;
    assert!(log.contains("`a` failed in an earlier pipeline"), "{log}");
    // What protected branches have recorded is not for others.
    gitlab.event(Event::push("topic"));
    let topic = gitlab.run().unwrap();
    assert_eq!(durations(&topic), [0, 2]);
}

#[test]
fn a_project_without_a_registry_builds_all_the_same_and_says_so() {
    let registry = Registry::start(Behaviour { refuses_uploads: true, ..Behaviour::default() });
    let (_checkout, gitlab) = project("examples/hermetic", &every_nix()[0], "--handoff artifacts");
    let outcome = gitlab.variable("CI_API_V4_URL", &registry.url()).run().unwrap();
    assert!(outcome.succeeded(), "{}", outcome.logs());
    let child = &outcome.children[0];
    assert!(child.job("a").log.contains("no records are left for later pipelines"), "{}", child.job("a").log);
    let report = child.job("report");
    assert!(report.log.contains("4 of 4 jobs left no records"), "{}", report.log);
    assert!(report.log.contains("stay in the registry: the registry answers 403"), "{}", report.log);
    assert_eq!(report.status, Status::Success, "{}", report.log);
}
