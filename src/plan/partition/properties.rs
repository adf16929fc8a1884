//! Random graphs of many shapes, and a checker of the planner's rules that knows nothing of how the planner works.

use super::*;
use crate::plan::job_graph::direct_inputs;
use crate::plan::model::{Objective, PlanLimits};
use crate::plan::problem::{ANY_SYSTEM, Adjacency, Millis, System};
use crate::plan::simulate::{Load, lower_bound, simulate};

/// A small generator of random numbers (SplitMix64): the same graphs on every machine.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        zero::mix(self.0) % end.max(1)
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

/// A graph of one of the shapes that real ones are made of.
pub(super) fn random_problem(seed: u64) -> Problem {
    let mut random = Random(seed);
    let count = 1 + random.below(if seed.is_multiple_of(10) { 120 } else { 30 }) as usize;
    let shape = random.below(9);
    let width = 1 + random.below(8) as usize;
    let mut inputs: Vec<Vec<Node>> = vec![Vec::new(); count];
    for (node, row) in inputs.iter_mut().enumerate().skip(1) {
        let list: Vec<usize> = match shape {
            // Chains, side by side.
            0 => node.checked_sub(width).into_iter().collect(),
            // Diamonds.
            1 => {
                if node % 3 == 0 {
                    vec![node - 1, node - 2]
                } else {
                    vec![(node / 3) * 3]
                }
            }
            // A fan out, a fan in.
            2 => vec![0],
            3 => {
                if node == count - 1 {
                    (0..node).collect()
                } else {
                    Vec::new()
                }
            }
            // A hub and its consumers, some of which use each other.
            4 => {
                if random.chance(30) {
                    vec![0, random.below(node as u64) as usize]
                } else {
                    vec![0]
                }
            }
            // Layers, each on all of the one before.
            5 => (0..node).filter(|other| other / width + 1 == node / width).collect(),
            // Parts without a connection.
            6 => (0..node).filter(|other| other % width == node % width && random.chance(20)).collect(),
            // Groups of equal consumers.
            7 => (0..node).filter(|other| other % 5 == (node / width) % 5).collect(),
            // Anything.
            _ => (0..node).filter(|_| random.chance(15)).collect(),
        };
        *row = list.into_iter().filter(|&other| other < node).map(|other| other as Node).collect();
    }
    let systems = [1, 1, 2, 3][random.below(4) as usize];
    let (cheap, floating, targets) = (random.below(90), [0, 0, 0, 25][random.below(4) as usize], 5 + random.below(60));
    let mut problem = Problem { inputs: Adjacency::from_lists(inputs), ..Problem::default() };
    problem.consumers = problem.inputs.reversed();
    for node in 0..count {
        let is_cheap = random.chance(cheap);
        problem.cheap.push(is_cheap);
        problem.duration.push(match random.below(6) {
            0 => 0,
            1 => 1000 * random.below(900),
            _ if is_cheap => 5_000,
            _ => 60_000,
        });
        problem.target.push(problem.consumers.of(node as Node).is_empty() || random.chance(targets));
        problem.system.push(if random.chance(8) { ANY_SYSTEM } else { random.below(systems) as System });
        problem.portable.push(false);
        problem.floating.push(random.chance(floating));
        problem.confined.push(false);
        problem.name_hash.push(random.below(u64::MAX));
    }
    if random.chance(40) {
        confine(&mut problem, &mut random, systems);
    }
    if random.chance(30) {
        let mut order: Vec<usize> = (0..count).collect();
        order.sort_by_key(|&node| problem.name_hash[node]);
        problem.rank = vec![0; count];
        (0..).zip(order).for_each(|(rank, node)| problem.rank[node] = rank);
    }
    problem
}

/// Gives some targets one of two sets of contexts, as [`crate::plan::placement`] numbers them: then nothing can be built just anywhere.
fn confine(problem: &mut Problem, random: &mut Random, systems: u64) {
    problem.system.iter_mut().filter(|system| **system == ANY_SYSTEM).for_each(|system| *system = 0);
    for node in (0..problem.len()).filter(|&node| problem.target[node]) {
        if random.chance(40) {
            problem.system[node] = (systems + random.below(2)) as System;
            problem.confined[node] = true;
        }
    }
    // What is cheap may be built wherever it is needed, if what comes along with it may.
    for node in 0..problem.len() {
        let movable = |&input: &Node| !problem.cheap[input as usize] || problem.portable[input as usize];
        problem.portable[node] = problem.cheap[node] && problem.inputs.of(node as Node).iter().all(movable);
    }
}

