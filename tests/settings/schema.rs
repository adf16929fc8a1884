//! `nixdag schema`: the file in the repository, the command and the reader say the same.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::support::{circleci_schema, golden};
use nixdag::settings::file::{SCHEMA, SettingsFile};
use serde_json::Value;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The files that the schema refuses, as editors would decide.
fn refused(files: &[PathBuf]) -> Vec<PathBuf> {
    let mut command = circleci_schema::check_jsonschema();
    command.args(["--output-format", "json", "--schemafile"]).arg(root().join(SCHEMA)).args(files);
    let output = command.output().expect("`check-jsonschema` is missing: `tests/run.sh` installs it");
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(said["parse_errors"].as_array().is_none_or(Vec::is_empty), "{said}");
    said["errors"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|error| PathBuf::from(error["filename"].as_str().unwrap()))
        .collect()
}

#[test]
fn the_file_in_the_repository_is_what_the_command_prints() {
    let output = Command::new(env!("CARGO_BIN_EXE_nixdag")).arg("schema").output().unwrap();
    assert!(output.status.success());
    golden::check(SCHEMA, &String::from_utf8(output.stdout).unwrap());
}

/// Calls with each object of the schema, the path of keys to it written as YAML around `{}`.
fn each_object(schema: &Value, around: &str, visit: &mut dyn FnMut(&str, &Value)) {
    if schema.get("properties").is_some() && schema["additionalProperties"] == false {
        visit(around, schema);
        for (key, below) in schema["properties"].as_object().unwrap() {
            each_object(below, &around.replace("{}", &format!("{{ {key}: {{}} }}")), visit);
        }
    }
    if let Some(items) = schema.get("items") {
        each_object(items, &around.replace("{}", "[{}]"), visit);
    }
    if let Some(values) = schema.get("additionalProperties").filter(|values| values.is_object()) {
        each_object(values, &around.replace("{}", "{ x: {} }"), visit);
    }
}

#[test]
fn the_reader_knows_the_keys_of_the_schema_and_no_others() {
    let schema: Value = serde_json::from_str(&SettingsFile::schema_text()).unwrap();
    let mut objects = 0;
    each_object(&schema, "{}", &mut |around, object| {
        objects += 1;
        let unknown = around.replace("{}", "{ zzzzzzzzzzzzzzzzzzzzzzzzzzzzzz: 1 }");
        let error = format!("{:#}", SettingsFile::parse(&unknown).unwrap_err());
        let (_, known) = error.split_once("(known: ").unwrap_or_else(|| panic!("{unknown}: {error}"));
        let mut known: Vec<&str> =
            known.split(')').next().unwrap().split(", ").map(|key| key.trim_matches('`')).collect();
        known.sort_unstable();
        let mut keys: Vec<&String> = object["properties"].as_object().unwrap().keys().collect();
        keys.sort_unstable();
        assert_eq!(known, keys, "{unknown}");
        for property in object["properties"].as_object().unwrap().values() {
            assert!(property["description"].as_str().is_some_and(|about| about.len() > 5), "{property}");
        }
    });
    assert!(objects >= 6, "{objects}");
}

#[test]
fn the_examples_of_the_repository_are_sound_and_name_the_schema() {
    let mut files = Vec::new();
    for example in fs::read_dir(root().join("examples")).unwrap() {
        let file = example.unwrap().path().join("nixdag.yml");
        if file.is_file() {
            SettingsFile::read(&file).unwrap();
            let text = fs::read_to_string(&file).unwrap();
            let hint = format!("# yaml-language-server: $schema=../../{}\n", SCHEMA);
            assert!(text.starts_with(&hint), "{} does not begin with {hint}", file.display());
            files.push(file);
        }
    }
    assert!(files.len() >= 2, "{files:?}");
    assert_eq!(refused(&files), Vec::<PathBuf>::new());
}

