//! Work, counted: what bounds the search on any graph, and by the same amount on any machine.
//!
//! In: how many elementary steps a piece of work took, about 5 ns each. Out: whether there are any left.

/// A budget of elementary steps.
#[derive(Clone, Debug)]
pub struct Steps {
    spent: u64,
    limit: u64,
}

impl Steps {
    /// A budget of so many steps.
    pub fn new(limit: u64) -> Self {
        Self { spent: 0, limit }
    }

    /// Counts steps that were made.
    pub fn take(&mut self, steps: usize) {
        self.spent += steps as u64;
    }

    /// True where the budget is used up.
    pub fn exhausted(&self) -> bool {
        self.spent >= self.limit
    }

    /// Steps made so far.
    pub fn spent(&self) -> u64 {
        self.spent
    }

    /// Changes the budget, counted from the very start.
    pub fn set_limit(&mut self, limit: u64) {
        self.limit = limit;
    }
}
