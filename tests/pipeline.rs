//! Whole pipelines on this machine: a setup configuration without any orb plans, writes the bundle and continues; the continued
//! configuration runs job by job on machines with an empty store.

#![allow(clippy::unwrap_used)] // a test that cannot go on has failed

#[path = "support/circleci/mod.rs"]
mod circleci;

use std::fs;
use std::path::{Path, PathBuf};

use circleci::{Outcome, Pipeline, Status};
use tempfile::TempDir;

const NIXDAG: &str = env!("CARGO_BIN_EXE_nixdag");

/// The setup configuration that README.md shows, for a Nix that is on the machine.
fn setup(arguments: &str) -> String {
    let readme = fs::read_to_string(repository().join("README.md")).unwrap();
    let start = readme.find("```yaml\nversion: 2.1\nsetup: true\n").expect("README.md shows a setup configuration")
        + "```yaml\n".len();
    let config = &readme[start..start + readme[start..].find("```").unwrap()];
    assert!(config.contains("nixdag generate"), "{config}");
    // The stand-in's machines bring Nix and nixdag.
    let start = config.find("      - run:\n          name: Install Nix and nixdag\n").unwrap();
    let end = config.find("      - run:\n          name: Plan\n").unwrap();
    format!("{}{}", &config[..start], &config[end..])
        .replace("nixdag generate", &format!("nixdag generate {arguments}"))
}

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The folders with each Nix that there is, the one on PATH first.
fn every_nix() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap();
    let mut found: Vec<PathBuf> =
        std::env::split_paths(&path).filter(|dir| dir.join("nix-store").exists()).take(1).collect();
    if let Some(folder) = std::env::var_os("NIXDAG_NIX_VERSIONS") {
        let mut more: Vec<PathBuf> =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path().join("bin")).collect();
        more.retain(|bin| bin.join("nix-store").exists());
        more.sort();
        found.extend(more);
    }
    assert!(!found.is_empty(), "no Nix on PATH (tests/run.sh installs it)");
    found
}

/// A repository, its CI's caches, and one Nix.
struct Project {
    checkout: TempDir,
    caches: TempDir,
    nix: PathBuf,
    arguments: String,
}

impl Project {
    fn new(example: &str, nix: &Path) -> Self {
        let checkout = TempDir::new().unwrap();
        let from = repository().join(example).join(".");
        let status = std::process::Command::new("cp").arg("-R").arg(from).arg(checkout.path()).status();
        assert!(status.unwrap().success());
        Self { checkout, caches: TempDir::new().unwrap(), nix: nix.to_owned(), arguments: String::new() }
    }

    fn replace(&self, file: &str, from: &str, to: &str) {
        let path = self.checkout.path().join(file);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{text}");
        fs::write(&path, text.replace(from, to)).unwrap();
    }

    /// Runs the setup workflow; the continued one is ready to run.
    fn pipeline(&self, number: u64) -> Pipeline {
        let ready = |pipeline: Pipeline| {
            pipeline
                .nix(&self.nix)
                .cache_dir(self.caches.path())
                .checkout(self.checkout.path())
                .id(&format!("00000000-0000-4000-8000-{number:012}"))
                .build_number(number * 100)
        };
        let mut setup = ready(Pipeline::setup(&setup(&self.arguments)).unwrap()).program(NIXDAG);
        let outcome = setup.run().unwrap();
        assert!(outcome.succeeded(), "{}", logs(&outcome));
        ready(Pipeline::new(&outcome.continuation.unwrap()).unwrap())
    }
}

fn logs(outcome: &Outcome) -> String {
    outcome.jobs.iter().map(|job| format!("##### {} {:?}\n{}\n", job.name, job.status, job.log)).collect()
}

/// What all jobs that ran have recorded, put together by `nixdag report`.
fn report(outcome: &Outcome) -> serde_json::Value {
    let mut command = std::process::Command::new(NIXDAG);
    command.args(["report", "--format", "json"]);
    for job in outcome.jobs.iter().filter(|job| job.artifacts.is_dir()) {
        command.arg(&job.artifacts);
    }
    let output = command.output().unwrap();
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)))
}

fn figure(report: &serde_json::Value, key: &str) -> u64 {
    report[key].as_u64().unwrap_or_else(|| panic!("no `{key}` in {report}"))
}

#[test]
fn the_hermetic_example_builds_everything_once_and_then_nothing() {
    for nix in every_nix() {
        let project = Project::new("examples/hermetic", &nix);
        let first = project.pipeline(1).run().unwrap();
        assert!(first.succeeded(), "{}", logs(&first));
        for name in ["a", "b", "c", "d", "gate"] {
            assert_eq!(first.status(name), Status::Success);
        }
        let said = report(&first);
        assert_eq!((figure(&said, "built"), said["built_twice"].as_array().map(Vec::len)), (4, Some(0)), "{said}");

        let second = project.pipeline(2).run().unwrap();
        assert!(second.succeeded(), "{}", logs(&second));
        assert_eq!(figure(&report(&second), "built"), 0, "{}", logs(&second));
    }
}

#[test]
fn the_demo_builds_offline_with_a_stand_in_for_nixpkgs() {
    let nix = every_nix().remove(0);
    let mut project = Project::new("examples/demo", &nix);
    let stand_in = project.checkout.path().join("nixpkgs");
    let from = repository().join("tests/stand-in-nixpkgs");
    assert!(std::process::Command::new("cp").arg("-R").arg(from).arg(&stand_in).status().unwrap().success());
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
