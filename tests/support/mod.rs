//! Support for tests that need Nix: each runs with an empty store of its own, once with every version of Nix that is there.
//!
//! The `nix` on PATH is always used; the environment variable `NIXDAG_NIX_VERSIONS` may name a folder with more
//! (`2.26/bin/nix`, `2.34/bin/nix`). The store is a tmpfs over `/nix` in a mount namespace, so nothing on the machine is touched.

#![allow(dead_code, reason = "each test file uses its part")]
#![allow(clippy::unwrap_used, clippy::new_without_default, reason = "a test fails by panicking")]

pub mod api_server;
pub mod browser;
pub mod built;
pub mod cache_server;
pub mod circleci;
pub mod circleci_schema;
pub mod comment_server;
pub mod contract;
pub mod empty_store;
pub mod file_server;
pub mod git_server;
pub mod github;
pub mod github_project;
pub mod gitlab;
pub mod gitlab_project;
pub mod golden;
pub mod hostile;
pub mod machine;
pub mod orb;
pub mod pipeline;
pub mod plans;
pub mod project;
pub mod recorded;
pub mod s3_server;
pub mod synthetic;
pub mod writable_cache;

use std::ffi::OsStr;
use std::fs;
use std::panic::Location;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use predicates::boolean::PredicateBooleanExt;
use tempfile::TempDir;

/// Set, to the folder of the version or to nothing, in a process that runs inside.
const INSIDE: &str = "NIXDAG_TEST_INSIDE";

/// Before what a body returned, on the output of the inner process.
const RESULT: &str = "result: ";

/// A way to run programs with an empty Nix store, a private home, and one version of Nix.
pub struct FreshNix {
    /// The folder with `nix`, or none for the one on PATH.
    programs: Option<PathBuf>,
    home: TempDir,
}

impl FreshNix {
    /// One for every version of Nix, the one on PATH first.
    pub fn every_version() -> Vec<Self> {
        let mut programs = vec![None];
        if let Some(folder) = std::env::var_os("NIXDAG_NIX_VERSIONS") {
            let entries = fs::read_dir(&folder).expect("NIXDAG_NIX_VERSIONS names a folder");
            let mut found: Vec<_> = entries.map(|entry| entry.unwrap().path().join("bin")).collect();
            found.retain(|bin| bin.join("nix").exists());
            assert!(!found.is_empty(), "no version of Nix in NIXDAG_NIX_VERSIONS");
            found.sort();
            programs.extend(found.into_iter().map(Some));
        }
        programs.into_iter().map(|programs| Self { programs, home: TempDir::new().unwrap() }).collect()
    }

    /// The `nix` on PATH.
    pub fn new() -> Self {
        Self { programs: None, home: TempDir::new().unwrap() }
    }

    /// A private folder that the programs see as their home.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// A command that will run with an empty store; the store is gone when it ends.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = empty_store::empty_store();
        command.arg(program);
        let path = std::env::var("PATH").unwrap();
        let path = match &self.programs {
            Some(folder) => format!("{}:{path}", folder.display()),
            None => path,
        };
        command.env("PATH", path).env("HOME", self.home()).env(INSIDE, self.programs.clone().unwrap_or_default());
        // Elsewhere nixdag keeps evaluations.
        command.env("CI", "true");
        // A Nix that is killed leaves its folders.
        let temporary = self.home().join("tmp");
        fs::create_dir_all(&temporary).unwrap();
        command.env("TMPDIR", temporary);
        for name in ["XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "NIX_PATH", "NIX_REMOTE"] {
            command.env_remove(name);
        }
        let registry = self.home().join("registry.json");
        fs::write(&registry, r#"{"flakes":[],"version":2}"#).unwrap();
        let more = format!("download-attempts = 1\nflake-registry = {}\n", registry.display());
        command.env("NIX_CONFIG", format!("{}{more}", empty_store::NIX_CONFIG));
        command.env("GIT_CONFIG_COUNT", "0").env("GIT_AUTHOR_NAME", "a").env("GIT_AUTHOR_EMAIL", "a@example.org");
        command.env("GIT_COMMITTER_NAME", "a").env("GIT_COMMITTER_EMAIL", "a@example.org");
        command
    }

