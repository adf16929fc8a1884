//! The runner inside a job: brings in what the job needs, builds what it owns, hands it on.
//!
//! In: a [`Request`]. Out: a [`Record`] of everything that happened, whatever the outcome; lines for people while it happens.

pub mod guard;
pub mod interrupt;
pub mod junit;
pub mod outcome;
pub mod progress;
pub mod realise;
pub mod realisation;
pub mod record;
pub mod report;
pub mod trust;

use std::collections::{BTreeSet, HashSet};
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime};

use anyhow::{Context, Result, bail};

use crate::graph::{DrvId, Graph};
use crate::handoff::bundle::Bundle;
use crate::handoff::merge::{self, HandOffs, Source};
use crate::handoff::{partial_cache, path_archive};
use crate::nix::store::Store;
use crate::plan::{Job, JobIndex, Plan};
use guard::{Deliverers, Guard};
use progress::Tracker;
use realise::realise;
use record::{HandedOff, Missing, Record, Verdict};

/// What to do about an output that should have been delivered and was not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnMissing {
    /// Stop before anything is built.
    Fail,
    /// Build it here, and say so.
    Build,
}

/// Where the job's derivations come from.
#[derive(Debug)]
pub enum Derivations {
    /// A bundle.
    Bundle(Bundle),
    /// A folder of `.drv` files by their base names.
    Folder(PathBuf),
    /// The store, which has them already.
    Store,
}

/// How results travel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HandOff {
    /// Each job writes a folder, `<workspace>/<job id>`.
    Workspace(PathBuf),
    /// Each job copies its results to this store, and later ones fetch them from there.
    Cache(String),
    /// Results stay in the store of this machine.
    None,
}

/// What to run.
#[derive(Debug)]
pub struct Request {
    /// The plan.
    pub plan: Plan,
    /// The job.
    pub job: JobIndex,
    /// Where its derivations come from.
    pub derivations: Derivations,
    /// How results travel.
    pub hand_off: HandOff,
    /// Where logs of failed builds go.
    pub results: Option<PathBuf>,
    /// What to do about missing outputs.
    pub on_missing: OnMissing,
    /// Settings for Nix, beside the user's own.
    pub options: Vec<(String, String)>,
}

impl Request {
    fn job(&self) -> &Job {
        &self.plan.jobs[self.job.at()]
    }
}

/// Runs a job. `say` gets lines for people. A signal ends the run as a failure, Nix stopped and nothing half-written.
pub fn run(request: &Request, say: &mut dyn FnMut(&str)) -> Record {
    let start = Instant::now();
    let job = request.job();
    let mut record = Record {
        version: record::VERSION,
        job: job.id.clone(),
        name: job.name.clone(),
        system: job.system.clone(),
        nix: String::new(),
        started: SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs()),
        duration: 0,
        verdict: Verdict::Success,
        errors: Vec::new(),
        derivations: Vec::new(),
        missing: Vec::new(),
        damaged: Vec::new(),
        fetched: 0,
        handed_off: HandedOff::default(),
    };
    if let Err(error) = stages(request, &mut record, say) {
        record.errors.push(format!("{error:#}"));
    }
    if !record.errors.is_empty() || record.derivations.iter().any(|drv| !drv.outcome.is_good()) {
        record.verdict = Verdict::Failure;
    }
    record.duration = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
    record
}

