//! A folder that all workers see, as a store of names: a file for each name, made by a hard link, which fails where the name is there.
//!
//! Whoever can write to the folder of a run is believed, so it has to be this user's. It stays open: nobody can put another one in its place.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, ensure};
use ring::rand::{SecureRandom, SystemRandom};
use rustix::fs::{AtFlags, Dir, Mode, OFlags, linkat, openat, statat, unlinkat};
use rustix::io::Errno;

use super::{MOST_NAMES, Made, NameStore};
use crate::folder_owner;
use crate::regular_file;

/// How the name of a file begins that is not whole yet.
const TEMPORARY: &str = ".tmp-";

/// A folder.
#[derive(Debug)]
pub struct FolderStore {
    dir: PathBuf,
    /// The folder itself; none where it is not there and nothing is to be made.
    open: Option<File>,
}

impl FolderStore {
    /// Opens the folder of a run, which is made where it is not there.
    pub fn open(dir: &Path, run: &str) -> Result<Self> {
        folder_owner::check(dir)?;
        let what = || format!("cannot create `{}`", dir.join(run).display());
        fs::create_dir_all(dir).with_context(what)?;
        match DirBuilder::new().mode(0o755).create(dir.join(run)) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error).with_context(what),
            _ => Self::look(dir, run),
        }
    }

    /// Opens the folder of a run to read what is in it, which is nothing where it is not there.
    pub fn look(dir: &Path, run: &str) -> Result<Self> {
        folder_owner::check(dir)?;
        let dir = dir.join(run);
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW;
        let open = match File::options().read(true).custom_flags(flags.bits().cast_signed()).open(&dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            open => Some(open.with_context(|| format!("cannot open `{}`", dir.display()))?),
        };
        let store = Self { dir, open };
        store.check()?;
        Ok(store)
    }

    /// Refuses a folder in which somebody else can make names.
    fn check(&self) -> Result<()> {
        let Some(open) = &self.open else { return Ok(()) };
        let found = open.metadata()?;
        // Where it cannot be written to, this user has no other number there.
        let made = Temporary::new(open).and_then(|file| Ok(file.file.metadata()?.uid())).ok();
        folder_owner::check_private(&self.dir, (found.uid(), found.mode()), made)
    }

    fn opened(&self) -> Result<&File> {
        self.open.as_ref().with_context(|| format!("`{}` is not there", self.dir.display()))
    }

    /// Opens a name that may be anything; none where it is not there.
    fn open_file(&self, name: &str) -> io::Result<Option<File>> {
        let Some(open) = &self.open else { return Ok(None) };
        match openat(open, name, OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK, Mode::empty()) {
            Ok(file) => regular_file::checked(file.into()).map(Some),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

/// A file that has no name of the protocol yet.
struct Temporary<'a> {
    folder: &'a File,
    name: String,
    file: File,
}

impl<'a> Temporary<'a> {
    fn new(folder: &'a File) -> Result<Self> {
        let mut word = [0; 8];
        SystemRandom::new().fill(&mut word).map_err(|_| anyhow!("this machine has no randomness"))?;
        let name = format!("{TEMPORARY}{:016x}", u64::from_be_bytes(word));
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
        let file = openat(folder, &name, flags, Mode::from(0o644))?.into();
        Ok(Self { folder, name, file })
    }
}

impl Drop for Temporary<'_> {
    fn drop(&mut self) {
        let _ = unlinkat(self.folder, &self.name, AtFlags::empty());
    }
}

