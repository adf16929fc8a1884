//! One round of questions: several threads, each with one evaluating process at a time.
//!
//! In: questions, a [`Budget`]. Out: one [`Outcome`] a question. Each thread begins with an equal share, in order, so that attributes
//! side by side have in common what they evaluate; one that has finished takes the second half of the largest share left. A process that dies is
//! begun anew behind the question that it died of, one that is over its budget at the question that it was at.

use std::collections::BTreeMap;
use std::ops::Range;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use rustix::process::Signal;

use super::budget::Budget;
use super::message::{self, Cause, Failure};
use super::process::{self, End, Heard, Limits, Next};
use super::query::{self, Answer, Line, Question};
use super::session::Session;

/// So many processes that die of one and the same failed download, before anything has evaluated, are no chance.
const FETCH_DEATHS: usize = 4;

/// So many questions a process that its memory was too small for, before anything has evaluated: it is for all of them.
const LARGE_DEATHS: usize = 4;

/// So many processes that die of a question are enough: all other questions are for processes that outlive theirs.
const DEATHS: usize = 2;

/// Time that the outputs of a flake have at least: inputs may have to be fetched.
pub const START: Duration = Duration::from_secs(600);

/// How often an idle thread looks for something to take over.
const IDLE: Duration = Duration::from_millis(50);

/// A share whose first question takes longer than this is worth halving.
const SLOW: Duration = Duration::from_secs(1);

/// Time that a process has for answers that follow, one after the other.
const FOLLOW: Duration = Duration::from_secs(1);

/// The same where one is left.
const FOLLOW_ONE: Duration = Duration::from_secs(10);

/// What came of a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Answer(Answer),
    /// It does not evaluate, in a way that `tryEval` catches.
    Caught,
    /// A process died of it, or had no time to come to it as too many died; only if guarded.
    Died,
    /// A process took all of its memory for this question alone.
    TooLarge,
}

/// A round.
pub struct Round<'r> {
    session: &'r Session<'r>,
    questions: &'r [Question],
    /// The questions to ask, by index.
    items: &'r [usize],
    guarded: bool,
    /// Answers follow: the process that has one share of the questions goes on, so that share stays whole.
    is_followed: bool,
    budget: Budget,
    state: Mutex<State>,
    changed: Condvar,
}

/// What the threads share. Positions are those in `items`.
#[derive(Default)]
struct State {
    /// What no thread has begun, the first last.
    waiting: Vec<Range<usize>>,
    /// What each thread has begun.
    shares: Vec<Option<Share>>,
    outcomes: BTreeMap<usize, Outcome>,
    /// Something has evaluated.
    sound: bool,
    /// The failed download that processes died of last, and how many in a row did.
    fetch: Option<(Failure, usize)>,
    /// Questions that were too large.
    large: usize,
    /// Questions that processes died of.
    deaths: usize,
    /// The first question that a process dies of, or that is too large, ends the round.
    fragile: bool,
    /// What all other questions come to.
    rest: Option<Outcome>,
    error: Option<anyhow::Error>,
}

/// What one thread still has to do.
struct Share {
    range: Range<usize>,
    began: Instant,
    /// When the first of its questions was done.
    first: Option<Instant>,
    done: u32,
}

impl Share {
    fn new(range: Range<usize>) -> Self {
        Self { range, began: Instant::now(), first: None, done: 0 }
    }

    fn advance(&mut self) {
        self.range.start += 1;
        self.done += 1;
        self.first.get_or_insert_with(Instant::now);
    }

    /// The second half of what is behind the question at work, if that takes longer than another process takes to begin.
    fn split(&mut self) -> Option<Range<usize>> {
        let behind = self.range.len().checked_sub(1).filter(|behind| *behind > 0)?;
        let worth = match self.first {
            None => self.began.elapsed() > SLOW,
            Some(first) => {
                let start = first - self.began;
                let each = first.elapsed() / self.done;
                each * u32::try_from(behind).unwrap_or(u32::MAX) > start * 2
            }
        };
        let middle = self.range.end - behind.div_ceil(2);
        worth.then(|| middle..std::mem::replace(&mut self.range.end, middle))
    }
}

