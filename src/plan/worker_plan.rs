//! Workers in a plan: how many there are of each kind of machine, when each leaves, and which jobs each is expected to take.
//!
//! In a plan for workers each job of a lane is a task that one of the crew's workers claims and builds; the other jobs run behind the workers as they do in any plan.
//! In JSON: `workers`, with ids of jobs. In: text that nobody vouches for. Out: a [`WorkerPlan`] that holds together.

use std::collections::HashMap;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use super::job::{Job, JobIndex};

/// Most workers, builds that one of them does at once, and times that a task is claimed.
const MOST: (usize, u32, u8) = (1000, 1024, 20);

/// The workers of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerPlan {
    /// How often a task can be claimed, at least 1.
    pub attempts: u8,
    /// Where workers talk; none where whoever starts them says so.
    pub store: Option<String>,
    /// How many names a worker can make where it talks: claims, results and signs of life; none where nothing bounds that.
    pub most_names: Option<u32>,
    /// The workers of each kind of machine. Workers are numbered through all of them, from 0 on.
    pub crews: Vec<WorkerCrew>,
}

/// The workers on machines of one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerCrew {
    /// Jobs that a worker builds at once, at least 1.
    pub slots: u32,
    /// So many of the workers, the last ones, start when the first one has left.
    pub later: u32,
    /// So many tasks of the plan are done when the first one leaves, where others start then.
    pub after: u32,
    /// The jobs of each worker in the order in which it is expected to take them. Any worker of the crew can build them.
    pub lanes: Vec<Vec<JobIndex>>,
    /// How many tasks are done when a worker leaves that finds nothing to do, by worker.
    pub leave_at: Vec<u32>,
}

impl WorkerPlan {
    /// Number of workers.
    pub fn count(&self) -> usize {
        self.crews.iter().map(|crew| crew.lanes.len()).sum()
    }

    /// The jobs that workers build.
    pub fn jobs(&self) -> impl Iterator<Item = JobIndex> + '_ {
        self.crews.iter().flat_map(|crew| crew.lanes.iter().flatten().copied())
    }

    /// The crew of a worker, the crew's place, and the worker's number within it.
    pub fn crew_of(&self, worker: usize) -> Option<(usize, &WorkerCrew, usize)> {
        let mut first = 0;
        for (at, crew) in self.crews.iter().enumerate() {
            if worker < first + crew.lanes.len() {
                return Some((at, crew, worker - first));
            }
            first += crew.lanes.len();
        }
        None
    }
}

/// The workers of a plan as its JSON has them.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct WorkersText {
    attempts: u8,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    store: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    most_names: Option<u32>,
    crews: Vec<CrewText>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct CrewText {
    slots: u32,
    later: u32,
    after: u32,
    lanes: Vec<Vec<String>>,
    leave_at: Vec<u32>,
}

impl WorkersText {
    /// As it is written; the jobs are those of the plan.
    pub fn new(jobs: &[Job], workers: &WorkerPlan) -> Self {
        let ids = |lane: &Vec<JobIndex>| lane.iter().map(|job| jobs[job.at()].id.clone()).collect();
        let crew = |crew: &WorkerCrew| CrewText {
            slots: crew.slots,
            later: crew.later,
            after: crew.after,
            lanes: crew.lanes.iter().map(ids).collect(),
            leave_at: crew.leave_at.clone(),
        };
        Self {
            attempts: workers.attempts,
            store: workers.store.clone(),
            most_names: workers.most_names,
            crews: workers.crews.iter().map(crew).collect(),
        }
    }

    /// Checks that it holds together with the jobs, whose positions by id these are.
    pub fn read(self, index: &HashMap<String, usize>, jobs: &[Job]) -> Result<WorkerPlan> {
        let mut is_task = vec![false; jobs.len()];
        let mut crews = Vec::with_capacity(self.crews.len());
        for crew in self.crews {
            let workers = crew.lanes.len();
            ensure!(
                workers > 0 && crew.leave_at.len() == workers,
                "a crew has no workers, or says of others when they leave"
            );
            ensure!((crew.later as usize) < workers, "all of a crew's workers wait for another one");
            ensure!((1..=MOST.1).contains(&crew.slots), "a worker builds {} jobs at once", crew.slots);
            let mut lanes = Vec::with_capacity(workers);
            for lane in crew.lanes {
                let mut found = Vec::with_capacity(lane.len());
                for id in lane {
                    let at = index.get(&id).copied().filter(|&at| at < jobs.len());
                    let at = at.with_context(|| format!("`{}` is not a job of the plan", id.escape_debug()))?;
                    ensure!(!std::mem::replace(&mut is_task[at], true), "job `{id}` is in two lanes");
                    found.push(JobIndex(at as u32));
                }
                lanes.push(found);
            }
            crews.push(WorkerCrew {
                slots: crew.slots,
                later: crew.later,
                after: crew.after,
                lanes,
                leave_at: crew.leave_at,
            });
        }
        ensure!((1..=MOST.2).contains(&self.attempts), "a task is claimed {} times", self.attempts);
        let workers = WorkerPlan { attempts: self.attempts, store: self.store, most_names: self.most_names, crews };
        ensure!((1..=MOST.0).contains(&workers.count()), "there are {} workers", workers.count());
        let (job, other) = (|at: JobIndex| &jobs[at.at()], |input: &&JobIndex| !is_task[input.at()]);
        let waits = workers.jobs().find_map(|at| Some((at, job(at).inputs.iter().find(other)?)));
        if let Some((at, input)) = waits {
            anyhow::bail!("worker job `{}` needs `{}`, which no worker builds", job(at).id, job(*input).id);
        }
        Ok(workers)
    }
}
