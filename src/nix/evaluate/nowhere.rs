//! What somebody names and the flake has nowhere, where globs are around the name: `packages.*.helo`, or a system.
//!
//! In: what was asked for, and what was found. Out: a sentence about the first that is nowhere, for whoever has typed it. What is written out in full is an error of its
//! own as soon as the flake was asked for it.

use std::collections::BTreeSet;

use super::found::{Findings, listed};
use super::request::EvaluationRequest;
use super::selected::Selected;
use super::systems::Systems;
use crate::attribute::AttributePath;
use crate::nearest::nearest;
use crate::pattern::{Pattern, Segment};
use crate::printable::printable;

/// A sentence where a pattern of the request ends with a name that no attribute has which it could mean, or where a listed system is none of
/// the flake's. Only where all sets on the way evaluate; a pattern that an exclusion cut short is passed over.
pub fn find(
    request: &EvaluationRequest,
    patterns: &[Pattern],
    found: &Findings,
    selected: &Selected,
) -> Option<String> {
    let systems = listed_systems(request);
    for (index, pattern) in patterns.iter().enumerate().take(request.select.len()) {
        if selected.cut_short.contains(&index) {
            continue;
        }
        let is_there = |name: &&String| found.last_names.contains(&(index, (*name).clone()));
        if let Some(name) = last_names(pattern).iter().find(|name| !is_there(name)) {
            let known = found.targets.keys().filter_map(|target| target.names().last());
            let hint = nearest(name, known.map(String::as_str)).filter(|near| near != name);
            let hint = hint.map(|near| format!(" (did you mean `{}`?)", shown(near))).unwrap_or_default();
            let pattern = printable(&pattern.to_string());
            return Some(format!(
                "`{pattern}` selects nothing: no attribute there is `{}`{systems}{hint}",
                shown(name)
            ));
        }
    }
    let (Systems::Listed(wanted), Some(there)) = (&request.systems, &selected.systems) else { return None };
    let lacking = wanted.iter().find(|system| !there.contains(*system))?;
    let there: Vec<String> = there.iter().cloned().collect();
    Some(format!(
        "the flake has nothing for system `{}`: there is {} (leave it out of `systems`)",
        printable(lacking),
        listed(&there)
    ))
}

/// The names at the end of a pattern that has globs in front of them.
fn last_names(pattern: &Pattern) -> BTreeSet<&String> {
    pattern.alternatives().iter().filter_map(|segments| last_name(segments)).collect()
}

fn last_name(segments: &[Segment]) -> Option<&String> {
    let (Segment::Literal(name), above) = segments.split_last()? else { return None };
    above.iter().any(|segment| !matches!(segment, Segment::Literal(_))).then_some(name)
}

fn listed_systems(request: &EvaluationRequest) -> String {
    request.systems.listed().map(|systems| format!(" in {}", listed(&systems))).unwrap_or_default()
}

fn shown(name: &str) -> String {
    printable(&AttributePath::new(vec![name.to_owned()]).to_string())
}
