//! The stages of a job's run, in order: read the hand-offs, find out what this user may do, import the derivations, fetch what
//! an earlier run of the same job left, let the [`Guard`] bring in what others built, build, hand off.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use super::attempts::{Attempts, WAITS};
use super::guard::{self, Deliverers, Guard};
use super::outcome::{Results, known_outputs};
use super::output_lock::{self, Lock};
use super::progress::{Known, Tracker};
use super::push::Pusher;
use super::realise::Calls;
use super::record::{HandedOff, Missing, Outcome, Record, Role, Verdict};
use super::{
    Derivations, HandOff, OnMissing, Request, credentials, deliveries, hand_offs, interrupt, naming, outcome, push,
    realisation, restore, trust,
};
use crate::delivery::OnPushFailure;
use crate::graph::{DrvId, Graph};
use crate::handoff::merge::{self, HandOffs};
use crate::handoff::reuse::ReuseFolder;
use crate::handoff::{drv_file, partial_cache};
use crate::nix::signature::PublicKey;
use crate::nix::store::{self, Store};
use crate::nix::temporary_roots::TemporaryRoots;
use crate::plan::options::MAX_RETRIES;
use crate::private_file::PrivateFile;

/// Runs a job. `say` gets lines for people. A signal ends the run as a failure, Nix stopped and nothing half-written.
pub fn run(request: &Request, say: &mut dyn FnMut(&str)) -> Record {
    let start = Instant::now();
    let job = request.job();
    let mut record = Record::begin(&job.id, &job.name, &job.system);
    if let Err(error) = stages(request, &mut record, say) {
        record.errors.push(format!("{error:#}"));
    }
    record.verdict = record.judge();
    if let Some(signal) = interrupt::received().filter(|_| record.verdict == Verdict::Failure) {
        record.verdict = Verdict::Cancelled;
        record.cancelled_by = Some(signal.to_owned());
    }
    record.duration = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
    record
}

/// All stages. What has happened until an error is in the record.
fn stages(request: &Request, record: &mut Record, say: &mut dyn FnMut(&str)) -> Result<()> {
    let job = request.job();
    let here: Vec<&str> = job.builds().collect();
    record.damaged = hand_offs::adopt_earlier_results(request, say)?;
    let mut hand_offs = hand_offs::read(request)?;
    let deliverers = Deliverers::new(&request.plan, job);
    let final_job = request.plan.final_job(request.job);
    let mut roots = here.clone();
    roots.extend(final_job.into_iter().flat_map(|job| restore::derivations(job, &deliverers)));
    roots.extend(request.delivered());
    // Kept until the end: Nix reads it.
    let netrc = credentials::netrc(&request.plan.caches, say)?;
    // Kept until the end: while it lives, no collection of garbage takes what the job needs or leaves.
    let (store, held) = open_store(request, record, &roots, &hand_offs, netrc.as_ref().map(PrivateFile::path), say)?;
    let graph = Graph::load(roots.iter().copied(), Path::new(&request.plan.store_dir), &request.plan.store_dir)?;
    let work = Work::new(request, &graph, &here, &store, &held)?;

    deliveries::restrict(&mut hand_offs, request, &graph, &work.set)?;
    let reusable = work.reusable(&mut hand_offs);
    let wanted = work.wanted(&reusable);
    hand_offs::verify(&mut hand_offs, request, &wanted, say);
    let damaged: Vec<String> = hand_offs.damaged().iter().map(merge::Damaged::text).collect();
    damaged.iter().for_each(|problem| say(problem));
    record.damaged.extend(damaged);
    // Kept until the end: Nix reads from it.
    let (store, _merged) = hand_offs::link(store, &hand_offs, &request.plan.store_dir)?;
    let calls = Calls::new(&store, request, netrc.as_ref().map(PrivateFile::path))?;

    if let Some(final_job) = final_job.filter(|job| !job.restore.is_empty()) {
        say(&format!("restoring {} paths", final_job.outputs().count()));
    }
    work.say_what_is_not_delivered(say);
    let logs = request.results.as_ref().map(|dir| dir.join("logs"));
    let expected = here.iter().map(|&path| path.to_owned()).collect();
    let mut tracker = Tracker::new(Box::new(say), &work, expected, logs.clone(), Instant::now());
    tracker.print_logs(request.build_logs);
    let pusher = Pusher::start(&request.pushes, &store, &tracker.remarks());
    let (queue, built) = (pusher.queue(), &graph);
    tracker.on_built(Box::new(move |drv| {
        if let Some(id) = built.find(drv) {
            queue(&known_outputs(built, id).collect::<Vec<_>>());
        }
    }));
    let built = work.build(&calls, &hand_offs, reusable, record, &mut tracker);
    work.account(&store, built.as_ref().is_ok_and(|complete| *complete), record, &tracker)?;
    if let Some(logs) = &logs {
        outcome::keep_logs(logs, &record.derivations)?;
    }
    if let Err(error) = built {
        // What was built is there all the same, and is pushed as far as there is time.
        report_pushes(pusher.finish(&[], &[], &mut tracker), request, record);
        return Err(error);
    }
    if let Some(final_job) = final_job {
        restore::check(final_job, &deliverers, &store)?;
        if let Some(dir) = &request.restore {
            restore::link(final_job, dir, &store)?;
        }
    }
    let results = work.results(&store, record)?;
    // Before the pushes are waited for: no client stands between a build and the jobs that need it.
    record.handed_off = work.hand_off(&store, &results, &mut tracker)?;
    let mut others = work.built(record, &results);
    others.extend(work.delivered());
    let pushed = pusher.finish(&results.paths, &others, &mut tracker);
    if let Some(pushed) = &pushed.hand_off {
        record.handed_off.paths = pushed.paths;
    }
    report_pushes(pushed, request, record);
    record.keeps_results = request.reuse.is_some() || matches!(request.hand_off, HandOff::Cache(_));
    let delivered = guard::check(&record.missing, request.on_missing);
    let verdict = if delivered.is_ok() { record.judge() } else { Verdict::Failure };
    hand_offs::leave(request, verdict, &mut |line| tracker.say(line, Instant::now()));
    delivered
}

