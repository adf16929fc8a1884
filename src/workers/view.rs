//! What a worker knows of one task.

use super::name::Outcome;
use super::tasks::{Attempt, WorkerNumber};

/// A result: who has left it, for which claim, and what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Left {
    /// The claim that it is for.
    pub attempt: Attempt,
    /// Who has left it.
    pub worker: WorkerNumber,
    /// What became of the task.
    pub outcome: Outcome,
}

/// What is known of a task, from listings and from reading claims.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct View {
    /// The owner of each claim, by attempt, as far as it was read.
    owners: Vec<Option<WorkerNumber>>,
    /// Results that were listed and that nothing is known against.
    listed: Vec<Left>,
    /// The result that counts: left by the owner of its claim.
    counted: Option<Left>,
}

impl View {
    /// A claim exists.
    pub fn claimed(&mut self, attempt: Attempt) {
        if self.owners.len() <= usize::from(attempt) {
            self.owners.resize(usize::from(attempt) + 1, None);
        }
    }

    /// A result was listed. That there is one says that there is a claim. Where that was read to be another worker's and nothing else has come of the task, it is read again: what was
    /// read may be older than the result.
    pub fn left(&mut self, left: Left) {
        self.claimed(left.attempt);
        let owner = &mut self.owners[usize::from(left.attempt)];
        if owner.is_some_and(|owner| owner != left.worker) && self.counted.is_none() {
            *owner = None;
        }
        if !self.listed.contains(&left) && owner.is_none_or(|owner| owner == left.worker) {
            self.listed.push(left);
            self.listed.sort_unstable();
        }
        self.count();
    }

    /// A claim was read.
    pub fn owned(&mut self, attempt: Attempt, owner: WorkerNumber) {
        self.claimed(attempt);
        self.owners[usize::from(attempt)] = Some(owner);
        self.listed.retain(|left| left.attempt != attempt || left.worker == owner);
        self.count();
    }

    /// A claim was looked for and is not there, or not shown yet. To try and make it is safe, so it is taken for not made, and results for it are left out until they are listed again.
    pub fn not_found(&mut self, attempt: Attempt) {
        if self.owners.get(usize::from(attempt)) == Some(&None) {
            self.listed.retain(|left| left.attempt != attempt);
            if self.claims() == attempt + 1 {
                self.owners.pop();
            }
        }
    }

    /// The first result of an owner counts; one that was built comes before one that failed.
    fn count(&mut self) {
        let is_owners = |left: &&Left| self.owners[usize::from(left.attempt)] == Some(left.worker);
        let best = self.listed.iter().filter(is_owners).min_by_key(|left| (left.outcome, left.attempt)).copied();
        if self.counted.is_none_or(|counted| counted.outcome == Outcome::Failed) {
            self.counted = best.or(self.counted);
        }
    }

    /// The result that counts.
    pub fn counted(&self) -> Option<Left> {
        self.counted
    }

    /// The claim to read next in order to know whether a listed result counts, where it would be better than what does.
    pub fn unread(&self) -> Option<Attempt> {
        let is_better = |left: &&Left| self.counted.is_none_or(|counted| left.outcome < counted.outcome);
        let of_listed = self.listed.iter().filter(is_better);
        of_listed.map(|left| left.attempt).find(|attempt| self.owners[usize::from(*attempt)].is_none())
    }

    /// What became of the task by all that is known, read or only listed.
    pub fn outcome(&self) -> Option<Outcome> {
        self.listed.iter().chain(&self.counted).map(|left| left.outcome).min()
    }

    /// How many claims there are.
    pub fn claims(&self) -> Attempt {
        self.owners.len() as Attempt
    }

    /// The owner of the last claim, where it was read.
    pub fn last_owner(&self) -> Option<WorkerNumber> {
        self.owners.last().copied().flatten()
    }
}
