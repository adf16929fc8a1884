//! What may fail without making the pipeline red: targets by attribute, and packages that nixpkgs refuses to evaluate by kind. Such a
//! failure still shows: a target that may fail has a job of its own, which the gate does not wait for. What a final job builds may not fail.

use super::evaluation_errors::Refused;
use super::{Plan, SkipReason};
use crate::attribute::AttributePath;
use crate::pattern::Pattern;

/// One entry of `allow_failure`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AllowedFailure {
    /// Attributes that may fail in any way, with all below them.
    Attributes(Pattern),
    /// Packages that nixpkgs refuses for this reason.
    Refused(Refused),
}

/// True for an attribute that may fail in any way.
pub fn allows(allowed: &[AllowedFailure], attribute: &AttributePath) -> bool {
    allowed.iter().any(
        |entry| matches!(entry, AllowedFailure::Attributes(pattern) if pattern.matches_at_or_above(attribute.names())),
    )
}

/// True for an attribute that may fail to evaluate with this message.
pub fn allows_message(allowed: &[AllowedFailure], attribute: &AttributePath, message: &str) -> bool {
    let refused = Refused::of(message);
    let is_allowed = |entry: &AllowedFailure| matches!(entry, AllowedFailure::Refused(kind) if refused == Some(*kind));
    allowed.iter().any(is_allowed) || allows(allowed, attribute)
}

/// The attributes that nothing builds and that may fail, in order.
pub fn not_built(plan: &Plan, allowed: &[AllowedFailure]) -> Vec<AttributePath> {
    let errors = plan.errors.iter().filter(|error| allows_message(allowed, &error.target, &error.message));
    let lacking = plan.skipped.iter().filter(|skipped| skipped.reason == SkipReason::NoExecutor);
    let lacking = lacking.filter(|skipped| allows(allowed, &skipped.target));
    let mut found: Vec<AttributePath> =
        errors.map(|error| &error.target).chain(lacking.map(|skipped| &skipped.target)).cloned().collect();
    found.sort_unstable();
    found
}
