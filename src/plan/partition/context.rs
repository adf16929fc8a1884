//! What the steps of a search share: what they work on, a scheduler, marks of walks, and a budget. [`zero`](super::zero), [`sweep`](super::sweep),
//! [`rounds`](super::rounds) and [`search`](super::search) are its methods.

use super::jobs::Instance;
use super::marks::Marks;
use super::schedule::Scheduler;
use super::steps::Steps;

/// A search for the jobs of one instance.
pub struct Search<'a> {
    pub instance: &'a Instance<'a>,
    pub scheduler: Scheduler<'a>,
    pub marks: Marks,
    pub steps: Steps,
}

impl<'a> Search<'a> {
    /// A search with a budget of so many steps.
    pub fn new(instance: &'a Instance<'a>, steps: u64) -> Self {
        Self {
            instance,
            scheduler: Scheduler::new(instance.problem),
            marks: Marks::default(),
            steps: Steps::new(steps),
        }
    }
}
