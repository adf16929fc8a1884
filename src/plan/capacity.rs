//! What jobs need of their machines' memory and disk, as far as something is recorded: what is expected of each build, and what cannot fit.
//!
//! In: needed derivations, where each is built, the jobs. Out: what the plan expects of builds, and notes for people.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::downloads::Downloads;
use super::needed::NeededGraph;
use super::partition::schedule::Scheduler;
use super::placement::Placements;
use super::problem::{JobNodes, Millis, Node, Partition};
use super::{Expected, Job};
use crate::availability::Needed;
use crate::duration::in_words;
use crate::graph::{DrvId, Graph};
use crate::plural::counted;
use crate::printable::printable;

/// So many jobs are named, the others are counted.
const MOST: usize = 5;

/// What is expected of each build, by derivation.
pub fn expected(graph: &Graph, small: &NeededGraph) -> BTreeMap<Arc<str>, Expected> {
    let known = |list: &[u64], node: usize| list.get(node).copied().filter(|value| *value > 0);
    let of = |(node, &id)| {
        let (bytes, memory) = (&small.problem.bytes, &small.problem.memory);
        let expected = Expected { nar_bytes: known(bytes, node), memory: known(memory, node) };
        (!expected.is_empty()).then(|| (graph.path(id).into(), expected))
    };
    small.drvs.iter().enumerate().filter_map(of).collect()
}

/// What each job fetches from caches at least.
pub fn downloads(graph: &Graph, needed: &Needed, small: &NeededGraph, partition: &Partition) -> Vec<Downloads> {
    let inputs = |job: &JobNodes| -> Vec<DrvId> {
        let built = job.owned.iter().chain(&job.co_located).map(|&node| small.drvs[node as usize]);
        let mut inputs: Vec<DrvId> =
            built.flat_map(|id| graph.inputs(id)).map(|input| input.drv).filter(|id| !needed.has(*id)).collect();
        inputs.sort_unstable();
        inputs.dedup();
        inputs
    };
    let of_job = |job: &JobNodes| {
        let mut sum = Downloads::default();
        inputs(job).into_iter().for_each(|id| sum.add(needed.size(id)));
        sum
    };
    partition.jobs.iter().map(of_job).collect()
}

/// Sentences about what cannot fit on the machine that it is built on; `fetched` is what each job takes from caches.
pub fn notes(
    graph: &Graph,
    small: &NeededGraph,
    placements: &Placements,
    partition: &Partition,
    fetched: &[Downloads],
) -> Vec<String> {
    let mut scheduler = Scheduler::new(&small.problem);
    let mut notes = Vec::new();
    let gigabytes = |bytes: u64| bytes as f64 / 1e9;
    let name = |node: Node| printable(graph.node(small.drvs[node as usize]).name());
    for (job, fetched) in partition.jobs.iter().zip(fetched) {
        let Some(placement) = placements.list.get(usize::from(job.system)) else { continue };
        let class = printable(&placement.resource_class);
        let tasks = tasks(job);
        let needed = scheduler.bytes(&tasks).saturating_add(fetched.nar_bytes);
        if let Some(disk) = placement.disk.filter(|disk| needed > *disk)
            && let Some(&largest) = tasks.iter().max_by_key(|&&node| small.problem.bytes[node as usize])
        {
            let more = tasks.len() as u64 - 1;
            let others = if more > 0 { format!(" and {} with it", counted(more, "derivation")) } else { String::new() };
            notes.push(format!(
                "the job of `{}`{others} takes {:.1} GB of disk with what it fetches, as recorded and as caches say, and `{class}` has room for {:.1} GB, {:.1} GB too \
                 few: it makes room as it goes, and may fail (give it an executor with a larger `disk`)",
                name(largest),
                gigabytes(needed),
                gigabytes(disk),
                gigabytes(needed - disk)
            ));
        }
        let Some(memory) = placement.memory.filter(|_| !small.problem.memory.is_empty()) else { continue };
        for &node in &tasks {
            let peak = small.problem.memory[node as usize];
            if peak > memory {
                notes.push(format!(
                    "`{}` has taken {:.1} GB of memory, and builds have {:.1} GB on `{class}`, {:.1} GB too few (`resource_class: auto`, where it is not set, \
                     takes a larger one if there is one)",
                    name(node),
                    gigabytes(peak),
                    gigabytes(memory),
                    gigabytes(peak - memory)
                ));
            }
        }
    }
    if notes.len() > MOST {
        let more = notes.split_off(MOST).len();
        notes.push(format!("{more} more like this do not fit their machines"));
    }
    notes
}

/// A sentence about jobs that take longer than `most` milliseconds because of what they fetch and hand on: what takes so long to build is said where jobs are cut.
pub fn too_long(jobs: &[Job], most: Option<Millis>) -> Option<String> {
    let most = most?;
    let moves = |job: &Job| job.predicted.as_ref().map_or(0, |run| run.restore + run.hand_off.unwrap_or(0));
    let takes = |job: &Job| job.estimate.duration;
    let long = || jobs.iter().filter(|job| takes(job) > most && takes(job).saturating_sub(moves(job)) <= most);
    let longest = long().max_by_key(|job| takes(job))?;
    Some(format!(
        "too long for a job, which may take {}: {}, the longest `{}`, {} with {} to fetch and hand on results (fewer targets in a job are faster: `--granularity target`, `never_group`)",
        in_words(most),
        counted(long().count() as u64, "job"),
        printable(&longest.id),
        in_words(takes(longest)),
        in_words(moves(longest))
    ))
}

/// What a job builds, ascending.
fn tasks(job: &JobNodes) -> Vec<Node> {
    let mut tasks: Vec<Node> = job.owned.iter().chain(&job.co_located).copied().collect();
    tasks.sort_unstable();
    tasks
}
