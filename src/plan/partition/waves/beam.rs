//! Chooses how long each wave may be: a beam search over budgets.
//!
//! In: the [`Instance`], the most waves, and what a wave costs besides. Out: waves whose sum is short. A state of the search is what is done after some waves; from each, every
//! budget that is worth trying is judged by the path that it leaves, and the best few are filled.

use super::barrier::Barrier;
use super::columns::Columns;
use super::fill::{Filler, Wave};
use crate::plan::partition::jobs::Instance;
use crate::plan::partition::units::Unit;
use crate::plan::problem::Millis;

/// States that are kept after each wave.
const KEPT: usize = 4;

/// Budgets closer to each other than this count as the same, milliseconds.
const STEP: Millis = 5_000;

/// One way to choose.
#[derive(Clone, Copy, Debug)]
pub struct Taste {
    /// What the path that is left costs on top of its length, in parts of it: start-ups and queues of the waves to come.
    pub waiting: f64,
    /// What the work that hangs on the longest paths left costs, in parts of it.
    pub front: f64,
    /// Budgets are multiples of this, milliseconds; of twice or four times as much where they are long.
    pub step: Millis,
}

#[derive(Clone)]
struct State {
    done: Vec<bool>,
    left: usize,
    elapsed: Millis,
    score: f64,
    waves: Vec<Wave>,
}

struct Choice {
    state: usize,
    length: Millis,
    rest: Millis,
    elapsed: Millis,
    score: f64,
}

/// The shortest waves found, in order; none where `most` milliseconds or the allowed number of waves do not suffice.
pub fn search(
    instance: &Instance,
    barrier: &Barrier,
    columns: &Columns,
    filler: &mut Filler,
    taste: Taste,
    most: Millis,
) -> Option<Vec<Wave>> {
    let units = instance.units;
    let each = instance.start_up + barrier.queue;
    let mut states =
        vec![State { done: vec![false; units.len()], left: units.len(), elapsed: 0, score: 0.0, waves: Vec::new() }];
    let (mut best, mut shortest) = (None, most);
    let machines = 0.85 * (barrier.runners * instance.model.most_slots()) as f64;
    for number in 0..barrier.waves {
        let last = number + 1 == barrier.waves;
        let mut choices = Vec::new();
        for (index, state) in states.iter().enumerate() {
            let order: Vec<Unit> = columns.by_tail.iter().copied().filter(|&unit| !state.done[unit as usize]).collect();
            let longest = shortest.saturating_sub(state.elapsed + each).min(instance.longest_build());
            let budgets = filler.budgets(&state.done, &order, longest, taste.step);
            let mut of_state: Vec<Choice> = Vec::new();
            for budget in budgets {
                let elapsed = state.elapsed + each + budget.length;
                if elapsed >= shortest || (last && budget.rest > 0) {
                    continue;
                }
                let waits = if budget.rest > 0 { each as f64 } else { 0.0 };
                let rest = budget.rest as f64;
                let score = elapsed as f64 + (rest * (1.0 + taste.waiting)).max(rest + waits);
                let choice = Choice { state: index, length: budget.length, rest: budget.rest, elapsed, score };
                match of_state.last_mut() {
                    Some(before) if before.length / STEP == choice.length / STEP && choice.rest > 0 => {
                        if choice.score <= before.score {
                            *before = choice;
                        }
                    }
                    _ => of_state.push(choice),
                }
            }
            choices.extend(of_state);
        }
        choices.sort_by(|a, b| a.score.total_cmp(&b.score));
        let mut seen: Vec<(Millis, Millis)> = Vec::new();
        let mut next = Vec::new();
        for choice in choices {
            if seen.len() >= 2 * KEPT || filler.steps.exhausted() {
                break;
            }
            let key = (choice.rest / 1000, choice.elapsed / 20_000);
            if seen.contains(&key) {
                continue;
            }
            seen.push(key);
            let state = &states[choice.state];
            let wave = filler.fill(&state.done, choice.length, &columns.by_tail);
            let mut state = state.clone();
            for &unit in wave.components.iter().flatten() {
                state.done[unit as usize] = true;
                state.left -= 1;
            }
            state.elapsed += each + wave.length;
            state.waves.push(wave);
            if state.left == 0 {
                if state.elapsed < shortest {
                    shortest = state.elapsed;
                    best = Some(state.waves);
                }
                continue;
            }
            let left = (0..units.len()).filter(|&unit| !state.done[unit]);
            let (mut rest, mut work) = (0, 0);
            for unit in left {
                rest = rest.max(columns.through[unit]);
                work += columns.work[unit];
            }
            let front: Millis = (0..units.len())
                .filter(|&unit| !state.done[unit] && columns.through[unit] + 300_000 > rest)
                .map(|unit| columns.work[unit])
                .sum();
            state.score = state.elapsed as f64
                + (rest as f64).max(work as f64 / machines) * (1.0 + taste.waiting)
                + taste.front * front as f64;
            next.push(state);
        }
        next.sort_by(|a, b| a.score.total_cmp(&b.score));
        next.truncate(KEPT);
        states = next;
    }
    best
}
