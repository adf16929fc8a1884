//! Follows what Nix says while it builds: who is building, for how long, what failed and what was printed last.
//!
//! In: [`Event`]s and the time. Out: lines for people, at least one a minute, and for the record durations, messages and log
//! tails; for those who build on, the [`Round`]. Memory is bounded: of a log only the end is kept, the rest goes to a file up to a limit.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::{Duration, Instant};

use super::builder_log::{BuilderLog, log_file};
use super::ledger::{Build, Ledger};
use super::nix_words::{base_names, quoted_drv, shorten};
use super::output_lock::Lock;
use super::round::{End, Round};
use crate::delivery::BuildLogs;
use crate::duration::in_words;
use crate::nix::log::{self, Activity, Event};
use crate::nix::store_path;
use crate::printable::printable;

/// After this long without a line one is printed; CircleCI ends steps that are silent for ten minutes.
const HEARTBEAT: Duration = Duration::from_secs(30);

/// Errors of the whole job that are kept.
const MAX_MESSAGES: usize = 200;

struct Running {
    drv: String,
    started: Instant,
    phase: Option<String>,
    log: BuilderLog,
    /// How long it took until Nix counted it as failed; its last lines and the reason may still come.
    failed_after: Option<Duration>,
    /// Whether others were built at the same time.
    beside: bool,
}

/// What the tracker asks about derivations.
pub trait Known {
    /// The locks of a derivation's outputs.
    fn lock(&self, drv: &str) -> Lock;
    /// The derivation that an output of this base name comes from.
    fn producer(&self, base: &str) -> Option<String>;
}

/// What has happened so far.
pub struct Tracker<'a> {
    say: Box<dyn FnMut(&str) + 'a>,
    /// Lines that other threads want printed.
    remarks: (Sender<String>, Receiver<String>),
    /// Is told of each derivation whose build has ended well.
    on_built: Box<dyn FnMut(&str) + 'a>,
    known: &'a dyn Known,
    /// Derivations that may be built here.
    expected: HashSet<String>,
    logs: Option<PathBuf>,
    build_logs: BuildLogs,
    last_line: Instant,
    running: BTreeMap<u64, Running>,
    fetching: HashMap<u64, (String, Instant)>,
    counters: HashSet<u64>,
    round: Round,
    messages: Vec<String>,
    ledger: Ledger,
}

impl<'a> Tracker<'a> {
    /// A tracker that prints with `say`. Logs go to the folder `logs`, where there is one.
    pub fn new(
        say: Box<dyn FnMut(&str) + 'a>,
        known: &'a dyn Known,
        expected: HashSet<String>,
        logs: Option<PathBuf>,
        now: Instant,
    ) -> Self {
        Tracker {
            say,
            remarks: mpsc::channel(),
            on_built: Box::new(|_| ()),
            known,
            expected,
            logs,
            build_logs: BuildLogs::default(),
            last_line: now,
            running: BTreeMap::new(),
            fetching: HashMap::new(),
            counters: HashSet::new(),
            round: Round::default(),
            messages: Vec::new(),
            ledger: Ledger::default(),
        }
    }

    /// Has somebody told of each derivation whose build has ended well, at once.
    pub fn on_built(&mut self, told: Box<dyn FnMut(&str) + 'a>) {
        self.on_built = told;
    }

    /// Says what is printed of builders' logs.
    pub fn print_logs(&mut self, build_logs: BuildLogs) {
        self.build_logs = build_logs;
    }

    /// Where other threads put lines; they are printed at the next tick.
    pub fn remarks(&self) -> Sender<String> {
        self.remarks.0.clone()
    }

