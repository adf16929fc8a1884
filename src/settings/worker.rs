//! What `nixdag worker` is to do, from its flags, the environment and the plan.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::job;
use crate::build::{HandOffPlace, OnMissing};
use crate::cli::{BuildArgs, WorkerArgs};
use crate::delivery::HandOffKind;
use crate::nix::hash::Sha256;
use crate::plan::{Plan, json, worker_job};
use crate::private_file::temporary_folder;
use crate::usage::usage;
use crate::workers::isolation;
use crate::workers::run::WorkerRequest;
use crate::workers::stores::NameStore;
use crate::workers::stores::folder::FolderStore;

/// The worker's work. `say` hears what there is to be said about secrets and destinations.
pub fn request(args: &WorkerArgs, say: &mut dyn FnMut(&str)) -> Result<WorkerRequest> {
    let number = args.number.context("`--number` is not given")?;
    let scratch = temporary_folder().context("cannot make a temporary folder")?;
    let workspace = args.workspace.clone().unwrap_or_else(|| scratch.path().join("workspace"));
    let build = build_args(args, number, workspace);
    let mut names = None;
    let mut job = job::request_for(&build, say, |plan| {
        // Without what only this worker has.
        names = Some(open(args, plan)?);
        worker_job::add(plan, number as usize)
    })?;
    job.options.extend(isolation::OPTIONS.map(|(name, value)| (name.to_owned(), value.to_owned())));
    if let HandOffPlace::Workspace(workspace) = &job.hand_off {
        std::fs::create_dir_all(workspace).with_context(|| format!("cannot create `{}`", workspace.display()))?;
    }
    Ok(WorkerRequest {
        job,
        number,
        store: names.context("no store of names")?,
        poll: Duration::from_secs_f64(args.poll),
        silence: Duration::from_secs_f64(args.silence),
        scratch,
    })
}

/// The plan, and the store in which its workers talk.
pub fn gate(args: &WorkerArgs) -> Result<(Plan, Box<dyn NameStore>)> {
    let (plan, _) = job::plan_and_derivations(&build_args(args, 0, PathBuf::new()))?;
    let store = open(args, &plan)?;
    Ok((plan, store))
}

/// The store of names for this plan and pipeline.
fn open(args: &WorkerArgs, plan: &Plan) -> Result<Box<dyn NameStore>> {
    let mut text = Vec::new();
    json::write(plan, &mut text)?;
    text.extend(format!("\n{}", args.run).bytes());
    let run = &Sha256::of(&text).base16()[..16];
    ensure!(!args.names.contains("://"), usage(format!("`--names {}`: expected a folder", args.names.escape_debug())));
    Ok(Box::new(FolderStore::open(Path::new(&args.names), run)?))
}

/// The same as for a job.
fn build_args(args: &WorkerArgs, number: u32, workspace: PathBuf) -> BuildArgs {
    let is_cache = args.cache.is_some();
    BuildArgs {
        bundle: args.bundle.clone(),
        bundle_sha256: args.bundle_sha256.clone(),
        plan: args.plan.clone(),
        drv_dir: args.drv_dir.clone(),
        job: Some(worker_job::id(number as usize)),
        workspace: (!is_cache).then_some(workspace),
        handoff: is_cache.then_some(HandOffKind::Cache),
        cache: args.cache.clone(),
        restore: None,
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
        max_jobs: Some("1".into()),
        cores: args.cores,
        timeout: args.timeout,
        max_silent_time: args.max_silent_time,
        keep: Vec::new(),
        nix_option: args.nix_option.clone(),
    }
}
