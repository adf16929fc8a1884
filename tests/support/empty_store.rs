//! The one way to an empty Nix store, for tests and benchmarks: a mount namespace of its own with a tmpfs over `/nix`, so that nothing on
//! the machine is touched and nothing is left behind.

#![allow(dead_code, reason = "each test and benchmark uses its part")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Command;
use std::sync::LazyLock;

/// The settings of a Nix that builds with an empty store: no daemon, no sandbox, nothing from elsewhere.
pub const NIX_CONFIG: &str = "sandbox = false\nbuild-users-group =\nsubstituters =\n";

/// Lines of a shell that write files `group` and `passwd` into a folder `$own`, with one user for builds, `nixbld1`, which no other store has: as the superuser, Nix ends all processes of that user
/// when it begins a build and when it ends one, those of other stores too. The number of a process would not do: it is given again as soon as the shell has ended, which the store outlives.
/// Where it is not root that runs the tests, there are only as many users as `/etc/subuid` gives it.
pub const BUILD_USER_FILES: &str = r#"user=$(od -An -N4 -tu4 /dev/urandom)
    while read -r _ _ count; do users=$count; done < /proc/self/uid_map
    if [ "$(id -u)" = 0 ] && [ "$users" -gt 100000 ]; then user=$((100000 + user / 2)); else user=$((1000 + user % 60000)); fi
    { grep -v '^nixbld:' /etc/group; echo nixbld:x:30000:nixbld1; } > $own/group
    { grep -v '^nixbld[0-9]*:' /etc/passwd; echo nixbld1:x:$user:30000::/:/bin/false; } > $own/passwd"#;

/// Lines of a shell that give an empty store a user for builds of its own. The users that this machine has for builds are not seen.
pub fn build_user() -> String {
    format!(
        "chmod 755 /nix; own=/nix/build-user; mkdir -p $own; {BUILD_USER_FILES}\n\
         mount --bind $own/group /etc/group; mount --bind $own/passwd /etc/passwd"
    )
}

/// Set in a benchmark's process that runs inside.
const INSIDE: &str = "NIXDAG_BENCH_INSIDE";

/// True where root runs the tests.
pub fn is_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}

/// True where a user that is not root may have other users in a namespace, for builds and daemons.
static HAS_USERS: LazyLock<bool> = LazyLock::new(|| {
    let tried = Command::new("unshare").args(["-Urm", "--map-auto", "true"]).output();
    tried.is_ok_and(|output| output.status.success())
});

/// A command in a mount namespace of its own, for the program and its arguments that are added to it. A shell runs the lines `mounts`
/// first, with these words as `$@`; what is left of them is then executed.
pub fn namespace(mounts: &str) -> Command {
    let script = format!("{mounts}\nexec \"$@\"");
    let mut command = Command::new("unshare");
    let options: &[&str] = match is_root() {
        true => &["-m"],
        false if *HAS_USERS => &["-Urm", "--map-auto"],
        false => &["-Urm"],
    };
    command.args(options).args(["sh", "-ec", &script, "sh"]);
    command
}

/// The same, with an empty store that is gone when the last process of the command ends.
pub fn empty_store() -> Command {
    namespace("mount -t tmpfs none /nix")
}

/// Puts a `bash` into a folder of `PATH`: every shell starts with an empty `/nix` and a home there, and runs these lines first.
pub fn shell(folder: &Path, lines: &str) {
    let (shell, machine) = (folder.join("bash"), folder.join("machine"));
    let text = format!(
        "#!/bin/sh\nexec unshare -m --propagation private /bin/sh -ec 'mount -t tmpfs -o mode=755 none /nix\n\
         mkdir -p /nix/home; export HOME=/nix/home; . \"{}\"; exec /bin/bash \"$@\"' bash \"$@\"\n",
        machine.display()
    );
    fs::write(machine, lines).unwrap();
    fs::write(&shell, text).unwrap();
    fs::set_permissions(shell, fs::Permissions::from_mode(0o755)).unwrap();
}

/// Runs a benchmark once more with an empty store and an empty home, both in memory, and is true there, with the home as the working
/// directory.
pub fn enter() -> bool {
    if std::env::var_os(INSIDE).is_some() {
        std::env::set_current_dir(std::env::var_os("HOME").unwrap()).unwrap();
        return true;
    }
    let home = tempfile::tempdir().unwrap();
    let status = namespace("mount -t tmpfs none /nix\nmount -t tmpfs none \"$HOME\"")
        .arg(std::env::current_exe().unwrap())
        .args(std::env::args().skip(1))
        .env(INSIDE, "1")
        .env("HOME", home.path())
        .env("NIX_CONFIG", NIX_CONFIG)
        .status()
        .unwrap();
    assert!(status.success());
    false
}
