//! What people hear of targets that no executor builds. In: a plan. Out: a sentence.

use super::{Plan, SkipReason};
use crate::printable::printable;

/// A sentence about the targets that no executor builds, if there are any: a configuration does not list them.
pub fn without_executor(plan: &Plan) -> Option<String> {
    let mut lacking = plan.skipped.iter().filter(|skipped| skipped.reason == SkipReason::NoExecutor);
    let first = lacking.next()?;
    let said = first.place.as_ref().map(|place| format!(": {place}")).unwrap_or_default();
    let more = match lacking.count() {
        0 => String::new(),
        1 => " (and 1 target more: `nixdag plan` says why)".to_owned(),
        more => format!(" (and {more} targets more: `nixdag plan` says why)"),
    };
    Some(printable(&format!("no executor builds target `{}`{said}{more}", first.target)))
}
