//! What is to be built and has failed in an earlier pipeline: said, and built all the same. And whether the records are of something else altogether.

use crate::duration::day;
use crate::graph::{DrvId, Graph};
use crate::history::History;
use crate::plural::counted;
use crate::printable::printable;

/// So many are named, the others are counted.
const MOST: usize = 10;

/// A sentence for each of the derivations that has failed before, or one that nothing of what is planned is recorded.
pub fn notes(graph: &Graph, needed: &[DrvId], history: &History) -> Vec<String> {
    if history.is_empty() {
        return Vec::new();
    }
    let failed = needed.iter().filter_map(|&id| Some((id, history.failed(&graph.path(id))?)));
    let mut notes: Vec<String> = failed
        .map(|(id, failed)| {
            let name = printable(graph.node(id).name());
            let class = failed.class.as_deref().map_or(String::new(), |class| format!(", {}", printable(class)));
            let flaky = if failed.flaky { "; it was built in another one, so it is flaky" } else { "" };
            format!("`{name}` failed in an earlier pipeline ({}{class}){flaky}", day(failed.at))
        })
        .collect();
    let is_known = |&id: &DrvId| {
        let node = graph.node(id);
        history.recorded(&graph.path(id), node.name(), &node.system).is_some()
    };
    if notes.is_empty() && !needed.is_empty() && !needed.iter().any(is_known) {
        let count = counted(history.len() as u64, "derivation");
        notes
            .push(format!("{count} recorded, none of which is in this plan: are these records of another repository?"));
    }
    if notes.len() > MOST {
        let more = notes.split_off(MOST).len() as u64;
        notes.push(format!("{} more failed in an earlier pipeline", counted(more, "derivation")));
    }
    notes
}