    /// Prints a line.
    pub fn say(&mut self, line: &str, now: Instant) {
        self.last_line = now;
        (self.say)(line);
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
        let said = std::mem::take(&mut self.round).into_messages().join("\n");
        let why = if said.is_empty() { "Nix did not say why".to_owned() } else { said };
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
                    self.ledger.add_fetched(path, since(started, now));
                }
            }
            Event::LogLine { id, line } => {
                if let Some(running) = self.running.get_mut(&id) {
                    let line = shorten(line);
                    if self.build_logs == BuildLogs::Live {
                        self.last_line = now;
                        (self.say)(&format!("{}> {}", name(&running.drv), printable(&log::plain(&line))));
                    }
                    running.log.push(line);
                }
            }
            Event::Phase { id, phase } => {
                if let Some(running) = self.running.get_mut(&id) {
                    running.phase = Some(shorten(phase));
                }
            }
            Event::Progress { id, failed, .. } if self.counters.contains(&id) => {
                self.round.count_failed(id, failed);
                self.sweep(now);
            }
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
    pub fn pass_on(&mut self, now: Instant) {
        while let Ok(line) = self.remarks.1.try_recv() {
            self.say(&line, now);
        }
    }

    /// Prints the lines of other threads, and a sign of life where nothing has been printed for long.
    pub fn tick(&mut self, now: Instant) {
        self.pass_on(now);
        if now.saturating_duration_since(self.last_line) < HEARTBEAT {
            return;
        }
        let mut parts: Vec<String> = self
            .running
            .values()
            .filter(|running| running.failed_after.is_none())
            .take(5)
            .map(|running| {
                let phase = running.phase.as_ref().map(|phase| format!(", {phase}")).unwrap_or_default();
                format!("{} ({}{phase})", name(&running.drv), words(since(running.started, now)))
            })
            .collect();
        let count = self.running.values().filter(|running| running.failed_after.is_none()).count();
        if count > 5 {
            parts.push(format!("{} more", count - 5));
        }
        if !self.fetching.is_empty() {
            parts.push(format!("fetching {} paths", self.fetching.len()));
        }
        if parts.is_empty() {
            parts.push("waiting for Nix".to_owned());
        }
        self.say(&format!("still at work: {}; {} built", parts.join(", "), self.ledger.builds().len()), now);
    }

    /// Takes the end of a call of Nix: whatever was running is over. `ended` says how, where it did not end by itself.
    pub fn end(&mut self, ended: Option<String>, now: Instant) {
        for id in self.running.keys().copied().collect::<Vec<_>>() {
            self.finish(id, now);
        }
        for (_, (path, started)) in self.fetching.drain() {
            self.ledger.add_fetched(path, since(started, now));
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
            self.ledger.add_failure(drv, format!("its build failed, and Nix ended before it gave the reason: {why}"));
        }
    }

    fn start(&mut self, id: u64, drv: String, machine: &str, now: Instant) {
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
        let beside = !self.running.is_empty();
        self.running.values_mut().for_each(|running| running.beside = true);
        let file = self.logs.as_ref().map(|dir| log_file(dir, &drv));
        self.running.insert(
            id,
            Running { drv, started: now, phase: None, log: BuilderLog::new(file), failed_after: None, beside },
        );
    }

    /// Before 2.34 Nix keeps the activity of a derivation that was asked for by name until the end of the call; but it
    /// counts it as done, and it has removed the locks of its outputs by then.
    fn sweep(&mut self, now: Instant) {
        let mut done = Vec::new();
        for (&id, running) in self.running.iter_mut().filter(|(_, running)| running.failed_after.is_none()) {
            match self.known.lock(&running.drv) {
                Lock::Held => {}
                Lock::Gone => done.push(id),
                lock => {
                    if self.round.end(&running.drv, lock) == End::Failed {
                        running.failed_after = Some(since(running.started, now));
                    }
                }
            }
        }
        for id in done {
            self.finish(id, now);
        }
    }

    fn finish(&mut self, id: u64, now: Instant) {
        let Some(running) = self.running.remove(&id) else { return };
        let duration = running.failed_after.unwrap_or_else(|| since(running.started, now));
        let end = if running.failed_after.is_some() || self.ledger.failure(&running.drv).is_some() {
            self.round.fail(&running.drv);
            End::Failed
        } else {
            self.round.end(&running.drv, self.known.lock(&running.drv))
        };
        let (name, took) = (name(&running.drv), words(duration));
        let line = match end {
            End::Failed => format!("failed {name} after {took}"),
            End::Open => format!("stopped {name} after {took}: Nix has ended"),
            End::Done | End::Unknown => {
                format!("ended {name} after {took} ({} so far)", self.ledger.builds().len() + 1)
            }
        };
        self.say(&line, now);
        if matches!(end, End::Done | End::Unknown) {
            (self.on_built)(&running.drv);
        }
        self.ledger.add_build(running.drv, Build { duration, log: running.log.close(), beside: running.beside });
    }

    /// The derivation whose output a text names, of those that may have failed in this round.
    fn producer(&self, text: &str) -> Option<String> {
        base_names(text).filter_map(|base| self.known.producer(base)).find(|drv| self.round.may_have_failed(drv))
    }

    fn message(&mut self, level: u64, text: String, now: Instant) {
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
                if self.ledger.add_failure(drv.clone(), text.clone()) {
                    self.say(&format!("error: {text}"), now);
                }
                let over = self.running.iter().find(|(_, running)| running.drv == drv).map(|(&id, _)| id);
                match over {
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

fn name(drv: &str) -> &str {
    store_path::name_of(drv.rsplit('/').next().unwrap_or(drv))
}

fn since(started: Instant, now: Instant) -> Duration {
    now.saturating_duration_since(started)
}

fn words(duration: Duration) -> String {
    in_words(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;
    use std::sync::LazyLock;

    const A: &str = "/nix/store/jkpdjnvj0ydp06sf2hnc0xajiib0dc7b-a.drv";
    const B: &str = "/nix/store/mijmkhwlzf00lgf2qj6z08ha30sgy0h4-b.drv";

    fn at(seconds: u64) -> Instant {
        static BEGIN: LazyLock<Instant> = LazyLock::new(Instant::now);
        *BEGIN + Duration::from_secs(seconds)
    }

    fn start(id: u64, drv: &str) -> Event {
        Event::Start { id, activity: Activity::Build { drv: drv.into(), machine: String::new() } }
    }

    /// A store whose locks look as told, and in which `a` comes from A and `b` from B.
    struct Locks<F>(F);

    impl<F: Fn(&str) -> Lock> Known for Locks<F> {
        fn lock(&self, drv: &str) -> Lock {
            self.0(drv)
        }

        fn producer(&self, base: &str) -> Option<String> {
            [A, B].into_iter().find(|drv| name(drv) == store_path::name_of(base)).map(str::to_owned)
        }
    }

    fn with_tracker(locks: impl Fn(&str) -> Lock, work: impl FnOnce(&mut Tracker)) -> Vec<String> {
        let lines = RefCell::new(Vec::new());
        let say = Box::new(|line: &str| lines.borrow_mut().push(line.to_owned()));
        let expected = [A.to_owned(), B.to_owned()].into();
        let known = Locks(locks);
        let mut tracker = Tracker::new(say, &known, expected, None, at(0));
        work(&mut tracker);
        drop(tracker);
        lines.into_inner()
    }

    fn error(text: &str) -> Event {
        Event::Message { level: 0, text: text.into() }
    }

    #[test]
    fn a_message_that_names_an_output_is_about_what_is_being_built_into_it() {
        with_tracker(
            |_| Lock::Held,
            |tracker| {
                tracker.take(start(1, A), at(0));
                // B was not begun; A was.
                let b = "/nix/store/5ybzpq1bfh6gb0hr4r7x5rz9w8aj7kc1-b";
                let a = "/nix/store/610arvfbd44l28rc2hqq33ydwf8ii3sw-a";
                let text = format!("file \"{a}/pipe\" has an unsupported type; {b} is of no matter");
                tracker.take(error(&text), at(1));
                tracker.take(error(&format!("cannot open '{b}'.")), at(1));
                assert_eq!(tracker.ledger().failure(A), Some(text.as_str()));
                assert_eq!(tracker.ledger().failure(B), None);
                assert_eq!(tracker.round().messages(), [format!("cannot open '{b}'.")]);
            },
        );
    }

    #[test]
    fn when_nix_dies_a_failure_that_it_had_counted_is_told_from_what_it_left() {
        let lines = with_tracker(
            |_| Lock::Left,
            |tracker| {
                tracker.take(Event::Start { id: 9, activity: Activity::Builds }, at(0));
                tracker.take(start(1, A), at(0));
                tracker.take(Event::Progress { id: 9, done: 0, failed: 1 }, at(2));
                tracker.take(start(2, B), at(2));
                tracker.end(Some("`nix-store` was ended by SIGSEGV".into()), at(4));
                assert!(
                    tracker.ledger().failure(A).unwrap().contains("SIGSEGV") && tracker.ledger().failure(B).is_none()
                );
                assert!(tracker.round().left_open(B) && !tracker.round().left_open(A));
                assert_eq!((tracker.ledger().begun(A), tracker.ledger().begun(B)), (1, 1));
            },
        );
        assert!(lines.contains(&"stopped b after 2 s: Nix has ended".to_owned()), "{lines:?}");
    }

    #[test]
    fn a_build_is_over_when_nix_counts_it_and_its_lock_is_gone() {
        let gone = RefCell::new(false);
        with_tracker(
            |drv| if drv == A && *gone.borrow() { Lock::Gone } else { Lock::Held },
            |tracker| {
                tracker.take(Event::Start { id: 9, activity: Activity::Builds }, at(0));
                tracker.take(start(1, A), at(0));
                tracker.take(start(2, B), at(1));
                tracker.take(Event::Progress { id: 9, done: 0, failed: 0 }, at(5));
                assert!(tracker.ledger().builds().is_empty());
                *gone.borrow_mut() = true;
                tracker.take(Event::Progress { id: 9, done: 1, failed: 0 }, at(7));
                tracker.take(Event::Stop { id: 1 }, at(90));
                tracker.take(Event::Stop { id: 2 }, at(91));
                assert_eq!(tracker.ledger().builds()[A].duration, Duration::from_secs(7));
                assert_eq!(tracker.ledger().builds()[B].duration, Duration::from_secs(90));
            },
        );
    }

    #[test]
    fn a_failure_keeps_its_message_and_the_end_of_its_log() {
        let lines = with_tracker(
            |_| Lock::Held,
            |tracker| {
                tracker.take(start(1, A), at(0));
                tracker.take(Event::LogLine { id: 1, line: "last".into() }, at(2));
                let text = format!("builder for '{A}' failed with exit code 3");
                tracker.take(Event::Message { level: 0, text: text.clone() }, at(3));
                tracker.take(Event::Message { level: 0, text: format!("build of '{A}' failed") }, at(3));
                assert_eq!(tracker.ledger().failure(A), Some(text.as_str()));
                assert_eq!(tracker.ledger().builds()[A].log, "last");
                assert_eq!(tracker.messages().count(), 0);
            },
        );
        assert!(lines.iter().any(|line| line.starts_with("failed a after 3 s")), "{lines:?}");
    }

    #[test]
    fn silence_is_broken_and_what_belongs_elsewhere_is_named() {
        let other = "/nix/store/plkgpmfzry155zwppdgcn16mvizcm16f-other.drv";
        let lines = with_tracker(
            |_| Lock::Held,
            |tracker| {
                tracker.take(start(1, other), at(0));
                tracker.take(Event::Phase { id: 1, phase: "buildPhase".into() }, at(0));
                tracker.tick(at(29));
                tracker.tick(at(75));
                tracker.end(None, at(80));
            },
        );
        assert!(lines[0].contains("not listed in this job's plan") && lines[0].contains(other), "{lines:?}");
        assert_eq!(lines[1], "still at work: other (1 min 15 s, buildPhase); 0 built");
        assert_eq!(lines[2], "ended other after 1 min 20 s (1 so far)");
    }
}
