//! What Nix is at: the builds and fetches that it has begun and not yet ended, by the numbers that Nix gives its activities.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::builder_log::BuilderLog;
use crate::duration::in_words;
use crate::nix::store_path;
use crate::plural::counted;

/// As many builds are named in a sign of life.
const NAMED: usize = 5;

/// A build that has not ended.
pub struct RunningBuild {
    /// Path of the derivation, as Nix names it.
    pub drv: String,
    /// When it began.
    pub started: Instant,
    /// The lowest number that no other build had then.
    pub slot: u32,
    /// The builder's phase, where it says so.
    pub phase: Option<String>,
    /// What the builder printed.
    pub log: BuilderLog,
    /// How long it took until Nix counted it as failed; its last lines and the reason may still come.
    pub failed_after: Option<Duration>,
    /// Whether others were built at the same time.
    pub beside: bool,
}

/// A fetch that has not ended.
struct RunningFetch {
    path: String,
    from: String,
    started: Instant,
}

/// A fetch that has ended.
pub struct EndedFetch {
    /// What was fetched.
    pub path: String,
    /// The cache that had it, as Nix names it.
    pub from: String,
    /// When it began.
    pub started: Instant,
    /// How long it took.
    pub duration: Duration,
}

impl RunningFetch {
    fn ended(self, now: Instant) -> EndedFetch {
        let Self { path, from, started } = self;
        EndedFetch { path, from, started, duration: since(started, now) }
    }
}

/// Builds and fetches that have not ended.
#[derive(Default)]
pub struct Activities {
    builds: BTreeMap<u64, RunningBuild>,
    fetches: HashMap<u64, RunningFetch>,
}

impl Activities {
    /// A build begins. Its whole log goes to the file, where there is one.
    pub fn begin_build(&mut self, id: u64, drv: String, log: Option<PathBuf>, now: Instant) {
        // Before 2.34 Nix keeps the activity of what has failed until the end of the call.
        let mut beside = false;
        for (_, other) in self.open_builds_mut() {
            (other.beside, beside) = (true, true);
        }
        let log = BuilderLog::new(log);
        let is_free = |slot: &u32| self.builds.values().all(|build| build.slot != *slot);
        let slot = (0..).find(is_free).unwrap_or_default();
        self.builds.insert(id, RunningBuild { drv, started: now, slot, phase: None, log, failed_after: None, beside });
    }

    /// A build, by its activity.
    pub fn build_mut(&mut self, id: u64) -> Option<&mut RunningBuild> {
        self.builds.get_mut(&id)
    }

    /// The build, where there is only one.
    pub fn only_build_mut(&mut self) -> Option<&mut RunningBuild> {
        if self.builds.len() == 1 { self.builds.values_mut().next() } else { None }
    }

    /// Builds that Nix has not counted as failed.
    pub fn open_builds_mut(&mut self) -> impl Iterator<Item = (u64, &mut RunningBuild)> {
        self.builds.iter_mut().map(|(&id, build)| (id, build)).filter(|(_, build)| build.failed_after.is_none())
    }

    /// The activity that builds a derivation.
    pub fn find_build(&self, drv: &str) -> Option<u64> {
        self.builds.iter().find(|(_, build)| build.drv == drv).map(|(&id, _)| id)
    }

    /// The activities of all builds, in the order in which they began.
    pub fn build_ids(&self) -> Vec<u64> {
        self.builds.keys().copied().collect()
    }

    /// A build ends.
    pub fn end_build(&mut self, id: u64) -> Option<RunningBuild> {
        self.builds.remove(&id)
    }

    /// A fetch begins.
    pub fn begin_fetch(&mut self, id: u64, path: String, from: String, now: Instant) {
        self.fetches.insert(id, RunningFetch { path, from, started: now });
    }

    /// A fetch ends.
    pub fn end_fetch(&mut self, id: u64, now: Instant) -> Option<EndedFetch> {
        self.fetches.remove(&id).map(|fetch| fetch.ended(now))
    }

    /// All fetches end.
    pub fn end_fetches(&mut self, now: Instant) -> Vec<EndedFetch> {
        self.fetches.drain().map(|(_, fetch)| fetch.ended(now)).collect()
    }

    /// What is going on, in words.
    pub fn describe(&self, now: Instant) -> String {
        let open: Vec<&RunningBuild> = self.builds.values().filter(|build| build.failed_after.is_none()).collect();
        let mut parts: Vec<String> = open
            .iter()
            .take(NAMED)
            .map(|build| {
                let phase = build.phase.as_ref().map(|phase| format!(", {phase}")).unwrap_or_default();
                format!("{} ({}{phase})", name(&build.drv), words(since(build.started, now)))
            })
            .collect();
        if open.len() > NAMED {
            parts.push(format!("{} more", open.len() - NAMED));
        }
        if !self.fetches.is_empty() {
            parts.push(format!("fetching {}", counted(self.fetches.len() as u64, "path")));
        }
        if parts.is_empty() { "waiting for Nix".to_owned() } else { parts.join(", ") }
    }
}

/// The name of a derivation, for people.
pub fn name(drv: &str) -> &str {
    store_path::name_of(drv.rsplit('/').next().unwrap_or(drv))
}

/// The time between two moments.
pub fn since(started: Instant, now: Instant) -> Duration {
    now.saturating_duration_since(started)
}

/// A duration in words.
pub fn words(duration: Duration) -> String {
    in_words(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}