impl NameStore for FolderStore {
    fn create(&self, name: &str, file: &Path) -> Result<Made> {
        let what = || format!("cannot make `{name}` in `{}`", self.dir.display());
        let folder = self.opened()?;
        let mut whole = Temporary::new(folder).with_context(what)?;
        io::copy(&mut File::open(file).with_context(what)?, &mut whole.file).with_context(what)?;
        match linkat(folder, &whole.name, folder, name, AtFlags::empty()) {
            Ok(()) => Ok(Made::Made),
            // A server of files may have made the link and lost the answer: a file with two names has been linked.
            Err(_) if statat(folder, &whole.name, AtFlags::empty()).is_ok_and(|found| found.st_nlink == 2) => {
                Ok(Made::Made)
            }
            Err(Errno::EXIST) => Ok(Made::Taken),
            Err(error) => Err(error).with_context(|| format!("{} (workers need a folder with hard links)", what())),
        }
    }

    fn list(&self) -> Result<Vec<String>> {
        let what = || format!("cannot read `{}`", self.dir.display());
        let mut names = Vec::new();
        let Some(open) = &self.open else { return Ok(names) };
        for entry in Dir::read_from(open).with_context(what)? {
            let entry = entry.with_context(what)?;
            let name = entry.file_name().to_str().unwrap_or_default();
            if !["", ".", ".."].contains(&name) && !name.starts_with(TEMPORARY) {
                ensure!(names.len() < MOST_NAMES, "`{}` has more than {MOST_NAMES} names", self.dir.display());
                names.push(name.to_owned());
            }
        }
        Ok(names)
    }

    fn read(&self, name: &str, limit: u64) -> Result<Option<Vec<u8>>> {
        let file = match self.open_file(name) {
            Err(error) if is_no_file(&error) => return Ok(None),
            file => file.with_context(|| format!("cannot read `{name}` in `{}`", self.dir.display()))?,
        };
        let Some(file) = file else { return Ok(None) };
        let mut bytes = Vec::new();
        file.take(limit + 1).read_to_end(&mut bytes).with_context(|| format!("cannot read `{name}`"))?;
        Ok((bytes.len() as u64 <= limit).then_some(bytes))
    }

    fn fetch(&self, name: &str, to: &Path, limit: u64) -> Result<Option<u64>> {
        let file = self.open_file(name).with_context(|| format!("cannot read `{name}` in `{}`", self.dir.display()))?;
        let Some(file) = file else { return Ok(None) };
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
    errno.is_none_or(|errno| matches!(errno, Errno::ACCESS | Errno::LOOP | Errno::NXIO))
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

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

    #[test]
    fn a_folder_that_others_can_fill_is_not_believed_and_one_that_is_not_there_is_empty() {
        let root = tempfile::tempdir().unwrap();
        let names = root.path().join("names");
        let run = names.join("run");
        let none = FolderStore::look(&names, "run").unwrap();
        assert!(!names.exists() && none.list().unwrap().is_empty() && none.read("claim-0-0", 9).unwrap().is_none());
        FolderStore::open(&names, "run").unwrap();
        let refused = |why: &str| {
            for store in [FolderStore::open(&names, "run"), FolderStore::look(&names, "run")] {
                let said = store.unwrap_err().to_string();
                assert!(said.contains(why), "{said}");
            }
        };
        for mode in [0o777, 0o1777, 0o775, 0o757] {
            fs::set_permissions(&run, Permissions::from_mode(mode)).unwrap();
            refused("can write to it");
        }
        fs::set_permissions(&run, Permissions::from_mode(0o755)).unwrap();
        let store = FolderStore::open(&names, "run").unwrap();
        // Only the superuser can give something away.
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(&run, Some(1234), None).unwrap();
            refused("belongs to another user (the one with number 1234)");
            std::os::unix::fs::chown(&run, Some(0), None).unwrap();
        }
        // Another one in its place changes nothing.
        fs::rename(&run, names.join("away")).unwrap();
        fs::create_dir(&run).unwrap();
        fs::write(run.join("claim-0-0"), "forged").unwrap();
        assert!(store.list().unwrap().is_empty() && store.read("claim-0-0", 9).unwrap().is_none());
        fs::remove_dir_all(&run).unwrap();
        std::os::unix::fs::symlink("away", &run).unwrap();
        refused("cannot open");
    }
}
