//! Which jobs or units a walk has seen.

use super::jobs::JobNumber;

/// Which jobs a search has seen, without clearing an array each time.
#[derive(Clone, Debug, Default)]
pub struct Marks {
    seen: Vec<u32>,
    round: u32,
}

impl Marks {
    /// Forgets everything; room for `jobs` jobs.
    pub fn reset(&mut self, jobs: usize) {
        self.round = self.round.wrapping_add(1);
        if self.round == 0 {
            self.seen.clear();
            self.round = 1;
        }
        if self.seen.len() < jobs {
            self.seen.resize(jobs, 0);
        }
    }

    /// True where the job was not marked before.
    pub fn mark(&mut self, job: JobNumber) -> bool {
        std::mem::replace(&mut self.seen[job as usize], self.round) != self.round
    }

    /// True where the job is marked.
    pub fn has(&self, job: JobNumber) -> bool {
        self.seen[job as usize] == self.round
    }
}
