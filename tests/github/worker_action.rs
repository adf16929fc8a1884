//! The action `worker`: its committed bundle is what its sources and its lock file give, and its own tests pass, against a stand-in for GitHub's artifact service.
//!
//! Its dependencies come from npm, once for a lock file. Without npm, or a registry in reach, the test says that it is left out. What else goes wrong fails it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{copy_into, repository, shown};

/// A command that finds the Node that tests/run.sh installs, else the machine's.
pub fn with_node(program: &str) -> Command {
    let own = repository().join("target/test-tools/npm/node_modules/node/bin");
    let usual = std::env::var_os("PATH").unwrap_or_default();
    let path = std::iter::once(own).chain(std::env::split_paths(&usual));
    let mut command = Command::new(program);
    command.env("PATH", std::env::join_paths(path).unwrap());
    command
}

/// The action's dependencies, in a folder that later runs find again.
fn installed(source: &Path) -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("worker-action");
    fs::create_dir_all(&folder).unwrap();
    let mut is_new = false;
    for name in ["package.json", "package-lock.json", ".npmrc"] {
        let wanted = fs::read(source.join(name)).unwrap();
        is_new |= fs::read(folder.join(name)).ok().as_ref() != Some(&wanted);
        fs::write(folder.join(name), wanted).unwrap();
    }
    if is_new || !folder.join("node_modules/.package-lock.json").exists() {
        let Ok(installed) = with_node("npm").arg("ci").current_dir(&folder).output() else {
            eprintln!("left out: npm is not installed");
            return None;
        };
        let said = shown(&installed);
        if !installed.status.success() {
            let _ = fs::remove_file(folder.join("package-lock.json"));
            let has_network = !["ENOTFOUND", "ECONN", "ETIMEDOUT", "EAI_AGAIN"].iter().any(|code| said.contains(code));
            assert!(!has_network, "{said}");
            eprintln!("left out: npm reaches no registry: {said}");
            return None;
        }
    }
    for name in ["source", "test"] {
        let _ = fs::remove_dir_all(folder.join(name));
        copy_into(&source.join(name), &folder);
    }
    Some(folder)
}

#[test]
fn the_bundle_is_what_its_sources_give_and_passes_its_tests() {
    let source = repository().join("github/worker");
    let lock = fs::read_to_string(source.join("package-lock.json")).unwrap();
    assert!(
        !lock.contains("\"resolved\"") && lock.contains("\"integrity\""),
        "packages are named by digest, not by address"
    );
    let Some(folder) = installed(&source) else { return };
    let bundled = with_node("npm").args(["run", "--silent", "bundle"]).current_dir(&folder).output().unwrap();
    assert!(bundled.status.success(), "{}", shown(&bundled));
    let read = |folder: &Path| fs::read(folder.join("dist/index.cjs")).unwrap();
    assert!(
        read(&folder) == read(&source),
        "the committed bundle is another one: `npm ci && npm run bundle` in github/worker"
    );
    let tested = with_node("npm").args(["test", "--silent"]).current_dir(&folder).output().unwrap();
    let said = shown(&tested);
    assert!(tested.status.success() && said.contains("# fail 0"), "{said}");
    assert!(!said.contains("# tests 0"), "{said}");
}
