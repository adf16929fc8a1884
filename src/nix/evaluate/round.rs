//! One round of questions: several threads, each with one evaluating process at a time.
//!
//! In: questions, a [`Budget`]. Out: one [`QuestionOutcome`] a question. One thread begins with all of them, in order, and one that has
//! nothing to do takes the second half of the largest share, once that is known to be worth a process: each evaluates anew what all have in
//! common. A process that dies is begun anew behind the question that it died of, one that is over its budget at the question that it was at.

use std::ops::Range;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Result, anyhow};

use super::budget::Budget;
use super::following::Following;
use super::message::{EvaluationFailure, FailureCause};
use super::process::{self, Heard, Next, ProcessEnd, ProcessLimits};
use super::query::{self, Answer, AnswerLine, Question};
use super::session::Session;
use super::shares::{QuestionOutcome, RoundState, Turn};

/// Time that the outputs of a flake have at least: inputs may have to be fetched.
pub const START: Duration = Duration::from_secs(600);

/// How often an idle thread looks for something to take over.
const IDLE: Duration = Duration::from_millis(50);

/// A round.
pub struct QuestionRound<'r> {
    session: &'r Session<'r>,
    questions: &'r [Question],
    /// The questions to ask, by index.
    items: &'r [usize],
    guarded: bool,
    /// Answers follow: the process that has one share of the questions goes on, so that share stays whole.
    is_followed: bool,
    budget: Budget,
    state: Mutex<RoundState>,
    changed: Condvar,
}

impl<'r> QuestionRound<'r> {
    /// Prepares to ask the questions at these indexes; `guarded` catches what can be caught.
    pub fn new(
        session: &'r Session,
        questions: &'r [Question],
        items: &'r [usize],
        guarded: bool,
        budget: Budget,
    ) -> Self {
        let workers = budget.workers_for(items.len());
        let state = RoundState::new(items.len(), workers);
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
        self.state.get_mut().unwrap_or_else(PoisonError::into_inner).make_fragile();
        self
    }

    /// Asks. Fails if the flake as a whole does not evaluate.
    pub fn run(self) -> Result<Vec<(usize, QuestionOutcome)>> {
        let workers = self.budget.workers_for(self.items.len());
        thread::scope(|scope| {
            for worker in 0..workers {
                scope.spawn({
                    let round = &self;
                    move || round.work(worker)
                });
            }
        });
        let state = self.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        let outcomes = state.into_outcomes(self.items.len())?;
        Ok(self.items.iter().zip(outcomes).filter_map(|(&index, outcome)| Some((index, outcome?))).collect())
    }

