//! What the threads of a round share: which questions nobody has begun, which each has begun, and what came of those that are done.
//!
//! In: outcomes as they come. Out: the next share of a thread that has nothing to do, and whether what came of some is what would come of all.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::budget::Budget;
use super::message::EvaluationFailure;
use super::query::Answer;

/// So many processes that die of one and the same failed download, before anything has evaluated, are no chance.
const FETCH_DEATHS: usize = 4;

/// So many questions a process that its memory was too small for, before anything has evaluated: it is for all of them.
const LARGE_DEATHS: usize = 4;

/// So many processes that die of a question are enough: all other questions are for processes that outlive theirs.
const DEATHS: usize = 2;

/// What is left of a share is worth halving if it takes so many times what it took to begin: so much more than that is saved.
const WORTH: u32 = 4;

/// What is left of a share and takes less than that stays whole: two processes do more work than one.
const SHORT: Duration = Duration::from_secs(2);

/// A share whose first question takes longer than this is worth halving.
const SLOW: Duration = Duration::from_secs(1);

/// What came of a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QuestionOutcome {
    Answer(Answer),
    /// It does not evaluate, in a way that `tryEval` catches.
    Caught,
    /// A process died of it, or had no time to come to it as too many died; only if guarded.
    Died,
    /// A process took all of its memory for this question alone.
    TooLarge,
}

/// What the threads share. Items are counted from 0.
#[derive(Default)]
pub struct RoundState {
    /// What no thread has begun.
    waiting: Option<Range<usize>>,
    /// What each thread has begun.
    shares: Vec<Option<Share>>,
    outcomes: BTreeMap<usize, QuestionOutcome>,
    /// Something has evaluated.
    sound: bool,
    /// The failed download that processes died of last, and how many in a row did.
    fetch: Option<(EvaluationFailure, usize)>,
    /// Questions that were too large.
    large: usize,
    /// Questions that processes died of.
    deaths: usize,
    /// The first question that a process dies of, or that is too large, ends the round.
    fragile: bool,
    /// What all other questions come to.
    rest: Option<QuestionOutcome>,
    error: Option<anyhow::Error>,
}

/// What a thread without questions does next.
pub enum Turn {
    /// It has a share now.
    Begin,
    /// Nothing can be had at the moment.
    Wait,
    /// Nothing is left.
    Stop,
}

impl RoundState {
    /// So many items, which one of so many workers begins with.
    pub fn new(items: usize, workers: usize) -> Self {
        let shares = (0..workers).map(|_| None).collect();
        Self { waiting: Some(0..items).filter(|all| !all.is_empty()), shares, ..Self::default() }
    }

    /// The round ends with the first question that a process dies of, or that is too large.
    pub fn make_fragile(&mut self) {
        self.fragile = true;
    }

    /// True where nothing is to be asked any more.
    pub fn is_over(&self) -> bool {
        self.error.is_some() || self.rest.is_some()
    }

    /// Ends the round.
    pub fn fail(&mut self, error: anyhow::Error) {
        self.error.get_or_insert(error);
    }

    /// Gets a thread a share that nobody has begun, or, where shares may be split, the second half of the largest one.
    pub fn begin_share(&mut self, worker: usize, may_split: bool) -> Turn {
        if self.is_over() {
            return Turn::Stop;
        }
        let largest = self.shares.iter_mut().flatten().max_by_key(|share| share.range.len());
        let is_last = largest.is_none();
        let stolen = largest.filter(|_| may_split).and_then(Share::split);
        match self.waiting.take().or(stolen) {
            Some(range) => {
                self.shares[worker] = Some(Share::new(range));
                Turn::Begin
            }
            None if is_last => Turn::Stop,
            None => Turn::Wait,
        }
    }

    /// What is left of a thread's share.
    pub fn piece(&self, worker: usize) -> Option<Range<usize>> {
        let share = self.shares[worker].as_ref().filter(|_| !self.is_over())?;
        (!share.range.is_empty()).then(|| share.range.clone())
    }

    /// A thread is done with its share.
    pub fn end_share(&mut self, worker: usize) {
        self.shares[worker] = None;
    }

    /// A thread goes on behind the item that it is at. Gives that item, and whether it was the last.
    pub fn advance(&mut self, worker: usize) -> Option<(usize, bool)> {
        let share = self.shares[worker].as_mut().filter(|share| !share.range.is_empty())?;
        let at = share.range.start;
        share.advance();
        Some((at, share.range.is_empty()))
    }

    /// Notes what came of an item.
    pub fn note(&mut self, at: usize, outcome: QuestionOutcome, budget: &Budget) {
        self.notice(&outcome, budget);
        self.outcomes.insert(at, outcome);
    }

    /// What came of each of so many items, where something did.
    pub fn into_outcomes(mut self, items: usize) -> Result<Vec<Option<QuestionOutcome>>> {
        match self.error {
            Some(error) => Err(error),
            None => Ok((0..items).map(|at| self.outcomes.remove(&at).or(self.rest.clone())).collect()),
        }
    }

    /// Sees whether what came of one question is what would come of all.
    fn notice(&mut self, outcome: &QuestionOutcome, budget: &Budget) {
        match outcome {
            QuestionOutcome::Answer(Answer::Failed(_)) | QuestionOutcome::TooLarge | QuestionOutcome::Died
                if self.fragile =>
            {
                self.rest = Some(QuestionOutcome::Died);
            }
            QuestionOutcome::Answer(Answer::Failed(failure)) => {
                let again = self.fetch.take().filter(|(last, _)| last == failure).map_or(0, |(_, count)| count);
                if !self.sound && failure.cause.is_download() {
                    self.fetch = Some((failure.clone(), again + 1));
                    if again + 1 >= FETCH_DEATHS {
                        self.rest = Some(outcome.clone());
                    }
                }
            }
            QuestionOutcome::TooLarge => {
                self.large += 1;
                if !self.sound && self.large >= LARGE_DEATHS * budget.workers && budget.fewer().is_some() {
                    self.rest = Some(QuestionOutcome::TooLarge);
                }
            }
            QuestionOutcome::Died => {
                self.deaths += 1;
                if self.deaths >= DEATHS {
                    self.rest = Some(QuestionOutcome::Died);
                }
            }
            QuestionOutcome::Answer(_) | QuestionOutcome::Caught => self.sound = true,
        }
    }
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

    /// The second half of what is behind the question at work, if that is worth another process.
    fn split(&mut self) -> Option<Range<usize>> {
        let behind = self.range.len().checked_sub(1).filter(|behind| *behind > 0)?;
        let worth = match self.first {
            None => self.began.elapsed() > SLOW,
            Some(first) => {
                let start = first - self.began;
                let each = first.elapsed() / self.done;
                each * u32::try_from(behind).unwrap_or(u32::MAX) > (start * WORTH).max(SHORT)
            }
        };
        let middle = self.range.end - behind.div_ceil(2);
        worth.then(|| middle..std::mem::replace(&mut self.range.end, middle))
    }
}
