//! The stages of a job's run, in order: read the hand-offs, find out what this user may do, import the derivations, fetch what
//! an earlier run of the same job left, let the guard bring in what others built, build, hand off.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Result;

use super::fetch_and_build::FetchAndBuild;
use super::guard::{self, Deliverers};
use super::hand_offs::Substituter;
use super::job_store::JobStore;
use super::outcome::known_outputs;
use super::progress::Tracker;
use super::push::Pusher;
use super::realise::Calls;
use super::record::{Record, Verdict};
use super::usage::{self, Sampler};
use super::work::JobWork;
use super::{
    HandOffPlace, JobRequest, clean_up, credentials, deliveries, hand_offs, interrupt, naming, outcome, push, restore,
    room,
};
use crate::delivery::OnPushFailure;
use crate::duration::now;
use crate::graph::Graph;
use crate::handoff::merge;
use crate::nix::store::Store;
use crate::plural::counted;
use crate::private_file::PrivateFile;

/// Runs a job. `say` gets lines for people. A signal ends the run as a failure, Nix stopped and nothing half-written.
pub fn run(request: &JobRequest, say: &mut dyn FnMut(&str)) -> Record {
    let start = Instant::now();
    let job = request.job();
    let mut record = Record::begin(&job.id, &job.name, &job.system);
    record.resource_class = job.resource_class.clone();
    record.measured.start_up = usage::age_of_the_machine();
    record.measured.processor = usage::processor();
    record.measured.cores = std::thread::available_parallelism().ok().and_then(|cores| u32::try_from(cores.get()).ok());
    if let Err(error) = stages(request, start, &mut record, say) {
        record.errors.push(format!("{error:#}"));
        if record.derivations.is_empty() {
            record.derivations = naming::not_begun(request);
        }
    }
    clean_up(request, say);
    record.verdict = record.judge();
    if let Some(signal) = interrupt::received().filter(|_| record.verdict == Verdict::Failure) {
        record.verdict = Verdict::Cancelled;
        record.cancelled_by = Some(signal.to_owned());
    }
    record.duration = millis(start);
    record
}

