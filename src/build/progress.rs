//! Follows what Nix says while it builds: who is building, for how long, what failed and what was printed last.
//!
//! In: [`Event`]s and the time. Out: lines for people, at least one a minute, and for the record durations, messages and log
//! tails; for those who build on, the [`Round`]. Memory is bounded: of a log only the end is kept, the rest goes to a file up to a limit.

use std::collections::HashSet;
use std::env;
use std::path::{Path, PathBuf};
use std::sync::mpsc::Sender;
use std::time::Instant;

use super::builder_log::log_file;
use super::evidence::UNNAMED;
use super::ledger::{Build, Ledger};
use super::nix_words::{base_names, is_about_dependencies, leaves_a_cache_alone, quoted_drv, unsigned};
use super::output_lock::Lock;
use super::printer::LinePrinter;
use super::round::{BuildEnd, Round};
use super::running::{Activities, name, since, words};
use crate::delivery::BuildLogs;
use crate::duration::in_words;
use crate::handoff::free_space;
use crate::nix::log::{self, Activity, Event};
use crate::nix::machine_fault;
use crate::printable::printable;

/// Bytes of free space with which no builder has run out of it. Nix itself looks when a builder fails, before it removes what that has left, and says so
/// where there are less than 8 MiB.
const PLENTY: u64 = 1 << 30;

/// Errors of the whole job that are kept.
const MAX_MESSAGES: usize = 200;

/// What the tracker asks about derivations.
pub trait Derivations {
    /// The locks of a derivation's outputs.
    fn lock(&self, drv: &str) -> Lock;
    /// The derivation that an output of this base name comes from.
    fn producer(&self, base: &str) -> Option<String>;
}

/// What has happened so far.
pub struct Tracker<'a> {
    printer: LinePrinter<'a>,
    /// When the job began.
    began: Instant,
    /// Is told of each derivation whose build has ended well.
    on_built: Box<dyn FnMut(&str) + 'a>,
    known: &'a dyn Derivations,
    /// Derivations that may be built here.
    expected: HashSet<String>,
    logs: Option<PathBuf>,
    build_logs: BuildLogs,
    running: Activities,
    counters: HashSet<u64>,
    round: Round,
    messages: Vec<String>,
    ledger: Ledger,
}

impl<'a> Tracker<'a> {
    /// A tracker that prints with `say`. Logs go to the folder `logs`, where there is one. `now` is when the job begins.
    pub fn new(
        say: Box<dyn FnMut(&str) + 'a>,
        known: &'a dyn Derivations,
        expected: HashSet<String>,
        logs: Option<PathBuf>,
        now: Instant,
    ) -> Self {
        Tracker {
            printer: LinePrinter::new(say, now),
            began: now,
            on_built: Box::new(|_| ()),
            known,
            expected,
            logs,
            build_logs: BuildLogs::default(),
            running: Activities::default(),
            counters: HashSet::new(),
            round: Round::default(),
            messages: Vec::new(),
            ledger: Ledger::default(),
        }
    }

    /// Has somebody told of each derivation whose build has ended well, at once.
    pub fn on_built(&mut self, hear: Box<dyn FnMut(&str) + 'a>) {
        self.on_built = hear;
    }

    /// Says what is printed of builders' logs.
    pub fn print_logs(&mut self, build_logs: BuildLogs) {
        self.build_logs = build_logs;
    }

    /// Where other threads put lines; they are printed at the next tick.
    pub fn remarks(&self) -> Sender<String> {
        self.printer.queue()
    }

    /// Prints a line.
    pub fn say(&mut self, line: &str, now: Instant) {
        self.printer.print(line, now);
    }

    /// What became of each derivation.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// The same, to be changed.
    pub fn ledger_mut(&mut self) -> &mut Ledger {
        &mut self.ledger
    }

    /// Begins a round, of one call of Nix or several.
    pub fn begin_round(&mut self) {
        for text in std::mem::take(&mut self.round).into_messages() {
            if self.messages.len() < MAX_MESSAGES && !self.messages.contains(&text) {
                self.messages.push(text);
            }
        }
    }

    /// The round so far.
    pub fn round(&self) -> &Round {
        &self.round
    }

    /// Takes the round's messages about no single derivation for messages about these.
    pub fn settle(&mut self, drvs: &[String], before: &str) {
        let mut said: Vec<String> = std::mem::take(&mut self.round).into_messages();
        let is_cause = |line: &String| !leaves_a_cache_alone(line);
        if said.iter().any(is_cause) {
            said.retain(is_cause);
        }
        let said = said.join("\n");
        let why = match machine_fault::explain(&said) {
            Some((what, remedy)) => format!("{what}: {said} ({remedy})"),
            None if said.is_empty() => "Nix did not say why".to_owned(),
            None => said,
        };
        for drv in drvs {
            if self.ledger.failure(drv).is_none() {
                self.ledger.add_failure(drv.clone(), format!("{before}{why}"));
            }
        }
    }

