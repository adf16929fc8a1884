//! How recorded durations change a plan: small graphs, one plan as a readable file under `tests/golden/planner` each; some of them planned by the
//! program itself, from `.drv` files and `records.json`.
//! `NIXDAG_GOLDEN=write cargo test --test planning planner` writes them again.

use std::fmt::Write;

use crate::support::golden;
use crate::support::recorded::{Recorded, measured};
use nixdag::plan::model::{Granularity, Model, Objective, PartitionOptions};
use nixdag::plan::partition::partition;
use nixdag::plan::problem::{Adjacency, Millis, Node, Problem};
use serde_json::json;

/// A derivation: name, inputs by name, seconds, and whether it is a fetch or a target.
type Row = (&'static str, &'static [&'static str], u64, Kind);

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Fetch,
    Build,
    Target,
}
use Kind::{Build, Fetch, Target};

fn problem(rows: &[Row]) -> Problem {
    let number = |name: &str| rows.iter().position(|row| row.0 == name).unwrap() as Node;
    let inputs = Adjacency::from_lists(rows.iter().map(|row| row.1.iter().map(|input| number(input)).collect()));
    Problem {
        consumers: inputs.reversed(),
        inputs,
        duration: rows.iter().map(|row| row.2 * 1000).collect::<Vec<Millis>>(),
        cheap: rows.iter().map(|row| row.3 == Fetch).collect(),
        target: rows.iter().map(|row| row.3 == Target).collect(),
        system: vec![0; rows.len()],
        portable: vec![false; rows.len()],
        floating: vec![false; rows.len()],
        confined: vec![false; rows.len()],
        bytes: Vec::new(),
        memory: Vec::new(),
        name_hash: (0..rows.len() as u64).collect(),
        rank: Vec::new(),
        spread: Vec::new(),
    }
}

/// One line a job, in the order of what it owns.
fn plan(rows: &[Row], objective: Objective) -> String {
    let options = PartitionOptions {
        objective,
        granularity: Granularity::Target,
        durations_recorded: true,
        ..PartitionOptions::default()
    };
    let mut text = String::new();
    for job in partition(&problem(rows), &Model::default(), &options).partition.jobs {
        let list = |nodes: &[Node]| nodes.iter().map(|&node| rows[node as usize].0).collect::<Vec<_>>().join(" ");
        write!(text, "{}", list(&job.owned)).unwrap();
        if !job.co_located.is_empty() {
            write!(text, "   (and again: {})", list(&job.co_located)).unwrap();
        }
        text.push('\n');
    }
    text
}

/// Two programs need the same source and the same library; `source` and `library` take so many seconds.
fn shared(source: u64, library: u64) -> Vec<Row> {
    vec![
        ("source", &[], source, Fetch),
        ("library", &["source"], library, Build),
        ("program", &["source", "library"], 600, Target),
        ("service", &["source", "library"], 600, Target),
    ]
}

#[test]
fn a_fast_fetch_is_repeated_where_it_is_needed() {
    golden::check("tests/golden/planner/fast-fetch.txt", &plan(&shared(5, 60), Objective::Balanced));
}

#[test]
fn a_slow_fetch_is_made_once() {
    golden::check("tests/golden/planner/slow-fetch.txt", &plan(&shared(900, 60), Objective::Balanced));
}

#[test]
fn the_source_is_repeated_only_while_it_is_fast() {
    let (fast, slow) = (plan(&shared(5, 60), Objective::Balanced), plan(&shared(900, 60), Objective::Balanced));
    assert!(fast.contains("again: source"), "{fast}");
    assert!(!slow.contains("again"), "{slow}");
}

/// A library below two programs, with what the library was recorded to take; one line a job.
fn with_record(seconds: Option<f64>) -> String {
    let inputs: &[&str] = &["library-1"];
    let recorded = Recorded::new().drv("library-1", "", &[], &[]);
    let recorded = ["program", "service"].into_iter().fold(recorded, |recorded, name| {
        let drv = format!("{name}-1");
        recorded.drv(&drv, "", inputs, &[]).target(name, &drv)
    });
    let record = |(name, seconds): (&str, f64)| measured(recorded.path(name), seconds);
    let records =
        [Some(("program-1", 600.0)), Some(("service-1", 600.0)), seconds.map(|seconds| ("library-1", seconds))];
    let builds: Vec<_> = records.into_iter().flatten().map(record).collect();
    recorded.file("records.json", json!({"version": 2, "builds": builds}).to_string());
    let plan = recorded.plan(&["--handoff", "cache", "--history", "records.json"]);
    let mut text = String::new();
    for job in plan["jobs"].as_array().unwrap() {
        let list = |key: &str| {
            let paths = job[key].as_array().unwrap().iter().map(|path| path.as_str().unwrap());
            paths.map(|path| path[44..].trim_end_matches("-1.drv")).collect::<Vec<_>>().join(" ")
        };
        write!(text, "{}: {}", job["name"].as_str().unwrap(), list("derivations")).unwrap();
        if job["co_located"].as_array().is_some_and(|list| !list.is_empty()) {
            write!(text, "   (and again: {})", list("co_located")).unwrap();
        }
        writeln!(text, "   {} s from {}", job["estimate"]["seconds"], job["estimate"]["from"].as_str().unwrap())
            .unwrap();
    }
    text
}

#[test]
fn a_shared_library_that_was_slow_has_a_job_of_its_own() {
    golden::check("tests/golden/planner/slow-library.txt", &with_record(Some(1800.0)));
}

#[test]
fn a_shared_library_that_was_fast_is_repeated() {
    golden::check("tests/golden/planner/fast-library.txt", &with_record(Some(2.0)));
}

#[test]
fn a_shared_library_without_a_record_is_made_once() {
    golden::check("tests/golden/planner/unknown-library.txt", &with_record(None));
}
