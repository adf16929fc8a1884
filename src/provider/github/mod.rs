//! GitHub Actions: a plan goes in, what the planning job hands to the waves of a workflow that never changes comes out.
//!
//! That is one line of JSON: `wave1` to `wave16`, `worker`, `delivery` and `final` are lists for a matrix, `scripts` what the jobs run. GitHub makes no jobs at run time:
//! `.github/workflows/nixdag-waves.yml` has the waves, `nixdag-job.yml` beside it a job, and neither holds anything of a plan.

pub mod check;
pub mod comment;
pub mod environment;
pub mod limits;
pub mod machines;
pub mod names;
mod outputs;
pub mod plan_action;
mod scripts;
pub mod start_up;
mod workers;
pub mod writer;

use anyhow::{Context, Result, bail, ensure};

use super::job_script::Task;
use super::job_script::kinds::{Kind, Machines};
use super::job_setup::JobSetup;
use super::small_job;
use crate::delivery::{Reuse, Sign};
use crate::plan::final_job::FinalJob;
use crate::plan::{Job, JobIndex, Plan, delivery_job, failures, json};
use limits::WAVES;
use machines::OFFERS;
use names::RESERVED;
use outputs::{Entry, Outputs};
use scripts::Scripts;
use workers::Behind;

/// Writes what the planning job puts out, or says which rule of GitHub's it would break.
pub fn generate(plan: &Plan, setup: &JobSetup) -> Result<String> {
    setup.check()?;
    let contexts = plan.all_jobs().any(|job| !job.options.context.is_empty());
    let reuse = match setup.bundle {
        Some(_) => setup.delivery.reuse_beside(contexts)?,
        None => Reuse::Off,
    };
    let scripts = Scripts { setup, reuse };
    let machines = Machines {
        executors: &setup.executors,
        offers: &OFFERS,
        bundle: setup.bundle.as_ref(),
        downloads: &setup.downloads,
    };
    let mut kinds: Vec<Kind> = Vec::new();
    let mut outputs = Outputs::new(setup.bundle.as_ref().map(|bundle| bundle.manifest_sha256.as_str()));
    if failures::are_in(plan) {
        let job = small_job::of(failures::JOB, setup, &OFFERS)?;
        let kind = machines.kind_of(&job, &mut kinds)?;
        outputs.scripts.insert(failures::JOB.to_owned(), scripts.of(kind, Task::Report)?);
        outputs.waves.entry(1).or_default().push(Entry::of(&job, kind, failures::JOB)?);
    }
    let signs_last = setup.delivery.sign == Sign::Separate && delivery_job::of(plan)?.is_some();
    let behind = plan.workers.as_ref().map(|workers| Behind::new(plan, workers));
    if let Some(workers) = plan.workers.as_ref().zip(behind.as_ref()) {
        ensure!(
            setup.delivery.sign == Sign::Separate || setup.delivery.contexts.is_empty(),
            "workers have no secrets: `delivery_contexts` requires `sign: separate` with `mode: workers`"
        );
        workers::add(plan, workers, signs_last, (&machines, &scripts), &mut kinds, &mut outputs)?;
    }
    for (at, job) in plan.all_jobs().enumerate() {
        let what = || format!("job `{}` cannot be written for GitHub", job.name.escape_debug());
        check_job(job)?;
        let kind = machines.kind_of(job, &mut kinds).with_context(what)?;
        let signs = setup.delivery.sign == Sign::Jobs;
        let builds = plan.final_job(JobIndex(at as u32)).is_none_or(FinalJob::builds);
        let environment =
            environment(job, if signs && builds { &setup.delivery.contexts } else { &[] }).with_context(what)?;
        let Some(final_job) = plan.final_job(JobIndex(at as u32)) else {
            let wave = match &behind {
                None => wave_of(job)?,
                Some(behind) => match behind.wave(JobIndex(at as u32)) {
                    Some(wave) => wave,
                    None => continue,
                },
            };
            if !outputs.scripts.contains_key(&kind.job) {
                outputs.scripts.insert(kind.job.clone(), scripts.of(kind, Task::Build).with_context(what)?);
            }
            let reuse = scripts.key(job, kind);
            let entry = Entry { environment, reuse, ..Entry::of(job, kind, &kind.job)? };
            outputs.waves.entry(wave).or_default().push(entry);
            continue;
        };
        if let Some(before) = job.requires.iter().find_map(|&required| plan.final_job(required)) {
            bail!(
                "final job `{}` waits for the final job `{}`: on GitHub all of them run at once, behind all others",
                job.name.escape_debug(),
                before.job.name.escape_debug()
            );
        }
        ensure!(
            final_job.resource_group.is_none(),
            "final job `{}` has a `resource_group`: on GitHub that is `concurrency` of the workflow, or of a job of your own",
            job.name.escape_debug()
        );
        let script = match &final_job.run {
            Some(command) => scripts.of_final(final_job, command, kind),
            None => scripts.of(kind, Task::Build),
        };
        let key = format!("final-{}", job.id);
        outputs.scripts.insert(key.clone(), script.with_context(what)?);
        let checkout = final_job.checkout && final_job.run.is_some();
        let reuse = if final_job.builds() { scripts.key(job, kind) } else { String::new() };
        outputs.last.push(Entry { checkout, environment, reuse, ..Entry::of(job, kind, &key)? });
    }
    if signs_last {
        let job = small_job::of(delivery_job::JOB, setup, &OFFERS)?;
        let kind = machines.kind_of(&job, &mut kinds)?;
        outputs.scripts.insert(delivery_job::JOB.to_owned(), scripts.of(kind, Task::Deliver)?);
        let environment = environment(&job, &setup.delivery.contexts)?;
        outputs.delivery.push(Entry { environment, ..Entry::of(&job, kind, delivery_job::JOB)? });
    }
    let problems = outputs.problems();
    ensure!(problems.is_empty(), "GitHub would refuse what the plan puts out:\n  {}", problems.join("\n  "));
    outputs.text()
}

