//! `nixdag explain`: what it says of each kind of change (golden texts), of each verdict, and of names that do not exist.
//!
//! `NIXDAG_GOLDEN=write cargo test --test planning explain` writes the texts anew.

use std::fs;
use std::path::Path;

use crate::support::recorded::Recorded;
use crate::support::{FreshNix, golden, nixdag};
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

/// Recorded evaluations: `tool` needs `lib` and a fetch, `other` needs `tool`. What is another derivation in the base has `#base`.
fn recorded() -> Recorded {
    let fetch = [("url", "x"), ("outputHash", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")];
    let mut recorded = Recorded::new().drv("plain", "", &[], &[]);
    for (at, curl, flags, lib) in [("#base", "8", "-O1", "lib-1.0"), ("", "8.1", "-O2", "lib-2.0")] {
        let [curl_8, source, tool, other] = ["curl-8", "source", "tool", "other"].map(|name| format!("{name}{at}"));
        recorded = recorded.drv(&curl_8, "", &[], &[("version", curl)]).drv(&source, "", &[&curl_8], &fetch);
        let src = recorded.output(&source).to_owned();
        recorded = recorded.drv(lib, "", &[&source], &[("src", &src), ("flags", flags)]);
        let lib_out = recorded.output(lib).to_owned();
        recorded = recorded.drv(&tool, "", &[lib], &[("lib", &lib_out)]);
        let tool_out = recorded.output(&tool).to_owned();
        recorded = recorded.drv(&other, "", &[&tool], &[("tool", &tool_out)]);
    }
    let base = [("tool", "tool#base"), ("other", "other#base"), ("plain", "plain"), ("source", "source#base")];
    recorded = recorded.other_roots("base.json", &base).target("packages.x86_64-linux.same", "plain");
    ["tool", "other", "plain", "source"]
        .iter()
        .fold(recorded, |recorded, name| recorded.target(&format!("packages.x86_64-linux.{name}"), name))
}

/// `nixdag explain`, as JSON.
#[track_caller]
fn explained(recorded: &Recorded, arguments: &[&str]) -> Value {
    serde_json::from_str(&recorded.said("explain", &[&["--format", "json"], arguments].concat())).unwrap()
}

#[test]
fn causes_are_the_inputs_whose_own_definition_changed() {
    let explanation = explained(&recorded(), &["other", "--base-roots", "base.json"]);
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
    let explanation = explained(&recorded(), &["source", "--base-roots", "base.json"]);
    let why = &explanation["change"]["why"];
    assert_eq!(why["same_outputs"], true);
    assert_eq!(why["causes"][0]["name"], "curl-8");
    assert_eq!(why["causes"][0]["changes"][0]["new"], "8.1");
}

#[test]
fn the_job_what_waits_for_it_and_other_names_are_told() {
    let recorded = recorded();
    let tool = explained(&recorded, &["tool"]);
    assert_eq!((&tool["verdict"]["kind"], &tool["job"]["name"]), (&json!("built"), &json!("tool")));
    assert_eq!(tool["delays"]["targets"], json!([["packages", "x86_64-linux", "other"]]));
    assert_eq!(tool["change"], Value::Null);
    let plain = explained(&recorded, &["plain", "--base-roots", "base.json"]);
    assert_eq!(plain["verdict"], json!({"kind": "skipped", "reason": "unaffected", "where": null}));
    assert_eq!(plain["attributes"].as_array().unwrap().len(), 2);
    assert_eq!(plain["change"]["kind"], "same");
    let same = explained(&recorded, &["same", "--base-roots", "base.json"]);
    assert_eq!(same["change"]["renamed_from"], json!([["packages", "x86_64-linux", "plain"]]));
    recorded.file("available", format!("{}\n", recorded.output("plain")));
    let available = explained(&recorded, &["plain", "--available", "available"]);
    assert_eq!(available["verdict"]["reason"], "available");
    let excluded = explained(&recorded, &["plain", "--exclude", "*.*.plain"]);
    assert_eq!(excluded["verdict"]["reason"], "excluded");
    for (attribute, words) in
        [("tol", "did you mean `tool`"), ("a.\"", "closing quote"), ("qqqqqqqq", "no target `qqqqqqqq`")]
    {
        recorded.nixdag("explain").arg(attribute).assert().code(1).stderr(predicate::str::contains(words));
    }
    recorded.nixdag("explain").assert().code(2);
}

#[test]
fn what_needs_a_target_in_its_own_job_is_named_and_so_is_what_may_fail() {
    let recorded = Recorded::of(&[("app", &[]), ("app-test", &["app"]), ("lone", &[])]);
    let explain = |arguments: &[&str]| recorded.said("explain", arguments);
    let single = explain(&["app", "--granularity", "single"]);
    assert!(single.contains("\n  1 target of the same job needs it: packages.x86_64-linux.app-test\n"), "{single}");
    assert!(single.contains("\n  no target of another job waits for it\n"), "{single}");
    let lone = explain(&["lone", "--granularity", "single"]);
    assert!(lone.contains("\n  no other target waits for it\n"), "{lone}");
    // A plan alone does not tell.
    recorded.nixdag("plan").args(["--granularity", "single", "-o", "plan.json"]).assert().success();
    let mut of_plan = nixdag();
    of_plan.current_dir(recorded.dir()).args(["explain", "--plan", "plan.json", "--drv-dir", ".", "app"]);
    of_plan.assert().success().stdout(predicate::str::contains("\n  no target of another job waits for it\n"));

    let sentence = "\n  it may fail (`allow_failure`): the gate does not wait for it\n";
    assert!(explain(&["lone", "--allow-failure", "*.*.lone"]).contains(sentence));
    assert!(!explain(&["app", "--allow-failure", "*.*.lone"]).contains(sentence));

    let shell = recorded.nixdag("explain").arg("devShells.x86_64-linux.default").assert().code(1);
    shell.stderr(
        predicate::str::contains("`--select devShells` takes it").and(predicate::str::contains("did you").not()),
    );
}

#[test]
fn a_plan_tells_as_much_as_it_knows() {
    let recorded = recorded();
    recorded.nixdag("plan").args(["--format", "json", "-o", "plan.json"]).assert().success();
    let explain = |folder: &str| {
        let mut explain = nixdag();
        explain.current_dir(recorded.dir()).args(["explain", "--plan", "plan.json", "--drv-dir", folder, "tool"]);
        explain.assert().success()
    };
    explain(".").stdout(
        predicate::str::contains("built in job `tool`").and(predicate::str::contains("its closure has 4 derivations")),
    );
    let without = explain("/nowhere").stdout(predicate::str::contains("1 target waits for it"));
    without.stderr(predicate::str::contains("derivations are missing"));
    let mut both = nixdag();
    both.current_dir(recorded.dir()).args(["explain", "--plan", "plan.json", "--base", "x", "tool"]).assert().code(2);
}

#[test]
fn a_base_whose_derivations_are_gone_is_no_obstacle() {
    let recorded = recorded();
    fs::remove_file(recorded.dir().join(Path::new(recorded.path("tool#base")).file_name().unwrap())).unwrap();
    let assert = recorded.nixdag("explain").args(["tool", "--base-roots", "base.json"]).assert().success();
    assert
        .stdout(predicate::str::contains("the change is unknown").and(predicate::str::contains("built in job")))
        .stderr(predicate::str::contains("some derivations are missing"));
}
