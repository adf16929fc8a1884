//! Whole pipelines on this machine: a parent plans and triggers, the child runs job by job on machines with an empty store.

use std::fs;
use std::path::Path;

use crate::support::built::{Built, CONTENT_ADDRESSED, CONTENT_ADDRESSED_CONF, FOUND, OF_IMPORT_FROM_DERIVATION};
use crate::support::gitlab::event::Event;
use crate::support::gitlab::registry::{Behaviour, Registry};
use crate::support::gitlab::{GitLab, Status};
use crate::support::gitlab_project::{file, project, report};
use crate::support::project::{every_nix, figure, one_nix};
use crate::support::{copy_of, stripped};

/// Changes a file of a repository.
fn replace(checkout: &Path, file: &str, from: &str, to: &str) {
    let path = checkout.join(file);
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "{text}");
    fs::write(&path, text.replace(from, to)).unwrap();
}

#[test]
fn the_hermetic_example_builds_everything_once() {
    for nix in every_nix() {
        let (_checkout, mut gitlab) = project("examples/hermetic", &nix, "");
        let outcome = gitlab.run().unwrap();
        assert!(outcome.succeeded(), "{}", outcome.logs());
        let child = &outcome.children[0];
        for name in ["a", "b", "c", "d", "integration", "gate"] {
            assert_eq!(child.status(name), Status::Success, "{}", outcome.logs());
        }
        let said = report(child);
        assert_eq!((figure(&said, "built"), said["built_twice"].as_array().map(Vec::len)), (4, Some(0)), "{said}");
    }
}

#[test]
fn a_second_pipeline_builds_nothing_and_an_unprotected_branch_takes_nothing_of_a_protected_one() {
    let nix = every_nix().remove(0);
    // One job is enough to see who takes what.
    let (_checkout, mut gitlab) = project("examples/hermetic", &nix, "--select packages.*.a");
    assert!(gitlab.run().unwrap().succeeded());
    let second = gitlab.run().unwrap();
    assert!(second.succeeded(), "{}", second.logs());
    assert_eq!(figure(&report(&second.children[0]), "built"), 0, "{}", second.logs());
    gitlab.event(Event::push("topic/1"));
    let other = gitlab.run().unwrap();
    assert_eq!(figure(&report(&other.children[0]), "built"), 1, "{}", other.logs());
}

#[test]
fn a_failure_stops_what_needs_it_and_a_retry_builds_only_that() {
    let nix = every_nix().remove(0);
    let (checkout, mut gitlab) = project("examples/hermetic", &nix, "");
    // Fails until somebody mends the machine: the derivation stays the same.
    let broken = "words=\n                  if [ \"$name\" = b ] && [ -e /mnt/broken ]; then echo 'b is broken on purpose'; exit 3; fi\n";
    replace(checkout.path(), "flake.nix", "words=\n", broken);
    gitlab.before("touch /mnt/broken");
    let outcome = gitlab.run().unwrap();
    assert_eq!(outcome.status("nixdag"), Status::Failed, "the parent is red");
    let first = &outcome.children[0];
    let ended = ["a", "b", "c", "d", "integration", "gate"].map(|name| first.status(name));
    let (well, not) = (Status::Success, Status::Skipped);
    assert_eq!(ended, [well, Status::Failed, well, not, not, not], "{}", outcome.logs());
    let junit = fs::read_to_string(&first.job("b").junit[0]).unwrap();
    assert!(junit.contains("b is broken on purpose") && junit.contains("<failure"), "{junit}");
    assert!(first.job("b").artifacts.join(".nixdag/results/b/report.json").is_file(), "its records are kept");
    assert_eq!(first.job("b").attempts, 1, "a builder's failure is not tried again");

    gitlab.before("rm -f /mnt/broken");
    let again = gitlab.retry(first).unwrap();
    assert!(again.succeeded(), "{}", again.logs());
    let built: Vec<&str> =
        ["a", "b", "c", "d"].into_iter().filter(|name| again.job(name).log != first.job(name).log).collect();
    assert_eq!(built, ["b", "d"], "{}", again.logs());
    let said = report(&again);
    assert_eq!((figure(&said, "built"), said["built_twice"].as_array().map(Vec::len)), (4, Some(0)), "{said}");
}

#[test]
fn what_does_not_evaluate_makes_the_gate_red_and_everything_else_is_built() {
    let nix = every_nix().remove(0);
    let (checkout, mut gitlab) = project("examples/hermetic", &nix, "");
    replace(checkout.path(), "flake.nix", "default = d;", "default = d;\n          wrong = throw \"not today\";");
    let outcome = gitlab.run().unwrap();
    let child = &outcome.children[0];
    let ended = ["a", "b", "c", "d", "evaluation", "gate"].map(|name| child.status(name));
    let well = Status::Success;
    assert_eq!(ended, [well, well, well, well, Status::Failed, Status::Skipped], "{}", outcome.logs());
    assert!(child.job("evaluation").log.contains("not today"), "{}", outcome.logs());
    assert!(fs::read_to_string(&child.job("evaluation").junit[0]).unwrap().contains("not today"));
    assert_eq!(outcome.status("nixdag"), Status::Failed);
}

