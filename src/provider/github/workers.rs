//! Workers in place of waves: which jobs of the workflow they are, and which of the plan's jobs run behind them.
//!
//! The first wave has the workers that leave early, so that others can start as the second one; those that go on beside the second are in a matrix of their own. Where nobody waits
//! for anybody, all of them are the first wave.

use anyhow::{Context, Result, ensure};

use super::outputs::{Entry, Outputs};
use super::scripts::Scripts;
use crate::plan::worker_plan::WorkerPlan;
use crate::plan::{Job, JobIndex, JobOptions, Plan, worker_job};
use crate::provider::job_script::kinds::{Kind, Machines};

/// Name of the script that says what workers have done.
pub const GATE: &str = "gate";

/// Waves of workers.
const WAVES: u32 = 2;

/// Which jobs workers build, by index; and the wave of the others, which come behind the workers.
pub struct Behind {
    is_task: Vec<bool>,
    wave: Vec<u32>,
}

impl Behind {
    /// Of a plan with workers.
    pub fn new(plan: &Plan, workers: &WorkerPlan) -> Self {
        let mut behind = Self { is_task: vec![false; plan.jobs.len()], wave: vec![0; plan.jobs.len()] };
        workers.jobs().for_each(|job| behind.is_task[job.at()] = true);
        for (at, job) in plan.jobs.iter().enumerate() {
            if !behind.is_task[at] {
                let before = job.requires.iter().filter_map(|required| behind.wave.get(required.at())).max();
                behind.wave[at] = 1 + before.copied().unwrap_or(0).max(WAVES);
            }
        }
        behind
    }

    /// The wave of a job; none for one that workers build.
    pub fn wave(&self, job: JobIndex) -> Option<u32> {
        (!self.is_task[job.at()]).then(|| self.wave[job.at()])
    }

    /// True where a job that is not a worker takes what workers have built.
    fn is_needed(&self, plan: &Plan, signs_last: bool) -> bool {
        signs_last || !plan.final_jobs.is_empty() || self.is_task.iter().any(|is_task| !is_task)
    }
}

/// Adds the workers of a plan, and what their gate runs. `signs_last` says whether a job behind them signs and pushes.
pub fn add(
    plan: &Plan,
    (workers, behind): (&WorkerPlan, &Behind),
    signs_last: bool,
    (machines, scripts): (&Machines, &Scripts),
    kinds: &mut Vec<Kind>,
    outputs: &mut Outputs,
) -> Result<()> {
    let hands_on = behind.is_needed(plan, signs_last);
    let has_stages = workers.crews.iter().any(|crew| crew.later > 0);
    let mut number = 0;
    for crew in &workers.crews {
        let first = crew.lanes.iter().flatten().next().context("a crew of workers has nothing to build")?;
        let later = crew.lanes.len() - crew.later as usize;
        for at in 0..crew.lanes.len() {
            let job = job_of(plan.job(*first), number)?;
            let kind = machines.kind_of(&job, kinds)?;
            let key = format!("worker-{}", kind.job);
            if !outputs.scripts.contains_key(&key) {
                outputs.scripts.insert(key.clone(), scripts.of_worker(kind, hands_on)?);
            }
            // The gate counts what was built: that a worker ends is nobody's failure, as long as others go on.
            let worker = Entry { worker: true, allow_failure: true, ..Entry::of(&job, kind, &key)? };
            let is_opener = at == 0 && crew.later > 0;
            match (has_stages, at >= later) {
                (true, true) => outputs.waves.entry(WAVES).or_default().push(worker),
                (true, false) if !is_opener => outputs.workers.push(worker),
                _ => outputs.waves.entry(1).or_default().push(worker),
            }
            number += 1;
        }
    }
    let kind = kinds.first().context("there are no workers")?;
    outputs.scripts.insert(GATE.to_owned(), scripts.of_gate(kind)?);
    outputs.has_gate = true;
    Ok(())
}

/// A worker as a job, on the machine of what it builds.
fn job_of(first: &Job, number: usize) -> Result<Job> {
    ensure!(
        first.options.context.is_empty(),
        "job `{}` has a context, and workers have no secrets: plan again for workers",
        first.id
    );
    let id = worker_job::id(number);
    Ok(Job {
        name: id.clone(),
        id,
        targets: Vec::new(),
        derivations: Vec::new(),
        co_located: Vec::new(),
        requires: Vec::new(),
        inputs: Vec::new(),
        options: JobOptions::default(),
        ..first.clone()
    })
}
