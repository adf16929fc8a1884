//! `cargo bench --bench robustness`: what plans are worth when derivations take other times than expected.
//!
//! Every derivation that is no fetch and not built locally takes a time drawn from a heavy tail (log-normal: median 40 s, 99th percentile 20 min), seeded by its name
//! and the number of the draw. Plans are made without knowing these times, and again with them as records; both are run on paper with them. Prints mean makespan
//! over lower bound of five draws, and job time beside that of one job a derivation.
//!
//! Uses the graph that `NIXDAG_GRAPH` names (a folder with `.drv` files) with the scenario that `NIXDAG_SCENARIO` names (a folder with `roots.json` and
//! `available`), else a made-up graph of 4,000 derivations.

#![allow(clippy::unwrap_used)] // a benchmark that cannot go on has failed

#[path = "../support/scenario.rs"]
mod scenario;
#[path = "../support/synthetic.rs"]
mod synthetic;

use std::path::Path;

use nixdag::plan::job_graph::direct_inputs;
use nixdag::plan::model::{Granularity, Model, Objective, PartitionOptions};
use nixdag::plan::partition::partition;
use nixdag::plan::problem::{Millis, Partition, Problem};
use nixdag::plan::simulate::{lower_bound, simulate};
use scenario::Scenario;

const DRAWS: u64 = 5;

fn main() {
    let scenario = match (std::env::var_os("NIXDAG_GRAPH"), std::env::var_os("NIXDAG_SCENARIO")) {
        (Some(graph), Some(scenario)) => Scenario::read(Path::new(&graph), Path::new(&scenario)),
        _ => Scenario::made_up(),
    };
    let model = Model::default();
    let run = |problem: &Problem, partition: &Partition| {
        let found = simulate(problem, partition, &direct_inputs(problem, partition).unwrap(), &model);
        (found.makespan as f64 / lower_bound(problem, &model) as f64, found.job_time)
    };
    println!("{} derivations, {DRAWS} draws", scenario.problem.len());
    println!("OBJECTIVE  UNKNOWN  KNOWN  JOB TIME BESIDE A JOB A DERIVATION (UNKNOWN, KNOWN)");
    for objective in [Objective::Time, Objective::Balanced, Objective::Cost] {
        let options = PartitionOptions { objective, granularity: Granularity::Auto, ..PartitionOptions::default() };
        let blind = partition(&scenario.problem, &model, &options).partition;
        let (mut unknown, mut known, mut times) = (0.0, 0.0, [0, 0, 0]);
        for draw in 0..DRAWS {
            let real = scenario.drawn(draw);
            let (ratio, time) = run(&real, &blind);
            unknown += ratio / DRAWS as f64;
            times[0] += time;
            let recorded = PartitionOptions { durations_recorded: true, ..options.clone() };
            let (ratio, time) = run(&real, &partition(&real, &model, &recorded).partition);
            known += ratio / DRAWS as f64;
            times[1] += time;
            times[2] += real.duration.iter().map(|duration| duration + model.start_up).sum::<Millis>();
        }
        let share = |time: Millis| time as f64 / times[2] as f64;
        let name = format!("{objective:?}").to_lowercase();
        println!("{name:9}  {unknown:7.3}  {known:5.3}  {:.2} {:.2}", share(times[0]), share(times[1]));
    }
}
