//! How many workers, in how many stages: tried out on paper.
//!
//! In: [`Work`], the model, what the protocol costs, the objective. Out: the best [`Way`]. Among all crews tried whose wall time is near the shortest, how near follows from the
//! objective, those with the least machine time are taken. The number of runs is bounded by the number of units, never by a clock.

use std::cmp::Reverse;
use std::fmt;

use super::crew::{Crew, Lanes, ProtocolCosts};
use super::run::run;
use super::setting::{Outcome, Setting};
use super::work::Work;
use crate::duration::in_words;
use crate::plan::model::{Model, Objective};
use crate::plan::problem::{ANY_SYSTEM, Millis, System};

/// Units over all runs: about a second of one core.
const MOST_UNITS: usize = 800_000;
/// Fewest and most crews that are tried.
const TRIES: std::ops::RangeInclusive<usize> = 4..=160;
/// Numbers of workers that are tried.
const COUNTS: [u32; 14] = [1, 2, 3, 4, 6, 8, 10, 12, 16, 20, 24, 32, 48, 64];
/// Numbers of workers of a first stage that are tried.
const FIRST: [u32; 5] = [2, 1, 4, 3, 6];
/// What is so near the lower bound, in percent of it, is short enough for every objective.
const NEAR_THE_BOUND: Millis = 109;
/// When the second stage starts, in 192nds of the wall time: tried first, then by smaller and smaller steps around the best.
const OPENINGS: [i64; 5] = [36, 72, 16, 52, 104];
const STEPS: [i64; 5] = [20, 8, 4, 2, 1];

/// Workers, what they were given, and how that ran on paper.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Way {
    /// The workers.
    pub crews: Vec<Crew>,
    /// What they were given.
    pub lanes: Lanes,
    /// What happened.
    pub outcome: Outcome,
}

impl Way {
    /// Runs workers without lanes, and once more with the lanes that come of it, in which those leave who are done. None where no worker can build something.
    pub fn new(work: &Work, model: &Model, costs: &ProtocolCosts, crews: Vec<Crew>) -> Option<Self> {
        let mut setting = Setting { work, model, costs, crews: &crews, lanes: None, death: None };
        let free = run(setting)?;
        let lanes = Lanes { units: free.taken, leave_at: free.done_at_last };
        setting.lanes = Some(&lanes);
        let outcome = run(setting)?;
        Some(Self { crews, lanes, outcome })
    }
}

impl fmt::Display for Way {
    /// Workers, wall time and machine time, in words.
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let of_crew = |crew: &Crew| match crew.later {
            0 => format!("{}", crew.first),
            later => format!("{} and, in place of one of them, {later} more", crew.first),
        };
        let crews: Vec<String> = self.crews.iter().map(of_crew).collect();
        let Outcome { makespan, machine_time, .. } = self.outcome;
        write!(f, "{} ({}, machine time {})", crews.join(" + "), in_words(makespan), in_words(machine_time))
    }
}

/// The best workers for some work; none where there is no work, or no machine for some of it.
pub fn choose(work: &Work, model: &Model, costs: &ProtocolCosts, objective: Objective) -> Option<Way> {
    if work.is_empty() {
        return None;
    }
    let most = (MOST_UNITS / work.len()).clamp(*TRIES.start(), *TRIES.end());
    let kinds = kinds(work);
    let mut search = Search { work, model, costs, tried: Vec::new(), left: 1 };
    search.attempt(kinds.iter().map(|&(system, total)| Crew::at_once(system, search.likely(system, total))).collect());
    for (at, &(system, total)) in kinds.iter().enumerate() {
        search.left = most / kinds.len();
        search.counts(at, system, total);
        search.stages(at, Objective::Time);
        search.left += most / kinds.len() / 2;
        search.stages(at, objective);
    }
    Way::new(work, model, costs, search.best(objective)?.crews.clone())
}

/// The kinds of machines with the work for each, the most first; what any machine builds is done beside it.
fn kinds(work: &Work) -> Vec<(System, Millis)> {
    let mut kinds: Vec<(System, Millis)> = Vec::new();
    for (&system, &duration) in work.system.iter().zip(&work.duration) {
        match kinds.iter_mut().find(|(kind, _)| *kind == system) {
            Some((_, total)) => *total += duration,
            None => kinds.push((system, duration)),
        }
    }
    if kinds.len() > 1 {
        kinds.retain(|(system, _)| *system != ANY_SYSTEM);
    }
    kinds.sort_unstable_by_key(|&(system, total)| (Reverse(total), system));
    kinds
}

/// Crews that were tried, and what they took, milliseconds.
#[derive(Clone, Debug)]
struct Tried {
    crews: Vec<Crew>,
    makespan: Millis,
    machine_time: Millis,
    /// Ends of builds.
    ends: Vec<Millis>,
}

struct Search<'a> {
    work: &'a Work,
    model: &'a Model,
    costs: &'a ProtocolCosts,
    tried: Vec<Tried>,
    /// Crews that may still be tried.
    left: usize,
}

