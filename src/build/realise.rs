//! One `nix-store --realise` after the other, followed while they run.
//!
//! In: store paths to fetch, or derivations to build. Out: whether Nix made all of them; what it said has gone to the [`Tracker`].

use std::io::BufReader;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail};

use super::interrupt;
use super::progress::Tracker;
use crate::nix::log;
use crate::nix::store::{self, Store};
use crate::plan::Job;

/// How often signals are looked for and silence is broken.
const TICK: Duration = Duration::from_millis(100);

/// Events that may wait between the thread that reads and the one that follows.
const QUEUE: usize = 4096;

/// Fetches all paths as far as possible, in as few calls as the argument list allows; true where all of them are there. Nix never builds
/// for a path, so these calls may have what caches want of those who read them.
pub fn fetch(store: &Store, paths: &[&str], tracker: &mut Tracker) -> Result<bool> {
    call(store, paths, tracker)
}

/// Builds all derivations as far as possible, in an environment without secrets; true where all of them succeeded.
pub fn build(store: &Store, derivations: &[&str], job: &Job, tracker: &mut Tracker) -> Result<bool> {
    let named = job.options.environment.iter().map(|(name, value)| (name.into(), value.into()));
    call(&store.clone().for_building(named), derivations, tracker)
}

fn call(store: &Store, paths: &[&str], tracker: &mut Tracker) -> Result<bool> {
    let mut complete = true;
    tracker.begin_round();
    for share in store::shares(paths) {
        let mut command = store.command(&["--realise", "--keep-going"]);
        command.args(share);
        complete &= follow(command, tracker)?;
    }
    Ok(complete)
}

/// Runs a program of Nix to its end, or until a signal comes; true where it succeeded.
fn follow(mut command: Command, tracker: &mut Tracker) -> Result<bool> {
    command.args(["--log-format", "internal-json"]).stdout(Stdio::null()).stderr(Stdio::piped());
    interrupt::own_group(&mut command);
    let mut child = command.spawn().context("cannot run Nix")?;
    let stderr = child.stderr.take().context("Nix has no stderr")?;
    let (sender, receiver) = mpsc::sync_channel(QUEUE);
    let reader = std::thread::spawn(move || {
        log::read(BufReader::with_capacity(256 * 1024, stderr), |event| sender.send(event).is_ok())
    });
    loop {
        match receiver.recv_timeout(TICK) {
            Ok(event) => tracker.take(event, SystemTime::now()),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        if interrupt::received().is_some() {
            interrupt::stop_group(&mut child);
            break;
        }
        tracker.tick(SystemTime::now());
    }
    // Else the thread could wait for room for its next event.
    drop(receiver);
    // What could not be read is a matter of progress lines only; the status says whether Nix succeeded.
    let _ = reader.join();
    let status = child.wait().context("cannot wait for Nix")?;
    let signal = status.signal().filter(|_| interrupt::received().is_none());
    let ended = signal.map(|signal| {
        let name =
            signal_hook::low_level::signal_name(signal).map_or_else(|| format!("signal {signal}"), str::to_owned);
        format!("Nix was ended by {name}")
    });
    tracker.end(ended, SystemTime::now());
    match interrupt::received() {
        Some(signal) => bail!("stopped by {signal}"),
        None => Ok(status.success()),
    }
}
