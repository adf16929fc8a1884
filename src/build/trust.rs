//! Whether this user may import derivations and add substituters, found out before anything depends on it.
//!
//! A daemon refuses both to a user whom it does not trust, and some versions of Nix then rebuild everything without an error.
//! Where sudo works without a password the calls go through it.

use std::os::unix::process::ExitStatusExt;
use std::process::Command;

use anyhow::{Result, anyhow, bail};

use super::interrupt;
use crate::nix::store::{self, Store};
use crate::program::{self, TimeLimits};

/// A substituter that does not exist: the question is only whether it would be refused.
const PROBE: &str = "file:///nixdag-probe?trusted=1";

/// How long the question may take.
const PATIENCE: TimeLimits = TimeLimits::seconds(2 * 60, 10 * 60);

/// What Nix says, in every version, to a user who is not trusted.
const REFUSALS: [&str; 2] = ["ignoring untrusted substituter", "because it is a restricted setting"];

/// Why the question has no good answer.
enum Refusal {
    /// The daemon does not trust this user: in its own words.
    Untrusted(String),
    /// Nix could not say, for a reason that has nothing to do with trust.
    Broken(String),
}

/// Gives the store back, through sudo where it has to be; an error names `trusted-users` where that would help.
pub fn establish(store: Store) -> Result<Store> {
    let refusal = match probe(&store) {
        Ok(()) => return Ok(store),
        Err(Refusal::Broken(why)) => bail!("Nix does not work here: {why}"),
        Err(Refusal::Untrusted(refusal)) => refusal,
    };
    if store.uses_sudo() || !sudo_works() {
        return Err(error(&refusal));
    }
    let elevated = store.through_sudo();
    match probe(&elevated) {
        Ok(()) => Ok(elevated),
        Err(Refusal::Untrusted(again)) => Err(error(&again)),
        Err(Refusal::Broken(why)) => bail!("Nix does not work through sudo: {why}"),
    }
}

fn error(refusal: &str) -> anyhow::Error {
    anyhow!(
        "Nix does not let user {} import derivations and add substituters ({refusal}): add the user to `trusted-users` in \
         nix.conf of the machine and restart the daemon, or run as root, or allow sudo without a password",
        user()
    )
}

/// The refusal, if there is one.
fn probe(store: &Store) -> std::result::Result<(), Refusal> {
    let mut command = store.command(&["--realise", "--option", "extra-substituters", PROBE]);
    let output = program::output(&mut command, Vec::new(), PATIENCE, false, || None)
        .map_err(|error| Refusal::Broken(format!("{error:#}")))?;
    let said = String::from_utf8_lossy(&output.stderr);
    if let Some(refusal) = REFUSALS.iter().find(|refusal| said.contains(*refusal)) {
        return Err(Refusal::Untrusted(format!("it says: {refusal}")));
    }
    match (output.status.success(), output.status.signal()) {
        (true, _) => Ok(()),
        (false, Some(signal)) => Err(Refusal::Broken(format!("{} ended it", interrupt::name(signal)))),
        (false, None) => Err(Refusal::Broken(store::complaint(&output.stderr))),
    }
}

fn sudo_works() -> bool {
    let mut command = Command::new("sudo");
    command.args(["-n", "true"]);
    program::output(&mut command, Vec::new(), PATIENCE, false, || None).is_ok_and(|output| output.status.success())
}

fn user() -> String {
    let uid = rustix::process::geteuid().as_raw();
    match std::env::var("USER") {
        Ok(name) if !name.is_empty() => format!("`{name}` (uid {uid})"),
        _ => format!("with uid {uid}"),
    }
}