pub(super) fn random_options(seed: u64) -> (Model, PartitionOptions) {
    let mut random = Random(seed ^ 0xabcd);
    let model = Model {
        start_up: [0, 20_000, 45_000, 45_000, 45_000][random.below(5) as usize],
        layer: [0, 0, 500][random.below(3) as usize],
        fetch: 0,
        hand_off: 0,
        whole_layers: true,
        queue: 0,
        concurrency: [1, 3, 80][random.below(3) as usize],
        slots: vec![[1, 4, 16][random.below(3) as usize]],
        default_slots: 2,
        memory: Vec::new(),
        disk: Vec::new(),
        sizes: None,
    };
    let some = |random: &mut Random, value: u64| random.chance(25).then_some(value);
    let options = PartitionOptions {
        objective: [Objective::Time, Objective::Balanced, Objective::Cost][random.below(3) as usize],
        granularity: [Granularity::Target, Granularity::Auto, Granularity::Single][random.below(3) as usize],
        limits: PlanLimits {
            jobs: some(&mut random, 1 + seed % 12).map(|most| most as usize),
            requires: some(&mut random, 1 + seed % 5).map(|most| most as usize),
            inputs: None,
            job_length: some(&mut random, 100_000 + seed % 7 * 60_000),
            waves: None,
            worker_names: None,
        },
        reserve: [None, Some(0.0), Some(3.0)][random.below(3) as usize],
        durations_recorded: random.chance(50),
        ..PartitionOptions::default()
    };
    (model, options)
}

/// Every rule that an answer has to keep.
fn check(problem: &Problem, partition: &Partition) -> Result<(), String> {
    let count = problem.len();
    let mut owner = vec![None; count];
    let mut builds = vec![Vec::new(); count];
    for (job, nodes) in partition.jobs.iter().enumerate() {
        for list in [&nodes.owned, &nodes.co_located] {
            if !list.is_sorted_by(|a, b| a < b) {
                return Err(format!("job {job}: not ascending"));
            }
        }
        let confined = |node: &Node| problem.confined[*node as usize];
        if nodes.owned.iter().any(confined) && (!nodes.co_located.is_empty() || !nodes.owned.iter().all(confined)) {
            return Err(format!("job {job} has contexts and builds more than its targets: {nodes:?}"));
        }
        let mut specific = false;
        for &node in nodes.owned.iter().chain(&nodes.co_located) {
            let system = problem.system[node as usize];
            specific |= system != ANY_SYSTEM;
            if system != ANY_SYSTEM && system != nodes.system && !problem.portable[node as usize] {
                return Err(format!("job {job} of system {}: node {node} of system {system}", nodes.system));
            }
            builds[node as usize].push(job);
        }
        if specific == (nodes.system == ANY_SYSTEM) {
            return Err(format!("job {job}: system {} although specific is {specific}", nodes.system));
        }
        if nodes.owned.is_empty() {
            return Err(format!("job {job} owns nothing"));
        }
        for &node in &nodes.owned {
            if owner[node as usize].replace(job).is_some() {
                return Err(format!("node {node} is owned twice"));
            }
        }
    }
    for node in 0..count {
        let name = node as Node;
        match owner[node] {
            Some(job) if builds[node] != [job] => return Err(format!("node {node} is owned and co-located")),
            None if builds[node].is_empty() => return Err(format!("node {node} is built nowhere")),
            None if problem.target[node] => return Err(format!("target {node} is not owned")),
            None if !problem.cheap[node] => return Err(format!("node {node} is not cheap, but co-located")),
            None if problem.floating[node] => return Err(format!("node {node} floats, but is co-located")),
            _ => {}
        }
        for &job in &builds[node] {
            for &input in problem.inputs.of(name) {
                if owner[input as usize].is_none() && !builds[input as usize].contains(&job) {
                    return Err(format!("job {job} builds {node}, but not its co-located input {input}"));
                }
            }
            let used = owner[node].is_some()
                || problem.consumers.of(name).iter().any(|&consumer| builds[consumer as usize].contains(&job));
            if !used {
                return Err(format!("job {job} builds {node} for nobody"));
            }
        }
    }
    runs(problem, partition)
}

