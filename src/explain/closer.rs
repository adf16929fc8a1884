//! Adds to an [`Explanation`] what only derivations tell: how large the target's closure is, and why it is another derivation than at the base.

use anyhow::{Error, Result};

use super::{Closure, Difference, Explanation, causes};
use crate::graph::derivation_files::DerivationFiles;
use crate::plan::Plan;

/// Reads the derivations of the target and of its counterpart at the base. Where the base's cannot be read, what the target's tell is added, and
/// the error comes back as a value.
pub fn look(explanation: &mut Explanation, plan: &Plan, files: DerivationFiles) -> Result<Option<Error>> {
    let Some(derivation) = explanation.derivation.clone() else { return Ok(None) };
    let base = match &explanation.change {
        Some(Difference::Changed { base_derivation, .. }) => Some(base_derivation.clone()),
        _ => None,
    };
    let both: Vec<&str> = [Some(&derivation), base.as_ref()].into_iter().flatten().map(String::as_str).collect();
    let (graph, lacking) = match files.load_each(&both) {
        Ok(graph) => (graph, None),
        Err(error) => (files.load_each(&[&derivation])?, Some(error)),
    };
    let Some(head) = graph.find(&derivation) else { return Ok(lacking) };
    explanation.closure = Some(Closure::of(&graph, head, plan));
    if let (Some(Difference::Changed { why, .. }), Some(base)) =
        (&mut explanation.change, base.and_then(|base| graph.find(&base)))
    {
        *why = Some(causes::compare(&graph, files.folder(graph.store_dir()), head, base)?);
    }
    Ok(lacking)
}
