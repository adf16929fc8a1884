//! How far evaluation has come, on standard error.

use std::io::{self, IsTerminal};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::say;
use crate::nix::evaluate::Progress;

/// Time between two lines of progress where they stay.
const LINE: Duration = Duration::from_secs(20);

/// Time between two states of the line on a terminal.
const FRAME: Duration = Duration::from_millis(100);

/// Progress: one line that changes on a terminal, a line now and then elsewhere.
pub(super) struct Printer {
    began: Instant,
    is_terminal: bool,
    /// When something was shown last, and what is known; nothing before evaluation has begun.
    last: Mutex<(Instant, Option<Progress>)>,
}

impl Printer {
    pub fn new() -> Self {
        let began = Instant::now();
        let is_terminal = io::stderr().is_terminal();
        Self { began, is_terminal, last: Mutex::new((began, None)) }
    }

    pub fn show(&self, progress: &Progress) {
        if !say::shows_progress() {
            return;
        }
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.1 = Some(*progress);
        if last.0.elapsed() > if self.is_terminal { FRAME } else { LINE } {
            last.0 = Instant::now();
            self.print(&self.line(progress), !self.is_terminal);
        }
    }

    /// Nothing was evaluated after all: what was shown goes.
    pub fn forget(&self) {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).1 = None;
        say::clear_line();
    }

    /// The last word: nothing for an evaluation that was over at once.
    pub fn finish(&self) {
        if !say::shows_progress() {
            return;
        }
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(progress) = last.1.filter(|_| self.is_terminal || self.began.elapsed() > FRAME) {
            self.print(&self.line(&progress), true);
        }
    }

    fn line(&self, progress: &Progress) -> String {
        let Progress { evaluated, failed, left } = progress;
        let width = say::width(&io::stderr()).filter(|_| self.is_terminal);
        let counts =
            format!("{evaluated} evaluated, {failed} failed, {left} to go, {} s", self.began.elapsed().as_secs());
        // A line that fills the terminal may wrap, and would then not be taken away.
        let room = width.map(|width| width.saturating_sub("evaluation: ".len() + counts.len() + 1));
        let bar = if self.is_terminal { bar(progress, room.unwrap_or(usize::MAX)) } else { String::new() };
        format!("evaluation: {bar}{counts}")
    }

    fn print(&self, line: &str, stays: bool) {
        if stays { say::plain(line) } else { say::passing(line) }
    }
}

/// `[####------] `, in at most `room` characters; nothing where that is too little to see anything.
fn bar(progress: &Progress, room: usize) -> String {
    const WIDTH: usize = 24;
    const LEAST: usize = 6;
    let width = WIDTH.min(room.saturating_sub("[] ".len()));
    if width < LEAST {
        return String::new();
    }
    let done = progress.evaluated + progress.failed;
    let filled = (width * done).checked_div(done + progress.left).unwrap_or(0);
    format!("[{}{}] ", "#".repeat(filled), "-".repeat(width - filled))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_fills() {
        let progress = |evaluated, left| Progress { evaluated, failed: 0, left };
        assert_eq!(bar(&progress(0, 0), 80), "[------------------------] ");
        assert_eq!(bar(&progress(1, 1), 27), "[############------------] ");
        assert_eq!(bar(&progress(7, 0), 80), "[########################] ");
        assert_eq!(bar(&progress(1, 1), 13), "[#####-----] ");
        assert_eq!(bar(&progress(1, 1), 8), "");
    }
}
