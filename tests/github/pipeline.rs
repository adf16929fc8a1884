//! Whole runs on the stand-in for GitHub: the committed files, unchanged, real Nix, and an empty store for each job.

use std::fs;
use std::path::Path;

use crate::support::built::{Built, CONTENT_ADDRESSED, CONTENT_ADDRESSED_CONF, FOUND};
use crate::support::github::Status::{Cancelled, Failure, Skipped, Success};
use crate::support::github::{Accident, Outcome, Status};
use crate::support::github_project::{file, project, project_of, report};
use crate::support::project::{every_nix, figure, one_nix};
use crate::support::{commit, run};

/// Changes a file of a repository.
fn replace(checkout: &Path, file: &str, from: &str, to: &str) {
    let path = checkout.join(file);
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "{text}");
    fs::write(&path, text.replace(from, to)).unwrap();
}

/// How these jobs ended.
fn ended<const N: usize>(outcome: &Outcome, names: [&str; N]) -> [Option<Status>; N] {
    names.map(|name| outcome.status(name))
}

/// The jobs of the repository's own workflow: plan, nixdag, gate.
fn results(outcome: &Outcome) -> [Status; 3] {
    ["plan", "nixdag", "gate"].map(|id| outcome.result(id))
}

/// Builds that all jobs have recorded, and how many derivations were built twice.
fn built(outcome: &Outcome) -> (u64, usize) {
    let said = report(outcome);
    (figure(&said, "built"), said["built_twice"].as_array().unwrap().len())
}

/// `b` fails until somebody mends the machine: the derivation stays the same.
fn break_b(checkout: &Path) {
    let broken = "words=\n                  if [ \"$name\" = b ] && [ -e /mnt/broken ]; then echo 'b is broken on purpose'; exit 3; fi\n";
    replace(checkout, "flake.nix", "words=\n", broken);
}

#[test]
fn the_hermetic_example_builds_everything_once() {
    for nix in every_nix() {
        let (_checkout, mut github) = project("examples/hermetic", &nix, &[]);
        let outcome = github.run().unwrap();
        assert_eq!(results(&outcome), [Success; 3], "{}", outcome.logs());
        assert_eq!(ended(&outcome, ["a", "b", "c", "d", "integration", "verdict"]), [Some(Success); 6]);
        assert_eq!(built(&outcome), (4, 0), "{}", outcome.logs());
    }
}

#[test]
fn a_failure_stops_what_needs_it_and_a_rerun_builds_only_that() {
    let nix = one_nix(2);
    let (checkout, mut github) = project("examples/hermetic", &nix, &[]);
    break_b(checkout.path());
    github.before("touch /mnt/broken");
    let first = github.run().unwrap();
    assert_eq!(results(&first), [Success, Failure, Failure], "{}", first.logs());
    let (well, not) = (Some(Success), Some(Failure));
    assert_eq!(ended(&first, ["a", "b", "c", "d", "verdict"]), [well, not, well, not, not], "{}", first.logs());
    assert_eq!(first.status("integration"), None, "the final job does not start");
    assert!(first.artifact("nixdag-results-b").unwrap().join("report.json").is_file(), "its records are kept");
    assert!(first.job("d").log.contains("`b`"), "{}", first.job("d").log);
    assert_eq!(built(&first), (2, 0), "{}", first.logs());
    let summary = &first.job("verdict").summary;
    let verdict = "### nixdag: 1 derivation and 1 job failed&#58; 3 of 5 targets are missing";
    for part in [verdict, "| packages.x86&#95;64-linux.b | b | builder |", "nix build", "```mermaid"] {
        assert!(summary.contains(part), "`{part}`: {summary}");
    }
    let page = fs::read_to_string(first.artifact("nixdag-page").unwrap().join("nixdag.html")).unwrap();
    for part in ["<header class=\"failed\">", "<bdi>b</bdi> <small>in job", "What failed", "<b>measured</b>"] {
        assert!(page.contains(part), "`{part}`: {page}");
    }
    let annotations = &first.job("b").annotations;
    assert!(annotations[0].starts_with("error title=packages.x86_64-linux.b (builder)::"), "{annotations:?}");

    github.before("rm -f /mnt/broken");
    // Neither job that only counts gets better by running again alone.
    for (alone, attempts) in [("gate", [1, 1, 2]), ("verdict", [1, 2, 2])] {
        let again = github.rerun(&first, alone).unwrap();
        assert_eq!(results(&again), [Success, Failure, Failure], "{alone}: {}", again.logs());
        assert_eq!(["b", "verdict", "gate"].map(|name| again.job(name).attempt), attempts, "{}", again.statuses());
    }
    let again = github.rerun_failed(&first).unwrap();
    assert_eq!(results(&again), [Success; 3], "{}", again.logs());
    assert_eq!(again.job("a").attempt, 1, "what is in the same wave and well stays");
    assert_eq!(["b", "d", "integration"].map(|name| again.job(name).attempt), [2; 3], "{}", again.statuses());
    // `c` may stand in a later wave than `b`, and so runs again, and finds what it has built.
    let said = report(&again);
    assert_eq!(said["built_twice"].as_array().unwrap().len(), 0, "{said}");
    assert!(!again.job("c").log.contains("building '/nix") || again.job("c").attempt == 1, "{}", again.job("c").log);
    let alone = github.rerun(&first, "b").unwrap();
    assert_eq!(results(&alone), [Success; 3], "{}", alone.logs());
    assert_eq!(["a", "b", "d", "gate"].map(|name| alone.job(name).attempt), [1, 2, 2, 2], "{}", alone.statuses());
}

