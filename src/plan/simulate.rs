//! Runs a plan on paper: when each job starts and ends, and what it costs.
//!
//! In: a [`Problem`], a [`Partition`] of it and a [`Model`]. Out: a [`Simulation`], times in milliseconds. Jobs start in the order in which they become
//! ready, as many at once as the model says; a job's results reach others when the whole job has ended.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::model::Model;
use super::partition::schedule::Scheduler;
use super::partition::units::longest_paths;
use super::problem::{Adjacency, Millis, Node, Partition, Problem};

/// What happens when a plan runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Simulation {
    /// From the start of the first job to the end of the last, milliseconds.
    pub makespan: Millis,
    /// Sum of all jobs' times, start-ups included, milliseconds.
    pub job_time: Millis,
    /// Start of each job, milliseconds.
    pub start: Vec<Millis>,
    /// End of each job, milliseconds.
    pub end: Vec<Millis>,
    /// Transitive ancestor jobs whose results are attached, summed over all jobs.
    pub layers: u64,
}

/// Runs the jobs of a partition, whose direct inputs are `inputs` (see [`direct_inputs`](super::job_graph::direct_inputs)).
pub fn simulate(problem: &Problem, partition: &Partition, inputs: &Adjacency, model: &Model) -> Simulation {
    let mut scheduler = Scheduler::new(problem);
    let build: Vec<Millis> = partition
        .jobs
        .iter()
        .map(|job| {
            let mut tasks: Vec<Node> = job.owned.iter().chain(&job.co_located).copied().collect();
            tasks.sort_unstable();
            scheduler.length(&tasks, model.slots_of(job.system))
        })
        .collect();
    let mut simulation = run(&build, inputs, model);
    if model.layer == 0 {
        simulation.layers = count_ancestors(inputs).iter().sum();
    }
    simulation
}

/// Runs jobs with the given build times (milliseconds, without start-up and layers) and direct inputs.
/// Layers are counted only where they cost something.
pub fn run(build: &[Millis], inputs: &Adjacency, model: &Model) -> Simulation {
    let jobs = build.len();
    let consumers = inputs.reversed();
    let layers = if model.layer > 0 { count_ancestors(inputs) } else { vec![0; jobs] };
    let length = |job: u32| model.start_up + model.layer * layers[job as usize] + build[job as usize];
    let mut simulation = Simulation { start: vec![0; jobs], end: vec![0; jobs], ..Simulation::default() };
    let mut missing: Vec<usize> = (0..jobs as u32).map(|job| inputs.of(job).len()).collect();
    let mut waiting: BinaryHeap<Reverse<(Millis, u32)>> =
        (0..jobs as u32).filter(|&job| missing[job as usize] == 0).map(|job| Reverse((0, job))).collect();
    let mut running: BinaryHeap<Reverse<(Millis, u32)>> = BinaryHeap::new();
    let mut now = 0;
    loop {
        while running.len() < model.concurrency.max(1) {
            let Some(Reverse((_, job))) = waiting.pop() else { break };
            simulation.start[job as usize] = now;
            simulation.end[job as usize] = now + length(job);
            running.push(Reverse((now + length(job), job)));
        }
        let Some(Reverse((end, job))) = running.pop() else { break };
        now = end;
        for &consumer in consumers.of(job) {
            missing[consumer as usize] -= 1;
            if missing[consumer as usize] == 0 {
                waiting.push(Reverse((now, consumer)));
            }
        }
    }
    simulation.makespan = now;
    simulation.job_time = (0..jobs as u32).map(length).sum();
    simulation.layers = layers.iter().sum();
    simulation
}

/// The number of transitive inputs of each job. Bit sets of 4,096 ancestors at a time keep the memory at 512 bytes a job.
fn count_ancestors(inputs: &Adjacency) -> Vec<u64> {
    const WORDS: usize = 64;
    let jobs = inputs.len();
    let order = topological(inputs);
    let mut count = vec![0u64; jobs];
    let mut sets = vec![[0u64; WORDS]; jobs];
    for first in (0..jobs).step_by(WORDS * 64) {
        sets.fill([0; WORDS]);
        for &job in &order {
            let mut set = [0u64; WORDS];
            for &input in inputs.of(job) {
                for (word, other) in set.iter_mut().zip(&sets[input as usize]) {
                    *word |= other;
                }
                if let Some(bit) = (input as usize).checked_sub(first).filter(|&bit| bit < WORDS * 64) {
                    set[bit / 64] |= 1 << (bit % 64);
                }
            }
            count[job as usize] += set.iter().map(|word| u64::from(word.count_ones())).sum::<u64>();
            sets[job as usize] = set;
        }
    }
    count
}

fn topological(inputs: &Adjacency) -> Vec<u32> {
    let consumers = inputs.reversed();
    let mut missing: Vec<usize> = (0..inputs.len() as u32).map(|job| inputs.of(job).len()).collect();
    let mut order: Vec<u32> = (0..inputs.len() as u32).filter(|&job| missing[job as usize] == 0).collect();
    let mut next = 0;
    while next < order.len() {
        for &consumer in consumers.of(order[next]) {
            missing[consumer as usize] -= 1;
            if missing[consumer as usize] == 0 {
                order.push(consumer);
            }
        }
        next += 1;
    }
    order
}

/// No plan can be faster: the longest path of derivations and one start-up, or all work on all slots, milliseconds.
pub fn lower_bound(problem: &Problem, model: &Model) -> Millis {
    if problem.is_empty() {
        return 0;
    }
    let longest = longest_paths(problem).0.into_iter().max().unwrap_or(0);
    let machines = (model.concurrency.max(1) * model.most_slots()) as Millis;
    let work: Millis = problem.duration.iter().sum();
    (longest + model.start_up).max(work.div_ceil(machines))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(concurrency: usize, layer: Millis) -> Model {
        Model { concurrency, layer, ..Model::default() }
    }

    #[test]
    fn a_job_waits_for_the_end_of_its_inputs() {
        let inputs = Adjacency::from_lists([vec![], vec![0], vec![0, 1]]);
        let simulation = run(&[60_000, 10_000, 5_000], &inputs, &model(80, 0));
        assert_eq!(simulation.start, [0, 105_000, 160_000]);
        assert_eq!((simulation.makespan, simulation.job_time), (210_000, 210_000));
    }

    #[test]
    fn jobs_beyond_the_concurrency_wait_for_a_machine() {
        let inputs = Adjacency::from_lists([vec![], vec![], vec![]]);
        let simulation = run(&[60_000, 10_000, 5_000], &inputs, &model(2, 0));
        assert_eq!(simulation.start, [0, 0, 55_000]);
        assert_eq!(simulation.makespan, 105_000);
    }

    #[test]
    fn every_ancestor_is_a_layer_once() {
        let inputs = Adjacency::from_lists([vec![], vec![0], vec![0], vec![1, 2]]);
        let simulation = run(&[0; 4], &inputs, &model(80, 1_000));
        assert_eq!(simulation.layers, 5);
        assert_eq!(simulation.makespan, 3 * 45_000 + 1_000 + 3_000);
    }

    #[test]
    fn nothing_to_build_takes_no_time() {
        assert_eq!(run(&[], &Adjacency::from_lists([]), &model(80, 500)), Simulation::default());
        assert_eq!(lower_bound(&Problem::default(), &Model::default()), 0);
    }
}
