//! What a job has to do, what of it was done before, and what became of it.
//!
//! In: a [`JobRequest`], the derivation graph, the store. Out: what to fetch and to build, what may be freed, and after building what goes into
//! the record and is handed off.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result};

use super::closures::Closures;
use super::deliveries::ContentAddressed;
use super::guard;
use super::outcome::{self, Results, known_outputs};
use super::output_lock::{self, Lock};
use super::progress::{Derivations, Tracker};
use super::record::{DerivationRecord, HandedOff, Outcome, Record, Role};
use super::usage::Usage;
use super::{HandOffPlace, JobRequest, OnMissing, interrupt, naming, nix_words, realisation};
use crate::byte_size;
use crate::graph::{DrvId, Graph};
use crate::handoff::merge::HandOffs;
use crate::handoff::partial_cache;
use crate::handoff::reuse::ReuseFolder;
use crate::nix::path_info::PathInfo;
use crate::nix::store::Store;
use crate::nix::store_path;
use crate::nix::temporary_roots::TemporaryRoots;
use crate::plan::final_job::{Restored, RestoredOutput};
use crate::plan::options::MAX_RETRIES;
use crate::plural::counted;

/// What a job has to do, and what of it was done before.
pub struct JobWork<'a> {
    /// The job.
    pub request: &'a JobRequest,
    /// Its derivations and all below them.
    pub graph: &'a Graph,
    /// Holds what the job needs and leaves.
    pub held: &'a TemporaryRoots,
    /// What the job owns and repeats, in build order.
    ids: Vec<DrvId>,
    /// The same as a set.
    pub set: HashSet<DrvId>,
    /// Outputs of these, as far as their paths are known, that the store did not have when the job began.
    pub absent: HashSet<String>,
    /// The derivation of each output whose path is known, by the path's base name.
    pub producers: HashMap<&'a str, DrvId>,
    /// Content-addressed outputs that other jobs have delivered.
    pub content_addressed: ContentAddressed,
    /// Content-addressed outputs that were built here so far.
    floating: RefCell<BTreeSet<String>>,
    /// What was handed on before the job's end.
    pub early: RefCell<Early>,
}

/// What was handed on before the job's end, to make room.
#[derive(Debug, Default)]
pub struct Early {
    /// What the store knew of it.
    pub infos: BTreeMap<String, PathInfo>,
    /// What was written into the hand-off's folder.
    pub written: HandedOff,
    /// The part of it that is no longer in the store.
    pub gone: BTreeSet<String>,
}

impl<'a> JobWork<'a> {
    /// Looks at the store. `here` are the derivations that the job owns and repeats, in build order.
    pub fn new(
        request: &'a JobRequest,
        graph: &'a Graph,
        here: &[&str],
        store: &Store,
        held: &'a TemporaryRoots,
    ) -> Result<Self> {
        let ids: Vec<DrvId> = here
            .iter()
            .map(|path| graph.find(path).with_context(|| format!("`{path}` is not among the derivations")))
            .collect::<Result<_>>()?;
        let set = ids.iter().copied().collect();
        let (absent, producers) = (HashSet::new(), guard::producers(graph));
        let content_addressed = ContentAddressed::new();
        let mut work = JobWork {
            request,
            graph,
            held,
            ids,
            set,
            absent,
            producers,
            content_addressed,
            floating: RefCell::default(),
            early: RefCell::default(),
        };
        // Before the store is asked what it has: that must not go away any more.
        held.hold(work.outputs().iter().chain(&work.wanted(&BTreeSet::new())).map(String::as_str))?;
        work.absent = work.invalid(store)?;
        Ok(work)
    }

    /// Outputs of the job's derivations that do not exist: they are not valid, and were not handed on before they were removed.
    pub fn invalid(&self, store: &Store) -> Result<HashSet<String>> {
        let invalid = store.invalid(&strs(&self.outputs()))?.into_iter();
        let early = self.early.borrow();
        Ok(invalid.filter(|path| !early.gone.contains(path)).collect())
    }

    /// What the job owns and repeats, in build order.
    pub fn ids(&self) -> &[DrvId] {
        &self.ids
    }

    /// Content-addressed outputs that were built here so far.
    pub fn floating(&self) -> BTreeSet<String> {
        self.floating.borrow().clone()
    }

