//! Makes a plan stand durations that turn out other than guessed: takes jobs apart in which the longest path waits for builds that it does not need.
//!
//! In: a plan whose durations are guesses. Out: a plan with more jobs, faster on average. The plan is run on paper with sets of durations drawn around the guesses from a
//! heavy tail where they are guesses: most builds are shorter than guessed, a few very much longer; and near the estimate where records say how near. In each run the longest path is followed: where a job on it hands on to the next
//! what a part of the job has made long before the job ends, that part alone would have been there earlier. What that would have gained is added up over all runs, and the
//! parts that gain the most for the machine time that they cost become jobs of their own, a few at a time. A part is what the next job needs with all that this needs within the job, so
//! no cycle arises. What is drawn for a derivation depends on its name, not on what else is built.

mod draws;
mod network;

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap, HashSet};

use super::jobs::{Instance, JobNumber, Jobs};
use super::layers::{attachments, rebuilt};
use super::marks::Marks;
use super::portfolio::{Candidate, simulated};
use super::schedule::Scheduler;
use super::steps::Steps;
use super::units::Unit;
use crate::plan::model::{Objective, Stage};
use crate::plan::problem::{Millis, Problem};
use crate::plan::simulate::Simulation;
use draws::{drawn, longest_path};
use network::Network;

/// Sets of durations.
const DRAWS: u64 = 40;
/// Most rounds.
const ROUNDS: u32 = 80;
/// Most parts that become jobs in one round, and most that are considered.
const MOST_SPLITS: usize = 8;
const MOST_CONSIDERED: usize = 32;
/// Elementary steps, a second of one core.
const STEPS: u64 = 200_000_000;
/// The most machine time that the plan may use beside a job a derivation, in hundredths. No more than half is promised; draws differ by a few hundredths.
const MOST_JOB_TIME: u64 = 46;
/// How much longer than before the plan may be if the guesses are right, in hundredths.
const MOST_LONGER: Millis = 112;
/// Under the objective `balanced`, how many parts of wall time a part of machine time must buy.
const BALANCED_GAIN: f64 = 2.7;

/// The plan with jobs taken apart where durations are guesses and waiting for them is worth something.
pub fn made_robust(instance: &Instance, choice: Candidate) -> Candidate {
    if !instance.options.expects_surprises() || !instance.does(Stage::Guesses) {
        return choice;
    }
    let least = if instance.options.objective == Objective::Time { 0.0 } else { BALANCED_GAIN };
    let attach = if instance.model.ancestors_count() { attachments(instance, &choice.jobs) } else { Vec::new() };
    let with_layers = Instance { attach: &attach, ..*instance };
    let mut splitter = Splitter::new(&with_layers, &choice.jobs);
    for _ in 0..ROUNDS {
        if splitter.steps.exhausted() || splitter.is_full() || !splitter.round(least) {
            break;
        }
    }
    let steps = choice.steps + splitter.steps.spent();
    let jobs = rebuilt(instance, &mut splitter.scheduler, &splitter.jobs);
    Candidate { steps, ..simulated(instance, jobs, choice.deadline) }
}

/// What a plan takes over all sets of durations: wall time in millionths of the lower bound, and machine time in milliseconds.
pub fn over_draws(problem: &Problem, run: impl Fn(&Problem) -> Simulation) -> (u64, Millis) {
    let mut real = problem.clone();
    let mut sums = (0, 0);
    for draw in 0..DRAWS {
        real.duration = drawn(problem, draw);
        let simulation = run(&real);
        let bound = longest_path(&real.inputs, &real.duration).max(1);
        sums.0 += simulation.makespan.saturating_mul(1_000_000) / bound;
        sums.1 += simulation.job_time;
    }
    sums
}

/// One set of durations, milliseconds.
struct Draw {
    duration: Vec<Millis>,
    /// What no plan can do better than with it.
    bound: Millis,
    /// Of each job, start-up included.
    length: Vec<Millis>,
    /// When each job ends, and the last one.
    ends: Vec<Millis>,
    makespan: Millis,
}

/// Some units of a job, ascending.
type Part = (JobNumber, Vec<Unit>);

