//! Makes a plan stand durations that turn out other than guessed: takes jobs apart in which the longest path waits for builds that it does not need.
//!
//! In: a plan whose durations are guesses. Out: a plan with more jobs, faster on average. The plan is run on paper with sets of durations drawn around the guesses from a
//! heavy tail where they are guesses: most builds are shorter than guessed, a few very much longer; and near the estimate where records say how near. In each run the longest path is followed: where a job on it hands on to the next
//! what a part of the job has made long before the job ends, that part alone would have been there earlier. What that would have gained is added up over all runs, and the
//! parts that gain the most for the machine time that they cost become jobs of their own, a few at a time. A part is what the next job needs with all that this needs within the job, so
//! no cycle arises. What is drawn for a derivation depends on its name, not on what else is built.

use std::collections::{BTreeMap, HashSet};

use super::jobs::{Instance, JobNumber, Jobs};
use super::layers::{attachments, rebuilt};
use super::marks::Marks;
use super::portfolio::{Candidate, simulated};
use super::schedule::Scheduler;
use super::steps::Steps;
use super::units::Unit;
use super::zero::mix;
use crate::plan::model::{Objective, Stage};
use crate::plan::problem::{Adjacency, Millis, Node, Problem, Spread};

/// Sets of durations.
const DRAWS: usize = 40;
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
const BALANCED_GAIN: f64 = 6.0;

/// Real durations as thousandths of the guess, all equally likely: 64 quantiles of a log-normal distribution with a median of two thirds and a 99th percentile of 20. For a guess
/// of a minute that is 40 s and 20 minutes. An assumption; what real package sets take is of this kind.
const FACTORS: [Millis; 64] = [
    19, 36, 51, 64, 77, 90, 104, 117, 131, 145, 160, 175, 190, 206, 223, 240, 258, 276, 296, 316, 337, 359, 382, 406,
    431, 458, 485, 515, 545, 578, 612, 648, 686, 727, 769, 815, 864, 916, 971, 1031, 1095, 1164, 1239, 1319, 1407,
    1503, 1609, 1725, 1853, 1997, 2158, 2339, 2547, 2786, 3065, 3395, 3794, 4287, 4915, 5750, 6928, 8763, 12190, 22865,
];

/// The same where an estimate is off by a quarter, and where by twice: log-normal around it, with standard deviations of 0.25 and 0.7.
const SMALL: [Millis; 64] = [
    546, 608, 644, 670, 692, 711, 727, 743, 757, 770, 783, 795, 807, 818, 829, 840, 850, 860, 870, 880, 890, 900, 909,
    919, 928, 938, 947, 957, 966, 976, 985, 995, 1005, 1015, 1025, 1035, 1045, 1056, 1066, 1077, 1089, 1100, 1112,
    1124, 1136, 1149, 1163, 1176, 1191, 1206, 1222, 1239, 1258, 1277, 1298, 1321, 1346, 1375, 1407, 1445, 1492, 1553,
    1644, 1830,
];
const MEDIUM: [Millis; 64] = [
    184, 249, 291, 326, 356, 384, 410, 435, 459, 482, 504, 526, 548, 570, 591, 613, 634, 656, 678, 699, 721, 743, 766,
    789, 812, 835, 859, 883, 908, 934, 960, 986, 1014, 1042, 1071, 1101, 1132, 1164, 1197, 1232, 1268, 1306, 1345,
    1386, 1430, 1476, 1525, 1576, 1631, 1691, 1755, 1824, 1899, 1983, 2076, 2180, 2299, 2437, 2602, 2805, 3067, 3432,
    4020, 5432,
];

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

/// One set of durations, milliseconds.
struct Draw {
    duration: Vec<Millis>,
    /// What no plan can do better than with it.
    bound: Millis,
    /// Of each job, start-up included.
    length: Vec<Millis>,
}

/// Units of a job, and the gain over all draws in millionths of the lower bound from having them before the rest.
type Gains = BTreeMap<(JobNumber, Vec<Unit>), u64>;

/// A part of a job that might become one of its own.
struct Split {
    job: JobNumber,
    part: Vec<Unit>,
    /// Parts of wall time for one of machine time.
    worth: f64,
    /// With each draw, of the part and of the rest.
    lengths: Vec<(Millis, Millis)>,
}

struct Splitter<'a> {
    instance: &'a Instance<'a>,
    scheduler: Scheduler<'a>,
    marks: Marks,
    steps: Steps,
    jobs: Jobs,
    /// Of each job if the guesses are right, milliseconds.
    guessed: Vec<Millis>,
    /// What the longest path may take if the guesses are right, milliseconds.
    most_guessed: Millis,
    draws: Vec<Draw>,
    /// Over all draws, milliseconds.
    job_time: Millis,
    most_job_time: Millis,
    /// What would make the plan too long if the guesses are right.
    refused: HashSet<(JobNumber, Vec<Unit>)>,
}