    /// Errors that are about no single derivation.
    pub fn messages(&self) -> impl Iterator<Item = &String> {
        self.messages.iter().chain(self.round.messages())
    }

    /// Takes one event.
    pub fn take(&mut self, event: Event, now: Instant) {
        match event {
            Event::Start { id, activity: Activity::Build { drv, machine } } => self.start(id, drv, &machine, now),
            Event::Start { id, activity: Activity::Substitute { path, from } } => {
                self.running.begin_fetch(id, path, from, now);
            }
            Event::Start { id, activity: Activity::Builds } => {
                self.counters.insert(id);
            }
            Event::Start { .. } => {}
            Event::Stop { id } => {
                self.counters.remove(&id);
                if let Some(fetch) = self.running.end_fetch(id, now) {
                    self.ledger.add_fetched(self.began, fetch);
                }
                self.finish(id, now);
            }
            Event::LogLine { id, line } => {
                if let Some(running) = self.running.build_mut(id) {
                    if self.build_logs == BuildLogs::Live {
                        let text = printable(&log::plain(&line));
                        self.printer.print(&format!("{}> {text}", name(&running.drv)), now);
                    }
                    running.log.push(line);
                }
            }
            Event::Phase { id, phase } => {
                if let Some(running) = self.running.build_mut(id) {
                    running.phase = Some(phase);
                }
            }
            Event::Progress { id, failed, .. } if self.counters.contains(&id) => {
                self.round.count_failed(id, failed);
                self.sweep(now);
            }
            Event::Progress { .. } => {}
            Event::Message { level, text, is_own } => self.message(level, text, is_own, now),
            Event::Text(text) => self.say(&text, now),
            Event::TooLong { id, bytes } => {
                let of_build = id.filter(|&id| self.running.build_mut(id).is_some());
                let running = match of_build {
                    Some(id) => self.running.build_mut(id),
                    None => self.running.only_build_mut(),
                };
                if let Some(running) = running {
                    running.log.push(format!("[a line of {bytes} bytes is left out]"));
                }
            }
        }
    }

    /// Prints the lines of other threads.
    pub fn pass_on(&mut self, now: Instant) {
        self.printer.print_queued(now);
    }

    /// Prints the lines of other threads, and a sign of life where nothing has been printed for long.
    pub fn tick(&mut self, now: Instant) {
        self.pass_on(now);
        if self.printer.is_silent(now) {
            let built = self.ledger.builds().len();
            self.say(&format!("still at work: {}; {built} built", self.running.describe(now)), now);
        }
    }

    /// A call of Nix was ended since the job's time is over: what was being built has taken too long.
    pub fn run_out_of_time(&mut self, why: &str, now: Instant) {
        let elapsed = now.saturating_duration_since(self.began).as_millis();
        let elapsed = in_words(u64::try_from(elapsed).unwrap_or(u64::MAX));
        for (_, build) in self.running.open_builds_mut() {
            let message = format!("timed out after {elapsed} of the job, and was ended: {why}");
            self.ledger.add_failure(build.drv.clone(), message);
        }
        self.end(Some(why.to_owned()), now);
    }

    /// Takes the end of a call of Nix: whatever was running is over. `ended` says how, where it did not end by itself.
    pub fn end(&mut self, ended: Option<String>, now: Instant) {
        for id in self.running.build_ids() {
            self.finish(id, now);
        }
        self.judge_unknown();
        for fetch in self.running.end_fetches(now) {
            self.ledger.add_fetched(self.began, fetch);
        }
        self.counters.clear();
        if let Some(ended) = ended {
            self.say(&format!("error: {ended}"), now);
            self.round.add_message(ended);
        }
        let silent: Vec<String> =
            self.round.failed().filter(|drv| self.ledger.failure(drv).is_none()).map(str::to_owned).collect();
        for drv in silent {
            let said = self.round.messages().join("\n");
            let why = if said.is_empty() { "Nix did not say why".to_owned() } else { said };
            self.ledger.add_failure(drv, format!("{UNNAMED}{why}"));
        }
    }

    fn start(&mut self, id: u64, drv: String, machine: &str, now: Instant) {
        // What has ended by now does not run beside it.
        self.sweep(now);
        let place = if machine.is_empty() { String::new() } else { format!(" on {machine}") };
        let line = if self.expected.contains(&drv) {
            format!("building {}{place}", name(&drv))
        } else {
            // Content-addressed derivations are named as resolved, so the name is the best that is known.
            format!("building {}{place}: not listed in this job's plan (`{drv}`)", name(&drv))
        };
        self.say(&line, now);
        self.round.begin(&drv);
        self.ledger.begin(&drv);
        let file = self.logs.as_ref().map(|dir| log_file(dir, &drv));
        self.running.begin_build(id, drv, file, now);
    }

