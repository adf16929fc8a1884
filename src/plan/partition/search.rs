//! Local search: takes a few jobs of one stretch of time apart and puts them together again, and keeps what is better.
//!
//! In: jobs that were zeroed or swept. Out: jobs with a smaller makespan, or a smaller total within the deadline. Taking jobs apart into single
//! units never closes a cycle. Stretches are chosen by time and not by number, so that something added elsewhere in the graph changes little.

use super::context::Search;
use super::jobs::{Instance, JobNumber, Jobs};
use super::sweep::{Direction, Sweep, existing, own_target};
use super::units::Unit;
use super::zero::{EdgeOrder, Zeroing, mix};
use crate::plan::problem::Millis;

/// Passes of a merge under a deadline: twice each, forward and backward, with jobs of at most so many start-ups.
const CAPS: [Millis; 6] = [7, 7, 14, 14, 28, 28];
/// Most passes without a cap.
const UNCAPPED: usize = 6;

/// How jobs are taken apart and merged again.
#[derive(Clone, Copy, Debug)]
pub struct Refill {
    /// Milliseconds.
    pub deadline: Millis,
    /// As in [`Sweep`].
    pub reserve: f64,
    pub rounds: u32,
    pub seed: u64,
    /// A connected part of the graph to stay in.
    pub part: Option<Unit>,
}

impl Search<'_> {
    /// Merges all jobs under a deadline in milliseconds.
    pub fn merge_all(&mut self, jobs: &mut Jobs, deadline: Millis, reserve: f64, thrift: i64) {
        let caps = CAPS.iter().map(|cap| Some((cap * self.instance.start_up).max(60_000)));
        for (pass, cap) in caps.chain([None; UNCAPPED]).enumerate() {
            jobs.measure_for(self.instance, deadline);
            let visit: Vec<JobNumber> = existing(jobs).collect();
            let direction = if pass % 2 == 0 { Direction::Forward } else { Direction::Backward };
            let how = Sweep { direction, reserve, exact: 8, window: 24, thrift, most: cap.unwrap_or(Millis::MAX) };
            let merges = self.sweep(jobs, &visit, how);
            if cap.is_none() && merges * 250 < visit.len() {
                break;
            }
        }
    }

    /// Takes critical jobs of a stretch of time apart and zeroes again, so many rounds; keeps what has no larger makespan, until it is `enough`.
    /// Returns the makespan, milliseconds.
    pub fn shorten(&mut self, jobs: &mut Jobs, rounds: u32, seed: u64, enough: Millis) -> Millis {
        let (_, mut makespan) = jobs.measure(self.instance);
        for round in 0..rounds {
            if self.steps.exhausted() || makespan <= enough {
                break;
            }
            self.steps.take(2 * jobs.list.len() + self.instance.problem.len());
            let random = mix(seed.wrapping_add(u64::from(round)).wrapping_mul(0x9e37_79b9_7f4a_7c15));
            let center = random % 1024 * makespan / 1024;
            let width = makespan * (1 + (random >> 10) % 16) / 100;
            let mut trial = jobs.clone();
            let stretch: Vec<JobNumber> = existing(&trial)
                .filter(|&job| {
                    let state = &trial.list[job as usize];
                    let critical = state.earliest_end() + state.tail == makespan;
                    let meets = state.earliest <= center + width && state.earliest_end() + width >= center;
                    critical && meets && state.units.len() > 1
                })
                .collect();
            if stretch.is_empty() {
                continue;
            }
            let mut free = free_places(&trial);
            for job in stretch {
                trial.explode(self.instance, &mut self.scheduler, job, &mut free);
            }
            let order = match (random >> 20) % 4 {
                0 => EdgeOrder::FromStart,
                1 => EdgeOrder::FromEnd,
                2 => EdgeOrder::ShortestFirst,
                _ => EdgeOrder::Shuffled(random),
            };
            let zeroing = Zeroing { order, choices: 4, enough, moves: 200 };
            let reached = self.zero(&mut trial, zeroing);
            if reached <= makespan {
                makespan = reached;
                *jobs = trial;
            }
        }
        makespan
    }

    /// Takes neighbouring, badly filled jobs apart and merges them again within the deadline, so many rounds; keeps what needs no more job time.
    pub fn refill(&mut self, jobs: &mut Jobs, refill: Refill) {
        let Refill { deadline, reserve, rounds, seed, part } = refill;
        jobs.measure_for(self.instance, deadline);
        for round in 0..rounds {
            if self.steps.exhausted() {
                break;
            }
            self.steps.take(2 * jobs.list.len() + self.instance.problem.len());
            let random = mix(seed.wrapping_add(u64::from(round)).wrapping_mul(0x9e37_79b9_7f4a_7c15));
            let mut trial = jobs.clone();
            let stretch = badly_filled(self.instance, &trial, part, random);
            if stretch.len() < 2 {
                continue;
            }
            let mut free = free_places(&trial);
            let mut dirty = Vec::new();
            for job in stretch {
                dirty.extend(trial.explode(self.instance, &mut self.scheduler, job, &mut free));
            }
            let order = if random >> 63 == 0 { EdgeOrder::FromStart } else { EdgeOrder::Shuffled(random) };
            let zeroing = Zeroing { order, choices: 2, enough: deadline, moves: 60 };
            if self.zero(&mut trial, zeroing) > deadline {
                continue;
            }
            let thrift = [0, 1, 2, 4][(random >> 40) as usize % 4];
            for pass in 0..4 {
                trial.measure_for(self.instance, deadline);
                let direction =
                    if (pass % 2 == 0) == (random >> 50 & 1 == 0) { Direction::Forward } else { Direction::Backward };
                let most = if pass < 2 && random >> 51 & 1 == 0 { 10 * self.instance.start_up } else { Millis::MAX };
                let how = Sweep { direction, reserve, exact: 8, window: 24, thrift, most };
                self.steps.take(4 * self.instance.units.len() + 2 * self.instance.units.inputs.edges());
                dirty.retain(|&job| !trial.list[job as usize].units.is_empty());
                self.sweep(&mut trial, &dirty, how);
            }
            trial.measure_for(self.instance, deadline);
            if trial.total() <= jobs.total() {
                *jobs = trial;
            }
        }
    }
}

