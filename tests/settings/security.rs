//! `nixdag doctor` and `docs/security.md`, which come from one list: each line that says "stopped" has tests that exist, and each gap is
//! open or closed as the settings say.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::support::{golden, nixdag};
use nixdag::exposure::line::{ALL, Attacker, Exposure, Stop};
use nixdag::exposure::lines;
use nixdag::provider::Provider;
use serde_json::Value;

/// The page, and its appendix.
const PAGE: &str = "docs/security.md";
const TESTS: &str = "docs/security-tests.md";

/// `CircleCI and GitLab`; nothing where it is the same on all providers.
fn some(providers: &[Provider]) -> Option<String> {
    let titles: Vec<&str> = providers.iter().map(|provider| provider.title()).collect();
    (titles.len() < ALL.len()).then(|| titles.join(" and "))
}

/// `on CircleCI, `
fn on(providers: &[Provider]) -> String {
    some(providers).map(|titles| format!("on {titles}, ")).unwrap_or_default()
}

/// What the page says of each attacker.
fn lines_of_page() -> String {
    let of = |line: &Exposure| {
        let mut text = format!("- **{}**\n", line.asset.text());
        for stop in line.stops {
            text.push_str(&format!("  - {}stopped: {}\n", on(stop.on), stop.how));
        }
        for gap in line.gaps {
            text.push_str(&format!("  - {}open: {} ({})\n", on(gap.on), gap.reach, gap.remedy.text()));
        }
        text
    };
    let section = |attacker: &Attacker| {
        let lines: String = lines::all().filter(|line| line.attacker == *attacker).map(of).collect();
        format!("### {}\n\n{lines}\n", attacker.text())
    };
    Attacker::ALL.iter().map(section).collect()
}

/// The tests of each line that says "stopped".
fn table_of_tests() -> String {
    let row = |line: &'static Exposure, stop: &Stop| {
        let names: Vec<String> = stop.tests.iter().map(|test| format!("`{test}`")).collect();
        let on = some(stop.on).unwrap_or_else(|| "all".to_owned());
        format!("| {} | {} | {on} | {} |\n", line.attacker.text(), line.asset.text(), names.join("<br>"))
    };
    let rows: String = lines::all().flat_map(|line| line.stops.iter().map(move |stop| row(line, stop))).collect();
    format!("| who | after what | on | tests |\n|---|---|---|---|\n{rows}")
}

#[test]
fn the_pages_are_written_from_the_list() {
    const MARKS: [&str; 2] = ["<!-- lines -->\n", "<!-- lines: end -->\n"];
    for (file, lines) in [(PAGE, lines_of_page()), (TESTS, table_of_tests())] {
        let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap();
        let (before, rest) = page.split_once(MARKS[0]).unwrap();
        let (_, after) = rest.split_once(MARKS[1]).unwrap();
        golden::check(file, &format!("{before}{}{lines}{}{after}", MARKS[0], MARKS[1]));
    }
}

#[test]
fn what_is_stopped_names_tests_that_exist() {
    let mut known = BTreeSet::new();
    for folder in ["src", "tests", "orb/tests"] {
        names_in(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder), &mut known);
    }
    let mut pairs = BTreeSet::new();
    for line in lines::all() {
        assert!(pairs.insert((line.attacker, line.asset)), "{:?} and {:?} meet twice", line.attacker, line.asset);
        assert!(!line.stops.is_empty() || !line.gaps.is_empty(), "{line:?}");
        for stop in line.stops {
            assert!(!stop.how.is_empty() && !stop.tests.is_empty() && !stop.on.is_empty(), "{line:?}");
            for test in stop.tests {
                assert!(known.contains(*test), "there is no test `{test}` ({:?}, {:?})", line.attacker, line.asset);
            }
        }
    }
}

/// Functions behind `#[test]`, and titles of tests in Bats.
fn names_in(folder: &Path, known: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_dir() {
            names_in(&entry, known);
            continue;
        }
        let text = fs::read_to_string(&entry).unwrap_or_default();
        let mut is_test = false;
        for line in text.lines().map(str::trim) {
            let function = line.strip_prefix("fn ").and_then(|rest| rest.split(['(', '<']).next());
            known.extend(function.filter(|_| is_test).map(str::to_owned));
            known.extend(line.strip_prefix("@test \"").and_then(|rest| rest.split('"').next()).map(str::to_owned));
            is_test = line == "#[test]" || is_test && line.starts_with("#[");
        }
    }
}

