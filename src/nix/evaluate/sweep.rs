//! Goes through a package set in one process that outlives what fails in it: its packages and those in its sets have most of their
//! evaluation in common, so each process more would do most of it again.
//!
//! In: questions about derivations. Out: the answers, Nix's own messages for what fails included; what is in sets that ask to be entered
//! is noted as known. `nix flake check` says why something fails as it goes; `nix repl` is asked for that at the end, when the rest is there.
//! A process that dies is begun anew with what is left; one that takes too much memory for a single question leaves that to others.

use std::collections::BTreeMap;

use anyhow::{Result, bail};

use super::budget::Budget;
use super::process::{self, Heard, Next, ProcessEnd, ProcessLimits};
use super::query::{self, Answer, AnswerLine, Asked, FOLLOWED, MARK, MAX_ATTRIBUTES, OpenQuestion, Question};
use super::round::START;
use super::session::Session;
use super::survey::Current;
use super::survivor::Survivor;
use super::words::Words;
use crate::attribute::AttributePath;
use crate::printable::printable;

/// The output that is a package set by its meaning: what is in any other may well have nothing in common.
const PACKAGE_SET: &str = "legacyPackages";

/// So many processes in a row that die before they get further are enough.
const DEATHS: usize = 2;

/// Bytes that the process may fill before it collects garbage for the first time, at most: it does a tenth less work then.
const MOST_HEAP: u64 = 4 << 30;

type Path = Vec<String>;

/// Those of the questions at these indexes that one process is best for; none where they are few.
pub fn suited(session: &Session, questions: &[Question], items: &[usize]) -> Vec<usize> {
    if !session.outlives_failures() || !session.enters_at_once() {
        return Vec::new();
    }
    let is_package = |index: &&usize| {
        let question = &questions[**index];
        question.is_derivation() && question.path().len() > 2 && question.path()[0] == PACKAGE_SET
    };
    let suited: Vec<usize> = items.iter().filter(is_package).copied().collect();
    if suited.len() > FOLLOWED { suited } else { Vec::new() }
}

/// Asks the questions at these indexes. One without an answer is left to others.
pub fn ask(
    session: &Session,
    questions: &[Question],
    items: &[usize],
    budget: &Budget,
) -> Result<BTreeMap<usize, Answer>> {
    let open = items.iter().map(|index| (questions[*index].path().to_vec(), questions[*index].clone())).collect();
    let indexes = items.iter().map(|index| (questions[*index].path(), *index)).collect();
    let mut sweep =
        Sweep { session, budget, open, failed: BTreeMap::new(), indexes, answers: BTreeMap::new(), settled: 0 };
    let mut deaths = 0;
    while !(sweep.open.is_empty() && sweep.failed.is_empty()) && deaths < DEATHS && !session.is_stopped() {
        deaths = if sweep.process()? { 0 } else { deaths + 1 };
    }
    for path in sweep.failed.into_keys().filter(|path| !sweep.indexes.contains_key(path.as_slice())) {
        session.know(path, None);
    }
    Ok(sweep.answers)
}

struct Sweep<'s> {
    session: &'s Session<'s>,
    budget: &'s Budget,
    /// What has no answer yet.
    open: BTreeMap<Path, Question>,
    /// What fails, and is not known to fail for a reason yet.
    failed: BTreeMap<Path, Question>,
    /// The questions that were asked from outside.
    indexes: BTreeMap<&'s [String], usize>,
    answers: BTreeMap<usize, Answer>,
    /// Attributes that have their answer.
    settled: usize,
}

