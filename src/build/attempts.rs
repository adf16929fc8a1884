//! Builds a job's derivations in rounds, so that nothing keeps the others from being built: Nix goes on after a failure of a build, but
//! some errors end all of it (an output that it cannot store, a full disk, a derivation of a foreign system), and then what it was
//! building and what it had not reached is asked for again.
//!
//! In: derivations. Out: whether all succeeded at once; why others do not exist is in the [`Tracker`]. What failed for its own reasons is
//! never begun again, what failed for reasons that may go away at most twice more; of what Nix left open each is begun at most once more,
//! alone, so that the one at fault is found.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::time::{Duration, Instant};

use anyhow::Result;

use super::class::Class;
use super::evidence::{self, Evidence};
use super::garbage_lock::GarbageLock;
use super::interrupt;
use super::outcome::known_outputs;
use super::progress::Tracker;
use super::realisation;
use super::realise::Calls;
use super::room::Room;
use super::work::JobWork;
use crate::graph::DrvId;
use crate::nix::store_path::name_of;

/// Rounds in a row in which nothing is built and nothing found out before the rest is given up.
const FRUITLESS: u32 = 16;

/// Nix's own collection, where the disk is nearly full, would wait for the lock that is held here.
const COLLECT_NOTHING: [&str; 3] = ["--option", "min-free", "0"];

/// The waits before the second and the third time.
pub(super) const WAITS: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(5)];

/// What is built from.
pub struct Attempts<'a> {
    /// What brings paths into the store.
    pub calls: &'a Calls,
    /// How often at most a derivation is built again that failed for a reason that may go away.
    pub retries: u32,
    /// The room that there is for them.
    pub room: &'a Room<'a>,
    /// What the job has to do.
    pub work: &'a JobWork<'a>,
}

