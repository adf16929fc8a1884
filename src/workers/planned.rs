//! The tasks of a plan: the jobs that its workers build, numbered in the plan's order.

use std::collections::HashMap;

use anyhow::{Context, Result};

use super::tasks::{Leaving, Task, Tasks, WorkerNumber};
use crate::plan::worker_plan::WorkerPlan;
use crate::plan::{JobIndex, Plan};

/// Most tasks that are named.
const MOST_NAMED: usize = 20;

/// Tasks, and which job each is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PlannedTasks {
    /// The tasks, with the slots of one worker.
    pub tasks: Tasks,
    /// The job of each task, ascending.
    pub jobs: Vec<JobIndex>,
    /// Most names of one worker, where the plan bounds that.
    pub most_names: Option<u32>,
}

impl PlannedTasks {
    /// The tasks of a plan as all workers have them; `worker` says whose slots count.
    pub fn new(plan: &Plan, worker: WorkerNumber) -> Result<Self> {
        let workers = plan.workers.as_ref().context("the plan is not one for workers (`mode: workers`)")?;
        let slots = workers.crew_of(worker as usize).map(|(_, crew, _)| crew.slots as usize);
        let slots = slots.with_context(|| {
            format!("the plan has {} workers, and this is number {worker} (from 0 on)", workers.count())
        })?;
        let mut jobs: Vec<JobIndex> = workers.jobs().collect();
        jobs.sort_unstable();
        let task_of: HashMap<JobIndex, Task> = jobs.iter().copied().zip(0..).collect();
        let inputs = |&job: &JobIndex| plan.job(job).requires.iter().filter_map(|input| task_of.get(input).copied());
        let inputs: Vec<Vec<Task>> = jobs.iter().map(|job| inputs(job).collect()).collect();
        let mut tasks = Tasks {
            tail: tails(plan, &jobs, &inputs),
            inputs,
            lane: vec![0; jobs.len()],
            kind: vec![0; jobs.len()],
            workers: workers.count() as WorkerNumber,
            slots,
            attempts: workers.attempts,
            ..Tasks::default()
        };
        add_crews(&mut tasks, workers, &task_of);
        Ok(Self { tasks, jobs, most_names: workers.most_names })
    }

    /// The job of a task.
    pub fn job(&self, task: Task) -> JobIndex {
        self.jobs[task as usize]
    }

    /// The names of tasks for people, of the first ones where there are many.
    pub fn named(&self, plan: &Plan, tasks: &[Task]) -> String {
        let named = tasks.iter().take(MOST_NAMED).map(|&task| format!("`{}`", plan.job(self.job(task)).name));
        let named = named.collect::<Vec<_>>().join(", ");
        match tasks.len().saturating_sub(MOST_NAMED) {
            0 => named,
            more => format!("{named} and {more} more"),
        }
    }
}

/// The longest path behind each task, milliseconds.
fn tails(plan: &Plan, jobs: &[JobIndex], inputs: &[Vec<Task>]) -> Vec<u64> {
    let mut tails: Vec<u64> = jobs.iter().map(|&job| plan.job(job).estimate.duration).collect();
    for task in (0..jobs.len()).rev() {
        for &input in &inputs[task] {
            let own = plan.job(jobs[input as usize]).estimate.duration;
            tails[input as usize] = tails[input as usize].max(own.saturating_add(tails[task]));
        }
    }
    tails
}

/// Lanes, kinds of machines, and when each worker leaves: the one of each kind that the plan has leave last stays to the end.
fn add_crews(tasks: &mut Tasks, workers: &WorkerPlan, task_of: &HashMap<JobIndex, Task>) {
    for (kind, crew) in workers.crews.iter().enumerate() {
        let opens = |at: usize| crew.later > 0 && at == 0;
        let stays = (0..crew.lanes.len()).filter(|&at| !opens(at)).max_by_key(|&at| (crew.leave_at[at], at));
        for (at, lane) in crew.lanes.iter().enumerate() {
            let worker = tasks.kind_of.len() as WorkerNumber;
            for task in lane.iter().map(|job| task_of[job]) {
                tasks.lane[task as usize] = worker;
                tasks.kind[task as usize] = kind as u32;
            }
            tasks.kind_of.push(kind as u32);
            tasks.leaving.push(match () {
                () if opens(at) => Leaving::Opening(crew.after),
                () if Some(at) == stays => Leaving::AtTheEnd,
                () => Leaving::WithoutWork(crew.leave_at[at]),
            });
        }
    }
}
