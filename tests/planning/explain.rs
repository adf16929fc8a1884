//! `nixdag explain`: what it says of each kind of change (golden texts), of each verdict, and of names that do not exist.
//!
//! `NIXDAG_GOLDEN=write cargo test --test planning explain` writes the texts anew.

use std::fs;

use crate::support::FreshNix;
use crate::support::golden;
use assert_cmd::Command;
use predicates::prelude::*;
use serde_json::{Value, json};
use tempfile::TempDir;

/// Commit, commit before, attribute.
const EXPLAINED: [(&str, &str, &str); 9] = [
    ("leaf", "start", "leaf"),
    ("library", "leaf", "tool"),
    ("docs", "library", "tool"),
    ("lock", "docs", "pinned"),
    ("rename", "lock", "twig"),
    ("variable", "comment", "app"),
    ("version", "variable", "tool"),
    ("dependency-added", "rename", "twig"),
    ("new", "start", "twig"),
];

#[test]
fn explanations_name_what_changed() {
    for nix in FreshNix::every_version() {
        let folder = TempDir::new().unwrap();
        let mut script = "set -o pipefail; $make; cd repository\n".to_owned();
        for (at, base, attribute) in EXPLAINED {
            // Machines and times are not what these texts are about; revisions hold the folder's path.
            script.push_str(&format!(
                "git checkout -q {at}; $nixdag explain . {attribute} --base {base} --system x86_64-linux 2> /dev/null \
                 | sed -e '/the job runs on/d' -e '/^  it builds/d' -e \"s/$(git rev-parse --short=12 {base})/<{base}>/\" > ../{at}.txt\n"
            ));
        }
        nix.script(folder.path(), &script);
        for (at, ..) in EXPLAINED {
            golden::check(
                &format!("tests/golden/explain/{at}.txt"),
                &fs::read_to_string(folder.path().join(format!("{at}.txt"))).unwrap(),
            );
        }
    }
}

/// Recorded evaluations: `tool` needs `lib` and a fetch, `other` needs `tool`.
struct Recorded(TempDir);

fn path(number: u32, name: &str) -> String {
    format!("/nix/store/{number:032}-{name}")
}

/// A derivation of number and name, with inputs, environment, and the hash of a fetch.
struct Drv<'a>(u32, &'a str, &'a [(u32, &'a str)], &'a [(&'a str, &'a str)], &'a str);

impl Recorded {
    fn new() -> Self {
        let recorded = Self(TempDir::new().unwrap());
        // The base, then the head with 10 added to what is another derivation there.
        recorded.drv(&Drv(1, "curl-8", &[], &[("version", "8")], ""), 101);
        recorded.drv(&Drv(11, "curl-8", &[], &[("version", "8.1")], ""), 111);
        let hash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        recorded.drv(&Drv(2, "source", &[(1, "curl-8")], &[("url", "x")], hash), 102);
        recorded.drv(&Drv(12, "source", &[(11, "curl-8")], &[("url", "x")], hash), 102);
        recorded.drv(&Drv(3, "lib-1.0", &[(2, "source")], &[("src", &path(102, "source")), ("flags", "-O1")], ""), 103);
        recorded
            .drv(&Drv(13, "lib-2.0", &[(12, "source")], &[("src", &path(102, "source")), ("flags", "-O2")], ""), 113);
        recorded.drv(&Drv(4, "tool", &[(3, "lib-1.0")], &[("lib", &path(103, "lib-1.0"))], ""), 104);
        recorded.drv(&Drv(14, "tool", &[(13, "lib-2.0")], &[("lib", &path(113, "lib-2.0"))], ""), 114);
        recorded.drv(&Drv(5, "other", &[(4, "tool")], &[("tool", &path(104, "tool"))], ""), 105);
        recorded.drv(&Drv(15, "other", &[(14, "tool")], &[("tool", &path(114, "tool"))], ""), 115);
        recorded.drv(&Drv(6, "plain", &[], &[], ""), 106);
        recorded.roots(
            "base.json",
            &[("tool", 4, "tool"), ("other", 5, "other"), ("plain", 6, "plain"), ("source", 2, "source")],
        );
        recorded.roots(
            "head.json",
            &[
                ("tool", 14, "tool"),
                ("other", 15, "other"),
                ("plain", 6, "plain"),
                ("source", 12, "source"),
                ("same", 6, "plain"),
            ],
        );
        recorded
    }

    fn drv(&self, &Drv(number, name, inputs, environment, hash): &Drv, output: u32) {
        let inputs: Vec<String> =
            inputs.iter().map(|(number, name)| format!("(\"{}.drv\",[\"out\"])", path(*number, name))).collect();
        let environment: Vec<String> =
            environment.iter().map(|(key, value)| format!("(\"{key}\",\"{value}\")")).collect();
        let fixed = if hash.is_empty() { "" } else { "sha256" };
        let text = format!(
            "Derive([(\"out\",\"{}\",\"{fixed}\",\"{hash}\")],[{}],[],\"x86_64-linux\",\"/bin/sh\",[],[{}])",
            path(output, name),
            inputs.join(","),
            environment.join(",")
        );
        fs::write(self.0.path().join(format!("{number:032}-{name}.drv")), text).unwrap();
    }

