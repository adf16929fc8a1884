//! Waves from any plan: its jobs in the order in which they can run, cut into a bounded number of bands.
//!
//! In: a [`Partition`] whose jobs start as soon as they can. Out: [`InWaves`], the same or merged jobs and the wave of each: whatever a job takes from others was built in waves before.
//! A plan with few enough levels keeps its jobs, a level a wave. Else neighbouring levels become one wave, and its jobs that exchange something become one job. Jobs of
//! different systems cannot, so that a wave holds no exchange between systems.

use std::collections::BTreeMap;

use anyhow::Result;

use super::schedule::Scheduler;
use crate::plan::job_graph::direct_inputs;
use crate::plan::model::{Model, Waves};
use crate::plan::problem::{Adjacency, JobNodes, Millis, Node, Partition, Problem, System};
use crate::topological;

/// Jobs, and the wave of each, from 0 on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InWaves {
    /// The jobs.
    pub partition: Partition,
    /// The wave of each job.
    pub waves: Vec<u32>,
}

/// A stretch of levels that is one wave, as far as is known.
struct Band {
    jobs: Vec<u32>,
    /// Jobs that exchange something between systems are never in one band: these may be merged only with others of this number.
    switches: u32,
    length: Millis,
}

/// Puts jobs into these waves, or more where jobs of different systems take turns more often.
pub fn in_waves(problem: &Problem, model: &Model, partition: &Partition, most: Waves) -> Result<InWaves> {
    let direct = direct_inputs(problem, partition)?;
    let levels = depths(partition, &direct, |_, _| 1);
    let mut merger = Merger { model, partition, direct: &direct, scheduler: Scheduler::new(problem) };
    let count = levels.iter().max().map_or(0, |last| *last as usize + 1);
    let mut waves: Vec<Vec<Vec<u32>>> = vec![Vec::new(); count];
    if count <= most.count {
        for (job, &level) in levels.iter().enumerate() {
            waves[level as usize].push(vec![job as u32]);
        }
    } else {
        let bands = merger.bands(&levels);
        let bands = merger.merge(bands, most.count);
        waves = bands.iter().map(|band| merger.components(&band.jobs)).collect();
    }
    let waves: Vec<Vec<Vec<u32>>> = waves.into_iter().map(|jobs| merger.fewer(jobs, most.jobs)).collect();
    let numbered = waves.iter().zip(0..).flat_map(|(jobs, wave)| jobs.iter().map(move |jobs| (jobs, wave)));
    let mut merged: Vec<(JobNodes, u32)> = numbered.map(|(jobs, wave)| (merger.one(jobs), wave)).collect();
    let mut uses = vec![0u32; problem.len()];
    for node in merged.iter().flat_map(|(job, _)| &job.co_located) {
        uses[*node as usize] += 1;
    }
    for (job, _) in &mut merged {
        let (kept, owned): (Vec<Node>, Vec<Node>) = job.co_located.iter().partition(|node| uses[**node as usize] > 1);
        job.co_located = kept;
        job.owned.extend(owned);
        job.owned.sort_unstable();
    }
    merged.sort_unstable_by_key(|(job, _)| job.owned.first().copied());
    let (jobs, waves) = merged.into_iter().unzip();
    Ok(InWaves { partition: Partition { jobs }, waves })
}

/// The longest way to each job, where a step from one to another has this length.
fn depths(partition: &Partition, direct: &Adjacency, step: impl Fn(u32, u32) -> u32) -> Vec<u32> {
    let consumers = direct.reversed();
    let mut depth = vec![0u32; partition.jobs.len()];
    for job in topological::as_ready(direct.in_degrees(), |job| consumers.of(job).iter().copied()) {
        let deepest = direct.of(job).iter().map(|&input| depth[input as usize] + step(input, job)).max();
        depth[job as usize] = deepest.unwrap_or(0);
    }
    depth
}

/// Merges bands.
struct Merger<'a> {
    model: &'a Model,
    partition: &'a Partition,
    direct: &'a Adjacency,
    scheduler: Scheduler<'a>,
}

