//! SIGTERM, SIGINT and SIGHUP: asked for by whoever waits, so that Nix is stopped and nothing half-written remains.

use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::Signal;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::nix::command::end_with_parent;

static RECEIVED: AtomicUsize = AtomicUsize::new(0);

/// When somebody first saw that a signal had come.
static SEEN: OnceLock<Instant> = OnceLock::new();

/// How long what was built is still pushed after a signal. Who sends SIGTERM gives ten seconds until SIGKILL, as a rule.
const GRACE: Duration = Duration::from_secs(8);

/// From now on these signals are remembered instead of ending the program.
pub fn listen() -> Result<()> {
    for signal in [SIGTERM, SIGINT, SIGHUP] {
        signal_hook::flag::register_usize(signal, &RECEIVED, signal as usize).context("cannot wait for signals")?;
    }
    Ok(())
}

/// The signal that came, if one did.
pub fn received() -> Option<&'static str> {
    // No signal is number 0.
    signal_hook::low_level::signal_name(RECEIVED.load(Ordering::Relaxed) as i32)
}

/// True once a signal has come and the time is over in which what was built is pushed.
pub fn is_over() -> bool {
    received().is_some() && SEEN.get_or_init(Instant::now).elapsed() > GRACE
}

/// A signal's name, of one that has ended a process.
pub fn name(signal: i32) -> String {
    signal_hook::low_level::signal_name(signal).map_or_else(|| format!("signal {signal}"), str::to_owned)
}

/// Gives a command a process group of its own, which ends with SIGTERM when the thread that starts it does, however that ends.
pub fn own_group(command: &mut Command) {
    use std::os::unix::process::CommandExt;
    command.process_group(0);
    end_with_parent(command, Signal::TERM);
}

/// Waits, unless a signal comes.
pub fn pause(wait: Duration) -> Result<()> {
    let start = Instant::now();
    while start.elapsed() < wait {
        if let Some(signal) = received() {
            bail!("stopped by {signal}");
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}
