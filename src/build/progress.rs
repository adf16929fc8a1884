//! Follows what Nix says while it builds: who is building, for how long, what failed and what was printed last.
//!
//! In: [`Event`]s and the time. Out: lines for people, at least one a minute, and for the record durations, messages and log
//! tails. Memory is bounded: of a log only the end is kept, the rest goes to a file up to a limit.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::{Duration, SystemTime};

use super::builder_log::{BuilderLog, log_file};
use crate::duration::in_words;
use crate::nix::log::{Activity, Event};
use crate::nix::store_path;

/// After this long without a line one is printed; CircleCI ends steps that are silent for ten minutes.
const HEARTBEAT: Duration = Duration::from_secs(30);

/// Messages without a derivation that are kept.
const MAX_MESSAGES: usize = 200;

/// Longest line that is printed or kept, in bytes.
const LINE_BYTES: usize = 4096;

/// How one derivation's build ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Build {
    /// How long it took.
    pub duration: Duration,
    /// The last lines of its log.
    pub log: String,
}

struct Running {
    drv: String,
    started: SystemTime,
    phase: Option<String>,
    log: BuilderLog,
}

/// What has happened so far.
pub struct Tracker<'a> {
    say: Box<dyn FnMut(&str) + 'a>,
    /// Lines that other threads want printed.
    remarks: (Sender<String>, Receiver<String>),
    /// Is told of each derivation whose build has ended well.
    on_built: Box<dyn FnMut(&str) + 'a>,
    /// Whether Nix still works on a derivation that it has begun.
    is_locked: Box<dyn Fn(&str) -> bool + 'a>,
    /// Derivations that may be built here.
    expected: HashSet<String>,
    logs: Option<PathBuf>,
    last_line: SystemTime,
    running: BTreeMap<u64, Running>,
    fetching: HashMap<u64, (String, SystemTime)>,
    counters: HashSet<u64>,
    builds: HashMap<String, Build>,
    fetched: HashMap<String, Duration>,
    messages: Vec<String>,
    failures: HashMap<String, String>,
}

impl<'a> Tracker<'a> {
    /// A tracker that prints with `say`. Logs go to the folder `logs`, where there is one.
    pub fn new(
        say: Box<dyn FnMut(&str) + 'a>,
        is_locked: Box<dyn Fn(&str) -> bool + 'a>,
        expected: HashSet<String>,
        logs: Option<PathBuf>,
        now: SystemTime,
    ) -> Self {
        Tracker {
            say,
            remarks: mpsc::channel(),
            on_built: Box::new(|_| ()),
            is_locked,
            expected,
            logs,
            last_line: now,
            running: BTreeMap::new(),
            fetching: HashMap::new(),
            counters: HashSet::new(),
            builds: HashMap::new(),
            fetched: HashMap::new(),
            messages: Vec::new(),
            failures: HashMap::new(),
        }
    }

    /// Has somebody told of each derivation whose build has ended well, at once.
    pub fn on_built(&mut self, told: Box<dyn FnMut(&str) + 'a>) {
        self.on_built = told;
    }

    /// Where other threads put lines; they are printed at the next tick.
    pub fn remarks(&self) -> Sender<String> {
        self.remarks.0.clone()
    }

    /// Prints a line.
    pub fn say(&mut self, line: &str, now: SystemTime) {
        self.last_line = now;
        (self.say)(line);
    }

    /// All builds that have ended, by the derivation that Nix named: for a content-addressed one the resolved one.
    pub fn builds(&self) -> &HashMap<String, Build> {
        &self.builds
    }

    /// All paths that were fetched, and how long that took.
    pub fn fetched(&self) -> &HashMap<String, Duration> {
        &self.fetched
    }

    /// Nix's message about a derivation.
    pub fn failure(&self, drv: &str) -> Option<&str> {
        self.failures.get(drv).map(String::as_str)
    }

    /// Errors that are about no single derivation.
    pub fn messages(&self) -> &[String] {
        &self.messages
    }

    /// Takes one event.
    pub fn take(&mut self, event: Event, now: SystemTime) {
        match event {
            Event::Start { id, activity: Activity::Build { drv, machine } } => self.start(id, drv, &machine, now),
            Event::Start { id, activity: Activity::Substitute { path, .. } } => {
                self.fetching.insert(id, (path, now));
            }
            Event::Start { id, activity: Activity::Builds } => {
                self.counters.insert(id);
            }
            Event::Start { .. } => {}
            Event::Stop { id } => {
                self.counters.remove(&id);
                if self.running.contains_key(&id) {
                    self.finish(id, now);
                } else if let Some((path, started)) = self.fetching.remove(&id) {
                    self.fetched.insert(path, now.duration_since(started).unwrap_or_default());
                }
            }
            Event::LogLine { id, line } => {
                if let Some(running) = self.running.get_mut(&id) {
                    running.log.push(shorten(line));
                }
            }
            Event::Phase { id, phase } => {
                if let Some(running) = self.running.get_mut(&id) {
                    running.phase = Some(shorten(phase));
                }
            }
            Event::Progress { id, .. } if self.counters.contains(&id) => self.sweep(now),
            Event::Progress { .. } => {}
            Event::Message { level, text } => self.message(level, shorten(text), now),
            Event::Text(text) => self.say(&shorten(text), now),
            Event::TooLong { bytes } => {
                let only = if self.running.len() == 1 { self.running.values_mut().next() } else { None };
                if let Some(running) = only {
                    running.log.push(format!("[a line of {bytes} bytes is left out]"));
                }
            }
        }
    }

