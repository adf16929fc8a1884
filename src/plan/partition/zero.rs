//! Shortens the longest path: merges jobs along critical edges, so that the start-up between them is paid once.
//!
//! In: jobs in any acyclic state. Out: the same jobs, fewer, with a makespan that is not larger. For a critical edge the two jobs are
//! tried as one. Where others stand in the way (a job on a path between them, a consumer that would wait too long, an input
//! that comes too late), these are taken in as well, a few times over. A set pays where latest end of what it waits for + its own
//! length + longest tail of what waits for it stays below the makespan: then nothing else becomes longer than it was.

use super::context::Search;
use super::jobs::{Instance, JobNumber, Jobs, compatible_systems, merged};
use crate::plan::model::Granularity;
use crate::plan::problem::{Millis, Node, System};

/// Most jobs in one merge.
const MOST_MEMBERS: usize = 40;
/// Most critical edges that one move tries: a hub has one to each of its consumers, all alike.
const MOST_EDGES: usize = 500;
/// How often a set is enlarged before it is given up.
const ROUNDS: usize = 6;

/// In which order critical edges are tried, which leads to different plans from the same state.
#[derive(Clone, Copy, Debug)]
pub enum EdgeOrder {
    FromStart,
    FromEnd,
    ShortestFirst,
    /// By a hash of the edge's time and the seed.
    Shuffled(u64),
}

/// How to search.
#[derive(Clone, Copy, Debug)]
pub struct Zeroing {
    pub order: EdgeOrder,
    /// The best of so many sets that pay is taken.
    pub choices: usize,
    /// Stops where the makespan is at most this, milliseconds.
    pub enough: Millis,
    /// Most merges.
    pub moves: usize,
}

/// A set of jobs to merge.
struct Merge {
    members: Vec<JobNumber>,
    tasks: Vec<Node>,
    start_up: Millis,
    length: Millis,
    through: Millis,
}

/// Edges between critical jobs where the second starts as the first ends.
fn critical_edges(
    instance: &Instance,
    jobs: &Jobs,
    order: &[JobNumber],
    makespan: Millis,
) -> Vec<(JobNumber, JobNumber)> {
    let critical = |job: JobNumber| {
        let state = &jobs.list[job as usize];
        state.earliest_end() + state.tail == makespan
    };
    let mut edges = Vec::new();
    for &job in order.iter().filter(|&&job| critical(job)) {
        let end = jobs.list[job as usize].earliest_end();
        let first = edges.len();
        for &unit in &jobs.list[job as usize].units {
            for &consumer in instance.units.consumers.of(unit) {
                let other = jobs.of_unit[consumer as usize];
                if other != job && jobs.list[other as usize].earliest == end && critical(other) {
                    edges.push((job, other));
                }
            }
        }
        edges[first..].sort_unstable();
    }
    edges.dedup();
    edges
}

fn sort_edges(jobs: &Jobs, edges: &mut [(JobNumber, JobNumber)], order: EdgeOrder) {
    let time = |job: JobNumber| jobs.list[job as usize].earliest;
    let first_unit = |job: JobNumber| jobs.list[job as usize].units[0];
    edges.sort_by_key(|&(from, to)| {
        let key = match order {
            EdgeOrder::FromStart => time(to),
            EdgeOrder::FromEnd => u64::MAX - time(to),
            EdgeOrder::ShortestFirst => jobs.list[from as usize].length + jobs.list[to as usize].length,
            EdgeOrder::Shuffled(seed) => mix(seed ^ mix(time(from) ^ mix(time(to)))),
        };
        (key, first_unit(from), first_unit(to))
    });
}

/// A hash that spreads neighbouring numbers (the finalizer of SplitMix64).
pub fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

