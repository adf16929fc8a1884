//! Graphs in which something that looks harmless would be quadratic: the search must stay within its steps, and the plan sensible.

use super::*;
use crate::plan::problem::{Adjacency, Millis};

const SIZE: usize = 20_000;

/// Edges to the inputs of each node, for nodes of a minute each on one system.
fn problem(inputs: impl Fn(Node) -> Vec<Node>, target: impl Fn(Node) -> bool, cheap: bool) -> Problem {
    let nodes = 0..SIZE as Node;
    let inputs = Adjacency::from_lists(nodes.clone().map(inputs));
    Problem {
        consumers: inputs.reversed(),
        inputs,
        duration: vec![if cheap { 1_000 } else { 60_000 }; SIZE],
        cheap: vec![cheap; SIZE],
        target: nodes.map(target).collect(),
        system: vec![0; SIZE],
        portable: vec![false; SIZE],
        floating: vec![false; SIZE],
        confined: vec![false; SIZE],
        bytes: Vec::new(),
        memory: Vec::new(),
        name_hash: vec![0; SIZE],
        rank: Vec::new(),
        spread: Vec::new(),
    }
}

fn shapes() -> Vec<(&'static str, Problem)> {
    let last = SIZE as Node - 1;
    let before = |node: Node| node.checked_sub(1).into_iter().collect::<Vec<_>>();
    let middle = SIZE as Node / 2;
    vec![
        ("a chain", problem(before, move |node| node == last, false)),
        ("a chain of targets", problem(before, |_| true, false)),
        ("a cheap chain", problem(before, move |node| node == last, true)),
        ("nothing but targets", problem(|_| Vec::new(), |_| true, false)),
        ("a hub", problem(|node| if node > 0 { vec![0] } else { Vec::new() }, |node| node > 0, false)),
        (
            "half above a hub, half below",
            problem(
                move |node| match node.cmp(&middle) {
                    std::cmp::Ordering::Less => Vec::new(),
                    std::cmp::Ordering::Equal => (0..middle).collect(),
                    std::cmp::Ordering::Greater => vec![middle],
                },
                move |node| node > middle,
                false,
            ),
        ),
        (
            "a comb",
            problem(|node| node.checked_sub(1 + (node + 1) % 2).into_iter().collect(), |node| node % 2 == 1, false),
        ),
    ]
}

/// The work of all stages together, 5 ns a step, whatever the graph looks like.
#[test]
#[ignore = "takes half a minute"]
fn no_shape_takes_more_than_its_steps() {
    for (name, problem) in shapes() {
        for granularity in [Granularity::Target, Granularity::Auto] {
            let (model, options) = (Model::default(), PartitionOptions { granularity, ..PartitionOptions::default() });
            let (units, _) = contract::contract(&problem, &model);
            let instance = Instance {
                problem: &problem,
                units: &units,
                model: &model,
                options: &options,
                start_up: model.start_up,
                attach: &[],
                floor: 0,
                giant: false,
            };
            let choice = portfolio::search(&instance);
            assert!(choice.steps < 50_000 * SIZE as u64, "{name}, {granularity:?}: {} steps", choice.steps);
            let built = choice.jobs.list.iter().map(|job| job.units.len()).sum::<usize>();
            assert_eq!(built, units.len(), "{name}, {granularity:?}");
            assert!(choice.job_time <= problem.len() as Millis * (60_000 + model.start_up), "{name}, {granularity:?}");
        }
    }
}
