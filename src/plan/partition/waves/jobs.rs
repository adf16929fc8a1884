//! Jobs that stand in waves: the state of what packs and refills them.
//!
//! In: waves of components. Out: [`WaveJobs`], which units share a job, in which wave.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::fill::Wave;
use crate::plan::model::Granularity;
use crate::plan::partition::jobs::{Instance, compatible_systems, merge_into, merged};
use crate::plan::partition::schedule::Scheduler;
use crate::plan::partition::steps::Steps;
use crate::plan::partition::units::Unit;
use crate::plan::problem::{Millis, Node, System};

/// Units that are built by one job.
#[derive(Clone, Debug, Default)]
pub struct WaveJob {
    /// Ascending; empty where the job was merged into another.
    pub units: Vec<Unit>,
    /// What the job builds, co-located nodes too, ascending.
    pub tasks: Vec<Node>,
    pub wave: usize,
    pub system: System,
    pub targets: u32,
    /// Sum of what the units own, milliseconds.
    pub work: Millis,
    /// The same of all that the job builds.
    pub all_work: Millis,
    /// List schedule, milliseconds, without start-up.
    pub length: Millis,
}

/// All jobs of all waves.
pub struct WaveJobs<'a> {
    pub instance: &'a Instance<'a>,
    /// What each unit owns, milliseconds.
    work: &'a [Millis],
    pub scheduler: Scheduler<'a>,
    pub steps: Steps,
    pub list: Vec<WaveJob>,
    pub of_unit: Vec<u32>,
    /// How long the jobs of each wave may take, milliseconds.
    pub lengths: Vec<Millis>,
    /// What two jobs build, for a moment.
    both: Vec<Node>,
}

impl<'a> WaveJobs<'a> {
    /// A job for each component.
    pub fn new(instance: &'a Instance<'a>, work: &'a [Millis], waves: &[Wave], steps: u64) -> Self {
        let mut jobs = Self {
            instance,
            work,
            scheduler: Scheduler::new(instance.problem),
            steps: Steps::new(steps),
            list: Vec::new(),
            of_unit: vec![u32::MAX; instance.units.len()],
            lengths: waves.iter().map(|wave| wave.length).collect(),
            both: Vec::new(),
        };
        for (number, wave) in waves.iter().enumerate() {
            for units in &wave.components {
                let job = jobs.made(units.clone(), number);
                jobs.push(job);
            }
        }
        jobs
    }

    /// A job of these units (ascending).
    pub fn made(&mut self, units: Vec<Unit>, wave: usize) -> WaveJob {
        let all = self.instance.units;
        let each = || units.iter().map(|&unit| unit as usize);
        let system = each().map(|unit| all.system[unit]).min().unwrap_or_default();
        let tasks = all.tasks_of(&units);
        let length = self.length(&tasks, system);
        WaveJob {
            wave,
            system,
            targets: each().map(|unit| all.targets[unit]).sum(),
            work: each().map(|unit| self.work[unit]).sum(),
            all_work: self.all_work(&tasks),
            length,
            tasks,
            units,
        }
    }

    pub fn push(&mut self, job: WaveJob) -> usize {
        let index = self.list.len();
        for &unit in &job.units {
            self.of_unit[unit as usize] = index as u32;
        }
        self.list.push(job);
        index
    }

    fn length(&mut self, tasks: &[Node], system: System) -> Millis {
        self.steps.take(12 * tasks.len());
        self.scheduler.length(tasks, self.instance.model.capacity_of(system))
    }

    /// True where the rules let both be one job.
    pub fn compatible(&self, a: &WaveJob, b: &WaveJob) -> bool {
        let target = self.instance.options.granularity == Granularity::Target;
        let component = |job: &WaveJob| self.instance.units.component[job.units[0] as usize];
        compatible_systems(a.system, b.system)
            && !(target && (a.targets > 0 && b.targets > 0 || component(a) != component(b)))
    }

    /// At least this long is a job of both, milliseconds.
    pub fn least(&self, a: &WaveJob, b: &WaveJob) -> Millis {
        let slots = self.instance.model.slots_of(a.system.min(b.system)) as Millis;
        // What one of them owns the other one does not build.
        let work = (a.all_work + b.work).max(a.work + b.all_work);
        a.length.max(b.length).max(work.div_ceil(slots))
    }

    /// How long a job of both takes, milliseconds; none where that is more than `most`.
    pub fn length_of_both(&mut self, a: usize, b: &WaveJob, most: Millis) -> Option<Millis> {
        let a = &self.list[a];
        self.both.clear();
        merge_into(&mut self.both, &a.tasks, &b.tasks);
        let machine = self.instance.model.capacity_of(a.system.min(b.system));
        let length = self.scheduler.length_within(&self.both, machine, most);
        // Too long a schedule is given up on the way.
        let each = if length.is_some() { 12 } else { 6 };
        self.steps.take(each * self.both.len());
        length
    }

