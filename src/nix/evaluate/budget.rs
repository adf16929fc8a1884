//! How much evaluation may take: processes, memory, time.
//!
//! In: what somebody asked for, and what the machine has. Out: a [`Budget`].

use std::time::Duration;

use super::machine;
use super::query::Answer;
use crate::plural::counted;

/// Bytes of memory that a process gets at least where nothing else is said: three quarters of what CI machines have for a processor.
const USUAL_MEMORY: u64 = 3 << 29;

/// Processes a processor: they wait tenths of a second for each other when two of them write a derivation at the same time.
const PER_PROCESSOR: usize = 2;

/// Attributes a process that are worth more processes than processors: each evaluates anew what all have in common.
const MANY: usize = 100;

/// More processes than this mostly wait for the store's lock.
const MOST_WORKERS: usize = 32;

/// Seconds that an attribute may take where nothing else is said.
const USUAL_SECONDS: u64 = 300;

/// Processor time for the messages of failures that are known already, where each takes long.
const USUAL_WORDS: Duration = Duration::from_secs(30);

/// Time that an attribute may take where nothing depends on its answer.
const BRIEF: Duration = Duration::from_secs(10);

/// What evaluation may take, as far as somebody says so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BudgetRequest {
    /// Processes that run at the same time.
    pub workers: Option<u32>,
    /// Bytes of memory of one process.
    pub memory: Option<u64>,
    /// Bytes of memory of all processes.
    pub total_memory: Option<u64>,
    /// Time limit of one attribute, in seconds.
    pub attribute_seconds: Option<u64>,
    /// Processor time of Nix for its messages about failures that are known already, where a version takes long for each.
    pub words: Option<Duration>,
}

/// What evaluation may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Processes that run at the same time, at least one.
    pub workers: usize,
    /// The same where each has many attributes, at least as many.
    pub most_workers: usize,
    /// Bytes of memory of one process.
    pub memory: u64,
    /// Bytes of memory that one process gets when no other runs; as much as [`Budget::memory`] where somebody has set that.
    pub most_memory: u64,
    /// Time that one attribute may take.
    pub attribute: Duration,
    /// Processor time for messages of failures that are known already, where a version takes long for each.
    pub words: Duration,
    /// Threads of one process's garbage collector: as many as there are processors for it.
    pub collectors: usize,
}

impl Budget {
    /// The message for what takes more memory than there is.
    pub fn too_large(&self) -> String {
        format!("evaluation takes more than {} MB of memory (allow more with `--eval-memory`)", self.memory >> 20)
    }

    /// The message for what takes more time than it may.
    pub fn too_long(&self) -> String {
        format!(
            "evaluation takes more than {} (allow more with `--eval-timeout`)",
            counted(self.attribute.as_secs(), "second")
        )
    }

    /// The answer about an attribute that fails where Nix may take no more time for its own words.
    pub fn wordless(&self) -> Answer {
        let says = format!(
            "Nix was not asked why: this version takes long to say it, and had {} seconds for the messages of other attributes (select this one \
             alone, or use `nix eval`)",
            self.words.as_secs()
        );
        Answer::Failed(says.into())
    }

    /// The budget on this machine.
    pub fn new(request: &BudgetRequest) -> Self {
        Self::on(request, machine::processors(), machine::memory())
    }

    fn on(request: &BudgetRequest, processors: usize, machine_memory: u64) -> Self {
        // The rest is for the system, its file cache and this program.
        let total = request.total_memory.unwrap_or(machine_memory / 4 * 3);
        let fitting = usize::try_from(total / request.memory.unwrap_or(USUAL_MEMORY)).unwrap_or(usize::MAX);
        let most_workers = match (request.workers, request.memory, request.total_memory) {
            (Some(workers), Some(_), Some(_)) => (workers as usize).min(fitting),
            (Some(workers), _, _) => workers as usize,
            (None, _, _) => (processors * PER_PROCESSOR).min(fitting).min(MOST_WORKERS),
        };
        let most_workers = most_workers.max(1);
        let workers = if request.workers.is_some() { most_workers } else { most_workers.min(processors) };
        let memory = request.memory.unwrap_or(total / most_workers as u64);
        Self {
            workers,
            most_workers,
            memory,
            most_memory: if request.memory.is_some() { memory } else { total },
            attribute: Duration::from_secs(request.attribute_seconds.unwrap_or(USUAL_SECONDS)),
            words: request.words.unwrap_or(USUAL_WORDS),
            collectors: (processors / workers).max(1),
        }
    }

    /// Processes that so many attributes are worth.
    pub fn workers_for(&self, attributes: usize) -> usize {
        let workers = if attributes >= MANY * self.most_workers { self.most_workers } else { self.workers };
        workers.min(attributes)
    }

    /// The same with less time, for questions that may go without an answer.
    pub fn brief(&self) -> Self {
        Self { attribute: self.attribute.min(BRIEF), ..*self }
    }

    /// The same with half as many processes, each with its larger share of the memory; none if there is no more to give.
    pub fn fewer(&self) -> Option<Self> {
        let most_workers = self.most_workers / 2;
        let memory = self.most_memory / most_workers.max(1) as u64;
        let workers = self.workers.min(most_workers);
        (workers > 0 && memory > self.memory).then_some(Self { workers, most_workers, memory, ..*self })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GB: u64 = 1 << 30;

    #[test]
    fn memory_bounds_the_processes_of_a_container_that_sees_the_hosts_processors() {
        let budget = Budget::on(&BudgetRequest::default(), 36, 4 * GB);
        assert_eq!((budget.workers, budget.memory, budget.most_memory), (2, 3 * GB / 2, 3 * GB));
        let budget = Budget::on(&BudgetRequest::default(), 2, 24 * GB);
        assert_eq!((budget.workers, budget.most_workers), (2, 4));
        assert_eq!((budget.memory, budget.most_memory), (18 * GB / 4, 18 * GB));
        assert_eq!([1, 3, 399, 400].map(|attributes| budget.workers_for(attributes)), [1, 2, 2, 4]);
        assert_eq!(Budget::on(&BudgetRequest::default(), 1, 1000).workers, 1);
    }

    #[test]
    fn what_somebody_says_counts() {
        let request = BudgetRequest { workers: Some(4), memory: Some(GB), ..BudgetRequest::default() };
        let budget = Budget::on(&request, 1, GB);
        assert_eq!((budget.workers, budget.memory, budget.most_memory), (4, GB, GB));
        assert_eq!(budget.fewer(), None);
        let budget = Budget::on(&BudgetRequest { total_memory: Some(2 * GB), ..request }, 1, 64 * GB);
        assert_eq!((budget.workers, budget.memory), (2, GB));
        assert_eq!(budget.workers_for(1000), 2);
        let budget = Budget::on(&BudgetRequest { memory: Some(5 * GB), ..BudgetRequest::default() }, 8, 16 * GB);
        assert_eq!((budget.workers, budget.memory), (2, 5 * GB));
    }

    #[test]
    fn fewer_processes_have_more_each() {
        let request = BudgetRequest { workers: Some(5), total_memory: Some(10 * GB), ..BudgetRequest::default() };
        let budget = Budget::on(&request, 8, 64 * GB);
        assert_eq!((budget.workers, budget.memory), (5, 2 * GB));
        let budget = budget.fewer().unwrap();
        assert_eq!((budget.workers, budget.memory), (2, 5 * GB));
        let budget = budget.fewer().unwrap();
        assert_eq!((budget.workers, budget.memory), (1, 10 * GB));
        assert_eq!(budget.fewer(), None);
    }
}