impl Search<'_> {
    /// So many workers have as much to do as the longest path takes.
    fn likely(&self, system: System, total: Millis) -> u32 {
        let slots = self.model.slots_of(system) as Millis;
        let path = self.work.longest_path().max(1);
        (total.div_ceil(slots).div_ceil(path) as u32).clamp(1, self.model.concurrency.max(1) as u32)
    }

    /// Runs crews that were not tried yet, while there is time.
    fn attempt(&mut self, crews: Vec<Crew>) {
        if self.left == 0 || self.tried.iter().any(|tried| tried.crews == crews) {
            return;
        }
        self.left -= 1;
        if let Some(Way { crews, outcome, .. }) = Way::new(self.work, self.model, self.costs, crews) {
            let Outcome { makespan, machine_time, ends, .. } = outcome;
            self.tried.push(Tried { crews, makespan, machine_time, ends });
        }
    }

    /// The least machine time near the shortest wall time.
    fn best(&self, objective: Objective) -> Option<&Tried> {
        let percent = match objective {
            Objective::Time => 104,
            Objective::Balanced => 115,
            Objective::Cost => 200,
        };
        let shortest = self.tried.iter().map(|tried| tried.makespan).min()?;
        let enough = (self.work.longest_path() + self.model.start_up).saturating_mul(NEAR_THE_BOUND) / 100;
        let most = (shortest.saturating_mul(percent) / 100).max(enough);
        let near = self.tried.iter().filter(|tried| tried.makespan <= most);
        near.min_by_key(|tried| (tried.machine_time, tried.makespan))
    }

    /// Tries the best crews with another one of this number.
    fn attempt_with(&mut self, at: usize, crew: Crew, objective: Objective) {
        let Some(mut crews) = self.best(objective).map(|best| best.crews.clone()) else { return };
        crews[at] = crew;
        let at_once: u32 = crews.iter().map(|crew| crew.workers() - u32::from(crew.later > 0)).sum();
        if at_once as usize <= self.model.concurrency.max(crews.len()) {
            self.attempt(crews);
        }
    }

    /// Tries numbers of workers of one kind, up to some times the likely one.
    fn counts(&mut self, at: usize, system: System, total: Millis) {
        let likely = self.likely(system, total);
        for count in COUNTS.into_iter().filter(|&count| count <= 3 * likely + 3 && 6 * count >= likely) {
            self.attempt_with(at, Crew::at_once(system, count), Objective::Time);
        }
    }

    /// Tries two stages: first with few workers in the first and as many as were found at once in the second, then whatever is near the best.
    fn stages(&mut self, at: usize, objective: Objective) {
        let Some(best) = self.best(Objective::Time) else { return };
        let (system, most) = (best.crews[at].system, beyond_opener(&best.crews[at]));
        let openings = OPENINGS.map(|part| best.done_at(part));
        for after in openings.into_iter().filter(|&after| after > 0) {
            for first in FIRST.into_iter().filter(|&first| first < most) {
                // The opener makes room for one more.
                self.attempt_with(at, Crew { system, first, later: most - first + 1, after }, objective);
            }
        }
        for step in STEPS {
            let Some(best) = self.best(objective) else { return };
            let crew = best.crews[at];
            if crew.later == 0 {
                return;
            }
            let part = best.part_of(crew.after);
            let near = [
                Crew { after: best.done_at(part - step), ..crew },
                Crew { after: best.done_at(part + step), ..crew },
                Crew { later: crew.later + 1, ..crew },
                Crew { later: crew.later + 2, ..crew },
                Crew { later: crew.later - 1, ..crew },
                Crew { first: crew.first + 1, ..crew },
                Crew { first: crew.first + 1, later: crew.later - 1, ..crew },
                Crew { first: crew.first - 1, later: crew.later + 1, ..crew },
                Crew { first: crew.first - 1, later: crew.later + 1, after: best.done_at(part - step), ..crew },
                Crew { first: crew.first - 1, later: crew.later + 1, after: best.done_at(part - 2 * step), ..crew },
                Crew { later: crew.later + 1, after: best.done_at(part + step), ..crew },
            ];
            for crew in near.into_iter().filter(|crew| crew.first > 0 && crew.later > 0 && crew.after > 0) {
                self.attempt_with(at, crew, objective);
            }
        }
    }
}

/// How many workers there are at most at once.
fn beyond_opener(crew: &Crew) -> u32 {
    crew.workers() - u32::from(crew.later > 0)
}

impl Tried {
    /// How many units were done after so many 192nds of the wall time.
    fn done_at(&self, part: i64) -> u32 {
        self.ends.partition_point(|&end| end as i64 * 192 <= self.makespan as i64 * part) as u32
    }

    /// After how many 48ths of the wall time so many units were done.
    fn part_of(&self, done: u32) -> i64 {
        let end = self.ends.get((done as usize).saturating_sub(1)).copied().unwrap_or(0);
        end as i64 * 192 / (self.makespan as i64).max(1)
    }
}
