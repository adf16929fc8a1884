//! SIGTERM, SIGINT and SIGHUP: asked for by whoever waits, so that Nix is stopped and nothing half-written remains.

use std::process::{Child, Command};
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::{Duration, Instant};

static RECEIVED: AtomicI32 = AtomicI32::new(0);

/// How long Nix may take to end after SIGTERM before it is killed. It ends its builders first.
const GRACE: Duration = Duration::from_secs(10);

extern "C" fn remember(signal: libc::c_int) {
    RECEIVED.store(signal, Ordering::Relaxed);
}

/// From now on these signals are remembered instead of ending the program.
pub fn listen() {
    for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGHUP] {
        let handler: extern "C" fn(libc::c_int) = remember;
        // SAFETY: the handler only stores into an atomic, which is allowed at any moment.
        #[allow(unsafe_code)]
        unsafe {
            libc::signal(signal, handler as libc::sighandler_t);
        }
    }
}

/// The signal that came, if one did.
pub fn received() -> Option<&'static str> {
    match RECEIVED.load(Ordering::Relaxed) {
        0 => None,
        libc::SIGTERM => Some("SIGTERM"),
        libc::SIGINT => Some("SIGINT"),
        _ => Some("SIGHUP"),
    }
}

/// Gives a command a process group of its own, which ends with SIGTERM when the thread that starts it does, however that ends.
pub fn own_group(command: &mut Command) {
    use std::os::unix::process::CommandExt;
    command.process_group(0);
    #[cfg(target_os = "linux")]
    // SAFETY: between fork and exec only one system call is made, and nothing is allocated.
    #[allow(unsafe_code)]
    unsafe {
        command.pre_exec(|| {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM);
            Ok(())
        });
    }
}

/// Ends a child that has its own group: SIGTERM, and SIGKILL where that takes too long.
pub fn stop_group(child: &mut Child) {
    signal_group(child, libc::SIGTERM);
    let start = Instant::now();
    while start.elapsed() < GRACE {
        if !matches!(child.try_wait(), Ok(None)) {
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    signal_group(child, libc::SIGKILL);
    // Nothing survives SIGKILL; what the status says is of no interest.
    let _ = child.wait();
}

fn signal_group(child: &Child, signal: libc::c_int) {
    let Ok(group) = libc::pid_t::try_from(child.id()) else { return };
    // SAFETY: a plain system call; the group is that of a child that has not been waited for.
    #[allow(unsafe_code)]
    unsafe {
        libc::kill(-group, signal);
    }
}