/// A part of a job that might become one of its own.
struct Split {
    part: Part,
    /// What is left of the job.
    rest: Part,
    /// Parts of wall time for one of machine time.
    worth: f64,
}

struct Splitter<'a> {
    instance: &'a Instance<'a>,
    scheduler: Scheduler<'a>,
    marks: Marks,
    steps: Steps,
    jobs: Jobs,
    network: Network,
    /// What happens if the guesses are right.
    guess: Draw,
    /// What the longest path may take then, milliseconds.
    most_guessed: Millis,
    draws: Vec<Draw>,
    /// Over all draws, milliseconds.
    job_time: Millis,
    most_job_time: Millis,
    /// Start-up and list schedule of parts of jobs that are as they were, one a draw, and at last if the guesses are right, milliseconds.
    lengths: HashMap<Part, Vec<Millis>>,
    /// What would make the plan too long if the guesses are right.
    refused: HashSet<Part>,
}

impl<'a> Splitter<'a> {
    fn new(instance: &'a Instance<'a>, jobs: &Jobs) -> Self {
        let mut scheduler = Scheduler::new(instance.problem);
        let jobs = rebuilt(instance, &mut scheduler, jobs).without_gaps();
        let network = Network::new(instance, &jobs);
        let mut run = |duration: Vec<Millis>| {
            let length = jobs.list.iter().map(|job| {
                job.start_up + scheduler.length_with(&job.tasks, instance.model.capacity_of(job.system), &duration)
            });
            let (length, mut ends): (Vec<Millis>, _) = (length.collect(), Vec::new());
            let makespan = network.run(&length, &mut ends);
            let bound = instance.start_up + longest_path(&instance.problem.inputs, &duration);
            Draw { bound: bound.max(1), duration, length, ends, makespan }
        };
        let guess = run(instance.problem.duration.clone());
        let draws: Vec<Draw> = (0..DRAWS).map(|draw| run(drawn(instance.problem, draw))).collect();
        let alone: Millis = draws.iter().flat_map(|draw| &draw.duration).map(|each| each + instance.start_up).sum();
        Self {
            instance,
            marks: Marks::default(),
            steps: Steps::new(STEPS),
            most_guessed: guess.makespan / 100 * MOST_LONGER,
            guess,
            job_time: draws.iter().flat_map(|draw| &draw.length).sum(),
            most_job_time: alone / 100 * MOST_JOB_TIME,
            draws,
            lengths: HashMap::new(),
            refused: HashSet::new(),
            scheduler,
            jobs,
            network,
        }
    }

    /// True where the plan may have no more jobs, or use no more machine time.
    fn is_full(&self) -> bool {
        let jobs = self.instance.options.limits.jobs;
        self.job_time >= self.most_job_time || jobs.is_some_and(|most| self.jobs.list.len() + MOST_SPLITS > most)
    }

    /// Runs the plan with each draw.
    fn run(&mut self) {
        for draw in &mut self.draws {
            draw.makespan = self.network.run(&draw.length, &mut draw.ends);
        }
        self.steps.take(self.draws.len() * self.network.steps());
    }

    /// Takes the best few jobs apart, or finds that they must stay; false where none is worth trying. A split is worth more than `least` parts of wall time for one of machine time.
    fn round(&mut self, least: f64) -> bool {
        self.run();
        let mut gains: BTreeMap<Part, u64> = BTreeMap::new();
        for draw in 0..self.draws.len() {
            self.follow_longest_path(draw, &mut gains);
        }
        let mut gains: Vec<_> = gains.into_iter().filter(|(part, _)| !self.refused.contains(part)).collect();
        gains.sort_by_key(|((job, part), gain)| (Reverse(*gain), *job, part[0]));
        gains.truncate(MOST_CONSIDERED);
        let mut splits: Vec<Split> = gains.into_iter().map(|(part, gain)| self.weigh(part, gain)).collect();
        splits.sort_by(|a, b| b.worth.total_cmp(&a.worth));
        let best = splits.first().map_or(0.0, |split| split.worth);
        let mut apart = HashSet::new();
        for split in splits.into_iter().filter(|split| split.worth > least && split.worth * 2.0 >= best) {
            if apart.len() < MOST_SPLITS && !self.is_full() && apart.insert(split.part.0) {
                self.apply(split);
            }
        }
        !apart.is_empty()
    }

