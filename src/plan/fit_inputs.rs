//! Plans in which no job takes the results of more others than a provider hands on: with fewer jobs each has fewer before it.
//!
//! In: a way to cut with at most so many jobs, and how many inputs the widest job of a cut has. Out: the cut with the most jobs that was found
//! to fit, or the one without the limit and a sentence that says by how much it does not.

use anyhow::Result;

use super::partition::Solution;

/// Cuts that are tried.
const TRIES: usize = 8;

/// Cuts so that no job has more than `most` inputs.
pub fn fit(
    most: usize,
    cut: impl Fn(Option<usize>) -> Solution,
    widest: impl Fn(&Solution) -> Result<usize>,
) -> Result<Solution> {
    let free = cut(None);
    let needed = widest(&free)?;
    if needed <= most {
        return Ok(free);
    }
    let all = free.partition.jobs.len();
    let (mut low, mut high) = (most + 1, all);
    // With so few jobs it fits, unless there have to be more.
    let mut best = Some(cut(Some(low))).filter(|solution| widest(solution).is_ok_and(|inputs| inputs <= most));
    if best.is_some() {
        for _ in 0..TRIES {
            let middle = low + (high - low) / 2;
            if middle == low {
                break;
            }
            let solution = cut(Some(middle));
            if widest(&solution)? <= most {
                (best, low) = (Some(solution), middle);
            } else {
                high = middle;
            }
        }
    }
    Ok(match best {
        Some(mut solution) => {
            let jobs = solution.partition.jobs.len();
            solution.notes.push(format!(
                "{jobs} jobs in place of {all}, so that none takes the artifacts of more than {most} others: `--handoff packages` has no such limit"
            ));
            solution
        }
        None => {
            let mut solution = free;
            solution.notes.push(format!(
                "a job takes the artifacts of {needed} others, {} more than the {most} that are allowed, and there have to be {all} jobs: use \
                 `--handoff packages`, or `--granularity auto`",
                needed - most
            ));
            solution
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::problem::{JobNodes, Partition};

    /// A cut of so many jobs, each of which takes from all before it.
    fn of(jobs: usize) -> Solution {
        let one = || JobNodes { system: 0, owned: Vec::new(), co_located: Vec::new() };
        Solution { partition: Partition { jobs: (0..jobs).map(|_| one()).collect() }, notes: Vec::new() }
    }

    fn fitted(most: usize, free: usize, least: usize) -> (usize, Vec<String>) {
        let cut = |limit: Option<usize>| of(limit.unwrap_or(free).max(least));
        let solution = fit(most, cut, |solution| Ok(solution.partition.jobs.len() - 1)).unwrap();
        (solution.partition.jobs.len(), solution.notes)
    }

    #[test]
    fn there_are_as_many_jobs_as_fit() {
        assert_eq!(fitted(50, 40, 0), (40, Vec::new()));
        let (jobs, notes) = fitted(50, 300, 0);
        assert_eq!(jobs, 51);
        assert!(notes[0].contains("51 jobs in place of 300"), "{notes:?}");
        let (jobs, notes) = fitted(50, 300, 200);
        assert_eq!(jobs, 300);
        assert!(notes[0].contains("299 others, 249 more than the 50"), "{notes:?}");
    }
}