#[test]
fn a_job_whose_runner_dies_is_tried_again() {
    let nix = every_nix().remove(0);
    let (_checkout, mut gitlab) = project("examples/hermetic", &nix, "");
    gitlab.kill_once("b");
    let outcome = gitlab.run().unwrap();
    assert!(outcome.succeeded(), "{}", outcome.logs());
    assert_eq!(["a", "b"].map(|name| outcome.children[0].job(name).attempts), [1, 2]);
}

/// Every job of an example succeeds, and this many derivations are built, each once.
fn all_is_built_once(example: &str, nix: &Path, built: u64, jobs: &[&str]) {
    let (_checkout, gitlab) = project(example, nix, "");
    let mut gitlab = gitlab.nix_conf("system-features = big-parallel kvm\nsandbox = false\n");
    let outcome = gitlab.run().unwrap();
    assert!(outcome.succeeded(), "{}", outcome.logs());
    let child = &outcome.children[0];
    for name in jobs.iter().chain(&["gate"]) {
        assert_eq!(child.status(name), Status::Success, "{name}: {}", outcome.logs());
    }
    let said = report(child);
    assert_eq!((figure(&said, "built"), said["built_twice"].as_array().map(Vec::len)), (built, Some(0)), "{said}");
}

#[test]
fn a_mixed_fleet_builds_everything_once() {
    let jobs = [
        "browser (x86_64-linux)",
        "small (x86_64-linux)",
        "tool (i686-linux)",
        "tool (x86_64-linux)",
        "tool (aarch64-linux)",
        "tool (aarch64-darwin)",
        "firmware (x86_64-linux)",
        "checks.vm (x86_64-linux)",
    ];
    all_is_built_once("examples/fleet", &one_nix(0), 9, &jobs);
}

#[test]
fn cross_targets_are_built_once_whatever_they_are_for() {
    let jobs = [
        "pkgsCross.aarch64-multiplatform.hello (x86_64-linux)",
        "pkgsCross.aarch64-multiplatform.git (x86_64-linux)",
        "pkgsCross.musl64.hello (x86_64-linux)",
        "pkgsCross.musl64.git (x86_64-linux)",
        "nixosConfigurations.router (x86_64-linux)",
        "checks.hello (aarch64-linux)",
    ];
    all_is_built_once("examples/cross", &one_nix(2), 8, &jobs);
}

#[test]
fn what_evaluation_has_built_is_built_by_no_job() {
    let nix = every_nix().remove(0);
    let built = Built::new();
    let (checkout, mut gitlab) = project("tests/fixtures/import-from-derivation", &nix, "--allow-ifd");
    gitlab = gitlab.nix_conf("sandbox = false\n");
    replace(checkout.path(), "flake.nix", "@BUILT@", &built.path());
    let outcome = gitlab.run().unwrap();
    assert!(outcome.succeeded(), "{}", outcome.logs());
    assert_eq!(built.sorted(), OF_IMPORT_FROM_DERIVATION, "{}", outcome.logs());
}

#[test]
fn a_command_finds_outputs_whose_paths_the_plan_does_not_know() {
    let nix = one_nix(0);
    let built = Built::new();
    let (checkout, mut gitlab) = project("tests/fixtures/content-addressed", &nix, "");
    gitlab = gitlab.nix_conf(CONTENT_ADDRESSED_CONF);
    replace(checkout.path(), "flake.nix", "@BUILT@", &built.path());
    let outcome = gitlab.run().unwrap();
    assert!(outcome.succeeded(), "{}", outcome.logs());
    let look = outcome.children[0].job("look");
    assert!(look.log.contains(FOUND), "{}", outcome.logs());
    let report = fs::read_to_string(look.artifacts.join(".nixdag/results/look/report.json")).unwrap();
    assert!(report.contains("\"command\": \"success\""), "{report}\n{}", look.log);
    assert_eq!(built.sorted(), CONTENT_ADDRESSED, "{}", outcome.logs());
}

#[test]
fn no_builder_and_no_evaluation_sees_the_token_of_a_gitlab_job() {
    // Each builder looks at the Nix that runs it, and at the nixdag that runs that. Of the shell in front of them GitLab's runner shows everything.
    let look = r#"words=
                  if [ "$CI_JOB_TOKEN$CI_REPOSITORY_URL" ]; then exit 1; fi
                  p=$PPID seen=
                  while read -r comm < /proc/$p/comm && [ "$comm" != sh ] && [ "$comm" != bash ]; do
                    seen="$seen $comm"
                    if /bin/grep -q glcbt-token /proc/$p/environ; then echo "shown by $comm"; exit 1; fi
                    read -r i n s p r < /proc/$p/stat
                  done
                  case $seen in *nix*nixdag*) ;; *) echo "looked at $seen alone"; exit 1 ;; esac
