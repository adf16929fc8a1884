//! Which files of a source changed, where the store has it as it was and as it is.
//!
//! In: two paths of the store. Out: the paths below them of what differs, in order. Whoever wrote the sources may have filled them with
//! anything: what is too much to compare has no answer.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{self, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::printable::printable;
use crate::regular_file;

/// Files and folders that are compared.
const MAX_ENTRIES: usize = 100_000;

/// Bytes of files of the same size that are read.
const MAX_BYTES: u64 = 256 << 20;

/// Differences that are listed.
const MAX_LISTED: usize = 1000;

/// The files that differ, safe to print; none where that is not known. Of a file that is a source by itself there is nothing to list.
pub fn differing(old: &Path, new: &Path) -> Vec<String> {
    if !old.is_dir() || !new.is_dir() {
        return Vec::new();
    }
    let mut search = FileComparison { old, new, entries: 0, bytes: 0, found: Vec::new() };
    match search.folder(Path::new("")) {
        Ok(()) => search.found.iter().map(|path| printable(&path.to_string_lossy())).collect(),
        Err(_) => Vec::new(),
    }
}

struct FileComparison<'p> {
    old: &'p Path,
    new: &'p Path,
    entries: usize,
    bytes: u64,
    found: Vec<PathBuf>,
}

impl FileComparison<'_> {
    fn folder(&mut self, below: &Path) -> io::Result<()> {
        let names = names(&self.old.join(below))?.into_iter().chain(names(&self.new.join(below))?);
        for name in names.collect::<BTreeSet<OsString>>() {
            self.entries += 1;
            if self.entries > MAX_ENTRIES || self.found.len() >= MAX_LISTED {
                return Err(io::Error::other("too much"));
            }
            self.entry(&below.join(name))?;
        }
        Ok(())
    }

    fn entry(&mut self, path: &Path) -> io::Result<()> {
        let (old, new) = (self.old.join(path), self.new.join(path));
        let (was, is) = (fs::symlink_metadata(&old).ok(), fs::symlink_metadata(&new).ok());
        let same = match (&was, &is) {
            (Some(was), Some(is)) if was.is_dir() && is.is_dir() => return self.folder(path),
            (Some(was), Some(is)) if was.is_file() && is.is_file() => self.same_file((&old, was), (&new, is))?,
            (Some(was), Some(is)) if was.is_symlink() && is.is_symlink() => {
                fs::read_link(&old)? == fs::read_link(&new)?
            }
            _ => false,
        };
        if !same {
            self.found.push(path.to_owned());
        }
        Ok(())
    }

    fn same_file(&mut self, (old, was): (&Path, &Metadata), (new, is): (&Path, &Metadata)) -> io::Result<bool> {
        let is_program = |data: &Metadata| data.permissions().mode() & 0o111 != 0;
        if was.len() != is.len() || is_program(was) != is_program(is) {
            return Ok(false);
        }
        self.bytes += is.len();
        if self.bytes > MAX_BYTES {
            return Err(io::Error::other("too much"));
        }
        let content = |path: &Path| -> io::Result<Vec<u8>> {
            let mut bytes = Vec::new();
            regular_file::open(path)?.take(is.len() + 1).read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        Ok(content(old)? == content(new)?)
    }
}

fn names(folder: &Path) -> io::Result<Vec<OsString>> {
    fs::read_dir(folder)?.take(MAX_ENTRIES + 1).map(|entry| Ok(entry?.file_name())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_differ_in_any_way_are_listed() {
        let (old, new) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for (at, content) in [(&old, "1"), (&new, "2")] {
            fs::create_dir_all(at.path().join("d/e")).unwrap();
            fs::write(at.path().join("d/e/same"), "same").unwrap();
            fs::write(at.path().join("d/changed"), content).unwrap();
            fs::write(at.path().join(format!("only\n{content}")), "").unwrap();
            fs::write(at.path().join("program"), "").unwrap();
            std::os::unix::fs::symlink(format!("to-{content}"), at.path().join("link")).unwrap();
        }
        fs::set_permissions(new.path().join("program"), fs::Permissions::from_mode(0o755)).unwrap();
        fs::write(old.path().join("kind"), "").unwrap();
        fs::create_dir(new.path().join("kind")).unwrap();
        let found = differing(old.path(), new.path());
        assert_eq!(found, ["d/changed", "kind", "link", "only\\n1", "only\\n2", "program"]);
        assert!(differing(old.path(), old.path()).is_empty());
        assert!(differing(&old.path().join("kind"), new.path()).is_empty(), "a file has no files");
        assert!(differing(Path::new("/nowhere"), new.path()).is_empty());
    }
}
