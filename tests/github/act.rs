//! Whole workflows in act's host mode: GitHub's files as they are committed, every shell on an empty store, GitHub's own actions by small stand-ins.
//!
//! act starts no job behind a called workflow that failed, so red gates are tried in `act_failures`. Without act, which `tests/run.sh` installs, the tests say that they are left out.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use nixdag::page::comment::MARK;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::built::{Built, OF_IMPORT_FROM_DERIVATION};
use crate::support::comment_server::{Api, CommentServer, OWNER, TOKEN};
use crate::support::empty_store::{NIX_CONFIG, shell};
use crate::support::github_project::file;
use crate::support::project::{every_nix, one_nix};
use crate::support::{commit, copy_into, copy_of, repository, run, shown, stripped};

const CHECKOUT: &str = "runs:\n  using: composite\n  steps:\n    - shell: bash\n      run: cp -R \"$CHECKOUT/.\" .\n";

const UPLOAD: &str = r#"inputs: {name: {required: true}, path: {required: true}, include-hidden-files: {}, compression-level: {}, retention-days: {}, overwrite: {}, if-no-files-found: {}}
runs:
  using: composite
  steps:
    - shell: bash
      env: {NAME: "${{ inputs.name }}", FROM: "${{ inputs.path }}"}
      run: |
        [ -d "$FROM" ] || exit 0
        rm -rf "$ARTIFACTS/$NAME"; mkdir -p "$ARTIFACTS/$NAME"; cp -R "$FROM/." "$ARTIFACTS/$NAME"
        find "$ARTIFACTS/$NAME" -type f -exec chmod 644 {} +
"#;

