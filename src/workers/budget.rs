//! How many names a worker can still make, where a store or a plan bounds that: claims, results and signs of life together.
//!
//! In: names that were made, and what the worker has in hand. Out: whether there is one for a sign, and whether there are enough for one more task. The thread with the signs counts too.

use std::sync::atomic::{AtomicU32, Ordering};

/// The part of all names that is kept for signs of life while the last tasks are built.
const SIGNS: u32 = 8;

/// Names of a worker.
#[derive(Debug, Default)]
pub struct Budget {
    most: Option<u32>,
    /// Names that were made, or may have been.
    made: AtomicU32,
    /// Results that are still to be left.
    owed: AtomicU32,
}

impl Budget {
    /// So many names in all; none where nothing bounds that.
    pub fn new(most: Option<u32>) -> Self {
        Self { most, ..Self::default() }
    }

    /// Whether names are few.
    pub fn is_bounded(&self) -> bool {
        self.most.is_some()
    }

    /// A name was made, or may have been.
    pub fn made(&self) {
        self.made.fetch_add(1, Ordering::Relaxed);
    }

    /// So many results are to be left.
    pub fn owes(&self, results: usize) {
        self.owed.store(u32::try_from(results).unwrap_or(u32::MAX), Ordering::Relaxed);
    }

    /// Takes a name for a sign of life, unless results need all that are left.
    pub fn sign(&self) -> bool {
        let owed = self.owed.load(Ordering::Relaxed);
        let one_more = |made: u32| self.most.is_none_or(|most| made.saturating_add(owed) < most).then_some(made + 1);
        self.made.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).is_ok()
    }

    /// Whether one more task can be claimed and its result be left, beside signs of life until then.
    pub fn has_room(&self) -> bool {
        let needed = self.made.load(Ordering::Relaxed).saturating_add(self.owed.load(Ordering::Relaxed));
        self.most.is_none_or(|most| needed.saturating_add(2 + most / SIGNS) <= most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_that_are_owed_can_be_left_whatever_signs_take() {
        let budget = Budget::new(Some(16));
        let mut tasks = 0;
        while budget.has_room() {
            budget.made();
            tasks += 1;
            budget.owes(tasks);
        }
        assert_eq!(tasks, 7, "two are for signs");
        let signs = (0..100).take_while(|_| budget.sign()).count();
        assert_eq!(signs, 2);
        (0..tasks).for_each(|_| budget.made());
        budget.owes(0);
        assert!(!budget.sign() && !budget.has_room());
        let free = Budget::new(None);
        free.owes(usize::MAX);
        assert!(free.has_room() && free.sign() && !free.is_bounded());
    }
}
