//! `cargo bench --bench records`: what records are worth. A flake of packages whose builders sleep for times from a heavy tail goes through
//! three pipelines or more on the stand-in for CircleCI, jobs side by side on a number of machines. Each pipeline rebuilds everything, since an input
//! that all have in common has changed, and plans from what those before have recorded. Prints the makespan of each over the lower bound.
//!
//! `PACKAGES` (60), `MACHINES` (8), `PIPELINES` (3), `SCALE` (1.0: all sleeps are multiplied by it) and `SEED` (1) are read from the environment. It takes
//! minutes. Under each pipeline is what its report says: predicted and measured, and how far predictions have been off over all pipelines.

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

/// Sleeps are log-normal, median 3 s, and each package needs up to three of those before it.
fn packages(count: usize, scale: f64, seed: u64) -> Vec<Package> {
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
            Package { sleep: scale * 3.0 * (1.2 * normal).exp(), inputs }
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

/// No schedule takes less: the longest path behind one start-up, or all work on all slots.
fn bound(packages: &[Package], machines: usize) -> f64 {
    let mut ends: Vec<f64> = Vec::new();
    for package in packages {
        let begin = package.inputs.iter().map(|&input| ends[input]).fold(0.0, f64::max);
        ends.push(begin + package.sleep);
    }
    let work: f64 = packages.iter().map(|package| package.sleep).sum();
    START_UP + ends.into_iter().fold(0.0, f64::max).max(work / (machines * SLOTS) as f64)
}

fn main() {
    let machines = number("MACHINES", 8.0) as usize;
    let packages = packages(number("PACKAGES", 60.0) as usize, number("SCALE", 1.0), number("SEED", 1.0) as u64);
    let mut project = Project::new("examples/hermetic", &every_nix()[0]);
    let history = "--trust-branches --history /tmp/nixdag/history --granularity auto --objective time";
    let costs = format!("--cost start_up={START_UP} --cost layer=0 --concurrency {machines}");
    let config = setup(&format!("{history} {costs}"));
    let restore = "      - checkout\n      - restore_cache:\n          keys: [\"nixdag-history-1-{{ .Branch }}..\"]\n";
    let config = config.replacen("      - checkout\n", restore, 1);
    project.setup =
        Some(config.replace("command: nixdag generate", "command: mkdir -p /tmp/nixdag/history && nixdag generate"));
    // Its final job wants packages that are not there.
    fs::remove_file(project.checkout.path().join("nixdag.yml")).unwrap();
    project.nix_conf = format!("max-jobs = {SLOTS}\n");
    let least = bound(&packages, machines);
    let sleeps = packages.iter().map(|package| package.sleep);
    println!(
        "{} packages, {:.0} s of sleep, the longest {:.0} s; {machines} machines of {SLOTS} slots; bound {least:.0} s",
        packages.len(),
        sleeps.clone().sum::<f64>(),
        sleeps.fold(0.0, f64::max)
    );
    println!("PIPELINE  JOBS  SECONDS  OVER THE BOUND");
    for number in 1..=number("PIPELINES", 3.0) as u32 {
        fs::write(project.checkout.path().join("flake.nix"), flake(&packages, number)).unwrap();
        let setup = project.setup(u64::from(number));
        let mut pipeline = project.continued(&setup, u64::from(number)).machines(machines);
        let outcome = pipeline.run().unwrap();
        assert!(outcome.succeeded(), "{}", logs(&outcome));
        // Nobody waits for the report.
        let built = || outcome.jobs.iter().filter(|job| job.name != "report").filter_map(|job| job.ended);
        let (jobs, seconds) = (built().count(), built().max().unwrap().as_secs_f64());
        println!("{number:8}  {jobs:4}  {seconds:7.0}  {:.2}", seconds / least);
        let said = outcome.job("report").log.lines();
        said.filter(|line| ["predicted", "most wrong"].iter().any(|words| line.contains(words)))
            .for_each(|line| println!("    {line}"));
    }
}
