//! Which targets a plan leaves out, and why.
//!
//! In: the targets, what is needed, where it is built, and what was left out before. Out: the attributes that the plan completes, and a [`Skipped`] for
//! each of the others.

use std::collections::BTreeMap;

use super::placement::{Attributes, Placements};
use super::{SkipReason, Skipped};
use crate::attribute::AttributePath;
use crate::availability::Needed;
use crate::graph::{DrvId, Graph};
use crate::target::Target;

/// What is left out for another reason than that it is available.
pub struct LeftOut {
    /// Attributes that were selected and then left out.
    pub excluded: Vec<AttributePath>,
    /// Targets that are the same at the base.
    pub unaffected: Vec<Target>,
    /// Targets whose packages say so.
    pub disabled: Vec<Target>,
    /// Targets that no executor builds, with a sentence that says why.
    pub unbuildable: BTreeMap<DrvId, String>,
}

impl LeftOut {
    /// The attributes that are to be built, by derivation; and the others, sorted.
    pub fn split<'a>(
        self,
        graph: &Graph,
        targets: &'a [(AttributePath, DrvId)],
        needed: &Needed,
    ) -> (Attributes<'a>, Vec<Skipped>) {
        let target = |target: Target, reason, place: Option<&str>| Skipped {
            target: target.attribute,
            derivation: Some(target.drv_path),
            reason,
            place: place.map(str::to_owned),
        };
        let excluded = self.excluded.into_iter();
        let mut skipped: Vec<Skipped> = excluded
            .map(|target| Skipped { target, derivation: None, reason: SkipReason::Excluded, place: None })
            .collect();
        skipped.extend(self.unaffected.into_iter().map(|same| target(same, SkipReason::Unaffected, None)));
        let says = "its package says `disable`";
        skipped.extend(self.disabled.into_iter().map(|disabled| target(disabled, SkipReason::Excluded, Some(says))));
        let mut attributes = Attributes::new();
        for (attribute, id) in targets {
            let lacking = self.unbuildable.get(id);
            if needed.has(*id) && lacking.is_none() {
                attributes.entry(*id).or_default().push(attribute);
            } else {
                skipped.push(Skipped {
                    target: attribute.clone(),
                    derivation: Some(graph.path(*id).into()),
                    reason: if lacking.is_some() { SkipReason::NoExecutor } else { SkipReason::Available },
                    place: lacking.cloned().or_else(|| needed.place(*id).map(str::to_owned)),
                });
            }
        }
        skipped.sort_by(|a, b| a.target.cmp(&b.target));
        (attributes, skipped)
    }
}

/// Takes the targets away whose needed closure holds a derivation that no executor builds; gives them, with a sentence that says why.
pub fn drop_unbuildable(
    graph: &Graph,
    targets: &[(AttributePath, DrvId)],
    needed: &mut Needed,
    placements: &Placements,
) -> BTreeMap<DrvId, String> {
    if placements.lacking.is_empty() {
        return BTreeMap::new();
    }
    // What is at fault for each derivation that cannot be built: itself, or the first one below it.
    let mut at_fault: Vec<Option<DrvId>> = vec![None; graph.len()];
    for id in needed.ids() {
        let below = graph.inputs(id).iter().filter(|input| needed.has(input.drv));
        let below = below.filter_map(|input| at_fault[input.drv.at()]).next();
        at_fault[id.at()] = if placements.lacking.contains_key(&id) { Some(id) } else { below };
    }
    let (dropped, kept): (Vec<DrvId>, Vec<DrvId>) =
        targets.iter().map(|(_, id)| *id).partition(|id| at_fault[id.at()].is_some());
    needed.restrict(graph, &kept);
    dropped
        .into_iter()
        .filter_map(|id| {
            let fault = at_fault[id.at()]?;
            let lacking = placements.lacking.get(&fault)?;
            let subject = match graph.node(fault).name() {
                _ if fault == id => "it".to_owned(),
                name => format!("`{}`, which it needs,", name.escape_debug()),
            };
            Some((id, format!("{subject} {lacking}")))
        })
        .collect()
}
