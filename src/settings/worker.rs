//! What `nixdag worker` is to do, from its flags, the environment and the plan.

use std::io::{self, BufReader};
use std::time::Duration;

use anyhow::{Context, Result};

use super::job;
use crate::build::records_place::RecordsPlace;
use crate::build::{HandOffPlace, OnMissing};
use crate::cli::{BuildArgs, WorkerArgs};
use crate::delivery::HandOffKind;
use crate::nix::hash::Sha256;
use crate::plan::{Plan, json, worker_job};
use crate::private_file::temporary_folder;
use crate::usage::usage;
use crate::workers::groups::Groups;
use crate::workers::isolation;
use crate::workers::run::WorkerRequest;
use crate::workers::stores::NameStore;
use crate::workers::stores::folder::FolderStore;
use crate::workers::stores::pipe::PipeStore;
use crate::workers::stores::place::NamesPlace;
use crate::workers::stores::s3::S3Store;

/// The worker's work. `say` hears what there is to be said about secrets and destinations.
pub fn request(args: &WorkerArgs, say: &mut dyn FnMut(&str)) -> Result<WorkerRequest> {
    let number = args.number.context("`--number` is not given")?;
    let times = (Duration::from_secs_f64(args.poll), Duration::from_secs_f64(args.silence));
    request_of(
        &build_args(args, number),
        say,
        number,
        |plan| open(&names(args)?, args.run.as_deref().unwrap_or_default(), plan),
        times,
    )
}

/// The worker of this number; `store` opens the store of names for a plan.
fn request_of(
    args: &BuildArgs,
    say: &mut dyn FnMut(&str),
    number: u32,
    store: impl FnOnce(&Plan) -> Result<Box<dyn NameStore>>,
    (poll, silence): (Duration, Duration),
) -> Result<WorkerRequest> {
    let groups = Groups::of_environment();
    let scratch = temporary_folder().context("cannot make a temporary folder")?;
    let mut names = None;
    let mut job = job::request_for(args, say, |plan| {
        // Without what only this worker has.
        names = Some(store(plan)?);
        worker_job::add(plan, number as usize)
    })?;
    job.options.extend(isolation::OPTIONS.map(|(name, value)| (name.to_owned(), value.to_owned())));
    // It builds as many tasks at once as the plan has slots, and the derivations of one task one after the other.
    job.options.push(("max-jobs".to_owned(), "1".to_owned()));
    if job.hand_off == HandOffPlace::None {
        job.hand_off = HandOffPlace::Workspace(scratch.path().join("workspace"));
    }
    if let HandOffPlace::Workspace(workspace) = &job.hand_off {
        std::fs::create_dir_all(workspace).with_context(|| format!("cannot create `{}`", workspace.display()))?;
    }
    let store = names.context("no store of names")?;
    let keeps_results = args.workspace.is_some();
    Ok(WorkerRequest { job, number, store, poll, silence, keeps_results, groups, scratch })
}

/// What a job of a configuration is to do that is a worker, or says what all workers have done.
pub enum Part {
    /// A worker.
    Worker(Box<WorkerRequest>),
    /// Judges; and where it leaves its record.
    Gate(Box<Plan>, Box<dyn NameStore>, Option<RecordsPlace>),
}

/// Variables by which CI services name a pipeline, those that are the same in all of its jobs and others in a rerun first.
const RUNS: [&str; 3] = ["CIRCLE_WORKFLOW_ID", "CI_PIPELINE_ID", "GITHUB_RUN_ID"];

/// The part of a job in a plan for workers; none of any other job.
pub fn part(args: &BuildArgs, say: &mut dyn FnMut(&str)) -> Result<Option<Part>> {
    let Some(id) = args.job.as_deref() else { return Ok(None) };
    let number = worker_job::number(id);
    if number.is_none() && id != worker_job::GATE {
        return Ok(None);
    }
    let run = RUNS.iter().find_map(|name| std::env::var(name).ok()).unwrap_or_default();
    let place = |plan: &Plan| {
        let names = plan.workers.as_ref().and_then(|workers| workers.store.as_deref());
        NamesPlace::of_jobs(names.context("the plan does not say where workers talk (`worker_store`)")?)
    };
    let Some(number) = number else {
        let (plan, _) = job::plan_and_derivations(args)?;
        let store = look(&place(&plan)?, &run, &plan)?;
        let records = job::records(args, &plan, None, say);
        return Ok(Some(Part::Gate(Box::new(plan), store, records)));
    };
    request_of(args, say, number, |plan| open(&place(plan)?, &run, plan), TIMES)
        .map(|request| Some(Part::Worker(Box::new(request))))
}

/// How often a worker looks, and after how long another one is taken for dead, where nobody says.
const TIMES: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(120));

/// The plan, and the store in which its workers talk.
pub fn gate(args: &WorkerArgs) -> Result<(Plan, Box<dyn NameStore>)> {
    let (plan, _) = job::plan_and_derivations(&build_args(args, 0))?;
    let store = look(&names(args)?, args.run.as_deref().unwrap_or_default(), &plan)?;
    Ok((plan, store))
}

/// Where `--names` has workers talk.
fn names(args: &WorkerArgs) -> Result<NamesPlace> {
    NamesPlace::parse(&args.names).context(usage("`--names`"))
}

/// The store of names for this plan and pipeline.
fn open(place: &NamesPlace, run: &str, plan: &Plan) -> Result<Box<dyn NameStore>> {
    let run = &word(run, plan)?;
    Ok(match place {
        NamesPlace::Pipe => {
            Box::new(PipeStore::new(run, Box::new(BufReader::new(io::stdin())), Box::new(io::stdout())))
        }
        NamesPlace::Bucket(bucket) => Box::new(S3Store::open(bucket, run)?),
        NamesPlace::Folder(folder) => Box::new(FolderStore::open(folder, run)?),
    })
}

/// The same for who makes no names: a folder that is not there is not made.
fn look(place: &NamesPlace, run: &str, plan: &Plan) -> Result<Box<dyn NameStore>> {
    match place {
        NamesPlace::Folder(folder) => Ok(Box::new(FolderStore::look(folder, &word(run, plan)?)?)),
        NamesPlace::Pipe | NamesPlace::Bucket(_) => open(place, run, plan),
    }
}

/// The name of a pipeline's run of a plan.
fn word(run: &str, plan: &Plan) -> Result<String> {
    let mut text = Vec::new();
    json::write(plan, &mut text)?;
    text.extend(format!("\n{run}").bytes());
    Ok(Sha256::of(&text).base16()[..16].to_owned())
}

/// The same as for a job.
fn build_args(args: &WorkerArgs, number: u32) -> BuildArgs {
    let is_cache = args.cache.is_some();
    BuildArgs {
        source: args.source.clone(),
        job: Some(worker_job::id(number as usize)),
        workspace: args.workspace.clone().filter(|_| !is_cache),
        handoff: is_cache.then_some(HandOffKind::Cache),
        cache: args.cache.clone(),
        restore: None,
        command_ended: None,
        packages: None,
        on_missing: OnMissing::Build,
        reuse: None,
        signed_reuse: false,
        reuse_packages: None,
        signing: args.signing.clone(),
        push: args.push.clone(),
        logs: args.logs.clone(),
        builders: args.builders.clone(),
        results: args.results.clone(),
        records: None,
        records_of: None,
        record_verdict: args.record_verdict,
        verdict: None,
        max_jobs: None,
        cores: args.cores,
        timeout: args.timeout,
        max_silent_time: args.max_silent_time,
        keep: Vec::new(),
        nix_option: args.nix_option.clone(),
    }
}