/// Up to ten of the emptiest jobs around a moment.
fn badly_filled(instance: &Instance, jobs: &Jobs, part: Option<Unit>, random: u64) -> Vec<JobNumber> {
    let center = random % 1024 * jobs.deadline / 1024;
    let count = 2 + (random >> 10) as usize % 9;
    let width = jobs.deadline * (1 + (random >> 16) % 8) / 50;
    let mut near: Vec<(u64, u64, JobNumber)> = existing(jobs)
        .filter_map(|job| {
            let state = &jobs.list[job as usize];
            let meets = state.earliest <= center + width && state.latest_end() as u64 + width >= center;
            let elsewhere = part.is_some_and(|part| instance.units.component[state.units[0] as usize] != part);
            let fixed = state.units.len() == 1 && own_target(instance, jobs, job);
            let filled = state.work * 1000 / (instance.model.slots_of(state.system) as u64 * state.length).max(1);
            let chance = mix(random ^ state.earliest ^ state.length << 20 ^ state.work << 40) % 400;
            (meets && !fixed && !elsewhere).then_some((filled + chance, state.earliest, job))
        })
        .collect();
    near.sort_unstable();
    near.into_iter().take(count).map(|(_, _, job)| job).collect()
}

fn free_places(jobs: &Jobs) -> Vec<JobNumber> {
    let mut free: Vec<JobNumber> =
        (0..jobs.list.len() as JobNumber).filter(|&job| jobs.list[job as usize].units.is_empty()).collect();
    free.reverse();
    free
}