/// Answers that follow those to all questions of a process.
struct Following {
    /// There may be some.
    wanted: bool,
    /// How many are still to come.
    left: usize,
    began: Instant,
}

impl Following {
    fn new(guarded: bool, questions: &[&Question]) -> Self {
        let wanted = guarded && questions.iter().any(|question| question.is_followed());
        Self { wanted, left: 0, began: Instant::now() }
    }

    /// Hears an answer behind which others follow.
    fn expect(&mut self, question: Option<&&Question>, answer: &Answer) {
        if let (Some(question), Answer::Names(names)) = (question, answer) {
            let is_followed = self.wanted && question.is_followed() && names.len() <= query::FOLLOWED;
            self.left += if is_followed { names.len() } else { 0 };
        }
    }

    /// Begins with them, if there are any.
    fn begin(&mut self) -> bool {
        self.began = Instant::now();
        self.left > 0
    }

    fn count(&mut self) {
        self.left = self.left.saturating_sub(1);
    }

    /// Several processes do the rest sooner, unless it is but one.
    fn is_over(&self) -> bool {
        self.left == 0 || self.began.elapsed() > if self.left > 1 { FOLLOW } else { FOLLOW_ONE }
    }
}

impl<'r> Round<'r> {
    /// Prepares to ask the questions at these indexes; `guarded` catches what can be caught.
    pub fn new(
        session: &'r Session,
        questions: &'r [Question],
        items: &'r [usize],
        guarded: bool,
        budget: Budget,
    ) -> Self {
        let workers = budget.workers_for(items.len());
        // Names are mostly known at once: another process for them costs more than it spares.
        let shares = if items.iter().all(|index| questions[*index].is_derivation()) { workers } else { 1 };
        let bound = |share: usize| items.len() * share / shares;
        let state = State {
            waiting: (0..shares).rev().map(|share| bound(share)..bound(share + 1)).collect(),
            shares: (0..workers).map(|_| None).collect(),
            ..State::default()
        };
        let is_followed = guarded && items.iter().any(|index| questions[*index].is_followed());
        Self {
            session,
            questions,
            items,
            guarded,
            is_followed,
            budget,
            state: Mutex::new(state),
            changed: Condvar::new(),
        }
    }

    /// The same, which ends with the first question that a process dies of, or that is too large.
    pub fn fragile(mut self) -> Self {
        self.state.get_mut().unwrap_or_else(PoisonError::into_inner).fragile = true;
        self
    }

    /// Asks. Fails if the flake as a whole does not evaluate.
    pub fn run(self) -> Result<Vec<(usize, Outcome)>> {
        let workers = self.budget.workers_for(self.items.len());
        thread::scope(|scope| {
            for worker in 0..workers {
                scope.spawn({
                    let round = &self;
                    move || round.work(worker)
                });
            }
        });
        let items = self.items;
        let mut state = self.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        if let Some(error) = state.error {
            return Err(error);
        }
        let outcome = |(at, index): (usize, &usize)| Some((*index, state.outcomes.remove(&at).or(state.rest.clone())?));
        Ok(items.iter().enumerate().filter_map(outcome).collect())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Another thread's panic is passed on when the threads end.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self, worker: usize) {
        while self.take(worker) {
            while let Some(piece) = self.piece(worker) {
                if let Err(error) = self.process(worker, piece) {
                    self.state().error.get_or_insert(error);
                }
            }
            self.state().shares[worker] = None;
            self.changed.notify_all();
        }
    }

