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
use super::query::{self, Answer, AnswerLine, Asked, OpenQuestion, Question};
use super::round::START;
use super::session::Session;
use super::survivor::Survivor;
use super::words::Words;

/// Questions that are worth a process of their own: each evaluates anew what all have in common, which in a package set is most of it.
const PER_PROCESS: usize = 16_384;

/// So many processes that die in a row are enough of one thread: it takes a process a question then, and several threads are sooner done.
const DEATHS: usize = 2;

/// Asks the questions at these indexes.
pub fn ask(
    session: &Session,
    questions: &[Question],
    items: &[usize],
    budget: &Budget,
) -> Result<BTreeMap<usize, Answer>> {
    let most = budget.workers.min(items.len());
    let workers = most.min(items.len().div_ceil(PER_PROCESS)).max(1);
    let share = |items: &[usize], workers: usize, deaths: usize| {
        // Nothing else runs.
        let memory = budget.memory.max(budget.most_memory / workers as u64);
        Survey { session, questions, budget, memory }.share(items, workers, deaths)
    };
    let (mut answers, left) = share(items, workers, if workers < most { DEATHS } else { usize::MAX })?;
    if !left.is_empty() {
        answers.append(&mut share(&left, most.min(left.len()), usize::MAX)?.0);
    }
    Ok(answers)
}

/// Answers, and the questions that are left.
type Shared = (BTreeMap<usize, Answer>, Vec<usize>);

struct Survey<'s> {
    session: &'s Session<'s>,
    questions: &'s [Question],
    budget: &'s Budget,
    /// Bytes that one process may hold.
    memory: u64,
}

/// What is known about the question that a process is at.
pub struct Current<N> {
    /// Which it is.
    pub index: N,
    /// Where the attribute is defined.
    pub place: Option<String>,
    /// Its derivation.
    pub found: Option<String>,
    /// Evaluated code has thrown an error.
    pub thrown: bool,
}

