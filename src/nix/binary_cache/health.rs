//! How a cache fares: what was asked, what it did not answer, whom it is not trusted about. A cache that only fails is not asked
//! any more; what there is to be said about a cache comes out as one sentence.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::trouble::Trouble;
use crate::nearest::listed;
use crate::plural::counted;

/// Failures in a row after which a cache may be given up; how long it must have been silent besides.
const MANY: (u32, Duration) = (16, Duration::from_secs(3));

/// The same for few, slow failures.
const FEW: (u32, Duration) = (2, Duration::from_secs(15));

/// However well a cache answers, it is not waited for longer than this.
const PATIENCE: Duration = Duration::from_secs(300);

/// Kinds of failures that are told apart in the warning.
const MAX_KINDS: usize = 8;

/// Why a path does not count although the cache has it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Distrust {
    /// No signature at all.
    Unsigned,
    /// Signatures by keys that are not trusted; their names.
    UnknownKeys(Vec<String>),
    /// A signature in the name of a trusted key that is not that key's.
    Forged(String),
}

/// The record of one cache.
#[derive(Debug)]
pub struct Health {
    given_up: AtomicBool,
    state: Mutex<HostState>,
}

#[derive(Debug)]
struct HostState {
    since: Instant,
    good: Instant,
    in_a_row: u32,
    asked: u64,
    found: u64,
    unanswered: u64,
    troubles: BTreeMap<Trouble, u64>,
    distrusted: BTreeMap<Distrust, (u64, String)>,
}

impl Default for Health {
    fn default() -> Self {
        let now = Instant::now();
        Self {
            given_up: AtomicBool::new(false),
            state: Mutex::new(HostState {
                since: now,
                good: now,
                in_a_row: 0,
                asked: 0,
                found: 0,
                unanswered: 0,
                troubles: BTreeMap::new(),
                distrusted: BTreeMap::new(),
            }),
        }
    }
}

impl Health {
    fn state(&self) -> MutexGuard<'_, HostState> {
        // Counters are whole after every statement: a panic elsewhere does not spoil them.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// True for a cache that is not to be asked any more.
    pub fn is_given_up(&self) -> bool {
        self.given_up.load(Ordering::Relaxed)
    }

    /// The cache is not to be asked any more.
    pub fn give_up(&self) {
        self.given_up.store(true, Ordering::Relaxed);
    }

    /// An attempt succeeded, whatever the answer.
    pub fn good(&self) {
        let mut state = self.state();
        state.in_a_row = 0;
        state.good = Instant::now();
        if state.since.elapsed() > PATIENCE {
            self.given_up.store(true, Ordering::Relaxed);
        }
    }

    /// An attempt failed.
    pub fn bad(&self) {
        let mut state = self.state();
        state.in_a_row += 1;
        let silence = state.good.elapsed();
        let is_hopeless = [MANY, FEW].iter().any(|(count, time)| state.in_a_row >= *count && silence >= *time);
        if is_hopeless || state.since.elapsed() > PATIENCE {
            self.given_up.store(true, Ordering::Relaxed);
        }
    }

    /// A path was asked for, and the cache said what it has.
    pub fn answered(&self, found: bool) {
        let mut state = self.state();
        state.asked += 1;
        state.found += u64::from(found);
    }

    /// A path was to be asked for, and there is no answer; none for a cache that was given up before.
    pub fn unanswered(&self, trouble: Option<Trouble>) {
        let mut state = self.state();
        state.asked += 1;
        state.unanswered += 1;
        if let Some(trouble) = trouble {
            let is_new = !state.troubles.contains_key(&trouble);
            let trouble =
                if is_new && state.troubles.len() >= MAX_KINDS { Trouble::other("other failures") } else { trouble };
            *state.troubles.entry(trouble).or_default() += 1;
        }
    }