/// A store that has the job's derivations, and in which this user may do what the job needs.
fn open_store(
    request: &Request,
    record: &mut Record,
    here: &[&str],
    hand_offs: &HandOffs,
    netrc: Option<&Path>,
    say: &mut dyn FnMut(&str),
) -> Result<(Store, TemporaryRoots)> {
    let mut store = Store::find()?;
    record.nix = store.version().to_owned();
    for (name, value) in &request.options {
        store = store.with_option(name, value);
    }
    let held = TemporaryRoots::open(&store)?;
    let valid = held.hold(here.iter().copied())?;
    let import = !matches!(request.derivations, Derivations::Store) && here.iter().any(|&path| !valid.contains(path));
    let caches = request.plan.caches.options();
    if import || !hand_offs.is_empty() || !caches.is_empty() || matches!(request.hand_off, HandOff::Cache(_)) {
        store = trust::establish(store)?;
        if store.uses_sudo() {
            say("the Nix daemon does not trust this user: going through sudo");
        }
    }
    for (name, value) in &caches {
        store = store.with_option(name, value);
    }
    if let Some(path) = netrc {
        store = store.with_option("netrc-file", &path.to_string_lossy());
    }
    if let HandOff::Cache(url) = &request.hand_off {
        // A path that was asked for before it was pushed would stay missing.
        store = store.with_option("narinfo-cache-negative-ttl", "0").with_option("extra-substituters", url);
        let keys: Vec<String> = request.signing.trusted.iter().map(PublicKey::to_string).collect();
        if !keys.is_empty() {
            store = store.with_option("extra-trusted-public-keys", &keys.join(" "));
        }
    }
    if import {
        import_derivations(request, here, &store, say)?;
    }
    Ok((store, held))
}

