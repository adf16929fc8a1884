//! Sets of jobs, one row of bits for each job: which jobs stand before it, and which behind it.
//!
//! In: the number of jobs. Out: rows to ask and to unite, at a bit a pair of jobs; for plans of some thousand jobs.

/// One set for each of a number of jobs.
#[derive(Clone, Debug)]
pub struct JobSets {
    words: usize,
    bits: Vec<u64>,
}

impl JobSets {
    /// So many empty sets of so many jobs.
    pub fn new(jobs: usize) -> Self {
        let words = jobs.div_ceil(64);
        Self { words, bits: vec![0; jobs * words] }
    }

    /// The set of one job, 64 jobs a word.
    pub fn of(&self, job: usize) -> &[u64] {
        &self.bits[job * self.words..(job + 1) * self.words]
    }

    /// True where `other` is in the set of `job`.
    pub fn has(&self, job: usize, other: usize) -> bool {
        self.of(job)[other / 64] >> (other % 64) & 1 == 1
    }

    /// Puts `other` into the set of `job`.
    pub fn insert(&mut self, job: usize, other: usize) {
        self.bits[job * self.words + other / 64] |= 1 << (other % 64);
    }

    /// Takes `other` out of the set of `job`.
    pub fn remove(&mut self, job: usize, other: usize) {
        self.bits[job * self.words + other / 64] &= !(1 << (other % 64));
    }

    /// Puts all that is in the set of `other` into that of `job`.
    pub fn unite(&mut self, job: usize, other: usize) {
        for word in 0..self.words {
            self.bits[job * self.words + word] |= self.bits[other * self.words + word];
        }
    }

    /// Empties the set of a job.
    pub fn clear(&mut self, job: usize) {
        self.bits[job * self.words..(job + 1) * self.words].fill(0);
    }
}

/// The jobs in a set, ascending.
pub fn members(set: &[u64]) -> impl Iterator<Item = usize> + '_ {
    set.iter().enumerate().flat_map(|(word, &bits)| {
        std::iter::successors((bits != 0).then_some(bits), |bits| Some(bits & (bits - 1)).filter(|&bits| bits != 0))
            .map(move |bits| word * 64 + bits.trailing_zeros() as usize)
    })
}

/// The number of jobs that both sets have.
pub fn in_both(a: &[u64], b: &[u64]) -> u64 {
    a.iter().zip(b).map(|(a, b)| u64::from((a & b).count_ones())).sum()
}

/// The number of jobs that at least one of two sets has.
pub fn in_either(a: &[u64], b: &[u64]) -> u64 {
    a.iter().zip(b).map(|(a, b)| u64::from((a | b).count_ones())).sum()
}

/// True where the sets have a job in common.
pub fn meet(a: &[u64], b: &[u64]) -> bool {
    a.iter().zip(b).any(|(a, b)| a & b != 0)
}
