//! One `nix-store --realise` after the other, followed while they run.
//!
//! In: store paths to fetch, or derivations to build. Out: whether Nix made all of them; what it said has gone to the [`Tracker`].

use std::io::BufReader;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::credentials;
use super::interrupt;
use super::progress::Tracker;
use super::{JobRequest, JobTime};
use crate::nix::log::{self, Activity, Event};
use crate::nix::store::{self, Store};
use crate::program::{self, Clock, TimeLimits};
use crate::secret::VariableName;

/// How often signals are looked for and silence is broken.
const TICK: Duration = Duration::from_millis(100);

/// How long fetching may take. A download that stalls ends before, by Nix's own limit of five minutes.
const FETCH: TimeLimits = TimeLimits::seconds(30 * 60, 5 * 60 * 60);

/// Events that may wait between the thread that reads and the one that follows.
const QUEUE: usize = 4096;

/// The two kinds of calls that bring paths into the store: those that may have what caches want of who reads them, and those that build,
/// which have no secret, as Nix hands builders variables of its own environment.
#[derive(Debug)]
pub struct Calls {
    fetching: Store,
    building: Store,
    time: Option<JobTime>,
    /// Caches that want credentials, which calls that build do not ask.
    has_private_caches: bool,
}

impl Calls {
    /// The calls of a job. `netrc` is the file with the tokens of caches that the store's settings name.
    pub fn new(store: &Store, request: &JobRequest, netrc: Option<&Path>) -> Result<Self> {
        let configuration = store.configuration()?;
        let open = credentials::open_substituters(&configuration);
        let said = request.job().options.environment.iter().map(|(name, value)| (name.into(), value.into()));
        let named = request.build_variables.iter().map(VariableName::as_str);
        let named = named.filter_map(|name| Some((name.into(), std::env::var_os(name)?)));
        // What the plan has this job build is built where a cache has announced it and cannot give it whole: everything else was fetched before.
        let mut building = store.clone().for_building(named.chain(said)).with_option("fallback", "true");
        if let Some(netrc) = netrc {
            building = building.without_option("netrc-file", &netrc.to_string_lossy());
        }
        if let Some(open) = &open {
            let others = building.without_options(&["substituters", "extra-substituters"]);
            building = others.with_option("substituters", &open.join(" "));
        }
        Ok(Self { fetching: store.clone(), building, has_private_caches: open.is_some(), time: request.time })
    }

    /// Why nothing more is begun, where the job's time is over.
    pub fn out_of_time(&self) -> Option<String> {
        self.time.filter(JobTime::is_over).map(|time| time.text())
    }

    /// The store, with all substituters.
    pub fn store(&self) -> &Store {
        &self.fetching
    }

    /// Fetches all paths as far as possible, in as few calls as the argument list allows; true where all of them are there. Nix never builds
    /// for a path.
    pub fn fetch(&self, paths: &[&str], tracker: &mut Tracker) -> Result<bool> {
        tracker.begin_round();
        each(&self.fetching, &[], paths, |command| self.follow(command, Follow::All, Some(FETCH), tracker))
    }

    /// Builds all derivations as far as possible; true where all of them succeeded. What private caches have of these, or of what they take,
    /// is fetched before: a call that may build nothing ends where something has to be built.
    pub fn build(&self, derivations: &[&str], options: &[&str], tracker: &mut Tracker) -> Result<bool> {
        if self.has_private_caches {
            const BUILD_NOTHING: [&str; 6] = ["--option", "max-jobs", "0", "--option", "builders", ""];
            each(&self.fetching, &[&BUILD_NOTHING, options].concat(), derivations, |command| {
                self.follow(command, Follow::Fetches, Some(FETCH), tracker)
            })?;
        }
        tracker.begin_round();
        each(&self.building, options, derivations, |command| self.follow(command, Follow::All, None, tracker))
    }

    /// Runs a program of Nix to its end, or until a signal comes, a limit is reached, or the job's time is over; true where it succeeded. Builds have
    /// limits of their own, which Nix keeps.
    fn follow(
        &self,
        mut command: Command,
        heard: Follow,
        limits: Option<TimeLimits>,
        tracker: &mut Tracker,
    ) -> Result<bool> {
        if self.out_of_time().is_some() {
            return Ok(false);
        }
        command.args(["--log-format", "internal-json"]).stdout(Stdio::null()).stderr(Stdio::piped());
        interrupt::own_group(&mut command);
        let mut child = command.spawn().context("cannot run Nix")?;
        let stderr = child.stderr.take().context("Nix has no stderr")?;
        let mut clock = limits.map(|limits| Clock::new(&child, true, limits));
        let (mut events, mut out_of_time, mut is_over) = (0, None, None);
        let (sender, receiver) = mpsc::sync_channel(QUEUE);
        let reader = std::thread::spawn(move || {
            log::read(BufReader::with_capacity(256 * 1024, stderr), |event| sender.send(event).is_ok())
        });
        loop {
            match receiver.recv_timeout(TICK) {
                Ok(event) => {
                    events += 1;
                    if heard.is_heard(&event) {
                        tracker.take(event, Instant::now());
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if interrupt::received().is_some() {
                program::end(&mut child, true);
                break;
            }
            is_over = self.out_of_time();
            if is_over.is_some() {
                program::end(&mut child, true);
                break;
            }
            out_of_time = clock.as_mut().and_then(|clock| clock.reason(events));
            if out_of_time.is_some() {
                program::end(&mut child, true);
                break;
            }
            tracker.tick(Instant::now());
        }
        // Else the thread could wait for room for its next event.
        drop(receiver);
        // What could not be read is a matter of progress lines only; the status says whether Nix succeeded.
        let _ = reader.join();
        let status = child.wait().context("cannot wait for Nix")?;
        if let Some(why) = is_over {
            tracker.run_out_of_time(&why, Instant::now());
            return Ok(false);
        }
        let signal = status.signal().filter(|_| interrupt::received().is_none());
        let ended = match out_of_time {
            Some(reason) => Some(format!("`nix-store` {reason}, and was ended: nothing more is fetched in this call")),
            None => signal.map(|signal| format!("Nix was ended by {}", interrupt::name(signal))),
        };
        tracker.end(ended, Instant::now());
        match interrupt::received() {
            Some(signal) => bail!("stopped by {signal}"),
            None => Ok(status.success()),
        }
    }
}

/// Calls Nix for all paths; true where every call succeeded.
fn each(
    store: &Store,
    options: &[&str],
    paths: &[&str],
    mut follow: impl FnMut(Command) -> Result<bool>,
) -> Result<bool> {
    let mut complete = true;
    for share in store::shares(paths) {
        let mut command = store.command(&["--realise", "--keep-going"]);
        command.args(options).args(share);
        complete &= follow(command)?;
    }
    Ok(complete)
}

/// What the tracker hears of a call.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Follow {
    All,
    /// What was fetched, and warnings: that nothing may be built is no failure.
    Fetches,
}

impl Follow {
    fn is_heard(self, event: &Event) -> bool {
        match event {
            _ if self == Follow::All => true,
            Event::Start { activity, .. } => matches!(activity, Activity::Substitute { .. }),
            Event::Stop { .. } => true,
            Event::Message { level, .. } => *level == 1,
            _ => false,
        }
    }
}
