//! What Nix makes its settings of: files and variables. While these stay as they are, what it has said of its settings still holds.
//!
//! In: a program of Nix and the environment that it runs in. Out: a digest of every file that it may read its settings from and of all variables; none where
//! that cannot be known.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{ErrorKind, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::hash::{Hasher, Sha256};
use crate::regular_file;

/// Where Nix's own file is, unless a variable says so: what builds of it for distributions, of its own installer and by hand look in.
const OWN_FOLDERS: [&str; 2] = ["/etc/nix", "/usr/local/etc/nix"];

const FILE: &str = "nix.conf";

/// Files that are read, those that others include among them.
const MAX_FILES: usize = 64;

/// Bytes of one of them.
const MAX_SIZE: u64 = 1 << 20;

/// A digest of all that the settings of a program depend on, with this environment.
pub fn digest(program: &Path, environment: &[(OsString, OsString)]) -> Option<Sha256> {
    let variable = |name: &str| variable(environment, name);
    let home = Path::new(variable("HOME")?);
    // Nix looks for a home that belongs to the user elsewhere then.
    let is_own = fs::metadata(home).is_ok_and(|data| data.uid() == rustix::process::geteuid().as_raw());
    if !is_own || !includes(variable("NIX_CONFIG").unwrap_or_default().as_bytes()).is_empty() {
        return None;
    }
    let mut hasher = Hasher::default();
    for part in environment.iter().flat_map(|(name, value)| [name, value]) {
        add(&mut hasher, part.as_bytes());
    }
    let mut files = candidates(program, home, variable);
    let mut at = 0;
    while let Some(file) = files.get(at) {
        let text = read(file)?;
        add(&mut hasher, file.as_os_str().as_bytes());
        add(&mut hasher, text.as_deref().unwrap_or_default());
        let folder = file.parent()?.to_owned();
        files.extend(includes(&text.unwrap_or_default()).into_iter().map(|named| folder.join(named)));
        at += 1;
        if files.len() > MAX_FILES {
            return None;
        }
    }
    Some(hasher.finish())
}

/// Whether the digest has the file in this folder.
pub fn is_looked_at(program: &Path, environment: &[(OsString, OsString)], folder: &Path) -> bool {
    let variable = |name: &str| variable(environment, name);
    let home = variable("HOME").map(Path::new);
    home.is_some_and(|home| candidates(program, home, variable).contains(&folder.join(FILE)))
}

fn variable<'e>(environment: &'e [(OsString, OsString)], name: &str) -> Option<&'e OsStr> {
    let found = environment.iter().find(|(set, _)| set == name).map(|(_, value)| value.as_os_str());
    found.filter(|value| !value.is_empty())
}

/// Adds a part, so that where it ends is known.
fn add(hasher: &mut Hasher, part: &[u8]) {
    hasher.update(&(part.len() as u64).to_le_bytes());
    hasher.update(part);
}

/// The files that some version of Nix looks for.
fn candidates<'e>(program: &Path, home: &Path, variable: impl Fn(&str) -> Option<&'e OsStr>) -> Vec<PathBuf> {
    let beside = fs::canonicalize(program).ok().and_then(|program| Some(program.parent()?.parent()?.join("etc/nix")));
    let list = |name: &str| variable(name).map(|text| std::env::split_paths(text).collect::<Vec<_>>());
    let mut folders: Vec<PathBuf> = OWN_FOLDERS.iter().map(PathBuf::from).chain(beside).collect();
    folders.extend(["NIX_CONF_DIR", "NIX_CONFIG_HOME"].iter().filter_map(|name| variable(name)).map(PathBuf::from));
    let users = variable("XDG_CONFIG_HOME").map_or_else(|| home.join(".config"), PathBuf::from);
    let shared = list("XDG_CONFIG_DIRS").unwrap_or_else(|| vec![PathBuf::from("/etc/xdg")]);
    folders.extend(std::iter::once(users).chain(shared).map(|folder| folder.join("nix")));
    let named = list("NIX_USER_CONF_FILES").unwrap_or_default();
    folders.into_iter().map(|folder| folder.join(FILE)).chain(named).collect()
}

/// The text of a file, or that there is none. None where it cannot be read.
#[expect(clippy::option_option, reason = "the outer one is for what cannot be known")]
fn read(path: &Path) -> Option<Option<Vec<u8>>> {
    match regular_file::open(path) {
        Ok(file) => {
            let mut text = Vec::new();
            file.take(MAX_SIZE + 1).read_to_end(&mut text).ok()?;
            (text.len() as u64 <= MAX_SIZE).then_some(Some(text))
        }
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Some(None),
        Err(_) => None,
    }
}

