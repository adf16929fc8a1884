//! Answers that follow others: what is in a set is answered by the process that has listed its names, at once where the set asks to be
//! entered, behind all other answers where names were asked for.
//!
//! In: the answers to questions. Out: how many more are to come, and when waiting for them is over.

use std::time::{Duration, Instant};

use super::query::{self, Answer, MARK, Question};

/// Time that a process has for answers that follow, one after the other.
const FOLLOW: Duration = Duration::from_secs(1);

/// The same where one is left.
const FOLLOW_ONE: Duration = Duration::from_secs(10);

/// Most answers that follow one: sets in sets may be many, and other processes have nothing of them.
const MOST: usize = 1000;

/// Answers that follow those to the questions of a process.
pub struct Following {
    /// There may be some behind all others.
    wanted: bool,
    /// How many are still to come before another question is answered.
    left: usize,
    /// How many have come since one was.
    come: usize,
    /// How many are to come behind all others.
    last: usize,
    /// Since when those come.
    began: Option<Instant>,
}

impl Following {
    /// Follows a process that was asked these questions, with or without answers that follow.
    pub fn new(follow: bool, questions: &[&Question]) -> Self {
        let wanted = follow && questions.iter().any(|question| question.is_followed());
        Self { wanted, left: 0, come: 0, last: 0, began: None }
    }

    /// Hears an answer behind which others follow.
    pub fn expect(&mut self, question: Option<&&Question>, answer: &Answer) {
        if let (Some(question), Answer::Names(names)) = (question, answer) {
            let is_followed = self.wanted && question.is_followed() && names.len() <= query::FOLLOWED;
            self.last += if is_followed { others(names) } else { 0 };
        }
        self.come = 0;
        self.left = in_set(answer);
    }

    /// Whether some come next.
    pub fn comes(&self) -> bool {
        self.left > 0
    }

    /// Whether more have followed one answer than should.
    pub fn are_many(&self) -> bool {
        self.began.is_none() && self.come > MOST
    }

    /// Whether those behind all others have begun.
    pub fn has_begun(&self) -> bool {
        self.began.is_some()
    }

    /// Begins with those behind all others, if there are any.
    pub fn begin(&mut self) -> bool {
        self.began.get_or_insert_with(Instant::now);
        self.left += std::mem::take(&mut self.last);
        self.left > 0
    }

    /// One has come.
    pub fn count(&mut self, answer: Option<&Answer>) {
        self.come += 1;
        self.left = self.left.saturating_sub(1) + answer.map_or(0, in_set);
    }

    /// True where nothing more is waited for: several processes do the rest sooner, unless it is but one.
    pub fn is_over(&self) -> bool {
        let most = if self.left > 1 { FOLLOW } else { FOLLOW_ONE };
        self.left == 0 || self.began.is_some_and(|began| began.elapsed() > most)
    }
}

/// How many answers about what is in a set follow the one about the set itself.
fn in_set(answer: &Answer) -> usize {
    match answer {
        Answer::Set { names, followed: true, .. } => others(names),
        _ => 0,
    }
}

/// How many names there are beside that with which a set asks to be entered.
fn others(names: &[String]) -> usize {
    names.iter().filter(|name| *name != MARK).count()
}
