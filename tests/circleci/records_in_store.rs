//! Records in the store that jobs hand on through: nothing to set, nothing restored from the CI's cache, and a laptop plans from them too.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;

use super::records::durations;
use crate::support::cache_server::{Reply, Server};
use crate::support::circleci::Status;
use crate::support::project::{Project, every_nix, logs, one_nix};
use crate::support::writable_cache::WritableCache;

const BRANCHES: [&str; 2] = ["main", "topic"];

/// A repository whose jobs hand on through a store, with a remote.
fn project(nix: &Path, url: &str) -> Project {
    let mut project = Project::new("examples/hermetic", nix);
    project.arguments = format!("--handoff cache --cache {url}?trusted=true");
    let git = |arguments: &[&str]| {
        let mut command = Command::new("git");
        command.args(["-c", "user.name=a", "-c", "user.email=a@example.org"]).args(arguments);
        assert!(command.current_dir(project.checkout.path()).status().unwrap().success(), "{arguments:?}");
    };
    git(&["init", "--quiet", "--initial-branch", BRANCHES[0]]);
    git(&["remote", "add", "origin", "git@github.com:owner/name.git"]);
    git(&["add", "."]);
    git(&["commit", "--quiet", "--message", "a"]);
    project
}

/// What the store has of the whole branch: of its jobs there is more.
fn of_branch(store: &Path) -> (PathBuf, Value) {
    let files = fs::read_dir(store.join("log")).unwrap().map(|entry| entry.unwrap().path());
    let read = |path: PathBuf| {
        let value = serde_json::from_slice(&zstd::decode_all(fs::read(&path).unwrap().as_slice()).unwrap()).ok()?;
        Some((path, value))
    };
    files.filter_map(read).next().expect("the store has the records of a branch")
}

/// What `nixdag plan` says on a laptop, and how many durations are recorded and guessed.
fn plan(project: &Project, history: &str) -> (String, [u64; 2]) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nixdag"));
    command.args(["plan", ".", "--json", "--available", "/dev/null", "--history", history]);
    let output = command.current_dir(project.checkout.path()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    let plan: Value = serde_json::from_slice(&output.stdout).unwrap();
    let of = &plan["estimates"]["durations"];
    (said, [of["recorded"].as_u64().unwrap(), of["default"].as_u64().unwrap()])
}

#[test]
fn pipelines_that_hand_on_through_a_store_keep_their_records_there() {
    let nix = one_nix(0);
    let cache = WritableCache::new();
    let mut project = project(&nix, cache.url());
    let setup = project.setup(1);
    let config = setup.continuation.clone().unwrap();
    assert!(config.contains("--records-of github.com/owner/name@main"), "{config}");
    let first = project.continued(&setup, 1).run().unwrap();
    assert!(first.succeeded(), "{}", logs(&first));
    let log = &first.job("report").log;
    assert!(log.contains("4 builds of this pipeline recorded"), "{log}");
    let page = fs::read_to_string(first.job("report").artifacts.join("nixdag.html")).unwrap();
    // A command's job has no credentials to leave a record in a store.
    assert!(page.contains("1\u{a0}job left no record, so nobody can say whether integration ran"), "{page}");
    let (_, kept) = of_branch(cache.dir());
    assert_eq!((kept["builds"].as_array().unwrap().len(), kept["jobs"].as_array().unwrap().len()), (4, 4));
    // Another version of everything: names are the same, on a new branch as well.
    project.replace("flake.nix", "words=\n", "words=another\n");
    for (number, branch) in (2..).zip(BRANCHES) {
        project.branch = branch.to_owned();
        project.setup(number);
        assert_eq!(durations(&project), [4, 0], "{branch}");
    }
}

#[test]
fn what_is_poisoned_in_a_store_is_said_and_changes_no_verdict() {
    let cache = WritableCache::new();
    let project = project(&one_nix(2), cache.url());
    assert!(project.pipeline(1).run().unwrap().succeeded());
    let folder = format!("file://{}", cache.dir().display());
    for place in [cache.url(), &folder] {
        assert_eq!(plan(&project, place).1, [4, 0], "{place}");
    }
    let (file, kept) = of_branch(cache.dir());
    let good = kept.to_string();
    let packed = |text: &str| zstd::encode_all(text.as_bytes(), 1).unwrap();
    for (bytes, said) in [
        (packed(&good)[..200].to_vec(), "damaged"),
        (packed(&good.replace("\"version\":2", "\"version\":1")), "version 1 of records"),
        (packed(&"[".repeat(100_000)), "no records"),
        (zstd::encode_all(std::io::repeat(b' ').take((64 << 20) + 1), 1).unwrap(), "more than 67108864 bytes"),
        (vec![0; (16 << 20) + 1], "more than 16777216 bytes"),
    ] {
        fs::write(&file, bytes).unwrap();
        for place in [cache.url(), &folder] {
            let (text, durations) = plan(&project, place);
            assert!(text.contains(said) && text.contains("records in `"), "{said}: {text}");
            assert_eq!(durations, [0, 4], "{said}");
        }
    }
    let none = plan(&project, "http://127.0.0.1:9").0;
    assert!(none.contains("records in `http://127.0.0.1:9` are left out"), "{none}");
    // The last of them stays: a pipeline that rebuilds everything is green, and says so.
    project.replace("flake.nix", "words=\n", "words=another\n");
    let setup = project.setup(2);
    assert!(logs(&setup).contains("are left out"), "{}", logs(&setup));
    let outcome = project.continued(&setup, 2).run().unwrap();
    let log = &outcome.job("report").log;
    // The final job compares words that are others now.
    let statuses = ["a", "b", "c", "d", "report"].map(|name| outcome.status(name));
    assert_eq!(statuses, [Status::Success; 5], "{}", logs(&outcome));
    assert!(log.contains("earlier records are left out"), "{log}");
    assert_eq!(of_branch(cache.dir()).1["builds"].as_array().unwrap().len(), 4, "and begins anew");
}

