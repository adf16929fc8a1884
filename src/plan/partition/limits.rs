//! Each limit of a provider, by itself: the plan keeps it, or says by how much it cannot.

use super::*;
use crate::plan::job_graph::{JobGraph, direct_inputs};
use crate::plan::model::PlanLimits;
use crate::plan::problem::Adjacency;

/// So many targets of ten minutes each, and one that needs them all.
fn fan_in(targets: usize) -> Problem {
    let all = (0..targets as Node).collect();
    let inputs = Adjacency::from_lists((0..targets).map(|_| Vec::new()).chain([all]));
    let nodes = targets + 1;
    Problem {
        consumers: inputs.reversed(),
        inputs,
        duration: vec![600_000; nodes],
        cheap: vec![false; nodes],
        target: vec![true; nodes],
        system: vec![0; nodes],
        floating: vec![false; nodes],
        confined: vec![false; nodes],
        portable: vec![false; nodes],
        bytes: Vec::new(),
        memory: Vec::new(),
        name_hash: vec![0; nodes],
        rank: Vec::new(),
        spread: Vec::new(),
    }
}

fn planned(granularity: Granularity, limits: PlanLimits) -> Solution {
    partition(&fan_in(40), &Model::default(), &PartitionOptions { granularity, limits, ..PartitionOptions::default() })
}

#[test]
fn jobs() {
    let limits = || PlanLimits { jobs: Some(7), ..PlanLimits::default() };
    let auto = planned(Granularity::Auto, limits());
    assert!(auto.partition.jobs.len() <= 7 && auto.notes.is_empty(), "{:?}", auto.notes);
    let target = planned(Granularity::Target, limits());
    assert!(target.partition.jobs.len() <= 7 && target.notes[0].contains("share jobs"), "{:?}", target.notes);
}

#[test]
fn requirements_of_a_job() {
    let plan = planned(Granularity::Auto, PlanLimits { requires: Some(5), ..PlanLimits::default() });
    let direct = direct_inputs(&fan_in(40), &plan.partition).unwrap();
    let rank: Vec<u32> = (0..plan.partition.jobs.len() as u32).collect();
    let graph = JobGraph::new(&direct, &rank).unwrap();
    assert!(graph.requires.iter().all(|requires| requires.len() <= 5), "{:?}", graph.requires);
    assert_eq!(plan.notes, Vec::<String>::new());
}

#[test]
fn inputs_of_a_job() {
    for granularity in [Granularity::Target, Granularity::Auto] {
        let free = planned(granularity, PlanLimits::default());
        let plan = planned(granularity, PlanLimits { inputs: Some(5), ..PlanLimits::default() });
        let widest = |solution: &Solution| {
            let direct = direct_inputs(&fan_in(40), &solution.partition).unwrap();
            let rank: Vec<u32> = (0..solution.partition.jobs.len() as u32).collect();
            JobGraph::new(&direct, &rank).unwrap().inputs.iter().map(Vec::len).max().unwrap()
        };
        let (all, jobs) = (free.partition.jobs.len(), plan.partition.jobs.len());
        assert!(widest(&free) > 5 && widest(&plan) <= 5, "{all} jobs, {jobs}");
        assert!(plan.notes[0].starts_with(&format!("{jobs} jobs instead of {all}, ")), "{:?}", plan.notes);
    }
    let more = planned(Granularity::Auto, PlanLimits { inputs: Some(50), ..PlanLimits::default() });
    assert_eq!(more.notes, Vec::<String>::new(), "a limit that holds anyway");
}

#[test]
fn length_of_a_job() {
    let enough = planned(Granularity::Auto, PlanLimits { job_length: Some(1_300_000), ..PlanLimits::default() });
    assert_eq!(enough.notes, Vec::<String>::new());
    let short = planned(Granularity::Auto, PlanLimits { job_length: Some(300_000), ..PlanLimits::default() });
    assert!(short.notes[0].contains("345 s too long"), "{:?}", short.notes);
}