/// What the doctor finds, and whether it ends well.
fn examined(settings: &str, parameters: &str, flags: &[&str]) -> (Vec<String>, i32) {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join(".circleci")).unwrap();
    fs::write(dir.path().join("nixdag.yml"), settings).unwrap();
    let config = format!(
        "version: 2.1\nsetup: true\norbs: {{ci: acme/nixdag@1}}\nworkflows: {{setup: {{jobs: [ci/setup: {{{parameters}}}]}}}}\n"
    );
    fs::write(dir.path().join(".circleci/config.yml"), config).unwrap();
    let mut command = nixdag();
    // There is nothing but nixdag: no Nix.
    command.env("PATH", "/nowhere").arg("doctor").arg(dir.path()).args(["--format", "json", "--"]).args(flags);
    let output = command.output().unwrap();
    let said: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
    let findings = said["findings"].as_array().unwrap();
    let text =
        |finding: &Value| format!("{}: {}", finding["attacker"].as_str().unwrap(), finding["reach"].as_str().unwrap());
    (findings.iter().map(text).collect(), output.status.code().unwrap())
}

/// Nothing is left that a setting would close.
const SAFE: (&str, &str) = ("reuse: off\n", "strict: true");

#[test]
fn safe_settings_leave_what_is_set_up_elsewhere() {
    let (findings, code) = examined(SAFE.0, SAFE.1, &[]);
    assert_eq!(code, 0, "{findings:#?}");
    assert!(findings.iter().any(|finding| finding.starts_with("fork: pipelines of forks run what the fork says")));
}

#[test]
fn each_setting_opens_its_own_gap_wherever_it_is_said() {
    for (settings, parameters, flags, gap) in [
        ("", "allow_ifd: true", &[][..], "input: builders run in the setup job"),
        ("", "allow_ifd: << pipeline.parameters.x >>", &[], "input: builders run in the setup job"),
        ("", "extra_arguments: --allow-ifd", &[], "input: builders run in the setup job"),
        ("", "", &["--allow-ifd"], "input: builders run in the setup job"),
        ("", "trust_branches: true", &[], "branch: the setup job unpacks caches"),
        ("", "trust_branches: true", &[], "branch: an evaluation that any branch may have saved"),
        ("", "impure: true", &[], "input: evaluated code reads /proc"),
        ("", "eval_env: TOKEN", &[], "input: all evaluated code sees the variables"),
        ("", "accept_flake_config: true", &[], "input: caches and keys that the flake's nixConfig names"),
        ("caches: [{url: \"https://h\", trusted: true}]\n", "", &[], "cache: a store with `trusted: true`"),
        ("", "substituters: \"https://h?trusted=1\"", &[], "cache: a store with `trusted: true`"),
    ] {
        let (findings, code) = examined(&format!("{}{settings}", SAFE.0), &format!("{}, {parameters}", SAFE.1), flags);
        assert!(findings.iter().any(|finding| finding.starts_with(gap)), "{settings} {parameters}: {findings:#?}");
        assert_eq!(code, 1, "{findings:#?}");
        let (safe, _) = examined(SAFE.0, SAFE.1, &[]);
        assert!(!safe.iter().any(|finding| finding.starts_with(gap)), "{gap}");
    }
}

#[test]
fn the_text_names_everybody_and_what_to_set() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("nixdag.yml"), "reuse: branch\n").unwrap();
    let output = nixdag().arg("doctor").arg(dir.path()).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    for words in
        ["Anyone who can push a branch:", "Whoever runs a binary cache:", "closed by `reuse: signed` or `reuse: off`"]
    {
        assert!(text.contains(words), "{words}: {text}");
    }
    assert!(String::from_utf8_lossy(&output.stderr).contains("give its flags behind `--`"));
    // It is open without any setting.
    assert!(text.contains("open: 1 that a setting closes (1 of them open by default), "), "{text}");
    assert_eq!(output.status.code(), Some(0));
    let wrong = nixdag().arg("doctor").arg(dir.path()).args(["--", "--bogus"]).output().unwrap();
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("unexpected argument '--bogus'"));
}

