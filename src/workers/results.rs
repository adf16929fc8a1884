//! The results that were listed, and the claims that were read, for all threads of a worker.
//!
//! In: names, contents of claims. Out: the results of a task that the makers of its claims have left.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::Result;

use super::maker::{Claim, MAX_CLAIM, ResultName, StoredName};
use super::name::Outcome;
use super::stores::NameStore;
use super::tasks::{Attempt, Task};

/// What is known of results.
#[derive(Default)]
pub struct Results {
    listed: Mutex<BTreeMap<Task, BTreeSet<ResultName>>>,
    claims: Mutex<HashMap<(Task, Attempt), Claim>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Results {
    /// A result was listed.
    pub fn add(&self, result: &ResultName) {
        let mut listed = lock(&self.listed);
        if listed.get(&result.task).is_none_or(|of_task| !of_task.contains(result)) {
            listed.entry(result.task).or_default().insert(result.clone());
        }
    }

    /// Reads a claim; none where the store does not show it, or what it holds is not one.
    pub fn claim(&self, store: &dyn NameStore, task: Task, attempt: Attempt) -> Result<Option<Claim>> {
        let bytes = store.read(&StoredName::Claim(task, attempt).text(), MAX_CLAIM)?;
        let claim = bytes.and_then(|bytes| Claim::parse(&bytes));
        if let Some(claim) = &claim {
            lock(&self.claims).insert((task, attempt), claim.clone());
        }
        Ok(claim)
    }

    /// True for a result that the maker of its claim has left.
    pub fn counts(&self, store: &dyn NameStore, result: &ResultName) -> Result<bool> {
        let known = lock(&self.claims).get(&(result.task, result.attempt)).is_some_and(|claim| claim.is_of(result));
        // Of two that have won a claim, it may have named the other one when it was read.
        Ok(known || self.claim(store, result.task, result.attempt)?.is_some_and(|claim| claim.is_of(result)))
    }

    /// What the makers of a task's claims have built, the first claim first.
    pub fn built(&self, store: &dyn NameStore, task: Task) -> Result<Vec<ResultName>> {
        let listed: Vec<ResultName> = lock(&self.listed).get(&task).into_iter().flatten().cloned().collect();
        let mut built = Vec::new();
        for result in listed.into_iter().filter(|result| result.outcome == Outcome::Built) {
            if self.counts(store, &result)? {
                built.push(result);
            }
        }
        built.sort_by_key(|result| result.attempt);
        Ok(built)
    }
}
