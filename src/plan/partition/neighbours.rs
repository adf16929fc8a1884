//! Questions about the graph between jobs, answered from the edges between units.
//!
//! In: [`Jobs`] with earliest starts. Out: neighbours, and whether jobs can be merged without closing a cycle.

use super::jobs::{Instance, JobNumber, Jobs};
use super::marks::Marks;

/// Jobs that a search for a path may visit before it gives up and counts a path as found.
const MOST_VISITED: usize = 400;

impl Jobs {
    /// The jobs that a set of jobs takes from, and those that take from it; without the set, in no particular order.
    pub fn around(
        &self,
        instance: &Instance,
        marks: &mut Marks,
        members: &[JobNumber],
    ) -> (Vec<JobNumber>, Vec<JobNumber>) {
        marks.reset(self.list.len());
        for &member in members {
            marks.mark(member);
        }
        let mut inputs = Vec::new();
        for &member in members {
            for &unit in &self.list[member as usize].units {
                let others = instance.units.inputs.of(unit).iter().map(|&input| self.of_unit[input as usize]);
                inputs.extend(others.filter(|&other| marks.mark(other)));
            }
        }
        let mut consumers = Vec::new();
        for &member in members {
            for &unit in &self.list[member as usize].units {
                let others = instance.units.consumers.of(unit).iter().map(|&consumer| self.of_unit[consumer as usize]);
                consumers.extend(others.filter(|&other| marks.mark(other)));
            }
        }
        (inputs, consumers)
    }

    /// The jobs that take from a job.
    pub fn consumers(&self, instance: &Instance, marks: &mut Marks, job: JobNumber) -> Vec<JobNumber> {
        marks.reset(self.list.len());
        marks.mark(job);
        let units = self.list[job as usize].units.iter();
        let others = units.flat_map(|&unit| instance.units.consumers.of(unit)).map(|&unit| self.of_unit[unit as usize]);
        others.filter(|&other| marks.mark(other)).collect()
    }

    /// The jobs that a job takes from.
    pub fn inputs(&self, instance: &Instance, marks: &mut Marks, job: JobNumber) -> Vec<JobNumber> {
        marks.reset(self.list.len());
        marks.mark(job);
        let units = self.list[job as usize].units.iter();
        let others = units.flat_map(|&unit| instance.units.inputs.of(unit)).map(|&unit| self.of_unit[unit as usize]);
        others.filter(|&other| marks.mark(other)).collect()
    }

    /// Adds to `members` every job on a path between two of them, so that merging them closes no cycle. False where that makes more
    /// than `most` members or the search becomes too long.
    pub fn close(&self, instance: &Instance, marks: &mut Marks, members: &mut Vec<JobNumber>, most: usize) -> bool {
        loop {
            // Every path goes up in time: what ends after the last member's start cannot lead back.
            let horizon = members.iter().map(|&job| self.list[job as usize].earliest).max().unwrap_or(0);
            marks.reset(self.list.len());
            for &member in members.iter() {
                marks.mark(member);
            }
            let mut reached: Vec<JobNumber> = Vec::new();
            let mut parents: Vec<(JobNumber, JobNumber)> = Vec::new();
            let mut next = 0;
            let mut queue: Vec<JobNumber> = members.clone();
            while next < queue.len() {
                let job = queue[next];
                let outside = next >= members.len();
                next += 1;
                for &unit in &self.list[job as usize].units {
                    for &consumer in instance.units.consumers.of(unit) {
                        let other = self.of_unit[consumer as usize];
                        if other == job {
                            continue;
                        }
                        if outside && members.contains(&other) {
                            reached.push(job);
                        } else if self.list[other as usize].earliest_end() <= horizon && !members.contains(&other) {
                            if outside {
                                parents.push((other, job));
                            }
                            if marks.mark(other) {
                                queue.push(other);
                            }
                        }
                    }
                }
                if queue.len() > MOST_VISITED {
                    return false;
                }
            }
            if reached.is_empty() {
                return true;
            }
            // Everything visited that leads to a member comes in.
            let before = members.len();
            let mut next = 0;
            while next < reached.len() {
                let job = reached[next];
                next += 1;
                if !members.contains(&job) {
                    members.push(job);
                    reached.extend(parents.iter().filter(|&&(child, _)| child == job).map(|&(_, parent)| parent));
                }
                if members.len() > most {
                    return false;
                }
            }
            if members.len() == before {
                return true;
            }
        }
    }

    /// True where some path leads from `from` to `to` through another job, or where that would take too long to find out.
    pub fn path_between(&self, instance: &Instance, marks: &mut Marks, from: JobNumber, to: JobNumber) -> bool {
        let goal = &self.list[to as usize];
        if self.list[from as usize].earliest_end() >= goal.earliest
            || self.list[from as usize].latest_end() >= goal.latest
        {
            return false;
        }
        marks.reset(self.list.len());
        marks.mark(from);
        let mut stack = vec![from];
        let mut visited = 0;
        while let Some(job) = stack.pop() {
            visited += 1;
            if visited > MOST_VISITED {
                return true;
            }
            for &unit in &self.list[job as usize].units {
                for &consumer in instance.units.consumers.of(unit) {
                    let other = self.of_unit[consumer as usize];
                    if other == to {
                        if job != from {
                            return true;
                        }
                        continue;
                    }
                    let state = &self.list[other as usize];
                    if state.earliest_end() <= goal.earliest && state.latest_end() <= goal.latest && marks.mark(other) {
                        stack.push(other);
                    }
                }
            }
        }
        false
    }
}

/// The inputs of a job from which no path leads to another of its inputs: what it has to require.
pub fn reduced_inputs(instance: &Instance, jobs: &mut Jobs, job: JobNumber) -> Vec<JobNumber> {
    jobs.measure(instance);
    let mut marks = Marks::default();
    let mut inputs = jobs.inputs(instance, &mut marks, job);
    // Whatever lies above some input, found in one walk from all of them.
    let mut implied = Marks::default();
    implied.reset(jobs.list.len());
    let mut stack = inputs.clone();
    while let Some(current) = stack.pop() {
        for &unit in &jobs.list[current as usize].units {
            for &input in instance.units.inputs.of(unit) {
                let other = jobs.of_unit[input as usize];
                if other != current && implied.mark(other) {
                    stack.push(other);
                }
            }
        }
    }
    inputs.retain(|&input| !implied.has(input));
    inputs
}
