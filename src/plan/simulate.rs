//! Runs a plan on paper: when each job starts and ends, and what it costs.
//!
//! In: a [`Problem`], a [`Partition`] of it and a [`Model`]. Out: a [`Simulation`], times in milliseconds. Jobs start in the order in which they become
//! ready, as many at once as the model says; a job's results reach others when the whole job has ended.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::ancestors::{Above, ancestors};
use super::model::{Capacity, Model, Sizes};
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
    /// What each job takes to attach layers and to fetch what others have built, milliseconds.
    pub restore: Vec<Millis>,
    /// Transitive ancestor jobs, summed over all jobs: the layers that are attached where results travel through a workspace.
    pub layers: u64,
    /// Derivations whose results are fetched, summed over all jobs: all of each ancestor's with a workspace, else those that are missing. Bytes where sizes are recorded.
    pub fetched: u64,
    /// What each job takes to hand on what it has built, milliseconds.
    pub hand_off: Vec<Millis>,
}

impl Simulation {
    /// How long each job takes, milliseconds.
    pub fn lengths(&self) -> impl Iterator<Item = Millis> + '_ {
        self.end.iter().zip(&self.start).map(|(end, start)| end - start)
    }
}

/// What a job does, as far as time goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// List schedule of its derivations, without start-up and transfers, milliseconds.
    pub build: Millis,
    /// Derivations that it owns, or bytes of what they leave: what it hands on.
    pub owned: u64,
    /// Derivations of other jobs that its own have as inputs, or bytes of these: what it misses.
    pub missing: u64,
}

/// Runs the jobs of a partition, whose direct inputs are `inputs` (see [`direct_inputs`](super::job_graph::direct_inputs)).
pub fn simulate(problem: &Problem, partition: &Partition, inputs: &Adjacency, model: &Model) -> Simulation {
    simulate_in_waves(problem, partition, inputs, &[], model)
}

/// The same where jobs come in waves: the wave of each, from 0 on; none where they do not.
pub fn simulate_in_waves(
    problem: &Problem,
    partition: &Partition,
    inputs: &Adjacency,
    waves: &[u32],
    model: &Model,
) -> Simulation {
    let mut scheduler = Scheduler::new(problem);
    let loads: Vec<Load> = partition
        .jobs
        .iter()
        .map(|job| {
            let mut tasks: Vec<Node> = job.owned.iter().chain(&job.co_located).copied().collect();
            tasks.sort_unstable();
            Load {
                build: scheduler.length(&tasks, Capacity { disk: u64::MAX, ..model.capacity_of(job.system) }),
                owned: amount(problem, &job.owned, model.sizes),
                missing: amount(problem, &missing(problem, &tasks), model.sizes),
            }
        })
        .collect();
    let mut simulation = run_with(&loads, inputs, model, model.sizes);
    if !waves.is_empty() {
        let lengths: Vec<Millis> = simulation.lengths().collect();
        (simulation.start, simulation.end) = start_and_end_in_waves(&lengths, waves, model);
        simulation.makespan = simulation.end.iter().copied().max().unwrap_or(0);
    }
    if !ancestors_count(model, model.sizes) {
        let above = ancestors(inputs, &inputs.reversed(), &owned(&loads));
        simulation.layers = above.iter().map(|above| above.layers).sum();
        if model.whole_layers {
            simulation.fetched = above.iter().map(|above| above.owned).sum();
        }
    }
    simulation
}

/// True where the ancestors of a job make it longer.
fn ancestors_count(model: &Model, sizes: Option<Sizes>) -> bool {
    model.ancestors_count() || model.whole_layers && sizes.is_some()
}

/// How many derivations these are, or how many bytes they leave where sizes are recorded.
fn amount(problem: &Problem, nodes: &[Node], sizes: Option<Sizes>) -> u64 {
    let recorded = |node: &Node| problem.bytes.get(*node as usize).copied().unwrap_or(0);
    match sizes {
        Some(sizes) => nodes.iter().map(|node| sizes.of(recorded(node))).fold(0, u64::saturating_add),
        None => nodes.len() as u64,
    }
}

/// The derivations outside `tasks` (ascending) that these have as inputs.
pub fn missing(problem: &Problem, tasks: &[Node]) -> Vec<Node> {
    let mut outside: Vec<Node> = tasks
        .iter()
        .flat_map(|&task| problem.inputs.of(task))
        .copied()
        .filter(|input| tasks.binary_search(input).is_err())
        .collect();
    outside.sort_unstable();
    outside.dedup();
    outside
}

fn owned(loads: &[Load]) -> Vec<Option<u64>> {
    loads.iter().map(|load| Some(load.owned)).collect()
}

/// Runs jobs with the given loads, in derivations, and direct inputs. Ancestors are counted only where they cost something.
pub fn run(loads: &[Load], inputs: &Adjacency, model: &Model) -> Simulation {
    run_with(loads, inputs, model, None)
}