const DOWNLOAD: &str = r#"inputs: {name: {}, path: {required: true}, pattern: {}}
runs:
  using: composite
  steps:
    - shell: bash
      env: {NAME: "${{ inputs.name }}", PATTERN: "${{ inputs.pattern }}", TO: "${{ inputs.path }}"}
      run: |
        mkdir -p "$TO"
        if [ -n "$NAME" ]; then cp -R "$ARTIFACTS/$NAME/." "$TO"; exit; fi
        case $PATTERN in
          *{*) names=${PATTERN#*\{}; names=${names%\}}; prefix=${PATTERN%%\{*} ;;
          *\**) names=$(cd "$ARTIFACTS" && printf '%s,' $PATTERN); prefix= ;;
          *) names=$PATTERN; prefix= ;;
        esac
        for name in ${names//,/ }; do
          for found in "$ARTIFACTS/"$prefix$name; do [ ! -d "$found" ] || cp -R "$found" "$TO"; done
        done
"#;

/// GitHub's cache, which never has anything.
const RESTORE: &str = "inputs: {path: {required: true}, key: {required: true}}\noutputs: {cache-hit: {value: ''}}\n\
                       runs: {using: composite, steps: [{shell: bash, run: 'true'}]}\n";
const SAVE: &str = "inputs: {path: {required: true}, key: {required: true}}\n\
                    runs: {using: composite, steps: [{shell: bash, run: 'true'}]}\n";

/// The actions that the workflows use, with the folder in their repository and what stands in for each.
const ACTIONS: [(&str, &[(&str, &str)]); 4] = [
    ("actions/checkout@11bd71901bbe5b1630ceea73d27597364c9af683", &[("", CHECKOUT)]),
    ("actions/upload-artifact@ea165f8d65b6e75b540449e92b4886f43607fa02", &[("", UPLOAD)]),
    ("actions/download-artifact@d3f86a106a0bac45b974a628896c90dbdf5c8093", &[("", DOWNLOAD)]),
    ("actions/cache@5a3ec84eff668545956fd18022155c47e93e2684", &[("restore", RESTORE), ("save", SAVE)]),
];

/// nixdag's own.
const OWN: &str = "org/nixdag@0000000000000000000000000000000000000000";

/// act, where it is installed.
pub fn act() -> Option<PathBuf> {
    let act = repository().join("target/test-tools/bin/act");
    if !act.exists() {
        eprintln!("left out: act is not installed (tests/run.sh does that)");
    }
    act.exists().then_some(act)
}

/// A repository whose workflow act runs.
pub struct GitHub {
    act: PathBuf,
    pub checkout: TempDir,
    pub state: TempDir,
    /// As GitHub counts a run's attempts.
    pub attempt: u64,
    /// Lines of a shell at the beginning of each shell of its machines.
    pub lines: String,
    /// Settings of their Nix.
    pub nix_config: String,
    /// More variables.
    pub environment: Vec<(String, String)>,
}

impl GitHub {
    pub fn new(act: PathBuf, example: &str, inputs: &[(&str, &str)]) -> Self {
        let checkout = copy_of(example);
        let workflows = checkout.path().join(".github/workflows");
        fs::create_dir_all(&workflows).unwrap();
        fs::write(workflows.join("nixdag.yml"), file(inputs)).unwrap();
        // act takes `./` of a called workflow for the caller's repository.
        copy_into(&repository().join(".github/workflows/nixdag-job.yml"), &workflows);
        Self {
            act,
            checkout,
            state: TempDir::new().unwrap(),
            attempt: 1,
            lines: String::new(),
            nix_config: NIX_CONFIG.into(),
            environment: Vec::new(),
        }
    }

    /// Commits what is there, and runs it.
    pub fn run(&self, nix: &Path) -> Output {
        self.on("push", &[], nix)
    }

    /// The same on an event, with more arguments for act.
    pub fn on(&self, event: &str, arguments: &[&str], nix: &Path) -> Output {
        let state = self.state.path();
        for folder in ["bin", "artifacts", "home"] {
            fs::create_dir_all(state.join(folder)).unwrap();
        }
        shell(&state.join("bin"), &self.lines);
        copy_into(&stripped(), &state.join("bin/nixdag"));
        run(self.checkout.path(), "git", &["init", "-q"]);
        commit(self.checkout.path());
        let mut command = Command::new(&self.act);
        command.args([event, "-W", ".github/workflows/nixdag.yml", "-P", "ubuntu-24.04=-self-hosted"]);
        command.args(["--no-cache-server", "--action-offline-mode"]).args(arguments);
        for (at, (action, parts)) in ACTIONS.iter().enumerate() {
            let folder = state.join(format!("action{at}"));
            for (part, text) in *parts {
                fs::create_dir_all(folder.join(part)).unwrap();
                fs::write(folder.join(part).join("action.yml"), format!("name: stand-in\n{text}")).unwrap();
            }
            command.arg("--local-repository").arg(format!("{action}={}", folder.display()));
        }
        let own = state.join("nixdag");
        for part in ["github", "orb", ".github"] {
            fs::create_dir_all(&own).unwrap();
            copy_into(&repository().join(part), &own);
        }
        command.arg("--local-repository").arg(format!("{OWN}={}", own.display()));
        for (name, value) in [
            ("CHECKOUT", self.checkout.path().to_str().unwrap()),
            ("ARTIFACTS", state.join("artifacts").to_str().unwrap()),
            ("GITHUB_RUN_ATTEMPT", &self.attempt.to_string()),
            (
                "NIX_CONFIG",
                &format!(
                    "experimental-features = nix-command flakes\nsystem-features = big-parallel kvm\n{}",
                    self.nix_config
                ),
            ),
        ] {
            command.arg("--env").arg(format!("{name}={value}"));
        }
        for (name, value) in &self.environment {
            command.arg("--env").arg(format!("{name}={value}"));
        }
        let path = std::env::var("PATH").unwrap();
        command.env("PATH", format!("{}:{}:{path}", state.join("bin").display(), nix.display()));
        command.env("HOME", state.join("home")).env("XDG_CACHE_HOME", state.join("home/.cache"));
        command.current_dir(self.checkout.path()).output().unwrap()
    }

    /// How many builds all jobs have recorded.
    pub fn built(&self) -> (u64, usize) {
        let mut report = crate::support::nixdag();
        report.args(["report", "--format", "json"]);
        for entry in fs::read_dir(self.state.path().join("artifacts")).unwrap() {
            let entry = entry.unwrap();
            if entry.file_name().to_str().unwrap().starts_with("nixdag-results-") {
                report.arg(entry.path().join("report.json"));
            }
        }
        let output = report.output().unwrap();
        let said: Value =
            serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", shown(&output)));
        (crate::support::project::figure(&said, "built"), said["built_twice"].as_array().map_or(0, Vec::len))
    }
}

#[test]
fn the_hermetic_example_builds_everything_once() {
    let Some(act) = act() else { return };
    let nix = one_nix(2);
    let github = GitHub::new(act.clone(), "examples/hermetic", &[]);
    let output = github.run(&nix);
    let said = shown(&output);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("ok: d(b(a), c)") && said.contains("gate"), "{said}");
    assert_eq!(github.built(), (4, 0), "{said}");
}

