//! Every order of events for two workers and three tasks, and many orders for three workers and ten tasks.

use std::collections::HashSet;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};

use super::model::{Faults, World};
use super::tasks::{Leaving, Task, Tasks};
use crate::plan::partition::zero::mix;

/// Names the number of random schedules; without it there are some hundred.
const SCHEDULES: &str = "NIXDAG_WORKER_SCHEDULES";

fn tasks(inputs: Vec<Vec<Task>>, workers: u32, attempts: u8) -> Tasks {
    let count = inputs.len() as u32;
    Tasks {
        tail: (0..count).map(|task| u64::from(count - task)).collect(),
        lane: (0..count).map(|task| task % workers).collect(),
        leaving: vec![Leaving::AtTheEnd; workers as usize],
        slots: 1,
        inputs,
        workers,
        attempts,
        ..Tasks::default()
    }
}

/// Graphs of three tasks: a bit each for 0 before 1, 0 before 2, 1 before 2.
const ALL: std::ops::Range<u32> = 0..8;
/// Those with two edges, which have fewer orders of events.
const SOME: [u32; 3] = [0b011, 0b101, 0b110];

fn graph(edges: u32) -> Vec<Vec<Task>> {
    let has = |bit: u32, task: Task| (edges >> bit & 1 == 1).then_some(task);
    let list = |inputs: &[Option<Task>]| inputs.iter().copied().flatten().collect();
    vec![Vec::new(), list(&[has(0, 0)]), list(&[has(1, 0), has(2, 1)])]
}

/// What was seen of one graph.
#[derive(Debug, Default)]
struct Seen {
    worlds: usize,
    ends: usize,
    depth: usize,
    /// Most builds of one task.
    builds: u8,
}

/// Visits every world that can be reached, and checks those that are ends.
fn visit_all(tasks: &Tasks, faults: Faults) -> Seen {
    let hasher = BuildHasherDefault::<DefaultHasher>::default();
    let mut known: HashSet<u64> = HashSet::new();
    let mut seen = Seen::default();
    let mut level = vec![World::new(tasks, faults)];
    while !level.is_empty() {
        let mut next = Vec::new();
        for world in &level {
            seen.builds = seen.builds.max(world.begun.iter().copied().max().unwrap_or(0));
            let after = world.next(tasks);
            assert_eq!(after.is_empty(), world.is_over(), "nothing can happen: {world:#?}");
            if world.is_over() {
                world.check_end(tasks);
                seen.ends += 1;
            }
            for world in after {
                let hash = hasher.hash_one(&world);
                if known.insert(hash) {
                    if hash % 64 == 0 {
                        finish(world.clone(), tasks, hash);
                    }
                    next.push(world);
                }
            }
        }
        seen.worlds = known.len();
        seen.depth += 1;
        level = next;
    }
    seen
}

/// Without more faults every world comes to an end.
fn finish(mut world: World, tasks: &Tasks, seed: u64) {
    world.faults = Faults::default();
    let mut state = seed;
    for _ in 0..2_000 {
        if world.is_over() {
            return world.check_end(tasks);
        }
        state = mix(state.wrapping_add(0x9e37_79b9_7f4a_7c15));
        let mut next = world.next(tasks);
        let chosen = (state % next.len() as u64) as usize;
        world = next.swap_remove(chosen);
    }
    panic!("this does not end: {world:#?}");
}

fn check(graphs: impl IntoIterator<Item = u32>, faults: Faults) {
    let (mut worlds, mut ends, mut depth, mut builds) = (0, 0, 0, 0);
    for edges in graphs {
        let seen = visit_all(&tasks(graph(edges), 2, 2), faults);
        (worlds, ends) = (worlds + seen.worlds, ends + seen.ends);
        (depth, builds) = (depth.max(seen.depth), builds.max(seen.builds));
    }
    println!("{faults:?}: {worlds} worlds, {ends} ends, depth {depth}, at most {builds} builds of a task");
    assert!(ends > 0 && (builds > 1) == (faults.twice + faults.deaths + faults.suspicions > 0));
}

#[test]
fn without_faults_everything_is_built_once() {
    check(ALL, Faults::default());
}

#[test]
fn lost_answers_and_late_listings_build_nothing_twice() {
    check(SOME, Faults { lost: 1, ..Faults::default() });
    check(SOME, Faults { late: 1, ..Faults::default() });
}

#[test]
fn two_winners_of_one_claim_build_twice_at_worst() {
    check(SOME, Faults { twice: 1, ..Faults::default() });
}

#[test]
fn forged_results_are_not_built_with() {
    check(SOME, Faults { forged: 1, ..Faults::default() });
}

#[test]
fn dead_workers_are_replaced() {
    check(SOME, Faults { deaths: 1, ..Faults::default() });
    check(SOME, Faults { suspicions: 1, ..Faults::default() });
}

/// Every fault, every pair of faults, and two of each kind, with every graph.
#[test]
#[ignore = "takes minutes"]
fn faults_together() {
    let kinds: [fn(&mut Faults); 7] = [
        |faults| faults.lost += 1,
        |faults| faults.late += 1,
        |faults| faults.twice += 1,
        |faults| faults.deaths += 1,
        |faults| faults.suspicions += 1,
        |faults| faults.failures += 1,
        |faults| faults.forged += 1,
    ];
    for (at, first) in kinds.iter().enumerate() {
        let mut faults = Faults::default();
        first(&mut faults);
        check(ALL, faults);
        for second in &kinds[at..] {
            let mut faults = Faults::default();
            first(&mut faults);
            second(&mut faults);
            check(ALL, faults);
        }
    }
}

/// One schedule of three workers and ten tasks; how many events it took, and how many builds.
fn schedule(seed: u64) -> (u32, u32) {
    let mut state = mix(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) + 1);
    let mut random = |below: usize| {
        state = mix(state.wrapping_add(0x9e37_79b9_7f4a_7c15));
        (state % below.max(1) as u64) as usize
    };
    let inputs = (0..10).map(|task| (0..task).filter(|_| random(4) == 0).collect()).collect();
    let mut tasks = tasks(inputs, 3, 3);
    tasks.slots = 1 + random(2);
    for worker in 1..3 {
        let count = 1 + random(9) as u32;
        tasks.leaving[worker] = [Leaving::AtTheEnd, Leaving::WithoutWork(count), Leaving::Opening(count)][random(3)];
    }
    let mut limit = |most: usize| random(most + 1) as u8;
    let faults = Faults {
        lost: limit(5),
        late: limit(5),
        twice: limit(2),
        deaths: limit(2),
        suspicions: limit(3),
        failures: limit(1),
        forged: limit(1),
    };
    let mut world = World::new(&tasks, faults);
    for events in 0..5_000 {
        if world.is_over() {
            world.check_end(&tasks);
            return (events, world.begun.iter().map(|&begun| u32::from(begun)).sum());
        }
        if events == 1_000 {
            world.faults = Faults::default();
        }
        let mut next = world.next(&tasks);
        world = next.swap_remove(random(next.len()));
    }
    panic!("schedule {seed} does not end: {world:#?}");
}

#[test]
fn random_schedules_end_well() {
    let count = std::env::var(SCHEDULES).map_or(300, |count| count.parse().expect("a number of schedules"));
    let (mut events, mut builds, mut most) = (0u64, 0u64, 0);
    for seed in 0..count {
        let (took, begun) = schedule(seed);
        (events, builds, most) = (events + u64::from(took), builds + u64::from(begun), most.max(begun));
    }
    println!("{count} schedules: {events} events, {builds} builds, at most {most} of ten tasks");
}
