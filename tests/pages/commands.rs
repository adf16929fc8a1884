//! Shell blocks on the pages run, each in a flake of its own with an empty store, or the page says why not in a comment before the block:
//! `<!-- not run: it needs the network -->`.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use crate::page::{Block, Page};
use crate::support::{self, FreshNix, repository};

/// What the commands are about: `hello`, two checks, and a configuration of the CI with a parameter.
const FLAKE: &str = r#"{
  outputs = { self }: let
    package = name: inputs: derivation {
      inherit name inputs; system = "x86_64-linux"; builder = "/bin/sh"; args = [ "-c" "echo $name > $out" ];
    };
  in {
    packages.x86_64-linux.hello = package "hello" [ ];
    checks.x86_64-linux = { lint = package "lint" [ ]; test = package "test" [ self.packages.x86_64-linux.hello ]; };
  };
}
"#;
const SETUP: &str = "version: 2.1\nsetup: true\nparameters: { deploy: { type: boolean, default: false } }\n";

/// The shell blocks of a page that run, and the number of those that do not.
fn blocks(page: &Page) -> (Vec<&Block>, usize) {
    let shell =
        page.blocks.iter().filter(|block| ["sh", "bash", "console", "shell"].contains(&block.language.as_str()));
    let (run, left): (Vec<&Block>, Vec<&Block>) = shell.partition(|block| block.excuse().is_none());
    (run, left.len())
}

/// A folder for a page's commands: the flake, and the first configuration that the page shows.
fn folder(page: &Page) -> TempDir {
    let folder = support::folder(&[("flake.nix", FLAKE), (".circleci/config.yml", SETUP)]);
    if let Some(shown) = page.blocks.iter().find(|block| block.text.starts_with("version: 2.1\njobs:")) {
        fs::write(folder.path().join(".circleci/continue.yml"), &shown.text).unwrap();
    }
    support::commit(folder.path());
    folder
}

#[test]
fn shell_blocks_run() {
    let programs = Path::new(env!("CARGO_BIN_EXE_nixdag")).parent().unwrap();
    let nix = FreshNix::new();
    let (mut ran, mut excused) = (0, 0);
    for page in Page::all() {
        let (blocks, left) = blocks(&page);
        excused += left;
        for block in blocks {
            let folder = folder(&page);
            println!("{}:{}", page.path, block.line);
            nix.script(folder.path(), &format!("PATH={}:$PATH\n{}", programs.display(), block.text));
            ran += 1;
        }
    }
    println!("{ran} shell blocks ran, {excused} say why not");
    assert!(ran >= 5, "{ran} shell blocks");
}

#[test]
fn every_block_says_its_language() {
    for page in Page::all().iter().filter(|page| page.path != "docs/architecture.md") {
        for block in &page.blocks {
            assert!(!block.language.is_empty(), "{}:{}: a block without a language", page.path, block.line);
        }
    }
    assert!(repository().join("docs/architecture.md").exists());
}

#[test]
fn complete_configurations_pass_the_check() {
    let mut checked = 0;
    for (page, file, start) in [
        ("docs/circleci.md", ".circleci/config.yml", "version: 2.1\n"),
        ("docs/gitlab.md", ".gitlab-ci.yml", "stages: [plan, build]\n"),
        ("docs/gitlab.md", ".gitlab-ci.yml", "include:"),
        ("docs/github.md", ".github/workflows/x.yml", "name: "),
    ] {
        for block in Page::read(page).blocks.iter().filter(|block| block.text.starts_with(start)) {
            let folder = support::folder(&[(file, block.text.as_str())]);
            let output = support::nixdag().current_dir(folder.path()).args(["check", file]).output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{page}:{}: {said}", block.line);
            checked += 1;
        }
    }
    assert!(checked >= 2, "{checked} configurations");
}
