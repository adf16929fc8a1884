//! The graph between jobs as lists, for plans that are run on paper thousands of times.
//!
//! In: [`Jobs`] without gaps in their numbers. Out: when each job ends if it takes so long, as the jobs are, and with one of them taken apart. Machines do not run out.

use crate::plan::partition::jobs::{Instance, JobNumber, Jobs};
use crate::plan::partition::marks::Marks;
use crate::plan::partition::units::Unit;
use crate::plan::problem::Millis;

/// Who takes from whom; one entry a job.
#[derive(Default)]
pub struct Network {
    inputs: Vec<Vec<JobNumber>>,
    /// Inputs come before their consumers.
    order: Vec<JobNumber>,
    /// Where each job is in that order.
    place: Vec<usize>,
    edges: usize,
}

/// A job of which some units become a job of their own, which takes nothing from the rest.
pub struct Cut {
    job: JobNumber,
    part_inputs: Vec<JobNumber>,
    rest_inputs: Vec<JobNumber>,
    rest_needs_part: bool,
    /// The consumers of the job, ascending, and whether each takes from the part and from the rest.
    needs: Vec<(JobNumber, bool, bool)>,
}

impl Network {
    pub fn new(instance: &Instance, jobs: &Jobs) -> Self {
        let mut marks = Marks::default();
        let numbers = 0..jobs.list.len() as JobNumber;
        let inputs: Vec<Vec<JobNumber>> = numbers.map(|job| jobs.inputs(instance, &mut marks, job)).collect();
        let order = jobs.topological(instance);
        let mut place = vec![0; order.len()];
        for (index, &job) in order.iter().enumerate() {
            place[job as usize] = index;
        }
        Self { edges: inputs.iter().map(Vec::len).sum(), inputs, order, place }
    }

    /// The jobs that a job takes from.
    pub fn inputs(&self, job: JobNumber) -> &[JobNumber] {
        &self.inputs[job as usize]
    }

    /// Elementary steps of running the plan once.
    pub fn steps(&self) -> usize {
        self.order.len() + self.edges
    }

    /// When each job ends, and the last one, milliseconds.
    pub fn run(&self, length: &[Millis], ends: &mut Vec<Millis>) -> Millis {
        ends.clear();
        ends.resize(length.len(), 0);
        for &job in &self.order {
            ends[job as usize] = latest(ends, &self.inputs[job as usize]) + length[job as usize];
        }
        ends.iter().copied().max().unwrap_or(0)
    }

    /// What is needed to run the plan with a job taken apart; the units of `part` are ascending.
    pub fn cut(&self, instance: &Instance, jobs: &Jobs, job: JobNumber, part: &[Unit]) -> Cut {
        let units = instance.units;
        let mut cut =
            Cut { job, part_inputs: Vec::new(), rest_inputs: Vec::new(), rest_needs_part: false, needs: Vec::new() };
        for &unit in &jobs.list[job as usize].units {
            let in_part = part.binary_search(&unit).is_ok();
            for &input in units.inputs.of(unit) {
                let other = jobs.of_unit[input as usize];
                if other != job {
                    let inputs = if in_part { &mut cut.part_inputs } else { &mut cut.rest_inputs };
                    inputs.push(other);
                } else if !in_part && part.binary_search(&input).is_ok() {
                    cut.rest_needs_part = true;
                }
            }
            let consumers = units.consumers.of(unit).iter().map(|&consumer| jobs.of_unit[consumer as usize]);
            cut.needs.extend(consumers.filter(|&other| other != job).map(|other| (other, in_part, !in_part)));
        }
        for inputs in [&mut cut.part_inputs, &mut cut.rest_inputs] {
            inputs.sort_unstable();
            inputs.dedup();
        }
        cut.needs.sort_unstable();
        cut.needs.dedup_by(|next, kept| {
            let same = next.0 == kept.0;
            if same {
                (kept.1, kept.2) = (kept.1 || next.1, kept.2 || next.2);
            }
            same
        });
        cut
    }

    /// When the last job ends if the part and the rest of a job take so long; `ends` is what [`Self::run`] found.
    pub fn run_with(&self, length: &[Millis], ends: &[Millis], cut: &Cut, (part, rest): (Millis, Millis)) -> Millis {
        let mut ends = ends.to_vec();
        let part_end = latest(&ends, &cut.part_inputs) + part;
        let rest_start = latest(&ends, &cut.rest_inputs);
        let rest_end = rest_start.max(if cut.rest_needs_part { part_end } else { 0 }) + rest;
        // Whoever takes from the job takes from one of the two.
        ends[cut.job as usize] = 0;
        for &job in &self.order[self.place[cut.job as usize] + 1..] {
            let mut start = latest(&ends, &self.inputs[job as usize]);
            if let Ok(at) = cut.needs.binary_search_by_key(&job, |need| need.0) {
                let (_, of_part, of_rest) = cut.needs[at];
                start = start.max(if of_part { part_end } else { 0 }).max(if of_rest { rest_end } else { 0 });
            }
            ends[job as usize] = start + length[job as usize];
        }
        ends.into_iter().max().unwrap_or(0).max(part_end).max(rest_end)
    }
}

fn latest(ends: &[Millis], jobs: &[JobNumber]) -> Millis {
    jobs.iter().map(|&job| ends[job as usize]).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::model::{Model, PartitionOptions};
    use crate::plan::partition::contract::separate;
    use crate::plan::partition::schedule::Scheduler;
    use crate::plan::problem::{Adjacency, Problem};

    #[test]
    fn a_job_taken_apart_ends_when_its_two_parts_would_as_jobs() {
        // Two chains, 0 1 2 and 3 4 5; 4 takes from 0 as well.
        let inputs = Adjacency::from_lists([vec![], vec![0], vec![1], vec![], vec![0, 3], vec![4]]);
        let (nodes, no) = (6, vec![false; 6]);
        let problem = Problem {
            consumers: inputs.reversed(),
            inputs,
            duration: vec![10_000, 20_000, 30_000, 40_000, 50_000, 60_000],
            cheap: no.clone(),
            target: vec![true; nodes],
            system: vec![0; nodes],
            floating: no.clone(),
            confined: no.clone(),
            portable: no,
            name_hash: vec![0; nodes],
            ..Problem::default()
        };
        let (model, options) = (Model::default(), PartitionOptions::default());
        let units = separate(&problem, &model);
        let start_up = model.start_up;
        let instance = Instance {
            problem: &problem,
            units: &units,
            model: &model,
            options: &options,
            start_up,
            attach: &[],
            floor: 0,
            giant: false,
        };
        let mut scheduler = Scheduler::new(&problem);
        let jobs = Jobs::from_owners(&instance, &mut scheduler, &[0, 0, 2, 0, 0, 5]).without_gaps();
        let lengths = |jobs: &Jobs| jobs.list.iter().map(|job| job.length).collect::<Vec<_>>();
        let network = Network::new(&instance, &jobs);
        let (length, mut ends) = (lengths(&jobs), Vec::new());
        assert_eq!(network.run(&length, &mut ends), 2 * start_up + 90_000 + 60_000);
        for part in [vec![0], vec![0, 1], vec![3], vec![0, 3, 4]] {
            let cut = network.cut(&instance, &jobs, 0, &part);
            let mut apart = jobs.clone();
            let made = apart.split(&instance, &mut scheduler, 0, &part) as usize;
            let of_both = (apart.list[0].length, apart.list[made].length);
            let expected = Network::new(&instance, &apart).run(&lengths(&apart), &mut Vec::new());
            assert_eq!(network.run_with(&length, &ends, &cut, of_both), expected, "{part:?}");
        }
    }
}
