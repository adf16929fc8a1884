//! The lock that Nix holds beside each output while it builds, `<output>.lock`: it tells a build that goes on from one that has ended,
//! and how that ended, before Nix says so.

use std::fs::File;
use std::io;
use std::path::Path;

use rustix::fs::{FlockOperation, flock};

/// The locks of one derivation's outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lock {
    /// Held, or not to be looked at by this user: the build may go on.
    Held,
    /// Left there and held by nobody: the build has ended without being registered, or Nix has died.
    Left,
    /// Removed: the outputs are registered.
    Gone,
}

/// Looks at the locks of these outputs.
pub fn of(outputs: impl Iterator<Item = String>) -> Lock {
    let mut found = Lock::Gone;
    for output in outputs {
        match one(Path::new(&format!("{output}.lock"))) {
            Lock::Held => return Lock::Held,
            Lock::Left => found = Lock::Left,
            Lock::Gone => {}
        }
    }
    found
}

fn one(path: &Path) -> Lock {
    match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Lock::Gone,
        Err(_) => Lock::Held,
        // Shared and given back at once: it never keeps another reader out, and Nix takes it anew only for another build.
        Ok(file) => match flock(&file, FlockOperation::NonBlockingLockShared) {
            Ok(()) => Lock::Left,
            Err(_) => Lock::Held,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_held_left_or_gone() {
        let dir = tempfile::tempdir().unwrap();
        let output = |name: &str| dir.path().join(name).display().to_string();
        assert_eq!(of([output("a")].into_iter()), Lock::Gone);
        let held = File::create(dir.path().join("a.lock")).unwrap();
        flock(&held, FlockOperation::LockExclusive).unwrap();
        assert_eq!(of([output("b"), output("a")].into_iter()), Lock::Held);
        drop(held);
        assert_eq!(of([output("b"), output("a")].into_iter()), Lock::Left);
    }
}
