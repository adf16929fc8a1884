//! `cargo bench --bench records`: what records are worth. A flake of packages whose builders sleep for times from a heavy tail goes through
//! three pipelines or more on the stand-in for CircleCI, jobs side by side on a number of machines. Each pipeline rebuilds everything, since an input
//! that all have in common has changed, and plans from what those before have recorded. Prints the makespan of each over the lower bound.
//!
//! `PACKAGES` (60), `MACHINES` (8), `PIPELINES` (3), `ON_A_BRANCH` (1: so many more on a new branch), `RUNS` (3), `SEED` (1, that of the first run) and `BOUND` (150: sleeps are
//! multiplied so that the lower bound is so many seconds) are read from the environment. It takes minutes. Under each pipeline is what its report says: predicted and
//! measured, and how far predictions have been off over all pipelines. At last the medians of all runs.

#![allow(clippy::unwrap_used)] // a benchmark that cannot go on has failed

#[path = "../support/mod.rs"]
mod support;

use std::fs;

use support::project::{Project, every_nix, logs, setup};
use support::synthetic::Random;

/// Slots of a machine: the cores of the class that jobs run on.
const SLOTS: usize = 4;

/// What a job of the stand-in takes before it builds, seconds.
const START_UP: f64 = 4.0;

fn number(name: &str, default: f64) -> f64 {
    std::env::var(name).ok().map_or(default, |text| text.parse().unwrap())
}

/// A package: how long it sleeps, seconds, and what it needs.
struct Package {
    sleep: f64,
    inputs: Vec<usize>,
}

/// Sleeps are log-normal (99th percentile 16 times the median), and each package needs up to three of those before it.
fn packages(count: usize, seed: u64) -> Vec<Package> {
    let mut random = Random(seed);
    let mut uniform = move || ((random.next() >> 11) as f64 + 0.5) / (1u64 << 53) as f64;
    (0..count)
        .map(|number| {
            let normal = (-2.0 * uniform().ln()).sqrt() * (2.0 * std::f64::consts::PI * uniform()).cos();
            let inputs = (0..3).filter(|_| number > 2 && uniform() < 0.5).collect::<Vec<_>>();
            let mut inputs: Vec<usize> = inputs
                .into_iter()
                .map(|_| (number as f64 * uniform().sqrt()) as usize)
                .filter(|&input| input < number)
                .collect();
            inputs.sort_unstable();
            inputs.dedup();
            Package { sleep: (1.2 * normal).exp(), inputs }
        })
        .collect()
}

/// The flake; all packages change with `version`.
fn flake(packages: &[Package], version: u32) -> String {
    let mut text = String::from(
        "{ outputs = _: { packages.x86_64-linux = let\n  package = name: sleep: inputs: derivation {\n    inherit name inputs;\n",
    );
    text.push_str(&format!(
        "    system = \"x86_64-linux\"; builder = \"/bin/sh\"; args = [ \"-c\" \"/bin/sleep ${{sleep}}; echo {version} > $out\" ];\n  }};\nin rec {{\n"
    ));
    for (number, package) in packages.iter().enumerate() {
        let inputs: Vec<String> = package.inputs.iter().map(|input| format!("p{input}")).collect();
        text.push_str(&format!(
            "  p{number} = package \"p{number}-{version}\" \"{:.2}\" [ {} ];\n",
            package.sleep,
            inputs.join(" ")
        ));
    }
    text.push_str("}; }; }\n");
    text
}

/// No schedule takes less: the longest path, or all work on all slots.
fn bound_of_builds(packages: &[Package], machines: usize) -> f64 {
    let mut ends: Vec<f64> = Vec::new();
    for package in packages {
        let begin = package.inputs.iter().map(|&input| ends[input]).fold(0.0, f64::max);
        ends.push(begin + package.sleep);
    }
    let work: f64 = packages.iter().map(|package| package.sleep).sum();
    ends.into_iter().fold(0.0, f64::max).max(work / (machines * SLOTS) as f64)
}

