//! What a change does to all targets together, and where it begins.
//!
//! In: what was evaluated of head and base, and their derivations. Out: a [`Change`], which is part of the plan. Each changed derivation is compared
//! once, however many targets need it.

use std::collections::{BTreeMap, HashMap, HashSet};

use anyhow::Result;

use super::causes::{self, Met};
use super::text::sentence;
use crate::affected::BaseEvaluation;
use crate::attribute::AttributePath;
use crate::graph::derivation_files::DerivationFiles;
use crate::graph::{DrvId, Graph};
use crate::plan::EvaluationError;
use crate::plan::change::{Change, ChangedTarget, RootCause};
use crate::printable::{printable, shortened};
use crate::target::Target;

/// Causes that a plan holds.
const MOST_CAUSES: usize = 100;

/// Changes of one cause that are named.
const MOST_CHANGES: usize = 3;

/// Characters of what is said of one of them.
const LONGEST: usize = 120;

/// Targets of head and base.
#[derive(Clone, Copy)]
pub struct Evaluations<'a> {
    /// Those of the head, by attribute.
    pub head: &'a [Target],
    /// Attributes that do not evaluate at the head.
    pub errors: &'a [EvaluationError],
    /// Attributes that the settings leave out at the head.
    pub left_out: &'a [AttributePath],
    /// The base.
    pub base: &'a BaseEvaluation,
}

/// Compares all targets; a sentence says so where it cannot be said where the change begins.
pub fn of(evaluations: Evaluations, files: &DerivationFiles) -> (Change, Option<String>) {
    let Evaluations { head, errors, left_out, base } = evaluations;
    let at_base: BTreeMap<&AttributePath, &str> =
        base.targets.iter().chain(&base.others).map(|target| (&target.attribute, &*target.drv_path)).collect();
    let failed_at_base = |attribute: &AttributePath| base.failed.as_ref().is_some_and(|all| all.contains(attribute));
    let failing: HashSet<&AttributePath> = errors.iter().map(|error| &error.target).collect();
    let known: HashSet<&AttributePath> =
        head.iter().map(|target| &target.attribute).chain(left_out).chain(failing.iter().copied()).collect();
    let mut change = Change::default();
    let mut pairs: Vec<(&str, &str)> = Vec::new();
    for target in head {
        let attribute = &target.attribute;
        match at_base.get(attribute) {
            Some(there) if *there != &*target.drv_path => {
                change.changed.push(ChangedTarget { target: attribute.clone(), base_outputs: BTreeMap::new() });
                pairs.push((&target.drv_path, there));
            }
            Some(_) => {}
            None if failed_at_base(attribute) => change.fixed.push(attribute.clone()),
            None => change.new.push(attribute.clone()),
        }
    }
    for error in errors {
        let list = match at_base.contains_key(&error.target) {
            true => &mut change.newly_failing,
            false if failed_at_base(&error.target) => &mut change.still_failing,
            false => &mut change.new,
        };
        list.push(error.target.clone());
    }
    change.gone = at_base.keys().filter(|attribute| !known.contains(*attribute)).map(|gone| (*gone).clone()).collect();
    for list in [&mut change.new, &mut change.newly_failing, &mut change.still_failing] {
        list.sort_unstable();
        list.dedup();
    }
    let why = match begin(&pairs, files, &mut change) {
        Ok(()) => None,
        Err(error) => {
            change.unexplained = pairs.len() as u64;
            Some(format!("it is not known where the change begins: {}", printable(&format!("{error:#}"))))
        }
    };
    (change, why)
}

/// Adds outputs at the base, and where the change begins. `pairs` are the derivations of the changed targets, in their order.
fn begin(pairs: &[(&str, &str)], files: &DerivationFiles, change: &mut Change) -> Result<()> {
    if pairs.is_empty() {
        return Ok(());
    }
    let all: Vec<&str> = pairs.iter().flat_map(|(head, base)| [*head, *base]).collect();
    let graph = files.load_each(&all)?;
    let ids: Vec<Option<(DrvId, DrvId)>> =
        pairs.iter().map(|(head, base)| Some((graph.find(head)?, graph.find(base)?))).collect();
    for (changed, ids) in change.changed.iter_mut().zip(&ids) {
        changed.base_outputs = ids.map(|(_, base)| graph.output_paths(base)).unwrap_or_default();
    }
    let known: Vec<(DrvId, DrvId)> = ids.iter().copied().flatten().collect();
    let met = causes::walk(&graph, files.folder(graph.store_dir()), &known, true)?;
    let heads: Vec<Option<DrvId>> = ids.iter().map(|ids| ids.map(|(head, _)| head)).collect();
    roots(&graph, &met, &heads, change);
    Ok(())
}