    /// Gets a thread something to do; false if nothing is left.
    fn take(&self, worker: usize) -> bool {
        let mut state = self.state();
        loop {
            if state.is_over() {
                return false;
            }
            let largest = state.shares.iter_mut().flatten().max_by_key(|share| share.range.len());
            let is_last = largest.is_none();
            let stolen = largest.filter(|_| !self.is_followed).and_then(Share::split);
            if let Some(range) = state.waiting.pop().or(stolen) {
                state.shares[worker] = Some(Share::new(range));
                return true;
            }
            if is_last {
                return false;
            }
            state = self.changed.wait_timeout(state, IDLE).map_or_else(|error| error.into_inner().0, |woken| woken.0);
        }
    }

    /// What is left of a thread's share.
    fn piece(&self, worker: usize) -> Option<Range<usize>> {
        let state = self.state();
        let share = state.shares[worker].as_ref().filter(|_| !state.is_over())?;
        (!share.range.is_empty()).then(|| share.range.clone())
    }

    /// Runs one process on the beginning of a piece.
    fn process(&self, worker: usize, piece: Range<usize>) -> Result<()> {
        let questions: Vec<&Question> = self.items[piece].iter().map(|index| &self.questions[*index]).collect();
        let Some((text, asked)) = query::text(self.session.token(), self.guarded, &questions) else {
            self.record(worker, Outcome::Answer(Answer::Failed("its name is too long to ask for".to_owned().into())));
            return Ok(());
        };
        let (mut ready, mut told) = (false, 0);
        let mut following = Following::new(self.guarded, &questions[..asked]);
        let (mut place, mut found, mut thrown) = (None, None, false);
        let limits = Limits {
            memory: self.budget.memory,
            inherits: !self.session.outputs.may_build(),
            answer: self.budget.attribute,
            start: self.budget.attribute.max(START),
        };
        let mut command = self.session.nix.command(self.session.outputs.arguments(&text));
        command.env("GC_MARKERS", self.budget.collectors.to_string());
        let end = process::run(command, self.session.mark(), &limits, |said| {
            let Heard::Line { text, .. } = said else {
                self.session.count(|_| {});
                let is_over = self.state().is_over() || told >= asked && following.is_over();
                return Ok(if is_over { Next::Stop } else { Next::Continue });
            };
            let outcome = match query::read(text) {
                Ok(Line::Answer(answer)) => {
                    self.session.hold(questions.get(told), &answer)?;
                    following.expect(questions.get(told), &answer);
                    Outcome::Answer(answer)
                }
                Ok(Line::Under(path, line)) => {
                    match *line {
                        Line::Answer(answer) => {
                            self.session.hold(None, &answer)?;
                            self.session.know(path, Some(answer));
                        }
                        _ => self.session.know(path, None),
                    }
                    following.count();
                    return Ok(if following.is_over() { Next::Stop } else { Next::Continue });
                }
                Ok(Line::Caught) if self.guarded => Outcome::Caught,
                Ok(Line::Caught) => {
                    thrown = true;
                    return Ok(Next::Continue);
                }
                Ok(Line::Ready { hides, .. }) => {
                    ready = true;
                    if hides {
                        self.session.note_hiding();
                    }
                    return Ok(Next::Continue);
                }
                Ok(Line::Place(at)) => {
                    place = Some(at);
                    return Ok(Next::Continue);
                }
                Ok(Line::Found(drv_path)) => {
                    found = Some(drv_path);
                    return Ok(Next::Continue);
                }
                Err(error) => Outcome::Answer(Answer::Failed(format!("Nix's answer cannot be read: {error}").into())),
            };
            (place, found, thrown) = (None, None, false);
            told += 1;
            let next = if told <= asked { self.record(worker, outcome) } else { Next::Stop };
            Ok(if told == asked && following.begin() { Next::Continue } else { next })
        })?;
        let end = match end {
            End::Exited(status, stderr) if ran_out_of_memory(status, &stderr) => End::OverMemory,
            end => end,
        };
        let mut survivable = false;
        let failure: Failure = match end {
            End::Stopped => return Ok(()),
            _ if told >= asked => return Ok(()),
            End::Exited(status, stderr) => {
                let said = self.session.outputs.failure(&stderr, place.as_deref(), thrown);
                let is_incident = said.as_ref().is_none_or(|said| said.cause != Cause::Code);
                survivable = self.guarded && !is_incident;
                if is_incident {
                    self.session.note_incident();
                }
                said.unwrap_or_else(|| died(status).into())
            }
            // A new process has its memory for itself.
            End::OverMemory if told > 0 => return Ok(()),
            End::OverMemory if ready || self.budget.fewer().is_some() => {
                self.record(worker, Outcome::TooLarge);
                return Ok(());
            }
            End::OverMemory => self.budget.too_large().into(),
            End::OverTime => {
                self.session.note_incident();
                self.budget.too_long().into()
            }
        };
        if !ready {
            return Err(self.session.flake_failure(&failure));
        }
        self.record(
            worker,
            match found {
                _ if survivable => Outcome::Died,
                Some(drv_path) => Outcome::Answer(Answer::Mute(drv_path, failure.message)),
                None => Outcome::Answer(Answer::Failed(failure)),
            },
        );
        Ok(())
    }