impl Sweep<'_> {
    /// Runs one process. True if it got further than to what it died of.
    fn process(&mut self) -> Result<bool> {
        let session = self.session;
        let mut why: Vec<(Path, Question)> = Vec::new();
        let mut words = Words::new(session, self.budget);
        let mut survivor = if self.open.is_empty() {
            why.extend(self.failed.clone());
            session.outputs.survivor(session.token(), Asked::Why(&numbered(session, &why)), words.wanted)?
        } else {
            let all: Vec<_> = self.open.values().collect();
            session.outputs.survivor(session.token(), Asked::All(&all), words.wanted)?
        };
        // More may be open by then: each set that is entered has more.
        let (mut asked, before) = (usize::MAX, self.settled);
        let mut command = survivor.command(session.nix)?;
        // Nothing else runs.
        let memory = self.budget.memory.max(self.budget.most_memory);
        command.env("GC_MARKERS", self.budget.collectors.to_string());
        command.env("GC_INITIAL_HEAP_SIZE", (memory / 2).min(MOST_HEAP).to_string());
        let limits = ProcessLimits {
            memory,
            inherits: !session.outputs.may_build(),
            answer: self.budget.attribute,
            start: self.budget.attribute.max(START),
        };
        let mut current: Option<Current<Path>> = None;
        let end = process::run(command, session.mark(), &limits, |said| {
            survivor.write();
            let (text, before) = match said {
                Heard::Line { text, before } => (text, before),
                Heard::Nothing { spent } => {
                    words.goes_on(spent);
                    return Ok(if session.is_stopped() { Next::Stop } else { Next::Continue });
                }
            };
            match (query::read(text), &mut current) {
                (Ok(AnswerLine::Begin(path)), _) => {
                    words.end();
                    let begun = self.open.contains_key(&path).then(|| Current::new(path, false));
                    let over = std::mem::replace(&mut current, begun);
                    self.over(&survivor, over, before);
                }
                (Ok(AnswerLine::Ready { at, .. }), _) => {
                    let begun = at.and_then(|at| why.get(at)).map(|(path, _)| path.clone());
                    let begun = begun.map(|path| Current::new(path.clone(), session.has_thrown(&path)));
                    let over = std::mem::replace(&mut current, begun);
                    self.over(&survivor, over, before);
                    if at.is_none() && survivor.next_part() {
                        why = self.ask_more(&mut survivor, &mut asked, std::mem::take(&mut why));
                    }
                }
                (Ok(AnswerLine::Place(place)), Some(current)) => current.place = place,
                (Ok(AnswerLine::Found(drv_path)), Some(current)) => current.found = Some(drv_path),
                (Ok(AnswerLine::Caught), Some(Current { index, thrown, .. })) => {
                    session.note_thrown(index.clone());
                    *thrown = true;
                    let next = if words.wanted { words.begin() } else { Next::Continue };
                    if !words.wanted || next == Next::Stop {
                        let path = std::mem::take(index);
                        current = None;
                        self.settle(path, self.budget.wordless());
                    }
                    return Ok(next);
                }
                (Ok(AnswerLine::Answer(answer)), Some(Current { index, .. })) => {
                    let path = std::mem::take(index);
                    current = None;
                    self.answer(path, answer)?;
                }
                // Nothing begun, or nothing that can be read: somebody else has to ask.
                _ => current = None,
            }
            Ok(Next::Continue)
        })?;
        words.end();
        self.ended(&survivor, current, end, self.settled > before)
    }

    /// Asks a process that has nothing left to do for what something that failed has cut short, and then, once, why what fails does so.
    fn ask_more(
        &self,
        survivor: &mut Survivor,
        asked: &mut usize,
        why: Vec<(Path, Question)>,
    ) -> Vec<(Path, Question)> {
        if why.is_empty() && !self.open.is_empty() && self.open.len() < std::mem::replace(asked, self.open.len()) {
            survivor.ask(Some(Asked::All(&self.open.values().collect::<Vec<_>>())));
            return why;
        }
        let more = if why.is_empty() { self.failed.clone().into_iter().collect() } else { Vec::new() };
        survivor.ask((!more.is_empty()).then_some(Asked::Why(&numbered(self.session, &more))));
        more
    }

    /// Takes note of an attribute that a process went past without an answer.
    fn over(&mut self, survivor: &Survivor, current: Option<Current<Path>>, said: &[u8]) {
        let Some(current) = current else { return };
        let path = current.index.clone();
        // Else only a part of its words is there.
        let is_said = !survivor.is_asked_why() || self.failed.contains_key(&path);
        let answer = is_said.then(|| current.fails(self.session, survivor, &String::from_utf8_lossy(said))).flatten();
        match answer {
            Some(answer) => self.settle(path, answer),
            None => self.failed.extend(self.open.remove_entry(&path)),
        }
    }

    /// Takes an answer, and what is to be answered behind it.
    fn answer(&mut self, path: Path, answer: Answer) -> Result<()> {
        let question = self.open.get(&path).or_else(|| self.failed.get(&path));
        self.session.hold(&path, &answer)?;
        if let (Answer::Set { names, followed: true, .. }, Some(Question::Derivation { enter, .. })) =
            (&answer, question)
        {
            let enter = enter.saturating_sub(1);
            let below = |name: &String| [path.as_slice(), std::slice::from_ref(name)].concat();
            let inside = names.iter().filter(|name| *name != MARK).map(below);
            let more: Vec<_> =
                inside.map(|path| (path.clone(), Question::Derivation { path, every: false, enter })).collect();
            self.open.extend(more);
            if self.settled + self.open.len() > MAX_ATTRIBUTES {
                bail!(
                    "the patterns lead to more than {MAX_ATTRIBUTES} attributes as far as `{}` (select less, or leave out sets that lead in \
                     circles with `--exclude`)",
                    printable(&AttributePath::new(path).to_string())
                );
            }
        }
        self.settle(path, answer);
        Ok(())
    }

    /// An attribute has its answer.
    fn settle(&mut self, path: Path, answer: Answer) {
        self.settled += 1;
        let question = self.open.remove(&path).or(self.failed.remove(&path));
        match (self.indexes.get(path.as_slice()), question) {
            (Some(index), Some(question)) => {
                self.session.count_answer(&question, !matches!(answer, Answer::Failed(_)));
                self.answers.insert(*index, answer);
            }
            _ => self.session.know(path, Some(answer)),
        }
    }

    /// Takes note of what the process was at when it ended. True where it had got further.
    fn ended(
        &mut self,
        survivor: &Survivor,
        current: Option<Current<Path>>,
        end: ProcessEnd,
        is_further: bool,
    ) -> Result<bool> {
        let Some(current) = current else {
            // It would go the same way once more.
            if !is_further {
                self.open.clear();
                self.failed.clear();
            }
            return Ok(is_further);
        };
        let path = current.index.clone();
        match end {
            ProcessEnd::Exited(status, said) if !process::ran_out_of_memory(status, &said) => {
                let died = || Answer::Failed(process::died(status).into());
                let answer = current.fails(self.session, survivor, &said).or_else(|| (!status.success()).then(died));
                match answer {
                    Some(answer) => self.settle(path, answer),
                    None => self.leave(&path),
                }
            }
            ProcessEnd::OverTime => {
                self.session.note_incident();
                self.settle(path, Answer::Failed(self.budget.too_long().into()));
            }
            // A new process has its memory for itself.
            ProcessEnd::Exited(..) | ProcessEnd::OverMemory if is_further => {}
            ProcessEnd::Exited(..) | ProcessEnd::OverMemory | ProcessEnd::Stopped => self.leave(&path),
        }
        Ok(is_further)
    }

    /// Leaves an attribute to others.
    fn leave(&mut self, path: &[String]) {
        self.open.remove(path);
        self.failed.remove(path);
    }
}

/// What fails, with its number.
fn numbered<'q>(session: &Session, why: &'q [(Path, Question)]) -> Vec<OpenQuestion<'q>> {
    let numbered = why.iter().enumerate();
    numbered
        .map(|(index, (path, question))| OpenQuestion { index, question, thrown: session.has_thrown(path) })
        .collect()
}