/// The same with loads in bytes where there are sizes.
fn run_with(loads: &[Load], inputs: &Adjacency, model: &Model, sizes: Option<Sizes>) -> Simulation {
    let jobs = loads.len();
    let time = |amount: u64, each: Millis| sizes.map_or(each * amount, |sizes| sizes.time(amount));
    let above = match ancestors_count(model, sizes) {
        true => ancestors(inputs, &inputs.reversed(), &owned(loads)),
        false => vec![Above::default(); jobs],
    };
    let fetched = |job: u32| if model.whole_layers { above[job as usize].owned } else { loads[job as usize].missing };
    let restore: Vec<Millis> = (0..jobs as u32)
        .map(|job| model.layer * above[job as usize].layers + time(fetched(job), model.fetch))
        .collect();
    let hand_off: Vec<Millis> = loads.iter().map(|load| time(load.owned, model.hand_off)).collect();
    let lengths: Vec<Option<Millis>> = loads
        .iter()
        .zip(restore.iter().zip(&hand_off))
        .map(|(load, (restore, hand_off))| Some(model.start_up + restore + load.build + hand_off))
        .collect();
    let (start, end) = start_and_end(&lengths, inputs, model.concurrency, 0);
    Simulation {
        makespan: end.iter().copied().max().unwrap_or(0),
        job_time: lengths.iter().flatten().sum(),
        layers: above.iter().map(|above| above.layers).sum(),
        fetched: (0..jobs as u32).map(fetched).sum(),
        start,
        end,
        restore,
        hand_off,
    }
}

/// Start and end of each job, milliseconds: jobs ask for a machine in the order in which they become ready, then by number, get it `queue` milliseconds later, and at
/// most `concurrency` run at once. What has no length is not a job: it needs no machine and ends as soon as its inputs have. `inputs` is acyclic, in any numbering.
pub fn start_and_end(
    lengths: &[Option<Millis>],
    inputs: &Adjacency,
    concurrency: usize,
    queue: Millis,
) -> (Vec<Millis>, Vec<Millis>) {
    let consumers = inputs.reversed();
    let mut left = inputs.in_degrees();
    let (mut start, mut end) = (vec![0; lengths.len()], vec![0; lengths.len()]);
    let mut ready: Vec<Node> = left.ready().collect();
    let mut waiting: BinaryHeap<Reverse<(Millis, Node)>> = BinaryHeap::new();
    let mut running: BinaryHeap<Reverse<(Millis, Node)>> = BinaryHeap::new();
    let mut now = 0;
    loop {
        while let Some(node) = ready.pop() {
            if lengths[node as usize].is_some() {
                waiting.push(Reverse((now + queue, node)));
            } else {
                (start[node as usize], end[node as usize]) = (now, now);
                ready.extend(consumers.of(node).iter().copied().filter(|&consumer| left.arrive(consumer)));
            }
        }
        let is_free = running.len() < concurrency.max(1);
        let ends = running.peek().map(|Reverse((at, _))| *at);
        match waiting.peek().filter(|Reverse((at, _))| is_free && ends.is_none_or(|end| *at <= end)) {
            Some(&Reverse((at, job))) => {
                waiting.pop();
                now = at.max(now);
                start[job as usize] = now;
                end[job as usize] = now + lengths[job as usize].unwrap_or(0);
                running.push(Reverse((end[job as usize], job)));
            }
            None => {
                let Some(Reverse((ended, job))) = running.pop() else { return (start, end) };
                now = ended;
                ready.extend(consumers.of(job).iter().copied().filter(|&consumer| left.arrive(consumer)));
            }
        }
    }
}