"#;
    let told = r#"default = if builtins.getEnv "CI_JOB_TOKEN" == "" && builtins.getEnv "HOME" != "" then d else throw "seen";"#;
    for (turn, handoff) in ["artifacts", "packages"].into_iter().enumerate() {
        let registry = Registry::start(Behaviour::default());
        let arguments = format!("--impure --handoff {handoff}");
        let (checkout, gitlab) = project("examples/hermetic", &one_nix(2 * turn), &arguments);
        replace(checkout.path(), "flake.nix", "words=\n", look);
        replace(checkout.path(), "flake.nix", "default = d;", told);
        let outcome = gitlab.variable("CI_API_V4_URL", &registry.url()).run().unwrap();
        assert!(outcome.succeeded(), "{}", outcome.logs());
        let said = report(&outcome.children[0]);
        assert_eq!(figure(&said, "built"), 4, "{said}");
    }
}

#[test]
fn a_bundle_that_another_job_has_replaced_is_not_run() {
    let (_checkout, mut gitlab) = project("examples/hermetic", &every_nix()[0], "");
    let bundle = "/mnt/builds/group/project/.nixdag/bundle";
    for file in ["nixdag", "install.sh", "manifest"] {
        // Only jobs of the child have the bundle when they begin.
        let replaced = format!(
            "rm -f {bundle}/{file}; printf '#!/bin/sh\\necho evil; exit 0\\n' > {bundle}/{file}; chmod 755 {bundle}/{file}"
        );
        gitlab.before(&format!("if [ -d {bundle} ]; then {replaced}; fi"));
        let outcome = gitlab.run().unwrap();
        let child = &outcome.children[0];
        assert_eq!([child.status("a"), child.status("gate")], [Status::Failed, Status::Skipped], "{}", outcome.logs());
        let log = &child.job("a").log;
        assert!(log.contains("FAILED") && !log.contains("evil"), "{file}: {log}");
    }
}

/// A cache is unpacked over the checkout, with whatever paths the job had that saved it.
#[test]
fn what_another_branch_saves_under_the_key_of_records_is_not_what_is_planned() {
    let registry = Registry::start(Behaviour::default());
    let (_checkout, gitlab) = project("examples/hermetic", &every_nix()[0], "--reuse off --select packages.*.a");
    let mut gitlab = gitlab.variable("CI_API_V4_URL", &registry.url());
    assert!(gitlab.run().unwrap().succeeded());
    let hostile = "{ outputs = _: throw \"planned what a cache brought\"; }";
    for (file, text) in [
        ("flake.nix", hostile),
        ("nixdag.yml", "bogus: 1\n"),
        (".git/config", "[core\n"),
        (".nixdag/bundle/manifest", ""),
    ] {
        assert!(gitlab.poison(file, text) > 0, "no records were saved");
    }
    let outcome = gitlab.run().unwrap();
    assert!(outcome.succeeded(), "{}", outcome.logs());
    assert_eq!(figure(&report(&outcome.children[0]), "built"), 1, "{}", outcome.logs());
    // What was measured is there all the same.
    assert!(outcome.job("nixdag-records").artifacts.join(".nixdag/history/records.json").is_file());
}

#[test]
fn what_a_file_says_for_all_its_jobs_reaches_neither_planning_nor_the_child() {
    let global = "default:\n  before_script: [exit 7]\n  cache: {key: of-all, paths: [flake.nix]}\nvariables: {GIT_STRATEGY: clone}\n";
    let checkout = copy_of("examples/hermetic");
    // A job of the child has no checkout, whose `.nixdag` would be a folder of the branch's.
    let look =
        "words=\n                  if [ -e /mnt/builds/group/project/flake.nix ]; then echo cloned; exit 1; fi\n";
    replace(checkout.path(), "flake.nix", "words=\n", look);
    let file = format!("{global}{}", file("--handoff artifacts"));
    let mut gitlab = GitLab::new(&file, checkout.path(), &every_nix()[0]).unwrap().program(stripped());
    let outcome = gitlab.run().unwrap();
    assert!(outcome.succeeded(), "{}", outcome.logs());
    assert_eq!(figure(&report(&outcome.children[0]), "built"), 4, "{}", outcome.logs());
}

#[test]
fn a_command_that_prepares_a_machine_ends_no_more_than_itself() {
    let (checkout, mut gitlab) = project("examples/hermetic", &one_nix(1), "--select packages.*.a");
    let executors = "executors: { docker: { docker: 'nixos/nix:2.34.7', systems: x86_64-linux, setup: ['[ ! -d /mnt ] || exit 0'] } }\n";
    fs::write(checkout.path().join("nixdag.yml"), executors).unwrap();
    let outcome = gitlab.run().unwrap();
    assert!(outcome.succeeded(), "{}", outcome.logs());
    assert_eq!(figure(&report(&outcome.children[0]), "built"), 1, "{}", outcome.logs());
    let fails = executors.replace("exit 0", "exit 7");
    fs::write(checkout.path().join("nixdag.yml"), fails).unwrap();
    let outcome = gitlab.run().unwrap();
    assert_eq!(outcome.status("nixdag"), Status::Failed, "{}", outcome.logs());
}
