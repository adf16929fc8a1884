//! `cargo bench --bench share`: what records are worth that know only some of the durations.
//!
//! Durations are drawn from a heavy tail (`tests/support/scenario.rs`). The planner knows 0, 30, 60, 90 and 100 percent of them, and guesses the others;
//! its plan is run on paper with what they really are. Prints makespan over the lower bound, and machine time over that of one job a target
//! which builds its whole closure: means of ten draws.
//!
//! `NIXDAG_PLANNING` names a folder of scenarios (see `planner.rs`); without it there is a made-up one. Words choose objectives.

#![allow(clippy::unwrap_used)] // a benchmark that cannot go on has failed

#[path = "../support/scenario.rs"]
mod scenario;
#[path = "../support/synthetic.rs"]
mod synthetic;

use nixdag::plan::baseline::baselines;
use nixdag::plan::job_graph::direct_inputs;
use nixdag::plan::model::{Granularity, Model, Objective, PartitionOptions};
use nixdag::plan::partition::partition;
use nixdag::plan::prices::Prices;
use nixdag::plan::simulate::{lower_bound, simulate};
use scenario::{known, scenarios};

const DRAWS: u64 = 10;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    let model = Model::default();
    println!("GRAPH     OBJECTIVE  RECORDED  OVER THE BOUND  OF THE FLAT MATRIX'S MACHINE TIME");
    for (name, scenario) in scenarios() {
        for (aim, objective) in [("time", Objective::Time), ("balanced", Objective::Balanced)] {
            if !words.is_empty() && !words.iter().any(|word| word == aim) {
                continue;
            }
            for percent in [0, 30, 60, 90, 100] {
                let (mut wall, mut machine) = (0.0, 0.0);
                for draw in 0..DRAWS {
                    let real = scenario.drawn(draw);
                    let options = PartitionOptions {
                        granularity: Granularity::Auto,
                        objective,
                        durations_recorded: percent > 90,
                        ..PartitionOptions::default()
                    };
                    let plan = partition(&known(&scenario, &real, percent), &model, &options).partition;
                    let run = simulate(&real, &plan, &direct_inputs(&real, &plan).unwrap(), &model);
                    let flat = baselines(&real, &model, &Prices::default()).flat;
                    wall += run.makespan as f64 / lower_bound(&real, &model) as f64 / DRAWS as f64;
                    machine += run.job_time as f64 / flat.job_time as f64 / DRAWS as f64;
                }
                println!("{name:9} {aim:9} {percent:8} %  {wall:14.2}  {machine:14.3}");
            }
        }
    }
}