    /// Outputs of the job's derivations, as far as their paths are known.
    pub fn outputs(&self) -> Vec<String> {
        self.ids.iter().flat_map(|&id| known_outputs(self.graph, id)).collect()
    }

    /// Derivations that need not be built: all their outputs are valid, or an earlier run of this job left them.
    pub fn reusable(&self, hand_offs: &HandOffs) -> BTreeSet<DrvId> {
        self.set
            .iter()
            .copied()
            .filter(|&id| {
                let is_there = |path: String| !self.absent.contains(&path) || hand_offs.get(&path).is_some();
                !self.graph.node(id).is_floating() && known_outputs(self.graph, id).all(is_there)
            })
            .collect()
    }

    /// What is left to build.
    pub fn building(&self, reusable: &BTreeSet<DrvId>) -> Vec<DrvId> {
        self.ids.iter().copied().filter(|id| !reusable.contains(id)).collect()
    }

    /// What has to come from elsewhere.
    pub fn wanted(&self, reusable: &BTreeSet<DrvId>) -> Vec<String> {
        let mut wanted: BTreeSet<String> =
            guard::wanted(self.graph, &self.building(reusable), &self.set).into_keys().collect();
        wanted.extend(self.restored());
        wanted.into_iter().collect()
    }

    /// How often something is tried again that failed for a reason that may go away.
    pub fn retries(&self) -> usize {
        self.request.job().options.retries.unwrap_or(MAX_RETRIES) as usize
    }

    /// Holds the outputs that content-addressed derivations have by now.
    pub fn hold_floating(&self, ids: &[DrvId], store: &Store) -> Result<()> {
        let mut floating = self.floating.borrow_mut();
        for &id in ids {
            // What Nix says and is not understood is an error where it is handed on.
            let found = realisation::of(store, &self.graph.path(id)).unwrap_or_default();
            floating.extend(found.iter().map(|found| self.graph.full_path(&found.output)));
        }
        self.held.hold(floating.iter().map(String::as_str)).map(drop)
    }

    /// The only content-addressed derivation of this job with an output of that name.
    fn floating_producer(&self, name: &str) -> Option<DrvId> {
        let is_output = |id: DrvId| {
            let node = self.graph.node(id);
            node.outputs.iter().any(|output| match &*output.name {
                "out" => node.name() == name,
                other => name.strip_suffix(other).and_then(|start| start.strip_suffix('-')) == Some(node.name()),
            })
        };
        let mut found = self.ids.iter().copied().filter(|&id| self.graph.node(id).is_floating() && is_output(id));
        found.next().filter(|_| found.next().is_none())
    }

    /// Outputs that a final job's command finds, and that the job pushes.
    pub fn restored(&self) -> impl Iterator<Item = String> {
        let job = self.request.plan.final_job(self.request.job);
        let restored = job.into_iter().flat_map(|job| &job.restore);
        let outputs = restored.flat_map(|restored| restored.outputs.iter().map(move |output| (restored, output)));
        outputs.filter_map(|(restored, output)| self.path_of(restored, output)).chain(self.delivered())
    }

    /// The store path of an output that a final job's command finds; none for a content-addressed one that nobody has delivered.
    pub fn path_of(&self, restored: &Restored, output: &RestoredOutput) -> Option<String> {
        let drv = || self.graph.find(&restored.derivation);
        let delivered = || self.content_addressed.get(&(drv()?, output.name.clone())).cloned();
        output.path.clone().or_else(delivered)
    }

    /// Outputs that the job pushes although others have built them.
    pub fn delivered(&self) -> impl Iterator<Item = String> {
        self.delivered_ids().flat_map(|id| known_outputs(self.graph, id))
    }

    fn delivered_ids(&self) -> impl Iterator<Item = DrvId> {
        self.request.delivered().filter_map(|drv| self.graph.find(drv))
    }

    /// Content-addressed outputs that no target is: their paths are known to those that have built them.
    pub fn say_what_is_not_delivered(&self, say: &mut dyn FnMut(&str)) {
        let floating = self.delivered_ids().filter(|&id| self.graph.node(id).is_floating()).count();
        if floating > 0 {
            say(&format!(
                "warning: {floating} content-addressed derivations are not signed: the plan does not know their outputs"
            ));
        }
    }

