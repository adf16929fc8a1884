//! Content-addressed derivations that evaluation has built (import from derivation). No plan knows which outputs they have, so a job builds them
//! again: that is said.
//!
//! In: what is needed, this machine's store, and when evaluation began. Out: a sentence, where there is something to be said.

use std::time::SystemTime;

use super::realisation;
use crate::availability::built_here::is_new;
use crate::graph::{DrvId, Graph};
use crate::nix::store::Store;
use crate::printable::printable;

/// Names in the sentence.
const MOST_NAMES: usize = 3;

/// The sentence. What the store does not say was not built.
pub fn built_again(graph: &Graph, needed: &[DrvId], store: &Store, since: SystemTime) -> Option<String> {
    let is_built = |id: &DrvId| {
        let found = realisation::of(store, &graph.path(*id)).unwrap_or_default();
        found.iter().any(|found| is_new(&graph.full_path(&found.output), since))
    };
    let floating = needed.iter().copied().filter(|&id| graph.node(id).is_floating());
    let built: Vec<DrvId> = floating.filter(is_built).collect();
    let names: Vec<String> =
        built.iter().take(MOST_NAMES).map(|&id| format!("`{}`", printable(graph.node(id).name()))).collect();
    let more =
        if built.len() > names.len() { format!(" and {} others", built.len() - names.len()) } else { String::new() };
    let them = if built.len() == 1 { "it" } else { "them" };
    (!built.is_empty()).then(|| {
        format!(
            "evaluation has built {}{more}, whose output paths no plan knows: a job builds {them} again",
            names.join(", ")
        )
    })
}