    /// Adds up what each part that the longest path of a draw takes from a job would have gained as a job of its own, in millionths of the lower bound.
    fn follow_longest_path(&mut self, draw: usize, gains: &mut BTreeMap<Part, u64>) {
        let Draw { makespan, .. } = self.draws[draw];
        let first_unit = |jobs: &Jobs, job: JobNumber| jobs.list[job as usize].units[0];
        let all = 0..self.jobs.list.len() as JobNumber;
        let last = all.filter(|&job| self.draws[draw].ends[job as usize] == makespan);
        let Some(mut job) = last.min_by_key(|&job| first_unit(&self.jobs, job)) else { return };
        loop {
            let Draw { ends, length, .. } = &self.draws[draw];
            let start = ends[job as usize] - length[job as usize];
            let inputs = self.network.inputs(job).iter().copied().filter(|&input| ends[input as usize] == start);
            let Some(input) = inputs.min_by_key(|&input| first_unit(&self.jobs, input)) else { return };
            if let Some((part, gain)) = self.needed_part(draw, input, job) {
                *gains.entry(part).or_default() += gain * 1_000_000 / self.draws[draw].bound;
            }
            job = input;
        }
    }

    /// The units of a job that `next` needs, ascending, and how much earlier they alone would have ended, milliseconds. None where these are all, or nothing is gained.
    fn needed_part(&mut self, draw: usize, job: JobNumber, next: JobNumber) -> Option<(Part, Millis)> {
        let (units, state) = (self.instance.units, &self.jobs.list[job as usize]);
        if state.units.len() < 2 {
            return None;
        }
        self.marks.reset(units.len());
        let of_unit = &self.jobs.of_unit;
        let feeds = |unit: &Unit| units.consumers.of(*unit).iter().any(|&consumer| of_unit[consumer as usize] == next);
        let mut part: Vec<Unit> = state.units.iter().copied().filter(feeds).collect();
        for &unit in &part {
            self.marks.mark(unit);
        }
        let (mut at, mut ready) = (0, 0);
        while at < part.len() {
            for &input in units.inputs.of(part[at]) {
                let other = of_unit[input as usize];
                if other != job {
                    ready = self.draws[draw].ends[other as usize].max(ready);
                } else if self.marks.mark(input) {
                    part.push(input);
                }
            }
            at += 1;
        }
        self.steps.take(10 * state.units.len());
        if part.len() == state.units.len() {
            return None;
        }
        part.sort_unstable();
        let part = (job, part);
        let gain = self.draws[draw].ends[job as usize].saturating_sub(ready + self.lengths(&part)[draw]);
        (gain > 0).then_some((part, gain))
    }

    /// How long some units of a job would take as one of their own with each draw, and at last if the guesses are right, milliseconds.
    fn lengths(&mut self, part: &Part) -> &[Millis] {
        if !self.lengths.contains_key(part) {
            let state = &self.jobs.list[part.0 as usize];
            let tasks = self.instance.units.tasks_of(&part.1);
            self.steps.take(20 * tasks.len() * self.draws.len());
            let machine = self.instance.model.capacity_of(state.system);
            let draws = self.draws.iter().chain([&self.guess]);
            let lengths =
                draws.map(|draw| state.start_up + self.scheduler.length_with(&tasks, machine, &draw.duration));
            let lengths = lengths.collect();
            self.lengths.insert(part.clone(), lengths);
        }
        &self.lengths[part]
    }

    /// What is left of a job without a part.
    fn rest(&self, (job, part): &Part) -> Part {
        let units = &self.jobs.list[*job as usize].units;
        (*job, units.iter().copied().filter(|unit| part.binary_search(unit).is_err()).collect())
    }