/// A job's wave.
fn wave_of(job: &Job) -> Result<u32> {
    let wave = job.wave.with_context(|| format!("job `{}` has no wave: plan again for GitHub", job.id))?;
    ensure!(
        (1..=WAVES).contains(&wave),
        "job `{}` is in wave {wave}, and the workflow has {WAVES}: jobs of different systems take turns too often",
        job.id
    );
    Ok(wave)
}

/// The environment whose secrets a job gets: what other providers call a context. `all` are those of jobs that sign and push.
fn environment(job: &Job, all: &[String]) -> Result<String> {
    let own = &job.options.context;
    let contexts: Vec<&String> = own.iter().chain(all.iter().filter(|context| !own.contains(context))).collect();
    let name = match contexts.as_slice() {
        [] => return Ok(String::new()),
        [name] => *name,
        [first, second, ..] => bail!(
            "it has the contexts `{}` and `{}`, and a job of GitHub has one environment: give the secrets of both to one",
            first.escape_debug(),
            second.escape_debug()
        ),
    };
    let is_known = |c: char| c.is_alphanumeric() || "_-/. ".contains(c);
    ensure!(
        !name.trim().is_empty() && name.chars().all(is_known) && name.chars().count() <= 255,
        "the context `{}` cannot be the name of an environment (letters, digits, spaces and `_-/.`)",
        name.escape_debug()
    );
    Ok(name.clone())
}

/// Refuses a job that the workflow has itself.
fn check_job(job: &Job) -> Result<()> {
    ensure!(json::is_id(&job.id), "job id `{}` does not match `[a-z][a-z0-9_-]{{0,62}}`", job.id.escape_debug());
    ensure!(!RESERVED.contains(&job.id.as_str()), "job `{}` has an id that the workflow needs", job.id);
    Ok(())
}
