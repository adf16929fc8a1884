//! SIGTERM, SIGINT and SIGHUP: asked for by whoever waits, so that Nix is stopped and nothing half-written remains.

use std::process::{Child, Command};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process_group};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::nix::command::end_with_parent;

static RECEIVED: AtomicUsize = AtomicUsize::new(0);

/// How long Nix may take to end after SIGTERM before it is killed. It ends its builders first.
const GRACE: Duration = Duration::from_secs(10);

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

/// Ends a child that has its own group: SIGTERM, and SIGKILL where that takes too long.
pub fn stop_group(child: &mut Child) {
    signal_group(child, Signal::TERM);
    let start = Instant::now();
    while start.elapsed() < GRACE {
        if !matches!(child.try_wait(), Ok(None)) {
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    signal_group(child, Signal::KILL);
    // Nothing survives SIGKILL; what the status says is of no interest.
    let _ = child.wait();
}

fn signal_group(child: &Child, signal: Signal) {
    // It fails only for a group that has ended; the child has not been waited for, so the number is still its own.
    let _ = kill_process_group(Pid::from_child(child), signal);
}
