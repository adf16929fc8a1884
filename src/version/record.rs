//! The build script: records the revision that is built, for `nixdag --version`.
//!
//! It comes from `NIXDAG_REVISION` (`<hash>` or `<hash> <date>`), as releases and the flake set it, else from git, else from what
//! `cargo package` notes; without any of them the version stands alone. No clock is read: the same sources give the same program.
//!
//! [`link`] says how a release is linked.
//!
//! A debug build asks git only when it is built from scratch, so that a commit does not compile everything again.

mod link;

use std::env;
use std::fs;
use std::path::Path;
use std::process::Command;

/// Names the revision, where somebody knows better than git.
const VARIABLE: &str = "NIXDAG_REVISION";

fn main() {
    println!("cargo::rerun-if-env-changed={VARIABLE}");
    println!("cargo::rerun-if-changed=src/version");
    let release = env::var("PROFILE").is_ok_and(|profile| profile == "release");
    let given = env::var(VARIABLE).ok().filter(|text| !text.is_empty());
    let recorded = given.or_else(|| git(release)).or_else(package);
    let version = env::var("CARGO_PKG_VERSION").unwrap_or_default();
    let text = match recorded {
        Some(revision) if is_revision(&revision) => format!("{version} ({revision})"),
        Some(other) => {
            println!(
                "cargo::error={VARIABLE} is `{}`, expected `<hash>` or `<hash> <year-month-day>`",
                other.escape_debug()
            );
            return;
        }
        None => version,
    };
    println!("cargo::rustc-env=NIXDAG_VERSION={text}");
    link::tell();
}

/// The commit that is checked out here, where this folder is the top of a repository.
fn git(watch: bool) -> Option<String> {
    let here = env::var("CARGO_MANIFEST_DIR").ok()?;
    let top = run(&here, &["rev-parse", "--show-toplevel"])?;
    // A copy inside of another repository is not that repository's.
    if fs::canonicalize(&top).ok()? != fs::canonicalize(&here).ok()? {
        return None;
    }
    if watch {
        for name in ["HEAD", "logs/HEAD", "packed-refs"] {
            if let Some(path) =
                run(&here, &["rev-parse", "--git-path", name]).filter(|path| Path::new(&here).join(path).exists())
            {
                println!("cargo::rerun-if-changed={path}");
            }
        }
    }
    run(&here, &["log", "-1", "--no-show-signature", "--abbrev=12", "--date=format-local:%Y-%m-%d", "--format=%h %cd"])
}

fn run(folder: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).current_dir(folder).env("TZ", "UTC").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !text.is_empty()).then_some(text)
}

/// The commit that a packaged crate was made from.
fn package() -> Option<String> {
    let text = fs::read_to_string(".cargo_vcs_info.json").ok()?;
    let rest = text.split_once("\"sha1\"")?.1.split_once('"')?.1;
    rest.get(..12).map(str::to_owned)
}

fn is_revision(text: &str) -> bool {
    let (hash, date) = text.split_once(' ').map_or((text, None), |(hash, date)| (hash, Some(date)));
    let is_date = |date: &str| date.len() == 10 && date.bytes().all(|b| b.is_ascii_digit() || b == b'-');
    (7..=40).contains(&hash.len()) && hash.bytes().all(|b| b.is_ascii_hexdigit()) && date.is_none_or(is_date)
}
