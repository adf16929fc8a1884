//! The files that users commit, and those that these call: within GitHub's limits, pinned, and with nothing of a plan in a shell.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::support::{FreshNix, commit, copy_into, copy_of, folder, repository, run, shown};

/// Calls a function for every scalar, with the key that it stands under.
fn scalars(value: &Value, key: &str, visit: &mut dyn FnMut(&str, &str)) {
    match value {
        Value::String(text) => visit(key, text),
        Value::Array(items) => items.iter().for_each(|item| scalars(item, key, visit)),
        Value::Object(entries) => entries.iter().for_each(|(key, item)| scalars(item, key, visit)),
        _ => {}
    }
}

/// The workflows, and the actions.
pub fn files() -> [Vec<PathBuf>; 2] {
    let under = |names: &[&str]| names.iter().map(|name| repository().join(name)).collect();
    [
        under(&["github/nixdag.yml", ".github/workflows/nixdag-waves.yml", ".github/workflows/nixdag-job.yml"]),
        under(&[
            "github/plan/action.yml",
            "github/job/action.yml",
            "github/summary/action.yml",
            "github/checks/action.yml",
        ]),
    ]
}

#[test]
fn committed_files_keep_within_limits_and_run_nothing_but_constants() {
    let mut commits = BTreeSet::new();
    for path in files().concat() {
        let text = fs::read_to_string(&path).unwrap();
        let name = path.display();
        assert!(text.len() < 500_000);
        let file: Value = serde_yaml::from_str(&text).unwrap();
        let mut steps = 0;
        scalars(&file, "", &mut |key, text| {
            assert!(!text.contains("${{") || text.len() < 21_000, "{name}: {key}");
            if key == "run" {
                assert!(!text.contains("${{"), "{name}: {text}");
            }
            if key == "uses" && !text.starts_with("./") {
                let (action, commit) = text.split_once('@').unwrap();
                assert!(commit.len() == 40 && commit.bytes().all(|byte| byte.is_ascii_hexdigit()), "{name}: {text}");
                if action.starts_with("org/nixdag/") {
                    commits.insert(commit.to_owned());
                }
            }
            steps += usize::from(key == "run" || key == "uses");
        });
        assert!(steps > 0, "{name}");
        if file.get("jobs").is_some() {
            assert_eq!(file["permissions"], serde_json::json!({ "contents": "read" }), "{name}");
        }
    }
    assert_eq!(commits.len(), 1, "one commit of nixdag: {commits:?}");
}

#[test]
fn the_file_that_people_commit_is_short() {
    let text = fs::read_to_string(repository().join("github/nixdag.yml")).unwrap();
    assert!(text.lines().count() <= 30, "{}", text.lines().count());
}

/// The workflow that `nixdag init` writes for a flake, and what a plan for it puts out. Planning changes no file.
fn committed_and_planned(flake: &Path) -> (String, String) {
    commit(flake);
    let nix = FreshNix::new();
    nix.script(flake, "\"$nixdag\" init --provider github 2> /dev/null");
    commit(flake);
    let planned = nix.script(flake, "\"$nixdag\" generate --provider github --available - < /dev/null 2> /dev/null");
    assert_eq!(run(flake, "git", &["status", "--porcelain"]), "");
    (fs::read_to_string(flake.join(".github/workflows/nixdag.yml")).unwrap(), planned)
}

#[test]
fn two_flakes_commit_the_same_bytes_whatever_is_planned() {
    let small = copy_of("examples/hermetic");
    let other = folder(&[(
        "flake.nix",
        "{ outputs = _: { checks.x86_64-linux.\"it's ${{ x }}\" = derivation { name = \"x\"; system = \"x86_64-linux\"; builder = \"/bin/sh\"; }; }; }"
            .replace("${", "\\${")
            .as_str(),
    )]);
    let (first, second) = (committed_and_planned(small.path()), committed_and_planned(other.path()));
    assert!(first.1.contains("\"wave1\"") && second.1.contains("\"wave1\""), "{first:?} {second:?}");
    assert_ne!(first.1, second.1);
    assert_eq!(first.0, second.0);
}

#[test]
fn the_documentation_shows_the_file_that_people_commit() {
    let text = fs::read_to_string(repository().join("github/nixdag.yml")).unwrap();
    let page = fs::read_to_string(repository().join("docs/github.md")).unwrap();
    assert!(page.contains(&text), "docs/github.md shows another file");
}

