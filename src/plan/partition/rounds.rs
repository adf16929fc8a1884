//! A plan in one go, for graphs that are too large to search: time nearly linear in the edges.
//!
//! In: the [`Instance`] and how much a job may hold. Out: [`Jobs`]. Jobs are made in rounds. A job starts with the unit that has the longest way to the end among those
//! whose inputs earlier rounds have built; then it takes in consumers of what it holds, the longest way to the end first, together with what these still miss, until it is
//! full; a job with room left goes on with the next unit that is ready. A unit of which another job of the same round has an input waits for the next round. So
//! every job takes only from earlier rounds, and no merge can close a cycle.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::context::Search;
use super::jobs::{Instance, Jobs, compatible_systems};
use super::steps::Steps;
use super::units::Unit;
use crate::plan::model::Granularity;
use crate::plan::problem::{Millis, System};

/// Most units that come in at once with a consumer that misses them.
const MOST_MISSING: usize = 32;
/// How many consumers that cannot come in are tried for each job.
const MOST_FAILURES: usize = 24;
/// How many ready units that do not fit are passed over for each job.
const MOST_PASSED: usize = 24;

/// Jobs that are constructed round by round: what all rounds know.
struct Construction<'a> {
    instance: &'a Instance<'a>,
    /// Time and work of each unit alone, milliseconds.
    single: &'a Jobs,
    /// Longest way from the start of a unit to the end of everything, milliseconds.
    tail: Vec<Millis>,
    /// The job of each unit, [`NONE`] where it has none yet.
    owner: Vec<u32>,
    /// The round in which a unit got its job.
    round_of: Vec<u32>,
    round: u32,
    /// When a unit ends within the job in the making, milliseconds.
    end: Vec<Millis>,
    seen: Vec<u32>,
    search: u32,
    steps: &'a mut Steps,
}

const NONE: u32 = u32::MAX;

/// The job in the making.
struct Growing {
    number: u32,
    system: System,
    component: Unit,
    targets: u32,
    work: Millis,
    slots: Millis,
    /// Consumers of what it holds, with the longest way from each to the end.
    open: BinaryHeap<(Millis, Reverse<Unit>)>,
    /// What it holds, in the order in which it came.
    units: Vec<Unit>,
}

impl Search<'_> {
    /// Jobs that take up to `most` milliseconds each, start-up not included. `single` holds each unit as its own job.
    pub fn in_rounds(&mut self, single: &Jobs, most: Millis) -> Jobs {
        let instance = self.instance;
        let units = instance.units.len();
        let mut tail = vec![0; units];
        for unit in (0..units).rev() {
            let after = instance.units.consumers.of(unit as Unit).iter().map(|&consumer| tail[consumer as usize]).max();
            tail[unit] = after.unwrap_or(0) + single.list[unit].build();
        }
        let mut left = instance.units.inputs.in_degrees();
        let mut ready: Vec<Unit> = left.ready().collect();
        let mut rounds = Construction {
            instance,
            single,
            tail,
            owner: vec![NONE; units],
            round_of: vec![NONE; units],
            round: 0,
            end: vec![0; units],
            seen: vec![0; units],
            search: 0,
            steps: &mut self.steps,
        };
        while !ready.is_empty() {
            let built = rounds.run(&mut ready, most);
            ready.clear();
            for &unit in &built {
                for &consumer in instance.units.consumers.of(unit) {
                    if left.arrive(consumer) && rounds.owner[consumer as usize] == NONE {
                        ready.push(consumer);
                    }
                }
            }
            rounds.round += 1;
        }
        Jobs::from_owners(instance, &mut self.scheduler, &rounds.owner)
    }
}

