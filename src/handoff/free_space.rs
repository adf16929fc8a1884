//! How much room a file system has left, for messages about a full one.

use std::ffi::CString;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Bytes that an ordinary user can still write to the file system of `path`; none where nobody can say.
pub fn bytes(path: &Path) -> Option<u64> {
    let path = CString::new(path.as_os_str().as_bytes()).ok()?;
    let mut answer = std::mem::MaybeUninit::<libc::statvfs>::uninit();
    // SAFETY: `path` ends with a zero byte and `answer` has room for what the call writes.
    #[allow(unsafe_code)]
    let answer = unsafe {
        if libc::statvfs(path.as_ptr(), answer.as_mut_ptr()) != 0 {
            return None;
        }
        answer.assume_init()
    };
    // The types of these fields differ between platforms.
    #[allow(clippy::unnecessary_cast)]
    Some((answer.f_bavail as u64).saturating_mul(answer.f_frsize as u64))
}

/// What to say where writing `what` of at most `needed` bytes into `dir` failed: for a full disk how much was needed.
pub fn explain(error: &io::Error, what: &str, needed: u64, dir: &Path) -> String {
    if error.kind() == io::ErrorKind::StorageFull || error.raw_os_error() == Some(libc::EDQUOT) {
        let free = bytes(dir).map_or_else(|| "an unknown number of".to_owned(), |free| free.to_string());
        format!("no room for {what}: up to {needed} bytes needed, {free} bytes free in `{}`", dir.display())
    } else {
        format!("cannot write {what} to `{}`", dir.display())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_real_folder_has_some_room_and_an_absent_one_no_answer() {
        let dir = tempfile::tempdir().unwrap();
        assert!(bytes(dir.path()).unwrap() > 0);
        assert_eq!(bytes(&dir.path().join("absent")), None);
    }

    #[test]
    fn a_full_disk_is_told_with_figures() {
        let full = io::Error::from_raw_os_error(libc::ENOSPC);
        let text = explain(&full, "the hand-off", 123, Path::new("/"));
        assert!(text.contains("up to 123 bytes needed"), "{text}");
        let other = io::Error::from_raw_os_error(libc::EACCES);
        assert_eq!(explain(&other, "the hand-off", 123, Path::new("/")), "cannot write the hand-off to `/`");
    }
}