    /// Runs a script with an empty store and returns what it prints; `$nixdag` is the program under test, `$make` makes the repository
    /// of `tests/affected-repository.sh`.
    #[track_caller]
    pub fn script(&self, folder: &Path, text: &str) -> String {
        let output = self
            .command("bash")
            .args(["-euc", text])
            .env("nixdag", env!("CARGO_BIN_EXE_nixdag"))
            .env("make", Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/affected-repository.sh"))
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .current_dir(folder)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", shown(&output));
        String::from_utf8(output.stdout).unwrap()
    }
}

/// Runs the body of the test `name` with every version of Nix, each in a process with an empty store: in the outer process this
/// starts the test binary again, in the inner one it runs `body`. What `body` returns has to be the same for all versions.
#[track_caller]
pub fn with_every_nix(name: &str, body: impl FnOnce() -> String) {
    if is_inside() {
        println!("\n{RESULT}{:?}", body());
        return;
    }
    let name = full_name(name);
    let results: Vec<String> = FreshNix::every_version()
        .iter()
        .map(|nix| run_again(nix, &name).expect("the body returned something"))
        .collect();
    assert!(results.iter().all(|result| *result == results[0]), "versions of Nix differ: {results:#?}");
}

/// The same with the `nix` on PATH alone.
#[track_caller]
pub fn with_nix(name: &str, body: impl FnOnce()) {
    if is_inside() {
        return body();
    }
    run_again(&FreshNix::new(), &full_name(name));
}

/// The same with one version, another one for each test: of what nixdag does itself, where the version makes no difference.
#[track_caller]
pub fn with_one_nix(name: &str, body: impl FnOnce()) {
    if is_inside() {
        return body();
    }
    let name = full_name(name);
    let mut versions = FreshNix::every_version();
    // Tests take turns by their names, so that each has the same version in every run.
    let turn = name.bytes().fold(0usize, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
    run_again(&versions.swap_remove(turn % versions.len()), &name);
}

/// The name that the test runner knows: the module, named after the calling file, and the function.
#[track_caller]
fn full_name(function: &str) -> String {
    let module = Path::new(Location::caller().file()).file_stem().unwrap();
    format!("{}::{function}", module.display())
}

/// True inside, with the `nix` on PATH.
pub fn is_on_path() -> bool {
    std::env::var_os(INSIDE).is_some_and(|folder| folder.is_empty())
}

fn is_inside() -> bool {
    std::env::var_os(INSIDE).is_some()
}

fn run_again(nix: &FreshNix, name: &str) -> Option<String> {
    let this = std::env::current_exe().unwrap();
    let output = nix.command(this).args(["--exact", name, "--nocapture", "--test-threads", "1"]).output().unwrap();
    let text = shown(&output);
    // A name that matches no test would pass without doing anything.
    assert!(output.status.success() && text.contains("1 passed"), "with {:?}:\n{text}", nix.programs);
    text.lines().find_map(|line| line.strip_prefix(RESULT)).map(str::to_owned)
}

/// Derivations of each kind that Nix writes, by real Nix, with their `roots.json`.
pub fn derivations() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/derivations")
}

/// The folder with real graphs. Tests of them are ignored unless asked for, which `tests/run.sh` does where it has them.
pub fn graphs() -> PathBuf {
    std::env::var_os("NIXDAG_GRAPHS").expect("NIXDAG_GRAPHS names a folder with real graphs").into()
}

/// The program under test without symbols, a third of the size or less: for machines and bundles, which copy it and take its checksum again
/// and again, a quarter of a pipeline's processor time. Made once a build.
pub fn stripped() -> PathBuf {
    let built = Path::new(env!("CARGO_BIN_EXE_nixdag"));
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let stripped = folder.join("stripped/nixdag");
    let modified = |path: &Path| fs::metadata(path).and_then(|data| data.modified()).ok();
    if modified(&stripped) != modified(built) {
        // Other tests may be at the same.
        let own = TempDir::new_in(folder).unwrap();
        let (from, to) = (built.to_str().unwrap(), own.path().join("nixdag"));
        run(folder, "strip", &["--strip-all", "--preserve-dates", "-o", to.to_str().unwrap(), from]);
        fs::create_dir_all(stripped.parent().unwrap()).unwrap();
        fs::rename(to, &stripped).unwrap();
    }
    stripped
}

/// A copy of a folder of this repository, `examples/hermetic` say, that belongs to no git repository.
pub fn copy_of(folder: &str) -> TempDir {
    let copy = TempDir::new().unwrap();
    copy_into(&repository().join(folder).join("."), copy.path());
    copy
}

/// Copies a file or a folder into a folder or to a name; with `.` at its end, what is in the folder.
#[track_caller]
pub fn copy_into(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-R").arg(from).arg(to).output().unwrap();
    assert!(copied.status.success(), "{}", shown(&copied));
}

/// The checkout of nixdag.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The program under test.
pub fn nixdag() -> assert_cmd::Command {
    let mut command = assert_cmd::Command::cargo_bin("nixdag").unwrap();
    // Whoever runs the tests may have said how wide results are to be.
    command.env_remove("COLUMNS");
    command
}

/// A command fails, with exit code 1 or for wrong usage 2, nothing on standard output, and a message of these words.
#[track_caller]
pub fn fails(command: &mut assert_cmd::Command, words: &[&str]) {
    let mut assert = command.assert().code(predicates::ord::le(2).and(predicates::ord::ge(1))).stdout("");
    for word in words {
        assert = assert.stderr(predicates::str::contains(*word));
    }
}

/// Both streams of a finished process, for an assertion's message.
pub fn shown(output: &Output) -> String {
    format!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Runs a program and returns its trimmed standard output.
#[track_caller]
pub fn run(folder: &Path, program: &str, arguments: &[&str]) -> String {
    let mut command = Command::new(program);
    // Git commits for nobody: a new machine knows no author.
    for who in ["AUTHOR", "COMMITTER"] {
        command.env(format!("GIT_{who}_NAME"), "a").env(format!("GIT_{who}_EMAIL"), "a@example.org");
    }
    let output = command.args(arguments).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}: {}", shown(&output));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// A folder with files, each path with its text.
pub fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = TempDir::with_prefix("flake").unwrap();
    for (path, text) in files {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    folder
}

/// Makes a folder a git repository with one commit of everything in it.
pub fn commit(folder: &Path) {
    run(folder, "git", &["init", "-q"]);
    run(folder, "git", &["add", "."]);
    run(folder, "git", &["commit", "-q", "-m", "x"]);
}
