//! Whole pipelines on this machine: a setup configuration without any orb plans, writes the bundle and continues; the continued
//! configuration runs job by job on machines with an empty store.

use std::fs;

use crate::support::circleci::Status;
use crate::support::project::{Project, every_nix, figure, logs, report};
use crate::support::{copy_into, repository};

#[test]
fn the_hermetic_example_builds_everything_once_and_then_nothing() {
    for nix in every_nix() {
        let project = Project::new("examples/hermetic", &nix);
        let first = project.pipeline(1).run().unwrap();
        assert!(first.succeeded(), "{}", logs(&first));
        for name in ["a", "b", "c", "d", "gate", "report"] {
            assert_eq!(first.status(name), Status::Success);
        }
        let page = fs::read_to_string(first.job("report").artifacts.join("nixdag.html")).unwrap();
        assert!(page.contains("<b>measured</b>") && !page.contains("left no record"), "{page}");
        let said = report(&first);
        assert_eq!((figure(&said, "built"), said["built_twice"].as_array().map(Vec::len)), (4, Some(0)), "{said}");

        let second = project.pipeline(2).run().unwrap();
        assert!(second.succeeded(), "{}", logs(&second));
        assert_eq!(figure(&report(&second), "built"), 0, "{}", logs(&second));
    }
}

#[test]
fn a_folder_that_another_user_of_the_machine_has_made_first_stops_a_job() {
    let project = Project::new("examples/hermetic", &every_nix()[0]);
    let setup = project.setup(1);
    for (before, left) in [
        ("mkdir /tmp/nixdag && chown 99 /tmp/nixdag && chmod 777 /tmp/nixdag", "tmp/nixdag"),
        (
            "mkdir /tmp/theirs && chown 99 /tmp/theirs && chmod 777 /tmp/theirs && ln -s theirs /tmp/nixdag && chown -h 99 /tmp/nixdag",
            "tmp/theirs",
        ),
    ] {
        let mut continued = project.continued(&setup, 1).user(1234).before_steps(before);
        let outcome = continued.run().unwrap();
        assert_eq!(outcome.status("a"), Status::Failed, "{}", logs(&outcome));
        assert!(outcome.job("a").log.contains("cannot remove '/tmp/nixdag'"), "{}", outcome.job("a").log);
        assert_eq!(fs::read_dir(continued.state().join("run-1/0").join(left)).unwrap().count(), 0);
    }
}

#[test]
fn the_demo_builds_offline_with_a_stand_in_for_nixpkgs() {
    let nix = every_nix().remove(0);
    let mut project = Project::new("examples/demo", &nix);
    let stand_in = project.checkout.path().join("nixpkgs");
    copy_into(&repository().join("tests/stand-in-nixpkgs"), &stand_in);
    project.arguments = "--override-input nixpkgs path:./nixpkgs".into();
    let first = project.pipeline(1).run().unwrap();
    assert!(first.succeeded(), "{}", logs(&first));
    let said = report(&first);
    assert_eq!((figure(&said, "built"), said["built_twice"].as_array().map(Vec::len)), (6, Some(0)), "{said}");
    let second = project.pipeline(2).run().unwrap();
    assert!(second.succeeded(), "{}", logs(&second));
    assert_eq!(figure(&report(&second), "built"), 0, "{}", logs(&second));
}

#[test]
fn a_failure_stops_what_needs_it_and_a_rerun_builds_only_that() {
    let nix = every_nix().remove(0);
    let project = Project::new("examples/hermetic", &nix);
    // Fails until somebody mends the machine: the derivation stays the same.
    project.replace("flake.nix", "words=\n", "words=\n                  if [ \"$name\" = b ] && [ -e /mnt/broken ]; then echo 'b is broken on purpose'; exit 3; fi\n");
    let mut broken = project.pipeline(1).before_steps("touch /mnt/broken");
    let first = broken.run().unwrap();
    assert_eq!(
        ["a", "b", "c", "d", "gate"].map(|name| first.status(name)),
        [Status::Success, Status::Failed, Status::Success, Status::NotRun, Status::NotRun],
        "{}",
        logs(&first)
    );
    let junit = fs::read_to_string(first.job("b").test_results.join("junit.xml")).unwrap();
    assert!(junit.contains("b is broken on purpose") && junit.contains("<failure"), "{junit}");
    assert!(first.job("b").log.contains("b is broken on purpose"), "{}", first.job("b").log);

    let mut mended = broken.before_steps("rm -f /mnt/broken");
    let again = mended.rerun_from_failed(&first).unwrap();
    assert!(again.succeeded(), "{}", logs(&again));
    let said = report(&again);
    assert!(again.job("a").log == first.job("a").log && figure(&said, "built") >= 2, "{said}");
    let built: Vec<&str> =
        ["a", "b", "c", "d"].into_iter().filter(|name| again.job(name).log != first.job(name).log).collect();
    assert_eq!(built, ["b", "d"], "{}", logs(&again));
}
