//! Hand-off through the project's package registry: whole pipelines with a real server.

use std::fs;
use std::path::Path;

use crate::support::gitlab::registry::{Behaviour, Registry};
use crate::support::gitlab::{GitLab, Outcome, Status};
use crate::support::gitlab_project::{project, report};
use crate::support::project::{every_nix, figure, one_nix};

/// Runs the hermetic example.
fn run(nix: &Path, behaviour: Behaviour) -> (Outcome, Registry) {
    let registry = Registry::start(behaviour);
    let (_checkout, gitlab) = project("examples/hermetic", nix, "--handoff packages");
    let mut gitlab: GitLab = gitlab.variable("CI_API_V4_URL", &registry.url());
    (gitlab.run().unwrap(), registry)
}

#[test]
fn everything_is_built_once_and_what_was_uploaded_goes() {
    let nix = one_nix(1);
    let (outcome, registry) = run(&nix, Behaviour { is_maintainer: true, collides: true, ..Behaviour::default() });
    assert!(outcome.succeeded(), "{}", outcome.logs());
    let child = &outcome.children[0];
    let said = report(child);
    assert_eq!((figure(&said, "built"), said["built_twice"].as_array().map(Vec::len)), (4, Some(0)), "{said}");
    let log = &child.job("forget").log;
    assert!(log.contains("package `nixdag` 1002 is removed"), "{log}");
    assert_eq!(registry.files(), Vec::<String>::new());
    let requests = registry.requests();
    assert!(requests.iter().all(|request| !request.ends_with(" 400")), "no token goes to the storage: {requests:?}");
    let of_nars = |request: &&String| request.contains("/generic/nixdag/");
    let count = |end: &str| requests.iter().filter(of_nars).filter(|request| request.ends_with(end)).count();
    assert_eq!((count(" 409"), count(" 201")), (4, 4), "{requests:?}");
    // The final job restores d alone, and d needs b and c, whose artifacts name what a delivered.
    let artifacts = &child.job("d").artifacts;
    assert!(artifacts.join(".nixdag/handoff/a/nar").read_dir().is_err(), "no NAR is an artifact");
}

#[test]
fn what_may_not_be_removed_is_said() {
    let (outcome, registry) = run(&every_nix()[0], Behaviour::default());
    assert!(outcome.succeeded(), "{}", outcome.logs());
    let log = &outcome.children[0].job("forget").log;
    assert!(log.contains("stays in the registry: the job's token may not remove it (403)"), "{log}");
    assert_eq!(registry.files().iter().filter(|file| file.starts_with("nixdag/")).count(), 4);
}

#[test]
fn a_file_that_somebody_else_has_put_there_counts_as_missing() {
    let (outcome, _) = run(&every_nix()[0], Behaviour { is_poisoned: true, ..Behaviour::default() });
    let child = &outcome.children[0];
    let log = &child.job("b").log;
    assert!(log.contains("damaged NAR") && log.contains("job `a`"), "{log}");
    let said = report(child);
    assert!(figure(&said, "built") > 4, "what was missing is built, and said: {said}");
    assert!(outcome.succeeded(), "the contents are right: {}", outcome.logs());
}

#[test]
fn a_job_that_cannot_hand_off_fails_and_says_why() {
    let (outcome, _) = run(&every_nix()[0], Behaviour { refuses_uploads: true, ..Behaviour::default() });
    let child = &outcome.children[0];
    assert_eq!(
        [child.status("a"), child.status("b"), child.status("gate")],
        [Status::Failed, Status::Skipped, Status::Skipped]
    );
    let log = &child.job("a").log;
    assert!(
        log.contains("through the package registry") && log.contains("is the package registry switched on"),
        "{log}"
    );
    assert!(!log.contains("glcbt-token"), "{log}");
}

#[test]
fn what_a_builder_puts_into_another_jobs_folder_reaches_nobody() {
    // With artifacts as well; what GitLab passes on does not depend on Nix.
    for handoff in ["packages", "artifacts"] {
        let registry = Registry::start(Behaviour::default());
        let (checkout, gitlab) = project("examples/hermetic", &every_nix()[0], &format!("--handoff {handoff}"));
        let flake = checkout.path().join("flake.nix");
        let folder = "/mnt/builds/group/project/.nixdag/handoff/b";
        let hostile = format!(
            "words=\n                  if [ \"$name\" = c ]; then /bin/mkdir -p {folder} && echo forged > {folder}/x.narinfo; fi\n"
        );
        let text = fs::read_to_string(&flake).unwrap();
        fs::write(&flake, text.replace("words=\n", &hostile)).unwrap();
        let outcome = gitlab.variable("CI_API_V4_URL", &registry.url()).run().unwrap();
        assert!(outcome.succeeded(), "{}", outcome.logs());
        let child = &outcome.children[0];
        let planted = |job: &str| child.job(job).artifacts.join(".nixdag/handoff/b/x.narinfo").exists();
        assert!(!planted("c") && !planted("b"), "{handoff}");
        let log = &child.job("d").log;
        assert!(!log.contains("damaged") && log.contains("1 built"), "{handoff}: {log}");
    }
}
