//! Pushes what was built while later derivations still build.
//!
//! In: destinations, and store paths as they come into being. Out: for each destination how many paths it has got, or why it has
//! not. A thread a destination takes all paths that wait at once; after a failure it waits and tries again with what has come
//! since. A destination that goes on failing is given up. A job that is told to stop pushes for a few seconds more what it had built.

use std::collections::{BTreeSet, HashSet};
use std::io;
use std::process::Command;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::destination::ReadyDestination;
use super::interrupt;
use super::progress::Tracker;
use super::record::Pushed;
use crate::delivery::OnPushFailure;
use crate::delivery::destination::Destination;
use crate::http::backoff;
use crate::nix::store::{self, Store};
use crate::plural::counted;
use crate::program::{self, OutOfTime, TimeLimits};

/// Attempts in a row before a destination is given up.
const ATTEMPTS: u32 = 4;

/// The wait after the first failure; doubled each time.
const FIRST_WAIT: Duration = Duration::from_secs(2);

/// The longest wait.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// How often signals and the ends of processes are looked for.
const TICK: Duration = Duration::from_millis(50);

/// After this long a line says that there is still something to push.
const HEARTBEAT: Duration = Duration::from_secs(30);

/// How long a client may show no sign of life.
const IDLE: Duration = Duration::from_secs(5 * 60);

/// A destination, and what it takes to push there or what is missing.
#[derive(Clone, Debug)]
pub struct Prepared {
    /// The destination.
    pub destination: Destination,
    /// Ready, or what it lacks.
    pub target: std::result::Result<Arc<ReadyDestination>, String>,
}

/// Where a job pushes.
#[derive(Clone, Debug)]
pub struct Pushes {
    /// Where its results are handed off, where that is a store.
    pub hand_off: Option<Prepared>,
    /// Where else.
    pub beside: Vec<Prepared>,
    /// What to do where one of the others has to be given up.
    pub on_failure: OnPushFailure,
    /// How long one call of a client may take.
    pub timeout: Duration,
}

impl Pushes {
    fn limits(&self) -> TimeLimits {
        TimeLimits { idle: IDLE.min(self.timeout), total: self.timeout }
    }
}

enum Order {
    Paths(Vec<String>),
    /// Says so once all of these are there.
    Confirm(Vec<String>, Sender<()>),
    End,
}

struct Worker {
    to: String,
    is_hand_off: bool,
    orders: Sender<Order>,
    thread: JoinHandle<Pushed>,
}

/// All threads that push.
pub struct Pusher {
    workers: Vec<Worker>,
    skipped: Vec<(bool, Pushed)>,
}

/// What became of all destinations.
#[derive(Debug, Default)]
pub struct PushOutcome {
    /// The hand-off's.
    pub hand_off: Option<Pushed>,
    /// The others'.
    pub beside: Vec<Pushed>,
}

impl Pusher {
    /// Starts a thread for each destination that is ready. What goes wrong is said through `say` when it happens.
    pub fn start(pushes: &Pushes, store: &Store, say: &Sender<String>) -> Pusher {
        let mut pusher = Pusher { workers: Vec::new(), skipped: Vec::new() };
        let all = pushes.hand_off.iter().map(|prepared| (true, prepared));
        for (is_hand_off, prepared) in all.chain(pushes.beside.iter().map(|prepared| (false, prepared))) {
            let to = prepared.destination.to_string();
            match &prepared.target {
                Err(lacks) => {
                    pusher.skipped.push((is_hand_off, Pushed { skipped: Some(lacks.clone()), ..Pushed::to(to) }))
                }
                Ok(target) => {
                    let (orders, receiver) = mpsc::channel();
                    let (target, store, say, limits) = (target.clone(), store.clone(), say.clone(), pushes.limits());
                    let thread = std::thread::spawn(move || work(&target, &store, limits, &receiver, &say));
                    pusher.workers.push(Worker { to, is_hand_off, orders, thread });
                }
            }
        }
        pusher
    }

    /// Gives paths to all destinations from elsewhere.
    pub fn queue(&self) -> impl Fn(&[String]) + use<> {
        let senders: Vec<Sender<Order>> = self.workers.iter().map(|worker| worker.orders.clone()).collect();
        // A destination that was given up takes no more orders.
        move |paths| senders.iter().for_each(|sender| drop(sender.send(Order::Paths(paths.to_vec()))))
    }