fn import_derivations(request: &Request, here: &[&str], store: &Store, say: &mut dyn FnMut(&str)) -> Result<()> {
    match &request.derivations {
        Derivations::Bundle(bundle) => {
            let closure = bundle.closure(here)?;
            let (paths, bytes) = closure.size();
            say(&format!("importing {paths} derivations and sources ({bytes} bytes)"));
            fetch_sources(store, &closure.absent())?;
            store.import(|out| closure.export(out))
        }
        Derivations::Folder(dir) => {
            let closure = drv_file::closure(here.iter().copied(), dir)?;
            say(&format!("importing {} derivations", closure.files.len()));
            fetch_sources(store, &closure.sources.iter().map(String::as_str).collect::<Vec<_>>())?;
            store.import(|out| drv_file::export(&closure.files, out))
        }
        Derivations::Store => Ok(()),
    }
}

/// Sources that did not come with the derivations: where the store lacks them too, only a substituter can help.
fn fetch_sources(store: &Store, paths: &[&str]) -> Result<()> {
    let absent = if paths.is_empty() { Vec::new() } else { store.invalid(paths)? };
    if absent.is_empty() {
        return Ok(());
    }
    for share in store::shares(&strs(&absent)) {
        let mut command = store.command(&["--realise"]);
        command.args(share);
        let output = store::run(&mut command)?;
        ensure!(
            output.status.success(),
            "sources that derivations name cannot be fetched: {} (a bundle made on a machine whose store has them brings them)",
            store::complaint(&output.stderr)
        );
    }
    Ok(())
}

/// What a job has to do, and what of it was done before.
struct Work<'a> {
    request: &'a Request,
    graph: &'a Graph,
    /// Holds what the job needs and leaves.
    held: &'a TemporaryRoots,
    /// What the job owns and repeats, in build order.
    ids: Vec<DrvId>,
    set: HashSet<DrvId>,
    /// Outputs of these, as far as their paths are known, that the store did not have when the job began.
    absent: HashSet<String>,
    /// The derivation of each output whose path is known, by the path's base name.
    producers: HashMap<&'a str, DrvId>,
}

impl<'a> Work<'a> {
    fn new(
        request: &'a Request,
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
        let mut work = Work { request, graph, held, ids, set, absent, producers };
        // Before the store is asked what it has: that must not go away any more.
        held.hold(work.outputs().iter().chain(&work.wanted(&BTreeSet::new())).map(String::as_str))?;
        work.absent = work.invalid(store)?;
        Ok(work)
    }

    /// Outputs of the job's derivations that are not valid.
    fn invalid(&self, store: &Store) -> Result<HashSet<String>> {
        Ok(invalid(store, &self.outputs())?.into_iter().collect())
    }

    /// Outputs of the job's derivations, as far as their paths are known.
    fn outputs(&self) -> Vec<String> {
        self.ids.iter().flat_map(|&id| known_outputs(self.graph, id)).collect()
    }

    /// Derivations that need not be built: all their outputs are valid, or an earlier run of this job left them.
    fn reusable(&self, hand_offs: &mut HandOffs) -> BTreeSet<DrvId> {
        hand_offs.verify(self.absent.iter().map(String::as_str));
        self.set
            .iter()
            .copied()
            .filter(|&id| {
                let is_there = |path: String| !self.absent.contains(&path) || hand_offs.get(&path).is_some();
                !self.graph.node(id).is_floating() && known_outputs(self.graph, id).all(is_there)
            })
            .collect()
    }

    fn building(&self, reusable: &BTreeSet<DrvId>) -> Vec<DrvId> {
        self.ids.iter().copied().filter(|id| !reusable.contains(id)).collect()
    }

    /// What has to come from elsewhere.
    fn wanted(&self, reusable: &BTreeSet<DrvId>) -> Vec<String> {
        let mut wanted: BTreeSet<String> =
            guard::wanted(self.graph, &self.building(reusable), &self.set).into_keys().collect();
        wanted.extend(self.restored());
        wanted.into_iter().collect()
    }

