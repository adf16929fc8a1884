//! Which files of a source changed, where the store has it as it was and as it is.
//!
//! In: two paths of the store. Out: the paths below them of what differs, in order, or how one file differs. Whoever wrote the sources may have filled them with
//! anything: what is too much to compare has no answer.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{self, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::values::cut;
use crate::printable::printable;
use crate::regular_file;

/// Files and folders that are compared.
const MAX_ENTRIES: usize = 100_000;

/// Bytes of files of the same size that are read.
const MAX_BYTES: u64 = 256 << 20;

/// Bytes of a file whose lines are compared.
const MAX_LINES_OF: u64 = 1 << 20;

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
        if was.len() != is.len() || is_program(was) != is_program(is) {
            return Ok(false);
        }
        self.bytes += is.len();
        if self.bytes > MAX_BYTES {
            return Err(io::Error::other("too much"));
        }
        Ok(bytes(old, is.len() + 1)? == bytes(new, is.len() + 1)?)
    }
}

/// How a source that is a file or a link by itself differs, safe to print: in its first line that does, its size, its mode, its kind. None
/// where that is not known, and for folders.
pub fn content(old: &Path, new: &Path) -> Option<String> {
    let (was, is) = (fs::symlink_metadata(old).ok()?, fs::symlink_metadata(new).ok()?);
    if kind(&was) != kind(&is) {
        return Some(format!("{} -> {}", kind(&was), kind(&is)));
    }
    if is.is_symlink() {
        let target = |path: &Path| Some(printable(&fs::read_link(path).ok()?.to_string_lossy()));
        return Some(format!("to `{}` -> to `{}`", target(old)?, target(new)?));
    }
    if !is.is_file() {
        return None;
    }
    let mode = |data: &Metadata| if is_program(data) { "executable" } else { "not executable" };
    let modes = (is_program(&was) != is_program(&is)).then(|| format!("{} -> {}", mode(&was), mode(&is)));
    let parts = [modes, lines((old, &was), (new, &is))];
    let said: Vec<String> = parts.into_iter().flatten().collect();
    (!said.is_empty()).then(|| said.join("; "))
}

/// The first line that differs, or the sizes of what is no text or too long to compare.
fn lines((old, was): (&Path, &Metadata), (new, is): (&Path, &Metadata)) -> Option<String> {
    let text = |path: &Path| String::from_utf8(bytes(path, MAX_LINES_OF).ok()?).ok();
    let is_short = was.len().max(is.len()) < MAX_LINES_OF;
    let Some((old, new)) = text(old).zip(text(new)).filter(|_| is_short) else {
        return (was.len() != is.len()).then(|| format!("{} -> {} bytes", was.len(), is.len()));
    };
    let (mut before, mut now) = (old.lines(), new.lines());
    for number in 1.. {
        let shown = match (before.next(), now.next()) {
            (Some(before), Some(now)) if before == now => continue,
            (Some(before), Some(now)) => cut(&printable(before), &printable(now)),
            (Some(before), None) => (cut(&printable(before), "").0, "(end of file)".to_owned()),
            (None, Some(now)) => ("(end of file)".to_owned(), cut(&printable(now), "").0),
            (None, None) => break,
        };
        return Some(format!("line {number}: {} -> {}", shown.0, shown.1));
    }
    (old != new).then(|| "line endings".to_owned())
}

fn kind(data: &Metadata) -> &'static str {
    match data.file_type() {
        kind if kind.is_dir() => "a folder",
        kind if kind.is_symlink() => "a link",
        _ => "a file",
    }
}

fn is_program(data: &Metadata) -> bool {
    data.permissions().mode() & 0o111 != 0
}

/// The beginning of a file.
fn bytes(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    regular_file::open(path)?.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
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

    #[test]
    fn of_a_file_that_is_a_source_by_itself_the_first_line_that_differs_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let (old, new) = (folder.path().join("old"), folder.path().join("new"));
        for (was, is, said) in [
            ("a\nb\nc\n", "a\nB\u{7}\nC\n", Some("line 2: b -> B\\u{7}")),
            ("a\n", "a\nb\n", Some("line 2: (end of file) -> b")),
            ("a\nb", "a\n", Some("line 2: b -> (end of file)")),
            ("a", "a\n", Some("line endings")),
            ("a", "a", None),
        ] {
            fs::write(&old, was).unwrap();
            fs::write(&new, is).unwrap();
            assert_eq!(content(&old, &new).as_deref(), said);
        }
        fs::set_permissions(&new, fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(content(&old, &new).unwrap(), "not executable -> executable");
        fs::write(&new, b"\xff\xff").unwrap();
        assert_eq!(content(&old, &new).unwrap(), "not executable -> executable; 1 -> 2 bytes");
        assert_eq!(content(&old, folder.path()).unwrap(), "a file -> a folder");
        assert_eq!(content(folder.path(), folder.path()), None);
        assert_eq!(content(&old, Path::new("/nowhere")), None);
    }
}
