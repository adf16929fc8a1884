//! A mixed fleet's pipeline on this machine: jobs of its own systems build, those of others are as if their machines were not to be
//! had; and a job that fails by accident is tried again where a rule says so.

use std::fs;

use crate::support::circleci::Status;
use crate::support::project::{Project, every_nix, figure, logs, one_nix, report};

#[test]
fn what_this_machine_can_build_of_a_mixed_fleet_is_built_once() {
    let nix = one_nix(2);
    let project = Project::new("examples/fleet", &nix);
    // As a VM with KVM; in Debian's sandbox there is no `/bin/sh`.
    let machine = "system-features = big-parallel kvm\nsandbox = false\n";
    let outcome = project.pipeline(1).context("signing", &[]).nix_conf(machine).run().unwrap();
    let ended = |name: &str| outcome.status(name);
    for name in [
        "browser (x86_64-linux)",
        "small (x86_64-linux)",
        "tool (i686-linux)",
        "tool (x86_64-linux)",
        "checks.vm (x86_64-linux)",
    ] {
        assert_eq!(ended(name), Status::Success, "{name}: {}", logs(&outcome));
    }
    assert_eq!(ended("tool (aarch64-linux)"), Status::Foreign, "an Arm machine");
    for name in ["firmware (x86_64-linux)", "tool (aarch64-darwin)", "gate"] {
        assert_eq!(ended(name), Status::NotRun, "{name} needs what Arm builds: {}", logs(&outcome));
    }
    let said = report(&outcome);
    assert_eq!((figure(&said, "built"), said["built_twice"].as_array().map(Vec::len)), (6, Some(0)), "{said}");
}

#[test]
fn cross_targets_are_built_here_whatever_they_are_for() {
    let nix = one_nix(1);
    let outcome = Project::new("examples/cross", &nix).pipeline(1).run().unwrap();
    for name in [
        "pkgsCross.aarch64-multiplatform.hello (x86_64-linux)",
        "pkgsCross.aarch64-multiplatform.git (x86_64-linux)",
        "pkgsCross.musl64.hello (x86_64-linux)",
        "pkgsCross.musl64.git (x86_64-linux)",
        "nixosConfigurations.router (x86_64-linux)",
    ] {
        assert_eq!(outcome.status(name), Status::Success, "{name}: {}", logs(&outcome));
    }
    assert_eq!(outcome.status("checks.hello (aarch64-linux)"), Status::Foreign, "an Arm machine");
    assert_eq!(outcome.status("gate"), Status::NotRun, "{}", logs(&outcome));
    let said = report(&outcome);
    assert_eq!((figure(&said, "built"), said["built_twice"].as_array().map(Vec::len)), (7, Some(0)), "{said}");
}

#[test]
fn a_builder_that_fails_by_itself_is_not_tried_again_whatever_the_rules_say() {
    let nix = &every_nix()[0];
    let project = Project::new("examples/hermetic", nix);
    // Fails for the first time on a machine: the derivation stays the same.
    let flaky =
        "if [ \"$name\" = b ] && ! [ -e /mnt/tried ]; then echo > /mnt/tried; echo 'b fails by accident'; exit 3; fi\n";
    project.replace("flake.nix", "words=\n", &format!("words=\n                  {flaky}"));
    let settings = project.checkout.path().join("nixdag.yml");
    let before = fs::read_to_string(&settings).unwrap();
    fs::write(&settings, format!("{before}\nrules: [{{ match: {{ name: b }}, retries: 2 }}]\n")).unwrap();
    let outcome = project.pipeline(1).run().unwrap();
    assert_eq!(outcome.status("b"), Status::Failed, "{}", logs(&outcome));
    assert_eq!(outcome.status("d"), Status::NotRun);
    let log = &outcome.job("b").log;
    assert!(log.contains("b fails by accident") && log.contains("failed (builder)"), "{log}");
}
