//! What all workers of a plan have done, when they have left or died.
//!
//! In: the plan, the store of names. Out: a [`Summary`]: green where each task was built by the maker of its claim.

use std::collections::HashMap;

use anyhow::Result;

use super::courier::patiently;
use super::maker::{Makers, StoredName};
use super::name::{Name, Outcome};
use super::planned::PlannedTasks;
use super::results::Results;
use super::stores::NameStore;
use super::verdict::Verdict;
use crate::plan::Plan;
use crate::plural::counted;

/// What became of a plan.
pub struct Summary {
    /// True where everything was built.
    pub is_green: bool,
    /// Lines for people.
    pub lines: Vec<String>,
}

/// Reads all names and claims.
pub fn judge(plan: &Plan, store: &dyn NameStore) -> Result<Summary> {
    let planned = PlannedTasks::new(plan, 0)?;
    let (results, mut makers) = (Results::default(), Makers::new(0, &planned.tasks)?);
    let (mut names, mut owners) = (Vec::new(), HashMap::new());
    for text in patiently(|| store.list())? {
        match StoredName::parse(&text, &planned.tasks) {
            Some(StoredName::Claim(task, attempt)) => {
                names.push(Name::Claim(task, attempt));
                if let Some(claim) = patiently(|| results.claim(store, task, attempt))? {
                    owners.insert((task, attempt), makers.of_claim(task, attempt, &claim));
                }
            }
            Some(StoredName::Result(result)) => {
                let maker = makers.of_result(&result);
                names.push(Name::Result(result.task, result.attempt, maker, result.outcome));
            }
            Some(StoredName::Sign(..)) | None => {}
        }
    }
    let verdict = Verdict::new(&planned.tasks, &names, |task, attempt| owners.get(&(task, attempt)).copied());
    let failed: Vec<u32> =
        verdict.results.iter().filter(|(_, left)| left.outcome == Outcome::Failed).map(|(&task, _)| task).collect();
    let built = verdict.results.len() - failed.len();
    let mut lines = vec![format!("{built} of {} built by workers", counted(planned.tasks.len() as u64, "job"))];
    for (what, tasks) in [("failed", &failed), ("not built", &verdict.missing)] {
        if !tasks.is_empty() {
            lines.push(format!("{what}: {}", planned.named(plan, tasks)));
        }
    }
    for (count, what) in [
        (verdict.repeats, "built more than once"),
        (verdict.lost, "begun and not ended"),
        (verdict.foreign, "left by somebody who had not claimed it, and not counted"),
    ] {
        if count > 0 {
            lines.push(format!("{count} {what}"));
        }
    }
    Ok(Summary { is_green: verdict.is_green(), lines })
}
