//! Waves on a real graph with everything to build: short where there are some, and a plan where there are hardly any.

use crate::contract::real;
use crate::scenario::Scenario;
use crate::support::graphs;
use nixdag::plan::job_graph::direct_inputs;
use nixdag::plan::model::{Granularity, Model, Objective, PartitionOptions, Waves};
use nixdag::plan::partition::bands::{self, InWaves};
use nixdag::plan::partition::partition_in_waves;
use nixdag::plan::simulate::{lower_bound, simulate_in_waves};

#[test]
#[ignore = "needs real graphs, in a folder that NIXDAG_GRAPHS names"]
fn everything_in_eight_waves_and_in_four() {
    let scenario = Scenario::read(&real("core2026"), &graphs().join("scenarios/s4"));
    let problem = &scenario.problem;
    let model = Model { concurrency: 60, queue: 15_000, ..Model::default() };
    let options = PartitionOptions {
        objective: Objective::Time,
        granularity: Granularity::Auto,
        durations_recorded: true,
        ..PartitionOptions::default()
    };
    let most = |count| Waves { count, jobs: 255 };
    let planned = |count| partition_in_waves(problem, &model, &options, most(count)).expect("a plan");
    let (eight, four) = (planned(8), planned(4));
    let cut = bands::in_waves(problem, &model, &eight.partition, most(4)).unwrap();
    let makespan = |found: &InWaves| {
        let direct = direct_inputs(problem, &found.partition).unwrap();
        simulate_in_waves(problem, &found.partition, &direct, &found.waves, &model).makespan
    };
    let (of_eight, of_four, of_cut) = (makespan(&eight), makespan(&four), makespan(&cut));
    println!("{of_eight} ms, {of_four} ms in four waves, {of_cut} ms where eight are put together");
    assert!([&four, &cut].iter().all(|found| found.waves.iter().all(|&wave| wave < 4)));
    assert!(of_eight * 100 <= lower_bound(problem, &model) * 115);
    assert!(of_four < of_cut);
}
