//! `cargo bench --bench planner`: what each stage of the search buys.
//!
//! Plans with all stages, then without each of them, and prints wall time, machine time and CPU time: the figures of every plan, then for each stage what leaving it out
//! costs, on average and at most. Durations are known (a plan takes what it was planned to take), guesses (a plan takes the mean of five draws from a heavy tail, see
//! `tests/support/scenario.rs`), or recorded (the mean of three such draws, a plan for each). Results travel through a cache or a workspace.
//!
//! `NIXDAG_PLANNING` names a folder of scenarios, each a folder with `roots.json`, `available`, and a folder or link `graph` with `.drv` files; without it there is a
//! made-up graph of 4,000 derivations. Words choose among the plans: `cargo bench --bench planner -- s1 s2 known workspace`.

#![allow(clippy::unwrap_used, unsafe_code)] // a benchmark that cannot go on has failed; the kernel's accounting is asked for in C

#[path = "cpu.rs"]
mod cpu;
#[path = "../support/scenario.rs"]
mod scenario;
#[path = "../support/synthetic.rs"]
mod synthetic;

use nixdag::choice::Choice;
use nixdag::plan::job_graph::direct_inputs;
use nixdag::plan::model::{Granularity, Model, Objective, PartitionOptions, Stage};
use nixdag::plan::partition::partition;
use nixdag::plan::problem::{Millis, Partition, Problem};
use nixdag::plan::simulate::simulate;
use scenario::scenarios;

/// Draws that one plan is run with, and draws that each have a plan.
const DRAWS: u64 = 5;
const RECORDED: u64 = 3;

/// What a plan comes to: seconds of wall time, of machine time, and of CPU to make it.
#[derive(Clone, Copy, Default)]
struct Figures([f64; 3]);

/// Plans, and runs the plan on paper with each of the real durations.
fn plan(problem: &Problem, real: &[Problem], model: &Model, options: &PartitionOptions) -> Figures {
    let before = cpu::seconds();
    let plan: Partition = partition(problem, model, options).partition;
    let cpu = cpu::seconds() - before;
    let direct = direct_inputs(problem, &plan).unwrap();
    let (mut wall, mut machine): (Millis, Millis) = (0, 0);
    for real in real {
        let run = simulate(real, &plan, &direct, model);
        (wall, machine) = (wall + run.makespan, machine + run.job_time);
    }
    let mean = |sum: Millis| sum as f64 / 1000.0 / real.len() as f64;
    Figures([mean(wall), mean(machine), cpu])
}

fn main() {
    // cargo adds `--bench`.
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    let chosen = |options: &[&str], name: &str| {
        let named = |word: &String| options.contains(&word.as_str());
        !words.iter().any(named) || words.iter().any(|word| word == name)
    };
    let scenarios = scenarios();
    let names: Vec<&str> = scenarios.iter().map(|(name, _)| name.as_str()).collect();
    let handoffs =
        [("cache", Model::default()), ("workspace", Model { layer: 500, whole_layers: true, ..Model::default() })];
    let stages: Vec<(&str, Stage)> = Stage::ALL.iter().map(|(name, _, stage)| (*name, *stage)).collect();
    let stage_names: Vec<&str> = stages.iter().map(|(name, _)| *name).collect();
    for durations in ["known", "guessed", "recorded"] {
        for (handoff, model) in &handoffs {
            if !chosen(&["known", "guessed", "recorded"], durations) || !chosen(&["cache", "workspace"], handoff) {
                continue;
            }
            println!("\n{durations} durations, through a {handoff}: wall and machine time, CPU, seconds");
            let mut losses: Vec<Vec<[f64; 3]>> = vec![Vec::new(); stages.len()];
            for (name, scenario) in scenarios.iter().filter(|(name, _)| chosen(&names, name)) {
                let drawn = |draws| (0..draws).map(|draw| scenario.drawn(draw)).collect::<Vec<Problem>>();
                let exact = |problem: &Problem| (problem.clone(), vec![problem.clone()]);
                // What is planned, and what it is run with.
                let cases: Vec<(Problem, Vec<Problem>)> = match durations {
                    "known" => vec![exact(&scenario.problem)],
                    "guessed" => vec![(scenario.problem.clone(), drawn(DRAWS))],
                    _ => drawn(RECORDED).iter().map(exact).collect(),
                };
                for granularity in [Granularity::Target, Granularity::Auto] {
                    for objective in [Objective::Time, Objective::Balanced, Objective::Cost] {
                        let (shared, aim) =
                            (format!("{granularity:?}").to_lowercase(), format!("{objective:?}").to_lowercase());
                        if !chosen(&["target", "auto"], &shared) || !chosen(&["time", "balanced", "cost"], &aim) {
                            continue;
                        }
                        let options = PartitionOptions {
                            granularity,
                            objective,
                            durations_recorded: durations != "guessed",
                            ..PartitionOptions::default()
                        };
                        let run = |without| {
                            let options = PartitionOptions { without, ..options.clone() };
                            let plans = cases.iter().map(|(problem, real)| plan(problem, real, model, &options).0);
                            let sum = plans.fold([0.0; 3], |sum, one| std::array::from_fn(|at| sum[at] + one[at]));
                            Figures(sum.map(|figure| figure / cases.len() as f64))
                        };
                        let all = run(None);
                        println!("{name} {shared} {aim} {:.0} / {:.0}, {:.2}", all.0[0], all.0[1], all.0[2]);
                        for (at, (stage_name, stage)) in stages.iter().enumerate() {
                            if !chosen(&stage_names, stage_name) || words.iter().any(|word| word == "whole") {
                                continue;
                            }
                            let Figures(less) = run(Some(*stage));
                            let loss: [f64; 3] = std::array::from_fn(|column| less[column] / all.0[column] - 1.0);
                            if loss[0] != 0.0 || loss[1] != 0.0 {
                                println!(
                                    "    -{stage_name} {:+.1} {:+.1} {:+.0}",
                                    loss[0] * 100.0,
                                    loss[1] * 100.0,
                                    loss[2] * 100.0
                                );
                            }
                            losses[at].push(loss);
                        }
                    }
                }
            }
            println!("WITHOUT           WALL  AT MOST   MACHINE  AT MOST   CPU (percent)");
            for ((name, _), losses) in stages.iter().zip(&losses).filter(|(_, losses)| !losses.is_empty()) {
                let mean =
                    |column: usize| losses.iter().map(|loss| loss[column]).sum::<f64>() * 100.0 / losses.len() as f64;
                let most = |column: usize| losses.iter().map(|loss| loss[column] * 100.0).fold(f64::MIN, f64::max);
                println!(
                    "{name:16} {:+5.1}  {:+7.1}   {:+7.1}  {:+7.1}   {:+.0}",
                    mean(0),
                    most(0),
                    mean(1),
                    most(1),
                    mean(2)
                );
            }
        }
    }
}