impl Construction<'_> {
    /// Makes the jobs of one round; every ready unit gets one. Returns the units that did.
    fn run(&mut self, ready: &mut [Unit], most: Millis) -> Vec<Unit> {
        let component = |unit: Unit| self.instance.units.component[unit as usize];
        let apart = self.instance.options.granularity == Granularity::Target;
        ready.sort_unstable_by_key(|&unit| {
            (if apart { component(unit) } else { 0 }, Reverse(self.tail[unit as usize]), unit)
        });
        let mut built = Vec::new();
        // Units before this place have a job.
        let mut first = 0;
        while let Some(offset) = ready[first..].iter().position(|&unit| self.owner[unit as usize] == NONE) {
            first += offset;
            built.extend(self.grow(ready[first], &ready[first..], most));
        }
        built
    }

    /// Makes one job; gives the units that it holds.
    fn grow(&mut self, seed: Unit, ready: &[Unit], most: Millis) -> Vec<Unit> {
        let system = self.instance.units.system[seed as usize];
        let mut job = Growing {
            number: seed,
            system,
            component: self.instance.units.component[seed as usize],
            targets: 0,
            work: 0,
            slots: self.instance.model.slots_of(system) as Millis,
            open: BinaryHeap::new(),
            units: Vec::new(),
        };
        self.take(seed, &mut job);
        let (mut failures, mut passed) = (0, 0);
        let mut others = ready.iter();
        loop {
            while let Some((_, Reverse(unit))) = job.open.pop() {
                if self.owner[unit as usize] != NONE || failures >= MOST_FAILURES {
                    continue;
                }
                match self.with_missing(unit, &job, most) {
                    Some(units) => {
                        for unit in units {
                            self.take(unit, &mut job);
                        }
                    }
                    None => failures += 1,
                }
            }
            if passed >= MOST_PASSED || job.work * 10 >= most * job.slots * 9 {
                return job.units;
            }
            let before = others.len();
            let next = others.find(|&&unit| self.owner[unit as usize] == NONE);
            self.steps.take(before - others.len());
            let Some(&unit) = next else { return job.units };
            match self.with_missing(unit, &job, most) {
                Some(units) => {
                    for unit in units {
                        self.take(unit, &mut job);
                    }
                    failures = 0;
                }
                None => passed += 1,
            }
        }
    }

    fn take(&mut self, unit: Unit, job: &mut Growing) {
        let at = unit as usize;
        self.end[at] = self.end_of(unit, job.number);
        self.owner[at] = job.number;
        self.round_of[at] = self.round;
        job.system = job.system.min(self.instance.units.system[at]);
        job.targets += self.instance.units.targets[at];
        job.work += self.single.list[at].work;
        job.units.push(unit);
        let consumers = self.instance.units.consumers.of(unit).iter();
        self.steps.take(10 * (1 + consumers.len()));
        job.open.extend(consumers.map(|&consumer| (self.tail[consumer as usize], Reverse(consumer))));
    }

    /// When a unit would end in a job that holds its inputs of this round.
    fn end_of(&self, unit: Unit, job: u32) -> Millis {
        let inputs = self.instance.units.inputs.of(unit).iter();
        let here =
            inputs.filter(|&&input| self.owner[input as usize] == job && self.round_of[input as usize] == self.round);
        let start = here.map(|&input| self.end[input as usize]).max().unwrap_or(0);
        start + self.single.list[unit as usize].build()
    }

    /// The unit and all that it misses, inputs first, where the job may take them in.
    fn with_missing(&mut self, unit: Unit, job: &Growing, most: Millis) -> Option<Vec<Unit>> {
        self.search += 1;
        let units = self.instance.units;
        let mut list = vec![unit];
        self.seen[unit as usize] = self.search;
        let (mut next, mut work, mut targets) = (0, job.work, job.targets);
        while next < list.len() {
            let unit = list[next];
            next += 1;
            work += self.single.list[unit as usize].work;
            targets += units.targets[unit as usize];
            let apart = self.instance.options.granularity == Granularity::Target;
            if work > most * job.slots
                || !compatible_systems(job.system, units.system[unit as usize])
                || (apart && (targets > 1 || units.component[unit as usize] != job.component))
            {
                return None;
            }
            self.steps.take(2 * (1 + units.inputs.of(unit).len()));
            for &input in units.inputs.of(unit) {
                let at = input as usize;
                if self.owner[at] == NONE {
                    if std::mem::replace(&mut self.seen[at], self.search) != self.search {
                        list.push(input);
                    }
                } else if self.round_of[at] == self.round && self.owner[at] != job.number {
                    return None;
                }
            }
            if list.len() > MOST_MISSING {
                return None;
            }
        }
        // By number inputs come before their consumers.
        list.sort_unstable();
        for &unit in &list {
            let mut start = 0;
            for &input in units.inputs.of(unit) {
                let at = input as usize;
                let here =
                    self.seen[at] == self.search || (self.owner[at] == job.number && self.round_of[at] == self.round);
                if here {
                    start = self.end[at].max(start);
                }
            }
            self.end[unit as usize] = start + self.single.list[unit as usize].build();
            if self.end[unit as usize] > most {
                return None;
            }
        }
        Some(list)
    }
}