/// The roots of the change, and how many of the targets need each.
fn roots(graph: &Graph, met: &[Met], targets: &[Option<DrvId>], change: &mut Change) {
    let at: HashMap<DrvId, usize> = met.iter().enumerate().map(|(at, pair)| (pair.head, at)).collect();
    let mut users: Vec<Vec<usize>> = vec![Vec::new(); met.len()];
    for (user, pair) in met.iter().enumerate() {
        pair.below.iter().filter_map(|input| at.get(input)).for_each(|&input| users[input].push(user));
    }
    let mut wanted: HashMap<DrvId, u64> = HashMap::new();
    targets.iter().flatten().for_each(|target| *wanted.entry(*target).or_default() += 1);
    let mut order: Vec<usize> = (0..met.len()).collect();
    // Inputs have smaller numbers than their consumers.
    order.sort_unstable_by_key(|&number| met[number].head);
    let mut changed = vec![false; met.len()];
    let (mut found, mut explained) = (Vec::new(), vec![false; met.len()]);
    for number in order {
        let below = met[number].below.iter().filter_map(|input| at.get(input)).any(|&input| changed[input]);
        changed[number] = below || !met[number].changes.is_empty();
        if below || met[number].changes.is_empty() {
            continue;
        }
        let mut seen = vec![false; met.len()];
        let mut open = vec![number];
        let mut count = 0;
        while let Some(user) = open.pop() {
            if !std::mem::replace(&mut seen[user], true) {
                explained[user] = true;
                count += wanted.get(&met[user].head).copied().unwrap_or(0);
                open.extend(&users[user]);
            }
        }
        if count > 0 {
            found.push(cause(graph, &met[number], count));
        }
    }
    let is_explained = |target: &Option<DrvId>| target.and_then(|id| at.get(&id)).is_some_and(|&at| explained[at]);
    change.unexplained = targets.iter().filter(|target| !is_explained(target)).count() as u64;
    change.causes = grouped(found);
    change.more_causes = change.causes.len().saturating_sub(MOST_CAUSES) as u64;
    change.causes.truncate(MOST_CAUSES);
}

fn cause(graph: &Graph, pair: &Met, targets: u64) -> RootCause {
    let name = |id: DrvId| shortened(&printable(graph.node(id).name()), LONGEST);
    let (head, base) = (name(pair.head), name(pair.base));
    let what = pair.changes.iter().take(MOST_CHANGES).map(|change| shortened(&sentence(change), LONGEST)).collect();
    RootCause { base_name: (base != head).then_some(base), name: head, what, targets }
}

/// Causes that say the same are one: a source that is fetched under several derivations, a compiler and its wrappers. The first count stays where
/// they explain the same targets, which nobody can tell apart; it is the largest.
fn grouped(found: Vec<RootCause>) -> Vec<RootCause> {
    let mut groups: BTreeMap<(String, Option<String>, Vec<String>), u64> = BTreeMap::new();
    for RootCause { name, base_name, what, targets } in found {
        let count = groups.entry((name, base_name, what)).or_default();
        *count = targets.max(*count);
    }
    let mut causes: Vec<RootCause> = groups
        .into_iter()
        .map(|((name, base_name, what), targets)| RootCause { name, base_name, what, targets })
        .collect();
    causes.sort_by_key(|cause| std::cmp::Reverse(cause.targets));
    causes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_told_apart_by_what_the_base_has_of_them() {
        let attribute = |name: &str| AttributePath::parse(name).unwrap();
        let target = |(name, drv): (&str, &str)| Target { attribute: attribute(name), drv_path: drv.into() };
        let error = |name: &str| EvaluationError { target: attribute(name), message: String::new(), new: None };
        let base = BaseEvaluation {
            revision: None,
            targets: [("same", "1"), ("gone", "2"), ("breaks", "3"), ("excluded", "4")].map(target).to_vec(),
            others: vec![target(("optional", "5"))],
            failed: Some(["fixed", "still"].map(attribute).into_iter().collect()),
        };
        let head = [("same", "1"), ("optional", "5"), ("fixed", "6"), ("new", "7")].map(target);
        let errors = ["breaks", "still", "broken"].map(error);
        let left_out = [attribute("excluded")];
        let evaluations = Evaluations { head: &head, errors: &errors, left_out: &left_out, base: &base };
        let (change, why) = of(evaluations, &DerivationFiles::new(None));
        let expected = Change {
            new: ["broken", "new"].map(attribute).to_vec(),
            gone: vec![attribute("gone")],
            newly_failing: vec![attribute("breaks")],
            still_failing: vec![attribute("still")],
            fixed: vec![attribute("fixed")],
            ..Change::default()
        };
        assert_eq!((change, why), (expected, None));
    }
}
