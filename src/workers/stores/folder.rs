//! A folder that all workers see, as a store of names: a file for each name, made by a hard link, which fails where the name is there.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use rustix::io::Errno;
use tempfile::NamedTempFile;

use super::{MOST_NAMES, Made, NameStore};
use crate::folder_owner;
use crate::regular_file;

/// How the name of a file begins that is not whole yet.
const TEMPORARY: &str = ".tmp-";

/// A folder.
#[derive(Debug)]
pub struct FolderStore {
    dir: PathBuf,
}

impl FolderStore {
    /// Opens the folder of a run, which is made where it is not there.
    pub fn open(dir: &Path, run: &str) -> Result<Self> {
        folder_owner::check(dir)?;
        let dir = dir.join(run);
        fs::create_dir_all(&dir).with_context(|| format!("cannot create `{}`", dir.display()))?;
        Ok(Self { dir })
    }

    fn open_file(&self, name: &str) -> Result<Option<File>> {
        match regular_file::open(&self.dir.join(name)) {
            Ok(file) => Ok(Some(file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("cannot read `{name}` in `{}`", self.dir.display())),
        }
    }
}

impl NameStore for FolderStore {
    fn create(&self, name: &str, file: &Path) -> Result<Made> {
        let what = || format!("cannot make `{name}` in `{}`", self.dir.display());
        let mut whole = NamedTempFile::with_prefix_in(TEMPORARY, &self.dir).with_context(what)?;
        io::copy(&mut File::open(file).with_context(what)?, &mut whole).with_context(what)?;
        match fs::hard_link(whole.path(), self.dir.join(name)) {
            Ok(()) => Ok(Made::Made),
            // A server of files may have made the link and lost the answer: a file with two names has been linked.
            Err(_) if fs::metadata(whole.path()).is_ok_and(|found| found.nlink() == 2) => Ok(Made::Made),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(Made::Taken),
            Err(error) => Err(error).with_context(|| format!("{} (workers need a folder with hard links)", what())),
        }
    }

    fn list(&self) -> Result<Vec<String>> {
        let what = || format!("cannot read `{}`", self.dir.display());
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.dir).with_context(what)? {
            let name = entry.with_context(what)?.file_name().into_string().unwrap_or_default();
            if !name.is_empty() && !name.starts_with(TEMPORARY) {
                ensure!(names.len() < MOST_NAMES, "`{}` has more than {MOST_NAMES} names", self.dir.display());
                names.push(name);
            }
        }
        Ok(names)
    }

    fn read(&self, name: &str, limit: u64) -> Result<Option<Vec<u8>>> {
        let file = match regular_file::open(&self.dir.join(name)) {
            Err(error) if is_no_file(&error) => return Ok(None),
            file => file.with_context(|| format!("cannot read `{name}` in `{}`", self.dir.display()))?,
        };
        let mut bytes = Vec::new();
        file.take(limit + 1).read_to_end(&mut bytes).with_context(|| format!("cannot read `{name}`"))?;
        Ok((bytes.len() as u64 <= limit).then_some(bytes))
    }

    fn fetch(&self, name: &str, to: &Path, limit: u64) -> Result<Option<u64>> {
        let Some(file) = self.open_file(name)? else { return Ok(None) };
        let mut into = File::create_new(to).with_context(|| format!("cannot make `{}`", to.display()))?;
        let size = io::copy(&mut file.take(limit + 1), &mut into).with_context(|| format!("cannot fetch `{name}`"))?;
        ensure!(size <= limit, "`{name}` has more than {limit} bytes");
        Ok(Some(size))
    }

    fn folder(&self) -> Option<&Path> {
        Some(&self.dir)
    }
}

/// True where there is no file that this user may read, and not only a server of files that does not answer: a folder, a pipe, a link that leads nowhere.
fn is_no_file(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw_os_error);
    errno.is_none_or(|errno| matches!(errno, Errno::NOENT | Errno::ACCESS | Errno::LOOP | Errno::NXIO))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_that_make_a_name_one_has_made_it_and_the_name_holds_what_that_one_wrote() {
        let root = tempfile::tempdir().unwrap();
        let store = FolderStore::open(&root.path().join("names"), "run").unwrap();
        let contents: Vec<PathBuf> = (0..8).map(|number| root.path().join(format!("{number}"))).collect();
        contents.iter().for_each(|file| fs::write(file, file.to_str().unwrap()).unwrap());
        let made: Vec<Made> = std::thread::scope(|scope| {
            let create = |file| store.create("claim-0-0", file).unwrap();
            let threads: Vec<_> = contents.iter().map(|file| scope.spawn(move || create(file))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let winners: Vec<usize> = (0..8).filter(|&at| made[at] == Made::Made).collect();
        assert_eq!(winners.len(), 1);
        assert_eq!(made.iter().filter(|&&made| made == Made::Taken).count(), 7);
        let winner = contents[winners[0]].to_str().unwrap().as_bytes();
        assert_eq!(store.read("claim-0-0", 1000).unwrap().unwrap(), winner);
        assert_eq!(store.list().unwrap(), ["claim-0-0"]);
        let other = FolderStore::open(&root.path().join("names"), "other run").unwrap();
        assert_eq!(other.list().unwrap(), [""; 0]);
    }

    #[test]
    fn contents_are_bounded_and_what_is_not_a_file_is_refused() {
        let root = tempfile::tempdir().unwrap();
        let store = FolderStore::open(root.path(), "run").unwrap();
        let file = root.path().join("file");
        fs::write(&file, "12345").unwrap();
        store.create("a", &file).unwrap();
        assert!(store.read("a", 4).unwrap().is_none() && store.read("a", 5).unwrap().is_some());
        assert!(store.fetch("a", &root.path().join("to"), 4).is_err());
        assert_eq!(store.fetch("a", &root.path().join("whole"), 5).unwrap(), Some(5));
        assert_eq!(
            (store.read("b", 5).unwrap(), store.fetch("b", &root.path().join("none"), 5).unwrap()),
            (None, None)
        );
        assert!(store.fetch("a", &root.path().join("whole"), 5).is_err(), "nothing is overwritten");
        fs::create_dir(root.path().join("run/folder")).unwrap();
        std::os::unix::fs::symlink("loop", root.path().join("run/loop")).unwrap();
        std::os::unix::net::UnixListener::bind(root.path().join("run/socket")).unwrap();
        for name in ["folder", "loop", "socket"] {
            assert_eq!(store.read(name, 5).unwrap(), None, "{name}");
            assert!(store.fetch(name, &root.path().join(name), 5).is_err(), "{name}");
        }
    }
}
