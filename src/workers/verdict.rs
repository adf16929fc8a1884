//! What the gate says of all workers together.
//!
//! In: the tasks, the names of the store when all workers have left or died, and whose each claim is. Out: a [`Verdict`]. Green is only what the owner of a claim has built.

use std::collections::BTreeMap;

use super::name::{Name, Outcome};
use super::tasks::{Attempt, Task, Tasks, WorkerNumber};
use super::view::{Left, View};

/// What became of everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// The result of each task that has one which counts.
    pub results: BTreeMap<Task, Left>,
    /// Tasks without one.
    pub missing: Vec<Task>,
    /// Results beyond one a task: what was built twice.
    pub repeats: u32,
    /// Claims without a result: what was begun and is lost.
    pub lost: u32,
    /// Results of workers that had no claim to leave them.
    pub foreign: u32,
}

impl Verdict {
    /// Judges the names.
    pub fn new(tasks: &Tasks, names: &[Name], owner: impl Fn(Task, Attempt) -> Option<WorkerNumber>) -> Self {
        let mut verdict = Self::default();
        let mut names = names.to_vec();
        names.sort_unstable();
        names.dedup();
        let mut views = vec![View::default(); tasks.len()];
        let mut valid = vec![0; tasks.len()];
        for name in names {
            match name {
                Name::Claim(..) => verdict.lost += 1,
                Name::Result(task, attempt, worker, outcome) if owner(task, attempt) == Some(worker) => {
                    views[task as usize].owned(attempt, worker);
                    views[task as usize].left(Left { attempt, worker, outcome });
                    valid[task as usize] += 1;
                    verdict.lost = verdict.lost.saturating_sub(1);
                }
                Name::Result(..) => verdict.foreign += 1,
            }
        }
        for task in tasks.all() {
            match views[task as usize].counted() {
                Some(left) => {
                    verdict.results.insert(task, left);
                    verdict.repeats += valid[task as usize] - 1;
                }
                None => verdict.missing.push(task),
            }
        }
        verdict
    }

    /// True where every task was built that may not fail.
    pub fn is_green(&self, may_fail: impl Fn(Task) -> bool) -> bool {
        let failed = self.results.iter().filter(|(_, left)| left.outcome == Outcome::Failed).map(|(&task, _)| task);
        failed.chain(self.missing.iter().copied()).all(may_fail)
    }
}
