//! The rules of plans in waves, on the random graphs of [`super::properties`].

use super::properties::{random_options, random_problem};
use super::waves::{Barrier, Waves};
use super::*;
use crate::plan::job_graph::direct_inputs;
use crate::plan::model::{Objective, PartitionOptions};
use crate::plan::problem::{Adjacency, Millis};
use crate::plan::simulate::{lower_bound, simulate, simulate_in_waves};

#[test]
fn waves_of_every_graph_keep_the_rules() {
    let (mut planned, mut several) = (0, 0);
    for seed in 0..200 {
        let problem = random_problem(seed);
        let (model, options) = random_options(seed);
        let (units, _) = contract::contract(&problem, &model);
        let instance = Instance {
            problem: &problem,
            units: &units,
            model: &model,
            options: &options,
            start_up: model.start_up.max(1),
            attach: &[],
            floor: 0,
            giant: false,
        };
        let (waves, runners) = (1 + seed as usize % 9, 1 + seed as usize % 5);
        let barrier = Barrier { waves, queue: 15_000, runners, sharing: seed % 2 == 0, longest: Millis::MAX };
        for waves in waves::search(&instance, &barrier, &[0.0, 0.5]) {
            let Waves { owner, wave, makespan, job_time } = waves;
            planned += 1;
            several += usize::from(wave.iter().any(|&wave| wave > 0));
            assert!(wave.iter().all(|&wave| wave < barrier.waves), "seed {seed}: more than {} waves", barrier.waves);
            let jobs = Jobs::from_owners(&instance, &mut Scheduler::new(&problem), &owner);
            for unit in 0..units.len() {
                let job = owner[unit] as usize;
                assert_eq!(wave[unit], wave[job], "seed {seed}: job {job} is in two waves");
                for &input in units.inputs.of(unit as u32) {
                    let (same, before) = (owner[input as usize] == owner[unit], wave[input as usize] < wave[unit]);
                    assert!(
                        same || before,
                        "seed {seed}: unit {unit} and its input {input} exchange something in one wave"
                    );
                }
            }
            let existing = || jobs.list.iter().filter(|job| !job.units.is_empty());
            for job in existing() {
                let fits = |&unit: &u32| jobs::compatible_systems(units.system[unit as usize], job.system);
                assert!(job.units.iter().all(fits), "seed {seed}: {:?} on one machine", job.units);
                let with_targets = job.units.iter().filter(|&&unit| units.targets[unit as usize] > 0).count();
                let may_share = options.granularity != Granularity::Target || barrier.sharing;
                assert!(may_share || with_targets <= 1, "seed {seed}: two targets");
                let alone = job.units.len() == 1;
                assert!(
                    alone || options.limits.job_length.is_none_or(|most| job.length <= most),
                    "seed {seed}: too long"
                );
            }
            assert_eq!(job_time, existing().map(|job| job.length).sum::<Millis>(), "seed {seed}");
            let longest = |number| {
                let of_wave = existing().filter(|job| wave[job.units[0] as usize] == number);
                of_wave.map(|job| barrier.queue + job.length).max().unwrap_or(0)
            };
            let least: Millis = (0..barrier.waves).map(longest).sum();
            assert!(makespan >= least, "seed {seed}: {makespan} ms, though the longest jobs take {least} ms");
        }
    }
    assert!(planned > 200 && several > 100, "{planned} plans, {several} of several waves");
}

/// Derivations of a minute each.
fn of_minutes(inputs: Adjacency, target: Vec<bool>) -> Problem {
    let nodes = target.len();
    Problem {
        consumers: inputs.reversed(),
        inputs,
        duration: vec![60_000; nodes],
        cheap: vec![false; nodes],
        target,
        system: vec![0; nodes],
        floating: vec![false; nodes],
        confined: vec![false; nodes],
        portable: vec![false; nodes],
        bytes: Vec::new(),
        memory: Vec::new(),
        name_hash: (0..nodes as u64).map(zero::mix).collect(),
        rank: Vec::new(),
        spread: Vec::new(),
    }
}