    fn roots(&self, file: &str, targets: &[(&str, u32, &str)]) {
        let roots: serde_json::Map<String, Value> = targets
            .iter()
            .map(|(attribute, number, name)| {
                (format!("packages.x86_64-linux.{attribute}"), json!(format!("{}.drv", path(*number, name))))
            })
            .collect();
        fs::write(self.0.path().join(file), Value::Object(roots).to_string()).unwrap();
    }

    fn nixdag(&self, arguments: &[&str]) -> Command {
        let mut nixdag = Command::cargo_bin("nixdag").unwrap();
        nixdag.current_dir(self.0.path()).args(arguments).args(["--roots", "head.json", "--drv-dir", "."]);
        nixdag
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let output = self.nixdag(&["explain", "--format", "json"]).args(arguments).assert().success();
        serde_json::from_slice(&output.get_output().stdout).unwrap()
    }
}

#[test]
fn causes_are_the_inputs_whose_own_definition_changed() {
    let explanation = Recorded::new().json(&["other", "--base-roots", "base.json"]);
    let why = &explanation["change"]["why"];
    // Neither the fetch, whose content is known beforehand, nor what is below it makes a difference; nor do the paths of inputs.
    assert_eq!(why["causes"].as_array().unwrap().len(), 1, "{why}");
    let cause = &why["causes"][0];
    assert_eq!((&cause["name"], &cause["deepest"]), (&json!("lib-2.0"), &json!(true)));
    assert_eq!(cause["path"], json!(["other", "tool", "lib-2.0"]));
    assert_eq!(cause["changes"], json!([{"kind": "environment", "name": "flags", "old": "-O1", "new": "-O2"}]));
    assert_eq!(explanation["closure"], json!({"derivations": 5, "built": 5}));
}

#[test]
fn outputs_that_stay_the_same_are_said_to_and_the_cause_is_found_all_the_same() {
    let explanation = Recorded::new().json(&["source", "--base-roots", "base.json"]);
    let why = &explanation["change"]["why"];
    assert_eq!(why["same_outputs"], true);
    assert_eq!(why["causes"][0]["name"], "curl-8");
    assert_eq!(why["causes"][0]["changes"][0]["new"], "8.1");
}

#[test]
fn the_job_what_waits_for_it_and_other_names_are_told() {
    let recorded = Recorded::new();
    let tool = recorded.json(&["tool"]);
    assert_eq!((&tool["verdict"]["kind"], &tool["job"]["name"]), (&json!("built"), &json!("tool")));
    assert_eq!(tool["delays"]["targets"], json!([["packages", "x86_64-linux", "other"]]));
    assert_eq!(tool["change"], Value::Null);
    let plain = recorded.json(&["plain", "--base-roots", "base.json"]);
    assert_eq!(plain["verdict"], json!({"kind": "skipped", "reason": "unaffected", "where": null}));
    assert_eq!(plain["attributes"].as_array().unwrap().len(), 2);
    assert_eq!(plain["change"]["kind"], "same");
    let same = recorded.json(&["same", "--base-roots", "base.json"]);
    assert_eq!(same["change"]["renamed_from"], json!([["packages", "x86_64-linux", "plain"]]));
    fs::write(recorded.0.path().join("available"), format!("{}\n", path(106, "plain"))).unwrap();
    let available = recorded.json(&["plain", "--available", "available"]);
    assert_eq!(available["verdict"]["reason"], "available");
    let excluded = recorded.json(&["plain", "--exclude", "*.*.plain"]);
    assert_eq!(excluded["verdict"]["reason"], "excluded");
    for (attribute, words) in
        [("tol", "did you mean `tool`"), ("a.\"", "closing quote"), ("qqqqqqqq", "no target `qqqqqqqq`")]
    {
        recorded.nixdag(&["explain", attribute]).assert().code(1).stderr(predicate::str::contains(words));
    }
    recorded.nixdag(&["explain"]).assert().code(2);
}

#[test]
fn a_plan_tells_as_much_as_it_knows() {
    let recorded = Recorded::new();
    recorded.nixdag(&["plan", "--format", "json", "-o", "plan.json"]).assert().success();
    let explain = |folder: &str| {
        let mut explain = Command::cargo_bin("nixdag").unwrap();
        explain.current_dir(recorded.0.path()).args(["explain", "--plan", "plan.json", "--drv-dir", folder, "tool"]);
        explain.assert().success()
    };
    explain(".").stdout(predicate::str::contains("built in job `tool`").and(predicate::str::contains("made of 4")));
    let without = explain("/nowhere").stdout(predicate::str::contains("1 target waits for it"));
    without.stderr(predicate::str::contains("not at hand"));
    let mut both = Command::cargo_bin("nixdag").unwrap();
    both.current_dir(recorded.0.path())
        .args(["explain", "--plan", "plan.json", "--base", "x", "tool"])
        .assert()
        .code(2);
}

#[test]
fn a_base_whose_derivations_are_gone_is_no_obstacle() {
    let recorded = Recorded::new();
    fs::remove_file(recorded.0.path().join(format!("{:032}-tool.drv", 4))).unwrap();
    let assert = recorded.nixdag(&["explain", "tool", "--base-roots", "base.json"]).assert().success();
    assert
        .stdout(predicate::str::contains("what changed cannot be said").and(predicate::str::contains("built in job")))
        .stderr(predicate::str::contains("not all derivations are at hand"));
}
