//! How much room a file system has left, for messages about a full one.

use std::io;
use std::path::Path;

/// Bytes that an ordinary user can still write to the file system of `path`; none where nobody can say.
pub fn bytes(path: &Path) -> Option<u64> {
    let answer = rustix::fs::statvfs(path).ok()?;
    Some(answer.f_bavail.saturating_mul(answer.f_frsize))
}

/// The same where the file system is known to store files as they are: on others they may take less than their bytes.
pub fn of_plain_files(path: &Path) -> Option<u64> {
    is_plain(path).then(|| bytes(path)).flatten()
}

#[cfg(target_os = "linux")]
fn is_plain(path: &Path) -> bool {
    /// Numbers of ext2 to ext4, XFS and tmpfs, see statfs(2).
    const PLAIN: [u64; 3] = [0xef53, 0x5846_5342, 0x0102_1994];
    rustix::fs::statfs(path).is_ok_and(|answer| PLAIN.contains(&u64::try_from(answer.f_type).unwrap_or(0)))
}

#[cfg(not(target_os = "linux"))]
fn is_plain(_: &Path) -> bool {
    false
}

/// What to say where writing `what` of at most `needed` bytes into `dir` failed: for a full disk how much was needed.
pub fn explain(error: &io::Error, what: &str, needed: u64, dir: &Path) -> String {
    if matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) {
        let free = bytes(dir).map_or_else(|| "an unknown number of".to_owned(), |free| free.to_string());
        format!("no room for {what}: up to {needed} bytes needed, {free} bytes free in `{}`", dir.display())
    } else {
        format!("cannot write {what} to `{}`", dir.display())
    }
}

#[cfg(test)]
mod tests {
    use rustix::io::Errno;

    use super::*;

    #[test]
    fn a_real_folder_has_some_room_and_an_absent_one_no_answer() {
        let dir = tempfile::tempdir().unwrap();
        assert!(bytes(dir.path()).unwrap() > 0);
        assert_eq!(bytes(&dir.path().join("absent")), None);
        assert_eq!(bytes(Path::new("a\0b")), None);
    }

    #[test]
    fn a_full_disk_is_told_with_figures() {
        for full in [Errno::NOSPC, Errno::DQUOT] {
            let text = explain(&full.into(), "the hand-off", 123, Path::new("/"));
            assert!(text.contains("up to 123 bytes needed"), "{text}");
        }
        let other = Errno::ACCESS.into();
        assert_eq!(explain(&other, "the hand-off", 123, Path::new("/")), "cannot write the hand-off to `/`");
    }
}
