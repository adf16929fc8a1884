//! `cargo bench --bench robustness`: what plans are worth when derivations take other times than expected.
//!
//! Every derivation that is no fetch and not built locally takes a time drawn from a heavy tail (log-normal: median 40 s, 99th percentile 20 min), seeded by its name
//! and the number of the draw. Plans are made without knowing these times, and again with them as records; both are run on paper with them. Prints mean makespan
//! over lower bound of five draws, job time beside that of one job a derivation, and the CPU time of a plan.
//!
//! `NIXDAG_PLANNING` names a folder of scenarios (see `planner.rs`); without it there is a made-up graph of 4,000 derivations. Words choose among the plans: scenarios,
//! `unknown`, `known`, `time`, `balanced`, `cost`.

#![allow(clippy::unwrap_used, unsafe_code)] // a benchmark that cannot go on has failed; the kernel's accounting is asked for in C

#[path = "cpu.rs"]
mod cpu;
#[path = "../support/scenario.rs"]
mod scenario;
#[path = "../support/synthetic.rs"]
mod synthetic;

use nixdag::plan::job_graph::direct_inputs;
use nixdag::plan::model::{Granularity, Model, Objective, PartitionOptions};
use nixdag::plan::partition::partition;
use nixdag::plan::problem::{Millis, Partition, Problem};
use nixdag::plan::simulate::{lower_bound, simulate};
use scenario::scenarios;

const DRAWS: u64 = 5;

/// Mean makespan by lower bound, and job time by that of a job a derivation, of plans for real durations.
fn figures(real: &[Problem], plans: &mut dyn Iterator<Item = Partition>, model: &Model) -> String {
    let (mut ratio, mut time, mut alone): (f64, Millis, Millis) = (0.0, 0, 0);
    let before = cpu::seconds();
    for (real, plan) in real.iter().zip(plans) {
        let found = simulate(real, &plan, &direct_inputs(real, &plan).unwrap(), model);
        ratio += found.makespan as f64 / lower_bound(real, model) as f64;
        time += found.job_time;
        alone += real.duration.iter().map(|duration| duration + model.start_up).sum::<Millis>();
    }
    let (count, cpu) = (real.len() as f64, cpu::seconds() - before);
    format!("{:.3}, {:.3} | {:.1}", ratio / count, time as f64 / alone as f64, cpu / count)
}

fn main() {
    // cargo adds `--bench`.
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    let chosen = |options: &[&str], name: &str| {
        !words.iter().any(|word| options.contains(&word.as_str())) || words.iter().any(|word| word == name)
    };
    let scenarios = scenarios();
    let names: Vec<&str> = scenarios.iter().map(|(name, _)| name.as_str()).collect();
    let model = Model::default();
    println!("| | makespan by the bound, job time by that of a job a derivation | CPU |\n|---|---|---|");
    for (name, scenario) in scenarios.iter().filter(|(name, _)| chosen(&names, name)) {
        let real: Vec<Problem> = (0..DRAWS).map(|draw| scenario.drawn(draw)).collect();
        for objective in [Objective::Time, Objective::Balanced, Objective::Cost] {
            let aim = format!("{objective:?}").to_lowercase();
            if !chosen(&["time", "balanced", "cost"], &aim) {
                continue;
            }
            let options = PartitionOptions { objective, granularity: Granularity::Auto, ..PartitionOptions::default() };
            if chosen(&["unknown", "known"], "unknown") {
                // Planned once, and used again.
                let mut plan = None;
                let mut plans = std::iter::repeat_with(|| {
                    plan.get_or_insert_with(|| partition(&scenario.problem, &model, &options).partition).clone()
                });
                println!("| {name} {aim} unknown | {} for {DRAWS} |", figures(&real, &mut plans, &model));
            }
            if chosen(&["unknown", "known"], "known") {
                let recorded = PartitionOptions { durations_recorded: true, ..options };
                let mut plans = real.iter().map(|real| partition(real, &model, &recorded).partition);
                println!("| {name} {aim} known | {} |", figures(&real, &mut plans, &model));
            }
        }
    }
}