#[test]
fn the_job_of_the_documentation_updates_the_comment_on_a_pull_request() {
    let Some(act) = act() else { return };
    let page = fs::read_to_string(repository().join("docs/report.md")).unwrap();
    let job = page.split("```yaml\n").find_map(|text| text.starts_with("  comment:").then(|| text.split("```").next()));
    let github = GitHub::new(act, "examples/hermetic", &[]);
    let workflow = github.checkout.path().join(".github/workflows/nixdag.yml");
    let text = fs::read_to_string(&workflow).unwrap();
    fs::write(&workflow, format!("{text}{}", job.flatten().unwrap())).unwrap();
    run(github.checkout.path(), "git", &["init", "-q"]);
    run(github.checkout.path(), "git", &["remote", "add", "origin", "https://github.com/o/r"]);
    let event = github.state.path().join("event.json");
    fs::write(&event, r#"{"pull_request": {"number": 7, "head": {"repo": {"full_name": "o/r"}}}}"#).unwrap();
    let before = [("somebody", format!("{MARK}\ntheirs\n")), (OWNER, format!("{MARK}\nold\n"))];
    let server = CommentServer::new(Api::GitHub, &before);
    let (api, token) = (format!("GITHUB_API_URL={}", server.url()), format!("GITHUB_TOKEN={TOKEN}"));
    let arguments = ["--eventpath", event.to_str().unwrap(), "--env", &api, "-s", &token];
    let output = github.on("pull_request", &arguments, &one_nix(2));
    let said = shown(&output);
    assert!(output.status.success(), "{said}");
    let comments = server.comments();
    assert_eq!((comments.len(), &comments[0]), (2, &(before[0].0.to_owned(), before[0].1.clone())), "{comments:?}");
    assert!(comments[1].1.starts_with(MARK) && comments[1].1.contains("accounted for"), "{comments:?}");
    assert!(comments[1].1.lines().count() <= 60 && server.writes().len() == 1, "{:?}", server.writes());
    assert!(!said.contains(TOKEN), "{said}");
}

#[test]
fn what_evaluation_has_built_is_built_by_no_job() {
    let Some(act) = act() else { return };
    let built = Built::new();
    let github = GitHub::new(act, "tests/fixtures/import-from-derivation", &[("allow_ifd", "true")]);
    let path = github.checkout.path().join("flake.nix");
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains("@BUILT@"), "{text}");
    fs::write(&path, text.replace("@BUILT@", &built.path())).unwrap();
    let output = github.run(&every_nix()[0]);
    assert!(output.status.success(), "{}", shown(&output));
    assert_eq!(built.sorted(), OF_IMPORT_FROM_DERIVATION, "{}", shown(&output));
}

#[test]
fn what_linux_builds_of_a_mixed_fleet_is_built_once() {
    let Some(act) = act() else { return };
    let nix = one_nix(0);
    // act skips jobs whose label it does not know: firmware needs what Arm builds.
    let inputs = [("systems", "x86_64-linux i686-linux"), ("exclude", "packages.*.firmware")];
    let github = GitHub::new(act.clone(), "examples/fleet", &inputs);
    let settings = github.checkout.path().join("nixdag.yml");
    let text = fs::read_to_string(&settings).unwrap();
    let hosted = text.replace("resource_class: 2xlarge", "resource_class: ubuntu-24.04");
    fs::write(&settings, hosted.replace(", resource_class: large", "")).unwrap();
    let output = github.run(&nix);
    let said = shown(&output);
    assert!(output.status.success(), "{said}");
    assert_eq!(github.built(), (6, 0), "{said}");
}
