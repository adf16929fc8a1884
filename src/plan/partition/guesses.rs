//! Chooses between plans by what they are worth when durations turn out other than guessed.
//!
//! In: plans of one problem, made with different reserves. Out: the one whose makespan is the shortest on average, among those that use less than half of the machine time that a
//! job a derivation takes. Every plan is run on paper with the same few sets of durations, drawn around the guesses from a heavy tail: most builds are shorter than
//! guessed, a few very much longer. What is drawn for a derivation depends on its name, not on what else is built.

use super::jobs::{Ground, Jobs};
use super::portfolio::{Choice, judged};
use super::schedule::Scheduler;
use super::sweep::alive;
use super::zero::mix;
use crate::plan::problem::{Millis, Problem};

/// Sets of durations.
const DRAWS: u64 = 8;

/// The median of real durations as a part of the guess, and their 99th percentile: for a guess of a minute, 40 s and 20 minutes. An assumption; what real package sets
/// take is of this kind.
const MEDIAN: f64 = 2.0 / 3.0;
const NINETY_NINTH: f64 = 20.0;

/// The most machine time that a plan may use beside a job a derivation. No more than half is promised; draws differ by a few hundredths.
const MOST_JOB_TIME: f64 = 0.46;

/// The plan that is best with durations around the guesses.
pub fn sturdiest(ground: &Ground, plans: Vec<Choice>) -> Choice {
    if plans.len() < 2 {
        return plans.into_iter().next().unwrap_or_default();
    }
    let mut sums = vec![(0, 0); plans.len()];
    let mut alone = 0;
    for draw in 0..DRAWS {
        let problem = drawn(ground.problem, draw);
        let mut scheduler = Scheduler::new(&problem);
        let ground = Ground { problem: &problem, ..*ground };
        alone += problem.duration.iter().map(|duration| duration + ground.start_up).sum::<Millis>();
        for (plan, sums) in plans.iter().zip(&mut sums) {
            let run = judged(&ground, with_durations(&ground, &mut scheduler, &plan.jobs), 0);
            *sums = (sums.0 + run.makespan, sums.1 + run.job_time);
        }
    }
    let most = (alone as f64 * MOST_JOB_TIME) as Millis;
    let key = |&(makespan, job_time): &(Millis, Millis)| (job_time.saturating_sub(most), makespan);
    let best = (0..plans.len()).min_by_key(|&plan| key(&sums[plan])).unwrap_or(0);
    plans.into_iter().nth(best).unwrap_or_default()
}

/// The problem with durations that might turn out to be the real ones. What is cheap is known to be.
fn drawn(problem: &Problem, draw: u64) -> Problem {
    let duration = (0..problem.len()).map(|node| match problem.cheap[node] {
        true => problem.duration[node],
        false => (problem.duration[node] as f64 * factor(problem.name_hash[node], draw)) as Millis,
    });
    Problem { duration: duration.collect(), ..problem.clone() }
}

/// Log-normal, by the method of Box and Muller.
fn factor(name: u64, draw: u64) -> f64 {
    let uniform = |index: u64| ((mix(name ^ mix(2 * draw + index + 1)) >> 11) as f64 + 0.5) / (1u64 << 53) as f64;
    let normal = (-2.0 * uniform(0).ln()).sqrt() * (2.0 * std::f64::consts::PI * uniform(1)).cos();
    // 2.326 standard deviations above the median is the 99th percentile.
    MEDIAN * (normal * (NINETY_NINTH / MEDIAN).ln() / 2.326).exp()
}

fn with_durations(ground: &Ground, scheduler: &mut Scheduler, jobs: &Jobs) -> Jobs {
    let mut jobs = jobs.clone();
    for job in alive(&jobs).collect::<Vec<_>>() {
        let state = &mut jobs.list[job as usize];
        state.length = state.start_up + scheduler.length(&state.tasks, ground.model.slots_of(state.system));
    }
    jobs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_drawn_from_a_heavy_tail() {
        let mut factors: Vec<f64> = (0..20_000).map(|name| factor(mix(name), 3)).collect();
        factors.sort_by(f64::total_cmp);
        let at = |part: f64| factors[(part * factors.len() as f64) as usize];
        assert!((0.63..0.70).contains(&at(0.5)), "{}", at(0.5));
        assert!((17.0..23.0).contains(&at(0.99)), "{}", at(0.99));
    }

    #[test]
    fn what_is_cheap_takes_what_it_takes() {
        let problem = Problem {
            duration: vec![5_000, 60_000],
            cheap: vec![true, false],
            name_hash: vec![mix(1), mix(2)],
            ..Problem::default()
        };
        let (a, b) = (drawn(&problem, 0).duration, drawn(&problem, 1).duration);
        assert_eq!((a[0], b[0]), (5_000, 5_000));
        assert!(a[1] != b[1] && a[1] != 60_000);
    }
}
