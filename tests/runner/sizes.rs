//! The job that holds the sizes of closures against their limits: it fails exactly where a size that is known is over one.

use std::fs;
use std::path::Path;
use std::process::Command;

use nixdag::nix::hash::Sha256;
use nixdag::nix::narinfo::NarInfo;
use nixdag::plan::change::{Change, ChangedTarget};
use nixdag::plan::final_job::FinalJob;
use nixdag::plan::sizes::{PatternLimits, SizeCheck};
use nixdag::plan::{Job, JobIndex, Plan, PlannedTarget, json};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::empty_store::{NIX_CONFIG, empty_store};
use crate::support::plans::{derivation, job, plan};
use crate::support::shown;

/// Bytes of the program, which a job has handed on.
const PROGRAM: u64 = 1_000;

/// Bytes of its library, which a cache has.
const LIBRARY: u64 = 500;

fn base(name: &str) -> String {
    let letter = "abcdfghijklmnpqrsvwxyz".chars().nth(name.bytes().map(usize::from).sum::<usize>() % 22).unwrap();
    format!("{}-{name}", letter.to_string().repeat(32))
}

fn path(name: &str) -> String {
    format!("/nix/store/{}", base(name))
}

/// Writes the narinfo of a path into a folder.
fn narinfo(folder: &Path, name: &str, nar_size: u64, references: &[&str]) {
    fs::create_dir_all(folder).unwrap();
    let info = NarInfo {
        store_path: path(name),
        url: format!("nar/{}.nar.zst", Sha256([1; 32]).base32()),
        compression: "zstd".into(),
        file_hash: Some(Sha256([1; 32])),
        file_size: Some(nar_size),
        nar_hash: Sha256([1; 32]),
        nar_size,
        references: references.iter().map(|name| base(name)).collect(),
        deriver: None,
        signatures: Vec::new(),
        content_address: None,
    };
    fs::write(folder.join(info.file_name()), info.to_text()).unwrap();
    // Nobody reads what is in it.
    fs::create_dir_all(folder.join("nar")).unwrap();
    fs::write(folder.join(&info.url), vec![0; nar_size as usize]).unwrap();
}

/// One way that it can come.
struct Case {
    limits: &'static [&'static str],
    unknown_fails: bool,
    /// Bytes of the program at the base; none where no cache has it.
    before: Option<u64>,
    /// Whether a cache has the library.
    has_library: bool,
    fails: bool,
    says: &'static str,
}

/// The job's record, and what it printed.
fn run(case: &Case) -> (Value, String, bool) {
    let dir = TempDir::new().unwrap();
    let (cache, workspace) = (dir.path().join("cache"), dir.path().join("workspace"));
    narinfo(&workspace.join("app"), "app-2", PROGRAM, &["app-2", "lib-1.1"]);
    fs::create_dir_all(&cache).unwrap();
    fs::write(cache.join("nix-cache-info"), "StoreDir: /nix/store\n").unwrap();
    if case.has_library {
        narinfo(&cache, "lib-1.1", LIBRARY, &[]);
    }
    narinfo(&cache, "lib-1.0", LIBRARY, &[]);
    if let Some(bytes) = case.before {
        narinfo(&cache, "app-1", bytes, &["lib-1.0"]);
    }
    let file = dir.path().join("plan.json");
    json::write(&planned(case, &cache), &mut fs::File::create(&file).unwrap()).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_nixdag"))
        .args(["build", "--job", "sizes", "--plan"])
        .arg(&file)
        .arg("--workspace")
        .arg(&workspace)
        .arg("--results")
        .arg(dir.path().join("results"))
        .env("NIX_CONFIG", "substituters =\n")
        .env("HOME", dir.path())
        .output()
        .unwrap();
    let record = fs::read(dir.path().join("results/report.json")).unwrap_or_else(|_| panic!("{}", shown(&output)));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (serde_json::from_slice(&record).unwrap(), said, output.status.success())
}

fn planned(case: &Case, cache: &Path) -> Plan {
    let system = "x86_64-linux";
    let mut planned = plan(vec![job("app", "app", system, &[])]);
    let target = planned.jobs[0].targets[0].clone();
    planned.targets = vec![PlannedTarget {
        target: target.clone(),
        derivation: derivation("app"),
        outputs: serde_json::from_value(serde_json::json!({ "out": path("app-2") })).unwrap(),
        job: Some(JobIndex(0)),
    }];
    planned.change = Some(Change {
        changed: vec![ChangedTarget {
            target,
            base_outputs: serde_json::from_value(serde_json::json!({ "out": path("app-1") })).unwrap(),
        }],
        ..Change::default()
    });
    let sizes = Job { targets: Vec::new(), derivations: Vec::new(), ..job("sizes", "sizes", system, &[0]) };
    planned.final_jobs = vec![FinalJob {
        job: sizes,
        restore: Vec::new(),
        run: None,
        checkout: false,
        environment: Default::default(),
        resource_group: None,
    }];
    let limits = case.limits.iter().map(|limit| (*limit).to_owned()).collect();
    planned.sizes = Some(SizeCheck {
        job: "sizes".into(),
        unknown_fails: case.unknown_fails,
        limits: vec![PatternLimits { pattern: "packages.*.*".into(), limits }],
    });
    let url = format!("file://{}?trusted=1", cache.display());
    planned.caches = serde_json::from_value(serde_json::json!({
        "substituters": [{ "url": url, "token_variable": null }], "trusted_public_keys": []
    }))
    .unwrap();
    planned
}

