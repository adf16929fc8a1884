//! What evaluation itself has built (import from derivation): it is in the planning machine's store and nowhere else, and no job is to build
//! it again.
//!
//! In: what is needed, this machine's store, and when evaluation began. Out: the derivations that need not be built, with the digests of their
//! outputs. What the store had before says nothing, as everywhere else: a plan does not depend on which machine makes it.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Result;

use crate::graph::{DrvId, Graph};
use crate::nix::hash::Sha256;
use crate::nix::path_info::PathInfo;
use crate::nix::store::Store;

/// A derivation that evaluation has built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuiltHere {
    /// The digest of the NAR of each output, by path.
    pub outputs: BTreeMap<String, Sha256>,
    /// True where the outputs refer to nothing that must be built: what the derivation is made from does not matter any more.
    pub is_closed: bool,
}

/// The needed derivations whose outputs have all come into the store since then, and refer to nothing that a job would have to build first.
pub fn find(graph: &Graph, needed: &[DrvId], store: &Store, since: SystemTime) -> Result<BTreeMap<DrvId, BuiltHere>> {
    let mut found: BTreeMap<DrvId, Vec<String>> = BTreeMap::new();
    for id in needed.iter().copied().filter(|&id| !graph.node(id).outputs.is_empty()) {
        let outputs = graph.node(id).outputs.iter().map(|output| Some(graph.full_path(output.base.as_deref()?)));
        if let Some(outputs) = outputs.collect::<Option<Vec<_>>>()
            && outputs.iter().all(|path| is_new(path, since))
        {
            found.insert(id, outputs);
        }
    }
    let paths: Vec<&str> = found.values().flatten().map(String::as_str).collect();
    if paths.is_empty() {
        return Ok(BTreeMap::new());
    }
    let invalid: HashSet<String> = store.invalid(&paths)?.into_iter().collect();
    found.retain(|_, outputs| !outputs.iter().any(|path| invalid.contains(path)));
    let paths: Vec<&str> = found.values().flatten().map(String::as_str).collect();
    let closure = if paths.is_empty() { Vec::new() } else { store.requisites(&paths)? };
    let closure: Vec<&str> = closure.iter().map(String::as_str).collect();
    let infos = if closure.is_empty() { Vec::new() } else { store.path_infos(&closure)? };
    Ok(with_references(graph, needed, found, &infos.iter().map(|info| (info.path.as_str(), info)).collect()))
}

/// True for a path that was put into the store after that; a link to one of its files made later counts as well, and does no harm.
pub fn is_new(path: &str, since: SystemTime) -> bool {
    let since = since.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64);
    fs::symlink_metadata(path).is_ok_and(|data| data.ctime() >= since)
}

/// Leaves out what refers to something that has to be built and is not among these.
fn with_references(
    graph: &Graph,
    needed: &[DrvId],
    mut found: BTreeMap<DrvId, Vec<String>>,
    infos: &HashMap<&str, &PathInfo>,
) -> BTreeMap<DrvId, BuiltHere> {
    let mut producers: HashMap<String, DrvId> = HashMap::new();
    for &id in needed {
        let outputs = graph.node(id).outputs.iter().filter_map(|output| output.base.as_deref());
        producers.extend(outputs.map(|base| (graph.full_path(base), id)));
    }
    // The needed derivations that the outputs refer to, whatever the way.
    let below: BTreeMap<DrvId, BTreeSet<DrvId>> = found
        .iter()
        .map(|(&id, outputs)| {
            let mut seen: HashSet<&str> = HashSet::new();
            let mut todo: Vec<&str> = outputs.iter().map(String::as_str).collect();
            while let Some(path) = todo.pop() {
                if seen.insert(path) {
                    let references = infos.get(path).into_iter().flat_map(|info| &info.references);
                    todo.extend(references.map(String::as_str));
                }
            }
            (id, seen.iter().filter_map(|path| producers.get(*path)).copied().filter(|&other| other != id).collect())
        })
        .collect();
    loop {
        let before = found.len();
        let there: HashSet<DrvId> = found.keys().copied().collect();
        found.retain(|id, _| below[id].iter().all(|other| there.contains(other)));
        if found.len() == before {
            break;
        }
    }
    let digest = |path: String| infos.get(path.as_str()).map(|info| (path.clone(), info.nar_hash));
    let built = |outputs: Vec<String>| outputs.into_iter().map(digest).collect::<Option<BTreeMap<_, _>>>();
    let found = found.into_iter();
    found
        .filter_map(|(id, outputs)| {
            Some((id, BuiltHere { outputs: built(outputs)?, is_closed: below[&id].is_empty() }))
        })
        .collect()
}
