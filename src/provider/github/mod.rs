//! GitHub Actions: a plan goes in, what the planning job hands to the waves of a workflow that never changes comes out.
//!
//! That is text for `GITHUB_OUTPUT`, a line `name=value` for each output, all values but `manifest` in JSON: `wave1` to `wave16` and `final` are lists for a matrix, `scripts` what
//! the jobs run. GitHub makes no jobs at run time: `github/nixdag.yml` has the waves, `github/nixdag-job.yml` a job, and neither holds anything of a plan.

pub mod environment;
pub mod limits;
pub mod machines;
pub mod names;
mod outputs;
mod scripts;
pub mod writer;

use anyhow::{Context, Result, bail, ensure};

use super::job_script::Task;
use super::job_script::kinds::{Kind, Machines};
use super::job_setup::JobSetup;
use super::small_job;
use crate::delivery::Delivery;
use crate::fleet::offers::TAG_SEPARATOR;
use crate::fleet::size::Machine;
use crate::plan::{Job, JobIndex, Plan, failures, json};
use limits::WAVES;
use machines::OFFERS;
use names::RESERVED;
use outputs::{Entry, Outputs};

/// Writes what the planning job puts out, or says which rule of GitHub's it would break.
pub fn generate(plan: &Plan, setup: &JobSetup) -> Result<String> {
    setup.check()?;
    check_secrets(plan, &setup.delivery)?;
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
        outputs.scripts.insert(failures::JOB.to_owned(), scripts::of(kind, setup, Task::Report)?);
        outputs.waves[0].push(entry(&job, kind, failures::JOB, false)?);
    }
    for (at, job) in plan.all_jobs().enumerate() {
        let what = || format!("job `{}` cannot be written for GitHub", job.name.escape_debug());
        check_job(job)?;
        let kind = machines.kind_of(job, &mut kinds).with_context(what)?;
        let Some(final_job) = plan.final_job(JobIndex(at as u32)) else {
            let wave = wave_of(job)?;
            if !outputs.scripts.contains_key(&kind.job) {
                outputs.scripts.insert(kind.job.clone(), scripts::of(kind, setup, Task::Build).with_context(what)?);
            }
            let kind_of_job = kind.job.clone();
            outputs.waves[wave].push(entry(job, kind, &kind_of_job, false)?);
            continue;
        };
        if let Some(before) = job.requires.iter().find_map(|&required| plan.final_job(required)) {
            bail!(
                "final job `{}` waits for the final job `{}`: on GitHub all of them run at once, behind all others",
                job.name.escape_debug(),
                before.job.name.escape_debug()
            );
        }
        let script = match &final_job.run {
            Some(command) => scripts::of_final(final_job, command, kind, setup),
            None => scripts::of(kind, setup, Task::Build),
        };
        let key = format!("final-{}", job.id);
        outputs.scripts.insert(key.clone(), script.with_context(what)?);
        outputs.last.push(entry(job, kind, &key, final_job.checkout && final_job.run.is_some())?);
    }
    let problems = outputs.problems();
    ensure!(problems.is_empty(), "GitHub would refuse what the plan puts out:\n  {}", problems.join("\n  "));
    outputs.text()
}

/// The position of a job's wave.
fn wave_of(job: &Job) -> Result<usize> {
    let wave = job.wave.with_context(|| format!("job `{}` has no wave: plan again for GitHub", job.id))?;
    ensure!(
        (1..=WAVES).contains(&wave),
        "job `{}` is in wave {wave}, and the workflow has {WAVES}: jobs of different systems take turns too often",
        job.id
    );
    Ok(wave as usize - 1)
}

/// A job in a matrix.
fn entry(job: &Job, kind: &Kind, script: &str, checkout: bool) -> Result<Entry> {
    ensure!(
        kind.machine != Machine::Docker,
        "job `{}` runs in a container of executor `{}`, which nixdag does not write for GitHub: use a runner's label",
        job.id,
        kind.name
    );
    let labels: Vec<&str> = kind.resource_class.split(TAG_SEPARATOR).collect();
    ensure!(
        labels.iter().all(|label| !label.is_empty()),
        "job `{}` has no label of a runner (`tags`, or `resource_class`, of executor `{}`)",
        job.id,
        kind.name
    );
    Ok(Entry {
        id: job.id.clone(),
        name: job.name.clone(),
        runner: serde_json::to_string(&labels).context("labels are text")?,
        script: script.to_owned(),
        checkout,
        allow_failure: job.options.allow_failure,
    })
}

/// Refuses a job that the workflow has itself.
fn check_job(job: &Job) -> Result<()> {
    ensure!(json::is_id(&job.id), "job id `{}` does not match `[a-z][a-z0-9_-]{{0,62}}`", job.id.escape_debug());
    ensure!(!RESERVED.contains(&job.id.as_str()), "job `{}` has an id that the workflow needs", job.id);
    Ok(())
}

/// Refuses what would need secrets: the workflow passes none to its jobs.
fn check_secrets(plan: &Plan, delivery: &Delivery) -> Result<()> {
    if let Some(job) = plan.all_jobs().find(|job| !job.options.context.is_empty()) {
        bail!(
            "job `{}` has the context `{}`: nixdag's workflow for GitHub passes no secrets to jobs",
            job.name.escape_debug(),
            job.options.context[0].escape_debug()
        );
    }
    ensure!(
        delivery.contexts.is_empty() && delivery.push.destinations.is_empty() && !delivery.signing.is_named,
        "pushing and signing need secrets, and nixdag's workflow for GitHub passes none to jobs"
    );
    Ok(())
}
