//! Keeps collections of garbage waiting while Nix builds content-addressed derivations. No version of Nix holds their outputs before somebody
//! names them as roots, and nobody knows their paths before: without this a collection at the wrong moment takes an output from under its own
//! build, or before what needs it has begun.
//!
//! In: the store's folder. Out: Nix's lock for collections (`gc.lock` beside its database), shared with all that Nix itself does but collecting.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use rustix::fs::{FlockOperation, flock};

use super::interrupt;

/// How often the lock is tried while somebody collects.
const TICK: Duration = Duration::from_millis(100);

/// No collection begins while this is there.
#[derive(Debug)]
pub struct GarbageLock {
    /// Closing it gives the lock back.
    _file: File,
}

impl GarbageLock {
    /// Waits for a collection that goes on, and takes the lock. None where this user may not: behind a daemon it is the superuser's.
    pub fn take(store_dir: &str) -> Result<Option<Self>> {
        let Ok(file) = File::open(path(store_dir)) else { return Ok(None) };
        loop {
            match flock(&file, FlockOperation::NonBlockingLockShared) {
                Ok(()) => return Ok(Some(Self { _file: file })),
                Err(rustix::io::Errno::WOULDBLOCK) => interrupt::pause(TICK)?,
                Err(_) => return Ok(None),
            }
        }
    }
}

fn path(store_dir: &str) -> PathBuf {
    let beside = || Path::new(store_dir).parent().unwrap_or(Path::new("/")).join("var/nix");
    std::env::var_os("NIX_STATE_DIR").map_or_else(beside, PathBuf::from).join("gc.lock")
}
