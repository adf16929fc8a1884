//! Answers that follow those to all questions of a process: what is known of names is answered by the process that has listed them.
//!
//! In: the answers to questions. Out: how many more are to come, and when waiting for them is over.

use std::time::{Duration, Instant};

use super::query::{self, Answer, Question};

/// Time that a process has for answers that follow, one after the other.
const FOLLOW: Duration = Duration::from_secs(1);

/// The same where one is left.
const FOLLOW_ONE: Duration = Duration::from_secs(10);

/// Answers that follow those to all questions of a process.
pub struct Following {
    /// There may be some.
    wanted: bool,
    /// How many are still to come.
    left: usize,
    began: Instant,
}

impl Following {
    /// Follows a process that was asked these questions; only a guarded one goes on.
    pub fn new(guarded: bool, questions: &[&Question]) -> Self {
        let wanted = guarded && questions.iter().any(|question| question.is_followed());
        Self { wanted, left: 0, began: Instant::now() }
    }

    /// Hears an answer behind which others follow.
    pub fn expect(&mut self, question: Option<&&Question>, answer: &Answer) {
        if let (Some(question), Answer::Names(names)) = (question, answer) {
            let is_followed = self.wanted && question.is_followed() && names.len() <= query::FOLLOWED;
            self.left += if is_followed { names.len() } else { 0 };
        }
    }

    /// Begins with them, if there are any.
    pub fn begin(&mut self) -> bool {
        self.began = Instant::now();
        self.left > 0
    }

    /// One has come.
    pub fn count(&mut self) {
        self.left = self.left.saturating_sub(1);
    }

    /// True where nothing more is waited for: several processes do the rest sooner, unless it is but one.
    pub fn is_over(&self) -> bool {
        self.left == 0 || self.began.elapsed() > if self.left > 1 { FOLLOW } else { FOLLOW_ONE }
    }
}
