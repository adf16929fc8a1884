//! nixdag's own flake: it evaluates without a network, with every version of Nix alike, and nixdag plans it.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::{self, commit, copy_into, run, shown, with_every_nix};
use serde_json::{Value, json};
use tempfile::TempDir;

/// The files of the flake, as a repository with one commit.
fn repository() -> TempDir {
    let copy = TempDir::with_prefix("nixdag").unwrap();
    for name in ["flake.nix", "flake.lock", "Cargo.toml", "Cargo.lock", "README.md", "github", "src", "tests"] {
        copy_into(&support::repository().join(name), copy.path());
    }
    fs::remove_dir_all(copy.path().join("tests/golden")).unwrap();
    commit(copy.path());
    copy
}

const STAND_IN: [&str; 4] = ["--no-write-lock-file", "--override-input", "nixpkgs", "path:./tests/stand-in-nixpkgs"];

fn eval(folder: &Path, attribute: &str) -> Value {
    let features = ["--extra-experimental-features", "nix-command flakes"];
    let arguments = [&features[..], &["eval", "--json"], &STAND_IN, &[attribute]].concat();
    serde_json::from_str(&run(folder, "nix", &arguments)).unwrap()
}

#[test]
fn it_offers_a_package_an_app_an_overlay_a_shell_and_checks_on_every_system() {
    with_every_nix("it_offers_a_package_an_app_an_overlay_a_shell_and_checks_on_every_system", || {
        let copy = repository();
        let version = env!("CARGO_PKG_VERSION");
        for system in ["x86_64-linux", "aarch64-linux", "aarch64-darwin"] {
            let name = |attribute: &str| eval(copy.path(), &format!(".#{attribute}.{system}.{}", "default.name"));
            assert_eq!(name("packages"), format!("nixdag-{version}"));
            assert_eq!(name("devShells"), "shell");
            let app = eval(copy.path(), &format!(".#apps.{system}.default"));
            assert_eq!(app["type"], "app");
            assert!(app["program"].as_str().unwrap().ends_with("/bin/nixdag"), "{app}");
            assert!(app["meta"]["description"].as_str().unwrap().contains("CI pipeline"), "{app}");
            assert_eq!(eval(copy.path(), &format!(".#packages.{system}.nixdag.meta.mainProgram")), "nixdag");
        }
        // Every output is as `nix flake check` wants it.
        let features = ["--extra-experimental-features", "nix-command flakes"];
        let check = ["flake", "check", "--no-build", "--offline", "."];
        run(copy.path(), "nix", &[&features[..], &check, &STAND_IN].concat());
        let checks = eval(copy.path(), ".#checks.x86_64-linux");
        assert_eq!(checks.as_object().unwrap().keys().collect::<Vec<_>>(), ["runs"]);
        // Its source holds what Cargo needs, and not the documentation.
        let source = eval(copy.path(), ".#packages.x86_64-linux.default.src");
        let names = run(Path::new(source.as_str().unwrap()), "ls", &[]);
        assert_eq!(names, "Cargo.lock\nCargo.toml\ngithub\nsrc\ntests");
        String::new()
    });
}

#[test]
fn the_revision_of_a_clean_tree_is_in_the_program() {
    with_every_nix("the_revision_of_a_clean_tree_is_in_the_program", || {
        let copy = repository();
        // An overridden input makes a tree count as changed: so the stand-in is named and locked.
        let flake = fs::read_to_string(copy.path().join("flake.nix")).unwrap();
        let stand_in = format!("path:{}", copy.path().join("tests/stand-in-nixpkgs").display());
        fs::write(copy.path().join("flake.nix"), flake.replace("github:NixOS/nixpkgs/nixos-unstable", &stand_in))
            .unwrap();
        fs::remove_file(copy.path().join("flake.lock")).unwrap();
        commit(copy.path());
        let nix = |arguments: &[&str]| {
            run(copy.path(), "nix", &[&["--extra-experimental-features", "nix-command flakes"], arguments].concat())
        };
        nix(&["flake", "lock"]);
        commit(copy.path());
        let revision = || {
            let path = nix(&["eval", "--raw", ".#packages.x86_64-linux.default.drvPath"]);
            let drv = fs::read_to_string(path).unwrap();
            let phase = drv.split_once("(\"buildPhase\",\"# ").unwrap().1.split('"').next().unwrap().to_owned();
            phase.rsplit_once(' ').unwrap().0.to_owned()
        };
        let expected =
            run(copy.path(), "git", &["log", "-1", "--abbrev=12", "--date=format-local:%Y-%m-%d", "--format=%h %cd"]);
        assert_eq!(revision(), expected);
        fs::write(copy.path().join("README.md"), "changed").unwrap();
        assert_eq!(revision(), "");
        String::new()
    });
}

#[test]
fn nixdag_plans_its_own_flake() {
    with_every_nix("nixdag_plans_its_own_flake", || {
        let copy = repository();
        let output = Command::new(env!("CARGO_BIN_EXE_nixdag"))
            .current_dir(copy.path())
            .args(["plan", ".", "--format", "json", "--override-input", "nixpkgs", "path:./tests/stand-in-nixpkgs"])
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", shown(&output));
        let plan: Value = serde_json::from_slice(&output.stdout).unwrap();
        let jobs: Vec<(&Value, &Value)> =
            plan["jobs"].as_array().unwrap().iter().map(|job| (&job["name"], &job["requires"])).collect();
        // What runs the package comes after it.
        assert_eq!(jobs, [(&json!("nixdag"), &json!([])), (&json!("checks.runs"), &json!(["nixdag"]))]);
        assert_eq!(plan["errors"], json!([]));
        String::new()
    });
}

#[test]
fn the_lock_is_that_of_the_demo() {
    // Both name the same nixpkgs, so that building one fetches nothing for the other.
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |path: &str| fs::read_to_string(root.join(path)).unwrap();
    assert_eq!(read("flake.lock"), read("examples/demo/flake.lock"));
    let lock: Value = serde_json::from_str(&read("flake.lock")).unwrap();
    let original = &lock["nodes"]["nixpkgs"]["original"];
    assert_eq!(original, &json!({"owner": "NixOS", "ref": "nixos-unstable", "repo": "nixpkgs", "type": "github"}));
    assert!(read("flake.nix").contains("inputs.nixpkgs.url = \"github:NixOS/nixpkgs/nixos-unstable\";"));
}
