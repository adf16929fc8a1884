//! What is wrong with the machine and not with a flake: settings of Nix that it refuses, a daemon or a store that it cannot use.
//!
//! In: what Nix says. Out: what it means, and what to do about it.

use std::env;
use std::ffi::OsString;
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::printable::printable;
use crate::regular_file;

/// Bytes of a file with settings that are searched.
const MAX_FILE: u64 = 1 << 20;

/// Characters of a message that are shown.
const MAX_SHOWN: usize = 400;

/// What the system says of a place that cannot be used.
const REFUSALS: [&str; 6] = [
    "Read-only file system",
    "Permission denied",
    "No space left on device",
    "disk is full",
    "is corrupt",
    "database is locked",
];

/// What a message means, and what to do; none where it is not about the machine.
pub fn explain(said: &str) -> Option<(&'static str, &'static str)> {
    let has = |words: &[&str]| words.iter().any(|word| said.contains(word));
    if has(&["cannot connect to socket at", "cannot connect to daemon"]) {
        return Some((
            "the Nix daemon cannot be reached",
            "start it, e.g. `systemctl start nix-daemon`; or unset `NIX_REMOTE` if this machine has none",
        ));
    }
    if has(&["specified in 'build-users-group' does not exist", "build users group 'nixbld' has no members"]) {
        return Some((
            "Nix has no users to build as",
            "make the group and its users as Nix's installer does, or, in a container, set `build-users-group =` to nothing in `nix.conf`",
        ));
    }
    if !has(&REFUSALS) {
        return None;
    }
    if has(&["/.cache/", "/.local/"]) {
        Some((
            "Nix cannot write to its cache folder",
            "set `HOME` or `XDG_CACHE_HOME` to a folder that you can write to",
        ))
    } else if has(&["'/nix/", "\"/nix/", "/db.sqlite", "SQLite"]) {
        Some((
            "Nix cannot use its store",
            "see that this user may write there, or use the daemon, and that the disk is not full",
        ))
    } else {
        None
    }
}

/// What Nix says instead of its version, with the place of the setting that it refuses.
pub fn of_start(stderr: &str) -> String {
    let said =
        stderr.lines().find_map(|line| line.trim_start().strip_prefix("error: ")).unwrap_or("it says nothing").trim();
    let place = setting(said).map(|place| format!(" ({place})")).unwrap_or_default();
    format!("{}{place}", printable(&said.chars().take(MAX_SHOWN).collect::<String>()))
}

/// Where a line or a setting is that Nix quotes.
fn setting(said: &str) -> Option<String> {
    let mut quoted = said.split('\'').skip(1).step_by(2);
    let (first, second) = (quoted.next()?, quoted.next());
    let is_value = said.starts_with("setting ");
    let is_it = |line: &str| {
        let line = line.split('#').next().unwrap_or_default().trim();
        match line.split_once('=') {
            Some((name, value)) if is_value => {
                name.trim() == first && second.is_none_or(|second| value.trim() == second)
            }
            _ => line == first,
        }
    };
    let number = |text: &str| text.lines().position(is_it).map(|at| at + 1);
    if let Some(line) = env::var("NIX_CONFIG").ok().and_then(|text| number(&text)) {
        return Some(format!("line {line} of the variable `NIX_CONFIG`"));
    }
    files(|name| env::var_os(name)).iter().rev().find_map(|file| {
        let mut text = String::new();
        regular_file::open(file).ok()?.take(MAX_FILE).read_to_string(&mut text).ok()?;
        Some(format!("line {} of `{}`", number(&text)?, printable(&file.to_string_lossy())))
    })
}

/// The files with settings, in the order in which Nix reads them.
fn files(variable: impl Fn(&str) -> Option<OsString>) -> Vec<PathBuf> {
    let set = |name: &str| variable(name).filter(|value| !value.is_empty());
    let machine = set("NIX_CONF_DIR").map_or_else(|| PathBuf::from("/etc/nix"), PathBuf::from);
    let mut files = vec![machine.join("nix.conf")];
    match set("NIX_USER_CONF_FILES") {
        Some(listed) => files.extend(env::split_paths(&listed)),
        None => {
            let home = set("XDG_CONFIG_HOME").map(PathBuf::from);
            let home = home.or_else(|| Some(Path::new(&set("HOME")?).join(".config")));
            files.extend(home.map(|home| home.join("nix/nix.conf")));
        }
    }
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_of_the_machine_are_told_from_those_of_a_flake() {
        for (said, meaning) in [
            (
                "cannot connect to socket at '/nix/var/nix/daemon-socket/socket': No such file or directory",
                Some("daemon"),
            ),
            ("creating directory \"/nix/store\": Read-only file system", Some("its store")),
            ("setting journal mode: database or disk is full (in '/nix/var/nix/db/db.sqlite')", Some("its store")),
            ("creating directory \"/h/.cache/nix\": Read-only file system", Some("cache folder")),
            ("opening file '/home/x/flake.nix': Permission denied", None),
            ("the group 'nixbld' specified in 'build-users-group' does not exist", Some("no users to build as")),
            ("path '/nix/store/x' does not exist", None),
        ] {
            let found = explain(said).map(|(meaning, _)| meaning);
            assert_eq!(found.is_some(), meaning.is_some(), "{said}");
            assert!(found.unwrap_or_default().contains(meaning.unwrap_or_default()), "{found:?}");
        }
    }

    #[test]
    fn files_with_settings_are_those_of_nix() {
        let found = |set: &[(&str, &str)]| {
            let variable =
                |name: &str| set.iter().find(|(known, _)| *known == name).map(|(_, value)| OsString::from(value));
            files(variable).iter().map(|file| file.display().to_string()).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(found(&[]), "/etc/nix/nix.conf");
        assert_eq!(found(&[("NIX_CONF_DIR", "/c"), ("HOME", "/h")]), "/c/nix.conf /h/.config/nix/nix.conf");
        assert_eq!(found(&[("NIX_USER_CONF_FILES", "/a:/b"), ("HOME", "/h")]), "/etc/nix/nix.conf /a /b");
    }
}