/// Start and end of each job, milliseconds, where those of a wave start when all of the waves before have ended and machines have come. The longest start first.
fn start_and_end_in_waves(lengths: &[Millis], waves: &[u32], model: &Model) -> (Vec<Millis>, Vec<Millis>) {
    let (mut start, mut end) = (vec![0; lengths.len()], vec![0; lengths.len()]);
    let mut order: Vec<usize> = (0..lengths.len()).collect();
    order.sort_unstable_by_key(|&job| (waves[job], Reverse(lengths[job]), job));
    let mut now = 0;
    for wave in order.chunk_by(|&a, &b| waves[a] == waves[b]) {
        now += model.queue;
        let mut free: BinaryHeap<Reverse<Millis>> =
            std::iter::repeat_n(Reverse(now), wave.len().min(model.concurrency.max(1))).collect();
        for &job in wave {
            let Some(Reverse(at)) = free.pop() else { break };
            (start[job], end[job]) = (at, at + lengths[job]);
            free.push(Reverse(end[job]));
        }
        now = wave.iter().map(|&job| end[job]).max().unwrap_or(now);
    }
    (start, end)
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
    use crate::plan::problem::JobNodes;

    fn model(concurrency: usize, layer: Millis) -> Model {
        Model { concurrency, layer, ..Model::default() }
    }

    /// Jobs that own a derivation each and miss two.
    fn loads(build: &[Millis]) -> Vec<Load> {
        build.iter().map(|&build| Load { build, owned: 1, missing: 2 }).collect()
    }

    #[test]
    fn what_is_fetched_takes_time() {
        let inputs = Adjacency::from_lists([vec![], vec![0], vec![1]]);
        let with = |whole_layers| Model { fetch: 1_000, whole_layers, ..Model::default() };
        let (workspace, cache) =
            (run(&loads(&[0; 3]), &inputs, &with(true)), run(&loads(&[0; 3]), &inputs, &with(false)));
        assert_eq!((workspace.fetched, workspace.makespan), (3, 3 * 45_000 + 3_000));
        assert_eq!((cache.fetched, cache.makespan), (6, 3 * 45_000 + 6_000));
    }

    #[test]
    fn where_sizes_are_recorded_moving_takes_as_long_as_these_say() {
        // A job each: one derivation of 6 GB, one of 60 MB, and one of unknown size that needs both.
        let inputs = Adjacency::from_lists([vec![], vec![], vec![0, 1]]);
        let bytes = vec![6_000_000_000, 60_000_000, 0];
        let problem = Problem { inputs: inputs.clone(), duration: vec![0; 3], bytes, ..Problem::default() };
        let job = |node| JobNodes { system: 0, owned: vec![node], co_located: Vec::new() };
        let partition = Partition { jobs: (0..3).map(job).collect() };
        let with = |whole_layers| {
            let sizes = Some(Sizes { typical: 120_000_000, bandwidth: 60_000_000 });
            simulate(&problem, &partition, &inputs, &Model { sizes, whole_layers, ..Model::default() })
        };
        for run in [with(false), with(true)] {
            assert_eq!((&*run.hand_off, &*run.restore), (&[100_000, 1_000, 2_000][..], &[0, 0, 101_000][..]));
            assert_eq!((run.fetched, run.makespan), (6_060_000_000, 45_000 + 100_000 + 101_000 + 45_000 + 2_000));
        }
        // Whoever says that it has a petabyte gets an hour.
        let sizes = Sizes { typical: 1, bandwidth: 60_000_000 };
        assert_eq!(sizes.time(sizes.of(1 << 50)), 3_600_000);
    }

    #[test]
    fn a_job_waits_for_the_end_of_its_inputs() {
        let inputs = Adjacency::from_lists([vec![], vec![0], vec![0, 1]]);
        let simulation = run(&loads(&[60_000, 10_000, 5_000]), &inputs, &model(80, 0));
        assert_eq!(simulation.start, [0, 105_000, 160_000]);
        assert_eq!((simulation.makespan, simulation.job_time), (210_000, 210_000));
    }

    #[test]
    fn jobs_beyond_the_concurrency_wait_for_a_machine() {
        let inputs = Adjacency::from_lists([vec![], vec![], vec![]]);
        let simulation = run(&loads(&[60_000, 10_000, 5_000]), &inputs, &model(2, 0));
        assert_eq!(simulation.start, [0, 0, 55_000]);
        assert_eq!(simulation.makespan, 105_000);
    }

    #[test]
    fn what_is_no_job_takes_no_time_but_keeps_the_order() {
        let inputs = Adjacency::from_lists([vec![], vec![0], vec![1]]);
        let (start, end) = start_and_end(&[Some(10), None, Some(5)], &inputs, 8, 0);
        assert_eq!((start, end), (vec![0, 10, 10], vec![10, 10, 15]));
        let (start, end) = start_and_end(&[Some(10), None, Some(5)], &inputs, 8, 7);
        assert_eq!((start, end), (vec![7, 17, 24], vec![17, 17, 29]));
    }

    #[test]
    fn a_job_waits_for_a_machine_and_others_may_end_meanwhile() {
        let inputs = Adjacency::from_lists([vec![], vec![], vec![0], vec![]]);
        let (start, end) = start_and_end(&[Some(10), Some(50), Some(5), Some(1)], &inputs, 2, 7);
        assert_eq!(start, [7, 7, 24, 17], "the fourth asked before the third");
        assert_eq!(end, [17, 57, 29, 18]);
    }

    #[test]
    fn a_wave_waits_for_all_of_the_one_before_and_for_machines() {
        let model = Model { queue: 5, concurrency: 2, ..Model::default() };
        let (start, end) = start_and_end_in_waves(&[10, 30, 20, 1], &[0, 0, 0, 1], &model);
        assert_eq!((start, end), (vec![25, 5, 5, 40], vec![35, 35, 25, 41]));
    }

    #[test]
    fn every_ancestor_is_a_layer_once() {
        let inputs = Adjacency::from_lists([vec![], vec![0], vec![0], vec![1, 2]]);
        let simulation = run(&loads(&[0; 4]), &inputs, &model(80, 1_000));
        assert_eq!(simulation.layers, 5);
        assert_eq!(simulation.makespan, 3 * 45_000 + 1_000 + 3_000);
    }

    #[test]
    fn nothing_to_build_takes_no_time() {
        assert_eq!(run(&[], &Adjacency::from_lists([]), &model(80, 500)), Simulation::default());
        assert_eq!(lower_bound(&Problem::default(), &Model::default()), 0);
    }
}
