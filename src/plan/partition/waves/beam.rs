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
struct BeamState {
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

/// What is searched.
pub struct Beam<'a> {
    /// What is built, in units.
    pub instance: &'a Instance<'a>,
    /// What a wave costs, and how many there may be.
    pub barrier: &'a Barrier,
    /// What the search knows of each unit.
    pub columns: &'a Columns,
    /// How states are judged.
    pub taste: Taste,
    /// In which order what is on no longest path is looked at; inputs come before their consumers.
    pub then: &'a [Unit],
}

impl Beam<'_> {
    /// The shortest waves found, in order; none where `most` milliseconds or the allowed number of waves do not suffice.
    pub fn search(&self, filler: &mut Filler, most: Millis) -> Option<Vec<Wave>> {
        let units = self.instance.units.len();
        let mut states =
            vec![BeamState { done: vec![false; units], left: units, elapsed: 0, score: 0.0, waves: Vec::new() }];
        let (mut best, mut shortest) = (None, most);
        for number in 0..self.barrier.waves {
            let last = number + 1 == self.barrier.waves;
            let mut choices = Vec::new();
            for (index, state) in states.iter().enumerate() {
                choices.extend(self.choices(index, state, filler, (shortest, last)));
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
                let mut state = self.follow(&states[choice.state], choice.length, filler);
                if state.left == 0 {
                    if state.elapsed < shortest {
                        shortest = state.elapsed;
                        best = Some(state.waves);
                    }
                    continue;
                }
                state.score = self.score(&state);
                next.push(state);
            }
            next.sort_by(|a, b| a.score.total_cmp(&b.score));
            next.truncate(KEPT);
            states = next;
        }
        best
    }

    /// What a wave costs beside what it builds, milliseconds.
    fn overhead(&self) -> Millis {
        self.instance.start_up + self.barrier.queue
    }

    /// Budgets for the next wave of a state; of those that are as good as the same, the best. `shortest` is what there is already, `last` true where
    /// no wave follows.
    fn choices(
        &self,
        index: usize,
        state: &BeamState,
        filler: &mut Filler,
        (shortest, last): (Millis, bool),
    ) -> Vec<Choice> {
        let each = self.overhead();
        let order: Vec<Unit> =
            self.columns.by_tail.iter().copied().filter(|&unit| !state.done[unit as usize]).collect();
        let longest = shortest.saturating_sub(state.elapsed + each).min(self.instance.longest_build());
        let mut choices: Vec<Choice> = Vec::new();
        for budget in filler.budgets(&state.done, &order, longest, self.taste.step) {
            let elapsed = state.elapsed + each + budget.length;
            if elapsed >= shortest || (last && budget.rest > 0) {
                continue;
            }
            let waits = if budget.rest > 0 { each as f64 } else { 0.0 };
            let rest = budget.rest as f64;
            let score = elapsed as f64 + (rest * (1.0 + self.taste.waiting)).max(rest + waits);
            let choice = Choice { state: index, length: budget.length, rest: budget.rest, elapsed, score };
            match choices.last_mut() {
                Some(before) if before.length / STEP == choice.length / STEP && choice.rest > 0 => {
                    if choice.score <= before.score {
                        *before = choice;
                    }
                }
                _ => choices.push(choice),
            }
        }
        choices
    }

    /// The state after one more wave of this length.
    fn follow(&self, state: &BeamState, length: Millis, filler: &mut Filler) -> BeamState {
        let wave = filler.fill(&state.done, length, self.then);
        let mut state = state.clone();
        for &unit in wave.components.iter().flatten() {
            state.done[unit as usize] = true;
            state.left -= 1;
        }
        state.elapsed += self.overhead() + wave.length;
        state.waves.push(wave);
        state
    }

    /// What a state comes to at least, milliseconds, with what experience adds to that.
    fn score(&self, state: &BeamState) -> f64 {
        let columns = self.columns;
        let left = || (0..self.instance.units.len()).filter(|&unit| !state.done[unit]);
        let rest = left().map(|unit| columns.through[unit]).max().unwrap_or(0);
        let work: Millis = left().map(|unit| columns.work[unit]).sum();
        let front: Millis =
            left().filter(|&unit| columns.through[unit] + 300_000 > rest).map(|unit| columns.work[unit]).sum();
        let machines = 0.85 * (self.barrier.runners * self.instance.model.most_slots()) as f64;
        state.elapsed as f64
            + (rest as f64).max(work as f64 / machines) * (1.0 + self.taste.waiting)
            + self.taste.front * front as f64
    }
}
