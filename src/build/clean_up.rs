//! Removes garbage from the store of a machine that outlives its jobs, behind a job, as the settings say. What anything holds stays: roots, and whatever other jobs on the machine are working with.
//!
//! In: limits. Out: lines about how much went. Nothing of this is part of a verdict.

use std::collections::HashSet;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::Result;

use crate::byte_size;
use crate::fleet::keep::Keep;
use crate::nix::store::Store;
use crate::plural::counted;

/// Seconds.
const DAY: u64 = 86_400;

/// Keeps to the limits. `now` in seconds since 1970.
pub fn run(store: &Store, store_dir: &str, keep: &[Keep], now: u64) -> Result<Vec<String>> {
    let mut said = Vec::new();
    for limit in keep {
        match *limit {
            Keep::Days(days) => {
                let gone = remove_older(store, now.saturating_sub(u64::from(days) * DAY))?;
                if gone > 0 {
                    said.push(format!(
                        "{} that nothing needs and that came more than {limit} ago",
                        counted(gone, "path")
                    ));
                }
            }
            Keep::Megabytes(megabytes) => {
                let (bytes, most) = (store.bytes(store_dir)?, u64::from(megabytes) * 1_000_000);
                if bytes > most {
                    store.collect(bytes - most)?;
                    let left = store.bytes(store_dir)?;
                    let removed = byte_size::text(bytes.saturating_sub(left));
                    said.push(format!("{removed} of {}, to keep {limit}", byte_size::text(bytes)));
                }
            }
        }
    }
    Ok(said)
}

/// Removes garbage that came before a time, in seconds since 1970, and that no younger garbage refers to. Gives how many paths went.
fn remove_older(store: &Store, time: u64) -> Result<u64> {
    let dead = store.dead()?;
    // Nix sets the time of a path's last change itself, but not the time of its inode, which is that of its arrival.
    let is_old = |path: &&String| {
        std::fs::symlink_metadata(path).is_ok_and(|data| u64::try_from(data.ctime()).is_ok_and(|at| at < time))
    };
    let (old, young): (Vec<&String>, Vec<&String>) = dead.iter().partition(is_old);
    if old.is_empty() {
        return Ok(0);
    }
    let young: Vec<&str> = young.into_iter().map(String::as_str).collect();
    let invalid: HashSet<String> = store.invalid(&young)?.into_iter().collect();
    let valid: Vec<&str> = young.into_iter().filter(|path| !invalid.contains(*path)).collect();
    let needed: HashSet<String> =
        if valid.is_empty() { HashSet::new() } else { store.requisites(&valid)?.into_iter().collect() };
    let old: Vec<&str> = old.into_iter().map(String::as_str).filter(|path| !needed.contains(*path)).collect();
    store.delete(&old)?;
    Ok(old.iter().filter(|path| !Path::new(path).exists()).count() as u64)
}
