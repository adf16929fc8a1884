//! How recorded durations change a plan: small graphs, one plan as a readable file under `tests/golden/planner` each; some of them planned by the
//! program itself, from `.drv` files and `timings.json`.
//! `NIXDAG_GOLDEN=write cargo test --test planning planner` writes them again.

use std::fmt::Write;
use std::fs;

use crate::support::golden;
use crate::support::synthetic;
use nixdag::plan::model::{Granularity, Model, Objective, Options};
use nixdag::plan::partition::partition;
use nixdag::plan::problem::{Adjacency, Millis, Node, Problem};

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
        name_hash: (0..rows.len() as u64).collect(),
    }
}

/// One line a job, in the order of what it owns.
fn plan(rows: &[Row], objective: Objective) -> String {
    let options =
        Options { objective, granularity: Granularity::Target, durations_recorded: true, ..Options::default() };
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
    let dir = tempfile::tempdir().unwrap();
    let mut random = synthetic::Random(1);
    let names = ["library", "program", "service"];
    let drvs: Vec<synthetic::Drv> = (0..3)
        .map(|index| synthetic::Drv {
            path: format!("/nix/store/{}-{}-1.drv", synthetic::hash(&mut random), names[index]),
            outputs: vec![(
                "out".into(),
                Some(format!("/nix/store/{}-{}-1", synthetic::hash(&mut random), names[index])),
            )],
            inputs: if index == 0 { Vec::new() } else { vec![(0, vec!["out".into()])] },
            system: "x86_64-linux".into(),
            ..synthetic::Drv::default()
        })
        .collect();
    synthetic::write(&drvs, dir.path());
    let file = |name: &str, text: String| {
        fs::write(dir.path().join(name), text).unwrap();
        dir.path().join(name)
    };
    let roots = serde_json::json!({ "program": drvs[1].path, "service": drvs[2].path });
    let record = |(drv, seconds): (usize, f64)| {
        let name = format!("{}-1", names[drv]);
        serde_json::json!({ "derivation": drvs[drv].path, "name": name, "system": "x86_64-linux", "seconds": seconds, "source": "built" })
    };
    let records = [Some((1, 600.0)), Some((2, 600.0)), seconds.map(|seconds| (0, seconds))];
    let timings: Vec<_> = records.into_iter().flatten().map(record).collect();
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_nixdag"))
        .current_dir(dir.path())
        .args(["plan", "--format", "json", "--handoff", "cache", "--roots"])
        .arg(file("roots.json", roots.to_string()))
        .arg("--drv-dir")
        .arg(dir.path())
        .arg("--available")
        .arg(file("available", String::new()))
        .arg("--history")
        .arg(file("timings.json", serde_json::json!({ "version": 1, "timings": timings }).to_string()))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let plan: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
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
