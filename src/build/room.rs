//! Room for builds: on the store's disk and in memory.
//!
//! In: the job's work, what is expected of its derivations, and whoever pushes. Out: rounds of builds that fit as far as anybody knows, and
//! room on the disk between them: what nothing left in the job needs goes, what the job hands on only after it was handed on, and what was in the store
//! before stays. What is expected comes from records, which may be wrong: it makes rounds smaller and is said, but keeps nothing from being tried.

use std::cell::Cell;
use std::cmp::Reverse;
use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::time::Instant;

use anyhow::{Result, ensure};

use super::hand_offs::Substituter;
use super::progress::Tracker;
use super::push::Pusher;
use super::work::{JobWork, strs};
use super::{HandOffPlace, JobRequest, guard, machine_memory};
use crate::byte_size;
use crate::fleet::size::for_builds;
use crate::graph::DrvId;
use crate::handoff::free_space;
use crate::nix::store::Store;
use crate::plan::Expected;
use crate::plural::counted;

/// With less than this, in bytes, rounds are planned though nothing is known of sizes.
const SCARCE: u64 = 1 << 30;

/// One part in so many stays free for what Nix writes beside outputs.
const RESERVE: u64 = 16;

/// The room for a job's builds.
pub struct Room<'a> {
    work: &'a JobWork<'a>,
    store: &'a Store,
    pusher: &'a Pusher,
    /// True where all builds at once may not fit: they come in rounds.
    is_short: Cell<bool>,
    /// Free bytes before the first build; none where nobody can say.
    free: Option<u64>,
    /// Builds side by side.
    slots: usize,
    /// Memory for builds, bytes, where some of them may not fit side by side.
    memory: Option<u64>,
}

impl<'a> Room<'a> {
    /// The room before the first of these is built.
    pub fn new(work: &'a JobWork<'a>, store: &'a Store, pusher: &'a Pusher, building: &[DrvId]) -> Self {
        let mut room = Self {
            work,
            store,
            pusher,
            is_short: Cell::new(false),
            free: free_space::bytes(Path::new(work.graph.store_dir())),
            slots: slots(work.request),
            memory: None,
        };
        let peaks = largest(building.iter().map(|&id| room.peak(id)), room.slots);
        room.memory = machine_memory::bytes().map(for_builds).filter(|memory| sum(&peaks) > *memory);
        let expected: u64 = building.iter().filter_map(|&id| room.size(id)).fold(0, u64::saturating_add);
        room.is_short = Cell::new(room.free.is_some_and(|free| free < expected || free < SCARCE));
        room
    }

    fn expected(&self, id: DrvId) -> Expected {
        let expected = &self.work.request.plan.expected;
        if expected.is_empty() {
            Expected::default()
        } else {
            expected.get(&*self.work.graph.path(id)).copied().unwrap_or_default()
        }
    }

    /// Bytes of a derivation's outputs, where something is recorded of them.
    fn size(&self, id: DrvId) -> Option<u64> {
        self.expected(id).nar_bytes
    }

    /// Bytes of memory that building it takes; 0 where nothing is recorded.
    fn peak(&self, id: DrvId) -> u64 {
        self.expected(id).memory.unwrap_or(0)
    }

    /// Those of the derivations, which are in build order, that are built next, and those that are left for later. All come next where there is
    /// plenty of room.
    pub fn next(&self, asked: Vec<DrvId>, tracker: &mut Tracker) -> Result<(Vec<DrvId>, Vec<DrvId>)> {
        let Some(&first) = asked.first() else { return Ok((asked, Vec::new())) };
        let free = match self.free.filter(|_| self.is_short.get()) {
            Some(at_first) => Some(self.free_for(first, at_first, tracker)?),
            None => None,
        };
        if free.is_none() && self.memory.is_none() {
            return Ok((asked, Vec::new()));
        }
        Ok(self.fitting(&asked, free))
    }