    /// Prints the lines of other threads.
    pub fn pass_on(&mut self, now: SystemTime) {
        while let Ok(line) = self.remarks.1.try_recv() {
            self.say(&line, now);
        }
    }

    /// Prints the lines of other threads, and a sign of life where nothing has been printed for long.
    pub fn tick(&mut self, now: SystemTime) {
        self.pass_on(now);
        if now.duration_since(self.last_line).unwrap_or_default() < HEARTBEAT {
            return;
        }
        let mut parts: Vec<String> = self
            .running
            .values()
            .take(5)
            .map(|running| {
                let phase = running.phase.as_ref().map(|phase| format!(", {phase}")).unwrap_or_default();
                format!("{} ({}{phase})", name(&running.drv), words(since(running.started, now)))
            })
            .collect();
        if self.running.len() > 5 {
            parts.push(format!("{} more", self.running.len() - 5));
        }
        if !self.fetching.is_empty() {
            parts.push(format!("fetching {} paths", self.fetching.len()));
        }
        if parts.is_empty() {
            parts.push("waiting for Nix".to_owned());
        }
        self.say(&format!("still at work: {}; {} built", parts.join(", "), self.builds.len()), now);
    }

    /// Takes the end of a call of Nix: whatever was running is over.
    pub fn end(&mut self, now: SystemTime) {
        for id in self.running.keys().copied().collect::<Vec<_>>() {
            self.finish(id, now);
        }
        for (_, (path, started)) in self.fetching.drain() {
            self.fetched.insert(path, since(started, now));
        }
        self.counters.clear();
    }

    fn start(&mut self, id: u64, drv: String, machine: &str, now: SystemTime) {
        let place = if machine.is_empty() { String::new() } else { format!(" on {machine}") };
        let line = if self.expected.contains(&drv) {
            format!("building {}{place}", name(&drv))
        } else {
            // Content-addressed derivations are named as resolved, so the name is the best that is known.
            format!("building {}{place}: not listed in this job's plan (`{drv}`)", name(&drv))
        };
        self.say(&line, now);
        let file = self.logs.as_ref().map(|dir| log_file(dir, &drv));
        self.running.insert(id, Running { drv, started: now, phase: None, log: BuilderLog::new(file) });
    }

    /// Before 2.34 Nix keeps the activity of a derivation that was asked for by name until the end of the call; but it
    /// counts it as done, and it has removed the locks of its outputs by then.
    fn sweep(&mut self, now: SystemTime) {
        let over: Vec<u64> =
            self.running.iter().filter(|(_, running)| !(self.is_locked)(&running.drv)).map(|(&id, _)| id).collect();
        for id in over {
            self.finish(id, now);
        }
    }

    fn finish(&mut self, id: u64, now: SystemTime) {
        let Some(running) = self.running.remove(&id) else { return };
        let duration = since(running.started, now);
        let failed = self.failures.contains_key(&running.drv);
        let line = match failed {
            true => format!("failed {} after {}", name(&running.drv), words(duration)),
            false => {
                format!("ended {} after {} ({} so far)", name(&running.drv), words(duration), self.builds.len() + 1)
            }
        };
        self.say(&line, now);
        if !failed {
            (self.on_built)(&running.drv);
        }
        self.builds.insert(running.drv, Build { duration, log: running.log.close() });
    }

    fn message(&mut self, level: u64, text: String, now: SystemTime) {
        match level {
            0 => {
                let first = text.lines().next().unwrap_or_default();
                // `build of 'a.drv', 'b.drv' failed` says nothing new.
                if first.starts_with("build of ") {
                    return;
                }
                match quoted_drv(first) {
                    Some(drv) => {
                        let drv = drv.to_owned();
                        let seen = self.failures.insert(drv.clone(), text.clone()).is_some();
                        if !seen {
                            self.say(&format!("error: {text}"), now);
                        }
                        let over = self.running.iter().find(|(_, running)| running.drv == drv).map(|(&id, _)| id);
                        if let Some(id) = over {
                            self.finish(id, now);
                        }
                    }
                    // A daemon sends warnings at this level too, with the word before them.
                    None if text.starts_with("warning: ") => self.say(&text, now),
                    None => {
                        self.say(&format!("error: {text}"), now);
                        if self.messages.len() < MAX_MESSAGES && !self.messages.contains(&text) {
                            self.messages.push(text);
                        }
                    }
                }
            }
            // Roots are not needed: nothing collects garbage in the middle of a job.
            1 if !text.contains("--add-root") => {
                self.say(&format!("warning: {}", text.trim_start_matches("warning: ")), now);
            }
            _ => {}
        }
    }
}

