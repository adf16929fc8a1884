//! Whole pipelines in gitlab-ci-local, a runner that nobody here wrote: parent and child as documentation and nixdag have them, every job's
//! shell on an empty store.
//!
//! It knows no `needs:pipeline`, so the bundle is given by its path; and a failed child leaves its parent green, so the child's jobs are read. Without it, which
//! `tests/run.sh` installs, the tests say that they are left out.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use nixdag::page::comment::MARK;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::comment_server::{Api, CommentServer, TOKEN};
use crate::support::empty_store::{NIX_CONFIG, build_user, shell};
use crate::support::gitlab_project::{file, report_of};
use crate::support::project::{every_nix, figure};
use crate::support::s3_server::{KEY, S3Server};
use crate::support::writable_cache::WritableCache;
use crate::support::{commit, copy_of, repository, run as run_program, shown, stripped};

/// Machines of other systems are there: builders are shell scripts.
const SYSTEMS: &str = "extra-platforms = aarch64-linux aarch64-darwin i686-linux\nsystem-features = big-parallel kvm\n\
                       experimental-features = nix-command flakes\nflake-registry =\nwarn-dirty = false\n";

/// What gitlab-ci-local did with a pipeline.
struct Ran {
    checkout: TempDir,
    log: String,
}

impl Ran {
    /// How a job ended, as the list at the end has it: `PASS`, `FAIL`, or nothing for one that did not run.
    fn ended(&self, job: &str) -> Option<&str> {
        let line = |line: &'_ str| -> Option<(String, String)> {
            let (word, rest) = line.trim().split_once(' ')?;
            let name = rest.trim().strip_prefix("[nixdag] -> ").unwrap_or(rest.trim());
            Some((word.to_owned(), name.to_owned()))
        };
        let is_it = |text: &&str| {
            line(text).is_some_and(|(word, name)| ["PASS", "FAIL"].contains(&&*word) && name.trim() == job)
        };
        self.log.lines().rfind(is_it).map(|line| line.trim().split(' ').next().unwrap_or_default())
    }

    /// What all jobs of the child have recorded.
    fn report(&self) -> Value {
        let artifacts = self.checkout.path().join(".gitlab-ci-local/artifacts");
        report_of(fs::read_dir(artifacts).unwrap().map(|entry| entry.unwrap().path()))
    }
}

/// Runs an example, less what `change` changes of it.
fn run(example: &str, nix: &Path, change: impl FnOnce(&Path)) -> Option<Ran> {
    run_on(&Machines { arguments: "", lines: "", config: NIX_CONFIG, variables: &[] }, example, nix, change)
}

/// How jobs are planned, and what they run on.
struct Machines<'a> {
    /// Of `nixdag generate`.
    arguments: &'a str,
    /// Lines of a shell at the beginning of each job.
    lines: &'a str,
    /// Settings of Nix.
    config: &'a str,
    variables: &'a [(&'a str, &'a str)],
}

fn run_on(machines: &Machines, example: &str, nix: &Path, change: impl FnOnce(&Path)) -> Option<Ran> {
    let tools = repository().join("target/test-tools/npm/node_modules/.bin");
    let program = tools.join("gitlab-ci-local");
    if !program.exists() {
        eprintln!("left out: gitlab-ci-local is missing (tests/run.sh installs it)");
        return None;
    }
    let checkout = copy_of(example);
    let here = checkout.path();
    let by_path = format!(
        "sed 's,$CI_PROJECT_DIR/.nixdag/bundle,.nixdag/bundle,g; s,\\.nixdag/bundle,{0}/.nixdag/bundle,g; s,rm -rf .nixdag/program,mkdir -p .nixdag,' .nixdag/pipeline.yml > nixdag-pipeline.yml",
        here.display()
    );
    let parent = file(machines.arguments);
    assert!(parent.contains("cp .nixdag/pipeline.yml nixdag-pipeline.yml"), "{parent}");
    fs::write(here.join(".gitlab-ci.yml"), parent.replace("cp .nixdag/pipeline.yml nixdag-pipeline.yml", &by_path))
        .unwrap();
    change(here);
    run_program(here, "git", &["init", "-q"]);
    commit(here);
    let bin = TempDir::new().unwrap();
    shell(bin.path(), machines.lines);
    fs::copy(stripped(), bin.path().join("nixdag")).unwrap();
    let usual = std::env::split_paths(&std::env::var_os("PATH").unwrap()).collect::<Vec<PathBuf>>();
    let path = [bin.path().to_owned(), tools, nix.to_owned()].into_iter().chain(usual);
    let output = Command::new(program)
        .args(["--force-shell-executor", "--shell-isolation"])
        .current_dir(here)
        .env("PATH", std::env::join_paths(path).unwrap())
        .env("NIX_CONFIG", format!("{}{SYSTEMS}", machines.config))
        .envs(machines.variables.iter().copied())
        .output()
        .unwrap();
    Some(Ran { checkout, log: shown(&output) })
}