impl<'a> Splitter<'a> {
    fn new(instance: &'a Instance<'a>, jobs: &Jobs) -> Self {
        let mut scheduler = Scheduler::new(instance.problem);
        let mut jobs = rebuilt(instance, &mut scheduler, jobs);
        let guessed = jobs.list.iter().map(|job| job.length).collect();
        let most_guessed = jobs.measure(instance).1 / 100 * MOST_LONGER;
        let mut draws = Vec::with_capacity(DRAWS);
        let (mut job_time, mut alone) = (0, 0);
        for draw in 0..DRAWS {
            let duration = drawn(instance.problem, draw as u64);
            let length = jobs.list.iter().map(|job| match job.units.is_empty() {
                true => 0,
                false => {
                    job.start_up + scheduler.length_with(&job.tasks, instance.model.capacity_of(job.system), &duration)
                }
            });
            let length: Vec<Millis> = length.collect();
            job_time += length.iter().sum::<Millis>();
            alone += duration.iter().map(|duration| duration + instance.start_up).sum::<Millis>();
            draws.push(Draw {
                bound: instance.start_up + longest_path(&instance.problem.inputs, &duration),
                duration,
                length,
            });
        }
        let most_job_time = alone / 100 * MOST_JOB_TIME;
        let (marks, steps) = (Marks::default(), Steps::new(STEPS));
        Self {
            instance,
            scheduler,
            marks,
            steps,
            jobs,
            guessed,
            most_guessed,
            draws,
            job_time,
            most_job_time,
            refused: HashSet::new(),
        }
    }

    /// True where the plan may have no more jobs, or use no more machine time.
    fn is_full(&self) -> bool {
        let jobs = self.instance.options.limits.jobs;
        self.job_time >= self.most_job_time || jobs.is_some_and(|most| self.jobs.count() + MOST_SPLITS > most)
    }

    /// Takes the best few jobs apart, or finds that they must stay; false where none is worth trying. A split is worth more than `least` parts of wall time for one of machine time.
    fn round(&mut self, least: f64) -> bool {
        let mut gains = Gains::new();
        for draw in 0..self.draws.len() {
            self.follow_longest_path(draw, &mut gains);
        }
        let mut gains: Vec<_> = gains.into_iter().filter(|(split, _)| !self.refused.contains(split)).collect();
        gains.sort_by_key(|((job, part), gain)| (std::cmp::Reverse(*gain), *job, part[0]));
        gains.truncate(MOST_CONSIDERED);
        let mut splits: Vec<Split> = gains.into_iter().map(|((job, part), gain)| self.weigh(job, part, gain)).collect();
        splits.sort_by(|a, b| b.worth.total_cmp(&a.worth));
        let best = splits.first().map_or(0.0, |split| split.worth);
        let mut apart = HashSet::new();
        for split in splits.into_iter().filter(|split| split.worth > least && split.worth * 2.0 >= best) {
            if apart.len() < MOST_SPLITS && !self.is_full() && apart.insert(split.job) {
                self.apply(split);
            }
        }
        !apart.is_empty()
    }

    /// Runs the plan with a draw and adds up what each part that the longest path takes from a job would have gained as a job of its own.
    fn follow_longest_path(&mut self, draw: usize, gains: &mut Gains) {
        for (state, &length) in self.jobs.list.iter_mut().zip(&self.draws[draw].length) {
            state.length = length;
        }
        let (order, makespan) = self.jobs.measure(self.instance);
        self.steps.take(4 * self.instance.units.len() + 2 * self.instance.units.inputs.edges());
        let ends = |job: &JobNumber| self.jobs.list[*job as usize].earliest_end() == makespan;
        let Some(mut job) = order.iter().copied().filter(ends).min_by_key(|&job| self.first_unit(job)) else { return };
        loop {
            let start = self.jobs.list[job as usize].earliest;
            let inputs = self.jobs.inputs(self.instance, &mut self.marks, job);
            self.steps.take(4 * inputs.len());
            let ends = |input: &JobNumber| self.jobs.list[*input as usize].earliest_end() == start;
            let Some(input) = inputs.into_iter().filter(ends).min_by_key(|&input| self.first_unit(input)) else {
                return;
            };
            if let Some((part, gain)) = self.needed_part(draw, input, job) {
                *gains.entry((input, part)).or_default() += gain * 1_000_000 / self.draws[draw].bound.max(1);
            }
            job = input;
        }
    }

    fn first_unit(&self, job: JobNumber) -> Unit {
        self.jobs.list[job as usize].units[0]
    }

    /// The units of a job that `next` needs, ascending, and how much earlier they alone would have ended, milliseconds. None where these are all, or nothing is gained.
    fn needed_part(&mut self, draw: usize, job: JobNumber, next: JobNumber) -> Option<(Vec<Unit>, Millis)> {
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
                    ready = self.jobs.list[other as usize].earliest_end().max(ready);
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
        let gain = state.earliest_end().saturating_sub(ready + self.length(draw, job, &part));
        (gain > 0).then_some((part, gain))
    }