fn stages(request: &Request, record: &mut Record, say: &mut dyn FnMut(&str)) -> Result<()> {
    let (plan, job) = (&request.plan, request.job());
    let here: Vec<&str> = job.derivations.iter().chain(&job.co_located).map(|path| &**path).collect();
    let mut store = Store::find()?;
    record.nix = store.version().to_owned();
    for (name, value) in &request.options {
        store = store.with_option(name, value);
    }

    let mut hand_offs = read_hand_offs(request)?;
    let import = matches!(request.derivations, Derivations::Bundle(_) | Derivations::Folder(_))
        && !store.invalid(&here)?.is_empty();
    if import || !hand_offs.is_empty() || matches!(request.hand_off, HandOff::Cache(_)) {
        store = trust::establish(store)?;
    }
    if let HandOff::Cache(url) = &request.hand_off {
        // A path that was asked for before it was pushed would stay missing.
        store = store.with_option("narinfo-cache-negative-ttl", "0").with_option("extra-substituters", url);
    }
    if import {
        say("importing the job's derivations");
        import_derivations(&request.derivations, &here, &store, plan)?;
    }
    let graph = Graph::load(here.iter().copied(), Path::new(&plan.store_dir), &plan.store_dir)?;

    let ids: Vec<DrvId> = here
        .iter()
        .map(|path| graph.find(path).with_context(|| format!("`{path}` is not among the derivations")))
        .collect::<Result<_>>()?;
    let set: HashSet<DrvId> = ids.iter().copied().collect();
    let outputs: Vec<String> = ids.iter().flat_map(|&id| known_outputs(&graph, id)).collect();
    let absent: HashSet<String> = invalid(&store, &outputs)?.into_iter().collect();

    // What an earlier run of this job left in the CI's cache need not be built again.
    hand_offs.verify(outputs.iter().filter(|path| absent.contains(*path)).map(String::as_str));
    let mut reusable: BTreeSet<DrvId> = set
        .iter()
        .copied()
        .filter(|&id| {
            let mut outputs = known_outputs(&graph, id).peekable();
            !graph.node(id).is_floating()
                && outputs.peek().is_some()
                && outputs.all(|path| !absent.contains(&path) || hand_offs.get(&path).is_some())
        })
        .collect();
    let building = |reusable: &BTreeSet<DrvId>| -> Vec<DrvId> {
        ids.iter().copied().filter(|id| !reusable.contains(id)).collect()
    };
    let wanted = guard::wanted(&graph, &building(&reusable), &set);
    hand_offs.verify(wanted.keys().map(String::as_str));
    record.damaged = hand_offs.damaged().iter().map(|damaged| damaged.text()).collect();
    record.damaged.iter().for_each(|problem| say(problem));

    let merged = tempfile::Builder::new().prefix("nixdag-substituter-").tempdir().context("cannot make a folder")?;
    if !hand_offs.is_empty() {
        let folder = merged.path().join("cache");
        open_to_others(merged.path())?;
        hand_offs.link(&folder, &plan.store_dir)?;
        store = store.with_option("extra-substituters", &merge::substituter(&folder));
    }

    let logs = request.results.as_ref().map(|dir| dir.join("logs"));
    let store_dir = plan.store_dir.clone();
    let is_locked = |drv: &str| match graph.find(drv) {
        Some(id) if !graph.node(id).is_floating() => {
            known_outputs(&graph, id).any(|path| Path::new(&format!("{path}.lock")).exists())
        }
        _ => true,
    };
    let expected = here.iter().map(|&path| path.to_owned()).collect();
    let mut tracker =
        Tracker::new(Box::new(say), Box::new(is_locked), expected, logs.clone(), SystemTime::now());
    let deliverers = Deliverers::new(plan, job);
    let mut run = || -> Result<(Vec<Missing>, bool)> {
        let fetch: Vec<String> = reusable
            .iter()
            .flat_map(|&id| known_outputs(&graph, id))
            .filter(|path| absent.contains(path))
            .collect();
        if !fetch.is_empty() && !realise(&store, &strs(&fetch), &mut tracker)? {
            let failed: HashSet<String> = invalid(&store, &fetch)?.into_iter().collect();
            reusable.retain(|&id| !known_outputs(&graph, id).any(|path| failed.contains(&path)));
        }
        let building = building(&reusable);
        let wanted = guard::wanted(&graph, &building, &set);
        let paths: Vec<&str> = wanted.keys().map(String::as_str).collect();
        let guard = Guard {
            store: &store,
            graph: &graph,
            hand_offs: &hand_offs,
            deliverers: &deliverers,
            on_missing: request.on_missing,
        };
        let missing = guard.bring(&paths, &mut tracker)?;
        if guard::check(&missing, request.on_missing).is_err() && request.on_missing == OnMissing::Fail {
            return Ok((missing, false));
        }
        let drvs: Vec<String> = building.iter().map(|&id| graph.path(id)).collect();
        let complete = drvs.is_empty() || realise(&store, &strs(&drvs), &mut tracker)?;
        Ok((missing, complete))
    };
    let ran = run();
    if let Ok((missing, _)) = &ran {
        record.missing = missing.clone();
    }
    let complete = ran.as_ref().is_ok_and(|(_, complete)| *complete);
    record.fetched = tracker.fetched().len() as u64;
    let absent_now: HashSet<String> =
        if complete { HashSet::new() } else { invalid(&store, &outputs)?.into_iter().collect() };
    let facts = outcome::Facts { graph: &graph, job, before: &absent, after: &absent_now, tracker: &tracker };
    record.derivations = outcome::derivations(&facts);
    record.errors.extend(tracker.messages().iter().cloned());
    if let Some(logs) = &logs {
        outcome::keep_failed_logs(logs, &record.derivations)?;
    }
    drop(tracker);
    let (missing, _) = ran?;
    let verdict = guard::check(&missing, request.on_missing);
    if request.on_missing == OnMissing::Fail && verdict.is_ok() {
        let others: Vec<&str> = record
            .derivations
            .iter()
            .filter(|drv| drv.role == record::Role::Other && drv.outcome == record::Outcome::Built)
            .map(|drv| drv.derivation.as_str())
            .collect();
        if !others.is_empty() {
            record.errors.push(format!("Nix built what belongs to other jobs: {}", others.join(", ")));
        }
    }

    record.handed_off = hand_off(request, &store, &graph, &ids, record, &store_dir)?;
    verdict
}