/// Executes the jobs in two orders that respect the edges; each input must have been built before, here or by its owner.
fn runs(problem: &Problem, partition: &Partition) -> Result<(), String> {
    let inputs = direct_inputs(problem, partition).unwrap();
    for backward in [false, true] {
        let mut done = vec![false; partition.jobs.len()];
        let mut handed_on = vec![false; problem.len()];
        for _ in 0..partition.jobs.len() {
            let ready = |job: &usize| !done[*job] && inputs.of(*job as u32).iter().all(|&other| done[other as usize]);
            let mut jobs = 0..partition.jobs.len();
            let next = if backward { jobs.rev().find(ready) } else { jobs.find(ready) };
            let Some(job) = next else { return Err("the jobs form a cycle".into()) };
            let nodes = &partition.jobs[job];
            let mut here: Vec<Node> = nodes.owned.iter().chain(&nodes.co_located).copied().collect();
            here.sort_unstable();
            for (index, &node) in here.iter().enumerate() {
                for input in problem.inputs.of(node) {
                    if !handed_on[*input as usize] && !here[..index].contains(input) {
                        return Err(format!("job {job} builds {node} without its input {input}"));
                    }
                }
            }
            for &node in &nodes.owned {
                handed_on[node as usize] = true;
            }
            done[job] = true;
        }
    }
    Ok(())
}

fn targets_of(problem: &Problem, nodes: &JobNodes) -> usize {
    nodes.owned.iter().filter(|&&node| problem.target[node as usize]).count()
}

#[test]
fn every_plan_of_every_graph_keeps_the_rules() {
    for seed in 0..2500 {
        let problem = random_problem(seed);
        let (model, options) = random_options(seed);
        let plan = partition(&problem, &model, &options);
        if let Err(broken) = check(&problem, &plan.partition) {
            panic!("seed {seed}, {options:?}: {broken}\n{problem:?}\n{:?}", plan.partition);
        }
        let simulation =
            simulate(&problem, &plan.partition, &direct_inputs(&problem, &plan.partition).unwrap(), &model);
        assert!(simulation.makespan >= lower_bound(&problem, &model), "seed {seed}");
        let limits = &options.limits;
        if plan.notes.is_empty() {
            let jobs = &plan.partition.jobs;
            assert!(limits.jobs.is_none_or(|most| jobs.len() <= most), "seed {seed}: too many jobs");
            if options.granularity == Granularity::Target && !problem.floating.contains(&true) {
                assert!(jobs.iter().all(|job| targets_of(&problem, job) <= 1), "seed {seed}: targets share a job");
            }
        }
    }
}

#[test]
fn floating_derivations_stay_with_their_consumers() {
    for seed in 0..800 {
        let problem = random_problem(seed);
        if !problem.floating.contains(&true) {
            continue;
        }
        let (model, options) = random_options(seed);
        let plan = partition(&problem, &model, &options);
        if !plan.notes.is_empty() {
            continue;
        }
        for node in (0..problem.len()).filter(|&node| problem.floating[node]) {
            let job = |node: Node| plan.partition.jobs.iter().position(|job| job.owned.contains(&node));
            for &consumer in problem.consumers.of(node as Node) {
                if problem.system[consumer as usize] == problem.system[node] {
                    assert_eq!(job(node as Node), job(consumer), "seed {seed}: {node} and {consumer}");
                }
            }
        }
    }
}

#[test]
fn the_same_problem_gives_the_same_plan() {
    for seed in 0..100 {
        let problem = random_problem(seed);
        let (model, options) = random_options(seed);
        assert_eq!(partition(&problem, &model, &options), partition(&problem, &model, &options), "seed {seed}");
    }
}