    /// Notes what came of the question that a thread is at.
    fn record(&self, worker: usize, outcome: Outcome) -> Next {
        let mut state = self.state();
        let Some(share) = state.shares[worker].as_mut().filter(|share| !share.range.is_empty()) else {
            return Next::Stop;
        };
        let at = share.range.start;
        share.advance();
        let is_done = share.range.is_empty();
        if let Outcome::Answer(answer) = &outcome {
            let sound = !matches!(answer, Answer::Failed(_));
            self.session.count_answer(&self.questions[self.items[at]], sound);
        }
        state.notice(&outcome, &self.budget);
        state.outcomes.insert(at, outcome);
        if is_done { Next::Stop } else { Next::Continue }
    }
}

impl State {
    fn is_over(&self) -> bool {
        self.error.is_some() || self.rest.is_some()
    }

    /// Sees whether what came of one question is what would come of all.
    fn notice(&mut self, outcome: &Outcome, budget: &Budget) {
        match outcome {
            Outcome::Answer(Answer::Failed(_)) | Outcome::TooLarge | Outcome::Died if self.fragile => {
                self.rest = Some(Outcome::Died);
            }
            Outcome::Answer(Answer::Failed(failure)) => {
                let again = self.fetch.take().filter(|(last, _)| last == failure).map_or(0, |(_, count)| count);
                if !self.sound && failure.cause != Cause::Code {
                    self.fetch = Some((failure.clone(), again + 1));
                    if again + 1 >= FETCH_DEATHS {
                        self.rest = Some(outcome.clone());
                    }
                }
            }
            Outcome::TooLarge => {
                self.large += 1;
                if !self.sound && self.large >= LARGE_DEATHS * budget.workers && budget.fewer().is_some() {
                    self.rest = Some(Outcome::TooLarge);
                }
            }
            Outcome::Died => {
                self.deaths += 1;
                if self.deaths >= DEATHS {
                    self.rest = Some(Outcome::Died);
                }
            }
            Outcome::Answer(_) | Outcome::Caught => self.sound = true,
        }
    }
}

/// True for a process that ended as the system, or its own collector, had no more memory to give.
pub fn ran_out_of_memory(status: ExitStatus, stderr: &str) -> bool {
    status.signal() == Some(Signal::KILL.as_raw())
        || !status.success() && message::from_stderr(stderr).is_some_and(|said| said == "out of memory")
}

/// Says how a process ended that had nothing to say itself.
pub fn died(status: ExitStatus) -> String {
    match status.signal() {
        Some(signal) if signal == Signal::SEGV.as_raw() => "the evaluator crashed (infinite recursion?)".to_owned(),
        Some(signal) => format!("the evaluator was ended by signal {signal}"),
        None => format!("the evaluator failed without a message ({status})"),
    }
}