    /// What became of each derivation so far.
    pub fn outcomes(&self, store: &Store, complete: bool, tracker: &Tracker) -> Result<Vec<DerivationRecord>> {
        // Whatever Nix's exit code says: an error that it survives by its own account may have left something out.
        let after = self.invalid(store)?;
        Ok(outcome::derivations(&outcome::Facts {
            graph: self.graph,
            job: self.request.job(),
            before: &self.absent,
            after: &after,
            complete,
            cancelled: interrupt::received().is_some(),
            tracker,
        }))
    }

    /// Puts down what became of each derivation.
    pub fn account(&self, store: &Store, complete: bool, record: &mut Record, tracker: &Tracker) -> Result<()> {
        record.fetched = tracker.ledger().fetched().len() as u64;
        record.derivations = self.outcomes(store, complete, tracker)?;
        naming::name(&mut record.derivations, self.request, self.graph);
        if !record.derivations.iter().all(|drv| drv.outcome.is_good()) {
            record.waiting = naming::waiting(&self.request.plan, self.request.job());
        }
        // Where everything is there in the end, they are about what was tried again.
        let is_open = record.derivations.iter().any(|drv| !drv.outcome.is_good());
        let has_failed = record.derivations.iter().any(|drv| drv.outcome == Outcome::Failed);
        for message in tracker.messages() {
            let is_cause = is_open && !(has_failed && nix_words::leaves_a_cache_alone(message));
            let messages = if is_cause { &mut record.errors } else { &mut record.survived };
            messages.push(message.clone());
        }
        let elsewhere: Vec<&str> = record
            .derivations
            .iter()
            .filter(|drv| drv.role == Role::Other && drv.outcome == Outcome::Built)
            .map(|drv| drv.derivation.as_str())
            .collect();
        if self.request.on_missing == OnMissing::Fail && !elsewhere.is_empty() {
            record.errors.push(format!("Nix built what belongs to other jobs: {}", elsewhere.join(", ")));
        }
        Ok(())
    }

    /// What the job hands on, of what has become of its derivations.
    pub fn results(&self, store: &Store, derivations: &[DerivationRecord]) -> Result<Results> {
        if self.request.hand_off == HandOffPlace::None {
            return Ok(Results::default());
        }
        let early = self.early.borrow();
        let mut results = outcome::results(store, self.graph, derivations, &early.gone)?;
        let others: BTreeSet<String> = results.paths.into_iter().chain(early.infos.keys().cloned()).collect();
        results.paths = others.into_iter().collect();
        // Paths of content-addressed outputs are not known before.
        self.held.hold(results.paths.iter().map(String::as_str))?;
        Ok(results)
    }

    /// The outputs of everything that was built here.
    pub fn built(&self, record: &Record, results: &Results) -> Vec<String> {
        let built = record.derivations.iter().filter(|drv| drv.outcome == Outcome::Built);
        let mut paths = Vec::new();
        for derivation in built {
            match self.graph.find(&derivation.derivation) {
                // Which of the realisations is whose is not known; all are of this job.
                Some(id) if self.graph.node(id).is_floating() => {
                    paths.extend(results.realisations.iter().map(|found| self.graph.full_path(&found.output)));
                }
                Some(id) => paths.extend(known_outputs(self.graph, id)),
                None => {}
            }
        }
        paths.sort_unstable();
        paths.dedup();
        paths
    }

    /// What the store knows of the paths that the job hands on, or knew of those that were handed on before.
    pub fn infos(&self, store: &Store, results: &Results) -> Result<Vec<PathInfo>> {
        let early = self.early.borrow();
        let left: Vec<&str> =
            results.paths.iter().map(String::as_str).filter(|path| !early.infos.contains_key(*path)).collect();
        let mut infos = if left.is_empty() { Vec::new() } else { store.path_infos(&left)? };
        infos.extend(early.infos.values().cloned());
        Ok(infos)
    }