#[test]
fn what_does_not_evaluate_makes_the_gate_red_and_everything_else_is_built() {
    let nix = every_nix().remove(0);
    let (checkout, mut github) = project("examples/hermetic", &nix, &[]);
    replace(checkout.path(), "flake.nix", "default = d;", "default = d;\n          wrong = throw \"not today\";");
    let outcome = github.run().unwrap();
    assert_eq!(results(&outcome), [Success, Failure, Failure], "{}", outcome.logs());
    assert_eq!(ended(&outcome, ["a", "b", "c", "d"]), [Some(Success); 4], "{}", outcome.logs());
    assert_eq!(ended(&outcome, ["evaluation", "integration"]), [Some(Failure), None]);
    assert!(outcome.job("evaluation").log.contains("not today"), "{}", outcome.logs());
    let annotations = &outcome.job("evaluation").annotations;
    let place = "error file=flake.nix,line=58,col=11,title=packages.x86_64-linux.wrong (evaluation)::not today";
    assert!(annotations.len() == 1 && annotations[0].starts_with(place), "{annotations:?}");
}

#[test]
fn a_flake_that_cannot_be_planned_makes_the_gate_red() {
    let nix = every_nix().remove(0);
    let (checkout, mut github) = project("examples/hermetic", &nix, &[]);
    fs::write(checkout.path().join("flake.nix"), "{ outputs = _: throw \"nothing at all\"; }").unwrap();
    let outcome = github.run().unwrap();
    assert_eq!(results(&outcome), [Failure, Skipped, Failure], "{}", outcome.logs());
}

#[test]
fn what_is_not_a_plan_makes_the_gate_red() {
    let nix = every_nix().remove(0);
    let (call, text) = ("${{ needs.plan.outputs.plan }}", file(&[]));
    assert!(text.contains(call), "{text}");
    for broken in ["{}", "{'waves':0}"] {
        let broken = text.replace(call, &broken.replace('\'', "\\\""));
        let (_checkout, mut github) = project_of(&broken, "examples/hermetic", &nix);
        let outcome = github.run().unwrap();
        assert_eq!(results(&outcome), [Success, Failure, Failure], "{}", outcome.logs());
        assert!(outcome.job("verdict").log.contains("plan has not succeeded"), "{}", outcome.logs());
    }
}

#[test]
fn a_change_that_affects_nothing_has_a_green_gate() {
    let nix = every_nix().remove(0);
    let (checkout, mut github) = project("examples/hermetic", &nix, &[("base", "HEAD")]);
    fs::remove_file(checkout.path().join("nixdag.yml")).ok();
    commit(checkout.path());
    let outcome = github.run().unwrap();
    assert_eq!(results(&outcome), [Success; 3], "{}", outcome.logs());
    assert_eq!(outcome.jobs.len(), 3, "plan, verdict, gate: {}", outcome.statuses());
    // A summary that cannot be written makes nothing red.
    fs::remove_dir_all(outcome.artifact("nixdag-bundle").unwrap()).unwrap();
    let again = github.rerun(&outcome, "verdict").unwrap();
    assert_eq!((results(&again), again.job("verdict").attempt), ([Success; 3], 2), "{}", again.logs());
    assert!(again.job("verdict").log.contains("Artifact not found"), "{}", again.logs());
}

