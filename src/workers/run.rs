//! Runs a worker: what the rules say next is asked of the store or built.
//!
//! In: a [`WorkerRequest`]. Out: a [`Record`] of everything that was built here; lines for people meanwhile. Builds run in threads, each by the code of `nixdag build` as a job of the plan that takes
//! from the jobs before it; requests to the store are made one after the other, but for the signs of life.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::Scope;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use super::absence::Absence;
use super::budget::Budget;
use super::courier::Courier;
use super::groups::Groups;
use super::inputs::Inputs;
use super::isolation;
use super::maker::{Life, StoredName};
use super::name::Outcome;
use super::package;
use super::planned::PlannedTasks;
use super::record;
use super::results::Results;
use super::signs;
use super::stores::NameStore;
use super::task_lines::TaskLines;
use super::tasks::{Task, WorkerNumber};
use super::worker::{Answer, Request, Step, Worker};
use crate::build::job_store::JobStore;
use crate::build::record::{Outcome as Ending, Record, Verdict};
use crate::build::{HandOffPlace, JobRequest, credentials, interrupt, stages};
use crate::duration::in_words;
use crate::graph::Graph;
use crate::handoff::merge::{HandOffs, Nars};
use crate::handoff::partial_cache;
use crate::nix::store::Store;
use crate::nix::temporary_roots::TemporaryRoots;
use crate::private_file::PrivateFile;

/// How often the thread with signs of life looks for the end.
const LOOK: Duration = Duration::from_millis(20);

/// How often a worker that waits says what it waits for.
const NEWS: Duration = Duration::from_secs(60);

/// What to run.
pub struct WorkerRequest {
    /// Everything that the worker's machine builds, as a job; see [`crate::plan::worker_job`]. Its workspace is this worker's own.
    pub job: JobRequest,
    /// Which worker of the plan it is.
    pub number: WorkerNumber,
    /// Where workers talk.
    pub store: Box<dyn NameStore>,
    /// How often it looks while it waits.
    pub poll: Duration,
    /// After how long without a sign another worker is taken for dead.
    pub silence: Duration,
    /// Whether what was built stays in the job's workspace, for jobs behind the workers.
    pub keeps_results: bool,
    /// How what is said of a task is put together in the log.
    pub groups: Groups,
    /// For what is on its way, as long as the worker runs.
    pub scratch: TempDir,
}

/// What a thread that has built says.
struct Ended {
    task: Task,
    record: Result<Record>,
    package: Option<PathBuf>,
    lines: Vec<String>,
}

