//! GitLab's own schema, which `check-jsonschema` brings along: it takes what is generated, and finds little of what GitLab would refuse.

use std::fs;
use std::path::Path;

use nixdag::delivery::HandOff;
use nixdag::plan::EvaluationError;
use nixdag::provider::gitlab::generate;
use nixdag::provider::gitlab::merge::user_file::UserFile;
use serde_json::Value;

use crate::check::broken;
use crate::generate::{diamond, options};
use crate::support::circleci_schema::check_jsonschema;
use crate::support::gitlab_project::file;

/// The files in a folder that the schema refuses.
fn refused(folder: &Path) -> Vec<String> {
    let mut command = check_jsonschema();
    command.args(["--builtin-schema", "vendor.gitlab-ci", "-o", "json"]);
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let output = command.args(&files).output().expect("`check-jsonschema` is missing: `tests/run.sh` installs it");
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    let errors = ["errors", "parse_errors"].into_iter().filter_map(|key| said.get(key)?.as_array().cloned()).flatten();
    let name = |error: Value| -> String {
        let path = error["filename"].as_str().or(error.as_str()).unwrap_or_default();
        Path::new(path).file_stem().unwrap_or_default().to_string_lossy().into_owned()
    };
    let mut names: Vec<String> = errors.map(name).collect();
    names.sort();
    names.dedup();
    names
}

#[test]
fn the_schema_takes_what_is_generated() {
    let folder = tempfile::tempdir().unwrap();
    let put = |name: &str, text: &str| fs::write(folder.path().join(format!("{name}.yml")), text).unwrap();
    put("parent", &file(""));
    for (name, handoff) in [
        ("artifacts", HandOff::Artifacts),
        ("packages", HandOff::Packages),
        ("cache", HandOff::through("https://cache.example.org").unwrap()),
    ] {
        let (mut plan, mut options) = (diamond(), options());
        options.setup.delivery.handoff = handoff;
        options.setup.executors[0].environment.insert("A".into(), "$B".into());
        plan.jobs[0].options.context = vec!["signing".into()];
        plan.jobs[1].options.allow_failure = true;
        let target = ["packages", "x86_64-linux", "y"].into_iter().collect();
        plan.errors = vec![EvaluationError { target, message: "broken".into(), new: None }];
        let own = "stages: [nixdag, test]\nlook: {stage: test, script: [[a], b], needs: [d], rules: [{if: $A}]}";
        options.merge = vec![UserFile::parse("own.yml", own).unwrap()];
        put(name, &generate(&plan, &options).unwrap().0);
    }
    assert_eq!(refused(folder.path()), Vec::<String>::new());
}

#[test]
fn the_schema_finds_little_of_what_gitlab_refuses() {
    let folder = tempfile::tempdir().unwrap();
    let all = broken();
    // The largest ones take long and break numbers alone, which no schema knows.
    let small = all.iter().filter(|(_, text, _)| text.len() < 10_000);
    for (name, text, _) in small.clone() {
        fs::write(folder.path().join(format!("{name}.yml")), text).unwrap();
    }
    let found = refused(folder.path());
    assert!(found.iter().any(|name| name == "retry 3"), "the schema does refuse: {found:?}");
    for missed in
        ["cycle", "51 needs", "unknown need", "later stage", "129 characters", "no jobs", "dollar in an image"]
    {
        assert!(!found.iter().any(|name| name == missed), "the schema has learnt something: {found:?}");
    }
}