    /// Before 2.34 Nix keeps the activity of a derivation that was asked for by name until the end of the call; but it
    /// counts it as done, and it has removed the locks of its outputs by then.
    fn sweep(&mut self, now: Instant) {
        self.judge_unknown();
        let mut done = Vec::new();
        for (id, running) in self.running.open_builds_mut() {
            match self.known.lock(&running.drv) {
                Lock::Held => {}
                Lock::Gone => done.push(id),
                lock => {
                    if self.round.end(&running.drv, lock) == BuildEnd::Failed {
                        running.failed_after = Some(since(running.started, now));
                    }
                }
            }
        }
        for id in done {
            self.finish(id, now);
        }
    }

    /// Says of builds that have ended with their locks still held, for Nix may tell of the end first, which of them have failed: as many as Nix has
    /// counted without naming them, and only those whose locks are left.
    fn judge_unknown(&mut self) {
        for drv in self.round.unknown() {
            if self.round.nameless_failures() > 0 && self.known.lock(&drv) == Lock::Left {
                self.round.end(&drv, Lock::Left);
            }
        }
    }

    fn finish(&mut self, id: u64, now: Instant) {
        let Some(running) = self.running.end_build(id) else { return };
        let duration = running.failed_after.unwrap_or_else(|| since(running.started, now));
        let end = if running.failed_after.is_some() || self.ledger.failure(&running.drv).is_some() {
            self.round.fail(&running.drv);
            BuildEnd::Failed
        } else {
            self.round.end(&running.drv, self.known.lock(&running.drv))
        };
        let (name, took) = (name(&running.drv), words(duration));
        let line = match end {
            BuildEnd::Failed => format!("failed {name} after {took}"),
            BuildEnd::Open => format!("stopped {name} after {took}: Nix has ended"),
            BuildEnd::Done | BuildEnd::Unknown => {
                format!("ended {name} after {took} ({} so far)", self.ledger.builds().len() + 1)
            }
        };
        self.say(&line, now);
        let has_room = end != BuildEnd::Done && has_room(&running.drv);
        if matches!(end, BuildEnd::Done | BuildEnd::Unknown) {
            (self.on_built)(&running.drv);
        }
        let begun = since(self.began, running.started);
        let (slot, beside, log) = (running.slot, running.beside, running.log.close());
        self.ledger.add_build(running.drv, Build { begun, slot, duration, log, beside, has_room });
    }

    /// The derivation whose output a text names, of those that may have failed in this round.
    fn producer(&self, text: &str) -> Option<String> {
        base_names(text).filter_map(|base| self.known.producer(base)).find(|drv| self.round.may_have_failed(drv))
    }

    fn message(&mut self, level: u64, text: String, is_own: bool, now: Instant) {
        if let Some(path) = unsigned(&text) {
            self.ledger.add_unsigned(path);
        }
        match level {
            0 => {
                let first = text.lines().next().unwrap_or_default();
                // `build of 'a.drv', 'b.drv' failed` says nothing new.
                if first.starts_with("build of ") {
                    return;
                }
                // A daemon sends warnings at this level too, with the word before them.
                if text.starts_with("warning: ") {
                    return self.say(&text, now);
                }
                let Some(drv) = quoted_drv(first).map(str::to_owned).or_else(|| self.producer(&text)) else {
                    self.say(&format!("error: {text}"), now);
                    return self.round.add_message(text);
                };
                // Nix counts a failure before it tells of it, but for those of what needs another: these follow from the graph.
                if !is_own && (self.round.nameless_failures() == 0 || is_about_dependencies(&text)) {
                    return self.say(&text, now);
                }
                if self.ledger.add_failure(drv.clone(), text.clone()) {
                    self.say(&format!("error: {text}"), now);
                }
                match self.running.find_build(&drv) {
                    Some(id) => self.finish(id, now),
                    None => self.round.fail(&drv),
                }
            }
            // The job holds what it needs in another way, see `nix::temporary_roots`.
            1 if !text.contains("--add-root") => {
                self.say(&format!("warning: {}", text.trim_start_matches("warning: ")), now);
            }
            _ => {}
        }
    }
}

/// True where nobody has run out of room: in the store that has this derivation, and where temporary files are.
fn has_room(drv: &str) -> bool {
    let store = Path::new(drv).parent().unwrap_or(Path::new("/"));
    let temporary = env::temp_dir();
    let mut free = [store, &temporary].into_iter().filter_map(free_space::bytes);
    free.all(|bytes| bytes >= PLENTY)
}

#[cfg(test)]
mod tests;