/// What the doctor finds in a repository with these files, and whether it ends well.
fn examined_on(provider: &str, files: &[(&str, &str)], flags: &[&str]) -> (Vec<String>, i32) {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let mut command = nixdag();
    command.env("PATH", "/nowhere").arg("doctor").arg(dir.path()).args(["--format", "json", "--"]).args(flags);
    let output = command.output().unwrap();
    let said: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
    assert_eq!(said["provider"], provider);
    let text = |of: &Value| format!("{}: {}", of["attacker"].as_str().unwrap(), of["reach"].as_str().unwrap());
    (said["findings"].as_array().unwrap().iter().map(text).collect(), output.status.code().unwrap())
}

#[test]
fn each_provider_has_its_own_gaps_and_what_its_file_says_opens_them() {
    let component = |inputs: &str| {
        format!("include:\n  - component: $CI_SERVER_FQDN/acme/nixdag/nixdag@1\n    inputs: {{{inputs}}}\n")
    };
    let action = |with: &str| {
        format!("jobs:\n  plan:\n    steps:\n      - uses: acme/nixdag/github/plan@0\n        with: {{{with}}}\n")
    };
    let off = ("nixdag.yml", "reuse: off\n");
    for (provider, file, text, gap) in [
        ("gitlab", ".gitlab-ci.yml", component("strict: true"), "branch: a branch brings its own .gitlab-ci.yml"),
        (
            "gitlab",
            ".gitlab-ci.yml",
            component("allow_ifd: true"),
            "input: the shell of GitLab's runner shows the token and all",
        ),
        ("gitlab", ".gitlab-ci.yml", component("impure: true"), "input: evaluated code reads the files"),
        (
            "gitlab",
            ".gitlab-ci.yml",
            component("extra_arguments: --allow-ifd"),
            "input: the shell of GitLab's runner shows the token and all",
        ),
        ("github", ".github/workflows/nixdag.yml", action("strict: true"), "fork: started by `pull_request_target`"),
        (
            "github",
            ".github/workflows/nixdag.yml",
            action("accept_flake_config: true"),
            "input: caches and keys that the flake's",
        ),
    ] {
        let (findings, code) = examined_on(provider, &[off, (file, &text)], &[]);
        assert!(findings.iter().any(|finding| finding.starts_with(gap)), "{text}{findings:#?}");
        assert_eq!(code == 0, text.contains("strict"), "{findings:#?}");
        assert!(
            !findings.iter().any(|finding| finding.contains("CircleCI") || finding.contains(".circleci")),
            "{findings:#?}"
        );
    }
    // The token that writes comments is every job's, or that of an environment.
    for (environment, is_open) in [("", true), (", environment: comments", false)] {
        let settings = format!("reuse: off\ncomment: {{token_variable: TOKEN{environment}}}\n");
        let (findings, code) = examined_on("gitlab", &[(".gitlab-ci.yml", ""), ("nixdag.yml", &settings)], &[]);
        let gap = "branch: every job of the project has the token of `comment`";
        assert_eq!(findings.iter().any(|finding| finding.starts_with(gap)), is_open, "{findings:#?}");
        assert_eq!(code, i32::from(is_open), "{findings:#?}");
    }
    // What GitLab's caches do not keep apart.
    let (findings, code) = examined_on("gitlab", &[(".gitlab-ci.yml", "")], &["--reuse", "branch"]);
    assert!(
        findings.iter().any(|finding| finding.starts_with("branch: branches that are both protected")),
        "{findings:#?}"
    );
    assert_eq!(code, 0, "it is open by default");
    let key = "--signing-public-key=k-1:sZ4UzkmMf2+R20SqTtFYA7HkJBHvYDuc0AVk82fO5Q0=";
    let (findings, _) = examined_on("gitlab", &[(".gitlab-ci.yml", "")], &["--reuse", "signed", key]);
    assert!(
        !findings.iter().any(|finding| finding.starts_with("branch: ") && finding.contains("cache")),
        "{findings:#?}"
    );
}
