//! Builds a job's derivations in rounds, so that nothing keeps the others from being built: Nix goes on after a failure of a build, but
//! some errors end all of it (an output that it cannot store, a full disk, a derivation of a foreign system), and then what it was
//! building and what it had not reached is asked for again.
//!
//! In: derivations. Out: whether all exist; why others do not is in the [`Tracker`]. What failed is never begun again; of what Nix left
//! open each is begun at most once more, alone, so that the one at fault is found.

use std::collections::{HashSet, VecDeque};
use std::time::SystemTime;

use anyhow::Result;

use super::outcome::known_outputs;
use super::progress::Tracker;
use super::realisation;
use super::realise;
use crate::graph::{DrvId, Graph};
use crate::nix::store::Store;
use crate::nix::store_path::name_of;
use crate::plan::Job;

/// Rounds in a row in which nothing is built and nothing found out before the rest is given up.
const FRUITLESS: u32 = 16;

/// What is built from.
pub struct Attempts<'a> {
    /// The store, with all substituters.
    pub store: &'a Store,
    /// The job's derivations and all below them.
    pub graph: &'a Graph,
    /// The job.
    pub job: &'a Job,
}

impl Attempts<'_> {
    /// Builds the derivations as far as possible; true where all of them exist.
    pub fn build(&self, derivations: Vec<DrvId>, tracker: &mut Tracker) -> Result<bool> {
        let mut fruitless = 0;
        let mut all = true;
        let mut groups = VecDeque::from([derivations]);
        while let Some(group) = groups.pop_front() {
            // Some of them may exist by now, or cannot be built any more.
            let asked = if all && !tracker.has_failures() { group } else { self.open(&group, tracker)? };
            if asked.is_empty() || self.realise(&asked, tracker)? {
                continue;
            }
            all = false;
            let left = self.open(&asked, tracker)?;
            let (begun, rest): (Vec<DrvId>, Vec<DrvId>) =
                left.iter().partition(|&&id| self.names(id, tracker).iter().any(|drv| tracker.round().left_open(drv)));
            let found_out = left.len() < asked.len() || !begun.is_empty();
            fruitless = if found_out { 0 } else { fruitless + 1 };
            if fruitless == FRUITLESS {
                break;
            }
            self.try_alone(&begun, &mut groups, tracker);
            match &rest[..] {
                [] => {}
                _ if found_out => groups.push_back(rest),
                &[only] => tracker.settle(&[self.graph.path(only)], "Nix ended before it was begun: "),
                // Something among these ends Nix at once.
                rest => {
                    let (first, second) = rest.split_at(rest.len() / 2);
                    groups.push_front(second.to_vec());
                    groups.push_front(first.to_vec());
                }
            }
        }
        Ok(all && !tracker.has_failures())
    }

    /// Puts each that Nix has left open before everything else, alone; one that it has left open twice has failed.
    fn try_alone(&self, begun: &[DrvId], groups: &mut VecDeque<Vec<DrvId>>, tracker: &mut Tracker) {
        let times = |id: DrvId| self.names(id, tracker).iter().map(|drv| tracker.begun(drv)).max().unwrap_or(0);
        let (again, failed): (Vec<DrvId>, Vec<DrvId>) = begun.iter().partition(|&&id| times(id) < 2);
        if !failed.is_empty() {
            let paths: Vec<String> = failed.iter().map(|&id| self.graph.path(id)).collect();
            tracker.settle(&paths, "Nix ended twice while this was built, the second time alone: ");
        }
        if !again.is_empty() {
            let names: Vec<&str> = again.iter().map(|&id| self.graph.node(id).name()).collect();
            let line = format!("Nix ended while it was building {}: trying each once more, alone", names.join(", "));
            tracker.say(&line, SystemTime::now());
        }
        again.iter().rev().for_each(|&id| groups.push_front(vec![id]));
    }

    fn realise(&self, ids: &[DrvId], tracker: &mut Tracker) -> Result<bool> {
        let paths: Vec<String> = ids.iter().map(|&id| self.graph.path(id)).collect();
        realise::build(self.store, &paths.iter().map(String::as_str).collect::<Vec<_>>(), self.job, tracker)
    }

    /// Those of the derivations that neither exist, nor failed, nor take anything, directly or not, from one that failed.
    fn open(&self, asked: &[DrvId], tracker: &Tracker) -> Result<Vec<DrvId>> {
        let outputs: Vec<String> = asked.iter().flat_map(|&id| known_outputs(self.graph, id)).collect();
        let invalid: HashSet<String> = if outputs.is_empty() {
            HashSet::new()
        } else {
            self.store.invalid(&outputs.iter().map(String::as_str).collect::<Vec<_>>())?.into_iter().collect()
        };
        let mut failed = HashSet::new();
        // Numbers of inputs are smaller than those of their consumers.
        for id in self.graph.ids() {
            let has_failed = self.names(id, tracker).iter().any(|drv| tracker.failure(drv).is_some());
            if has_failed || self.graph.inputs(id).iter().any(|input| failed.contains(&input.drv)) {
                failed.insert(id);
            }
        }
        let mut open = Vec::new();
        for &id in asked.iter().filter(|id| !failed.contains(*id)) {
            let exists = if self.graph.node(id).is_floating() {
                !realisation::of(self.store, &self.graph.path(id))?.is_empty()
            } else {
                !known_outputs(self.graph, id).any(|path| invalid.contains(&path))
            };
            if !exists {
                open.push(id);
            }
        }
        Ok(open)
    }

    /// The names under which Nix may build a derivation: its own, and of a content-addressed one those of the resolved ones.
    fn names(&self, id: DrvId, tracker: &Tracker) -> Vec<String> {
        let node = self.graph.node(id);
        let own = self.graph.path(id);
        if !node.is_floating() {
            return vec![own];
        }
        let is_resolved = |drv: &&String| {
            self.graph.find(drv).is_none() && name_of(drv.rsplit('/').next().unwrap_or(drv)) == node.name()
        };
        let resolved: Vec<String> = tracker.builds().keys().filter(is_resolved).cloned().collect();
        resolved.into_iter().chain([own]).collect()
    }
}
