//! Where benchmarks run: a mount namespace with an empty store and an empty home, both in memory.

#![allow(clippy::unwrap_used, reason = "a benchmark fails by panicking")]

use std::process::Command;

/// Set in the process that runs inside.
const INSIDE: &str = "NIXDAG_BENCH_INSIDE";

/// Runs this program once more, inside, and is true there, with the home as the working directory. Root alone can do this.
pub fn enter() -> bool {
    if std::env::var_os(INSIDE).is_some() {
        std::env::set_current_dir(std::env::var_os("HOME").unwrap()).unwrap();
        return true;
    }
    let home = tempfile::tempdir().unwrap();
    let script = "mount -t tmpfs none /nix && mount -t tmpfs none \"$HOME\" && exec \"$@\"";
    let status = Command::new("unshare")
        .args(["-m", "--propagation", "private", "sh", "-c", script, "sh"])
        .arg(std::env::current_exe().unwrap())
        .args(std::env::args().skip(1))
        .env(INSIDE, "1")
        .env("HOME", home.path())
        .env("NIX_CONFIG", "sandbox = false\nbuild-users-group =\nsubstituters =\n")
        .status()
        .unwrap();
    assert!(status.success());
    false
}
