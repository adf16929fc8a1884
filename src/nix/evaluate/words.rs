//! How long Nix takes to say why attributes fail that are known to fail: 2.8 reads the source file for each message, a byte at a time.
//!
//! In: when a process begins such a message and when it is done, and the processor time that it has had. Out: whether more of them may be
//! asked for. What fails in a way that nobody could know without its message does not count, nor do versions that take no time for it.

use std::time::Duration;

use super::budget::Budget;
use super::process::Next;
use super::session::Session;

/// The messages of one process.
pub struct Words<'s> {
    session: &'s Session<'s>,
    budget: &'s Budget,
    /// Whether the process is to say why something fails that is known to.
    pub wanted: bool,
    spent: Duration,
    since: Option<Duration>,
}

impl<'s> Words<'s> {
    /// Of a process that is about to begin.
    pub fn new(session: &'s Session, budget: &'s Budget) -> Self {
        let wanted = !session.is_out_of_words(budget);
        Self { session, budget, wanted, spent: Duration::ZERO, since: None }
    }

    /// The process has had so much processor time.
    pub fn goes_on(&mut self, spent: Duration) {
        self.session.goes_on(spent);
        self.spent = spent;
    }

    /// The process comes to a message; not worth waiting for where there is no time left for it.
    pub fn begin(&mut self) -> Next {
        self.since = Some(self.spent);
        if self.session.is_out_of_words(self.budget) { Next::Stop } else { Next::Continue }
    }

    /// The process is at something else.
    pub fn end(&mut self) {
        if let Some(since) = self.since.take() {
            self.session.note_words(self.spent.saturating_sub(since));
        }
    }
}