/// All stages. What has happened until an error is in the record.
fn stages(request: &JobRequest, start: Instant, record: &mut Record, say: &mut dyn FnMut(&str)) -> Result<()> {
    let job = request.job();
    let sampler = Sampler::start(PathBuf::from(&request.plan.store_dir));
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
    let store = Store::find()?;
    record.nix = store.version().to_owned();
    let netrc_path = netrc.as_ref().map(PrivateFile::path);
    let job_store = JobStore { request, derivations: &roots, hand_offs: &hand_offs, netrc: netrc_path };
    let (store, held) = job_store.open(store, say)?;
    let graph = Graph::load(roots.iter().copied(), Path::new(&request.plan.store_dir), &request.plan.store_dir)?;
    let mut work = JobWork::new(request, &graph, &here, &store, &held)?;

    let earlier = hand_offs::take_signed_results(request, &work.absent, &mut hand_offs, say)?;
    record.damaged.extend(earlier);
    work.content_addressed = deliveries::restrict(&mut hand_offs, request, &graph, &work.set)?;
    hand_offs::verify(&mut hand_offs, request, work.absent.iter().map(String::as_str), say);
    let reusable = work.reusable(&hand_offs);
    hand_offs::verify(&mut hand_offs, request, work.wanted(&reusable).iter().map(String::as_str), say);
    if request.registry.is_some() {
        hand_offs.keep_present();
    }
    let damaged: Vec<String> = hand_offs.damaged().iter().map(merge::Damaged::text).collect();
    damaged.iter().for_each(|problem| say(problem));
    record.damaged.extend(damaged);
    // Kept until the end: Nix reads from it.
    let (store, merged) = hand_offs::link(store, &hand_offs, &request.plan.store_dir)?;
    let known = hand_offs.damaged().len();
    let substituter = Substituter::new(&mut hand_offs, merged.as_ref(), &request.plan.store_dir);
    let calls = Calls::new(&store, request, netrc_path)?;

    if let Some(final_job) = final_job.filter(|job| !job.restore.is_empty()) {
        say(&format!("restoring {}", counted(final_job.outputs().count() as u64, "path")));
    }
    work.say_what_is_not_delivered(say);
    let logs = request.results.as_ref().map(|dir| dir.join("logs"));
    let expected = here.iter().map(|&path| path.to_owned()).collect();
    let mut tracker = Tracker::new(Box::new(say), &work, expected, logs.clone(), start);
    tracker.print_logs(request.build_logs);
    let pusher = Pusher::start(&request.pushes, &store, &tracker.remarks());
    let (queue, built) = (pusher.queue(), &graph);
    tracker.on_built(Box::new(move |drv| {
        if let Some(id) = built.find(drv) {
            queue(&known_outputs(built, id).collect::<Vec<_>>());
        }
    }));
    record.measured.import = Some(millis(start));
    let steps =
        FetchAndBuild { work: &work, calls: &calls, hand_offs: &substituter, deliverers: &deliverers, pusher: &pusher };
    let built = steps.run(reusable, record, &mut tracker);
    record.damaged.extend(hand_offs.damaged()[known..].iter().map(merge::Damaged::text));
    let handing_on = Instant::now();
    work.account(&store, built.as_ref().is_ok_and(|complete| *complete), record, &tracker)?;
    work.measure(&sampler.finish(), record);
    record.measured.idle = idle(room::slots(request), record);
    if let Some(logs) = &logs {
        outcome::keep_logs(logs, &record.derivations)?;
    }
    if let Err(error) = built {
        // What was built is there all the same, and is pushed as far as there is time.
        report_pushes(pusher.finish(&[], &[], &mut tracker), request, record);
        return Err(error);
    }
    if let Some(final_job) = final_job {
        let outputs = restore::check(final_job, &deliverers, &work, &store)?;
        if let Some(dir) = &request.restore {
            restore::link(&outputs, dir, &store)?;
        }
    }
    let results = work.results(&store, &record.derivations)?;
    record.errors.extend(results.unknown.iter().cloned());
    // Before the pushes are waited for: no client stands between a build and the jobs that need it.
    let infos = work.infos(&store, &results)?;
    record.handed_off = work.hand_off(&infos, &results, &mut tracker)?;
    let mut others = work.built(record, &results);
    others.extend(work.delivered());
    let pushed = pusher.finish(&results.paths, &others, &mut tracker);
    if let Some(pushed) = &pushed.hand_off {
        record.handed_off.paths = pushed.paths;
    }
    report_pushes(pushed, request, record);
    record.measured.hand_off = Some(millis(handing_on));
    let is_file = matches!(request.hand_off, HandOffPlace::Workspace(_));
    record.measured.handoff_bytes = is_file.then_some(record.handed_off.file_bytes);
    record.measured.handoff_nar_bytes = Some(infos.iter().map(|info| info.nar_size).fold(0, u64::saturating_add));
    // Behind the hand-off: nobody waits for it.
    work.note_sizes(&store, &infos, record);
    record.keeps_results = request.reuse.is_some() || matches!(request.hand_off, HandOffPlace::Cache(_));
    let delivered = guard::check(&record.missing, request.on_missing);
    let verdict = if delivered.is_ok() { record.judge() } else { Verdict::Failure };
    hand_offs::leave(request, verdict, &mut |line| tracker.say(line, Instant::now()));
    delivered
}

/// Removes garbage from the store of a machine that keeps it, once nothing of this job is held any more.
fn clean_up(request: &JobRequest, say: &mut dyn FnMut(&str)) {
    if request.keep.is_empty() || interrupt::received().is_some() {
        return;
    }
    let cleaned = Store::find().and_then(|store| clean_up::run(&store, &request.plan.store_dir, &request.keep, now()));
    match cleaned {
        Ok(lines) => lines.iter().for_each(|line| say(&format!("removed from the store: {line}"))),
        Err(error) => say(&format!("warning: the store is not cleaned up: {error:#}")),
    }
}

/// What slots together had nothing to build for while the job built, milliseconds; none where it built nothing.
fn idle(slots: usize, record: &Record) -> Option<u64> {
    let builds = || record.derivations.iter().filter(|derivation| derivation.used.slot.is_some());
    builds().next()?;
    let took = builds().flat_map(|build| build.duration.into_iter().chain(build.used.earlier.iter().copied()));
    Some(record.measured.build?.saturating_mul(slots as u64).saturating_sub(took.sum()))
}

/// Milliseconds since then.
fn millis(then: Instant) -> u64 {
    u64::try_from(then.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// Puts down what became of the destinations. The hand-off has to arrive; the others as the user says.
fn report_pushes(outcome: push::PushOutcome, request: &JobRequest, record: &mut Record) {
    let is_fatal = request.pushes.on_failure == OnPushFailure::Fail;
    let beside = outcome.beside.into_iter().map(|pushed| (is_fatal, pushed));
    for (is_fatal, pushed) in outcome.hand_off.into_iter().map(|pushed| (true, pushed)).chain(beside) {
        if is_fatal && pushed.error.is_some() {
            record.errors.push(pushed.text());
        }
        record.pushed.push(pushed);
    }
}