#[test]
fn a_chain_of_targets_with_a_job_each_needs_as_many_waves() {
    let links = (0..5).map(|node: Node| node.checked_sub(1).into_iter().collect());
    let problem = of_minutes(Adjacency::from_lists(links), vec![true; 5]);
    let within = |granularity, waves, longest| {
        let model = Model::default();
        let options = PartitionOptions { granularity, ..PartitionOptions::default() };
        let (units, _) = contract::contract(&problem, &model);
        let (problem, model, options) = (&problem, &model, &options);
        let instance =
            Instance { problem, units: &units, model, options, start_up: 45_000, attach: &[], floor: 0, giant: false };
        let found =
            waves::search(&instance, &Barrier { waves, queue: 15_000, runners: 60, sharing: false, longest }, &[0.0]);
        found.first().map(|plan| (plan.wave.iter().max().map(|&last| last + 1), plan.makespan))
    };
    let waves = |granularity, waves| within(granularity, waves, Millis::MAX);
    assert_eq!(waves(Granularity::Target, 4), None);
    assert_eq!(waves(Granularity::Target, 8), Some((Some(5), 5 * 120_000)));
    let one = Some((Some(1), 60_000 + 5 * 60_000));
    assert_eq!(waves(Granularity::Auto, 4), one);
    assert_eq!(within(Granularity::Auto, 4, 360_001), one);
    assert_eq!(within(Granularity::Auto, 4, 360_000), None, "no shorter than what there is");
}

/// Two waves, the first of a hundred derivations that one takes, the second of five groups of so many: whatever has a wave too few is ten times as long as no plan can be, and
/// longer, and yet a plan.
#[test]
fn where_there_are_too_few_waves_for_a_short_plan_there_is_a_long_one() {
    const WIDE: Node = 100;
    // A node that is the only input of `WIDE` others, all of which one node takes.
    let group = |first: Node, before: Option<Node>| {
        let head = [before.into_iter().collect()];
        let middle = (0..WIDE).map(move |_| vec![first]);
        head.into_iter().chain(middle).chain([(first + 1..=first + WIDE).collect::<Vec<Node>>()])
    };
    let size = WIDE + 2;
    let lists = (0..6).flat_map(|at: Node| group(at * size, (at > 0).then_some(size - 1)));
    let mut problem =
        of_minutes(Adjacency::from_lists(lists), (0..6 * size).map(|node| node % size == size - 1).collect());
    // What is between the groups takes a second, for a bound that is short.
    let ends = (0..6 * size).filter(|node| [0, size - 1].contains(&(node % size)));
    ends.for_each(|node| problem.duration[node as usize] = 1_000);
    let (model, options) = (Model { concurrency: 60, ..Model::default() }, PartitionOptions::default());
    let (units, _) = contract::contract(&problem, &model);
    let instance = Instance {
        problem: &problem,
        units: &units,
        model: &model,
        options: &options,
        start_up: 45_000,
        attach: &[],
        floor: 0,
        giant: false,
    };
    let search = |waves, longest| {
        let barrier = Barrier { waves, queue: 15_000, runners: 60, sharing: true, longest };
        waves::search(&instance, &barrier, &[0.0]).first().map(|plan| plan.makespan)
    };
    let (one, two) = (search(1, Millis::MAX).unwrap(), search(2, Millis::MAX).unwrap());
    assert!(two > 10 * lower_bound(&problem, &model) + 2 * 60_000, "{two} ms: short waves would do");
    assert!(two * 5 < one * 2, "{two} ms in two waves, {one} ms in one");
    assert_eq!(search(2, two), None, "no longer than what there is");
}

