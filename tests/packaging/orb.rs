//! The orb's source: packed as CircleCI packs it, it passes CircleCI's schema and every check of orb-tools' review; its scripts and its
//! YAML pass shellcheck, yamllint and their own tests.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use nixdag::provider::start_up::series;
use serde_yaml::{Mapping, Value};

use crate::support::circleci_schema;
use crate::support::orb::{KINDS, files, included, pack, read, source};

/// Every component's kind, name and content as it stands in its file.
fn components(kinds: &[&'static str]) -> Vec<(&'static str, String, Mapping)> {
    let of = |kind: &'static str| {
        files(&source(), kind).into_iter().map(move |(name, path)| (kind, name, read(&path).unwrap()))
    };
    let found: Vec<_> = kinds.iter().flat_map(|kind| of(kind)).collect();
    assert!(!found.is_empty());
    found
}

/// All steps `run` under a value, those in `when` and `unless` too.
fn runs(value: &Value) -> Vec<&Value> {
    match value {
        Value::Mapping(map) => {
            map.iter().flat_map(|(key, value)| if key == "run" { vec![value] } else { runs(value) }).collect()
        }
        Value::Sequence(items) => items.iter().flat_map(runs).collect(),
        _ => Vec::new(),
    }
}

/// A configuration with the packed orb inline.
fn inline(usage: &Mapping) -> String {
    let mut config = usage.clone();
    let mut orb = pack(&source()).unwrap();
    // CircleCI's schema knows an inline orb by what it runs.
    for key in ["version", "description", "display", "examples"] {
        orb.as_mapping_mut().unwrap().remove(key);
    }
    config["orbs"]["nixdag"] = orb;
    serde_yaml::to_string(&config).unwrap()
}

/// Runs a program over files; it has to be content.
fn assert_passes(program: &str, arguments: &[&str], files: &[PathBuf]) {
    assert!(!files.is_empty());
    let output = Command::new(program).args(arguments).args(files).output();
    let output = output.unwrap_or_else(|_| panic!("`{program}` is missing: `tests/run.sh` installs it"));
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
}

fn with_extension(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        match entry.is_dir() {
            true => found.extend(with_extension(&entry, extension)),
            false if entry.extension().is_some_and(|found| found == extension) => found.push(entry),
            false => {}
        }
    }
    found.sort();
    found
}

#[test]
fn every_example_passes_the_schema_with_the_orb_named_and_with_the_packed_orb_inline() {
    for (_, name, example) in components(&["examples"]) {
        let usage = example["usage"].as_mapping().unwrap_or_else(|| panic!("`{name}` has no usage"));
        circleci_schema::accepts(&serde_yaml::to_string(usage).unwrap());
        circleci_schema::accepts(&inline(usage));
    }
}

#[test]
#[should_panic(expected = "stpes")]
fn the_schema_looks_into_inline_orbs() {
    let (_, _, example) = components(&["examples"]).remove(0);
    circleci_schema::accepts(&inline(example["usage"].as_mapping().unwrap()).replace("      steps:", "      stpes:"));
}