#[test]
fn a_release_is_two_commits_and_names_the_first_in_the_second() {
    let sums = format!("{}  nixdag-1.2.3-x86_64-unknown-linux-musl\n{}  sbom.json\n", "a".repeat(64), "b".repeat(64));
    let project = folder(&[("SHA256SUMS", &sums)]);
    let here = project.path();
    for part in ["github", ".github", "orb", "docs"] {
        copy_into(&repository().join(part), here);
    }
    commit(here);
    let release = |arguments: &[&str]| {
        let mut command = Command::new("bash");
        command.arg("github/release.sh").args(arguments).current_dir(here);
        for (name, value) in [("NAME", "a"), ("EMAIL", "a@example.org")] {
            command.env(format!("GIT_AUTHOR_{name}"), value).env(format!("GIT_COMMITTER_{name}"), value);
        }
        command.output().unwrap()
    };
    let output = release(&["HEAD", "1.2.3", "SHA256SUMS"]);
    assert!(output.status.success(), "{}", shown(&output));
    let second = String::from_utf8(output.stdout).unwrap().trim().to_owned();
    let again = release(&["HEAD", "1.2.3", "SHA256SUMS"]).stdout;
    assert_eq!(String::from_utf8(again).unwrap().trim(), second, "twice the same");
    let show = |what: &str| run(here, "git", &["show", what]);
    let first = run(here, "git", &["rev-parse", &format!("{second}^")]);
    for file in files()[0].iter().chain([&repository().join("docs/github.md")]) {
        let path = file.strip_prefix(repository()).unwrap().to_str().unwrap();
        let text = show(&format!("{second}:{path}"));
        assert!(!text.contains(&"0".repeat(40)), "{path}");
        let own = text.lines().filter(|line| line.contains("org/nixdag/") && line.contains('@'));
        let pinned = own.map(|line| assert!(line.contains(&format!("@{first}")), "{line}")).count();
        assert!(pinned > 0, "{path}");
    }
    let sums = show(&format!("{first}:orb/src/release/SHA256SUMS"));
    assert!(sums.contains(&"a".repeat(64)) && !sums.contains("sbom"), "{sums}");
    assert_eq!(run(here, "git", &["status", "--porcelain"]), "", "the checkout stays as it was");
    for wrong in [
        &["HEAD", "1.2", "SHA256SUMS"][..],
        &["HEAD", "1.2.4", "SHA256SUMS"],
        &["none", "1.2.3", "SHA256SUMS"],
        &["HEAD"],
    ] {
        assert!(!release(wrong).status.success(), "{wrong:?}");
    }
}

/// Whether a step's script ends well with this value of `RESULTS`.
fn passes(script: &str, results: &str) -> bool {
    let output = Command::new("bash").args(["-e", "-c", script]).env("RESULTS", results).output().unwrap();
    output.status.success()
}

#[test]
fn the_verdict_and_the_gate_take_nothing_for_success_but_success() {
    let read =
        |path: &str| -> Value { serde_yaml::from_str(&fs::read_to_string(repository().join(path)).unwrap()).unwrap() };
    let verdict = read(".github/workflows/nixdag-waves.yml")["jobs"]["verdict"].clone();
    let step = verdict["steps"].as_array().unwrap().last().unwrap().clone();
    assert_eq!((&verdict["if"], &step["if"]), (&"${{ always() }}".into(), &"${{ always() }}".into()));
    let script = step["run"].as_str().unwrap();
    let written = step["env"]["RESULTS"].as_str().unwrap().split_whitespace();
    let names: Vec<&str> =
        written.filter(|word| word.contains("${{")).filter_map(|word| Some(word.split_once('=')?.0)).collect();
    let needs = verdict["needs"].as_array().unwrap().iter().map(|name| name.as_str().unwrap());
    assert_eq!(
        names,
        ["plan"].into_iter().chain(needs).collect::<Vec<_>>(),
        "every job that it waits for is looked at"
    );
    let results = |odd: &str, said: &str| -> String {
        let usual = |name: &str| if ["plan", "wave1"].contains(&name) { "success/true" } else { "skipped/false" };
        names.iter().map(|name| format!("{name}={} ", if *name == odd { said } else { usual(name) })).collect()
    };
    assert!(passes(script, &results("", "")));
    for name in &names {
        for said in ["skipped/true", "cancelled/true", "failure/true", "/true", "success/false", "failure/false", "/"] {
            assert!(!passes(script, &results(name, said)), "{name}: {said}");
        }
    }
    let gate = read("github/nixdag.yml")["jobs"]["gate"].clone();
    assert_eq!(gate["if"], "${{ always() }}");
    let script = gate["steps"][0]["run"].as_str().unwrap();
    for plan in ["success", "failure", "cancelled", "skipped", ""] {
        for waves in ["success", "failure", "cancelled", "skipped", ""] {
            let is_green = passes(script, &format!("plan {plan}, nixdag {waves}"));
            assert_eq!(is_green, plan == "success" && waves == "success", "{plan} {waves}");
        }
    }
}