#[test]
fn few_targets_of_a_chain_longer_than_there_are_waves_share_a_job() {
    const CHAIN: Node = 12;
    // Each target of the chain needs six derivations of its own, and six targets beside it need no other target.
    let of_target = |target: Node, first: Node| {
        let before = (target > 0 && target < CHAIN).then(|| 7 * target - 1);
        before.into_iter().chain(first..first + 6).collect::<Vec<Node>>()
    };
    let all = CHAIN + 6;
    let lists = (0..all).flat_map(|target| {
        let own = (0..6).map(|_| Vec::new());
        own.chain([of_target(target, 7 * target)])
    });
    let problem = of_minutes(Adjacency::from_lists(lists), (0..7 * all).map(|node| node % 7 == 6).collect());
    let options =
        PartitionOptions { granularity: Granularity::Target, durations_recorded: true, ..PartitionOptions::default() };
    let most = model::Waves { count: 8, jobs: 255 };
    let model = Model { concurrency: 60, queue: 15_000, ..Model::default() };
    let found = partition_in_waves(&problem, &model, &options, most).expect("a plan");
    let run = |jobs: &Partition, waves: &[u32]| {
        let direct = direct_inputs(&problem, jobs).unwrap();
        simulate_in_waves(&problem, jobs, &direct, waves, &model).makespan
    };
    let free = run(&partition(&problem, &model, &options).partition, &[]);
    let makespan = run(&found.partition, &found.waves);
    let targets = |job: &JobNodes| job.owned.iter().filter(|&&node| problem.target[node as usize]).count();
    let shared: Vec<usize> = found.partition.jobs.iter().map(targets).filter(|&targets| targets > 1).collect();
    assert!(found.waves.iter().all(|&wave| wave < 8), "{:?}", found.waves);
    assert!(makespan <= free, "{makespan} ms, {free} ms where each target of the chain waits for a job");
    assert!(!shared.is_empty() && shared.iter().all(|&targets| targets == 2), "{shared:?}");
}

#[test]
fn two_targets_that_nothing_can_part_need_no_two_waves() {
    // Both take in what floats with them.
    let inputs = Adjacency::from_lists([vec![], vec![0], vec![1], vec![1]]);
    let mut problem = of_minutes(inputs, vec![false, false, true, true]);
    problem.floating[1] = true;
    let options = PartitionOptions { granularity: Granularity::Target, ..PartitionOptions::default() };
    let (units, _) = contract::contract(&problem, &Model::default());
    assert_eq!(units.targets.iter().max(), Some(&2));
    let found = partition_in_waves(&problem, &Model::default(), &options, model::Waves { count: 8, jobs: 255 });
    assert_eq!(found.map(|found| found.waves), Some(vec![0]));
}

/// Derivations that need two of the five hundred before them; one of forty takes most of an hour, the rest less than a minute.
fn uneven(count: usize) -> Problem {
    let random = |node: usize, purpose: u64| zero::mix(((node as u64) << 8) | purpose);
    let inputs = Adjacency::from_lists((0..count).map(|node| {
        let reach = (node as u64).min(500);
        let input = |purpose: u64| (node as u64 - 1 - random(node, purpose) % reach) as Node;
        let mut inputs: Vec<Node> = (0..2).filter(|_| reach > 0).map(input).collect();
        inputs.sort_unstable();
        inputs.dedup();
        inputs
    }));
    let duration = |node: usize| match random(node, 100) % 40 {
        0 => 1_200_000 + random(node, 101) % 2_400_000,
        _ => 10_000 + random(node, 102) % 50_000,
    };
    let consumers = inputs.reversed();
    Problem {
        target: (0..count as Node).map(|node| consumers.of(node).is_empty()).collect(),
        duration: (0..count).map(duration).collect(),
        name_hash: (0..count).map(|node| random(node, 103)).collect(),
        inputs,
        consumers,
        cheap: vec![false; count],
        system: vec![0; count],
        portable: vec![false; count],
        floating: vec![false; count],
        confined: vec![false; count],
        ..Problem::default()
    }
}

/// Records show a few derivations that take most of the time; waves, each as long as its longest job, wait for these again and again. A plan that is longer than one job for each
/// derivation is not taken: that would be a thousand jobs.
#[test]
fn waves_make_no_plan_longer_or_dearer_where_a_few_derivations_take_most_of_the_time() {
    let (problem, model) = (uneven(1000), Model::default());
    let options = PartitionOptions {
        objective: Objective::Time,
        granularity: Granularity::Auto,
        durations_recorded: true,
        ..PartitionOptions::default()
    };
    let plan = partition(&problem, &model, &options).partition;
    let makespan = simulate(&problem, &plan, &direct_inputs(&problem, &plan).unwrap(), &model).makespan;
    let (bound, jobs) = (lower_bound(&problem, &model), plan.jobs.len());
    assert!(makespan * 100 <= bound * 104 && jobs < 100, "{makespan} ms in {jobs} jobs, not below {bound} ms");
}
