//! The jobs of the last plan, as far as the next one wants to know: which derivations were built together.
//!
//! It travels in `records.json`. Whoever can write that can make plans worse by as much as keeping the last one may cost, and nothing else.
//!
//! In: a plan, or what the file says. Out: jobs by their derivations, bounded and checked.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::nix::store_path;

/// So many derivations are believed, in all jobs together.
const MOST: usize = 400_000;

/// Longest name of a system, bytes.
const MAX_SYSTEM: usize = 128;

/// The jobs of one plan, in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastPlan {
    /// When its records were put together, in seconds since 1970.
    pub at: u64,
    /// Its jobs.
    pub jobs: Vec<LastJob>,
    /// What derivations are like, by their base names, where names leave a choice: a number that versions do not change.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub likeness: BTreeMap<String, u32>,
}

/// What one job owned.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastJob {
    /// The system of its machine.
    pub system: String,
    /// Base names of the derivations, in build order: `<hash>-hello-2.10.drv`.
    pub derivations: Vec<String>,
}

impl LastJob {
    /// A job that owns derivations of these paths.
    pub fn new<'a>(system: &str, paths: impl Iterator<Item = &'a str>) -> Self {
        Self { system: system.to_owned(), derivations: paths.filter_map(base_name).collect() }
    }
}

/// The name of a derivation in its store.
pub fn base_name(path: &str) -> Option<String> {
    store_path::split(path).ok().map(|(_, base)| base.to_owned())
}

impl LastPlan {
    /// True for what may be one: names that a store can have, no more than a plan can have, a time that has been.
    pub fn is_possible(&self, latest: u64) -> bool {
        let count: usize = self.jobs.iter().map(|job| job.derivations.len()).sum();
        let is_derivation = |base: &String| {
            base.ends_with(".drv") && store_path::split(&format!("/nix/store/{base}")).is_ok_and(|(_, it)| it == base)
        };
        self.at <= latest
            && count <= MOST
            && self.jobs.len() <= MOST
            && self.likeness.len() <= MOST
            && self.likeness.keys().all(is_derivation)
            && self.jobs.iter().all(|job| {
                job.system.len() <= MAX_SYSTEM
                    && !job.system.chars().any(char::is_control)
                    && job.derivations.iter().all(is_derivation)
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_plan_is_not_believed() {
        let path = format!("/nix/store/{}-a-1.drv", "0".repeat(32));
        let likeness = BTreeMap::from([(path["/nix/store/".len()..].to_owned(), 7)]);
        let plan = LastPlan { at: 5, jobs: vec![LastJob::new("x", [path.as_str()].into_iter())], likeness };
        assert_eq!(plan.jobs[0].derivations, [&path["/nix/store/".len()..]]);
        assert!(plan.is_possible(5) && !plan.is_possible(4));
        let odd = BTreeMap::from([("../etc".to_owned(), 7)]);
        assert!(!LastPlan { likeness: odd, ..plan.clone() }.is_possible(5));
        let with = |system: &str, base: &str| {
            let job = LastJob { system: system.to_owned(), derivations: vec![base.to_owned()] };
            LastPlan { jobs: vec![job], ..plan.clone() }.is_possible(5)
        };
        let long = "x".repeat(129);
        for (system, base) in
            [("x", "a-1.drv"), ("x", &path), ("x", "../etc"), ("\n", &path[11..]), (&long, &path[11..])]
        {
            assert!(!with(system, base), "{system} {base}");
        }
    }
}
