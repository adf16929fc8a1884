//! Opens files in folders that somebody else has filled. Where a file should be there may be a pipe, which would be waited for
//! without end, or a device.

use std::fs::File;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::OFlags;

/// For opening what may be a pipe: nobody waits for somebody at its other end.
pub const NO_WAITING: i32 = OFlags::NONBLOCK.bits().cast_signed();

/// Opens a regular file, or a link to one, for reading. Anything else is an error, at once.
pub fn open(path: &Path) -> io::Result<File> {
    checked(File::options().read(true).custom_flags(NO_WAITING).open(path)?)
}

/// The same for what is open already, in that way.
pub fn checked(file: File) -> io::Result<File> {
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::Error::other("it is not a regular file")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pipes_devices_and_folders_are_refused_without_waiting() {
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        for path in [&pipe, Path::new("/dev/zero"), dir.path()] {
            assert_eq!(open(path).unwrap_err().to_string(), "it is not a regular file", "{}", path.display());
        }
        let file = dir.path().join("file");
        std::fs::write(&file, "text").unwrap();
        std::os::unix::fs::symlink("file", dir.path().join("link")).unwrap();
        for path in [file, dir.path().join("link")] {
            assert_eq!(io::read_to_string(open(&path).unwrap()).unwrap(), "text");
        }
        assert_eq!(open(&dir.path().join("none")).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
