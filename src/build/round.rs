//! One round of building: what Nix began in it, and how each build ended as far as Nix's log and the outputs' locks show. That is what
//! blame rests on: a message may come late, name an output only, or, when Nix itself dies, not come at all.
//!
//! In: activities, counts and messages as they come. Out: what failed by itself and what Nix left open.

use std::collections::{BTreeMap, HashMap};

use super::output_lock::Lock;

/// Messages of one round that are kept.
const MAX_MESSAGES: usize = 200;

/// How a build that Nix has begun came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BuildEnd {
    /// It goes on, or Nix has left it where it was.
    Open,
    /// Nix counted it as failed.
    Failed,
    /// Its outputs are registered.
    Done,
    /// It has ended, and nothing here shows how: this user may not look at the locks, or the paths of the outputs are not known.
    Unknown,
}

/// What is known of the round.
#[derive(Debug, Default)]
pub struct Round {
    builds: BTreeMap<String, BuildEnd>,
    /// Failed builds, by the activity that counts them.
    counts: HashMap<u64, u64>,
    messages: Vec<String>,
}

impl Round {
    /// Nix has begun to build.
    pub fn begin(&mut self, drv: &str) {
        self.builds.insert(drv.to_owned(), BuildEnd::Open);
    }

    /// An activity has counted this many failed builds.
    pub fn count_failed(&mut self, counter: u64, failed: u64) {
        self.counts.insert(counter, failed);
    }

    /// How a build has ended whose outputs' locks look like this. Locks of all builds are left when Nix dies: only as many as Nix has
    /// counted have failed by themselves.
    pub fn end(&mut self, drv: &str, lock: Lock) -> BuildEnd {
        let end = match lock {
            Lock::Gone => BuildEnd::Done,
            Lock::Held => BuildEnd::Unknown,
            Lock::Left if self.nameless_failures() > 0 => BuildEnd::Failed,
            Lock::Left => BuildEnd::Open,
        };
        self.builds.insert(drv.to_owned(), end);
        end
    }

    /// Builds that have ended when nothing showed how.
    pub fn unknown(&self) -> Vec<String> {
        self.builds.iter().filter(|(_, end)| **end == BuildEnd::Unknown).map(|(drv, _)| drv.clone()).collect()
    }

    /// Nix has said that it failed.
    pub fn fail(&mut self, drv: &str) {
        self.builds.insert(drv.to_owned(), BuildEnd::Failed);
    }

    /// A message about no derivation that is known to have been begun.
    pub fn add_message(&mut self, text: String) {
        if self.messages.len() < MAX_MESSAGES && !self.messages.contains(&text) {
            self.messages.push(text);
        }
    }

    /// Messages about no derivation.
    pub fn messages(&self) -> &[String] {
        &self.messages
    }

    /// Its messages about no derivation.
    pub fn into_messages(self) -> Vec<String> {
        self.messages
    }

    /// True where Nix has begun to build it in this round and may have failed to.
    pub fn may_have_failed(&self, drv: &str) -> bool {
        self.builds.get(drv).is_some_and(|end| *end != BuildEnd::Done)
    }

    /// True where Nix has begun to build it and has ended without saying what became of it.
    pub fn left_open(&self, drv: &str) -> bool {
        matches!(self.builds.get(drv), Some(BuildEnd::Open | BuildEnd::Unknown))
    }

    /// Derivations that Nix has counted as failed.
    pub fn failed(&self) -> impl Iterator<Item = &str> {
        self.builds.iter().filter(|(_, end)| **end == BuildEnd::Failed).map(|(drv, _)| drv.as_str())
    }

    /// How many builds Nix has counted as failed without saying which: from 2.34 on it does not name those that took too long.
    pub fn nameless_failures(&self) -> u64 {
        self.counts.values().sum::<u64>().saturating_sub(self.failed().count() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn when_nix_dies_only_what_it_had_counted_before_has_failed() {
        let mut round = Round::default();
        ["a", "b", "c", "d"].iter().for_each(|drv| round.begin(drv));
        assert_eq!(round.end("a", Lock::Gone), BuildEnd::Done);
        round.count_failed(1, 1);
        assert_eq!(round.end("b", Lock::Left), BuildEnd::Failed);
        // Nix has died: nobody holds the locks of the others.
        assert_eq!(round.end("c", Lock::Left), BuildEnd::Open);
        assert_eq!(round.end("d", Lock::Left), BuildEnd::Open);
        assert_eq!(round.failed().collect::<Vec<_>>(), ["b"]);
        assert_eq!(round.nameless_failures(), 0);
        round.count_failed(1, 3);
        assert_eq!(round.nameless_failures(), 2);
        assert!(round.left_open("c") && round.left_open("d") && !round.left_open("a") && !round.left_open("x"));
    }
}
