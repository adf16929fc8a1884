//! Fetches and builds: what an earlier run of the job left, what other jobs and caches have, then the rest.
//!
//! In: [`JobWork`]. Out: whether everything is there, and what should have been delivered and was not.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashSet};
use std::time::{Duration, Instant};

use anyhow::Result;

use super::OnMissing;
use super::attempts::{Attempts, WAITS};
use super::guard::{self, Deliverers, Guard};
use super::hand_offs::Substituter;
use super::outcome::known_outputs;
use super::progress::Tracker;
use super::push::Pusher;
use super::realise::Calls;
use super::record::{Missing, Record};
use super::room::{self, Room};
use super::same_outputs::SameOutputs;
use super::work::{JobWork, strs};
use crate::graph::DrvId;
use crate::history::jobs::Measured;
use crate::nix::path_info::PathInfo;

/// What is made, and from what.
pub struct FetchAndBuild<'a> {
    /// What the job has to do.
    pub work: &'a JobWork<'a>,
    /// What brings paths into the store.
    pub calls: &'a Calls,
    /// What other jobs have left.
    pub hand_offs: &'a Substituter<'a>,
    /// Who should have delivered what.
    pub deliverers: &'a Deliverers<'a>,
    /// Pushes what was built.
    pub pusher: &'a Pusher,
}

impl FetchAndBuild<'_> {
    /// Fetches and builds; true where everything succeeded. `reusable` need not be built; what is missing, and how long both took, goes into
    /// the record.
    pub fn run(&self, mut reusable: BTreeSet<DrvId>, record: &mut Record, tracker: &mut Tracker) -> Result<bool> {
        let work = self.work;
        let start = Instant::now();
        // By path, since Nix builds some derivations again even where a substituter has them.
        let earlier: Vec<String> = reusable
            .iter()
            .flat_map(|&id| known_outputs(work.graph, id))
            .filter(|path| work.absent.contains(path))
            .collect();
        if !earlier.is_empty() && !self.calls.fetch(&strs(&earlier), tracker)? {
            let failed = self.calls.store().invalid(&strs(&earlier))?;
            // Else Nix would fetch them again in place of building them.
            let dropped = self.hand_offs.drop_unusable(&failed)?;
            dropped.iter().for_each(|line| tracker.say(line, Instant::now()));
            let failed: HashSet<String> = failed.into_iter().collect();
            reusable.retain(|&id| !known_outputs(work.graph, id).any(|path| failed.contains(&path)));
        }
        let wanted = work.wanted(&reusable);
        room::check(self.hand_offs, &wanted, self.calls.store(), work.graph.store_dir())?;
        let guard = Guard {
            calls: self.calls,
            held: work.held,
            graph: work.graph,
            here: &work.set,
            hand_offs: self.hand_offs,
            deliverers: self.deliverers,
            on_missing: work.request.on_missing,
            waits: RefCell::new(WAITS.into_iter().take(work.retries()).collect::<Vec<_>>().into_iter()),
            producers: &work.producers,
        };
        let brought = guard.bring(&strs(&wanted), tracker);
        record.measured.fetch = u64::try_from(start.elapsed().as_millis()).ok();
        self.note_fetched(tracker, &mut record.measured);
        record.missing = brought?;
        let missing = &record.missing;
        // What may fail is built once, in its own job.
        let has_failed = |missing: &Missing| !missing.built && self.deliverers.may_fail(missing.job.as_deref());
        if work.request.on_missing == OnMissing::Fail || missing.iter().any(has_failed) {
            guard::check(missing, OnMissing::Fail)?;
        }
        let building = work.building(&reusable);
        let room = Room::new(work, self.calls.store(), self.pusher, &building);
        let attempts = Attempts { calls: self.calls, retries: work.retries() as u32, room: &room, work };
        let start = Instant::now();
        let mut built = attempts.build(building, tracker);
        let mut others = SameOutputs::new(work, self.calls);
        while built.as_ref().is_ok_and(|complete| !complete)
            && self.calls.out_of_time().is_none()
            && others.build(tracker)?
        {
            built = attempts.build(work.building(&reusable), tracker);
        }
        if let Some(why) = self.calls.out_of_time().filter(|_| built.as_ref().is_ok_and(|complete| !complete)) {
            record.errors.push(format!("{why}: what was not built by then was not begun"));
        }
        record.measured.build = u64::try_from(start.elapsed().as_millis()).ok();
        built
    }

    /// Puts down what was fetched so far, where anything was, and what of it other jobs have built.
    fn note_fetched(&self, tracker: &Tracker, measured: &mut Measured) {
        let fetched = tracker.ledger().fetched();
        let paths: Vec<&str> = fetched.keys().map(String::as_str).collect();
        if paths.is_empty() {
            return;
        }
        let Ok(infos) = self.calls.store().path_infos(&paths) else { return };
        let base = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
        let producer = |path: &str| self.work.producers.get(&*base(path)).map(|&id| self.work.graph.path(id));
        let is_down = |path: &str| producer(path).is_some_and(|drv| self.deliverers.of(&drv).is_some());
        let sum =
            |infos: &mut dyn Iterator<Item = &PathInfo>| infos.map(|info| info.nar_size).fold(0, u64::saturating_add);
        measured.fetched_bytes = Some(sum(&mut infos.iter()));
        measured.down_bytes = Some(sum(&mut infos.iter().filter(|info| is_down(&info.path))));
        let down = fetched.iter().filter(|(path, _)| is_down(path));
        let spans = down.map(|(_, fetched)| (fetched.begun, fetched.begun + fetched.duration)).collect();
        measured.down = u64::try_from(covered(spans).as_millis()).ok();
    }
}

/// How much time spans of it cover together, each from when to when.
fn covered(mut spans: Vec<(Duration, Duration)>) -> Duration {
    spans.sort_unstable();
    let (mut covered, mut last) = (Duration::ZERO, Duration::ZERO);
    for (from, to) in spans {
        covered += to.saturating_sub(from.max(last));
        last = last.max(to);
    }
    covered
}