    /// Pushes paths and waits until they are there; true where the hand-off's destination has them, if there is one. Others that were given up
    /// get no more anyway.
    pub fn confirm(&self, paths: &[String], tracker: &mut Tracker) -> Result<bool> {
        let mut is_there = true;
        let mut waiting = Vec::new();
        for worker in &self.workers {
            let (sender, receiver) = mpsc::channel();
            // A destination that was given up drops the sender, with the order or at its end.
            let _ = worker.orders.send(Order::Confirm(paths.to_vec(), sender));
            waiting.push((worker.is_hand_off, receiver));
        }
        for (is_hand_off, receiver) in waiting {
            let answer = loop {
                match receiver.recv_timeout(TICK) {
                    Err(RecvTimeoutError::Timeout) => {
                        tracker.pass_on(Instant::now());
                        if let Some(signal) = interrupt::received() {
                            bail!("stopped by {signal}");
                        }
                    }
                    answer => break answer.is_ok(),
                }
            };
            is_there &= answer || !is_hand_off;
        }
        let lacks = self.skipped.iter().any(|(is_hand_off, _)| *is_hand_off);
        Ok(is_there && !lacks)
    }

    /// Gives all that is left to the destinations and waits for them. What was pushed before is not pushed again.
    pub fn finish(mut self, hand_off: &[String], built: &[String], tracker: &mut Tracker) -> PushOutcome {
        for worker in &self.workers {
            let rest = if worker.is_hand_off { hand_off } else { built };
            // It may have given up.
            let _ = worker.orders.send(Order::Paths(rest.to_vec()));
            let _ = worker.orders.send(Order::End);
        }
        let mut last = Instant::now();
        while self.workers.iter().any(|worker| !worker.thread.is_finished()) {
            tracker.pass_on(Instant::now());
            if last.elapsed() > HEARTBEAT {
                last = Instant::now();
                let open = self.workers.iter().filter(|worker| !worker.thread.is_finished());
                let open: Vec<&str> = open.map(|worker| worker.to.as_str()).collect();
                tracker.say(&format!("still pushing to {}", open.join(", ")), Instant::now());
            }
            std::thread::sleep(TICK);
        }
        tracker.pass_on(Instant::now());
        let mut outcome = PushOutcome::default();
        let ended = self.workers.drain(..).map(|worker| {
            let lost =
                || Pushed { error: Some("the thread that pushes died".to_owned()), ..Pushed::to(worker.to.clone()) };
            (worker.is_hand_off, worker.thread.join().unwrap_or_else(|_| lost()))
        });
        for (is_hand_off, pushed) in ended.collect::<Vec<_>>().into_iter().chain(self.skipped.drain(..)) {
            if is_hand_off { outcome.hand_off = Some(pushed) } else { outcome.beside.push(pushed) }
        }
        outcome
    }
}

impl Drop for Pusher {
    /// What was built before an error is pushed all the same.
    fn drop(&mut self) {
        for worker in self.workers.drain(..) {
            let _ = worker.orders.send(Order::End);
            let _ = worker.thread.join();
        }
    }
}