    /// Adds `b` to a job, which then takes `length` milliseconds; returns what it was before.
    pub fn add(&mut self, job: usize, b: &WaveJob, length: Millis) -> WaveJob {
        let a = &self.list[job];
        let tasks = merged(&a.tasks, &b.tasks);
        let both = WaveJob {
            wave: a.wave,
            system: a.system.min(b.system),
            targets: a.targets + b.targets,
            work: a.work + b.work,
            all_work: self.all_work(&tasks),
            length,
            tasks,
            units: merged(&a.units, &b.units),
        };
        for &unit in &b.units {
            self.of_unit[unit as usize] = job as u32;
        }
        std::mem::replace(&mut self.list[job], both)
    }

    fn all_work(&self, tasks: &[Node]) -> Millis {
        tasks.iter().map(|&task| self.instance.problem.duration[task as usize]).sum()
    }

    /// Total job time, start-ups included, milliseconds.
    pub fn total(&self) -> Millis {
        let start_up = self.instance.start_up;
        self.list.iter().filter(|job| !job.units.is_empty()).map(|job| start_up + job.length).sum()
    }

    /// The jobs of each wave.
    pub fn by_wave(&self) -> Vec<Vec<usize>> {
        let mut waves = vec![Vec::new(); self.lengths.len()];
        for (index, job) in self.list.iter().enumerate().filter(|(_, job)| !job.units.is_empty()) {
            waves[job.wave].push(index);
        }
        waves
    }

    /// From start to end, milliseconds: each wave waits in the queue and lasts as long as its jobs on the runners, the longest first.
    pub fn makespan(&self, queue: Millis, runners: usize) -> Millis {
        let start_up = self.instance.start_up;
        let of_wave = |jobs: Vec<usize>| {
            let mut lengths: Vec<Millis> = jobs.iter().map(|&job| start_up + self.list[job].length).collect();
            lengths.sort_unstable_by(|a, b| b.cmp(a));
            let mut free: BinaryHeap<Reverse<Millis>> = (0..runners.max(1)).map(|_| Reverse(0)).collect();
            let mut end = 0;
            for length in lengths {
                let start = free.pop().map_or(0, |Reverse(start)| start);
                free.push(Reverse(start + length));
                end = end.max(start + length);
            }
            end
        };
        self.by_wave().into_iter().filter(|jobs| !jobs.is_empty()).map(|jobs| queue + of_wave(jobs)).sum()
    }

    /// Makes waves longer by `spare` milliseconds in all. A wave's job time goes with its work x (1 + slots x start-up / length), which is least for a given sum where lengths go
    /// with the root of the work.
    pub fn lengthen(&mut self, spare: Millis) {
        let mut work = vec![0.0; self.lengths.len()];
        for job in &self.list {
            work[job.wave] += job.work as f64;
        }
        let total = (self.lengths.iter().sum::<Millis>() + spare) as f64;
        let of = |factor: f64, wave: usize| (self.lengths[wave] as f64).max(factor * f64::sqrt(work[wave]));
        let (mut low, mut high) = (0.0, total);
        for _ in 0..64 {
            let factor = (low + high) / 2.0;
            let sum: f64 = (0..work.len()).map(|wave| of(factor, wave)).sum();
            if sum > total { high = factor } else { low = factor }
        }
        let most = self.instance.longest_build();
        self.lengths =
            (0..work.len()).map(|wave| (of(low, wave) as Millis).min(most).max(self.lengths[wave])).collect();
    }

    /// Merges whole jobs of each wave where that saves job time: best fit, the longest first.
    pub fn pack(&mut self) {
        const TRIED: usize = 12;
        for (wave, mut jobs) in self.by_wave().into_iter().enumerate() {
            jobs.sort_by_key(|&job| (Reverse(self.list[job].length), job));
            let mut open: Vec<usize> = Vec::new();
            for job in jobs {
                if self.steps.exhausted() {
                    return;
                }
                let state = std::mem::take(&mut self.list[job]);
                // What is saved, the other job, and how long both take together.
                let mut best: Option<(Millis, usize, Millis)> = None;
                let mut tried = 0;
                for &other in &open {
                    let a = &self.list[other];
                    let apart = self.instance.start_up + a.length + state.length;
                    let saved = best.map_or(0, |best| best.0);
                    // The longest that is better than the best so far.
                    let most = self.lengths[wave].min(apart.saturating_sub(saved + 1));
                    if self.least(a, &state) > most || !self.compatible(a, &state) {
                        continue;
                    }
                    tried += 1;
                    if tried > TRIED {
                        break;
                    }
                    if let Some(length) = self.length_of_both(other, &state, most) {
                        best = Some((apart - length, other, length));
                    }
                }
                match best {
                    Some((_, other, length)) => {
                        self.add(other, &state, length);
                        // The fullest first.
                        let at = open.iter().position(|&at| at == other).unwrap_or(0);
                        open.remove(at);
                        self.open(&mut open, other);
                    }
                    None => {
                        self.list[job] = state;
                        self.open(&mut open, job);
                    }
                }
            }
        }
    }

    fn open(&self, open: &mut Vec<usize>, job: usize) {
        let work = self.list[job].work;
        let at = open.partition_point(|&other| self.list[other].work >= work);
        open.insert(at, job);
    }
}
