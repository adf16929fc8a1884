//! Asks a flake any number of questions, with several processes at once, each within its budget.
//!
//! In: [`Question`]s. Out: one [`Answer`] a question, in order, the same for any number of processes. It takes rounds: first all
//! questions; then, for Nix's own message, those whose failure `tryEval` caught; and after each the ones that a process's memory was
//! too small for, with fewer processes that have more of it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, anyhow};
use ring::rand::{SecureRandom, SystemRandom};

use super::budget::Budget;
use super::outputs::Outputs;
use super::query::{Answer, Question};
use super::round::{Outcome, Round};
use super::{flake, message};
use crate::nix::command::Nix;

/// How far evaluation has come, in attributes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// With a result.
    pub evaluated: usize,
    /// That do not evaluate.
    pub failed: usize,
    /// Still to come, as far as is known.
    pub left: usize,
}

/// Asks one flake.
pub struct Asker<'a> {
    pub(super) nix: &'a Nix,
    pub(super) outputs: &'a Outputs,
    /// What begins a line of answers; evaluated code does not know it.
    pub(super) mark: String,
    /// For messages.
    flake: &'a str,
    budget: Budget,
    /// Hears of progress often, from any thread.
    watch: &'a (dyn Fn(&Progress) + Sync),
    progress: Mutex<Progress>,
    incidental: AtomicBool,
}

impl<'a> Asker<'a> {
    /// `flake` is its name in messages.
    pub fn new(
        nix: &'a Nix,
        outputs: &'a Outputs,
        flake: &'a str,
        budget: Budget,
        watch: &'a (dyn Fn(&Progress) + Sync),
    ) -> Result<Self> {
        let mut random = [0; 16];
        SystemRandom::new().fill(&mut random).map_err(|_| anyhow!("this machine has no random numbers"))?;
        let mark = format!("nixdag-{:032x}", u128::from_le_bytes(random));
        Ok(Self {
            nix,
            outputs,
            mark,
            flake,
            budget,
            watch,
            progress: Mutex::default(),
            incidental: AtomicBool::new(false),
        })
    }

    /// Answers every question, or fails if the flake as a whole does not evaluate.
    pub fn ask(&self, questions: &[Question]) -> Result<Vec<Answer>> {
        self.count(|progress| progress.left += questions.iter().filter(|question| question.is_derivation()).count());
        let mut answers = BTreeMap::new();
        let caught = self.rounds(questions, (0..questions.len()).collect(), true, &mut answers)?;
        self.rounds(questions, caught, false, &mut answers)?;
        // Every question has been answered by then; in doubt, too few answers would put the rest out of step.
        let answer = |index| answers.remove(&index).context("a question has no answer");
        (0..questions.len()).map(answer).collect()
    }

    /// Asks these until no budget is left that could answer more of them; gives those that `tryEval` caught.
    fn rounds(
        &self,
        questions: &[Question],
        mut items: Vec<usize>,
        guarded: bool,
        answers: &mut BTreeMap<usize, Answer>,
    ) -> Result<Vec<usize>> {
        let mut caught = Vec::new();
        let mut budget = Some(self.budget);
        while let Some(current) = budget.filter(|_| !items.is_empty()) {
            budget = current.fewer();
            let outcomes = Round::new(self, questions, &items, guarded, current).run()?;
            items.clear();
            for (index, outcome) in outcomes {
                match outcome {
                    Outcome::Answer(answer) => drop(answers.insert(index, answer)),
                    Outcome::Caught => caught.push(index),
                    Outcome::TooLarge if budget.is_some() => items.push(index),
                    Outcome::TooLarge => {
                        self.note_incident();
                        self.count_answer(&questions[index], false);
                        answers.insert(index, Answer::Failed(too_large(&current)));
                    }
                }
            }
        }
        Ok(caught)
    }

    /// Whether some failure may not happen again.
    pub fn is_incidental(&self) -> bool {
        self.incidental.load(Ordering::Relaxed)
    }

    /// Notes that a failure may not happen again.
    pub(super) fn note_incident(&self) {
        self.incidental.store(true, Ordering::Relaxed);
    }

    /// Counts a question as answered.
    pub(super) fn count_answer(&self, question: &Question, sound: bool) {
        if question.is_derivation() {
            self.count(|progress| {
                progress.left = progress.left.saturating_sub(1);
                *if sound { &mut progress.evaluated } else { &mut progress.failed } += 1;
            });
        }
    }

    /// Tells how far it has come, after a change.
    pub(super) fn count(&self, change: impl FnOnce(&mut Progress)) {
        let mut progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut progress);
        let now = *progress;
        drop(progress);
        (self.watch)(&now);
    }

    /// The error for a flake whose outputs do not evaluate.
    pub(super) fn flake_failure(&self, message: &str) -> anyhow::Error {
        if message::is_fetch_failure(message) {
            return flake::cannot_fetch(self.flake, message);
        }
        // Newer versions read the URLs of the flake's substituters before anything is evaluated.
        let hint = if self.outputs.accepts_flake_config && message.contains("Nix store") {
            " (mend the flake's `nixConfig`, or leave out `--accept-flake-config`)"
        } else {
            ""
        };
        anyhow!("the outputs of flake `{}` do not evaluate: {message}{hint}", self.flake)
    }
}

/// The message for what takes more memory than there is.
pub(super) fn too_large(budget: &Budget) -> String {
    format!("evaluation takes more than {} MB of memory (allow more with `--eval-memory`)", budget.memory >> 20)
}

/// The message for what takes more time than it may.
pub(super) fn too_long(budget: &Budget) -> String {
    format!("evaluation takes more than {} seconds (allow more with `--eval-timeout`)", budget.attribute.as_secs())
}
