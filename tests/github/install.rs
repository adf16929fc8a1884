//! The script of the action `plan`: nixdag from a release whose checksum the action's own commit names.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::empty_store::{NIX_CONFIG, empty_store};
use crate::support::{copy_into, copy_of, repository, shown, stripped};

const FILE: &str = "nixdag-1.2.3-x86_64-unknown-linux-musl";

/// An action of a release with this line of checksums, beside that release.
fn released(sum: &str) -> TempDir {
    let folder = TempDir::new().unwrap();
    for part in ["github", "orb"] {
        copy_into(&repository().join(part), folder.path());
    }
    let release = folder.path().join("orb/src/release");
    fs::write(release.join("version"), "1.2.3\n").unwrap();
    fs::write(release.join("SHA256SUMS"), format!("# checksums\n{sum}  {FILE}\n")).unwrap();
    let files = folder.path().join("releases/v1.2.3");
    fs::create_dir_all(&files).unwrap();
    copy_into(&stripped(), &files.join(FILE));
    folder
}

/// Runs the script in an example, on a machine that has Nix and no nixdag.
fn plan(action: &Path, files: &Path) -> Output {
    let checkout = copy_of("examples/hermetic");
    let mut command: Command = empty_store();
    for name in ["home", "temp"] {
        fs::create_dir_all(files.join(name)).unwrap();
    }
    command.arg("bash").arg(action.join("github/plan/plan.sh")).current_dir(checkout.path());
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap()).env("NIX_CONFIG", NIX_CONFIG);
    command.env("HOME", files.join("home")).env("RUNNER_TEMP", files.join("temp")).env("GITHUB_ACTIONS", "true");
    for name in ["GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY"] {
        command.env(name, files.join(name));
    }
    for (name, value) in [("FLAKE", "."), ("PROGRAM", ""), ("NIX_URL", "https://127.0.0.1:1"), ("EXTRA_ARGUMENTS", "")]
    {
        command.env(format!("PARAM_{name}"), value);
    }
    command.env("PARAM_RELEASE_URL", format!("file://{}", action.join("releases").display()));
    command.output().unwrap()
}

#[test]
fn a_release_is_used_where_its_checksum_is_that_of_the_action() {
    let printed = Command::new("sha256sum").arg(stripped()).output().unwrap();
    let sum = String::from_utf8(printed.stdout).unwrap()[..64].to_owned();
    let (action, files) = (released(&sum), TempDir::new().unwrap());
    let ran = plan(action.path(), files.path());
    assert!(ran.status.success(), "{}", shown(&ran));
    let output = fs::read_to_string(files.path().join("GITHUB_OUTPUT")).unwrap();
    let plan: Value = serde_json::from_str(output.strip_prefix("plan=").unwrap()).unwrap();
    assert_eq!((&plan["waves"], output.lines().count()), (&Value::from(3), 1));
    let summary = fs::read_to_string(files.path().join("GITHUB_STEP_SUMMARY")).unwrap();
    assert!(summary.contains("```mermaid\nflowchart LR\n") && summary.contains("4 builds"), "{summary}");
    assert!(files.path().join("temp/nixdag/bundle/manifest").is_file());

    let wrong = sum.replacen(&sum[..1], if sum.starts_with('0') { "1" } else { "0" }, 1);
    let (action, files) = (released(&wrong), TempDir::new().unwrap());
    let ran = self::plan(action.path(), files.path());
    assert!(!ran.status.success());
    assert!(shown(&ran).contains("is not the file that was pinned"), "{}", shown(&ran));
    assert!(!files.path().join("GITHUB_OUTPUT").exists());
}
