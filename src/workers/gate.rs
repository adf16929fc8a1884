//! What all workers of a plan have done, when they have left or died.
//!
//! In: the plan, the store of names. Out: a [`Summary`]: green where each task that may not fail was built by the maker of its claim, whatever has become of workers.

use std::collections::BTreeMap;

use anyhow::Result;

use super::courier::patiently;
use super::maker::{Claim, Makers, ResultName, StoredName};
use super::name::{Name, Outcome};
use super::planned::PlannedTasks;
use super::results::Results;
use super::stores::NameStore;
use super::tasks::{Attempt, Task, WorkerNumber};
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
    let (mut names, mut claims, mut left) = (Vec::new(), Claims::new(), Vec::new());
    for text in patiently(|| store.list())? {
        match StoredName::parse(&text, &planned.tasks) {
            Some(StoredName::Claim(task, attempt)) => {
                names.push(Name::Claim(task, attempt));
                claims.insert((task, attempt), patiently(|| results.claim(store, task, attempt))?);
            }
            Some(StoredName::Result(result)) => {
                let maker = makers.of_result(&result);
                names.push(Name::Result(result.task, result.attempt, maker, result.outcome));
                left.push(result);
            }
            Some(StoredName::Sign(..)) | None => {}
        }
    }
    let owners: BTreeMap<(Task, Attempt), WorkerNumber> = claims
        .iter()
        .filter_map(|(&(task, attempt), claim)| {
            Some(((task, attempt), makers.of_claim(task, attempt, claim.as_ref()?)))
        })
        .collect();
    let verdict = Verdict::new(&planned.tasks, &names, |task, attempt| owners.get(&(task, attempt)).copied());
    let failed: Vec<Task> =
        verdict.results.iter().filter(|(_, left)| left.outcome == Outcome::Failed).map(|(&task, _)| task).collect();
    let built = verdict.results.len() - failed.len();
    let mut lines = vec![format!("{built} of {} done by workers", counted(planned.tasks.len() as u64, "unit"))];
    let may_fail = |task: Task| plan.job(planned.job(task)).options.allow_failure;
    for (what, tasks) in [("failed", &failed), ("not built", &verdict.missing)] {
        let (allowed, tasks): (Vec<Task>, Vec<Task>) = tasks.iter().partition(|&&task| may_fail(task));
        let both = [(what.to_owned(), tasks), (format!("{what}, which is allowed"), allowed)];
        let both = both.iter().filter(|(_, tasks)| !tasks.is_empty());
        lines.extend(both.map(|(what, tasks)| format!("{what}: {}", planned.named(plan, tasks))));
    }
    for (worker, tasks) in not_ended(&claims, &left) {
        let whom = worker.map_or_else(|| "an unknown worker".to_owned(), |worker| format!("worker {worker}"));
        let is_built = |task: &Task| verdict.results.get(task).is_some_and(|left| left.outcome == Outcome::Built);
        let (later, open): (Vec<Task>, Vec<Task>) = tasks.into_iter().partition(is_built);
        for (what, tasks) in [("and not ended", open), ("and not ended, but built later", later)] {
            if !tasks.is_empty() {
                lines.push(format!("begun by {whom} {what}: {}", planned.named(plan, &tasks)));
            }
        }
    }
    if names.is_empty() {
        lines.push("no worker has said anything here: is this where they talk?".to_owned());
    }
    for (count, what) in [
        (verdict.repeats, "built more than once"),
        (verdict.foreign, "left by somebody who had not claimed it, and not counted"),
    ] {
        if count > 0 {
            lines.push(format!("{count} {what}"));
        }
    }
    Ok(Summary { is_green: verdict.is_green(may_fail), lines })
}

/// The claims that there are, those that cannot be read among them.
type Claims = BTreeMap<(Task, Attempt), Option<Claim>>;

/// What was begun and has no result, by worker: those have died, or lost the store.
fn not_ended(claims: &Claims, left: &[ResultName]) -> BTreeMap<Option<WorkerNumber>, Vec<Task>> {
    let mut found: BTreeMap<_, Vec<Task>> = BTreeMap::new();
    for (&(task, attempt), claim) in claims {
        let ends = |result: &ResultName| {
            (result.task, result.attempt) == (task, attempt) && claim.as_ref().is_some_and(|claim| claim.is_of(result))
        };
        if !left.iter().any(ends) {
            found.entry(claim.as_ref().map(|claim| claim.life.worker)).or_default().push(task);
        }
    }
    found
}