    /// Fetches and builds; true where everything succeeded.
    fn build(
        &self,
        calls: &Calls,
        hand_offs: &HandOffs,
        mut reusable: BTreeSet<DrvId>,
        record: &mut Record,
        tracker: &mut Tracker,
    ) -> Result<bool> {
        // By path, since Nix builds some derivations again even where a substituter has them.
        let earlier: Vec<String> = reusable
            .iter()
            .flat_map(|&id| known_outputs(self.graph, id))
            .filter(|path| self.absent.contains(path))
            .collect();
        if !earlier.is_empty() && !calls.fetch(&strs(&earlier), tracker)? {
            let failed: HashSet<String> = invalid(calls.store(), &earlier)?.into_iter().collect();
            reusable.retain(|&id| !known_outputs(self.graph, id).any(|path| failed.contains(&path)));
        }
        let wanted = self.wanted(&reusable);
        let deliverers = Deliverers::new(&self.request.plan, self.request.job());
        let guard = Guard {
            calls,
            held: self.held,
            graph: self.graph,
            here: &self.set,
            hand_offs,
            deliverers: &deliverers,
            on_missing: self.request.on_missing,
            waits: RefCell::new(WAITS.into_iter().take(self.retries()).collect::<Vec<_>>().into_iter()),
            producers: &self.producers,
        };
        record.missing = guard.bring(&strs(&wanted), tracker)?;
        // What may fail is built once, in its own job.
        let has_failed = |missing: &Missing| !missing.built && deliverers.may_fail(missing.job.as_deref());
        if self.request.on_missing == OnMissing::Fail || record.missing.iter().any(has_failed) {
            guard::check(&record.missing, OnMissing::Fail)?;
        }
        let attempts = Attempts {
            calls,
            retries: self.retries() as u32,
            make_room: &|tracker| self.make_room(calls.store(), tracker),
            graph: self.graph,
        };
        attempts.build(self.building(&reusable), tracker)
    }

    /// How often something is tried again that failed for a reason that may go away.
    fn retries(&self) -> usize {
        self.request.job().options.retries.unwrap_or(MAX_RETRIES) as usize
    }

    /// Frees what the job has fetched and nothing left in it needs. What was in the store before is not the job's to remove.
    fn make_room(&self, store: &Store, tracker: &mut Tracker) -> Result<usize> {
        let outputs = self.outputs();
        let absent: HashSet<String> = invalid(store, &outputs)?.into_iter().collect();
        let open: Vec<DrvId> = self
            .ids
            .iter()
            .copied()
            .filter(|&id| known_outputs(self.graph, id).any(|path| absent.contains(&path)))
            .collect();
        let mut keep = guard::wanted(self.graph, &open, &self.set).into_keys().collect::<Vec<_>>();
        keep.extend(self.restored());
        keep.extend(outputs.iter().filter(|path| !absent.contains(*path)).cloned());
        keep.extend(self.ids.iter().map(|&id| self.graph.path(id)));
        let gone: HashSet<String> = invalid(store, &keep)?.into_iter().collect();
        let valid: Vec<&str> = keep.iter().map(String::as_str).filter(|path| !gone.contains(*path)).collect();
        let alive: HashSet<String> = store.requisites(&valid)?.into_iter().collect();
        // What failed builds have left is not valid, and is in the way as well.
        let fetched = tracker.ledger().fetched().keys().filter(|path| !alive.contains(*path));
        let mut free: Vec<String> = fetched.chain(&absent).cloned().collect();
        free.retain(|path| Path::new(path).exists());
        if free.is_empty() {
            return Ok(0);
        }
        self.held.narrow(keep.iter().map(String::as_str))?;
        store.delete(&strs(&free))?;
        self.held.hold(outputs.iter().map(String::as_str))?;
        let freed = free.iter().filter(|path| !Path::new(path).exists()).count();
        let line = format!("the disk is full: {freed} paths are removed that nothing left in this job needs");
        tracker.say(&line, Instant::now());
        Ok(freed)
    }

    /// Outputs that a final job's command finds.
    fn restored(&self) -> impl Iterator<Item = String> {
        let job = self.request.plan.final_job(self.request.job);
        job.into_iter().flat_map(|job| job.outputs().map(|output| output.path.clone())).chain(self.delivered())
    }

    /// Outputs that the job pushes although others have built them.
    fn delivered(&self) -> impl Iterator<Item = String> {
        self.delivered_ids().flat_map(|id| known_outputs(self.graph, id))
    }

    fn delivered_ids(&self) -> impl Iterator<Item = DrvId> {
        self.request.delivered().filter_map(|drv| self.graph.find(drv))
    }

