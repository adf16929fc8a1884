//! What the pages show of nixdag's output is its output: the plan in README.md, the messages in docs/troubleshooting.md.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use nixdag::version::NUMBER;

use crate::page::Page;
use crate::support::{FreshNix, copy_of, golden, repository};

/// Before the block with the plan.
const PLAN: &str = "<!-- plan of examples/hermetic -->\n```text\n";

#[test]
fn the_plan_in_the_readme_is_that_of_the_example() {
    let example = copy_of("examples/hermetic");
    let plan = FreshNix::new().script(example.path(), r#""$nixdag" plan --system x86_64-linux 2> /dev/null"#);
    let readme = fs::read_to_string(repository().join("README.md")).unwrap();
    let (before, rest) = readme.split_once(PLAN).expect("README.md shows a plan");
    let (_, after) = rest.split_once("```").unwrap();
    golden::check("README.md", &format!("{before}{PLAN}{plan}```{after}"));
}

#[test]
fn the_picture_of_the_example_is_that_of_its_plan() {
    let example = copy_of("examples/hermetic");
    let picture = r#""$nixdag" graph --format svg --system x86_64-linux 2> /dev/null"#;
    golden::check("docs/pictures/hermetic.svg", &FreshNix::new().script(example.path(), picture));
    let page = fs::read_to_string(repository().join("docs/report.md")).unwrap();
    assert!(page.contains("(pictures/hermetic.svg)") && page.contains("(pictures/nixpkgs.svg)"));
    let readme = fs::read_to_string(repository().join("README.md")).unwrap();
    assert!(readme.contains("(docs/pictures/nixpkgs.svg)"));
}

/// Messages of other programs.
const FOREIGN: [&str; 5] = [
    "jq is required to use this command",
    "CIRCLE_CONTINUATION_KEY is required",
    "Pipeline is not in setup state.",
    "Unexpected argument(s)",
    // Put together from CircleCI's words and nixdag's.
    "the key has expired or was used",
];

#[test]
fn messages_that_are_explained_exist() {
    let sources = texts(&["src", "orb/src/scripts"]);
    let page = fs::read_to_string(repository().join("docs/troubleshooting.md")).unwrap();
    let rows = page.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| message"));
    let mut checked = 0;
    for row in rows {
        let message = row.split(" | ").next().unwrap();
        for quoted in message.split('`').skip(1).step_by(2).filter(|quoted| !FOREIGN.contains(quoted)) {
            checked += 1;
            for part in quoted.split('…').map(str::trim).filter(|part| !part.is_empty()) {
                // The name of a system is an example.
                let part = part.split(" aarch64-linux").next().unwrap();
                assert!(sources.contains(part), "no source has the message `{part}`");
            }
        }
    }
    assert!(checked > 10, "{checked} messages");
    assert!(Page::read("docs/troubleshooting.md").blocks.is_empty());
}

/// Programs that every Debian has, or that come with Rust, Nix, git or a C compiler.
const OF_EVERY_MACHINE: &[&str] = &[
    "base64",
    "bash",
    "chmod",
    "chown",
    "cp",
    "find",
    "grep",
    "kill",
    "ldd",
    "mkfifo",
    "mount",
    "nix-build",
    "nix-instantiate",
    "nix-store",
    "rustc",
    "script",
    "sh",
    "sha256sum",
    "strip",
    "tar",
    "xargs",
];

/// Programs without which tests are left out, and say so.
const LEFT_OUT: [&str; 2] = ["chromium", "nginx"];

#[test]
fn what_tests_start_is_what_their_script_installs() {
    let script = fs::read_to_string(repository().join("tests/run.sh")).unwrap();
    let tests = texts(&["tests"]);
    let started = tests.split("Command::new(\"").skip(1).filter_map(|rest| Some(rest.split_once("\")")?.0));
    let named = tests.split("` is missing: `tests/run.sh`").filter_map(|text| text.rsplit('`').next());
    let is_program = |name: &&str| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let programs: BTreeSet<&str> = started.chain(named).filter(|name| !name.is_empty()).filter(is_program).collect();
    assert!(programs.len() > 8, "{programs:?}");
    for program in programs {
        let is_installed = script.contains(&format!("{program}:")) || script.contains(&format!("bin/{program}\" ]"));
        let is_there = OF_EVERY_MACHINE.contains(&program) || LEFT_OUT.contains(&program);
        assert!(is_installed || is_there, "tests start `{program}`, which tests/run.sh does not install");
    }
}

/// All files below folders, as one text.
fn texts(folders: &[&str]) -> String {
    fn add(path: &Path, text: &mut String) {
        if path.is_dir() {
            fs::read_dir(path).unwrap().for_each(|entry| add(&entry.unwrap().path(), text));
        } else if let Ok(more) = fs::read_to_string(path) {
            // A long message is several lines of a source.
            text.push_str(&more.replace("\\\n", "").split_whitespace().collect::<Vec<_>>().join(" "));
        }
    }
    let mut text = String::new();
    folders.iter().for_each(|folder| add(&repository().join(folder), &mut text));
    text
}

/// What names a release of nixdag, up to its version.
const RELEASES: [&str; 5] = ["org/nixdag@", "/nixdag/nixdag@", "releases/download/v", "nixdag=nixdag-", "github-"];

#[test]
fn versions_are_those_of_this_release() {
    let series = nixdag::provider::start_up::series();
    let mut named = 0;
    for folder in ["README.md", "docs", "gitlab", "github", "orb/src/examples"] {
        let text = texts(&[folder]);
        for (release, at) in
            RELEASES.iter().flat_map(|release| text.match_indices(release)).map(|(at, name)| (name, at))
        {
            let rest = &text[at + release.len()..];
            let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
            let version = rest[..end].trim_end_matches('.');
            if version.is_empty() {
                continue;
            }
            named += 1;
            assert!([&*series, NUMBER].contains(&version), "{folder}: {release}{version}, this is {NUMBER}");
        }
    }
    assert!(named > 12, "{named} versions");
}