/// A repository whose setup plans from the records of its branch, else of `main`, and jobs of as many slots as a machine here has.
fn project(machines: usize) -> Project {
    let mut project = Project::new("examples/hermetic", &every_nix()[0]);
    let history = "--trust-branches --history /tmp/nixdag/history --granularity auto --objective time";
    let costs = format!("--cost start_up={START_UP} --cost layer=0 --concurrency {machines}");
    let config = setup(&format!("{history} {costs}"));
    let keys = "[\"nixdag-history-1-{{ .Branch }}..\", nixdag-history-1-main..]";
    let restore = format!("      - checkout\n      - restore_cache:\n          keys: {keys}\n");
    let config = config.replacen("      - checkout\n", &restore, 1);
    project.setup =
        Some(config.replace("command: nixdag generate", "command: mkdir -p /tmp/nixdag/history && nixdag generate"));
    // Its final job wants packages that are not there.
    fs::remove_file(project.checkout.path().join("nixdag.yml")).unwrap();
    project.nix_conf = format!("max-jobs = {SLOTS}\n");
    project
}

/// Runs all pipelines of one seed: makespans over the bound.
fn run(seed: u64, (machines, pipelines, on_a_branch): (usize, u32, u32)) -> Vec<f64> {
    let mut packages = packages(number("PACKAGES", 60.0) as usize, seed);
    let least = number("BOUND", 150.0);
    let scale = (least - START_UP) / bound_of_builds(&packages, machines);
    packages.iter_mut().for_each(|package| package.sleep *= scale);
    let sleeps = packages.iter().map(|package| package.sleep);
    println!(
        "seed {seed}: {} packages, {:.0} s of sleep, the longest {:.0} s; {machines} machines of {SLOTS} slots; bound {least:.0} s",
        packages.len(),
        sleeps.clone().sum::<f64>(),
        sleeps.fold(0.0, f64::max)
    );
    println!("PIPELINE  BRANCH  JOBS  SECONDS  OVER THE BOUND");
    let mut project = project(machines);
    (1..=pipelines + on_a_branch)
        .map(|number| {
            project.branch = if number > pipelines { "topic" } else { "main" }.to_owned();
            fs::write(project.checkout.path().join("flake.nix"), flake(&packages, number)).unwrap();
            let setup = project.setup(u64::from(number));
            let mut pipeline = project.continued(&setup, u64::from(number)).machines(machines);
            let outcome = pipeline.run().unwrap();
            assert!(outcome.succeeded(), "{}", logs(&outcome));
            // Nobody waits for the report.
            let built = || outcome.jobs.iter().filter(|job| job.name != "report").filter_map(|job| job.ended);
            let (jobs, seconds) = (built().count(), built().max().unwrap().as_secs_f64());
            println!("{number:8}  {:6}  {jobs:4}  {seconds:7.0}  {:.2}", project.branch, seconds / least);
            let said = outcome.job("report").log.lines();
            said.filter(|line| ["predicted", "most wrong"].iter().any(|words| line.contains(words)))
                .for_each(|line| println!("    {line}"));
            seconds / least
        })
        .collect()
}

fn main() {
    let (machines, pipelines) = (number("MACHINES", 8.0) as usize, number("PIPELINES", 3.0) as u32);
    let (seed, runs) = (number("SEED", 1.0) as u64, number("RUNS", 3.0) as u64);
    let on_a_branch = number("ON_A_BRANCH", 1.0) as u32;
    let over: Vec<Vec<f64>> = (seed..seed + runs).map(|seed| run(seed, (machines, pipelines, on_a_branch))).collect();
    let median = |number: usize| {
        let mut all: Vec<f64> = over.iter().map(|run| run[number]).collect();
        all.sort_by(f64::total_cmp);
        format!("{:.2}", all[all.len() / 2])
    };
    let medians: Vec<String> = (0..(pipelines + on_a_branch) as usize).map(median).collect();
    println!("medians of {runs} runs: {}", medians.join(", "));
}
