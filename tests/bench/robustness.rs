//! `cargo bench --bench robustness`: what plans are worth when derivations take other times than expected.
//!
//! Every derivation that is no fetch and not built locally takes a time drawn from a heavy tail (log-normal: median 40 s, 99th percentile 20 min), seeded by its name
//! and the number of the draw. Plans are made without knowing these times, and again with them as records; both are run on paper with them. Prints mean makespan
//! over lower bound of five draws, and job time beside that of one job a derivation.
//!
//! Uses the graph that `NIXDAG_GRAPH` names (a folder with `.drv` files) with the scenario that `NIXDAG_SCENARIO` names (a folder with `roots.json` and
//! `available`), else a made-up graph of 4,000 derivations.

#![allow(clippy::unwrap_used)] // a benchmark that cannot go on has failed

#[path = "../support/synthetic.rs"]
mod synthetic;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use nixdag::availability::{Source, find_needed};
use nixdag::graph::{DrvId, Graph};
use nixdag::plan::estimate::CostModel;
use nixdag::plan::job_graph::direct_inputs;
use nixdag::plan::model::{Granularity, Model, Objective, Options};
use nixdag::plan::needed::NeededGraph;
use nixdag::plan::partition::partition;
use nixdag::plan::placement::{MachineChoice, place};
use nixdag::plan::problem::{Millis, Partition, Problem};
use nixdag::plan::simulate::{lower_bound, simulate};
use nixdag::provider::Provider;

const DRAWS: u64 = 5;
const MEDIAN: f64 = 40.0;
const NINETY_NINTH: f64 = 1200.0;

/// Seconds that a derivation of this name takes in a draw.
fn drawn(name: &str, draw: u64) -> f64 {
    let seed = name.bytes().fold(draw, |seed, byte| synthetic::Random(seed ^ u64::from(byte)).next());
    let mut random = synthetic::Random(seed);
    let mut uniform = || ((random.next() >> 11) as f64 + 0.5) / (1u64 << 53) as f64;
    let normal = (-2.0 * uniform().ln()).sqrt() * (2.0 * std::f64::consts::PI * uniform()).cos();
    // 2.326 standard deviations above the median is the 99th percentile.
    MEDIAN * (normal * (NINETY_NINTH / MEDIAN).ln() / 2.326).exp()
}

/// The needed derivations, and their names.
fn problem(graph: &Graph, targets: &[DrvId], source: &Source) -> (Problem, Vec<String>) {
    let needed = find_needed(graph, targets, source).unwrap();
    let targets: Vec<DrvId> = targets.iter().copied().filter(|&id| needed.has(id)).collect();
    let packages = BTreeMap::new();
    let fleet = Provider::CircleCi.fleet();
    let choice = MachineChoice { fleet: &fleet, rules: &[], packages: &packages };
    let costs = CostModel::default();
    let placements = place(graph, &needed, &BTreeMap::new(), &choice, &costs).unwrap();
    let small = NeededGraph::new(graph, &needed, &targets, &placements, &costs);
    let names = small.drvs.iter().map(|&id| graph.node(id).name().to_owned()).collect();
    (small.problem, names)
}

fn load() -> (Problem, Vec<String>) {
    let (dir, scenario) = (std::env::var_os("NIXDAG_GRAPH"), std::env::var_os("NIXDAG_SCENARIO"));
    let (Some(dir), Some(scenario)) = (dir, scenario) else {
        let temporary = tempfile::tempdir().unwrap();
        let drvs = synthetic::graph(&mut synthetic::Random(1), 4_000, &["x86_64-linux"], 0);
        synthetic::write(&drvs, temporary.path());
        let roots: Vec<&str> = drvs.iter().rev().step_by(20).map(|drv| drv.path.as_str()).collect();
        let graph = Graph::load(roots.iter().copied(), temporary.path(), "/nix/store").unwrap();
        let targets: Vec<DrvId> = roots.iter().map(|root| graph.find(root).unwrap()).collect();
        return problem(&graph, &targets, &Source::Nothing);
    };
    let scenario = PathBuf::from(scenario);
    let roots = nixdag::recorded_evaluation::read(&fs::read(scenario.join("roots.json")).unwrap()).unwrap();
    let graph =
        Graph::load(roots.iter().map(|root| root.drv_path.as_str()), &PathBuf::from(dir), "/nix/store").unwrap();
    let targets: Vec<DrvId> = roots.iter().map(|root| graph.find(&root.drv_path).unwrap()).collect();
    let available = fs::read_to_string(scenario.join("available")).unwrap();
    problem(&graph, &targets, &Source::from_list(&available, "available").unwrap())
}

fn main() {
    let (guessed, names) = load();
    let model = Model::default();
    let run = |problem: &Problem, partition: &Partition| {
        let found = simulate(problem, partition, &direct_inputs(problem, partition).unwrap(), &model);
        (found.makespan as f64 / lower_bound(problem, &model) as f64, found.job_time)
    };
    println!("{} derivations, {DRAWS} draws", guessed.len());
    println!("OBJECTIVE  UNKNOWN  KNOWN  JOB TIME BESIDE A JOB A DERIVATION (UNKNOWN, KNOWN)");
    for objective in [Objective::Time, Objective::Balanced, Objective::Cost] {
        let options = Options { objective, granularity: Granularity::Auto, ..Options::default() };
        let blind = partition(&guessed, &model, &options).partition;
        let (mut unknown, mut known, mut times) = (0.0, 0.0, [0, 0, 0]);
        for draw in 0..DRAWS {
            let mut real = guessed.clone();
            for ((duration, name), _) in real.duration.iter_mut().zip(&names).zip(&guessed.cheap).filter(|row| !*row.1)
            {
                *duration = (drawn(name, draw) * 1000.0) as Millis;
            }
            let (ratio, time) = run(&real, &blind);
            unknown += ratio / DRAWS as f64;
            times[0] += time;
            let recorded = Options { durations_recorded: true, ..options.clone() };
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