    /// How long some units of a job would take as one of their own, milliseconds.
    fn length(&mut self, draw: usize, job: JobNumber, units: &[Unit]) -> Millis {
        let state = &self.jobs.list[job as usize];
        let tasks = self.instance.units.tasks_of(units);
        self.steps.take(20 * tasks.len());
        let machine = self.instance.model.capacity_of(state.system);
        state.start_up + self.scheduler.length_with(&tasks, machine, &self.draws[draw].duration)
    }

    fn weigh(&mut self, job: JobNumber, part: Vec<Unit>, gain: u64) -> Split {
        let units = &self.jobs.list[job as usize].units;
        let rest: Vec<Unit> = units.iter().copied().filter(|unit| part.binary_search(unit).is_err()).collect();
        let lengths: Vec<(Millis, Millis)> =
            (0..self.draws.len()).map(|draw| (self.length(draw, job, &part), self.length(draw, job, &rest))).collect();
        let apart: Millis = lengths.iter().map(|(part, rest)| part + rest).sum();
        let together: Millis = self.draws.iter().map(|draw| draw.length[job as usize]).sum();
        let cost = apart.saturating_sub(together).max(1) as f64 / self.job_time.max(1) as f64;
        let gain = gain as f64 / 1e6 / self.draws.len() as f64;
        Split { job, part, worth: gain / cost, lengths }
    }

    /// Takes a job apart, unless that makes the plan too long if the guesses are right.
    fn apply(&mut self, split: Split) {
        let job = split.job as usize;
        let before = self.jobs.list[job].clone();
        let made = self.jobs.split(self.instance, &mut self.scheduler, split.job, &split.part) as usize;
        let guess = std::mem::replace(&mut self.guessed[job], self.jobs.list[job].length);
        self.guessed.push(self.jobs.list[made].length);
        for (state, &length) in self.jobs.list.iter_mut().zip(&self.guessed) {
            state.length = length;
        }
        self.steps.take(4 * self.instance.units.len() + 2 * self.instance.units.inputs.edges());
        if self.jobs.measure(self.instance).1 > self.most_guessed {
            for &unit in &before.units {
                self.jobs.of_unit[unit as usize] = split.job;
            }
            self.jobs.list[job] = before;
            self.jobs.list.pop();
            self.guessed[job] = guess;
            self.guessed.pop();
            self.refused.insert((split.job, split.part));
            return;
        }
        for (draw, (part, rest)) in self.draws.iter_mut().zip(split.lengths) {
            self.job_time = self.job_time + part + rest - draw.length[job];
            draw.length[job] = part;
            draw.length.push(rest);
        }
    }
}

/// Durations that might turn out to be the real ones, as far from the estimates as these say. What is cheap is known to be.
fn drawn(problem: &Problem, draw: u64) -> Vec<Millis> {
    let factor = |node: usize| {
        let at = (mix(problem.name_hash[node] ^ mix(draw + 1)) % FACTORS.len() as u64) as usize;
        match problem.spread.get(node).copied().unwrap_or_default() {
            _ if problem.cheap[node] => 1000,
            Spread::None => 1000,
            Spread::Small => SMALL[at],
            Spread::Medium => MEDIUM[at],
            Spread::Heavy => FACTORS[at],
        }
    };
    (0..problem.len()).map(|node| problem.duration[node].saturating_mul(factor(node)) / 1000).collect()
}

/// The longest path of derivations, milliseconds.
fn longest_path(inputs: &Adjacency, duration: &[Millis]) -> Millis {
    let mut end = vec![0; duration.len()];
    for node in 0..duration.len() {
        let start = inputs.of(node as Node).iter().map(|&input| end[input as usize]).max().unwrap_or(0);
        end[node] = start + duration[node];
    }
    end.into_iter().max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::super::contract::separate;
    use super::*;
    use crate::plan::model::{Model, PartitionOptions};

    #[test]
    fn durations_are_drawn_from_a_heavy_tail() {
        let nodes = 20_000;
        let problem = Problem {
            duration: vec![60_000; nodes],
            cheap: (0..nodes).map(|node| node == 0).collect(),
            bytes: Vec::new(),
            memory: Vec::new(),
            name_hash: (0..nodes as u64).map(mix).collect(),
            ..Problem::default()
        };
        let mut drawn = drawn(&problem, 3);
        assert_eq!(drawn[0], 60_000, "what is cheap is known to be");
        drawn.sort_unstable();
        assert!((38_000..42_000).contains(&drawn[nodes / 2]), "{}", drawn[nodes / 2]);
        let spread =
            (0..nodes).map(|node| [Spread::None, Spread::Small, Spread::Medium, Spread::Heavy][node % 4]).collect();
        let known = super::drawn(&Problem { spread, ..problem }, 3);
        let most =
            [0, 1, 2, 3].map(|kind| known[1..].iter().skip((kind + 3) % 4).step_by(4).max().copied().unwrap_or(0));
        assert_eq!(most, [60_000, 109_800, 325_920, 1_371_900], "as far as the estimate's spread goes");
        assert!((800_000..1_400_000).contains(&drawn[nodes / 100 * 99]), "{}", drawn[nodes / 100 * 99]);
    }

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