/// The files that a text of settings names.
fn includes(text: &[u8]) -> Vec<PathBuf> {
    let included = |line: &[u8]| {
        let line = line.split(|byte| *byte == b'#').next()?;
        let mut words = line.split(|byte| b" \t\r".contains(byte)).filter(|word| !word.is_empty());
        let is_one = words.next().is_some_and(|word| word == b"include" || word == b"!include");
        words.next().filter(|_| is_one).map(|name| PathBuf::from(OsStr::from_bytes(name)))
    };
    text.split(|byte| *byte == b'\n').filter_map(included).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_and_variable_counts() {
        let dir = tempfile::tempdir().unwrap();
        let (home, program) = (dir.path().join("home"), dir.path().join("nix/bin/nix"));
        for folder in [&home, &dir.path().join("nix/bin")] {
            fs::create_dir_all(folder).unwrap();
        }
        fs::write(&program, "").unwrap();
        let digest = |more: &[(&str, &str)]| {
            let set = [&[("HOME", home.to_str().unwrap())], more].concat();
            digest(&program, &set.iter().map(|(name, value)| (name.into(), value.into())).collect::<Vec<_>>())
        };
        let write = |path: &str, text: &str| {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        let mut seen = vec![digest(&[]).unwrap()];
        let mut is_new = |found: Option<Sha256>| {
            let found = found.unwrap();
            assert!(!seen.contains(&found));
            seen.push(found);
        };
        for (path, text) in [
            ("home/.config/nix/nix.conf", "sandbox = true\n"),
            ("home/.config/nix/nix.conf", "sandbox = false\n!include more # and more\n"),
            ("home/.config/nix/more", "cores = 1\n  include deeper/still\n"),
            ("home/.config/nix/deeper/still", "cores = 2\n"),
            ("nix/etc/nix/nix.conf", "cores = 3\n"),
        ] {
            write(path, text);
            is_new(digest(&[]));
        }
        let named = dir.path().join("named").display().to_string();
        let folder = dir.path().display().to_string();
        write("named", "cores = 4\n");
        for (name, value, file) in [
            ("NIX_USER_CONF_FILES", &named, "named"),
            ("NIX_CONF_DIR", &folder, "nix.conf"),
            ("NIX_CONFIG_HOME", &folder, "nix.conf"),
            ("XDG_CONFIG_HOME", &folder, "nix/nix.conf"),
            ("XDG_CONFIG_DIRS", &folder, "nix/nix.conf"),
        ] {
            is_new(digest(&[(name, value)]));
            write(file, &format!("# {name}"));
            is_new(digest(&[(name, value)]));
        }
        is_new(digest(&[("NIX_CONFIG", "cores = 5")]));
        assert_eq!(digest(&[]), digest(&[]));
    }

    #[test]
    fn names_of_files_end_where_nix_ends_them() {
        let text = b"include a\x0cb\r\n!include\tc # d\nincluded e\n";
        assert_eq!(includes(text), ["a\x0cb", "c"].map(PathBuf::from));
    }

    #[test]
    fn a_folder_that_only_some_builds_of_nix_look_in_is_not_looked_at() {
        let set = [("HOME".into(), "/home/u".into()), ("NIX_CONF_DIR".into(), "/srv/conf".into())];
        let is_looked_at = |folder: &str| is_looked_at(Path::new("/opt/n/bin/nix"), &set, Path::new(folder));
        assert!(is_looked_at("/etc/nix") && is_looked_at("/srv/conf"));
        assert!(!is_looked_at("/srv/other/etc/nix"));
    }

    #[test]
    fn what_cannot_be_known_has_no_digest() {
        let dir = tempfile::tempdir().unwrap();
        let digest = |more: &[(&str, &str)]| {
            let set: Vec<_> = more.iter().map(|(name, value)| (name.into(), value.into())).collect();
            digest(Path::new("/nowhere/bin/nix"), &set)
        };
        let home = ("HOME", dir.path().to_str().unwrap());
        assert!(digest(&[home]).is_some());
        assert!(digest(&[]).is_none(), "no home");
        assert!(digest(&[("HOME", "/proc/1/nowhere")]).is_none(), "nobody's home");
        assert!(digest(&[home, ("NIX_CONFIG", "cores = 1\ninclude x\n")]).is_none());
        let own = dir.path().join(".config/nix");
        fs::create_dir_all(&own).unwrap();
        fs::write(own.join("nix.conf"), "include nix.conf\n").unwrap();
        assert!(digest(&[home]).is_none(), "it includes itself");
        fs::remove_file(own.join("nix.conf")).unwrap();
        fs::create_dir(own.join("nix.conf")).unwrap();
        assert!(digest(&[home]).is_none(), "a folder");
    }
}