    /// Free bytes before a derivation is built, after room was made where that is needed.
    fn free_for(&self, first: DrvId, at_first: u64, tracker: &mut Tracker) -> Result<u64> {
        let (graph, size) = (self.work.graph, self.size(first).unwrap_or(0));
        let bytes = || free_space::bytes(Path::new(graph.store_dir())).unwrap_or(at_first);
        if bytes() < size.max(at_first / 2) {
            self.make_room(tracker)?;
        }
        let free = bytes();
        if size > free {
            let line = format!(
                "warning: {} will probably not fit: its outputs had {size} bytes before, and {free} bytes are free in `{}`, {} too few",
                graph.node(first).name(),
                graph.store_dir(),
                size - free
            );
            tracker.say(&line, Instant::now());
        }
        Ok(free - free / RESERVE)
    }

    /// Of derivations in build order those that fit together, at least one, and the others. Where the free bytes of the disk are given, those
    /// of unknown size come as many at a time as there are slots, when all that they need is there.
    fn fitting(&self, asked: &[DrvId], mut free: Option<u64>) -> (Vec<DrvId>, Vec<DrvId>) {
        let (mut next, mut later) = (HashSet::new(), HashSet::new());
        let (mut unknown, mut peaks) = (0, Vec::new());
        for &id in asked {
            let inputs = self.work.graph.named_inputs(id);
            let takes = |from: &HashSet<DrvId>| inputs.iter().any(|input| from.contains(&input.drv));
            let has_disk = match (free, self.size(id)) {
                (None, _) => true,
                (Some(free), Some(bytes)) => bytes <= free,
                (Some(_), None) => unknown < self.slots && !takes(&next),
            };
            let with = largest(peaks.iter().copied().chain([self.peak(id)]), self.slots);
            let has_memory = self.memory.is_none_or(|memory| sum(&with) <= memory);
            if !takes(&later) && (has_disk && has_memory || next.is_empty()) {
                unknown += usize::from(self.size(id).is_none());
                free = free.map(|free| free.saturating_sub(self.size(id).unwrap_or(0)));
                peaks = with;
                next.insert(id);
            } else {
                later.insert(id);
            }
        }
        asked.iter().partition(|id| next.contains(*id))
    }

    /// The disk was full: makes room, and from now on builds in rounds. True where that has helped.
    pub fn was_short(&self, tracker: &mut Tracker) -> Result<bool> {
        self.is_short.set(true);
        Ok(self.make_room(tracker)? > 0)
    }

    /// Hands on what was built so far, as far as the job hands anything on.
    fn hand_on(&self, tracker: &mut Tracker) -> Result<()> {
        let work = self.work;
        if work.request.hand_off == HandOffPlace::None {
            return Ok(());
        }
        let outcomes = work.outcomes(self.store, false, tracker)?;
        let mut paths = work.results(self.store, &outcomes)?.paths;
        let floating = work.floating();
        paths.retain(|path| !work.early.borrow().infos.contains_key(path) && !floating.contains(path));
        if paths.is_empty() || !self.pusher.confirm(&paths, tracker)? {
            return Ok(());
        }
        let infos = self.store.path_infos(&strs(&paths))?;
        let mut early = work.early.borrow_mut();
        if let HandOffPlace::Workspace(workspace) = &work.request.hand_off {
            early.written = early.written.and(work.write(workspace, &infos)?);
        }
        early.infos.extend(infos.into_iter().map(|info| (info.path.clone(), info)));
        Ok(())
    }

