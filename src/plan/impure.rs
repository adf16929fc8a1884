//! Impure derivations (`__impure`): `nix-store --realise` builds one and then fails, with every version of Nix, and what it made has no path
//! that another job could ask for. So targets that need one are left out when they are planned, and say why.

use super::final_job::Attribute;
use super::{SkipReason, Skipped};
use crate::availability::Needed;
use crate::graph::{DrvId, Graph};

/// Takes the targets away that are impure or need something that is, and from what is needed what only they need.
pub fn leave_out(graph: &Graph, needed: &mut Needed, targets: Vec<Attribute>) -> (Vec<Attribute>, Vec<Skipped>) {
    // The first impure one at or below each derivation. Inputs come before their consumers.
    let mut found: Vec<Option<DrvId>> = vec![None; graph.len()];
    for id in needed.ids() {
        let mut below = graph.inputs(id).iter().filter_map(|input| found[input.drv.at()]);
        found[id.at()] = if graph.node(id).impure { Some(id) } else { below.next() };
    }
    let (left_out, kept): (Vec<_>, Vec<_>) = targets.into_iter().partition(|(_, id)| found[id.at()].is_some());
    if left_out.is_empty() {
        return (kept, Vec::new());
    }
    needed.restrict(graph, &kept.iter().map(|(_, id)| *id).collect::<Vec<_>>());
    let skipped = left_out.into_iter().map(|(target, id)| {
        let subject = match found[id.at()] {
            Some(impure) if impure != id => format!("`{}`, which it needs,", graph.node(impure).name().escape_debug()),
            _ => "it".to_owned(),
        };
        Skipped {
            target,
            derivation: Some(graph.path(id).into()),
            reason: SkipReason::NoExecutor,
            place: Some(format!(
                "{subject} is impure (`__impure`): `nix-store` does not build that, and no job could hand it on (leave it out with \
                 `--exclude`)"
            )),
        }
    });
    (kept, skipped.collect())
}