/// Runs a worker.
pub fn run(request: &WorkerRequest, say: &mut dyn FnMut(&str)) -> Record {
    let start = Instant::now();
    let job = request.job.job();
    let mut record = Record::begin(&job.id, &job.name, &job.system);
    record.resource_class = job.resource_class.clone();
    record.measured.start_up = crate::build::usage::age_of_the_machine();
    if let Err(error) = work(request, &mut record, say) {
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

fn work(request: &WorkerRequest, record: &mut Record, say: &mut dyn FnMut(&str)) -> Result<()> {
    let plan = &request.job.plan;
    let planned = PlannedTasks::new(plan, request.number)?;
    let scratch = request.scratch.path();
    // Kept until the end: Nix reads it.
    let netrc = credentials::netrc(&plan.caches, say)?;
    let machine = Machine::open(request, netrc.as_ref().map(PrivateFile::path), say)?;
    record.nix = machine.nix.version().to_owned();
    let results = Results::default();
    let workspace = match &request.job.hand_off {
        HandOffPlace::Workspace(workspace) => Some(&**workspace),
        // Nix fetches from there.
        HandOffPlace::Cache(_) | HandOffPlace::None => None,
    };
    let inputs = Inputs::new(&*request.store, plan, &planned, &machine.graph, &results, workspace);
    let most_names = [request.store.most_names(), planned.most_names].into_iter().flatten().min();
    let (is_over, budget) = (AtomicBool::new(false), Budget::new(most_names));
    let silence = request.silence;
    let courier = Courier::new(&*request.store, &planned, &results, request.number, silence, (scratch, &budget))?;
    std::thread::scope(|scope| {
        let life = courier.makers.life.clone();
        let (over, budget) = (&is_over, &budget);
        scope.spawn(move || leave_signs(request, &life, scratch, over, budget));
        let mut run = Run {
            request,
            planned: &planned,
            machine: &machine,
            inputs: &inputs,
            scratch,
            worker: Worker::new(request.number, &planned.tasks),
            courier,
            building: BTreeMap::new(),
            done: 0,
            absence: Absence::new(request.silence, Instant::now()),
            failed_before: None,
            record,
            say,
        };
        let ended = run.all(scope);
        is_over.store(true, Ordering::Relaxed);
        ended
    })
}

/// Leaves signs of life until it is over, as long as there are names for them. What cannot be left is left later.
fn leave_signs(request: &WorkerRequest, life: &Life, scratch: &Path, is_over: &AtomicBool, budget: &Budget) {
    let file = scratch.join("sign");
    if std::fs::write(&file, "").is_err() {
        return;
    }
    for number in 0.. {
        if budget.sign() {
            let _ = request.store.create(&StoredName::Sign(life.clone(), number).text(), &file);
        }
        let next = Instant::now() + signs::gap(request.silence, number, budget.is_bounded());
        while Instant::now() < next {
            if is_over.load(Ordering::Relaxed) {
                return;
            }
            std::thread::sleep(LOOK);
        }
    }
}

/// The store of this machine with all derivations that the worker may build, held for as long as it runs.
struct Machine {
    nix: Store,
    held: TemporaryRoots,
    graph: Graph,
}

impl Machine {
    fn open(request: &WorkerRequest, netrc: Option<&Path>, say: &mut dyn FnMut(&str)) -> Result<Self> {
        let job = &request.job;
        let derivations: Vec<&str> = job.job().builds().collect();
        let hand_offs = HandOffs::read(Vec::new(), Nars::Here)?;
        let job_store = JobStore { request: job, derivations: &derivations, hand_offs: &hand_offs, netrc };
        let (nix, held) = job_store.open(Store::find()?, say)?;
        isolation::check(&nix, &own_paths(request))?;
        let graph = Graph::load(derivations, Path::new(&job.plan.store_dir), &job.plan.store_dir)?;
        Ok(Self { nix, held, graph })
    }
}

/// Where on this machine a builder could change what this worker or others believe.
fn own_paths(request: &WorkerRequest) -> Vec<PathBuf> {
    let handed_on = match &request.job.hand_off {
        HandOffPlace::Workspace(workspace) => Some(workspace.clone()),
        HandOffPlace::Cache(url) => {
            url.strip_prefix("file://").and_then(|path| path.split('?').next()).map(PathBuf::from)
        }
        HandOffPlace::None => None,
    };
    let names = request.store.folder().map(Path::to_owned);
    [Some(request.scratch.path().to_owned()), handed_on, names].into_iter().flatten().collect()
}

struct Run<'a, 'say> {
    request: &'a WorkerRequest,
    planned: &'a PlannedTasks,
    machine: &'a Machine,
    inputs: &'a Inputs<'a>,
    scratch: &'a Path,
    worker: Worker,
    courier: Courier<'a>,
    /// What is being built, and since when.
    building: BTreeMap<Task, Instant>,
    done: u32,
    absence: Absence,
    /// What had failed when this worker first looked.
    failed_before: Option<Vec<Task>>,
    record: &'say mut Record,
    say: &'say mut dyn FnMut(&str),
}

impl<'a> Run<'a, '_> {
    /// Everything until the worker leaves.
    fn all<'scope>(&mut self, scope: &'scope Scope<'scope, 'a>) -> Result<()> {
        let (sender, receiver) = mpsc::channel();
        let mut news = Instant::now();
        loop {
            if let Some(signal) = interrupt::received() {
                // Builds end by themselves then, and nothing of them is left.
                self.record.errors.push(format!("stopped by {signal}"));
                return Ok(());
            }
            match self.worker.step(&self.planned.tasks) {
                Step::Ask(Request::Claim(..)) if !self.has_room() => self.worker.cannot_claim(),
                Step::Ask(request) => {
                    let answer = self.courier.ask(request)?;
                    let is_listed = matches!(answer, Answer::Listed(_));
                    self.worker.answered(request, answer);
                    if is_listed && self.failed_before.is_none() {
                        self.failed_before = Some(self.worker.failed());
                    }
                    self.courier.suspect(&mut self.worker);
                }
                Step::Build(task) => self.begin(task, scope, sender.clone()),
                Step::Wait => {
                    match receiver.recv_timeout(self.request.poll) {
                        Ok(ended) => self.ended(ended)?,
                        Err(RecvTimeoutError::Timeout) => {
                            self.look_for_others()?;
                            self.worker.wake();
                        }
                        Err(RecvTimeoutError::Disconnected) => {}
                    }
                    if news.elapsed() > NEWS {
                        news = Instant::now();
                        self.say_news();
                    }
                }
                Step::Leave => {
                    let dropped = self.worker.dropped();
                    if dropped > 0 {
                        (self.say)(&format!("{dropped} built in vain, since another worker has the claim"));
                    }
                    self.say_what_had_failed();
                    return Ok(());
                }
            }
            while let Ok(ended) = receiver.try_recv() {
                self.ended(ended)?;
            }
        }
    }

    fn begin<'scope>(&mut self, task: Task, scope: &'scope Scope<'scope, 'a>, sender: Sender<Ended>) {
        self.building.insert(task, Instant::now());
        self.courier.budget.owes(self.building.len());
        let (request, machine, inputs) = (self.request, self.machine, self.inputs);
        let (job, scratch) = (self.planned.job(task), self.scratch);
        scope.spawn(move || {
            let mut said = TaskLines::default();
            let mut keep = |line: &str| said.push(line);
            let job = request.job.beside(job);
            let record = inputs.bring(task, &machine.nix, &mut keep).map(|()| stages::run(&job, &mut keep));
            let package = record.as_ref().ok().map(|record| pack(record, task, inputs, scratch, request.keeps_results));
            let (record, package) = match package.transpose() {
                Ok(package) => (record, package),
                Err(error) => (Err(error), None),
            };
            // Nobody hears it where the worker has ended.
            let _ = sender.send(Ended { task, record, package, lines: said.lines() });
        });
    }

    fn ended(&mut self, ended: Ended) -> Result<()> {
        let Ended { task, record, package, lines } = ended;
        let since = self.building.remove(&task).context("a build has ended that was not begun")?;
        let name = &self.request.job.plan.job(self.planned.job(task)).name;
        let record = record.with_context(|| format!("job `{name}`"))?;
        if record.verdict == Verdict::Cancelled {
            return Ok(());
        }
        let is_built = record.verdict == Verdict::Success;
        let took = in_words(u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX));
        self.done += 1;
        let title = format!("{} `{name}`, {took}", if is_built { what_was_done(&record) } else { "failed to build" });
        let said = self.request.groups.lines(task, &title, &lines, record.verdict);
        said.iter().for_each(|line| (self.say)(line));
        record::add(self.record, record);
        self.courier.has_ended(task, package.context("a build left nothing")?);
        if is_built {
            let outputs = self.inputs.outputs(task);
            self.machine.held.hold(outputs.iter().map(String::as_str))?;
            self.inputs.is_here(task);
        }
        self.worker.ended(task, if is_built { Outcome::Built } else { Outcome::Failed });
        Ok(())
    }

    /// Gives up where nothing goes on without machines of other kinds, and none of their workers comes.
    fn look_for_others(&mut self) -> Result<()> {
        let (tasks, plan, now) = (&self.planned.tasks, &self.request.job.plan, Instant::now());
        let awaited = self.worker.awaited(tasks);
        let last_of = |task: Task| self.courier.signs.last(|worker| tasks.can_build(worker, task));
        // The CI service starts the others of such a crew when the first one has left, whenever that is.
        let comes_later = |&task: &Task| {
            let crew = plan.workers.as_ref().and_then(|workers| workers.crews.get(tasks.kind[task as usize] as usize));
            crew.is_some_and(|crew| crew.later > 0) && last_of(task).is_some()
        };
        if awaited.is_empty() || !self.building.is_empty() || awaited.iter().any(comes_later) {
            self.absence.goes_on(now);
            return Ok(());
        }
        let last_sign = awaited.iter().filter_map(|&task| last_of(task)).max();
        if self.absence.is_too_long(self.worker.settled_count(tasks), last_sign, now) {
            let waited = in_words(u64::try_from(self.absence.limit().as_millis()).unwrap_or(u64::MAX));
            bail!(
                "no worker that could build {} has shown itself for {waited}, and this machine cannot: are those machines started?",
                self.planned.named(plan, &awaited)
            );
        }
        Ok(())
    }

    /// Whether names are left for one more task. A worker without any leaves the rest to others.
    fn has_room(&mut self) -> bool {
        self.courier.budget.owes(self.building.len());
        let has_room = self.courier.budget.has_room();
        if !has_room {
            (self.say)("no more names can be made in this job: what is left is for other workers");
        }
        has_room
    }

    /// A worker that is started again finds what has failed before, under the same word. It has not built that, and must not look as if it had.
    fn say_what_had_failed(&mut self) {
        let failed = self.worker.failed();
        let mut before = self.failed_before.take().unwrap_or_default();
        before.retain(|task| failed.contains(task));
        if !before.is_empty() {
            let named = self.planned.named(&self.request.job.plan, &before);
            self.record.errors.push(format!(
                "failed in this pipeline before this worker began, and not built again: {named} (a new pipeline builds it)"
            ));
        }
    }

    fn say_news(&mut self) {
        let building: Vec<Task> = self.building.keys().copied().collect();
        let named = self.planned.named(&self.request.job.plan, &building);
        let what = if building.is_empty() { "waiting".into() } else { format!("building {named}") };
        let all = self.planned.tasks.all();
        let settled = all.filter(|&task| self.worker.view(task).outcome().is_some()).count();
        (self.say)(&format!("{what}; {settled} of {} are done", self.planned.tasks.len()));
    }
}

/// Packs what is to be left of a task. What was built here is in the store, so its folder goes, but for outputs that only the folder tells the paths of, and where somebody else wants it.
fn pack(record: &Record, task: Task, inputs: &Inputs, scratch: &Path, keeps: bool) -> Result<PathBuf> {
    let package = scratch.join(format!("{task}.package"));
    let Some(folder) = inputs.folder(task).filter(|_| record.verdict == Verdict::Success) else {
        std::fs::write(&package, "").with_context(|| format!("cannot write `{}`", package.display()))?;
        return Ok(package);
    };
    package::pack(&folder, &package)?;
    if !keeps && !inputs.is_floating(task) {
        partial_cache::remove(&folder)?;
    }
    Ok(package)
}

/// What a unit that has ended well took: builds, or only what others had built.
fn what_was_done(record: &Record) -> &'static str {
    let has = |outcome| record.derivations.iter().any(|derivation| derivation.outcome == outcome);
    match (has(Ending::Built), has(Ending::Substituted)) {
        (true, _) => "built",
        (false, true) => "fetched",
        (false, false) => "found",
    }
}
