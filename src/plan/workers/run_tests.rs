//! Workers on paper: small cases whose times can be followed by hand, and what holds for any graph.

use super::crew::{Crew, Lanes, ProtocolCosts};
use super::run::run;
use super::search::{Way, choose};
use super::setting::{Outcome, Setting};
use super::work::Work;
use crate::plan::model::{Model, Objective};
use crate::plan::problem::{ANY_SYSTEM, Adjacency, Millis, System};
use proptest::prelude::*;

const COSTS: ProtocolCosts = ProtocolCosts { claim: 1, fetch: 2, publish: 3, poll: 5, silence: 100 };

fn work(inputs: Vec<Vec<u32>>, duration: &[Millis]) -> Work {
    let inputs = Adjacency::from_lists(inputs);
    let consumers = inputs.reversed();
    let mut tail = duration.to_vec();
    for unit in (0..duration.len()).rev() {
        tail[unit] += consumers.of(unit as u32).iter().map(|&consumer| tail[consumer as usize]).max().unwrap_or(0);
    }
    let count = duration.len();
    Work {
        inputs,
        consumers,
        duration: duration.to_vec(),
        tail,
        memory: vec![0; count],
        derivations: vec![1; count],
        system: vec![0; count],
    }
}

fn model(slots: usize) -> Model {
    Model { start_up: 10, queue: 4, default_slots: slots, ..Model::default() }
}

fn setting<'a>(work: &'a Work, model: &'a Model, crews: &'a [Crew]) -> Setting<'a> {
    Setting { work, model, costs: &COSTS, crews, lanes: None, death: None }
}

fn one_stage(workers: u32) -> [Crew; 1] {
    [Crew::at_once(0, workers)]
}

#[test]
fn one_worker_waits_for_a_machine_once_and_claims_each_unit() {
    let (work, model) = (work(vec![vec![], vec![0], vec![1]], &[20, 30, 40]), model(1));
    let outcome = run(setting(&work, &model, &one_stage(1))).unwrap();
    // Nothing is fetched: all inputs were built here.
    assert_eq!((outcome.makespan, outcome.machine_time), (4 + 10 + 3 + 90, 10 + 3 + 90));
    assert_eq!((outcome.taken, outcome.done_at_last), (vec![vec![0, 1, 2]], vec![2]));
}

#[test]
fn another_worker_sees_results_when_it_looks_and_fetches_them() {
    // Unit 2 needs what two workers have built: 0 ends at 35 and can be fetched from 38, 1 ends at 45.
    let (work, model) = (work(vec![vec![], vec![], vec![0, 1]], &[20, 30, 5]), model(1));
    let outcome = run(setting(&work, &model, &one_stage(2))).unwrap();
    assert_eq!(outcome.taken, [vec![1, 2], vec![0]]);
    assert_eq!(outcome.ends, [35, 45, 45 + 1 + 2 + 5]);
}

#[test]
fn what_is_heavy_waits_for_memory() {
    let (mut work, mut model) = (work(vec![vec![], vec![]], &[20, 20]), model(2));
    assert_eq!(run(setting(&work, &model, &one_stage(1))).unwrap().ends, [35, 35]);
    (work.memory, model.memory) = (vec![6, 6], vec![Some(10)]);
    assert_eq!(run(setting(&work, &model, &one_stage(1))).unwrap().ends, [35, 56]);
}

#[test]
fn the_second_stage_starts_when_the_opener_has_left() {
    let (work, model) = (work(vec![vec![], vec![0], vec![0]], &[20, 30, 30]), model(1));
    let crews = [Crew { system: 0, first: 1, later: 2, after: 1 }];
    let outcome = run(setting(&work, &model, &crews)).unwrap();
    // The opener leaves at the poll after 35; the others are up 14 later, and have to fetch.
    assert_eq!(outcome.ends, [35, 35 + 14 + 3 + 30, 35 + 14 + 3 + 30]);
    assert_eq!((outcome.taken, outcome.lengths), (vec![vec![0], vec![1], vec![2]], vec![31, 43, 43]));
}

#[test]
fn what_a_dead_worker_had_is_begun_again_after_a_silence() {
    let (work, model) = (work(vec![vec![], vec![], vec![1]], &[20, 30, 5]), model(1));
    let crews = one_stage(2);
    let dies = |at| run(Setting { death: Some((0, at)), ..setting(&work, &model, &crews) }).unwrap();
    let outcome = dies(40);
    assert_eq!((outcome.begun_again, outcome.taken), (1, vec![vec![1], vec![0, 1, 2]]));
    assert_eq!(outcome.makespan, 140 + 1 + 30 + 1 + 5);
    // It had built the unit, and not published it: the same. Had it published, only what came after would be lost.
    assert_eq!(dies(46).begun_again, 2);
    assert_eq!(dies(50).begun_again, 1);
    assert!(run(Setting { death: Some((0, 20)), ..setting(&work, &model, &one_stage(1)) }).is_none());
}

