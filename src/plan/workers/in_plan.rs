//! Workers as a plan has them: lanes of jobs, one a unit.
//!
//! In: the best workers and the units that they take. Out: the jobs of the units, and a [`WorkerPlan`].

use super::search::Way;
use crate::plan::job::JobIndex;
use crate::plan::model::Model;
use crate::plan::partition::units::{Unit, Units};
use crate::plan::problem::{JobNodes, Node, Partition};
use crate::plan::worker_plan::{WorkerCrew, WorkerPlan};

/// How often a unit can be claimed: what kills three workers is not given to a fourth.
const ATTEMPTS: u8 = 3;

/// A job for each unit.
pub fn partition(units: &Units) -> Partition {
    let job = |unit: Unit| JobNodes {
        system: units.system[unit as usize],
        owned: units.owned.of(unit).to_vec(),
        co_located: Vec::new(),
    };
    Partition { jobs: (0..units.len() as Unit).map(job).collect() }
}

/// The workers, by the job of each derivation.
pub fn in_plan(
    way: &Way,
    units: &Units,
    model: &Model,
    (store, most_names): (Option<String>, Option<u32>),
    job_of: impl Fn(Node) -> Option<JobIndex>,
) -> WorkerPlan {
    let job = |unit: &Unit| units.owned.of(*unit).first().and_then(|&node| job_of(node));
    let mut first = 0;
    let mut crews = Vec::with_capacity(way.crews.len());
    for crew in &way.crews {
        let workers = first..first + crew.workers() as usize;
        first = workers.end;
        crews.push(WorkerCrew {
            slots: model.slots_of(crew.system) as u32,
            later: crew.later,
            after: crew.after,
            lanes: way.lanes.units[workers.clone()].iter().map(|lane| lane.iter().filter_map(job).collect()).collect(),
            leave_at: way.lanes.leave_at[workers].to_vec(),
        });
    }
    WorkerPlan { attempts: ATTEMPTS, store, most_names, crews }
}