/// Files that are wrong, and what nixdag says of each.
const BROKEN: [(&str, &str); 39] = [
    ("selct: []", "unknown key `selct` (did you mean `select`?) at line 1 column 1"),
    (
        "executors: { big: { dokcer: x } }",
        "executors.big: unknown key `dokcer` (did you mean `docker`?) at line 1 column 21",
    ),
    (
        "rules:\n  - match: { atribute: x }\n    timeout: 5",
        "unknown key `atribute` (did you mean `attribute`?) at line 2 column 14",
    ),
    ("rules:\n  - when: { name: x }\n    timeout: 5", "unknown key `when` (known: `match`"),
    ("rules: [{ neverGroup: true }]", "unknown key `neverGroup` (did you mean `never_group`?)"),
    ("rules: [{ resourceClass: large }]", "unknown key `resourceClass` (did you mean `resource_class`?)"),
    ("rules: [{ match: { name: x } }]", "the rule sets nothing"),
    ("rules: [{}]", "the rule sets nothing"),
    ("rules: [{ match: {}, timeout: 5 }]", "`match` is empty"),
    ("rules: {}", "rules: a mapping, expected a list of rules at line 1 column 8"),
    ("rules: [x]", "expected a mapping with `match` and what is to happen"),
    ("rules: [{ timeout: soon }]", "rules[0].timeout: `soon`, expected seconds, or a time such as `90s`, `30m`, `2h`"),
    ("rules: [{ timeout: 0 }]", "0 seconds, expected seconds"),
    ("rules: [{ timeout: 100000 }]", "100000 seconds, expected seconds"),
    ("rules: [{ retries: 3 }]", "expected a whole number from 0 to 2"),
    ("rules: [{ retries: often }]", "expected a whole number from 0 to 2"),
    ("rules: [{ never_group: 1 }]", "expected a boolean"),
    ("rules: [{ context: [] }]", "the list is empty, expected the name of a context"),
    ("rules: [{ context: 1 }]", "expected the name of a context"),
    ("rules: [{ executor: Big }]", "`Big`, expected the name of an executor (`[a-z][a-z0-9_-]*`)"),
    ("rules: [{ environment: { A-B: c } }]", "`A-B` cannot be a variable"),
    ("rules: [{ environment: { NIXDAG_X: c } }]", "`NIXDAG_X` begins with `NIXDAG_`"),
    (
        "rules: [{ match: { seconds: { max: 9 } }, timeout: 5 }]",
        "rules[0]: a rule with `seconds` cannot set `timeout`: how long a build is expected to take is read from records, which other \
         branches may have written; it can set `resource_class` and `never_group`",
    ),
    ("rules: [{ match: { name: x, seconds: { min: 9 } }, context: x }]", "a rule with `seconds` cannot set `context`"),
    ("rules: [{ match: { seconds: { min: 9 } }, resource_class: large, executor: x }]", "cannot set `executor`"),
    ("rules: [{ match: { seconds: 5 }, timeout: 5 }]", "expected a mapping with `min`, `max` or both, in seconds"),
    ("rules: [{ match: { seconds: { least: 5 } }, never_group: true }]", "unknown key `least` (known: `min`, `max`)"),
    ("executors: []", "expected a mapping of names to machines"),
    ("executors: { Big: {} }", "`Big`, expected the name of an executor"),
    ("executors: { big: { docker: a, machine: b } }", "an executor has either `docker` or `machine`"),
    ("executors: { big: { docker: 5 } }", "expected an image such as `nixos/nix:2.34.7`"),
    ("executors: { big: { xcode: 26.6 } }", "expected an image such as `nixos/nix:2.34.7` (a version in quotes)"),
    (
        "executors: { own: { machine: true, systems: x } }",
        "a self-hosted runner needs a `resource_class` of the form `namespace/name`",
    ),
    ("executors: { own: { machine: true, resource_class: a/b } }", "a self-hosted runner needs `systems`"),
    ("executors: { own: { machine: false } }", "expected a VM image such as `ubuntu-2404:current`, or `true`"),
    ("executors: { big: { cores: 0 } }", "expected a whole number from 1 to 1024"),
    ("executors: { big: { shell: fish } }", "`fish`, expected a POSIX shell"),
    ("executors: { big: { features: [a b] } }", "`a b`, expected a system feature such as `kvm`"),
    ("executors: { big: { setup: [] } }", "the list is empty, expected a command"),
];

#[test]
fn broken_files_are_rejected_by_the_schema_and_by_nixdag_with_the_right_words() {
    let dir = tempfile::tempdir().unwrap();
    let mut files = Vec::new();
    for (at, (text, words)) in BROKEN.iter().enumerate() {
        let error = match SettingsFile::parse(text) {
            Ok(_) => panic!("{text} is taken"),
            Err(error) => format!("{error:#}"),
        };
        assert!(error.contains(words), "{text}\n  {error}\n  lacks: {words}");
        assert!(error.contains("at line "), "{text}: {error} names no place");
        let file = dir.path().join(format!("{at}.yml"));
        fs::write(&file, text).unwrap();
        files.push(file);
    }
    let refused = refused(&files);
    for (file, (text, _)) in files.iter().zip(&BROKEN) {
        assert!(refused.contains(file), "the schema takes {text}");
    }
}
