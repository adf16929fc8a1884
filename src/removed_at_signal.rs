//! Files and folders that do not outlive the program where a signal ends it: temporary ones, and what is written beside its final place.
//!
//! In: paths, as long as they are wanted. Out: nothing; SIGTERM, SIGINT and SIGHUP remove them, and end the program as they would have done
//! without this. A job that builds has better things to do at a signal, see `build::interrupt`, and does not listen here.

use std::fs;
use std::io::Read;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use anyhow::{Context, Result};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::low_level;

static PATHS: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

static RECEIVED: AtomicUsize = AtomicUsize::new(0);

/// A path that is removed where a signal ends the program while this lives.
#[derive(Debug)]
pub struct RemovedAtSignal(PathBuf);

impl RemovedAtSignal {
    /// Removes this path then.
    pub fn new(path: &Path) -> Self {
        paths().push(path.to_owned());
        Self(path.to_owned())
    }
}

impl Drop for RemovedAtSignal {
    fn drop(&mut self) {
        let mut paths = paths();
        if let Some(at) = paths.iter().position(|path| *path == self.0) {
            paths.swap_remove(at);
        }
    }
}

fn paths() -> MutexGuard<'static, Vec<PathBuf>> {
    PATHS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// From now on a signal that ends the program removes first what is to be removed. One that is ignored stays ignored.
pub fn listen() -> Result<()> {
    let (mut reader, writer) = UnixStream::pair().context("cannot wait for signals")?;
    for signal in [SIGTERM, SIGINT, SIGHUP].into_iter().filter(|signal| !is_ignored(*signal)) {
        let what = "cannot wait for signals";
        signal_hook::flag::register_usize(signal, &RECEIVED, signal as usize).context(what)?;
        low_level::pipe::register(signal, writer.try_clone().context(what)?).context(what)?;
    }
    thread::spawn(move || {
        // Nothing is sent before a signal has come.
        if reader.read(&mut [0]).is_ok_and(|count| count > 0) {
            // What is held from here on is not given back: nothing new is to come.
            let paths = paths();
            for path in &*paths {
                // What cannot be removed stays.
                let _ = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
            }
            let signal = i32::try_from(RECEIVED.load(Ordering::Relaxed)).unwrap_or(SIGTERM);
            // It ends the program.
            let _ = low_level::emulate_default_handler(signal);
        }
    });
    Ok(())
}

/// Whether whoever started the program has it ignore a signal, as `nohup` does.
#[cfg(target_os = "linux")]
fn is_ignored(signal: i32) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
}

/// Whether whoever started the program may have it ignore a signal, as `nohup` does.
#[cfg(not(target_os = "linux"))]
fn is_ignored(signal: i32) -> bool {
    signal == SIGHUP
}
