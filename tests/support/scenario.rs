//! What benchmarks of the planner plan: a real graph with what is available, or a made-up one, and durations drawn from a heavy tail.

#![allow(clippy::unwrap_used)] // a benchmark that cannot go on has failed

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use nixdag::availability::{AvailabilitySource, find_needed};
use nixdag::graph::{DrvId, Graph};
use nixdag::plan::estimate::CostModel;
use nixdag::plan::needed::NeededGraph;
use nixdag::plan::placement::MachineChoice;
use nixdag::plan::placer::place;
use nixdag::plan::problem::{Millis, Problem, Spread, System};
use nixdag::plan::workers::machines;
use nixdag::provider::Provider;

use crate::synthetic;

/// Median and 99th percentile of drawn durations, seconds.
const MEDIAN: f64 = 40.0;
const NINETY_NINTH: f64 = 1200.0;

/// The scenarios of the folder that `NIXDAG_PLANNING` names, by name; without it a made-up one.
#[allow(dead_code, reason = "each benchmark uses its part")]
pub fn scenarios() -> Vec<(String, Scenario)> {
    let Some(dir) = std::env::var_os("NIXDAG_PLANNING") else { return vec![("made-up".into(), Scenario::made_up())] };
    let mut dirs: Vec<PathBuf> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    dirs.sort();
    let name = |dir: &PathBuf| dir.file_name().unwrap().to_str().unwrap().to_owned();
    dirs.iter().map(|dir| (name(dir), Scenario::read(&dir.join("graph"), dir))).collect()
}

/// The needed derivations, with assumed durations, and their names.
pub struct Scenario {
    pub problem: Problem,
    /// The first placement on the same machine, of each placement.
    #[allow(dead_code, reason = "each benchmark uses its part")]
    pub machines: Vec<System>,
    names: Vec<String>,
}

impl Scenario {
    /// `graph` holds `.drv` files, `scenario` the files `roots.json` and `available`.
    pub fn read(graph: &Path, scenario: &Path) -> Self {
        let roots = nixdag::recorded_evaluation::read(&fs::read(scenario.join("roots.json")).unwrap()).unwrap();
        let paths: Vec<&str> = roots.iter().map(|root| &*root.drv_path).collect();
        let available = fs::read_to_string(scenario.join("available")).unwrap();
        Self::new(graph, &paths, &AvailabilitySource::from_list(&available, "available").unwrap())
    }

    /// The roots of a graph that is in a folder with its `roots.json`, nothing available.
    #[allow(dead_code, reason = "each benchmark uses its part")]
    pub fn all(graph: &Path) -> Self {
        let roots = nixdag::recorded_evaluation::read(&fs::read(graph.join("roots.json")).unwrap()).unwrap();
        let paths: Vec<&str> = roots.iter().map(|root| &*root.drv_path).collect();
        Self::new(graph, &paths, &AvailabilitySource::Nothing)
    }

    /// 4,000 derivations, nothing available.
    pub fn made_up() -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let drvs = synthetic::graph(&mut synthetic::Random(1), 4_000, &["x86_64-linux"], 0);
        synthetic::write(&drvs, temporary.path());
        let roots: Vec<&str> = drvs.iter().rev().step_by(20).map(|drv| drv.path.as_str()).collect();
        Self::new(temporary.path(), &roots, &AvailabilitySource::Nothing)
    }

    fn new(dir: &Path, roots: &[&str], source: &AvailabilitySource) -> Self {
        let graph = Graph::load(roots.iter().copied(), dir, "/nix/store").unwrap();
        let targets: Vec<DrvId> = roots.iter().map(|root| graph.find(root).unwrap()).collect();
        let needed = find_needed(&graph, &targets, source).unwrap();
        let targets: Vec<DrvId> = targets.into_iter().filter(|&id| needed.has(id)).collect();
        let packages = BTreeMap::new();
        let fleet = Provider::CircleCi.fleet();
        let choice = MachineChoice { fleet: &fleet, rules: &[], packages: &packages, allow_failure: &[] };
        let costs = CostModel::default();
        let placements = place(&graph, &needed, &BTreeMap::new(), &choice, &costs).unwrap();
        let small = NeededGraph::new(&graph, &needed, &targets, &placements, &costs);
        let names = small.drvs.iter().map(|&id| graph.node(id).name().to_owned()).collect();
        Self { problem: small.problem, machines: machines(&placements), names }
    }

    /// The problem with durations that are off by a factor, log-normal with this sigma, seeded by the derivation's name and the number of the draw.
    #[allow(dead_code, reason = "each benchmark uses its part")]
    pub fn off_by(&self, sigma: f64, draw: u64) -> Problem {
        let mut problem = self.problem.clone();
        for (duration, name) in problem.duration.iter_mut().zip(&self.names) {
            *duration = (*duration as f64 * (normal(name, draw) * sigma).exp()) as Millis;
        }
        problem
    }

    /// The problem with durations drawn from a heavy tail (log-normal) for all that is neither fetched nor built locally, seeded by the
    /// derivation's name and the number of the draw.
    #[allow(dead_code, reason = "each benchmark uses its part")]
    pub fn drawn(&self, draw: u64) -> Problem {
        let mut problem = self.problem.clone();
        for ((duration, name), cheap) in problem.duration.iter_mut().zip(&self.names).zip(&self.problem.cheap) {
            if !cheap {
                *duration = (seconds(name, draw) * 1000.0) as Millis;
            }
        }
        problem
    }
}

/// What the planner knows where so many percent of the derivations that are neither fetched nor built locally have been recorded: their real
/// durations, and of the others the median of these, or the usual guess where none is.
#[allow(dead_code, reason = "each benchmark uses its part")]
pub fn known(scenario: &Scenario, real: &Problem, percent: u64) -> Problem {
    let mut problem = scenario.problem.clone();
    let is_recorded: Vec<bool> = scenario
        .names
        .iter()
        .zip(&problem.cheap)
        .map(|(name, cheap)| {
            let seed = name.bytes().fold(7, |seed, byte| synthetic::Random(seed ^ u64::from(byte)).next());
            !cheap && seed % 100 < percent
        })
        .collect();
    let mut recorded: Vec<Millis> =
        real.duration.iter().zip(&is_recorded).filter(|(_, known)| **known).map(|(duration, _)| *duration).collect();
    recorded.sort_unstable();
    let median = recorded.get(recorded.len() / 2).copied();
    for (node, is_recorded) in is_recorded.into_iter().enumerate() {
        if is_recorded {
            (problem.duration[node], problem.spread[node]) = (real.duration[node], Spread::Small);
        } else if let Some(median) = median.filter(|_| !problem.cheap[node]) {
            (problem.duration[node], problem.spread[node]) = (median, Spread::Heavy);
        }
    }
    problem
}

/// 2.326 standard deviations above the median is the 99th percentile.
fn seconds(name: &str, draw: u64) -> f64 {
    MEDIAN * (normal(name, draw) * (NINETY_NINTH / MEDIAN).ln() / 2.326).exp()
}

/// A number from the standard normal distribution.
fn normal(name: &str, draw: u64) -> f64 {
    let seed = name.bytes().fold(draw, |seed, byte| synthetic::Random(seed ^ u64::from(byte)).next());
    let mut random = synthetic::Random(seed);
    let mut uniform = || ((random.next() >> 11) as f64 + 0.5) / (1u64 << 53) as f64;
    (-2.0 * uniform().ln()).sqrt() * (2.0 * std::f64::consts::PI * uniform()).cos()
}
