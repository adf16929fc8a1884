//! How recorded durations change a plan: small graphs, one plan as a readable file under `tests/golden/planner` each.
//! `NIXDAG_GOLDEN=write cargo test --test planner` writes them again.

#![allow(clippy::unwrap_used)] // a test that cannot go on has failed

use std::fmt::Write;
use std::path::Path;

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
        floating: vec![false; rows.len()],
        name_rank: (0..rows.len() as u32).collect(),
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

fn golden(name: &str, text: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/planner").join(name);
    if std::env::var_os("NIXDAG_GOLDEN").is_some_and(|value| value == "write") {
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, text).unwrap();
    }
    assert_eq!(text, std::fs::read_to_string(&file).unwrap(), "{name}");
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
    golden("fast-fetch.txt", &plan(&shared(5, 60), Objective::Balanced));
}

#[test]
fn a_slow_fetch_is_made_once() {
    golden("slow-fetch.txt", &plan(&shared(900, 60), Objective::Balanced));
}

#[test]
fn the_source_is_repeated_only_while_it_is_fast() {
    let (fast, slow) = (plan(&shared(5, 60), Objective::Balanced), plan(&shared(900, 60), Objective::Balanced));
    assert!(fast.contains("again: source"), "{fast}");
    assert!(!slow.contains("again"), "{slow}");
}
