//! What a change touches: targets of the base against targets of the head.
//!
//! In: two evaluations. Out: the targets whose derivation the base has too, under whatever name, and the others. Derivations are
//! compared by path, which is a hash of all that goes into them, so a changed comment touches nothing and a changed compiler
//! everything that it compiles.

pub mod base;
pub mod ignore;
pub mod repository_flake;

use std::collections::{BTreeSet, HashSet};

use self::base::short;
use crate::attribute::AttributePath;
use crate::choice::choice;
use crate::printable::printable;
use crate::target::Target;

choice! {
    /// What to do about targets that the change does not touch.
    #[derive(Default)]
    pub enum Unaffected {
        /// Leave them out
        #[default]
        Skip = "skip",
        /// Plan them like all others
        Build = "build",
    }
}

/// The base, evaluated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseEvaluation {
    /// The commit; none for a recorded evaluation that nobody gave a name.
    pub revision: Option<String>,
    /// What its own pipeline has to build, by attribute.
    pub targets: Vec<Target>,
    /// What it has besides: targets that its pipeline may leave out, or that may fail there.
    pub others: Vec<Target>,
    /// The attributes that do not evaluate there; none for a recorded evaluation, which does not say.
    pub failed: Option<BTreeSet<AttributePath>>,
}

impl BaseEvaluation {
    /// Whether an attribute that does not evaluate at the head does at the base, or is not there; none where that is not known.
    pub fn is_new_failure(&self, attribute: &AttributePath) -> Option<bool> {
        match &self.failed {
            Some(failed) => Some(!failed.contains(attribute)),
            None => self.targets.iter().any(|target| target.attribute == *attribute).then_some(true),
        }
    }
}

/// Targets of the head, each list by attribute.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Compared {
    /// Their derivations are new.
    pub affected: Vec<Target>,
    /// The base has these derivations.
    pub unaffected: Vec<Target>,
}

/// Separates the head's targets.
pub fn compare(head: Vec<Target>, base: &BaseEvaluation) -> Compared {
    let known: HashSet<&str> = base.targets.iter().map(|target| &*target.drv_path).collect();
    let (unaffected, affected) = head.into_iter().partition(|target| known.contains(&*target.drv_path));
    Compared { affected, unaffected }
}

/// Separates the targets to plan from those to leave out, and says how many there are.
///
/// Unaffected ones are planned all the same where `unaffected` says so, or where `is_restored` is true: a final job's command wants them.
pub fn leave_out(
    head: Vec<Target>,
    base: &BaseEvaluation,
    unaffected: Unaffected,
    is_restored: impl Fn(&Target) -> bool,
) -> (Compared, Vec<String>) {
    let total = head.len();
    let mut compared = compare(head, base);
    let name =
        base.revision.as_deref().map(|revision| format!(" `{}`", printable(short(revision)))).unwrap_or_default();
    let mut notes = vec![format!("{} of {total} targets differ from the base{name}", compared.affected.len())];
    let is_kept = |target: &Target| unaffected == Unaffected::Build || is_restored(target);
    let (kept, left) = compared.unaffected.into_iter().partition::<Vec<_>, _>(is_kept);
    if unaffected == Unaffected::Skip && !kept.is_empty() {
        notes.push(format!("final jobs restore outputs of {} unaffected targets, which stay in the plan", kept.len()));
    }
    compared.affected.extend(kept);
    compared.affected.sort();
    compared.unaffected = left;
    (compared, notes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn targets(pairs: &[(&str, &str)]) -> Vec<Target> {
        pairs
            .iter()
            .map(|(attribute, drv)| Target {
                attribute: AttributePath::parse(attribute).unwrap(),
                drv_path: (*drv).into(),
            })
            .collect()
    }

    #[test]
    fn the_same_derivation_is_unaffected_under_any_name() {
        let base = BaseEvaluation {
            revision: None,
            targets: targets(&[("a", "1"), ("b", "2"), ("gone", "3")]),
            others: Vec::new(),
            failed: None,
        };
        let compared = compare(targets(&[("a", "1"), ("b", "4"), ("new", "5"), ("renamed", "3")]), &base);
        assert_eq!(compared.unaffected, targets(&[("a", "1"), ("renamed", "3")]));
        assert_eq!(compared.affected, targets(&[("b", "4"), ("new", "5")]));
    }
}
