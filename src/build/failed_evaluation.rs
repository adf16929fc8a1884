//! What is said of an attribute whose evaluation failed since something had to be built for it.
//!
//! In: what Nix said of that build. Out: one line with the derivation at fault, the class of its failure and the end of its log.

use std::fs;

use super::evidence::{self, Evidence};
use crate::nix::derivation::Derivation;
use crate::nix::evaluate::failed_build::FailedBuild;

/// The line.
pub fn message(build: &FailedBuild) -> String {
    let FailedBuild { derivation, reason, log, place } = build;
    let bytes = fs::read(derivation).unwrap_or_default();
    let is_fixed_output = Derivation::parse(&bytes).is_ok_and(|drv| drv.is_fixed_output());
    let class = evidence::class(&Evidence { message: reason, log: &log.join("\n"), is_fixed_output, has_room: false });
    let log = if log.is_empty() { String::new() } else { format!("; its log ends: {}", log.join(" | ")) };
    let place = place.as_ref().map(|place| format!(" (at {place})")).unwrap_or_default();
    let (name, text) = (class.name(), class.text());
    format!("evaluation needs `{derivation}`, which failed ({name}): {text}: {reason}{log}; {}{place}", class.next())
}
