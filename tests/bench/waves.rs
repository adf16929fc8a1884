//! `cargo bench --bench waves`: what waves cost.
//!
//! Plans each scenario as a free graph, where a job starts as soon as what it needs is there, and in waves, where it starts when all jobs of the waves before have ended. Both are
//! run on paper: with the durations that they were planned with, and with durations that are off by a factor drawn from a log-normal distribution (sigma 0.7, mean of five
//! draws). Prints wall and machine time in seconds and the CPU time of planning. 60 machines, 15 s until a wave has them, 8 waves at most, results through a cache.
//!
//! `NIXDAG_PLANNING` names a folder of scenarios (see `planner.rs`); without it there is a made-up graph of 4,000 derivations. Words choose among the plans: scenarios, `target`,
//! `auto`, `time`, `balanced`.

#![allow(clippy::unwrap_used, unsafe_code)] // a benchmark that cannot go on has failed; the kernel's accounting is asked for in C

#[path = "cpu.rs"]
mod cpu;
#[path = "../support/scenario.rs"]
mod scenario;
#[path = "../support/synthetic.rs"]
mod synthetic;

use nixdag::plan::job_graph::direct_inputs;
use nixdag::plan::model::{Granularity, Model, Objective, PartitionOptions, PlanLimits, Waves};
use nixdag::plan::partition::bands::{self, InWaves};
use nixdag::plan::partition::{partition, partition_in_waves};
use nixdag::plan::problem::{Millis, Partition, Problem};
use nixdag::plan::simulate::simulate_in_waves;
use scenario::scenarios;

const DRAWS: u64 = 5;

/// Seconds of wall and of machine time, the mean of runs with these durations.
fn run(real: &[Problem], partition: &Partition, waves: &[u32], model: &Model) -> String {
    let direct = direct_inputs(&real[0], partition).unwrap();
    let (mut wall, mut machine): (Millis, Millis) = (0, 0);
    for real in real {
        let found = simulate_in_waves(real, partition, &direct, waves, model);
        (wall, machine) = (wall + found.makespan, machine + found.job_time);
    }
    let mean = |sum: Millis| sum as f64 / 1000.0 / real.len() as f64;
    format!("{:.0} / {:.0}", mean(wall), mean(machine))
}

fn main() {
    // cargo adds `--bench`.
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    let chosen = |options: &[&str], name: &str| {
        !words.iter().any(|word| options.contains(&word.as_str())) || words.iter().any(|word| word == name)
    };
    let scenarios = scenarios();
    let names: Vec<&str> = scenarios.iter().map(|(name, _)| name.as_str()).collect();
    let model = Model { concurrency: 60, queue: 15_000, ..Model::default() };
    let most = Waves { count: 8, jobs: 255 };
    println!("| | free | off by 0.7 | waves | off by 0.7 | jobs, waves | CPU |\n|---|---|---|---|---|---|---|");
    for (name, scenario) in scenarios.iter().filter(|(name, _)| chosen(&names, name)) {
        let exact = std::slice::from_ref(&scenario.problem);
        let off: Vec<Problem> = (0..DRAWS).map(|draw| scenario.off_by(0.7, draw)).collect();
        for granularity in [Granularity::Auto, Granularity::Target] {
            for objective in [Objective::Time, Objective::Balanced] {
                let shared = format!("{granularity:?}").to_lowercase();
                let aim = format!("{objective:?}").to_lowercase();
                if !chosen(&["target", "auto"], &shared) || !chosen(&["time", "balanced"], &aim) {
                    continue;
                }
                let options = PartitionOptions {
                    granularity,
                    objective,
                    durations_recorded: true,
                    limits: PlanLimits { waves: Some(most), ..PlanLimits::default() },
                    ..PartitionOptions::default()
                };
                let before = cpu::seconds();
                let free = partition(&scenario.problem, &model, &options).partition;
                let cut = bands::in_waves(&scenario.problem, &model, &free, most).unwrap();
                let length = |found: &InWaves| {
                    let direct = direct_inputs(&scenario.problem, &found.partition).unwrap();
                    simulate_in_waves(&scenario.problem, &found.partition, &direct, &found.waves, &model).makespan
                };
                let planned = partition_in_waves(&scenario.problem, &model, &options, most);
                let waves = match planned {
                    Some(planned) if length(&planned) <= length(&cut) => planned,
                    _ => cut,
                };
                println!(
                    "| {name} {shared} {aim} | {} | {} | {} | {} | {}, {} | {:.1} |",
                    run(exact, &free, &[], &model),
                    run(&off, &free, &[], &model),
                    run(exact, &waves.partition, &waves.waves, &model),
                    run(&off, &waves.partition, &waves.waves, &model),
                    waves.partition.jobs.len(),
                    waves.waves.iter().max().map_or(0, |last| last + 1),
                    cpu::seconds() - before
                );
            }
        }
    }
}