#[test]
fn scripts_are_included_with_templates_escaped() {
    let folder = tempfile::tempdir().unwrap();
    let write = |path: &str, text: &str| {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write("@orb.yml", "version: 2.1\n");
    write("scripts/a.sh", "cat <<EOF\n");
    write("commands/a.yml", "steps: [{ run: { command: <<include(scripts/a.sh)>> } }]\n");
    let packed = pack(folder.path()).unwrap();
    assert_eq!(packed["commands"]["a"]["steps"][0]["run"]["command"], "cat \\<<EOF\n");
    write("commands/a.yml", "steps: [{ run: { command: 'set -e; <<include(scripts/a.sh)>>' } }]\n");
    assert!(pack(folder.path()).unwrap_err().chain().any(|cause| cause.to_string().contains("entire string")));
    write("commands/a.yml", "steps: [{ run: { command: <<include(scripts/b.sh)>> } }]\n");
    assert!(pack(folder.path()).is_err());
}

#[test]
fn rc001_the_orb_names_its_source() {
    assert!(read(&source().join("@orb.yml")).unwrap()["display"]["source_url"].is_string());
}

#[test]
fn rc002_every_component_and_every_parameter_has_a_description() {
    let described = |value: &Value| value["description"].as_str().is_some_and(|text| !text.trim().is_empty());
    for (kind, name, component) in components(&KINDS) {
        assert!(described(&Value::Mapping(component.clone())), "{kind}/{name}");
        for (parameter, declaration) in component.get("parameters").and_then(Value::as_mapping).into_iter().flatten() {
            assert!(described(declaration), "{kind}/{name}: {parameter:?}");
        }
    }
}

#[test]
fn rc003_there_are_examples() {
    assert!(components(&["examples"]).len() >= 5);
}

#[test]
fn rc004_no_example_is_named_example() {
    assert!(components(&["examples"]).iter().all(|(_, name, _)| !name.contains("example")));
}

#[test]
fn rc005_the_orbs_description_is_long_enough_to_be_found() {
    assert!(read(&source().join("@orb.yml")).unwrap()["description"].as_str().unwrap().len() >= 64);
}

/// That they answer needs a network: only their form is looked at.
#[test]
fn rc006_rc007_source_and_home_are_https_addresses() {
    for key in ["source_url", "home_url"] {
        let orb = read(&source().join("@orb.yml")).unwrap();
        let url = orb["display"][key].as_str().unwrap();
        let rest = url.strip_prefix("https://").unwrap();
        assert!(rest.contains('.') && rest.bytes().all(|b| b.is_ascii_alphanumeric() || b"./_-".contains(&b)), "{url}");
    }
}

#[test]
fn rc008_every_run_step_has_a_name() {
    for (kind, name, component) in components(&["commands", "jobs"]) {
        for run in runs(&component["steps"]) {
            assert!(run["name"].as_str().is_some_and(|name| !name.is_empty()), "{kind}/{name}: {run:?}");
        }
    }
}

#[test]
fn rc009_long_commands_are_included() {
    for (kind, name, component) in components(&["commands", "jobs"]) {
        for run in runs(&component["steps"]) {
            let command = run["command"].as_str().unwrap();
            assert!(command.len() <= 64 || included(command).unwrap().is_some(), "{kind}/{name}: {command}");
        }
    }
}

#[test]
fn rc010_components_and_parameters_are_snake_cased() {
    for (kind, name, component) in components(&["commands", "jobs", "executors"]) {
        assert!(!name.contains('-'), "{kind}/{name}");
        for (parameter, _) in component.get("parameters").and_then(Value::as_mapping).into_iter().flatten() {
            assert!(!parameter.as_str().unwrap().contains('-'), "{kind}/{name}: {parameter:?}");
        }
    }
}

#[test]
fn rc011_examples_show_the_current_version() {
    let version = series();
    for (_, name, example) in components(&["examples"]) {
        assert_eq!(example["usage"]["orbs"]["nixdag"], format!("org/nixdag@{version}"), "{name}");
    }
}

#[test]
fn rc012_no_default_that_is_a_variable_feeds_a_cache_key() {
    for (kind, name, component) in components(&["commands", "jobs"]) {
        let text = serde_yaml::to_string(&component["steps"]).unwrap();
        let keys: String =
            text.lines().filter(|line| line.trim_start().trim_start_matches("- ").starts_with("key")).collect();
        for (parameter, declaration) in component.get("parameters").and_then(Value::as_mapping).into_iter().flatten() {
            let is_variable = declaration["default"].as_str().is_some_and(|default| default.contains('$'));
            let parameter = format!("parameters.{} ", parameter.as_str().unwrap());
            assert!(!(is_variable && keys.contains(&parameter)), "{kind}/{name}: {parameter}");
        }
    }
}

#[test]
fn values_reach_scripts_through_the_environment_only() {
    for (kind, name, component) in components(&["commands", "jobs"]) {
        for run in runs(&component["steps"]) {
            assert!(!run["command"].as_str().unwrap().contains("<< parameters"), "{kind}/{name}: {run:?}");
            // Pipeline parameters do not exist inside an orb.
            assert!(!serde_yaml::to_string(run).unwrap().contains("pipeline.parameters"), "{kind}/{name}");
        }
    }
}

#[test]
fn every_parameter_of_the_job_has_a_default_and_reaches_what_it_is_for() {
    let job = read(&source().join("jobs/setup.yml")).unwrap();
    let text = fs::read_to_string(source().join("jobs/setup.yml")).unwrap();
    for (name, declaration) in job["parameters"].as_mapping().unwrap() {
        assert!(declaration.get("default").is_some(), "{name:?}");
        assert!(text.contains(&format!("<< parameters.{} >>", name.as_str().unwrap())), "{name:?} is used nowhere");
    }
    // The same parameter says the same in job and command.
    let generate = read(&source().join("commands/generate.yml")).unwrap();
    for (name, declaration) in generate["parameters"].as_mapping().unwrap() {
        assert_eq!(job["parameters"].get(name), Some(declaration), "{name:?}");
    }
}

#[test]
fn the_orb_installs_the_version_that_it_is_released_with() {
    let version = fs::read_to_string(source().join("release/version")).unwrap();
    assert_eq!(version.trim(), env!("CARGO_PKG_VERSION"));
    let version = &nixdag::delivery::downloads::NixRelease::default().version;
    for (file, parameter) in [("commands/install_nix.yml", "version"), ("commands/generate.yml", "nix_version")] {
        assert_eq!(read(&source().join(file)).unwrap()["parameters"][parameter]["default"], **version);
    }
}

#[test]
fn the_source_passes_yamllint() {
    let rules = "{extends: relaxed, rules: {line-length: {max: 200}}}";
    assert_passes("yamllint", &["--strict", "-d", rules], &with_extension(&source(), "yml"));
}

#[test]
fn the_scripts_pass_shellcheck() {
    assert_passes("shellcheck", &["--shell=sh"], &with_extension(&source(), "sh"));
}

/// What a runner of the tests would otherwise find before the first test.
#[test]
fn every_script_of_the_repository_passes_shellcheck() {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folders = fs::read_dir(repository).unwrap().map(|entry| entry.unwrap().path());
    let built = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let own = |folder: &PathBuf| {
        folder.is_dir() && !folder.is_symlink() && !folder.ends_with(".git") && !built.starts_with(folder)
    };
    let mut scripts: Vec<PathBuf> = folders.filter(own).flat_map(|folder| with_extension(&folder, "sh")).collect();
    scripts.push(repository.join(".ci/run"));
    assert!(scripts.iter().any(|script| script.ends_with("github/plan/plan.sh")), "{scripts:?}");
    assert_passes("shellcheck", &[], &scripts);
}

/// Under every shell that the scripts meet; one after the other, as both have their folder in the same place.
#[test]
fn the_scripts_pass_their_own_tests() {
    let tests = with_extension(&source().join("../tests"), "bats");
    for shell in ["dash", "bash --posix"] {
        let output = Command::new("bats").args(&tests).env("ORB_TEST_SHELL", shell).output();
        let output = output.expect("`bats` is missing: `tests/run.sh` installs it");
        assert!(output.status.success(), "{shell}: {}", String::from_utf8_lossy(&output.stdout));
    }
}