    /// Puts down what builders and the machine have used.
    pub fn measure(&self, usage: &Usage, record: &mut Record) {
        for derivation in record.derivations.iter_mut().filter(|derivation| derivation.used.slot.is_some()) {
            let id = self.graph.find(&derivation.derivation);
            let outputs = id.into_iter().flat_map(|id| known_outputs(self.graph, id));
            let used = outputs.filter_map(|output| usage.builders.get(&output)).next();
            derivation.used.cpu = used.map(|used| used.cpu);
            derivation.used.memory = used.map(|used| used.memory);
        }
        record.measured.sampling = Some(usage.cost);
        record.measured.memory = Some(usage.memory).filter(|&bytes| bytes > 0);
        record.measured.disk = Some(usage.disk).filter(|&bytes| bytes > 0);
    }

    /// Puts down how large the outputs are of what was built, and their closures, as far as the store still has these.
    pub fn note_sizes(&self, store: &Store, infos: &[PathInfo], record: &mut Record) {
        let early = self.early.borrow();
        let left = infos.iter().map(|info| info.path.as_str()).filter(|path| !early.gone.contains(*path));
        let closures = Closures::new(store, &left.collect::<Vec<_>>()).unwrap_or_default();
        let sizes: HashMap<&str, u64> = infos.iter().map(|info| (info.path.as_str(), info.nar_size)).collect();
        for derivation in record.derivations.iter_mut().filter(|derivation| derivation.outcome == Outcome::Built) {
            let Some(id) = self.graph.find(&derivation.derivation) else { continue };
            let bytes: Option<Vec<u64>> =
                known_outputs(self.graph, id).map(|path| sizes.get(&*path).copied()).collect();
            if let Some(bytes) = bytes.as_ref().filter(|bytes| bytes.len() > 1) {
                let outputs = self.graph.node(id).outputs.iter().filter(|output| output.base.is_some());
                let names = outputs.map(|output| output.name.to_string());
                derivation.used.output_bytes = names.zip(bytes.iter().copied()).collect();
            }
            let outputs: Vec<String> = known_outputs(self.graph, id).collect();
            derivation.used.closure_bytes = closures.bytes(&outputs).filter(|_| bytes.is_some() && !outputs.is_empty());
            derivation.used.nar_bytes = bytes.filter(|bytes| !bytes.is_empty()).map(|bytes| bytes.iter().sum());
        }
    }

    /// Writes the hand-off's folder; what goes to a cache is pushed.
    pub fn hand_off(&self, infos: &[PathInfo], results: &Results, tracker: &mut Tracker) -> Result<HandedOff> {
        let HandOffPlace::Workspace(workspace) = &self.request.hand_off else { return Ok(HandedOff::default()) };
        let before = self.early.borrow();
        let left: Vec<PathInfo> = infos.iter().filter(|info| !before.infos.contains_key(&info.path)).cloned().collect();
        let bytes = infos.iter().map(|info| info.nar_size).sum::<u64>();
        tracker.say(
            &format!("handing off {} ({})", counted(infos.len() as u64, "path"), byte_size::text(bytes)),
            Instant::now(),
        );
        let written = self.write(workspace, &left)?;
        let dir = workspace.join(&self.request.job().id);
        realisation::write(&dir, &results.realisations)?;
        if let Some(registry) = &self.request.registry {
            registry.upload(&dir)?;
        }
        Ok(before.written.and(written))
    }

    /// Writes paths into the hand-off's folder in a workspace.
    pub fn write(&self, workspace: &Path, infos: &[PathInfo]) -> Result<HandedOff> {
        let dir = workspace.join(&self.request.job().id);
        let earlier = self.request.reuse.iter().flat_map(ReuseFolder::caches).collect::<Vec<_>>();
        Ok(partial_cache::write(&dir, infos, &earlier, self.request.signing.secret.as_ref())?.into())
    }
}

impl Derivations for JobWork<'_> {
    fn lock(&self, drv: &str) -> Lock {
        match self.graph.find(drv) {
            Some(id) if !self.graph.node(id).is_floating() => output_lock::of(known_outputs(self.graph, id)),
            _ => Lock::Held,
        }
    }

    fn producer(&self, base: &str) -> Option<String> {
        // Where a content-addressed output is built nobody knows before, but for its name.
        let known = self.producers.get(base).copied();
        known.or_else(|| self.floating_producer(store_path::name_of(base))).map(|id| self.graph.path(id))
    }
}

/// The same list, as calls of the store take it.
pub fn strs(paths: &[String]) -> Vec<&str> {
    paths.iter().map(String::as_str).collect()
}