    fn state(&self) -> MutexGuard<'_, RoundState> {
        // Another thread's panic is passed on when the threads end.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self, worker: usize) {
        while self.take(worker) {
            while let Some(piece) = self.piece(worker) {
                if let Err(error) = self.process(worker, piece) {
                    self.state().fail(error);
                }
            }
            self.state().end_share(worker);
            self.changed.notify_all();
        }
    }

    /// Gets a thread something to do; false if nothing is left.
    fn take(&self, worker: usize) -> bool {
        let mut state = self.state();
        loop {
            match state.begin_share(worker, !self.is_followed) {
                Turn::Begin => return true,
                Turn::Stop => return false,
                Turn::Wait => {
                    let waited = self.changed.wait_timeout(state, IDLE);
                    state = waited.map_or_else(|error| error.into_inner().0, |woken| woken.0);
                }
            }
        }
    }

    /// What is left of a thread's share.
    fn piece(&self, worker: usize) -> Option<Range<usize>> {
        self.state().piece(worker)
    }

    /// Runs one process on the beginning of a piece.
    fn process(&self, worker: usize, piece: Range<usize>) -> Result<()> {
        let questions: Vec<&Question> = self.items[piece].iter().map(|index| &self.questions[*index]).collect();
        let follow = self.guarded && self.session.enters_at_once();
        let Some((text, asked)) = query::text(self.session.token(), self.guarded, follow, &questions) else {
            self.record(
                worker,
                QuestionOutcome::Answer(Answer::Failed("its name is too long to ask for".to_owned().into())),
            );
            return Ok(());
        };
        let (mut ready, mut answered) = (false, 0);
        let mut following = Following::new(follow, &questions[..asked]);
        let (mut place, mut found, mut thrown) = (None, None, false);
        let mut next = Next::Continue;
        let limits = ProcessLimits {
            memory: self.budget.memory,
            inherits: !self.session.outputs.may_build(),
            answer: self.budget.attribute,
            start: self.budget.attribute.max(START),
        };
        let mut command = self.session.nix.command(self.session.outputs.arguments(&text));
        command.env("GC_MARKERS", self.budget.collectors.to_string());
        let end = process::run(command, self.session.mark(), &limits, |said| {
            let (text, before) = match said {
                Heard::Line { text, before } => (text, before),
                Heard::Nothing { spent } => {
                    self.session.goes_on(spent);
                    if self.session.is_stopped() {
                        self.state().fail(anyhow!("nobody waits for this evaluation any more"));
                    }
                    let is_over = self.state().is_over() || answered >= asked && following.is_over();
                    return Ok(if is_over { Next::Stop } else { Next::Continue });
                }
            };
            let outcome = match query::read(text) {
                Ok(AnswerLine::Answer(answer)) => {
                    self.session.hold(questions.get(answered).map_or(&[], |question| question.path()), &answer)?;
                    following.expect(questions.get(answered), &answer);
                    QuestionOutcome::Answer(answer)
                }
                Ok(AnswerLine::Under(path, line)) => {
                    let answer = if let AnswerLine::Answer(answer) = *line { Some(answer) } else { None };
                    if let Some(answer) = &answer {
                        self.session.hold(&path, answer)?;
                    }
                    following.count(answer.as_ref());
                    self.session.know(path, answer);
                    if following.are_many() {
                        self.session.note_large_sets();
                        return Ok(Next::Stop);
                    }
                    return Ok(after(&mut following, next, answered == asked));
                }
                Ok(AnswerLine::Caught) if self.guarded => {
                    if let Some(question) = questions.get(answered) {
                        self.session.note_thrown(question.path().to_vec());
                    }
                    QuestionOutcome::Caught
                }
                Ok(AnswerLine::Caught) => {
                    thrown = true;
                    return Ok(Next::Continue);
                }
                Ok(AnswerLine::Ready { hides, .. }) => {
                    ready = true;
                    self.session.note_beginning(before);
                    if hides {
                        self.session.note_hiding();
                    }
                    return Ok(Next::Continue);
                }
                Ok(AnswerLine::Place(at)) => {
                    place = at;
                    return Ok(Next::Continue);
                }
                // Only jobs begin.
                Ok(AnswerLine::Begin(_)) => return Ok(Next::Continue),
                Ok(AnswerLine::Found(drv_path)) => {
                    found = Some(drv_path);
                    return Ok(Next::Continue);
                }
                Err(error) => {
                    QuestionOutcome::Answer(Answer::Failed(format!("Nix's answer cannot be read: {error}").into()))
                }
            };
            (place, found, thrown) = (None, None, false);
            answered += 1;
            next = if answered <= asked { self.record(worker, outcome) } else { Next::Stop };
            Ok(after(&mut following, next, answered == asked))
        })?;
        let end = match end {
            ProcessEnd::Exited(status, stderr) if process::ran_out_of_memory(status, &stderr) => ProcessEnd::OverMemory,
            end => end,
        };
        let (mut survivable, mut is_said) = (false, false);
        let failure: EvaluationFailure = match end {
            ProcessEnd::Stopped => return Ok(()),
            // What follows an answer is asked for again, one by one.
            _ if answered >= asked || following.comes() => return Ok(()),
            ProcessEnd::Exited(status, stderr) => {
                let said = self.session.outputs.failure(&stderr, place.as_deref(), thrown);
                let is_incident = said.as_ref().is_none_or(|said| said.cause.is_incident());
                survivable = self.guarded && !is_incident;
                if is_incident {
                    self.session.note_incident();
                }
                is_said = said.is_some();
                said.unwrap_or_else(|| process::died(status).into())
            }
            // A new process has its memory for itself.
            ProcessEnd::OverMemory if answered > 0 => return Ok(()),
            ProcessEnd::OverMemory if ready || self.budget.fewer().is_some() => {
                self.record(worker, QuestionOutcome::TooLarge);
                return Ok(());
            }
            ProcessEnd::OverMemory => self.budget.too_large().into(),
            ProcessEnd::OverTime => {
                self.session.note_incident();
                self.budget.too_long().into()
            }
        };
        if !ready {
            let failure = if is_said { self.placed(failure, &text, &limits)? } else { failure };
            return Err(self.session.flake_failure(&failure));
        }
        self.record(
            worker,
            match found {
                _ if survivable => QuestionOutcome::Died,
                Some(drv_path) => QuestionOutcome::Answer(Answer::Mute(drv_path, failure.message)),
                None => QuestionOutcome::Answer(Answer::Failed(failure)),
            },
        );
        Ok(())
    }

    /// A failure of the flake as a whole with its place: not every version says where code throws an error, unless it is asked for a trace.
    fn placed(&self, failure: EvaluationFailure, text: &str, limits: &ProcessLimits) -> Result<EvaluationFailure> {
        if failure.cause != FailureCause::Code || failure.message.contains(" (at ") {
            return Ok(failure);
        }
        let outputs = self.session.outputs;
        let mut command = self.session.nix.command(outputs.arguments(text));
        command.arg("--show-trace");
        let stopped = |_: Heard| Ok(if self.session.is_stopped() { Next::Stop } else { Next::Continue });
        let end = process::run(command, self.session.mark(), limits, stopped)?;
        let place = if let ProcessEnd::Exited(_, said) = end { outputs.place(&said) } else { None };
        let message = place.map(|at| format!("{} (at {at})", failure.message));
        Ok(EvaluationFailure { message: message.unwrap_or(failure.message), ..failure })
    }

    /// Notes what came of the question that a thread is at.
    fn record(&self, worker: usize, outcome: QuestionOutcome) -> Next {
        let mut state = self.state();
        let Some((at, is_done)) = state.advance(worker) else { return Next::Stop };
        if let QuestionOutcome::Answer(answer) = &outcome {
            let sound = !matches!(answer, Answer::Failed(_));
            self.session.count_answer(&self.questions[self.items[at]], sound);
        }
        state.note(at, outcome, &self.budget);
        if is_done { Next::Stop } else { Next::Continue }
    }
}

/// What to do after an answer, or after one that follows it, if without more of those it is `next`.
fn after(following: &mut Following, next: Next, is_last: bool) -> Next {
    match following.has_begun() {
        true if following.is_over() => Next::Stop,
        false if !(following.comes() || is_last && following.begin()) => next,
        _ => Next::Continue,
    }
}