/// Without a binary cache the base is known where the machine has it.
#[test]
fn a_size_that_no_cache_knows_is_asked_of_the_store_of_the_machine() {
    let dir = TempDir::new().unwrap();
    let case = Case { limits: &["5%"], unknown_fails: true, before: None, has_library: true, fails: true, says: "" };
    let (cache, workspace) = (dir.path().join("cache"), dir.path().join("workspace"));
    narinfo(&workspace.join("app"), "app-2", PROGRAM, &["app-2", "lib-1.1"]);
    narinfo(&cache, "lib-1.1", LIBRARY, &[]);
    fs::write(cache.join("nix-cache-info"), "StoreDir: /nix/store\n").unwrap();
    let mut plan = planned(&case, &cache);
    let base = r#"builtins.toFile "app-1" "at ${builtins.toFile "lib-1.0" "0123456789"}\n""#;
    let add = format!("path=$(nix-instantiate --eval --read-write-mode -E '{base}' | tr -d '\"')");
    let output = inside(dir.path(), &format!("{add}; echo \"$path\"")).output().unwrap();
    let path = String::from_utf8(output.stdout).unwrap().trim().to_owned();
    assert!(path.ends_with("-app-1"), "{}", String::from_utf8_lossy(&output.stderr));
    let outputs = serde_json::from_value(serde_json::json!({ "out": path })).unwrap();
    plan.change.as_mut().unwrap().changed[0].base_outputs = outputs;
    let file = dir.path().join("plan.json");
    json::write(&plan, &mut fs::File::create(&file).unwrap()).unwrap();
    for (first, is_known) in [(add.as_str(), true), ("true", false)] {
        let call = format!(
            "{first}\n'{}' build --job sizes --plan plan.json --workspace workspace --results results || true",
            env!("CARGO_BIN_EXE_nixdag")
        );
        let output = inside(dir.path(), &call).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let record = fs::read(dir.path().join("results/report.json")).unwrap_or_else(|_| panic!("{said}"));
        let record: Value = serde_json::from_slice(&record).unwrap();
        let closure = &record["closures"][0];
        assert_eq!(closure["before"]["bytes"].is_u64(), is_known, "{record:#}\n{said}");
        let says = if is_known { "has grown from" } else { "no store of this machine knows" };
        assert!(said.contains(says), "{said}");
    }
}

/// A shell in an empty store, with a folder as its home.
fn inside(folder: &Path, script: &str) -> Command {
    let mut command = empty_store();
    command.args(["sh", "-c", script]).current_dir(folder).env("HOME", folder).env("NIX_CONFIG", NIX_CONFIG);
    command
}

#[test]
fn the_job_fails_exactly_where_a_known_size_is_over_its_limit() {
    let known =
        Case { limits: &[], unknown_fails: false, before: Some(900), has_library: true, fails: false, says: "" };
    let cases = [
        Case { limits: &["1500"], says: "closure 1 kB -> 2 kB (+7.1 %): app 1 -> 2, lib 1.0 -> 1.1", ..known },
        Case { limits: &["1499"], fails: true, says: "its closure is 2 kB, 1 B more than the limit of 1 kB", ..known },
        Case { limits: &["7.15%"], ..known },
        Case { limits: &["2 kB", "7.1%"], fails: true, says: "by 7.1 %, and the limit is 7.1%: app 1 -> 2", ..known },
        Case { limits: &["1"], has_library: false, says: "1 size with a limit is not known", ..known },
        Case {
            limits: &["1GB"],
            has_library: false,
            unknown_fails: true,
            fails: true,
            says: "no job, no cache and no store of this machine knows",
            ..known
        },
        Case { limits: &["5%"], before: None, says: "before unknown, because no job", ..known },
    ];
    for case in cases {
        let (record, said, succeeds) = run(&case);
        let text = format!("{:?}: {record:#}\n{said}", case.limits);
        assert_eq!(succeeds, !case.fails, "{text}");
        assert_eq!(record["failures"].as_array().map_or(0, Vec::len), usize::from(case.fails), "{text}");
        assert!(said.contains(case.says), "{text}");
        let (before, after) = (&record["closures"][0]["before"], &record["closures"][0]["after"]);
        assert_eq!(before["bytes"].as_u64(), case.before.map(|bytes| bytes + LIBRARY), "{text}");
        assert_eq!(after["bytes"].as_u64(), case.has_library.then_some(PROGRAM + LIBRARY), "{text}");
        assert_eq!(after["unknown"].is_null(), case.has_library, "a size is known or there is a reason: {text}");
    }
}