impl Search<'_> {
    /// Merges until no critical edge pays; returns the makespan, milliseconds.
    pub fn zero(&mut self, jobs: &mut Jobs, zeroing: Zeroing) -> Millis {
        let instance = self.instance;
        let mut makespan;
        let mut moves = 0;
        loop {
            let order;
            (order, makespan) = jobs.measure(instance);
            self.steps.take(4 * instance.units.len() + 2 * instance.units.inputs.edges());
            if self.steps.exhausted() || makespan <= zeroing.enough || moves >= zeroing.moves {
                return makespan;
            }
            let mut edges = critical_edges(instance, jobs, &order, makespan);
            sort_edges(jobs, &mut edges, zeroing.order);
            let mut best: Option<Merge> = None;
            let mut found = 0;
            for &(from, to) in edges.iter().take(MOST_EDGES) {
                if self.steps.exhausted() {
                    break;
                }
                let Some(merge) = self.grow(jobs, (from, to), makespan) else {
                    continue;
                };
                found += 1;
                if best.as_ref().is_none_or(|best| merge.through < best.through) {
                    best = Some(merge);
                }
                if found >= zeroing.choices {
                    break;
                }
            }
            let Some(merge) = best else { return makespan };
            apply(instance, jobs, merge);
            moves += 1;
        }
    }

    /// Enlarges the two ends of an edge until merging them pays, or gives up.
    fn grow(&mut self, jobs: &Jobs, (from, to): (JobNumber, JobNumber), makespan: Millis) -> Option<Merge> {
        let instance = self.instance;
        let mut members = vec![from, to];
        for _ in 0..ROUNDS {
            if members.len() > MOST_MEMBERS || !allowed(instance, jobs, &members) {
                return None;
            }
            if !jobs.close(instance, &mut self.marks, &mut members, MOST_MEMBERS) {
                return None;
            }
            if !allowed(instance, jobs, &members) {
                return None;
            }
            let (inputs, consumers) = jobs.around(instance, &mut self.marks, &members);
            let start = inputs.iter().map(|&job| jobs.list[job as usize].earliest_end()).max().unwrap_or(0);
            let rest = |job: &JobNumber| jobs.list[*job as usize].length + jobs.list[*job as usize].tail;
            let tail = consumers.iter().map(rest).max().unwrap_or(0);
            let mut tasks = Vec::new();
            for &member in &members {
                tasks = merged(&tasks, &jobs.list[member as usize].tasks);
            }
            self.steps.take(20 * tasks.len() + 4 * (inputs.len() + consumers.len()));
            let machine = instance.model.capacity_of(system_of(jobs, &members));
            let longest = members.iter().map(|&job| jobs.list[job as usize].length).max().unwrap_or(0);
            if start + longest >= makespan {
                return None;
            }
            let start_up = members.iter().map(|&job| jobs.list[job as usize].start_up).max().unwrap_or(0);
            let length = start_up + self.scheduler.length(&tasks, machine);
            let fits = instance.options.limits.job_length.is_none_or(|most| length <= most);
            if !fits {
                return None;
            }
            if start + length + tail < makespan {
                return Some(Merge { members, tasks, start_up, length, through: start + length + tail });
            }
            let before = members.len();
            // A consumer that would wait too long comes in; where none would, the inputs that come last do.
            members.extend(consumers.iter().filter(|job| start + length + rest(job) >= makespan));
            if members.len() == before {
                return None;
            }
            if start + length >= makespan || members.len() > MOST_MEMBERS {
                members.truncate(before);
                members.extend(inputs.iter().filter(|&&job| {
                    let end = jobs.list[job as usize].earliest_end();
                    end + length + tail >= makespan
                }));
                if members.len() == before || members.len() > MOST_MEMBERS {
                    return None;
                }
            }
            members.sort_unstable();
            members.dedup();
        }
        None
    }
}

fn system_of(jobs: &Jobs, members: &[JobNumber]) -> System {
    members.iter().map(|&job| jobs.list[job as usize].system).min().unwrap_or_default()
}

fn allowed(instance: &Instance, jobs: &Jobs, members: &[JobNumber]) -> bool {
    let system = system_of(jobs, members);
    let with_targets = members.iter().filter(|&&job| jobs.list[job as usize].targets > 0).count();
    members.iter().all(|&job| compatible_systems(system, jobs.list[job as usize].system))
        && (instance.options.granularity != Granularity::Target || with_targets <= 1)
}

fn apply(instance: &Instance, jobs: &mut Jobs, merge: Merge) {
    use super::jobs::Union;
    let work = merge.tasks.iter().map(|&task| instance.problem.duration[task as usize]).sum();
    let first = merge.members[0];
    for &member in &merge.members[1..] {
        jobs.merge(first, member, Union::default());
    }
    let state = &mut jobs.list[first as usize];
    (state.tasks, state.work) = (merge.tasks, work);
    (state.start_up, state.length) = (merge.start_up, merge.length);
}