fn name(drv: &str) -> &str {
    store_path::name_of(drv.rsplit('/').next().unwrap_or(drv))
}

fn since(started: SystemTime, now: SystemTime) -> Duration {
    now.duration_since(started).unwrap_or_default()
}

/// The first derivation that a message names in quotes.
fn quoted_drv(text: &str) -> Option<&str> {
    text.split('\'').find(|part| part.ends_with(".drv") && store_path::split(part).is_ok())
}

fn shorten(mut text: String) -> String {
    if text.len() > LINE_BYTES {
        let cut = (0..=LINE_BYTES).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
        let left_out = text.len() - cut;
        text.truncate(cut);
        text.push_str(&format!(" [{left_out} bytes left out]"));
    }
    text
}

fn words(duration: Duration) -> String {
    in_words(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    const A: &str = "/nix/store/jkpdjnvj0ydp06sf2hnc0xajiib0dc7b-a.drv";
    const B: &str = "/nix/store/mijmkhwlzf00lgf2qj6z08ha30sgy0h4-b.drv";

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn start(id: u64, drv: &str) -> Event {
        Event::Start { id, activity: Activity::Build { drv: drv.into(), machine: String::new() } }
    }

    fn with_tracker(locked: impl Fn(&str) -> bool, work: impl FnOnce(&mut Tracker)) -> Vec<String> {
        let lines = RefCell::new(Vec::new());
        let say = Box::new(|line: &str| lines.borrow_mut().push(line.to_owned()));
        let expected = [A.to_owned(), B.to_owned()].into();
        let mut tracker = Tracker::new(say, Box::new(&locked), expected, None, at(0));
        work(&mut tracker);
        drop(tracker);
        lines.into_inner()
    }

    #[test]
    fn a_build_is_over_when_nix_counts_it_and_its_lock_is_gone() {
        let gone = RefCell::new(false);
        with_tracker(
            |drv| drv != A || !*gone.borrow(),
            |tracker| {
                tracker.take(Event::Start { id: 9, activity: Activity::Builds }, at(0));
                tracker.take(start(1, A), at(0));
                tracker.take(start(2, B), at(1));
                tracker.take(Event::Progress { id: 9, done: 0, failed: 0 }, at(5));
                assert!(tracker.builds().is_empty());
                *gone.borrow_mut() = true;
                tracker.take(Event::Progress { id: 9, done: 1, failed: 0 }, at(7));
                tracker.take(Event::Stop { id: 1 }, at(90));
                tracker.take(Event::Stop { id: 2 }, at(91));
                assert_eq!(tracker.builds()[A].duration, Duration::from_secs(7));
                assert_eq!(tracker.builds()[B].duration, Duration::from_secs(90));
            },
        );
    }

    #[test]
    fn a_failure_keeps_its_message_and_the_end_of_its_log() {
        let lines = with_tracker(
            |_| true,
            |tracker| {
                tracker.take(start(1, A), at(0));
                tracker.take(Event::LogLine { id: 1, line: "last".into() }, at(2));
                let text = format!("builder for '{A}' failed with exit code 3");
                tracker.take(Event::Message { level: 0, text: text.clone() }, at(3));
                tracker.take(Event::Message { level: 0, text: format!("build of '{A}' failed") }, at(3));
                assert_eq!(tracker.failure(A), Some(text.as_str()));
                assert_eq!(tracker.builds()[A].log, "last");
                assert!(tracker.messages().is_empty());
            },
        );
        assert!(lines.iter().any(|line| line.starts_with("failed a after 3 s")), "{lines:?}");
    }

    #[test]
    fn silence_is_broken_and_what_belongs_elsewhere_is_named() {
        let other = "/nix/store/plkgpmfzry155zwppdgcn16mvizcm16f-other.drv";
        let lines = with_tracker(
            |_| true,
            |tracker| {
                tracker.take(start(1, other), at(0));
                tracker.take(Event::Phase { id: 1, phase: "buildPhase".into() }, at(0));
                tracker.tick(at(29));
                tracker.tick(at(75));
                tracker.end(at(80));
            },
        );
        assert!(lines[0].contains("not listed in this job's plan") && lines[0].contains(other), "{lines:?}");
        assert_eq!(lines[1], "still at work: other (1 min 15 s, buildPhase); 0 built");
        assert_eq!(lines[2], "ended other after 1 min 20 s (1 so far)");
    }
}
