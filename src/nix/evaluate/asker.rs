//! Asks a flake any number of questions, with several processes at once, each within its budget.
//!
//! In: [`Question`]s. Out: one [`Answer`] a question, in order, the same for any number of processes. It takes rounds: first all
//! questions; then, for Nix's own message, those that failed, in processes that outlive a failure; at last those that such a process
//! could not answer, each in one that may die of it. Whoever has more questions asks them all once before those that failed are asked again,
//! as each round evaluates anew what all have in common. After each round come the ones that a process's memory was too small for, with
//! fewer processes that have more of it.

use std::collections::BTreeMap;

use anyhow::{Context, Result};

use super::budget::Budget;
use super::query::{Answer, Question};
use super::round::QuestionRound;
use super::session::{Progress, Session};
use super::shares::QuestionOutcome;
use super::survey;
use super::sweep;

/// Asks one flake.
pub struct Asker<'a> {
    session: Session<'a>,
    budget: Budget,
}

impl<'a> Asker<'a> {
    /// Within this budget.
    pub fn new(session: Session<'a>, budget: Budget) -> Self {
        Self { session, budget }
    }

    /// Whether some failure may not happen again.
    pub fn is_incidental(&self) -> bool {
        self.session.is_incidental()
    }

    /// Whether the flake has inputs that its lock does not cover, or other ones than it covers.
    pub fn has_new_inputs(&self) -> bool {
        self.session.has_new_inputs()
    }

    /// Counts what came of all answers: some answers that are sound are no derivation where there has to be one.
    pub fn count_result(&self, evaluated: usize, failed: usize) {
        self.session.count(|progress| *progress = Progress { evaluated, failed, left: 0 });
    }

    /// Answers every question, or fails if the flake as a whole does not evaluate.
    pub fn ask(&self, questions: &[Question]) -> Result<Vec<Answer>> {
        let mut answers = self.ask_once(questions)?;
        let failed: Vec<usize> = (0..questions.len()).filter(|index| answers[*index].is_none()).collect();
        let open: Vec<Question> = failed.iter().map(|index| questions[*index].clone()).collect();
        for (index, answer) in failed.into_iter().zip(self.ask_again(&open)?) {
            answers[index] = Some(answer);
        }
        Ok(answers.into_iter().flatten().collect())
    }

    /// Answers what evaluates; each of the others has to be [asked again](Self::ask_again).
    pub fn ask_once(&self, questions: &[Question]) -> Result<Vec<Option<Answer>>> {
        self.session
            .count(|progress| progress.left += questions.iter().filter(|question| question.is_derivation()).count());
        let (mut answers, mut open) = (BTreeMap::new(), Vec::new());
        for (index, question) in questions.iter().enumerate() {
            match self.session.known(question) {
                Some(Some(answer)) => {
                    // It was counted when it came.
                    self.session.count(|progress| progress.left = progress.left.saturating_sub(1));
                    answers.insert(index, answer);
                }
                Some(None) => {}
                None => open.push(index),
            }
        }
        let swept = sweep::suited(&self.session, questions, &open);
        if !swept.is_empty() {
            answers.append(&mut sweep::ask(&self.session, questions, &swept, &self.budget)?);
            open.retain(|index| !answers.contains_key(index));
        }
        self.rounds(questions, open, true, &mut answers)?;
        Ok((0..questions.len()).map(|index| answers.remove(&index)).collect())
    }

    /// Answers questions that had no answer when they were asked once.
    pub fn ask_again(&self, questions: &[Question]) -> Result<Vec<Answer>> {
        let (mut answers, mut failed) = (BTreeMap::new(), (0..questions.len()).collect::<Vec<_>>());
        if self.session.outlives_failures() && !failed.is_empty() {
            answers.append(&mut survey::ask(&self.session, questions, &failed, &self.budget)?);
            failed.retain(|index| !answers.contains_key(index));
        }
        self.rounds(questions, failed, false, &mut answers)?;
        // Every question has been answered by then; in doubt, too few answers would put the rest out of step.
        let answer = |index| answers.remove(&index).context("a question has no answer");
        (0..questions.len()).map(answer).collect()
    }

    /// Answers what evaluates, at once and in little time, without a message for what does not: after a process that died the rest has no
    /// answer either.
    pub fn try_ask(&self, questions: &[Question]) -> Result<Vec<Option<Answer>>> {
        let items: Vec<usize> = (0..questions.len()).collect();
        let round = QuestionRound::new(&self.session, questions, &items, true, self.budget.brief()).fragile();
        let answer = |(_, outcome)| match outcome {
            QuestionOutcome::Answer(Answer::Failed(_)) | QuestionOutcome::Died | QuestionOutcome::TooLarge => None,
            // What fails in one of them and not in the other is a difference.
            QuestionOutcome::Caught => Some(Answer::Same(false)),
            QuestionOutcome::Answer(answer) => Some(answer),
        };
        Ok(round.run()?.into_iter().map(answer).collect())
    }

    /// Asks these until no budget is left that could answer more of them; gives those that failed without a message.
    fn rounds(
        &self,
        questions: &[Question],
        mut items: Vec<usize>,
        guarded: bool,
        answers: &mut BTreeMap<usize, Answer>,
    ) -> Result<Vec<usize>> {
        let mut failed = Vec::new();
        let mut budget = Some(self.budget);
        while let Some(current) = budget.filter(|_| !items.is_empty()) {
            budget = current.fewer();
            let outcomes = QuestionRound::new(&self.session, questions, &items, guarded, current).run()?;
            items.clear();
            for (index, outcome) in outcomes {
                match outcome {
                    QuestionOutcome::Answer(answer) => drop(answers.insert(index, answer)),
                    QuestionOutcome::Caught | QuestionOutcome::Died => failed.push(index),
                    QuestionOutcome::TooLarge if budget.is_some() => items.push(index),
                    QuestionOutcome::TooLarge => {
                        self.session.note_incident();
                        self.session.count_answer(&questions[index], false);
                        answers.insert(index, Answer::Failed(current.too_large().into()));
                    }
                }
            }
        }
        Ok(failed)
    }
}