impl Survey<'_> {
    /// Shares these questions between so many threads, each of which leaves the rest once so many of its processes have died in a row.
    fn share(&self, items: &[usize], workers: usize, deaths: usize) -> Result<Shared> {
        let part = |worker: usize| &items[items.len() * worker / workers..items.len() * (worker + 1) / workers];
        let parts: Vec<Result<Shared>> = thread::scope(|scope| {
            let threads: Vec<_> =
                (0..workers).map(|worker| scope.spawn(move || self.all(part(worker), deaths))).collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
                .collect()
        });
        parts.into_iter().try_fold(Shared::default(), |(mut answers, mut left), part| {
            let (mut more, rest) = part?;
            answers.append(&mut more);
            left.extend(rest);
            Ok((answers, left))
        })
    }

    /// One process after the other, as long as each gets further and not too many die in a row.
    fn all(&self, items: &[usize], most_deaths: usize) -> Result<Shared> {
        let mut left: BTreeSet<usize> = items.iter().copied().collect();
        let (mut answers, mut deaths) = (BTreeMap::new(), 0);
        while !left.is_empty() && !self.session.is_stopped() {
            if self.session.is_out_of_words(self.budget) {
                self.answer_wordless(&mut left, &mut answers);
                if left.is_empty() {
                    break;
                }
            }
            if deaths >= most_deaths {
                return Ok((answers, left.into_iter().collect()));
            }
            let (mut found, stuck) = self.process(&left)?;
            // One that died has answered the question that it died of, and maybe others before it.
            deaths = if stuck.is_some() && found.len() <= 1 { deaths + 1 } else { 0 };
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
        Ok((answers, Vec::new()))
    }

    /// Answers what is known to fail, in our own words.
    fn answer_wordless(&self, left: &mut BTreeSet<usize>, answers: &mut BTreeMap<usize, Answer>) {
        left.retain(|index| {
            let question = &self.questions[*index];
            let is_known = self.session.has_thrown(question.path());
            if is_known {
                self.session.count_answer(question, false);
                answers.insert(*index, self.budget.wordless());
            }
            !is_known
        });
    }

    /// What one process answers, and the question that it was at without an answer.
    fn process(&self, left: &BTreeSet<usize>) -> Result<(BTreeMap<usize, Answer>, Option<usize>)> {
        let outputs = self.session.outputs;
        let open = |index: usize| {
            let question = &self.questions[index];
            OpenQuestion { index, question, thrown: self.session.has_thrown(question.path()) }
        };
        let questions: Vec<OpenQuestion> = left.iter().map(|index| open(*index)).collect();
        let mut words = Words::new(self.session, self.budget);
        let mut survivor = outputs.survivor(self.session.token(), Asked::Why(&questions), words.wanted)?;
        let mut command = survivor.command(self.session.nix)?;
        command.env("GC_MARKERS", self.budget.collectors.to_string());
        let limits = ProcessLimits {
            memory: self.memory,
            inherits: !outputs.may_build(),
            answer: self.budget.attribute,
            start: self.budget.attribute.max(START),
        };
        let mut answers = BTreeMap::new();
        let mut current: Option<Current<usize>> = None;
        let end = process::run(command, self.session.mark(), &limits, |said| {
            survivor.write();
            let (text, before) = match said {
                Heard::Line { text, before } => (text, before),
                Heard::Nothing { spent } => {
                    words.goes_on(spent);
                    return Ok(if self.session.is_stopped() { Next::Stop } else { Next::Continue });
                }
            };
            match (query::read(text), &mut current) {
                (Ok(AnswerLine::Ready { at, .. }), _) => {
                    words.end();
                    let begun = at.filter(|index| left.contains(index));
                    let begun = begun.map(open).map(|open| Current::new(open.index, open.thrown));
                    if let Some(over) = std::mem::replace(&mut current, begun) {
                        let index = over.index;
                        let answer = over.fails(self.session, &survivor, &String::from_utf8_lossy(before));
                        answers.extend(answer.map(|answer| (index, answer)));
                    }
                    if at.is_none() && survivor.next_part() {
                        survivor.ask(None);
                    }
                    if let Some(Current { index, thrown: true, .. }) = current
                        && words.begin() == Next::Stop
                    {
                        answers.insert(index, self.budget.wordless());
                        current = None;
                        return Ok(Next::Stop);
                    }
                }
                (Ok(AnswerLine::Place(place)), Some(current)) => current.place = place,
                (Ok(AnswerLine::Caught), Some(Current { index, thrown, .. })) => {
                    self.session.note_thrown(self.questions[*index].path().to_vec());
                    *thrown = true;
                    let next = if words.wanted { words.begin() } else { Next::Continue };
                    if !words.wanted || next == Next::Stop {
                        answers.insert(*index, self.budget.wordless());
                        current = None;
                    }
                    return Ok(next);
                }
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
        words.end();
        let Some(current) = current else { return Ok((answers, None)) };
        let stuck = current.index;
        match end {
            ProcessEnd::Exited(status, said) if !process::ran_out_of_memory(status, &said) => {
                let answer = current.fails(self.session, &survivor, &said);
                let died = || (!status.success()).then(|| Answer::Failed(process::died(status).into()));
                answers.extend(answer.or_else(died).map(|answer| (stuck, answer)));
            }
            ProcessEnd::OverTime => {
                self.session.note_incident();
                answers.insert(current.index, Answer::Failed(self.budget.too_long().into()));
            }
            ProcessEnd::Exited(..) | ProcessEnd::OverMemory | ProcessEnd::Stopped => {}
        }
        Ok((answers, Some(stuck)))
    }
}

impl<N> Current<N> {
    /// Begins.
    pub fn new(index: N, thrown: bool) -> Self {
        Self { index, place: None, found: None, thrown }
    }

    /// Its answer where it fails, if Nix said something.
    pub fn fails(self, session: &Session, survivor: &Survivor, said: &str) -> Option<Answer> {
        let said = survivor.own_words(said);
        let failure = message::failure(&said, &session.outputs.evidence(self.place.as_deref(), self.thrown))?;
        if failure.cause.is_incident() {
            session.note_incident();
        }
        Some(match self.found {
            Some(drv_path) => Answer::Mute(drv_path, failure.message),
            None => Answer::Failed(failure),
        })
    }
}