#[test]
fn a_pull_request_builds_what_it_changes() {
    let nix = every_nix().remove(0);
    let (checkout, mut github) = project("examples/hermetic", &nix, &[("base", "auto")]);
    // A clone as GitHub's own action makes it: on no branch, and with nothing that says which one is the default.
    let here = checkout.path();
    fs::remove_file(here.join("nixdag.yml")).unwrap();
    commit(here);
    replace(here, "flake.nix", "c = package \"c\" [ ];", "c = package \"c\" [ a ];");
    for arguments in [
        &["update-ref", "refs/remotes/origin/main", "HEAD"][..],
        &["remote", "add", "origin", "https://127.0.0.1:1/owner/flake"],
        &["checkout", "-q", "--detach"],
        &["commit", "-q", "-a", "-m", "change"],
    ] {
        run(here, "git", arguments);
    }
    // A fork's branch may have the name of the default one.
    for (number, is_fork) in [(3, false), (4, true)] {
        github.pull_request(number, is_fork);
        let outcome = github.run().unwrap();
        let said = outcome.logs();
        assert_eq!(results(&outcome), [Success; 3], "{said}");
        assert!(said.contains("3 of 5 targets differ from the base"), "{said}");
    }
}

#[test]
fn a_bundle_that_an_artifact_of_the_run_has_replaced_is_not_run() {
    let nix = every_nix().remove(0);
    let (checkout, mut github) = project("examples/hermetic", &nix, &[]);
    break_b(checkout.path());
    github.before("touch /mnt/broken");
    let first = github.run().unwrap();
    assert_eq!(first.status("b"), Some(Failure), "{}", first.logs());
    // Any job of a run can put up an artifact under any name, over one that is there.
    let bundle = first.artifact("nixdag-bundle").unwrap();
    github.before("rm -f /mnt/broken");
    // The plan would have the job take what one more has left.
    let plan = fs::read_to_string(bundle.join("plan.json")).unwrap();
    let plan = plan.replace("\"inputs\":[\"a\"]", "\"inputs\":[\"a\",\"c\"]");
    let program = "#!/bin/sh\necho evil; exit 0\n";
    for (file, forged) in [("plan.json", &*plan), ("nixdag", program), ("manifest", program)] {
        let real = fs::read(bundle.join(file)).unwrap();
        assert!(real != forged.as_bytes(), "{file}");
        fs::write(bundle.join(file), forged).unwrap();
        let again = github.rerun_failed(&first).unwrap();
        assert_eq!(results(&again), [Success, Failure, Failure], "{file}: {}", again.logs());
        assert_eq!(again.status("b"), Some(Failure), "{file}: {}", again.logs());
        let log = &again.job("b").log;
        // Nothing behind that check has run.
        let last = log.lines().rfind(|line| !line.is_empty()).unwrap();
        assert!(log.contains(&format!("{file}: FAILED")) && last.contains("WARNING: 1 computed"), "{file}: {log}");
        assert!(!again.logs().contains("evil"), "{file}: {}", again.logs());
        fs::write(bundle.join(file), real).unwrap();
    }
    let again = github.rerun_failed(&first).unwrap();
    assert_eq!(results(&again), [Success; 3], "{}", again.logs());
}

#[test]
fn later_workflows_build_nothing_again_and_branches_stay_apart() {
    let nix = every_nix().remove(0);
    let (checkout, mut github) = project("examples/hermetic", &nix, &[("attributes", "packages.*.a")]);
    let first = github.run().unwrap();
    assert_eq!((results(&first), built(&first)), ([Success; 3], (1, 0)), "{}", first.logs());
    github.pull_request(7, true);
    let second = github.run().unwrap();
    assert_eq!((results(&second), built(&second)), ([Success; 3], (0, 0)), "{}", second.logs());
    // What a pull request has built nobody else finds.
    replace(checkout.path(), "flake.nix", "words=\n", "words=\n: changed\n");
    for number in [7, 8] {
        github.pull_request(number, true);
        let outcome = github.run().unwrap();
        assert_eq!((results(&outcome), built(&outcome)), ([Success; 3], (1, 0)), "{}", outcome.logs());
    }
}