    /// Content-addressed outputs that no target is: their paths are known to those that have built them.
    fn say_what_is_not_delivered(&self, say: &mut dyn FnMut(&str)) {
        let floating = self.delivered_ids().filter(|&id| self.graph.node(id).is_floating()).count();
        if floating > 0 {
            say(&format!(
                "warning: {floating} content-addressed derivations are not signed: the plan does not know their outputs"
            ));
        }
    }

    /// Puts down what became of each derivation.
    fn account(&self, store: &Store, complete: bool, record: &mut Record, tracker: &Tracker) -> Result<()> {
        record.fetched = tracker.ledger().fetched().len() as u64;
        let after = if complete { HashSet::new() } else { self.invalid(store)? };
        record.derivations = outcome::derivations(&outcome::Facts {
            graph: self.graph,
            job: self.request.job(),
            before: &self.absent,
            after: &after,
            complete,
            cancelled: interrupt::received().is_some(),
            tracker,
        });
        naming::name(&mut record.derivations, self.request, self.graph);
        // Where everything is there in the end, they are about what was tried again.
        let is_open = record.derivations.iter().any(|drv| !drv.outcome.is_good());
        record.errors.extend(tracker.messages().filter(|_| is_open).cloned());
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

    /// What the job hands on.
    fn results(&self, store: &Store, record: &Record) -> Result<Results> {
        if self.request.hand_off == HandOff::None {
            return Ok(Results::default());
        }
        let results = outcome::results(store, self.graph, &record.derivations)?;
        // Paths of content-addressed outputs are not known before.
        self.held.hold(results.paths.iter().map(String::as_str))?;
        Ok(results)
    }

    /// The outputs of everything that was built here.
    fn built(&self, record: &Record, results: &Results) -> Vec<String> {
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

    /// Writes the hand-off's folder; what goes to a cache is pushed.
    fn hand_off(&self, store: &Store, results: &Results, tracker: &mut Tracker) -> Result<HandedOff> {
        match &self.request.hand_off {
            HandOff::Workspace(workspace) => {
                let infos =
                    if results.paths.is_empty() { Vec::new() } else { store.path_infos(&strs(&results.paths))? };
                let bytes = infos.iter().map(|info| info.nar_size).sum::<u64>();
                tracker.say(&format!("handing off {} paths ({bytes} bytes)", infos.len()), Instant::now());
                let dir = workspace.join(&self.request.job().id);
                let earlier = self.request.reuse.iter().flat_map(ReuseFolder::caches).collect::<Vec<_>>();
                let written = partial_cache::write(&dir, &infos, &earlier, self.request.signing.secret.as_ref())?;
                realisation::write(&dir, &results.realisations)?;
                if let Some(registry) = &self.request.registry {
                    registry.upload(&dir)?;
                }
                Ok(written.into())
            }
            HandOff::Cache(_) | HandOff::None => Ok(HandedOff::default()),
        }
    }
}

impl Known for Work<'_> {
    fn lock(&self, drv: &str) -> Lock {
        match self.graph.find(drv) {
            Some(id) if !self.graph.node(id).is_floating() => output_lock::of(known_outputs(self.graph, id)),
            _ => Lock::Held,
        }
    }

    fn producer(&self, base: &str) -> Option<String> {
        self.producers.get(base).map(|&id| self.graph.path(id))
    }
}

/// Puts down what became of the destinations. The hand-off has to arrive; the others as the user says.
fn report_pushes(outcome: push::Outcome, request: &Request, record: &mut Record) {
    let is_fatal = request.pushes.on_failure == OnPushFailure::Fail;
    let beside = outcome.beside.into_iter().map(|pushed| (is_fatal, pushed));
    for (is_fatal, pushed) in outcome.hand_off.into_iter().map(|pushed| (true, pushed)).chain(beside) {
        if is_fatal && pushed.error.is_some() {
            record.errors.push(pushed.text());
        }
        record.pushed.push(pushed);
    }
}

fn strs(paths: &[String]) -> Vec<&str> {
    paths.iter().map(String::as_str).collect()
}

fn invalid(store: &Store, paths: &[String]) -> Result<Vec<String>> {
    if paths.is_empty() { Ok(Vec::new()) } else { store.invalid(&strs(paths)) }
}
