//! The step *Install* of the committed workflow: nixdag from a release whose checksum the repository names.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::{copy_into, repository, stripped};

const FILE: &str = "nixdag-1.2.3-x86_64-unknown-linux-musl";

/// What the step runs.
fn script() -> String {
    let text = fs::read_to_string(repository().join("github/nixdag.yml")).unwrap();
    let file: Value = serde_yaml::from_str(&text).unwrap();
    let steps = file["jobs"]["plan"]["steps"].as_array().unwrap();
    steps.iter().find(|step| step["name"] == "Install").unwrap()["run"].as_str().unwrap().to_owned()
}

/// The lines of sha256sum for a file.
fn checksum(file: &Path) -> String {
    let printed = Command::new("sha256sum").arg(file).output().unwrap();
    let sum = String::from_utf8(printed.stdout).unwrap();
    format!("{}  {FILE}", sum.split(' ').next().unwrap())
}

/// Runs the step on a machine that has Nix, or something by its name, and no nixdag.
fn install(home: &TempDir, releases: &Path, checksums: &str) -> Output {
    let home = home.path();
    let bin = home.join("bin");
    fs::create_dir_all(&bin).unwrap();
    fs::write(bin.join("nix-store"), "#!/bin/sh\n").unwrap();
    Command::new("chmod").arg("+x").arg(bin.join("nix-store")).status().unwrap();
    Command::new("bash")
        .args(["-e", "-o", "pipefail", "-c", &script()])
        .env_clear()
        .env("PATH", format!("{}:/usr/bin:/bin", bin.display()))
        .env("HOME", home)
        .env("RUNNER_TEMP", home)
        .env("GITHUB_PATH", home.join("path"))
        .env("NIXDAG_RELEASES", format!("file://{}", releases.display()))
        .env("NIXDAG_VERSION", "1.2.3")
        .env("NIXDAG_CHECKSUMS", checksums)
        .output()
        .unwrap()
}

#[test]
fn a_release_is_installed_where_its_checksum_is_that_of_the_repository() {
    let releases = TempDir::new().unwrap();
    let folder = releases.path().join("v1.2.3");
    fs::create_dir_all(&folder).unwrap();
    copy_into(&stripped(), &folder.join(FILE));
    let right = checksum(&folder.join(FILE));

    let home = TempDir::new().unwrap();
    let ran = install(&home, releases.path(), &right);
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let path = fs::read_to_string(home.path().join("path")).unwrap();
    let program = home.path().join(".nixdag/program");
    assert_eq!(path.lines().last(), program.to_str(), "later steps find it: {path}");
    let version = Command::new(program.join("nixdag")).arg("--version").output().unwrap();
    assert!(version.status.success());

    let home = TempDir::new().unwrap();
    let ran = install(
        &home,
        releases.path(),
        &right.replacen(&right[..1], if right.starts_with('0') { "1" } else { "0" }, 1),
    );
    assert!(!ran.status.success());
    assert!(String::from_utf8_lossy(&ran.stderr).contains("is not the file that was pinned"));
    assert!(!home.path().join(".nixdag/program/nixdag").exists());
}

#[test]
fn the_script_and_the_checksums_of_nix_are_those_of_the_orb() {
    let step = script();
    let orb = repository().join("orb/src");
    for file in ["scripts/install.sh", "release/nix.sha256"] {
        let text = fs::read_to_string(orb.join(file)).unwrap();
        assert!(step.contains(text.trim()), "github/nixdag.yml has another {file}");
    }
}