    fn weigh(&mut self, part: Part, gain: u64) -> Split {
        let draws = self.draws.len();
        let rest = self.rest(&part);
        let sum = |lengths: &[Millis]| lengths[..draws].iter().sum::<Millis>();
        let apart = sum(self.lengths(&part)) + sum(self.lengths(&rest));
        let together: Millis = self.draws.iter().map(|draw| draw.length[part.0 as usize]).sum();
        let cost = apart.saturating_sub(together).max(1) as f64 / self.job_time.max(1) as f64;
        let gain = gain as f64 / 1e6 / draws as f64;
        Split { part, rest, worth: gain / cost }
    }

    /// Takes a job apart, unless that makes the plan too long if the guesses are right.
    fn apply(&mut self, Split { part, rest, .. }: Split) {
        let (of_part, of_rest) = (self.lengths(&part).to_vec(), self.lengths(&rest).to_vec());
        let (job, last) = (part.0 as usize, self.draws.len());
        let cut = self.network.cut(self.instance, &self.jobs, part.0, &part.1);
        self.guess.makespan = self.network.run(&self.guess.length, &mut self.guess.ends);
        if self.network.run_with(&self.guess.length, &self.guess.ends, &cut, (of_part[last], of_rest[last]))
            > self.most_guessed
        {
            self.refused.insert(part);
            return;
        }
        self.jobs.split(self.instance, &mut self.scheduler, part.0, &part.1);
        self.network = Network::new(self.instance, &self.jobs);
        self.steps.take(4 * self.instance.units.len() + 2 * self.instance.units.inputs.edges());
        self.lengths.retain(|(other, _), _| *other != part.0);
        for (at, draw) in self.draws.iter_mut().chain([&mut self.guess]).enumerate() {
            if at < last {
                self.job_time = self.job_time + of_part[at] + of_rest[at] - draw.length[job];
            }
            draw.length[job] = of_part[at];
            draw.length.push(of_rest[at]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::contract::separate;
    use super::super::zero::mix;
    use super::*;
    use crate::plan::model::{Model, PartitionOptions};
    use crate::plan::problem::{Adjacency, Node};

    /// Whether sixteen chains of two still start in one job, as in the plan that is given, although two jobs go on with eight of them each.
    fn starts_together(options: &PartitionOptions) -> bool {
        let nodes = 32;
        let inputs = Adjacency::from_lists((0..nodes as Node).map(|node| node.checked_sub(16).into_iter().collect()));
        let problem = Problem {
            consumers: inputs.reversed(),
            inputs,
            duration: vec![60_000; nodes],
            cheap: vec![false; nodes],
            target: (0..nodes).map(|node| node >= 16).collect(),
            system: vec![0; nodes],
            floating: vec![false; nodes],
            confined: vec![false; nodes],
            portable: vec![false; nodes],
            bytes: Vec::new(),
            memory: Vec::new(),
            name_hash: (0..nodes as u64).map(mix).collect(),
            rank: Vec::new(),
            spread: Vec::new(),
        };
        let model = Model::default();
        let units = separate(&problem, &model);
        let start_up = model.start_up;
        let instance = Instance {
            problem: &problem,
            units: &units,
            model: &model,
            options,
            start_up,
            attach: &[],
            floor: 0,
            giant: false,
        };
        let owner: Vec<u32> = (0..nodes as u32).map(|unit| if unit < 16 { 0 } else { unit / 8 * 8 }).collect();
        let jobs = Jobs::from_owners(&instance, &mut Scheduler::new(&problem), &owner);
        let jobs = made_robust(&instance, simulated(&instance, jobs, 0)).jobs;
        jobs.of_unit[0] == jobs.of_unit[15]
    }

    #[test]
    fn what_waits_for_nothing_it_needs_is_taken_apart() {
        let options = PartitionOptions { objective: Objective::Time, ..PartitionOptions::default() };
        assert!(!starts_together(&options));
        assert!(starts_together(&PartitionOptions { durations_recorded: true, ..options.clone() }));
        assert!(starts_together(&PartitionOptions { reserve: Some(0.0), ..options.clone() }));
        assert!(starts_together(&PartitionOptions { objective: Objective::Cost, ..options }));
    }
}
