//! A file with a secret that another program opens by its path. On Linux it is in memory and belongs to this process: when that ends,
//! however it ends, nothing is left. Elsewhere it is a file for temporary files that only this user can read.
//!
//! In: text. Out: a path that the user's own processes and the superuser's can open, as long as the value lives.

use std::fs::{File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::Mode;
use tempfile::{NamedTempFile, TempDir, TempPath};

/// Files and folders that this process makes can be written to by its own user alone, whatever the umask says: containers of some CI services have
/// none. To be called while no other thread runs.
pub fn keep_others_from_writing() {
    use rustix::process::umask;
    let others = Mode::WGRP | Mode::WOTH;
    let before = umask(others);
    umask(before | others);
}

/// A folder for temporary files that only this user can look into.
pub fn temporary_folder() -> io::Result<TempDir> {
    tempfile::Builder::new().prefix("nixdag-").permissions(Permissions::from_mode(0o700)).tempdir()
}

/// The file.
#[derive(Debug)]
pub struct PrivateFile {
    path: PathBuf,
    _keeps: Keeps,
}

/// What the path leads to.
#[derive(Debug)]
enum Keeps {
    #[allow(dead_code, reason = "held open")]
    Memory(File),
    #[allow(dead_code, reason = "removed when dropped")]
    Disk(TempPath),
}

impl PrivateFile {
    /// Writes the text.
    pub fn new(text: &str) -> io::Result<Self> {
        if let Some(file) = Self::in_memory(text) {
            return Ok(file);
        }
        let mut file = NamedTempFile::with_prefix("nixdag-")?;
        file.write_all(text.as_bytes())?;
        let path = file.into_temp_path();
        Ok(Self { path: path.to_path_buf(), _keeps: Keeps::Disk(path) })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// None where the system has no such files, or no `/proc`.
    #[cfg(target_os = "linux")]
    fn in_memory(text: &str) -> Option<Self> {
        use rustix::fs::{MemfdFlags, memfd_create};
        use std::os::fd::AsRawFd;
        let mut file = File::from(memfd_create("nixdag", MemfdFlags::CLOEXEC).ok()?);
        file.set_permissions(Permissions::from_mode(0o600)).ok()?;
        file.write_all(text.as_bytes()).ok()?;
        // Not `self`: another program opens it, which may be a daemon.
        let path = PathBuf::from(format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd()));
        File::open(&path).ok()?;
        Some(Self { path, _keeps: Keeps::Memory(file) })
    }

    #[cfg(not(target_os = "linux"))]
    fn in_memory(_: &str) -> Option<Self> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn other_programs_read_it_as_often_as_they_like_while_it_lives() {
        let file = PrivateFile::new("secret").unwrap();
        for _ in 0..2 {
            assert_eq!(Command::new("cat").arg(file.path()).output().unwrap().stdout, b"secret");
        }
        let path = file.path().to_owned();
        drop(file);
        assert!(!path.exists());
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn it_is_in_no_folder() {
        let file = PrivateFile::new("secret").unwrap();
        assert!(file.path().starts_with("/proc"));
    }
}
