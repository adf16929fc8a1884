//! What became of each derivation of a job: begun, built, fetched, failed, tried again.
//!
//! Derivations have the paths that Nix names: for a content-addressed one that of the resolved one.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::{Duration, Instant};

use super::class::Class;
use super::nix_words::is_about_dependencies;
use super::running::{EndedFetch, since};

/// How one derivation's build ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Build {
    /// When it began, after the job.
    pub begun: Duration,
    /// The lowest number that no other build had then.
    pub slot: u32,
    /// How long it took.
    pub duration: Duration,
    /// The last lines of its log.
    pub log: String,
    /// True where others were built at the same time.
    pub beside: bool,
    /// True where the store and the folder for temporary files had plenty of room when it ended.
    pub has_room: bool,
}

/// How one path was fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// When that began, after the job.
    pub begun: Duration,
    /// How long it took.
    pub duration: Duration,
    /// The cache that had it, as Nix names it.
    pub from: String,
}

/// What became of each derivation so far.
#[derive(Default)]
pub struct Ledger {
    begun: HashMap<String, u32>,
    /// Why each was tried again.
    retried: HashMap<String, Vec<Class>>,
    builds: HashMap<String, Build>,
    /// How long attempts took that were not the last ones.
    earlier: HashMap<String, Vec<Duration>>,
    fetched: HashMap<String, Fetched>,
    failures: HashMap<String, String>,
    unsigned: HashSet<String>,
    /// Derivations that were tried in the place of another one with the same outputs, with that one.
    others: BTreeMap<String, String>,
    /// What failed and was made by another one, by its path.
    made_up_for: HashMap<String, MadeBy>,
}

/// How an output came about whose own derivation had failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MadeBy {
    /// The derivation that has made it.
    pub other: String,
    /// Why its own failed.
    pub message: String,
}

impl Ledger {
    /// Counts a build that begins.
    pub fn begin(&mut self, drv: &str) {
        *self.begun.entry(drv.to_owned()).or_default() += 1;
    }

    /// Takes a build that has ended.
    pub fn add_build(&mut self, drv: String, build: Build) {
        if let Some(before) = self.builds.insert(drv.clone(), build) {
            self.earlier.entry(drv).or_default().push(before.duration);
        }
    }

    /// How long the attempts before the last took.
    pub fn earlier(&self, drv: &str) -> &[Duration] {
        self.earlier.get(drv).map(Vec::as_slice).unwrap_or_default()
    }

    /// Takes a path that was fetched; `job` is when the job began.
    pub fn add_fetched(&mut self, job: Instant, fetch: EndedFetch) {
        let EndedFetch { path, from, started, duration } = fetch;
        self.fetched.insert(path, Fetched { begun: since(job, started), duration, from });
    }

    /// Takes Nix's message about a derivation; true where there was none yet.
    pub fn add_failure(&mut self, drv: String, message: String) -> bool {
        self.failures.insert(drv, message).is_none()
    }

    /// Puts down a reason for a failure of which nothing is known.
    pub fn add_failure_unless_known(&mut self, drv: &str, message: &str) {
        self.failures.entry(drv.to_owned()).or_insert_with(|| message.to_owned());
    }

    /// A derivation is tried in the place of another one, which has failed.
    pub fn add_other(&mut self, other: &str, stands: &str) {
        self.others.insert(other.to_owned(), stands.to_owned());
    }

    /// Derivations that were tried in the place of others, by path, with those.
    pub fn others(&self) -> &BTreeMap<String, String> {
        &self.others
    }

    /// What had failed is there: another one has made it.
    pub fn make_up_for(&mut self, drv: &str, other: &str) {
        let message = self.failures.remove(drv).unwrap_or_default();
        self.made_up_for.insert(drv.to_owned(), MadeBy { other: other.to_owned(), message });
    }

    /// How an output came about whose own derivation had failed.
    pub fn made_by(&self, drv: &str) -> Option<&MadeBy> {
        self.made_up_for.get(drv)
    }

    /// Takes a path that a substituter has without a signature that counts.
    pub fn add_unsigned(&mut self, path: &str) {
        self.unsigned.insert(path.to_owned());
    }

    /// True where a substituter has the path without a signature that counts.
    pub fn is_unsigned(&self, path: &str) -> bool {
        self.unsigned.contains(path)
    }

    /// All builds that have ended, by the derivation that Nix named: for a content-addressed one the resolved one.
    pub fn builds(&self) -> &HashMap<String, Build> {
        &self.builds
    }

    /// All paths that were fetched.
    pub fn fetched(&self) -> &HashMap<String, Fetched> {
        &self.fetched
    }

    /// Nix's message about a derivation.
    pub fn failure(&self, drv: &str) -> Option<&str> {
        self.failures.get(drv).map(String::as_str)
    }

    /// True where Nix had a message about any derivation.
    pub fn has_failures(&self) -> bool {
        !self.failures.is_empty()
    }

    /// Forgets a failure, since it is tried again for this reason.
    pub fn try_again(&mut self, drv: &str, class: Class) {
        self.failures.remove(drv);
        self.retried.entry(drv.to_owned()).or_default().push(class);
    }

    /// Forgets what failed only since something below it did.
    pub fn forget_dependents(&mut self) {
        self.failures.retain(|_, message| !is_about_dependencies(message));
    }

    /// Why a derivation was tried again, each time.
    pub fn retried(&self, drv: &str) -> &[Class] {
        self.retried.get(drv).map(Vec::as_slice).unwrap_or_default()
    }

    /// How often Nix has begun to build it.
    pub fn begun(&self, drv: &str) -> u32 {
        self.begun.get(drv).copied().unwrap_or(0)
    }
}