#[test]
fn what_this_machine_can_build_of_a_mixed_fleet_is_built_once() {
    let nix = one_nix(1);
    let (checkout, github) = project("examples/fleet", &nix, &[]);
    // A runner of the project's own beside hosted ones for Linux, Arm and macOS.
    let own = "machine: true, tags: [self-hosted, nix], systems: x86_64-linux, cores: 16";
    replace(checkout.path(), "nixdag.yml", "big: { resource_class: 2xlarge }", &format!("big: {{ {own} }}"));
    replace(checkout.path(), "nixdag.yml", ", resource_class: large", "");
    let mut github = github.nix_conf("system-features = big-parallel kvm\n").label("self-hosted").label("nix");
    let outcome = github.run().unwrap();
    let here = [
        "browser (x86_64-linux)",
        "small (x86_64-linux)",
        "tool (i686-linux)",
        "tool (x86_64-linux)",
        "checks.vm (x86_64-linux)",
    ];
    assert_eq!(ended(&outcome, here), [Some(Success); 5], "{}", outcome.logs());
    let elsewhere = ["tool (aarch64-linux)", "tool (aarch64-darwin)"];
    assert_eq!(ended(&outcome, elsewhere), [Some(Cancelled); 2], "no such runner: {}", outcome.logs());
    assert_eq!(outcome.status("firmware (x86_64-linux)"), Some(Failure), "it needs what Arm builds");
    assert_eq!(results(&outcome), [Success, Failure, Failure], "{}", outcome.logs());
    assert_eq!(built(&outcome), (6, 0), "{}", outcome.logs());
}

#[test]
fn a_command_finds_outputs_whose_paths_the_plan_does_not_know() {
    let nix = one_nix(1);
    let built = Built::new();
    let (checkout, github) = project("tests/fixtures/content-addressed", &nix, &[]);
    let mut github = github.nix_conf(CONTENT_ADDRESSED_CONF);
    replace(checkout.path(), "flake.nix", "@BUILT@", &built.path());
    let outcome = github.run().unwrap();
    assert_eq!(results(&outcome), [Success; 3], "{}", outcome.logs());
    assert!(outcome.job("look").log.contains(FOUND), "{}", outcome.logs());
    let results = outcome.artifact("nixdag-results-look").unwrap();
    let report = fs::read_to_string(results.join("report.json")).unwrap();
    assert!(report.contains("\"command\": \"success\""), "{report}");
    assert_eq!(built.sorted(), CONTENT_ADDRESSED, "{}", outcome.logs());
}

#[test]
fn whatever_happens_to_a_job_that_is_not_its_own_doing_the_gate_is_red() {
    let nix = every_nix().remove(0);
    for (accident, of_b, of_nixdag) in [
        (Accident::CancelRun, Cancelled, Failure),
        (Accident::TimeOut, Cancelled, Failure),
        (Accident::Lost, Failure, Failure),
    ] {
        let (_checkout, mut github) = project("examples/hermetic", &nix, &[]);
        github.accident("b", accident);
        let outcome = github.run().unwrap();
        assert_eq!(outcome.status("b"), Some(of_b), "{accident:?}");
        assert_eq!(results(&outcome), [Success, of_nixdag, Failure], "{accident:?}: {}", outcome.logs());
        assert_eq!(outcome.status("integration"), None, "{accident:?}: {}", outcome.logs());
        if accident == Accident::CancelRun {
            assert_eq!(outcome.status("d"), None, "nothing starts any more");
            continue;
        }
        let again = github.rerun_failed(&outcome).unwrap();
        assert_eq!(results(&again), [Success; 3], "{accident:?}: {}", again.logs());
        assert_eq!(built(&again), (4, 0), "{accident:?}: {}", again.logs());
    }
}

#[test]
fn a_command_that_prepares_a_machine_ends_no_more_than_itself() {
    let (checkout, mut github) = project("examples/hermetic", &one_nix(1), &[("attributes", "packages.*.a")]);
    let executors =
        "executors: { linux: { machine: ubuntu-24.04, systems: x86_64-linux, setup: ['[ ! -d /mnt ] || exit 0'] } }\n";
    fs::write(checkout.path().join("nixdag.yml"), executors).unwrap();
    let outcome = github.run().unwrap();
    assert_eq!((results(&outcome), built(&outcome)), ([Success; 3], (1, 0)), "{}", outcome.logs());
    fs::write(checkout.path().join("nixdag.yml"), executors.replace("exit 0", "exit 7")).unwrap();
    let outcome = github.run().unwrap();
    assert_eq!(results(&outcome), [Success, Failure, Failure], "{}", outcome.logs());
}
