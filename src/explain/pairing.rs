//! Which input of a derivation has taken the place of which one at the base.
//!
//! In: two derivations and the graph that holds the inputs of both. Out: pairs, and what is left on either side. Names are no keys
//! (`source` stands there by the dozen), so what is certain is paired first: the same derivation, the same outputs, the same name,
//! the same name without its version, the same use.

use std::collections::BTreeMap;

use crate::graph::{DrvId, Graph};
use crate::nix::derivation::Derivation;

/// The inputs of two derivations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pairing {
    /// At the head and at the base, in the head's order.
    pub pairs: Vec<(DrvId, DrvId)>,
    /// The head's alone.
    pub added: Vec<DrvId>,
    /// The base's alone.
    pub removed: Vec<DrvId>,
}

/// One side: a derivation and the inputs that have no partner yet.
struct Side<'a> {
    graph: &'a Graph,
    drv: &'a Derivation<'a>,
    left: Vec<DrvId>,
}

/// Pairs the inputs.
pub fn pair(graph: &Graph, (head, head_drv): (DrvId, &Derivation), (base, base_drv): (DrvId, &Derivation)) -> Pairing {
    let inputs = |id| graph.inputs(id).iter().map(|input| input.drv).collect();
    let mut head = Side { graph, drv: head_drv, left: inputs(head) };
    let mut base = Side { graph, drv: base_drv, left: inputs(base) };
    let mut pairs = Vec::new();
    let mut by = |key: &dyn Fn(&Side, DrvId) -> Option<String>, only_unique: bool| {
        pairs.extend(match_by(&mut head, &mut base, key, only_unique));
    };
    by(&|_, id| Some(id.0.to_string()), true);
    by(&|side, id| side.outputs(id), true);
    by(&|side, id| Some(side.name(id).to_owned()), true);
    by(&|side, id| Some(format!("{}\0{}", side.name(id), side.use_of(id))), false);
    by(&|side, id| Some(side.name(id).to_owned()), false);
    by(&|side, id| Some(without_version(side.name(id)).to_owned()), true);
    by(&|side, id| Some(format!("{}\0{}", without_version(side.name(id)), side.use_of(id))), false);
    by(&|side, id| side.sole_use_of(id), true);
    pairs.sort_unstable();
    Pairing { pairs, added: head.left, removed: base.left }
}

/// Pairs those that have the same key: where each side has one of it, or else in their order.
fn match_by(
    head: &mut Side,
    base: &mut Side,
    key: &dyn Fn(&Side, DrvId) -> Option<String>,
    only_unique: bool,
) -> Vec<(DrvId, DrvId)> {
    if head.left.is_empty() || base.left.is_empty() {
        return Vec::new();
    }
    let groups = |side: &Side| {
        let mut groups: BTreeMap<String, Vec<DrvId>> = BTreeMap::new();
        for &id in &side.left {
            if let Some(key) = key(side, id) {
                groups.entry(key).or_default().push(id);
            }
        }
        groups
    };
    let at_base = groups(base);
    let mut pairs = Vec::new();
    for (key, ids) in groups(head) {
        let partners = at_base.get(&key).map_or(&[][..], Vec::as_slice);
        if !only_unique || (ids.len() == 1 && partners.len() == 1) {
            pairs.extend(ids.into_iter().zip(partners.iter().copied()));
        }
    }
    head.left.retain(|id| !pairs.iter().any(|(paired, _)| paired == id));
    base.left.retain(|id| !pairs.iter().any(|(_, paired)| paired == id));
    pairs
}

impl Side<'_> {
    fn name(&self, id: DrvId) -> &str {
        self.graph.node(id).name()
    }

    /// Its output paths, where they are known.
    fn outputs(&self, id: DrvId) -> Option<String> {
        let node = self.graph.node(id);
        let bases: Option<Vec<&str>> = node.outputs.iter().map(|output| output.base.as_deref()).collect();
        bases.filter(|bases| !bases.is_empty()).map(|bases| bases.join("\0"))
    }

    /// The variables that name one of its outputs.
    fn variables(&self, id: DrvId) -> impl Iterator<Item = (Vec<u8>, bool)> {
        let bases: Vec<&str> = self.graph.node(id).outputs.iter().filter_map(|output| output.base.as_deref()).collect();
        let paths: Vec<String> = bases.iter().map(|base| self.graph.full_path(base)).collect();
        self.drv.environment.iter().filter_map(move |(name, value)| {
            let value = value.bytes();
            let has = bases.iter().any(|base| memchr::memmem::find(&value, base.as_bytes()).is_some());
            has.then(|| (name.bytes().into_owned(), paths.iter().any(|path| value.as_ref() == path.as_bytes())))
        })
    }

    fn use_of(&self, id: DrvId) -> String {
        self.variables(id).map(|(name, _)| String::from_utf8_lossy(&name).into_owned()).collect::<Vec<_>>().join("\0")
    }

    /// The variable that is this input and nothing else, as `src` often is.
    fn sole_use_of(&self, id: DrvId) -> Option<String> {
        self.variables(id).find(|(_, whole)| *whole).map(|(name, _)| String::from_utf8_lossy(&name).into_owned())
    }
}

/// A derivation's name as Nix splits it: the version begins behind the first dash that no letter follows.
pub fn without_version(name: &str) -> &str {
    let bytes = name.as_bytes();
    let at = (0..bytes.len().saturating_sub(1)).find(|&at| bytes[at] == b'-' && !bytes[at + 1].is_ascii_alphabetic());
    at.map_or(name, |at| &name[..at])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_split_as_nix_does() {
        for (name, expected) in [
            ("openssl-3.0.1", "openssl"),
            ("gcc-wrapper-13", "gcc-wrapper"),
            ("a-b", "a-b"),
            ("x-", "x-"),
            ("ü-1", "ü"),
        ] {
            assert_eq!(without_version(name), expected);
        }
    }
}