impl Merger<'_> {
    /// A band for each level, less what jobs of different systems exchange.
    fn bands(&mut self, levels: &[u32]) -> Vec<Band> {
        let jobs = &self.partition.jobs;
        let changes = |a: u32, b: u32| u32::from(jobs[a as usize].system != jobs[b as usize].system);
        let switches = depths(self.partition, self.direct, changes);
        let mut by_level: BTreeMap<(u32, u32), Vec<u32>> = BTreeMap::new();
        for job in 0..jobs.len() {
            by_level.entry((switches[job], levels[job])).or_default().push(job as u32);
        }
        let band = |((switches, _), jobs): ((u32, u32), Vec<u32>)| Band { length: self.length(&jobs), jobs, switches };
        by_level.into_iter().map(band).collect()
    }

    /// The jobs of a wave, some of one system merged where there are too many: they exchange nothing.
    fn fewer(&mut self, jobs: Vec<Vec<u32>>, most: usize) -> Vec<Vec<u32>> {
        let count = jobs.len();
        if count <= most {
            return jobs;
        }
        let mut by_system: BTreeMap<System, Vec<(Millis, Vec<u32>)>> = BTreeMap::new();
        for list in jobs {
            let system = self.partition.jobs[list[0] as usize].system;
            by_system.entry(system).or_default().push((self.length_of_one(&list), list));
        }
        let mut fewer = Vec::with_capacity(most);
        for mut group in by_system.into_values() {
            group.sort_unstable();
            let (all, parts) = (group.len(), (group.len() * most / count).max(1));
            // Short and long ones meet.
            let part = |part: usize| (part..all).step_by(parts).flat_map(|at| group[at].1.iter().copied()).collect();
            fewer.extend((0..parts).map(part));
        }
        fewer
    }

    /// Merges neighbours, those first that this makes the whole least longer, until there are `most`.
    fn merge(&mut self, mut bands: Vec<Band>, most: usize) -> Vec<Band> {
        let joined = |bands: &[Band], at: usize| {
            let (a, b) = (&bands[at], bands.get(at + 1)?);
            (a.switches == b.switches).then(|| [a.jobs.as_slice(), &b.jobs].concat())
        };
        // What merging a band with the next one makes longer; none where that is not possible.
        let mut costs: Vec<Option<i64>> = Vec::with_capacity(bands.len());
        for at in 0..bands.len() {
            costs.push(self.cost(&bands, at, joined(&bands, at)));
        }
        while bands.len() > most {
            let cheapest = (0..bands.len()).filter_map(|at| Some((costs[at]?, at))).min();
            let Some((_, at)) = cheapest else { break };
            let Some(jobs) = joined(&bands, at) else { break };
            let band = Band { length: self.length(&jobs), jobs, switches: bands[at].switches };
            bands[at] = band;
            bands.remove(at + 1);
            costs.remove(at + 1);
            for (changed, cost) in costs.iter_mut().enumerate().take(at + 1).skip(at.saturating_sub(1)) {
                *cost = self.cost(&bands, changed, joined(&bands, changed));
            }
        }
        bands
    }

    fn cost(&mut self, bands: &[Band], at: usize, joined: Option<Vec<u32>>) -> Option<i64> {
        let length = self.length(&joined?);
        Some(length as i64 - bands[at].length as i64 - bands[at + 1].length as i64)
    }

    /// How long a wave of these takes where each has a machine.
    fn length(&mut self, jobs: &[u32]) -> Millis {
        let components = self.components(jobs);
        components.iter().map(|jobs| self.length_of_one(jobs)).max().unwrap_or(0)
    }

    fn length_of_one(&mut self, jobs: &[u32]) -> Millis {
        let job = self.one(jobs);
        let mut tasks = [job.owned, job.co_located].concat();
        tasks.sort_unstable();
        self.scheduler.length(&tasks, self.model.capacity_of(job.system))
    }

    /// The jobs that exchange something, directly or by way of others, each list a job to be; in the order of the first of each.
    fn components(&self, jobs: &[u32]) -> Vec<Vec<u32>> {
        let mut sorted = jobs.to_vec();
        sorted.sort_unstable();
        let place = |job: u32| sorted.binary_search(&job).ok();
        let mut root: Vec<usize> = (0..sorted.len()).collect();
        fn find(root: &mut [usize], mut at: usize) -> usize {
            while root[at] != at {
                root[at] = root[root[at]];
                at = root[at];
            }
            at
        }
        for (at, &job) in sorted.iter().enumerate() {
            for other in self.direct.of(job).iter().filter_map(|&input| place(input)) {
                let (a, b) = (find(&mut root, at), find(&mut root, other));
                root[a.max(b)] = a.min(b);
            }
        }
        let mut lists: BTreeMap<usize, Vec<u32>> = BTreeMap::new();
        for (at, &job) in sorted.iter().enumerate() {
            lists.entry(find(&mut root, at)).or_default().push(job);
        }
        lists.into_values().collect()
    }

    /// One job that builds what these do.
    fn one(&self, jobs: &[u32]) -> JobNodes {
        let nodes = |of: fn(&JobNodes) -> &Vec<Node>| {
            let mut list: Vec<Node> =
                jobs.iter().flat_map(|&job| of(&self.partition.jobs[job as usize])).copied().collect();
            list.sort_unstable();
            list.dedup();
            list
        };
        JobNodes {
            system: self.partition.jobs[jobs[0] as usize].system,
            owned: nodes(|job| &job.owned),
            co_located: nodes(|job| &job.co_located),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A chain of derivations of one minute, a job each, with these systems; and as many that stand alone.
    fn chain(systems: &[u16]) -> (Problem, Partition) {
        let nodes = systems.len();
        let inputs = Adjacency::from_lists((0..nodes as Node).map(|node| node.checked_sub(1).into_iter().collect()));
        let problem = Problem {
            consumers: inputs.reversed(),
            inputs,
            duration: vec![60_000; nodes],
            cheap: vec![false; nodes],
            target: vec![true; nodes],
            system: systems.to_vec(),
            floating: vec![false; nodes],
            confined: vec![false; nodes],
            portable: vec![false; nodes],
            bytes: Vec::new(),
            memory: Vec::new(),
            name_hash: vec![0; nodes],
            rank: Vec::new(),
            spread: Vec::new(),
        };
        let job =
            |(node, &system): (usize, &u16)| JobNodes { system, owned: vec![node as Node], co_located: Vec::new() };
        (problem, Partition { jobs: systems.iter().enumerate().map(job).collect() })
    }

    fn waves(systems: &[u16], most: usize) -> InWaves {
        let (problem, partition) = chain(systems);
        let found = in_waves(&problem, &Model::default(), &partition, Waves { count: most, jobs: 256 }).unwrap();
        let direct = direct_inputs(&problem, &found.partition).unwrap();
        for job in 0..found.waves.len() as u32 {
            assert!(direct.of(job).iter().all(|&input| found.waves[input as usize] < found.waves[job as usize]));
        }
        found
    }

    #[test]
    fn few_levels_are_waves_as_they_are() {
        let found = waves(&[0; 4], 4);
        assert_eq!((found.partition.jobs.len(), found.waves), (4, vec![0, 1, 2, 3]));
    }

    #[test]
    fn neighbouring_levels_become_one_wave_and_what_exchanges_something_there_one_job() {
        let found = waves(&[0; 20], 3);
        assert_eq!(found.partition.jobs.len(), 3);
        assert_eq!(found.partition.jobs.iter().map(|job| job.owned.len()).sum::<usize>(), 20);
    }

    #[test]
    fn too_many_jobs_of_a_wave_share_some() {
        let (mut problem, partition) = chain(&[0, 0, 0, 0, 0, 1, 1, 1]);
        problem.inputs = Adjacency::from_lists((0..8).map(|_| Vec::new()));
        problem.consumers = problem.inputs.clone();
        let found = in_waves(&problem, &Model::default(), &partition, Waves { count: 3, jobs: 4 }).unwrap();
        let jobs: Vec<_> = found.partition.jobs.iter().map(|job| (job.system, job.owned.clone())).collect();
        assert_eq!(jobs, [(0, vec![0, 2, 4]), (0, vec![1, 3]), (1, vec![5, 6, 7])]);
    }

    #[test]
    fn systems_share_no_job() {
        let found = waves(&[0, 0, 1, 1, 0, 0], 3);
        let jobs: Vec<_> = found.partition.jobs.iter().map(|job| (job.system, job.owned.len())).collect();
        assert_eq!(jobs, [(0, 2), (1, 2), (0, 2)]);
        assert_eq!(waves(&[0, 1, 0, 1], 2).waves, [0, 1, 2, 3], "as few as there can be");
    }
}
