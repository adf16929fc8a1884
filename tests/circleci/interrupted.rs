//! Pipelines in which something is lost between jobs: a cancel in the middle, and a job's folder that is gone or another plan's.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::circleci::{Outcome, Pipeline, Status};
use crate::support::copy_into;
use crate::support::project::{Project, logs, one_nix, report};

/// The hermetic example, whose `b` does this first.
fn project(nix: &Path, first: &str) -> Project {
    let project = Project::new("examples/hermetic", nix);
    let words = format!("words=\n                  if [ \"$name\" = b ]; then {first}; fi\n");
    project.replace("flake.nix", "words=\n", &words);
    project
}

/// Fails until somebody mends the machine: the derivation stays the same.
const BROKEN: &str = "if [ -e /mnt/broken ]; then exit 3; fi";

/// How the jobs of the example ended.
fn ended(outcome: &Outcome) -> [Status; 6] {
    ["a", "b", "c", "d", "integration", "gate"].map(|name| outcome.status(name))
}

/// What a job has left in the workspace.
fn layer(pipeline: &Pipeline, job: &str) -> PathBuf {
    let name: String = job.bytes().map(|byte| format!("{byte:02x}")).collect();
    let layer = pipeline.state().join("workspace").join(name);
    assert!(layer.is_dir(), "`{job}` has left nothing");
    layer
}

#[test]
fn a_pipeline_that_is_cancelled_in_the_middle_is_not_green_and_a_rerun_builds_the_rest() {
    let nix = one_nix(2);
    let project = project(&nix, "if [ -e /mnt/slow ]; then echo begun > /mnt/begun; /usr/bin/sleep 600; fi");
    let mut pipeline = project.pipeline(1).before_steps("touch /mnt/slow");
    let (cancel, state) = (pipeline.cancel(), pipeline.state().to_owned());
    let canceller = std::thread::spawn(move || {
        let start = Instant::now();
        let has_begun = || walk(&state).iter().any(|path| path.ends_with("mnt/begun"));
        while !has_begun() && start.elapsed() < Duration::from_secs(120) {
            std::thread::sleep(Duration::from_millis(100));
        }
        cancel.cancel();
    });
    let first = pipeline.run().unwrap();
    canceller.join().unwrap();
    assert_eq!(first.status("b"), Status::Canceled, "{}", logs(&first));
    let left = ["d", "integration", "gate"].map(|name| first.status(name));
    assert!(left.iter().all(|status| *status != Status::Success), "{left:?}: {}", logs(&first));
    let again = pipeline.before_steps("rm -f /mnt/slow").rerun_from_failed(&first).unwrap();
    assert_eq!(ended(&again), [Status::Success; 6], "{}", logs(&again));
    assert_eq!(report(&again)["built_twice"], json!([]), "{}", logs(&again));
}

/// All files and folders below a folder.
fn walk(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.flat_map(|path| if path.is_dir() && !path.is_symlink() { walk(&path) } else { vec![path] }).collect()
}

/// Breaks `b`, changes what `a` has left, and runs again what failed.
fn rerun_with(nix: &Path, change: impl FnOnce(&Path)) -> Outcome {
    let project = project(nix, BROKEN);
    let mut pipeline = project.pipeline(1).before_steps("touch /mnt/broken");
    let first = pipeline.run().unwrap();
    assert_eq!(first.status("b"), Status::Failed, "{}", logs(&first));
    change(&layer(&pipeline, "a"));
    pipeline.before_steps("rm -f /mnt/broken").rerun_from_failed(&first).unwrap()
}

/// Everything is built, `a` in the place of the job that should have delivered it, which is said.
fn is_built_loudly(outcome: &Outcome) {
    assert_eq!(ended(outcome), [Status::Success; 6], "{}", logs(outcome));
    let log = &outcome.job("b").log;
    assert!(log.contains("job `a`") && log.contains("built here instead"), "{log}");
    let twice = report(outcome)["built_twice"].to_string();
    assert!(twice.contains("-a.drv"), "{twice}");
}

#[test]
fn a_folder_that_is_gone_is_named_and_what_it_held_is_built_again() {
    let nix = one_nix(0);
    let outcome = rerun_with(&nix, |layer| {
        let folders: Vec<PathBuf> = fs::read_dir(layer).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert!(!folders.is_empty());
        folders.iter().for_each(|folder| fs::remove_dir_all(folder).unwrap());
    });
    is_built_loudly(&outcome);
}

#[test]
fn a_folder_of_another_plan_counts_for_nothing() {
    let nix = one_nix(1);
    // The same job of another version of the flake.
    let other = project(&nix, BROKEN);
    other.replace("flake.nix", "echo \"$name", "echo \"other $name");
    let mut foreign = other.pipeline(2).before_steps("rm -f /mnt/broken");
    assert_eq!(foreign.run().unwrap().status("a"), Status::Success);
    let outcome = rerun_with(&nix, |of_a| {
        fs::remove_dir_all(of_a).unwrap();
        copy_into(&layer(&foreign, "a"), of_a);
    });
    is_built_loudly(&outcome);
}
