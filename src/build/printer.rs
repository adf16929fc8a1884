//! Prints lines for people: those of the job's own thread at once, those of other threads in between.
//!
//! In: lines and the time. Out: each line once, and whether nothing has been printed for so long that a CI service could take the step for dead.

use std::sync::mpsc::{self, Receiver, Sender};
use std::time::{Duration, Instant};

/// After this long without a line one is due; CircleCI ends steps that are silent for ten minutes.
const HEARTBEAT: Duration = Duration::from_secs(30);

/// Prints lines.
pub struct LinePrinter<'a> {
    print: Box<dyn FnMut(&str) + 'a>,
    /// Lines of other threads.
    queue: (Sender<String>, Receiver<String>),
    last_line: Instant,
}

impl<'a> LinePrinter<'a> {
    /// Prints with `print`.
    pub fn new(print: Box<dyn FnMut(&str) + 'a>, now: Instant) -> Self {
        Self { print, queue: mpsc::channel(), last_line: now }
    }

    /// Where other threads put lines, for [`LinePrinter::print_queued`].
    pub fn queue(&self) -> Sender<String> {
        self.queue.0.clone()
    }

    /// Prints a line.
    pub fn print(&mut self, line: &str, now: Instant) {
        self.last_line = now;
        (self.print)(line);
    }

    /// Prints the lines of other threads.
    pub fn print_queued(&mut self, now: Instant) {
        while let Ok(line) = self.queue.1.try_recv() {
            self.print(&line, now);
        }
    }

    /// True where a sign of life is due.
    pub fn is_silent(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.last_line) >= HEARTBEAT
    }
}