    /// Removes what the job has fetched, built and handed on, or left half-built, and nothing left in it needs. Gives how many paths that were.
    fn make_room(&self, tracker: &mut Tracker) -> Result<usize> {
        if let Err(error) = self.hand_on(tracker) {
            tracker.say(&format!("warning: nothing is handed on before the job's end: {error:#}"), Instant::now());
        }
        let (work, graph) = (self.work, self.work.graph);
        let absent = work.invalid(self.store)?;
        let outputs = |id: DrvId| super::outcome::known_outputs(graph, id);
        let is_open = |id: DrvId| graph.node(id).is_floating() || outputs(id).any(|path| absent.contains(&path));
        let open: Vec<DrvId> = work.ids().iter().copied().filter(|&id| is_open(id)).collect();
        let left: HashSet<DrvId> = open.iter().copied().collect();
        let mut keep: Vec<String> = guard::wanted(graph, &open, &left).into_keys().collect();
        keep.extend(work.restored());
        keep.extend(work.floating());
        keep.extend(work.ids().iter().map(|&id| graph.path(id)));
        let all = work.outputs();
        let may_go = |path: &&String| work.absent.contains(*path) && work.early.borrow().infos.contains_key(*path);
        keep.extend(all.iter().filter(|path| !absent.contains(*path) && !may_go(path)).cloned());
        let invalid: HashSet<String> = self.store.invalid(&strs(&keep))?.into_iter().collect();
        let valid: Vec<&str> = keep.iter().map(String::as_str).filter(|path| !invalid.contains(*path)).collect();
        let needed: HashSet<String> = self.store.requisites(&valid)?.into_iter().collect();
        let brought: HashSet<&String> = tracker.ledger().fetched().keys().chain(&work.absent).collect();
        let mut free: Vec<String> = brought.into_iter().filter(|path| !needed.contains(*path)).cloned().collect();
        free.retain(|path| Path::new(path).exists());
        free.sort_unstable();
        if free.is_empty() {
            return Ok(0);
        }
        work.held.narrow(keep.iter().map(String::as_str))?;
        self.store.delete(&strs(&free))?;
        let freed: Vec<String> = free.into_iter().filter(|path| !Path::new(path).exists()).collect();
        let mut early = work.early.borrow_mut();
        let gone: Vec<String> = freed.iter().filter(|path| early.infos.contains_key(*path)).cloned().collect();
        early.gone.extend(gone);
        work.held.hold(all.iter().filter(|path| !early.gone.contains(*path)).map(String::as_str))?;
        let paths = counted(freed.len() as u64, "path");
        tracker.say(&format!("the disk is full: {paths} removed that nothing left in this job needs"), Instant::now());
        Ok(freed.len())
    }
}

/// The so many largest.
fn largest(values: impl Iterator<Item = u64>, count: usize) -> Vec<u64> {
    let mut values: Vec<u64> = values.collect();
    values.sort_unstable_by_key(|value| Reverse(*value));
    values.truncate(count);
    values
}

fn sum(values: &[u64]) -> u64 {
    values.iter().copied().fold(0, u64::saturating_add)
}

/// Builds side by side, as Nix is asked for, else one for each processor.
pub fn slots(request: &JobRequest) -> usize {
    let asked =
        request.options.iter().rev().find(|(name, _)| name == "max-jobs").and_then(|(_, jobs)| jobs.parse().ok());
    asked.or_else(|| std::thread::available_parallelism().ok().map(Into::into)).unwrap_or(1).max(1)
}

/// Refuses to fetch what surely does not fit: hand-offs whose sizes are known, on a disk that stores files as they are.
pub fn check(hand_offs: &Substituter, wanted: &[String], store: &Store, store_dir: &str) -> Result<()> {
    let Some(free) = free_space::of_plain_files(Path::new(store_dir)) else { return Ok(()) };
    let mut sizes = BTreeMap::new();
    let mut todo = wanted.to_vec();
    while let Some(path) = todo.pop() {
        let Some(size) = hand_offs.nar_size(&path) else { continue };
        let references = hand_offs.references(&path).unwrap_or_default();
        if sizes.insert(path, size).is_none() {
            todo.extend(references);
        }
    }
    let bytes = |sizes: &BTreeMap<String, u64>| sizes.values().copied().fold(0, u64::saturating_add);
    if bytes(&sizes) <= free {
        return Ok(());
    }
    let paths: Vec<&str> = sizes.keys().map(String::as_str).collect();
    let invalid: HashSet<String> = store.invalid(&paths)?.into_iter().collect();
    sizes.retain(|path, _| invalid.contains(path));
    let bytes = bytes(&sizes);
    ensure!(
        bytes <= free,
        "no room for the results of other jobs: {} of {}, {} free in `{store_dir}`, {} too few (give the job a machine with a larger disk, \
         or let jobs build less each)",
        counted(sizes.len() as u64, "path"),
        byte_size::text(bytes),
        byte_size::text(free),
        byte_size::text(bytes - free)
    );
    Ok(())
}
