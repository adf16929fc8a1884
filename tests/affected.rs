//! What a change touches: recorded evaluations against each other, and, with every version of Nix, commits of a repository.

#![allow(clippy::unwrap_used)] // a test that cannot go on has failed

use std::fs;
use std::path::PathBuf;

use assert_cmd::Command;
use predicates::prelude::*;
use serde_json::{Value, json};
use tempfile::TempDir;

/// Two recorded evaluations of a, b on a, c; in the second one b is another derivation.
struct Recorded(TempDir);

impl Recorded {
    fn new() -> Self {
        let recorded = Self(TempDir::new().unwrap());
        for (number, name, input) in [(1, "a", None), (2, "b", Some(1)), (3, "c", None), (4, "b", Some(1))] {
            let inputs = input.map(|input| format!("(\"{}\",[\"out\"])", drv(input, "a"))).unwrap_or_default();
            let text = format!(
                "Derive([(\"out\",\"/nix/store/{number:032}-{name}\",\"\",\"\")],[{inputs}],[],\"x86_64-linux\",\"/bin/sh\",[],[])"
            );
            recorded.file(drv(number, name).rsplit('/').next().unwrap(), &text);
        }
        recorded.roots("base.json", &[("a", 1, "a"), ("b", 2, "b"), ("c", 3, "c")]);
        recorded.roots("head.json", &[("a", 1, "a"), ("b", 4, "b"), ("renamed", 3, "c")]);
        recorded
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.path().join(name);
        fs::write(&path, text).unwrap();
        path
    }

    fn roots(&self, name: &str, targets: &[(&str, u32, &str)]) {
        let roots: serde_json::Map<String, Value> = targets
            .iter()
            .map(|(attribute, number, name)| (format!("packages.x86_64-linux.{attribute}"), json!(drv(*number, name))))
            .collect();
        self.file(name, &Value::Object(roots).to_string());
    }

    fn nixdag(&self, command: &str, arguments: &[&str]) -> Command {
        let mut nixdag = Command::cargo_bin("nixdag").unwrap();
        nixdag.current_dir(self.0.path()).args([command, "--roots", "head.json", "--drv-dir", "."]).args(arguments);
        nixdag
    }

    fn plan(&self, arguments: &[&str]) -> Value {
        let output = self.nixdag("plan", &["--format", "json"]).args(arguments).assert().success();
        serde_json::from_slice(&output.get_output().stdout).unwrap()
    }
}

fn drv(number: u32, name: &str) -> String {
    format!("/nix/store/{number:032}-{name}.drv")
}

/// Attributes' last names of the jobs' targets, and those that are skipped with the reason.
fn targets(plan: &Value) -> (Vec<String>, Vec<(String, String)>) {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let jobs = plan["jobs"].as_array().unwrap().iter().flat_map(|job| job["targets"].as_array().unwrap());
    let skipped = plan["skipped"].as_array().unwrap().iter();
    (
        jobs.map(|target| text(&target[2])).collect(),
        skipped.map(|skipped| (text(&skipped["target"][2]), text(&skipped["reason"]))).collect(),
    )
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(target, reason)| ((*target).to_owned(), (*reason).to_owned())).collect()
}

#[test]
fn what_the_base_has_too_is_left_out() {
    let recorded = Recorded::new();
    let plan = recorded.plan(&["--base-roots", "base.json"]);
    assert_eq!(targets(&plan), (vec!["b".into()], pairs(&[("a", "unaffected"), ("renamed", "unaffected")])));
    assert_eq!(plan["base"], json!({"revision": null}));
    // What an affected target needs is built all the same.
    let built: Vec<&Value> =
        plan["jobs"].as_array().unwrap().iter().flat_map(|job| job["derivations"].as_array().unwrap()).collect();
    assert_eq!(built, [&json!(drv(1, "a")), &json!(drv(4, "b"))]);

    let named = recorded.plan(&["--base-roots", "base.json", "--base", "v1"]);
    assert_eq!(named["base"], json!({"revision": "v1"}));
    let all = recorded.plan(&["--base-roots", "base.json", "--unaffected", "build"]);
    assert_eq!(targets(&all), (vec!["a".into(), "b".into(), "renamed".into()], pairs(&[])));
    let same = recorded.plan(&["--base-roots", "head.json"]);
    assert_eq!(targets(&same).0, Vec::<String>::new());
}

#[test]
fn the_table_and_the_configuration_say_why_nothing_is_built() {
    let recorded = Recorded::new();
    let words = "nothing to build: 3 targets are the same as at v1";
    let arguments = ["--base-roots", "head.json", "--base", "v1"];
    let table = recorded.nixdag("plan", &arguments).assert().success().stdout(predicate::str::contains(words));
    table.stderr(predicate::str::contains("0 of 3 targets differ from the base `v1`"));
    recorded
        .nixdag("generate", &arguments)
        .assert()
        .success()
        .stdout(predicate::str::contains(format!("# {words}.\n")));
    recorded
        .nixdag("plan", &["--base-roots", "base.json"])
        .assert()
        .success()
        .stdout(predicate::str::contains("2 targets unaffected by the change since the base"));
}

#[test]
fn the_file_says_it_once_and_mistakes_are_named() {
    let recorded = Recorded::new();
    recorded.file("nixdag.yml", "base: auto\nunaffected: build\nignore: [docs/, \"*.md\"]\n");
    // `base` of the file is for the flake beside it, not for a recorded evaluation.
    assert_eq!(recorded.plan(&[])["base"], Value::Null);
    assert_eq!(targets(&recorded.plan(&["--base-roots", "base.json"])).0.len(), 3);
    assert_eq!(targets(&recorded.plan(&["--base-roots", "base.json", "--unaffected", "skip"])).0, ["b"]);
    recorded.nixdag("plan", &["--base", "main"]).assert().code(1).stderr(predicate::str::contains("--base-roots"));
    recorded
        .nixdag("plan", &["--base-roots", "none.json"])
        .assert()
        .code(1)
        .stderr(predicate::str::contains("none.json"));
    for (text, words) in [
        ("ignore: [\"[a\"]\n", "never closed"),
        ("ignore: 3\n", "a list of files"),
        ("unaffected: keep\n", "unknown value `keep`"),
        ("ignored: [x]\n", "did you mean `ignore`"),
    ] {
        recorded.file("nixdag.yml", text);
        recorded.nixdag("plan", &[]).assert().code(1).stderr(predicate::str::contains(words));
    }
}

#[test]
fn final_jobs_keep_what_they_restore() {
    let recorded = Recorded::new();
    recorded
        .file("nixdag.yml", "final: [{name: test, after: [\"*.*.a\"], restore: [\"*.*.renamed\"], run: \"true\"}]\n");
    let plan = recorded.plan(&["--base-roots", "base.json"]);
    assert_eq!(targets(&plan), (vec!["b".into(), "renamed".into()], pairs(&[("a", "unaffected")])));
    recorded
        .nixdag("plan", &["--base-roots", "base.json"])
        .assert()
        .stderr(predicate::str::contains("1 unaffected targets stay").and(predicate::str::contains("no target").not()));
}