    /// The cache has a path, but Nix would not take it.
    pub fn distrusted(&self, why: Distrust, path: &str) {
        let mut state = self.state();
        state.asked += 1;
        let is_new = !state.distrusted.contains_key(&why);
        let why =
            if is_new && state.distrusted.len() >= MAX_KINDS { Distrust::UnknownKeys(vec!["…".into()]) } else { why };
        let (count, example) = state.distrusted.entry(why).or_insert_with(|| (0, path.to_owned()));
        *count += 1;
        // Answers come in any order.
        if path < example.as_str() {
            *example = path.to_owned();
        }
    }

    /// Paths that the cache has and that count.
    pub fn found(&self) -> u64 {
        self.state().found
    }

    /// Paths that it should have been asked for and could not.
    pub fn unanswered_count(&self) -> u64 {
        self.state().unanswered
    }

    /// What is to be said about the cache `name`; none where all is well.
    pub fn sentence(&self, name: &str) -> Option<String> {
        let state = self.state();
        let mut parts = Vec::new();
        if state.unanswered > 0 {
            let reasons: Vec<String> = state.troubles.iter().map(|(kind, count)| format!("{count} × {kind}")).collect();
            let mut part = format!(
                "{} of {} could not be queried, treated as not available ({})",
                state.unanswered,
                counted(state.asked, "path"),
                reasons.join(", ")
            );
            if self.is_given_up() {
                part.push_str("; it was dropped");
            }
            parts.push(part);
        }
        for (why, (count, example)) in &state.distrusted {
            let mut part = match why {
                Distrust::Unsigned => format!("{} without a signature", counted(*count, "path")),
                Distrust::UnknownKeys(keys) => {
                    format!("{} signed by {}, which is not trusted,", counted(*count, "path"), listed(keys))
                }
                Distrust::Forged(key) => {
                    format!("{} with a wrong signature in the name of `{key}`", counted(*count, "path"))
                }
            };
            // Writing to a string cannot fail.
            let _ = write!(part, " treated as not available, e.g. `{example}`");
            if !matches!(why, Distrust::Forged(_)) {
                part.push_str(" (trust a key with `--trusted-public-key`, or the cache with `?trusted=1`)");
            }
            parts.push(part);
        }
        (!parts.is_empty()).then(|| format!("cache `{name}`: {}", parts.join("; ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_sentence_with_counts() {
        let health = Health::default();
        assert_eq!(health.sentence("c"), None);
        health.answered(true);
        health.unanswered(Some(Trouble::Status(500)));
        health.unanswered(Some(Trouble::Status(500)));
        health.unanswered(Some(Trouble::TimedOut));
        assert_eq!(
            health.sentence("c").unwrap(),
            "cache `c`: 3 of 4 paths could not be queried, treated as not available (1 × no answer in time, 2 × status 500)"
        );
        let health = Health::default();
        health.distrusted(Distrust::Unsigned, "/nix/store/b");
        health.distrusted(Distrust::Unsigned, "/nix/store/a");
        health.distrusted(Distrust::Forged("k".into()), "/nix/store/c");
        let sentence = health.sentence("c").unwrap();
        assert!(sentence.contains("2 paths without a signature") && sentence.contains("`/nix/store/a`"), "{sentence}");
        assert!(sentence.contains("1 path with a wrong signature in the name of `k`"), "{sentence}");
    }

    #[test]
    fn kinds_of_failures_are_bounded() {
        let health = Health::default();
        for number in 0..10_000 {
            health.unanswered(Some(Trouble::other(&number.to_string())));
            health.distrusted(Distrust::Forged(number.to_string()), "/nix/store/a");
        }
        assert!(health.sentence("c").unwrap().len() < 4000);
    }

    #[test]
    fn failures_alone_do_not_end_a_cache_that_answered_just_now() {
        let health = Health::default();
        for _ in 0..1000 {
            health.bad();
        }
        assert!(!health.is_given_up());
    }
}
