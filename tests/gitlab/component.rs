//! The component: its template with inputs filled in runs on the stand-in, and its release is a tree of its own.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_yaml::Value;

use crate::support::gitlab::GitLab;
use crate::support::gitlab_project::report;
use crate::support::project::{every_nix, figure};
use crate::support::{copy_into, copy_of, folder, repository, run, shown, stripped};

/// The template as GitLab includes it with these inputs: text is filled in where a value is read.
fn included(inputs: &[(&str, &str)]) -> String {
    let text = fs::read_to_string(repository().join("gitlab/templates/nixdag/template.yml")).unwrap();
    let (spec, body) = text.split_once("\n---\n").unwrap();
    let spec: Value = serde_yaml::from_str(spec).unwrap();
    let given: BTreeMap<&str, &str> = inputs.iter().copied().collect();
    let declared = spec["spec"]["inputs"].as_mapping().unwrap();
    assert!(given.keys().all(|name| declared.contains_key(*name)), "{given:?}");
    let mut body: Value = serde_yaml::from_str(body).unwrap();
    for (name, declaration) in declared {
        let name = name.as_str().unwrap();
        assert!(declaration["description"].is_string(), "{name}");
        let default = match &declaration["default"] {
            Value::Bool(truth) => truth.to_string(),
            Value::String(text) => text.clone(),
            other => panic!("{name}: {other:?}"),
        };
        let value = given.get(name).map_or(default.clone(), |value| (*value).to_owned());
        if let Some(options) = declaration.get("options") {
            assert!(options.as_sequence().unwrap().contains(&Value::from(value.clone())), "{name}: {value}");
        }
        fill(&mut body, &format!("$[[ inputs.{name} ]]"), &value);
    }
    body["stages"] = Value::Sequence(vec!["build".into()]);
    // JSON, in which no string is taken for something else.
    let text = serde_json::to_string(&body).unwrap();
    assert!(!text.contains("$[["), "an input that nobody declares: {text}");
    text
}

fn fill(value: &mut Value, name: &str, with: &str) {
    match value {
        Value::String(text) => *text = text.replace(name, with),
        Value::Sequence(items) => items.iter_mut().for_each(|item| fill(item, name, with)),
        Value::Mapping(entries) => entries.iter_mut().for_each(|(_, value)| fill(value, name, with)),
        _ => {}
    }
}

#[test]
fn the_component_plans_and_triggers() {
    let nix = every_nix().remove(0);
    let checkout = copy_of("examples/hermetic");
    let inputs =
        [("program", "nixdag"), ("exclude", "packages.*.d\npackages.*.default"), ("strict", "true"), ("reuse", "off")];
    let mut gitlab = GitLab::new(&included(&inputs), checkout.path(), &nix).unwrap().program(stripped());
    let outcome = gitlab.run().unwrap();
    assert!(outcome.succeeded(), "{}", outcome.logs());
    assert_eq!(figure(&report(&outcome.children[0]), "built"), 3, "{}", outcome.logs());
}

#[test]
fn the_release_is_a_project_of_its_own() {
    let sums = format!("{}  nixdag-1.2.3-x86_64-unknown-linux-musl\n{}  sbom.json\n", "a".repeat(64), "b".repeat(64));
    let project = folder(&[("SHA256SUMS", &sums)]);
    let here = project.path();
    copy_into(&repository().join("gitlab"), here);
    run(here, "git", &["init", "-q"]);
    run(here, "git", &["add", "."]);
    run(here, "git", &["-c", "user.name=a", "-c", "user.email=a@example.org", "commit", "-q", "-m", "x"]);
    let release = |arguments: &[&str]| {
        let mut command = Command::new("bash");
        command.arg("gitlab/release.sh").args(arguments).current_dir(here);
        for (name, value) in [("NAME", "a"), ("EMAIL", "a@example.org")] {
            command.env(format!("GIT_AUTHOR_{name}"), value).env(format!("GIT_COMMITTER_{name}"), value);
        }
        command.output().unwrap()
    };
    let sums = here.join("SHA256SUMS");
    let sums = sums.to_str().unwrap();
    let output = release(&["HEAD", "1.2.3", sums]);
    assert!(output.status.success(), "{}", shown(&output));
    let commit = String::from_utf8(output.stdout).unwrap().trim().to_owned();
    assert_eq!(String::from_utf8(release(&["HEAD", "1.2.3", sums]).stdout).unwrap().trim(), commit, "twice the same");
    let files = run(here, "git", &["ls-tree", "-r", "--name-only", &commit]);
    assert_eq!(files, "README.md\ntemplates/nixdag/template.yml");
    let template = run(here, "git", &["show", &format!("{commit}:templates/nixdag/template.yml")]);
    assert!(template.contains("NIXDAG_VERSION=1.2.3 ") && !template.contains("@VERSION@"));
    assert!(
        template.contains(&format!("{}  nixdag-1.2.3-x86_64", "a".repeat(64))) && !template.contains("sbom"),
        "{template}"
    );
    for wrong in [&["HEAD", "1.2", sums][..], &["HEAD", "1.2.4", sums], &["none", "1.2.3", sums], &["HEAD"]] {
        assert!(!release(wrong).status.success(), "{wrong:?}");
    }
    assert!(!Path::new(here).join("gitlab/index").exists());
}