impl merge::Damaged {
    /// One line for people.
    pub fn text(&self) -> String {
        format!("hand-off of job `{}`: {}", self.job, self.problem)
    }
}

/// The job's own earlier results first, then those of its inputs in the order of their ids.
fn read_hand_offs(request: &Request) -> Result<HandOffs> {
    let HandOff::Workspace(workspace) = &request.hand_off else { return HandOffs::read(Vec::new()) };
    let own = request.job();
    partial_cache::clean(&workspace.join(&own.id))?;
    let mut ids: Vec<&str> = own.inputs.iter().map(|input| request.plan.jobs[input.at()].id.as_str()).collect();
    ids.sort_unstable();
    ids.insert(0, &own.id);
    HandOffs::read(ids.into_iter().map(|id| Source { job: id.to_owned(), dir: workspace.join(id) }).collect())
}

fn import_derivations(derivations: &Derivations, here: &[&str], store: &Store, plan: &Plan) -> Result<()> {
    match derivations {
        Derivations::Bundle(bundle) => {
            let closure = bundle.closure(here)?;
            let absent = closure.absent();
            if !absent.is_empty() {
                fetch_sources(store, &absent)?;
            }
            store.import(|out| closure.export(out))
        }
        Derivations::Folder(dir) => {
            let graph = Graph::load(here.iter().copied(), dir, &plan.store_dir)?;
            let paths: Vec<String> = graph.ids().map(|id| graph.path(id)).collect();
            store.import(|out| path_archive::export_files(&paths, dir, out))
        }
        Derivations::Store => Ok(()),
    }
}

/// Sources that the planning machine did not have either: only a substituter can help.
fn fetch_sources(store: &Store, paths: &[&str]) -> Result<()> {
    let absent = store.invalid(paths)?;
    if absent.is_empty() {
        return Ok(());
    }
    let mut command = store.command(&["--realise"]);
    command.args(&absent);
    let output = crate::nix::store::run(&mut command)?;
    if !output.status.success() {
        bail!(
            "sources that the bundle lacks cannot be fetched: {} (make the plan on a machine whose store has them)",
            crate::nix::store::complaint(&output.stderr)
        );
    }
    Ok(())
}

fn hand_off(
    request: &Request,
    store: &Store,
    graph: &Graph,
    ids: &[DrvId],
    record: &mut Record,
    store_dir: &str,
) -> Result<HandedOff> {
    let job = request.job();
    let paths = match &request.hand_off {
        HandOff::None => return Ok(HandedOff::default()),
        _ => outcome::results(store, graph, job, ids, &record.derivations)?,
    };
    match &request.hand_off {
        HandOff::Workspace(workspace) => {
            let dir = workspace.join(&job.id);
            let infos = store.path_infos(&strs(&paths.all()))?;
            let written = partial_cache::write(&dir, &infos)?;
            realisation::write(&dir, &paths.realisations)?;
            let _ = store_dir;
            Ok(written.into())
        }
        HandOff::Cache(url) => {
            realisation::copy_to(store, url, &paths)?;
            Ok(HandedOff { paths: paths.all().len() as u64, ..HandedOff::default() })
        }
        HandOff::None => Ok(HandedOff::default()),
    }
}

/// A daemon is another user.
fn open_to_others(dir: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o755))
        .with_context(|| format!("cannot change `{}`", dir.display()))
}

fn known_outputs(graph: &Graph, id: DrvId) -> impl Iterator<Item = String> {
    graph.node(id).outputs.iter().filter_map(|output| output.base.as_deref()).map(|base| graph.full_path(base))
}

fn strs(paths: &[String]) -> Vec<&str> {
    paths.iter().map(String::as_str).collect()
}

fn invalid(store: &Store, paths: &[String]) -> Result<Vec<String>> {
    if paths.is_empty() { Ok(Vec::new()) } else { store.invalid(&strs(paths)) }
}