impl Attempts<'_> {
    /// Builds the derivations as far as possible; true where all of them exist.
    pub fn build(&self, derivations: Vec<DrvId>, tracker: &mut Tracker) -> Result<bool> {
        let mut fruitless = 0;
        let mut all = true;
        let mut groups = self.in_order(derivations);
        while let Some(group) = groups.pop_front() {
            if self.calls.out_of_time().is_some() {
                return Ok(false);
            }
            // Some of them may exist by now, or cannot be built any more.
            let asked = if all && !tracker.ledger().has_failures() { group } else { self.open(&group, tracker)? };
            let (asked, later) = self.room.next(asked, tracker)?;
            if !later.is_empty() {
                groups.push_front(later);
            }
            if asked.is_empty() || self.realise(&asked, tracker)? {
                continue;
            }
            all = false;
            let has_room = self.is_full(&asked, tracker) && self.room.was_short(tracker)?;
            let again = self.try_again(&asked, has_room, tracker)?;
            let left = self.open(&asked, tracker)?;
            let (begun, rest): (Vec<DrvId>, Vec<DrvId>) = left
                .iter()
                .filter(|id| !again.contains(id))
                .partition(|&&id| self.names(id, tracker).iter().any(|drv| tracker.round().left_open(drv)));
            let found_out = left.len() < asked.len() || !begun.is_empty() || !again.is_empty();
            fruitless = if found_out { 0 } else { fruitless + 1 };
            if fruitless == FRUITLESS {
                break;
            }
            if !found_out && self.is_lost(tracker) {
                let Some(wait) = WAITS.get(fruitless as usize - 1) else { break };
                tracker.say(&format!("trying again in {} s", wait.as_secs()), Instant::now());
                interrupt::pause(*wait)?;
                groups.push_front(rest);
                continue;
            }
            again.iter().rev().for_each(|&id| groups.push_front(vec![id]));
            if !begun.is_empty() && tracker.round().nameless_failures() >= begun.len() as u64 {
                // None was left open: Nix has counted each of them as failed.
                let paths: Vec<String> = begun.iter().map(|&id| self.work.graph.path(id)).collect();
                tracker.settle(&paths, "");
            } else {
                self.try_alone(&begun, &mut groups, tracker);
            }
            match &rest[..] {
                [] => {}
                _ if found_out => groups.push_back(rest),
                &[only] => tracker.settle(&[self.work.graph.path(only)], "Nix ended before it was begun: "),
                // Something among these ends Nix at once.
                rest => {
                    let (first, second) = rest.split_at(rest.len() / 2);
                    groups.push_front(second.to_vec());
                    groups.push_front(first.to_vec());
                }
            }
        }
        Ok(all)
    }

    /// Nix does not know which derivation stands for others with the same outputs: until these are there it would begin with whatever is named.
    /// So what takes from one for which another stands comes after all that does not.
    fn in_order(&self, derivations: Vec<DrvId>) -> VecDeque<Vec<DrvId>> {
        let mut levels = vec![0; self.work.graph.len()];
        // Inputs come before their consumers.
        for id in self.work.graph.ids() {
            let level = |drv: DrvId| {
                let stands = self.work.graph.representative(drv);
                levels[stands.at()] + u32::from(stands != drv)
            };
            levels[id.at()] = self.work.graph.named_inputs(id).iter().map(|input| level(input.drv)).max().unwrap_or(0);
        }
        let mut groups: BTreeMap<u32, Vec<DrvId>> = BTreeMap::new();
        for id in derivations {
            groups.entry(levels[id.at()]).or_default().push(id);
        }
        groups.into_values().collect()
    }

    /// Puts each that Nix has left open before everything else, alone; one that it has left open twice has failed.
    fn try_alone(&self, begun: &[DrvId], groups: &mut VecDeque<Vec<DrvId>>, tracker: &mut Tracker) {
        let times =
            |id: DrvId| self.names(id, tracker).iter().map(|drv| tracker.ledger().begun(drv)).max().unwrap_or(0);
        let (again, failed): (Vec<DrvId>, Vec<DrvId>) = begun.iter().partition(|&&id| times(id) < 2);
        if !failed.is_empty() {
            let paths: Vec<String> = failed.iter().map(|&id| self.work.graph.path(id)).collect();
            tracker.settle(&paths, "Nix ended twice while this was built, the second time alone: ");
        }
        if !again.is_empty() {
            let names: Vec<&str> = again.iter().map(|&id| self.work.graph.node(id).name()).collect();
            let line = format!("Nix ended while it was building {}: trying each once more, alone", names.join(", "));
            tracker.say(&line, Instant::now());
        }
        again.iter().rev().for_each(|&id| groups.push_front(vec![id]));
    }

    /// Those whose failure may go away by itself; waits where that takes time. What was killed is tried again only where others ran
    /// beside it, and then alone.
    fn try_again(&self, asked: &[DrvId], has_room: bool, tracker: &mut Tracker) -> Result<Vec<DrvId>> {
        let mut again = Vec::new();
        let mut wait = None;
        for &id in asked {
            for drv in self.names(id, tracker) {
                let (Some(message), Some(build)) =
                    (tracker.ledger().failure(&drv), tracker.ledger().builds().get(&drv))
                else {
                    continue;
                };
                let is_fixed_output = self.work.graph.node(id).fixed_output;
                let class =
                    evidence::class(&Evidence { message, log: &build.log, is_fixed_output, has_room: build.has_room });
                let begun = tracker.ledger().begun(&drv);
                let most = 1 + self.retries;
                let may_go_away = match class {
                    Class::Killed => build.beside,
                    Class::DiskFull => has_room && !tracker.ledger().retried(&drv).contains(&class),
                    class => class.is_transient(),
                };
                if begun < most && may_go_away {
                    let line = format!(
                        "{}: {}: trying again ({} of {most})",
                        self.work.graph.node(id).name(),
                        class.text(),
                        begun + 1
                    );
                    tracker.say(&line, Instant::now());
                    tracker.ledger_mut().try_again(&drv, class);
                    if class.is_transient() {
                        wait = wait.max(WAITS.get(begun as usize - 1).copied());
                    }
                    again.push(id);
                }
            }
        }
        if !again.is_empty() {
            tracker.ledger_mut().forget_dependents();
        }
        if let Some(wait) = wait {
            interrupt::pause(wait)?;
        }
        Ok(again)
    }

    /// True where the disk was full in this round, for a builder or for Nix.
    fn is_full(&self, asked: &[DrvId], tracker: &Tracker) -> bool {
        let messages = tracker.round().messages().join("\n");
        let failures = asked.iter().flat_map(|&id| self.names(id, tracker)).filter_map(|drv| {
            let (log, has_room) =
                tracker.ledger().builds().get(&drv).map_or(("", false), |build| (&build.log, build.has_room));
            let message = tracker.ledger().failure(&drv)?;
            Some(evidence::class(&Evidence { message, log, is_fixed_output: false, has_room }))
        });
        let whole = evidence::class(&Evidence { message: &messages, log: "", is_fixed_output: false, has_room: false });
        failures.chain([whole]).any(|class| class == Class::DiskFull)
    }

    /// True where Nix could not work at all for a reason that may go away.
    fn is_lost(&self, tracker: &Tracker) -> bool {
        let messages = tracker.round().messages().join("\n");
        evidence::class(&Evidence { message: &messages, log: "", is_fixed_output: false, has_room: false })
            .is_transient()
    }

    fn realise(&self, ids: &[DrvId], tracker: &mut Tracker) -> Result<bool> {
        let paths: Vec<String> = ids.iter().map(|&id| self.work.graph.path(id)).collect();
        let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
        let floating: Vec<DrvId> = ids.iter().copied().filter(|&id| self.work.graph.node(id).is_floating()).collect();
        if floating.is_empty() {
            return self.calls.build(&paths, &[], tracker);
        }
        // Until they are held.
        let _waiting = GarbageLock::take(self.work.graph.store_dir())?;
        let complete = self.calls.build(&paths, &COLLECT_NOTHING, tracker)?;
        self.work.hold_floating(&floating, self.calls.store())?;
        Ok(complete)
    }

    /// Those of the derivations that neither exist, nor failed, nor take anything, directly or not, from one that failed.
    fn open(&self, asked: &[DrvId], tracker: &Tracker) -> Result<Vec<DrvId>> {
        let outputs: Vec<String> = asked.iter().flat_map(|&id| known_outputs(self.work.graph, id)).collect();
        let invalid: HashSet<String> = if outputs.is_empty() {
            HashSet::new()
        } else {
            self.calls.store().invalid(&outputs.iter().map(String::as_str).collect::<Vec<_>>())?.into_iter().collect()
        };
        let mut failed = HashSet::new();
        // Numbers of inputs are smaller than those of their consumers.
        for id in self.work.graph.ids() {
            let has_failed = self.names(id, tracker).iter().any(|drv| tracker.ledger().failure(drv).is_some());
            if has_failed || self.work.graph.inputs(id).iter().any(|input| failed.contains(&input.drv)) {
                failed.insert(id);
            }
        }
        let mut open = Vec::new();
        for &id in asked.iter().filter(|id| !failed.contains(*id)) {
            let exists = if self.work.graph.node(id).is_floating() {
                !realisation::of(self.calls.store(), &self.work.graph.path(id))?.is_empty()
            } else {
                let early = self.work.early.borrow();
                !known_outputs(self.work.graph, id).any(|path| invalid.contains(&path) && !early.gone.contains(&path))
            };
            if !exists {
                open.push(id);
            }
        }
        Ok(open)
    }

    /// The names under which Nix may build a derivation: its own, and of a content-addressed one those of the resolved ones.
    fn names(&self, id: DrvId, tracker: &Tracker) -> Vec<String> {
        let node = self.work.graph.node(id);
        let own = self.work.graph.path(id);
        if !node.is_floating() {
            return vec![own];
        }
        let is_resolved = |drv: &&String| {
            self.work.graph.find(drv).is_none() && name_of(drv.rsplit('/').next().unwrap_or(drv)) == node.name()
        };
        let resolved: Vec<String> = tracker.ledger().builds().keys().filter(is_resolved).cloned().collect();
        resolved.into_iter().chain([own]).collect()
    }
}
