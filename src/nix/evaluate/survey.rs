//! Asks questions whose answers are mostly failures, in processes that outlive a failure.
//!
//! In: questions. Out: the answers, with Nix's own messages; none to a question that such a process cannot be asked or has too little
//! memory for, which is left to others. Each thread has one part of the questions and one process at a time; one that dies, as it runs
//! out of stack or time, is begun anew with the questions that are left.

use std::collections::{BTreeMap, BTreeSet};
use std::thread;

use anyhow::Result;

use super::budget::Budget;
use super::message;
use super::process::{self, Heard, Next, ProcessEnd, ProcessLimits};
use super::query::{self, Answer, AnswerLine, Question};
use super::round::START;
use super::session::Session;
use super::survivor::Survivor;

/// Questions that are worth a process of their own: each evaluates anew what all have in common.
const PER_PROCESS: usize = 256;

/// Asks the questions at these indexes.
pub fn ask(
    session: &Session,
    questions: &[Question],
    items: &[usize],
    budget: &Budget,
) -> Result<BTreeMap<usize, Answer>> {
    let workers = budget.workers_for(items.len()).min(items.len().div_ceil(PER_PROCESS)).max(1);
    let part = |worker: usize| &items[items.len() * worker / workers..items.len() * (worker + 1) / workers];
    let parts: Vec<Result<BTreeMap<usize, Answer>>> = thread::scope(|scope| {
        let threads: Vec<_> = (0..workers)
            .map(|worker| scope.spawn(move || Survey { session, questions, budget }.all(part(worker))))
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    });
    parts.into_iter().try_fold(BTreeMap::new(), |mut all, part| {
        all.append(&mut part?);
        Ok(all)
    })
}

struct Survey<'s> {
    session: &'s Session<'s>,
    questions: &'s [Question],
    budget: &'s Budget,
}

/// What is known about the question that a process is at.
struct Current {
    index: usize,
    place: Option<String>,
    found: Option<String>,
    thrown: bool,
}

impl Survey<'_> {
    /// One process after the other, as long as each gets further.
    fn all(&self, items: &[usize]) -> Result<BTreeMap<usize, Answer>> {
        let mut left: BTreeSet<usize> = items.iter().copied().collect();
        let mut answers = BTreeMap::new();
        while !left.is_empty() && !self.session.is_stopped() {
            let (mut found, stuck) = self.process(&left)?;
            if found.is_empty() {
                // A new process would come no further.
                let Some(stuck) = stuck else { break };
                left.remove(&stuck);
            }
            for (index, answer) in &found {
                left.remove(index);
                self.session.count_answer(&self.questions[*index], !matches!(answer, Answer::Failed(_)));
            }
            answers.append(&mut found);
        }
        Ok(answers)
    }

    /// What one process answers, and the question that it was at without an answer.
    fn process(&self, left: &BTreeSet<usize>) -> Result<(BTreeMap<usize, Answer>, Option<usize>)> {
        let outputs = self.session.outputs;
        let questions = left.iter().map(|index| (*index, &self.questions[*index]));
        let survivor = outputs.survivor(self.session.token(), questions)?;
        let mut command = survivor.command(self.session.nix)?;
        command.env("GC_MARKERS", self.budget.collectors.to_string());
        let limits = ProcessLimits {
            memory: self.budget.memory,
            inherits: !outputs.may_build(),
            answer: self.budget.attribute,
            start: self.budget.attribute.max(START),
        };
        let mut answers = BTreeMap::new();
        let mut current: Option<Current> = None;
        let end = process::run(command, self.session.mark(), &limits, |said| {
            let Heard::Line { text, before } = said else {
                self.session.count(|_| {});
                return Ok(if self.session.is_stopped() { Next::Stop } else { Next::Continue });
            };
            match (query::read(text), &mut current) {
                (Ok(AnswerLine::Ready { at, .. }), _) => {
                    let begun = at.filter(|index| left.contains(index));
                    let begun = begun.map(|index| Current { index, place: None, found: None, thrown: false });
                    if let Some(over) = std::mem::replace(&mut current, begun) {
                        let (index, answer) = self.failure(&survivor, over, &String::from_utf8_lossy(before));
                        answers.extend(answer.map(|answer| (index, answer)));
                    }
                }
                (Ok(AnswerLine::Place(place)), Some(current)) => current.place = Some(place),
                (Ok(AnswerLine::Caught), Some(current)) => current.thrown = true,
                (Ok(AnswerLine::Found(drv_path)), Some(current)) => current.found = Some(drv_path),
                (Ok(AnswerLine::Answer(answer)), Some(Current { index, .. })) => {
                    answers.insert(*index, answer);
                    current = None;
                }
                // Nothing begun, or nothing that can be read: somebody else has to ask.
                _ => current = None,
            }
            Ok(Next::Continue)
        })?;
        let Some(current) = current else { return Ok((answers, None)) };
        let stuck = current.index;
        match end {
            ProcessEnd::Exited(status, said) if !process::ran_out_of_memory(status, &said) => {
                let (index, answer) = self.failure(&survivor, current, &said);
                let died = || (!status.success()).then(|| Answer::Failed(process::died(status).into()));
                answers.extend(answer.or_else(died).map(|answer| (index, answer)));
            }
            ProcessEnd::OverTime => {
                self.session.note_incident();
                answers.insert(current.index, Answer::Failed(self.budget.too_long().into()));
            }
            ProcessEnd::Exited(..) | ProcessEnd::OverMemory | ProcessEnd::Stopped => {}
        }
        Ok((answers, Some(stuck)))
    }

    /// The answer to a question that failed, if Nix said something.
    fn failure(
        &self,
        survivor: &Survivor,
        Current { index, place, found, thrown }: Current,
        said: &str,
    ) -> (usize, Option<Answer>) {
        let said = survivor.own_words(said);
        let failure = message::failure(&said, &self.session.outputs.evidence(place.as_deref(), thrown));
        let answer = failure.map(|failure| {
            if failure.cause.is_incident() {
                self.session.note_incident();
            }
            match found {
                Some(drv_path) => Answer::Mute(drv_path, failure.message),
                None => Answer::Failed(failure),
            }
        });
        (index, answer)
    }
}