/// What *ordered* builds: the needed closure of each target, less those of the targets below it; and which targets each waits for.
fn ordered(problem: &Problem) -> Vec<(Vec<Node>, Vec<Node>)> {
    let closure = |target: Node| {
        let mut inside = vec![false; problem.len()];
        inside[target as usize] = true;
        for node in (0..target).rev() {
            inside[node as usize] |= problem.consumers.of(node).iter().any(|&consumer| inside[consumer as usize]);
        }
        inside
    };
    let targets: Vec<Node> = (0..problem.len() as Node).filter(|&node| problem.target[node as usize]).collect();
    let closures: Vec<Vec<bool>> = targets.iter().map(|&target| closure(target)).collect();
    let job = |index: usize| {
        let is_below = |&below: &usize| below != index && closures[index][targets[below] as usize];
        let below: Vec<usize> = (0..targets.len()).filter(is_below).collect();
        let missing =
            |&node: &Node| closures[index][node as usize] && !below.iter().any(|&other| closures[other][node as usize]);
        ((0..problem.len() as Node).filter(missing).collect(), below.iter().map(|&other| other as Node).collect())
    };
    (0..targets.len()).map(job).collect()
}

/// Makespan and job time of jobs that are list-scheduled and run as the planner's are.
fn executed(problem: &Problem, model: &Model, jobs: Vec<(Vec<Node>, Vec<Node>)>) -> (Millis, Millis) {
    let mut scheduler = Scheduler::new(problem);
    let machine = model.capacity_of(problem.system[0]);
    let load = |nodes: &[Node]| Load { build: scheduler.length(nodes, machine), ..Load::default() };
    let loads: Vec<Load> = jobs.iter().map(|(nodes, _)| nodes.as_slice()).map(load).collect();
    let inputs = Adjacency::from_lists(jobs.into_iter().map(|(_, inputs)| inputs));
    let simulation = crate::plan::simulate::run(&loads, &inputs, model);
    (simulation.makespan, simulation.job_time)
}

/// Two comparisons hold on graphs of one system without limits and with a start-up worth saving, where the simpler plan is run with the same list schedule: under
/// `time` the makespan is no longer than that of *per derivation*; under `cost` the job time is
/// no more than *ordered*'s. Neither *ordered*'s makespan nor *flat*'s is a bound: both build the same derivation on several machines at once, where a plan
/// without repeats has to wait for the one that owns it (a few random graphs in a thousand show it).
#[test]
fn no_plan_is_worse_than_simpler_ones() {
    for seed in 0..300 {
        let mut problem = random_problem(seed);
        problem.system.fill(0);
        problem.floating.fill(false);
        let model = Model { concurrency: [3, 80][seed as usize % 2], ..Model::default() };
        let planned = |objective| {
            let options = PartitionOptions {
                objective,
                granularity: Granularity::Auto,
                reserve: Some(0.0),
                ..PartitionOptions::default()
            };
            let partition = partition(&problem, &model, &options).partition;
            simulate(&problem, &partition, &direct_inputs(&problem, &partition).unwrap(), &model)
        };
        let ordered = executed(&problem, &model, ordered(&problem));
        let alone = (0..problem.len() as Node).map(|node| (vec![node], problem.inputs.of(node).to_vec())).collect();
        let per_derivation = executed(&problem, &model, alone);
        let (time, cost) = (planned(Objective::Time), planned(Objective::Cost));
        assert!(time.makespan <= per_derivation.0, "seed {seed}: {} s", time.makespan / 1000);
        assert!(cost.job_time <= ordered.1, "seed {seed}: {} s", cost.job_time / 1000);
    }
}

/// Graphs that are planned in one go: what merging brings within a limit is not given up before.
#[test]
fn a_limit_that_a_plan_keeps_within_costs_it_nothing() {
    let mut several = 0;
    for seed in 0..200 {
        let problem = random_problem(seed);
        let (units, _) = contract::contract(&problem, &Model::default());
        let plan = |jobs: Option<usize>| {
            let limits = PlanLimits { jobs, ..PlanLimits::default() };
            let options = PartitionOptions {
                granularity: Granularity::Auto,
                objective: Objective::Time,
                limits,
                ..PartitionOptions::default()
            };
            let model = Model::default();
            let instance = Instance {
                problem: &problem,
                units: &units,
                model: &model,
                options: &options,
                start_up: model.start_up,
                attach: &[],
                floor: 0,
                giant: true,
            };
            let found = portfolio::search(&instance);
            (found.makespan, found.jobs.count())
        };
        let free = plan(None);
        several += usize::from(free.1 > 3);
        let limited = plan(Some(free.1));
        assert!(
            limited.0 <= free.0 / 100 * 102 && limited.1 <= free.1,
            "seed {seed}: {limited:?}, without a limit {free:?}"
        );
    }
    assert!(several > 10, "{several} of the graphs want more than a few jobs");
}