/// Everything of an example is built once, and its gate is green.
fn is_green(example: &str, nix: &Path, built: u64) {
    let Some(ran) = run(example, nix, |_| {}) else { return };
    assert_eq!(ran.ended("gate"), Some("PASS"), "{}", ran.log);
    let said = ran.report();
    assert_eq!((figure(&said, "built"), said["built_twice"].as_array().map(Vec::len)), (built, Some(0)), "{said}");
}

#[test]
fn the_hermetic_example_is_green_in_somebody_elses_runner() {
    is_green("examples/hermetic", &every_nix()[0], 4);
}

#[test]
fn the_fleet_is_green_in_somebody_elses_runner() {
    is_green("examples/fleet", every_nix().iter().rev().nth(1).unwrap_or(&every_nix()[0]), 9);
}

#[test]
fn cross_is_green_in_somebody_elses_runner() {
    is_green("examples/cross", every_nix().last().unwrap(), 8);
}

/// Two workers and the final job behind them, names in a bucket, results in a cache.
#[test]
fn workers_are_green_in_somebody_elses_runner() {
    let (names, cache) = (S3Server::new(false), WritableCache::new());
    let arguments = format!(
        "--objective time --cost ordinary=600 --mode workers --worker-store '{}' --handoff cache --cache {}?trusted=true",
        names.url(),
        cache.url()
    );
    let machines = Machines {
        arguments: &arguments,
        lines: &build_user(),
        config: "sandbox = true\nsandbox-paths = /bin /usr /lib /lib64\nbuild-users-group = nixbld\nsubstituters =\n",
        variables: &[("AWS_ACCESS_KEY_ID", KEY.0), ("AWS_SECRET_ACCESS_KEY", KEY.1)],
    };
    let start = Instant::now();
    let small = |here: &Path| {
        let file = here.join("nixdag.yml");
        let text = fs::read_to_string(&file).unwrap();
        fs::write(&file, format!("{text}executors: {{ docker: {{ cores: 1 }} }}\n")).unwrap();
    };
    let Some(ran) = run_on(&machines, "examples/hermetic", &every_nix()[0], small) else { return };
    let jobs = ["nixdag-worker-0", "nixdag-worker-1", "nixdag-workers", "integration", "gate"];
    assert_eq!(jobs.map(|job| ran.ended(job)), [Some("PASS"); 5], "{}", ran.log);
    let said = ran.report();
    assert_eq!((figure(&said, "built"), said["built_twice"].as_array().map(Vec::len)), (4, Some(0)), "{said}");
    println!("two workers: {} s", start.elapsed().as_secs());
}

#[test]
fn the_job_of_the_documentation_makes_the_comment_on_a_merge_request() {
    let page = fs::read_to_string(repository().join("docs/report.md")).unwrap();
    let settings = page.lines().find(|line| line.starts_with("comment: {")).unwrap();
    let server = CommentServer::new(Api::GitLab, &[("somebody", format!("{MARK}\ntheirs\n"))]);
    let variables = format!(
        "CI_API_V4_URL: {}\nCI_MERGE_REQUEST_IID: '7'\nCI_PROJECT_ID: '3'\nCI_MERGE_REQUEST_PROJECT_ID: '3'\n\
         CI_MERGE_REQUEST_SOURCE_PROJECT_ID: '3'\nCOMMENT_TOKEN: {TOKEN}\nCI_JOB_TOKEN: x\n",
        server.url()
    );
    let comments = |here: &Path| {
        let file = here.join("nixdag.yml");
        let text = fs::read_to_string(&file).unwrap();
        fs::write(&file, format!("{text}{settings}\n")).unwrap();
        fs::write(here.join(".gitlab-ci-local-variables.yml"), &variables).unwrap();
    };
    let Some(ran) = run("examples/hermetic", &every_nix()[0], comments) else { return };
    assert_eq!([ran.ended("report"), ran.ended("comment")], [Some("PASS"); 2], "{}", ran.log);
    let written = server.comments();
    let notes = server.writes().iter().filter(|request| request.contains("/notes")).count();
    assert_eq!((written.len(), notes), (2, 1), "{written:?} {}", ran.log);
    // Records are in the registry of packages, which this runner does not have.
    assert!(written[0].1.contains("theirs") && written[1].1.starts_with(MARK), "{written:?}");
    assert!(written[1].1.lines().count() <= 60, "{written:?}");
}

#[test]
fn a_failure_stops_what_needs_it_in_somebody_elses_runner() {
    let breaks = |here: &Path| {
        let text = fs::read_to_string(here.join("flake.nix")).unwrap();
        let broken = text.replace("words=\n", "words=\n                  if [ \"$name\" = b ]; then exit 3; fi\n");
        assert_ne!(text, broken);
        fs::write(here.join("flake.nix"), broken).unwrap();
    };
    let Some(ran) = run("examples/hermetic", every_nix().last().unwrap(), breaks) else { return };
    let ended = ["a", "b", "c", "d", "integration", "gate"].map(|job| ran.ended(job));
    assert_eq!(ended, [Some("PASS"), Some("FAIL"), Some("PASS"), None, None, None], "{}", ran.log);
    let said = ran.report();
    assert_eq!((figure(&said, "built"), figure(&said, "jobs")), (2, 3), "its records are kept: {said}");
}
