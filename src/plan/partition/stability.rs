//! What stays as it is when something else is added.

use std::collections::HashSet;

use super::zero::mix;
use super::*;
use crate::plan::model::Objective;
use crate::plan::problem::Adjacency;

/// A grid of derivations, each on two of the row before, the last row targets; `added` derivations that nothing connects with it stand in front.
fn problem(added: usize) -> Problem {
    const WIDTH: usize = 8;
    let grid = |node: usize| -> Vec<Node> {
        let row = |index: usize| (added + index) as Node;
        match node.checked_sub(WIDTH) {
            Some(above) => vec![row(above), row(above / WIDTH * WIDTH + (above + 1) % WIDTH)],
            None => Vec::new(),
        }
    };
    let count = 8 * WIDTH;
    let lists = (0..added).map(|_| Vec::new()).chain((0..count).map(grid));
    let inputs = Adjacency::from_lists(lists);
    let nodes = added + count;
    Problem {
        consumers: inputs.reversed(),
        inputs,
        duration: (0..nodes)
            .map(|node| if node < added { 77_000 } else { 20_000 + (node - added) as u64 % 7 * 30_000 })
            .collect(),
        cheap: vec![false; nodes],
        target: (0..nodes).map(|node| node < added || node + WIDTH >= nodes).collect(),
        system: vec![0; nodes],
        floating: vec![false; nodes],
        confined: vec![false; nodes],
        portable: vec![false; nodes],
        bytes: Vec::new(),
        memory: Vec::new(),
        name_hash: (0..nodes).map(|node| mix(node.wrapping_sub(added) as u64)).collect(),
        rank: Vec::new(),
        spread: Vec::new(),
    }
}

fn jobs(added: usize, options: &PartitionOptions, layer: u64) -> HashSet<Vec<Node>> {
    let model = Model { layer, whole_layers: true, ..Model::default() };
    let plan = partition(&problem(added), &model, options).partition;
    let own =
        |job: JobNodes| -> Vec<Node> { job.owned.iter().filter_map(|node| node.checked_sub(added as Node)).collect() };
    plan.jobs.into_iter().map(own).filter(|job| !job.is_empty()).collect()
}

#[test]
fn what_nothing_connects_changes_no_job() {
    for objective in [Objective::Time, Objective::Balanced] {
        for granularity in [Granularity::Auto, Granularity::Target] {
            for layer in [0, 500] {
                let options = PartitionOptions { objective, granularity, ..PartitionOptions::default() };
                let before = jobs(0, &options, layer);
                assert_eq!(before, jobs(2, &options, layer), "{objective:?}, {granularity:?}");
            }
        }
    }
}