#[test]
fn a_death_lets_the_second_stage_start() {
    let (work, model) = (work(vec![vec![]; 4], &[30; 4]), model(1));
    let crews = [Crew { system: 0, first: 2, later: 1, after: 4 }];
    let outcome = run(Setting { death: Some((1, 20)), ..setting(&work, &model, &crews) }).unwrap();
    // At 120 the death is known, and by then all but what the dead one had was built.
    assert_eq!((outcome.taken, outcome.begun_again), (vec![vec![0, 2, 3], vec![1], vec![1]], 1));
}

#[test]
fn what_no_worker_can_build_ends_the_run() {
    let (mut work, model) = (work(vec![vec![], vec![]], &[20, 20]), model(1));
    work.system[1] = 1;
    assert!(run(setting(&work, &model, &one_stage(3))).is_none());
    work.system[1] = ANY_SYSTEM;
    assert!(run(setting(&work, &model, &one_stage(3))).is_some());
}

#[test]
fn nothing_to_do_needs_no_workers() {
    assert!(choose(&work(Vec::new(), &[]), &model(1), &COSTS, Objective::Time).is_none());
}

#[test]
fn one_unit_needs_one_worker() {
    let way = choose(&work(vec![vec![]], &[20]), &model(4), &COSTS, Objective::Balanced).unwrap();
    assert_eq!((way.crews, way.outcome.machine_time), (vec![Crew::at_once(0, 1)], 31));
}

#[test]
fn cheaper_objectives_take_no_more_machine_time() {
    let layers: Vec<Vec<u32>> = (0..60).map(|unit| (0..unit / 6 * 6).rev().take(6).collect()).collect();
    let duration: Vec<Millis> = (0..60).map(|unit| 50 + 37 * unit % 100).collect();
    let (work, model) = (work(layers, &duration), model(1));
    let way = |objective| choose(&work, &model, &COSTS, objective).unwrap().outcome;
    let [time, balanced, cost] = [Objective::Time, Objective::Balanced, Objective::Cost].map(way);
    assert!(time.makespan <= balanced.makespan && balanced.makespan <= cost.makespan, "{time:?} {balanced:?} {cost:?}");
    assert!(time.machine_time >= balanced.machine_time && balanced.machine_time >= cost.machine_time);
    assert!(cost.machine_time < time.machine_time);
}

/// What holds for every run: each unit once, in an order that its inputs allow, no faster than any plan can be.
fn check(work: &Work, outcome: &Outcome, slots: usize) -> Result<(), TestCaseError> {
    let mut taken: Vec<u32> = outcome.taken.iter().flatten().copied().collect();
    taken.sort_unstable();
    prop_assert_eq!(taken, (0..work.len() as u32).collect::<Vec<_>>());
    prop_assert!(outcome.makespan >= work.longest_path() + 14);
    let total: Millis = work.duration.iter().sum();
    prop_assert!(outcome.machine_time * slots as Millis >= total);
    prop_assert!(outcome.lengths.iter().all(|&length| length <= outcome.makespan));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_unit_is_taken_once(
        edges in proptest::collection::vec((0u32..40, 0u32..40), 0..120),
        duration in proptest::collection::vec(1u64..100, 40),
        kinds in proptest::collection::vec(0u16..3, 40),
        workers in 1u32..5, later in 0u32..4, after in 1u32..40, slots in 1usize..4, dies_at in 0u64..600,
    ) {
        let mut lists = vec![Vec::new(); 40];
        for (a, b) in edges {
            if a != b {
                lists[a.max(b) as usize].push(a.min(b));
            }
        }
        let mut work = work(lists, &duration);
        work.system = kinds.iter().map(|&kind| if kind == 2 { ANY_SYSTEM } else { System::from(kind) }).collect();
        let model = model(slots);
        let crews = vec![Crew { system: 0, first: workers, later, after }, Crew::at_once(1, 2)];
        let free = run(setting(&work, &model, &crews)).unwrap();
        check(&work, &free, slots)?;
        let lanes = Lanes { units: free.taken, leave_at: free.done_at_last };
        let in_lanes = Setting { lanes: Some(&lanes), ..setting(&work, &model, &crews) };
        check(&work, &run(in_lanes).unwrap(), slots)?;
        // With one of the others alive, a death costs time and builds, and nothing else.
        if workers + later > 1 {
            let last = (workers + later - 1) as usize;
            if let Some(outcome) = run(Setting { death: Some((last, dies_at)), ..in_lanes }) {
                let taken: usize = outcome.taken.iter().map(Vec::len).sum();
                prop_assert_eq!(taken, 40 + outcome.begun_again as usize);
            }
        }
    }

    /// The same work gives the same workers.
    #[test]
    fn choices_repeat(duration in proptest::collection::vec(1u64..100, 20)) {
        let lists = (0..20u32).map(|unit| (0..unit).filter(|input| (unit - input) % 7 == 3).collect()).collect();
        let work = work(lists, &duration);
        let way = || -> Way { choose(&work, &model(2), &COSTS, Objective::Balanced).unwrap() };
        prop_assert_eq!(way(), way());
    }
}
