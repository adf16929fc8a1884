//! Why a derivation is another one than at the base: the inputs whose own definition changed.
//!
//! In: a graph that holds both derivations, and their files. Out: a [`Comparison`]. The walk goes from the pair of targets down
//! through pairs of inputs, breadth first, so that the path to a cause is a shortest one; it stops at inputs whose output paths
//! are the same, as a fetch has them, since these make no difference to what is built from them.

use std::collections::HashMap;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;

use super::definition::{Change, changes};
use super::pairing::pair;
use crate::graph::{DrvId, Graph};
use crate::nix::derivation::Derivation;
use crate::printable::printable;
use crate::regular_file;

/// Most causes that are given, and most changes of each.
const MAX_CAUSES: usize = 50;

/// Largest `.drv` file that is read, in bytes.
const MAX_FILE_SIZE: u64 = 256 << 20;

/// One derivation whose own definition changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ChangedDerivation {
    /// Its name: `openssl-3.0.2`.
    pub name: String,
    /// Path of the derivation.
    pub derivation: String,
    /// Path of its counterpart at the base.
    pub base_derivation: String,
    /// Nothing below it changed: it is a root of the change.
    pub deepest: bool,
    /// Names of derivations from the target to this one, both included; a shortest path.
    pub path: Vec<String>,
    /// What changed in it.
    pub changes: Vec<Change>,
    /// How many changes are left out.
    pub more_changes: usize,
}

/// One target at the head and at the base.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Comparison {
    /// The derivation differs, the outputs do not: nothing that is built differs.
    pub same_outputs: bool,
    /// Roots first, then inputs before consumers.
    pub causes: Vec<ChangedDerivation>,
    /// How many causes are left out.
    pub more_causes: usize,
}

/// A pair of derivations that the walk has met.
pub struct Met {
    /// At the head.
    pub head: DrvId,
    /// Its counterpart.
    pub base: DrvId,
    /// Position of the pair that led here.
    from: Option<usize>,
    /// What differs between their own definitions.
    pub changes: Vec<Change>,
    /// Heads of the pairs below.
    pub below: Vec<DrvId>,
}

/// Compares two derivations; `dir` holds their files and those of all inputs.
pub fn compare(graph: &Graph, dir: &Path, head: DrvId, base: DrvId) -> Result<Comparison> {
    let same_outputs = has_same_outputs(graph, head, base);
    let mut met = walk(graph, dir, &[(head, base)], !same_outputs)?;
    if met.iter().all(|pair| pair.changes.is_empty()) && !same_outputs {
        // The paths of outputs that only the build tells say nothing.
        met = walk(graph, dir, &[(head, base)], false)?;
    }
    let mut order: Vec<usize> = (0..met.len()).collect();
    // Inputs have smaller numbers than their consumers.
    order.sort_unstable_by_key(|&at| met[at].head);
    let mut changed_at_or_below: HashMap<DrvId, bool> = HashMap::new();
    let mut roots = Vec::new();
    let mut others = Vec::new();
    for &at in &order {
        let pair = &met[at];
        let below = pair.below.iter().any(|input| changed_at_or_below.get(input).copied().unwrap_or(false));
        changed_at_or_below.insert(pair.head, below || !pair.changes.is_empty());
        match (pair.changes.is_empty(), below) {
            (false, false) => roots.push(at),
            (false, true) => others.push(at),
            (true, _) => {}
        }
    }
    let total = roots.len() + others.len();
    let chosen = roots.iter().map(|&at| (at, true)).chain(others.iter().map(|&at| (at, false))).take(MAX_CAUSES);
    let causes: Vec<ChangedDerivation> = chosen.map(|(at, deepest)| cause(graph, &met, at, deepest)).collect();
    Ok(Comparison { same_outputs, more_causes: total - causes.len(), causes })
}

fn cause(graph: &Graph, met: &[Met], at: usize, deepest: bool) -> ChangedDerivation {
    let name = |id: DrvId| printable(graph.node(id).name());
    let mut path = Vec::new();
    let mut step = Some(at);
    while let Some(at) = step {
        path.push(name(met[at].head));
        step = met[at].from;
    }
    path.reverse();
    let pair = &met[at];
    ChangedDerivation {
        name: name(pair.head),
        derivation: graph.path(pair.head),
        base_derivation: graph.path(pair.base),
        deepest,
        path,
        changes: pair.changes.iter().take(MAX_CAUSES).cloned().collect(),
        more_changes: pair.changes.len().saturating_sub(MAX_CAUSES),
    }
}

/// All pairs that these lead to, each derivation of the head once; those that are given come first.
pub fn walk(graph: &Graph, dir: &Path, pairs: &[(DrvId, DrvId)], stop_at_same_outputs: bool) -> Result<Vec<Met>> {
    let mut seen = vec![false; graph.len()];
    let first = pairs.iter().filter(|(head, _)| !std::mem::replace(&mut seen[head.at()], true));
    let mut met: Vec<Met> =
        first.map(|&(head, base)| Met { head, base, from: None, changes: Vec::new(), below: Vec::new() }).collect();
    let (mut head_bytes, mut base_bytes) = (Vec::new(), Vec::new());
    let mut at = 0;
    while at < met.len() {
        let (head, base) = (met[at].head, met[at].base);
        let head_drv = read(graph, dir, head, &mut head_bytes)?;
        let base_drv = read(graph, dir, base, &mut base_bytes)?;
        let pairing = pair(graph, (head, &head_drv), (base, &base_drv));
        met[at].changes = changes(graph, (head, &head_drv), (base, &base_drv), &pairing);
        for &(input, counterpart) in &pairing.pairs {
            if input == counterpart || (stop_at_same_outputs && has_same_outputs(graph, input, counterpart)) {
                continue;
            }
            met[at].below.push(input);
            if !std::mem::replace(&mut seen[input.at()], true) {
                met.push(Met {
                    head: input,
                    base: counterpart,
                    from: Some(at),
                    changes: Vec::new(),
                    below: Vec::new(),
                });
            }
        }
        at += 1;
    }
    Ok(met)
}

/// True where all output paths are known and the same.
fn has_same_outputs(graph: &Graph, one: DrvId, other: DrvId) -> bool {
    let (one, other) = (graph.node(one), graph.node(other));
    !one.is_floating() && one.outputs == other.outputs
}

/// Reads one derivation of the graph.
fn read<'b>(graph: &Graph, dir: &Path, id: DrvId, bytes: &'b mut Vec<u8>) -> Result<Derivation<'b>> {
    let path = dir.join(&*graph.node(id).base);
    let what = || format!("cannot read derivation `{}`", path.display());
    bytes.clear();
    let file = regular_file::open(&path).with_context(what)?;
    file.take(MAX_FILE_SIZE).read_to_end(bytes).with_context(what)?;
    Derivation::parse(bytes).with_context(what)
}