#[test]
fn a_store_that_refuses_records_costs_a_warning() {
    let cache = WritableCache::new();
    let project = project(&one_nix(1), cache.url());
    let mut setup = project.setup(1);
    let config = setup.continuation.clone().unwrap();
    // What the jobs hand on still goes to the store.
    let elsewhere = config.replace(&format!("--records '{}", cache.url()), "--records 'http://127.0.0.1:9");
    assert_ne!(config, elsewhere, "{config}");
    setup.continuation = Some(elsewhere);
    let outcome = project.continued(&setup, 1).run().unwrap();
    assert!(outcome.succeeded(), "{}", logs(&outcome));
    assert!(logs(&outcome).contains("no records are left for later pipelines"), "{}", logs(&outcome));
    assert!(outcome.job("report").log.contains("4 of 4 jobs left no records"), "{}", outcome.job("report").log);
}

/// The URL of a bucket on a server of the tests.
fn bucket(server: &str) -> String {
    let address = server.strip_prefix("http://").unwrap();
    format!("s3://bucket?endpoint={address}&scheme=http&region=us-east-1")
}

#[test]
fn a_bucket_keeps_records_and_one_that_refuses_is_named() {
    let mut asked_by = Vec::new();
    for nix in every_nix() {
        let cache = WritableCache::new();
        let url = format!("{}&trusted=true", bucket(cache.url()));
        let mut project = project(&nix, cache.url());
        project.arguments = format!("--handoff cache --cache '{url}'");
        // No Nix of the tests signs what it asks.
        for name in ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"] {
            project.variables.push((name.to_owned(), "none".to_owned()));
        }
        let setup = project.setup(1);
        if logs(&setup).contains("don't know how to open Nix store") {
            assert!(logs(&setup).contains("this Nix was built without access to buckets"), "{}", logs(&setup));
            continue;
        }
        asked_by.push(nix);
        let first = project.continued(&setup, 1).run().unwrap();
        assert!(first.succeeded(), "{}", logs(&first));
        assert!(first.job("report").log.contains("4 builds of this pipeline recorded"), "{}", first.job("report").log);
        let (_, kept) = of_branch(&cache.dir().join("bucket"));
        assert_eq!((kept["builds"].as_array().unwrap().len(), kept["jobs"].as_array().unwrap().len()), (4, 4));
        project.replace("flake.nix", "words=\n", "words=another\n");
        project.setup(2);
        assert_eq!(durations(&project), [4, 0]);
        let private = Server::new(|_| Reply::Answer(403, String::new(), Vec::new()));
        project.arguments = format!("--history '{}'", bucket(&private.url()));
        let said = logs(&project.setup(3));
        assert!(said.contains("are left out: the store refuses what this job logs in with"), "{said}");
        assert_eq!(durations(&project), [0, 4]);

        // A bucket that this machine's Nix has once asked.
        let is_private = Arc::new(AtomicBool::new(false));
        let refuses = is_private.clone();
        let once = Server::new(move |seen| match seen.path.contains("/nix-cache-info") {
            _ if refuses.load(Ordering::Relaxed) => Reply::Answer(403, String::new(), Vec::new()),
            true => Reply::Answer(200, String::new(), b"StoreDir: /nix/store\n".to_vec()),
            false => Reply::Answer(404, String::new(), Vec::new()),
        });
        project.arguments = format!("--history '{}'", bucket(&once.url()));
        let said = logs(&project.setup(4));
        assert!(!said.contains("are left out"), "{said}");
        is_private.store(true, Ordering::Relaxed);
        let said = logs(&project.setup(5));
        assert!(said.contains("are left out: the store refuses what this job logs in with"), "{said}");
    }
    let all_are_here = std::env::var_os("NIXDAG_NIX_VERSIONS").is_some();
    assert!(!all_are_here || !asked_by.is_empty(), "one of them can ask a bucket");
}