/// Pushes until the end of the orders, or until it is hopeless.
fn work(
    target: &ReadyDestination,
    store: &Store,
    limits: TimeLimits,
    orders: &Receiver<Order>,
    say: &Sender<String>,
) -> Pushed {
    let to = target.destination().to_string();
    let mut pushed = Pushed::to(to.clone());
    let mut known = HashSet::new();
    let mut waiting = BTreeSet::new();
    let mut confirms: Vec<Sender<()>> = Vec::new();
    let mut failures = 0;
    let mut not_before = Instant::now();
    let mut open = true;
    while open || !waiting.is_empty() {
        let now = Instant::now();
        let timeout =
            if waiting.is_empty() { TICK * 10 } else { not_before.saturating_duration_since(now).min(TICK * 10) };
        match orders.recv_timeout(timeout) {
            Ok(Order::Paths(paths)) => {
                waiting.extend(paths.into_iter().filter(|path| !known.contains(path)));
                continue;
            }
            Ok(Order::Confirm(paths, sender)) => {
                waiting.extend(paths.into_iter().filter(|path| !known.contains(path)));
                confirms.push(sender);
            }
            Ok(Order::End) => open = false,
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                open = false;
                std::thread::sleep(timeout);
            }
        }
        if interrupt::is_over() {
            break;
        }
        // There is no later for a job that was told to stop.
        let is_soon = interrupt::received().is_some();
        if waiting.is_empty() {
            answer(&mut confirms);
            continue;
        }
        if !is_soon && Instant::now() < not_before {
            continue;
        }
        match push(target, store, limits, &waiting) {
            Ok(paths) => {
                pushed.paths += paths.len() as u64;
                // What is not valid yet may come again.
                known.extend(paths);
                waiting.clear();
                answer(&mut confirms);
                failures = 0;
            }
            Err(error) => {
                failures += 1;
                let text = target.redact(&format!("{error:#}"));
                // A client that hung would hang again, and each time for as long.
                let is_hopeless = error.is::<NoClient>() || error.is::<OutOfTime>();
                let is_last = failures == ATTEMPTS || is_hopeless;
                let wait = backoff(FIRST_WAIT, LONGEST_WAIT, failures);
                let then = match is_last {
                    true => "nothing more is pushed there".to_owned(),
                    false => format!("trying again in {:.0} s", wait.as_secs_f64()),
                };
                // Nobody may be listening any more.
                let _ = say.send(format!("warning: cannot push to `{to}`: {text}; {then}"));
                if is_last {
                    pushed.error = Some(format!("{text} (not there: {})", counted(waiting.len() as u64, "path")));
                    return pushed;
                }
                not_before = Instant::now() + wait;
            }
        }
    }
    if !waiting.is_empty() {
        pushed.error = Some(format!("stopped without {}", counted(waiting.len() as u64, "path")));
    }
    pushed
}

/// Says that everything is there.
fn answer(waiting: &mut Vec<Sender<()>>) {
    for sender in waiting.drain(..) {
        // Whoever asked may be gone.
        let _ = sender.send(());
    }
}

/// A client that is not installed will not be there a moment later.
#[derive(Debug)]
struct NoClient(String);

impl std::fmt::Display for NoClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "no `{}` on the PATH: put it into the image, or install it in a step before", self.0)
    }
}

impl std::error::Error for NoClient {}

/// Pushes those of the paths that are valid, and gives them.
fn push(target: &ReadyDestination, store: &Store, limits: TimeLimits, paths: &BTreeSet<String>) -> Result<Vec<String>> {
    let all: Vec<&str> = paths.iter().map(String::as_str).collect();
    let invalid: HashSet<String> = store.invalid(&all)?.into_iter().collect();
    let valid: Vec<&str> = all.into_iter().filter(|path| !invalid.contains(*path)).collect();
    for share in store::shares(&valid) {
        let (command, input) = target.command(store, share)?;
        call(command, input.as_deref().unwrap_or_default(), limits)?;
    }
    Ok(valid.into_iter().map(str::to_owned).collect())
}

/// Runs a client to its end, or until a signal came a while ago or a limit is reached.
fn call(mut command: Command, input: &str, limits: TimeLimits) -> Result<()> {
    let name = command.get_program().to_string_lossy().rsplit('/').next().unwrap_or_default().to_owned();
    interrupt::own_group(&mut command);
    let stopped =
        || interrupt::received().filter(|_| interrupt::is_over()).map(|signal| format!("stopped by {signal}"));
    match program::output(&mut command, input.into(), limits, true, stopped) {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => bail!("`{name}` failed: {}", store::complaint(&output.stderr)),
        Err(error) if is_not_found(&error) => Err(NoClient(name).into()),
        Err(error) => Err(error),
    }
}

fn is_not_found(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::NotFound)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, input: &str) -> Result<()> {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        call(command, input, TimeLimits::seconds(60, 60))
    }

    #[test]
    fn clients_read_their_paths_and_their_last_words_are_kept() {
        shell("test \"$(cat)\" = \"$(printf 'a\\nb')\"", "a\nb\n").unwrap();
        // One that reads nothing of much, and says much.
        let error = shell("yes | head -c 1000000 >&2; echo 'error: the end' >&2; exit 3", &"x".repeat(1_000_000));
        assert_eq!(format!("{:#}", error.unwrap_err()), "`sh` failed: the end");
    }

    #[test]
    fn a_client_that_is_not_there_is_named() {
        let error = call(Command::new("nixdag-no-such-client"), "", TimeLimits::seconds(60, 60)).unwrap_err();
        assert!(
            error.downcast_ref::<NoClient>().is_some() && error.to_string().contains("nixdag-no-such-client"),
            "{error}"
        );
    }
}
