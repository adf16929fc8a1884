//! Whether this user may import derivations and add substituters, found out before anything depends on it.
//!
//! A daemon refuses both to a user whom it does not trust, and some versions of Nix then rebuild everything without an error.
//! Where sudo works without a password the calls go through it.

use std::process::{Command, Stdio};

use anyhow::{Result, anyhow};

use crate::nix::store::{self, Store};

/// A substituter that does not exist: the question is only whether it would be refused.
const PROBE: &str = "file:///nixdag-probe?trusted=1";

/// What Nix says, in every version, to a user who is not trusted.
const REFUSALS: [&str; 2] = ["ignoring untrusted substituter", "because it is a restricted setting"];

/// Gives the store back, through sudo where it has to be; an error names `trusted-users`.
pub fn establish(store: Store) -> Result<Store> {
    let Err(refusal) = probe(&store) else { return Ok(store) };
    if !store.uses_sudo() && sudo_works() {
        let elevated = store.through_sudo();
        return match probe(&elevated) {
            Ok(()) => Ok(elevated),
            Err(again) => Err(error(&again)),
        };
    }
    Err(error(&refusal))
}

fn error(refusal: &str) -> anyhow::Error {
    anyhow!(
        "Nix does not let user {} import derivations and add substituters ({refusal}): add the user to `trusted-users` in \
         nix.conf of the machine and restart the daemon, or run as root, or allow sudo without a password",
        user()
    )
}

/// The refusal, if there is one.
fn probe(store: &Store) -> std::result::Result<(), String> {
    let mut command = store.command(&["--realise", "--option", "extra-substituters", PROBE]);
    match store::run(&mut command) {
        Err(error) => Err(format!("{error:#}")),
        Ok(output) if !output.status.success() => Err(store::complaint(&output.stderr)),
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            match REFUSALS.iter().find(|refusal| said.contains(*refusal)) {
                Some(refusal) => Err(format!("it says: {refusal}")),
                None => Ok(()),
            }
        }
    }
}

fn sudo_works() -> bool {
    Command::new("sudo")
        .args(["-n", "true"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

fn user() -> String {
    let uid = rustix::process::geteuid().as_raw();
    match std::env::var("USER") {
        Ok(name) if !name.is_empty() => format!("`{name}` (uid {uid})"),
        _ => format!("with uid {uid}"),
    }
}
