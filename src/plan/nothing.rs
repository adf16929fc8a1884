//! Plans that have nothing to build, and why, in words: in the table, and in a configuration that has a gate alone.

use super::{Base, FlakeSource, Plan, SkipReason};
use crate::affected::base::short;
use crate::nix::store_path::DEFAULT_STORE_DIR;
use crate::printable::printable;

/// The plan of a change whose files, `count` of them, are all ignored: nothing was evaluated for it.
pub fn of_ignored_changes(flake: FlakeSource, base: String, count: usize) -> Plan {
    Plan {
        flake: Some(flake),
        base: Some(Base { revision: Some(base), ignored_changes: Some(count as u64) }),
        store_dir: DEFAULT_STORE_DIR.into(),
        ..Plan::default()
    }
}

/// One line for people; none for a plan with jobs.
pub fn why(plan: &Plan) -> Option<String> {
    if !plan.jobs.is_empty() || !plan.final_jobs.is_empty() {
        return None;
    }
    if let Some(count) = plan.base.as_ref().and_then(|base| base.ignored_changes) {
        return Some(format!(
            "nothing to build: {} by `ignore` in nixdag.yml, so nothing was evaluated",
            match count {
                1 => format!("the one file that differs from {} is ignored", base(plan)),
                count => format!("all {count} files that differ from {} are ignored", base(plan)),
            }
        ));
    }
    let parts: Vec<String> = [
        (SkipReason::Unaffected, format!("the same as at {}", base(plan))),
        (SkipReason::Available, "available".to_owned()),
        (SkipReason::Excluded, "excluded".to_owned()),
        (SkipReason::NoExecutor, "without an executor".to_owned()),
    ]
    .into_iter()
    .filter_map(|(reason, words)| match count(plan, reason) {
        0 => None,
        1 => Some(format!("1 target is {words}")),
        count => Some(format!("{count} targets are {words}")),
    })
    .collect();
    let failed = match plan.errors.len() {
        0 => None,
        1 => Some("1 attribute does not evaluate".to_owned()),
        count => Some(format!("{count} attributes do not evaluate")),
    };
    let parts: Vec<String> = parts.into_iter().chain(failed).collect();
    Some(if parts.is_empty() {
        "nothing to build".to_owned()
    } else {
        format!("nothing to build: {}", parts.join(", "))
    })
}

/// Targets that are skipped for this reason.
pub fn count(plan: &Plan, reason: SkipReason) -> usize {
    plan.skipped.iter().filter(|skipped| skipped.reason == reason).count()
}

/// What people read for the base: `a1b2c3d4e5f6`, or `the base`.
pub fn base(plan: &Plan) -> String {
    let revision = plan.base.as_ref().and_then(|base| base.revision.as_deref());
    revision.map_or_else(|| "the base".to_owned(), |revision| printable(short(revision)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Skipped;

    #[test]
    fn every_reason_is_counted() {
        let skipped = |reason| Skipped { target: Default::default(), derivation: None, reason, place: None };
        let (same, there) = (skipped(SkipReason::Unaffected), skipped(SkipReason::Available));
        let base = |ignored_changes| Some(Base { revision: Some("0123456789abcdef".into()), ignored_changes });
        let plan = Plan { base: base(None), skipped: vec![same.clone(), same, there], ..Plan::default() };
        let said = why(&plan).unwrap();
        assert_eq!(said, "nothing to build: 2 targets are the same as at 0123456789ab, 1 target is available");
        let said = why(&Plan { base: base(Some(2)), ..Plan::default() }).unwrap();
        assert!(said.contains("all 2 files that differ from 0123456789ab are ignored"), "{said}");
        assert_eq!(why(&Plan::default()).unwrap(), "nothing to build");
    }
}
