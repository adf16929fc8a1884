//! What the search for waves asks of each unit again and again.
//!
//! In: the [`Instance`]. Out: columns with one entry a unit, times in milliseconds.

use std::cmp::Reverse;

use crate::plan::partition::jobs::Instance;
use crate::plan::partition::schedule::Scheduler;
use crate::plan::partition::units::{CO_LOCATED, Unit, longest_paths};
use crate::plan::partition::zero::mix;
use crate::plan::problem::Millis;

/// One entry a unit.
pub struct Columns {
    /// Longest path from the start of the unit, with the co-located nodes before it, to the end of everything.
    pub through: Vec<Millis>,
    /// Longest path of co-located nodes before the unit.
    pub before: Vec<Millis>,
    /// Longest path within the unit.
    pub depth: Vec<Millis>,
    /// Sum of the durations of what the unit owns.
    pub work: Vec<Millis>,
    /// Sum of the durations of all that a job with this unit builds on account of it.
    pub tasks: Vec<Millis>,
    /// List schedule of the unit with its co-located nodes.
    pub alone: Vec<Millis>,
    /// All units, those with the longest tail first: inputs come before their consumers.
    pub by_tail: Vec<Unit>,
}

impl Columns {
    pub fn new(instance: &Instance, scheduler: &mut Scheduler) -> Self {
        let (problem, units) = (instance.problem, instance.units);
        let (_, node_tail) = longest_paths(problem);
        let mut path = vec![0; problem.len()];
        let mut above = vec![0; problem.len()];
        for node in 0..problem.len() {
            let own = units.of_node[node];
            let inputs = problem.inputs.of(node as u32);
            let longest = |group: u32| {
                let same = inputs.iter().filter(|&&input| units.of_node[input as usize] == group);
                same.map(|&input| path[input as usize]).max().unwrap_or(0)
            };
            above[node] = if own == CO_LOCATED { 0 } else { longest(CO_LOCATED) };
            path[node] = longest(own) + problem.duration[node];
        }
        let all = || 0..units.len() as Unit;
        let most = |unit: Unit, of: &dyn Fn(usize) -> Millis| {
            units.owned.of(unit).iter().map(|&node| of(node as usize)).max().unwrap_or(0)
        };
        let sum = |nodes: &mut dyn Iterator<Item = u32>| nodes.map(|node| problem.duration[node as usize]).sum();
        let mut tail: Vec<Millis> = all().map(|unit| most(unit, &|node| node_tail[node])).collect();
        for unit in all().rev() {
            let after = units.consumers.of(unit).iter().map(|&consumer| tail[consumer as usize] + 1).max();
            tail[unit as usize] = tail[unit as usize].max(after.unwrap_or(0));
        }
        Self {
            through: all().map(|unit| most(unit, &|node| above[node] + node_tail[node])).collect(),
            before: all().map(|unit| most(unit, &|node| above[node])).collect(),
            depth: all().map(|unit| most(unit, &|node| path[node])).collect(),
            work: all().map(|unit| sum(&mut units.owned.of(unit).iter().copied())).collect(),
            tasks: all().map(|unit| sum(&mut units.tasks(unit))).collect(),
            alone: all()
                .map(|unit| {
                    let machine = instance.model.capacity_of(units.system[unit as usize]);
                    scheduler.length(&units.tasks_of(&[unit]), machine)
                })
                .collect(),
            by_tail: by_tail(&tail),
        }
    }

    /// All units in an order in which inputs come before their consumers, those with the longest tail first, where each unit takes up to `more` times longer than it does.
    pub fn varied(&self, instance: &Instance, more: f64, seed: u64) -> Vec<Unit> {
        let units = instance.units;
        let mut tail: Vec<Millis> = vec![0; units.len()];
        for unit in (0..units.len()).rev() {
            let consumers = units.consumers.of(unit as Unit).iter();
            let after = consumers.map(|&consumer| tail[consumer as usize] + 1).max().unwrap_or(0);
            let chance = mix(seed ^ instance.problem.name_hash[units.owned.of(unit as Unit)[0] as usize]) >> 11;
            let factor = 1.0 + more * chance as f64 / (1u64 << 53) as f64;
            tail[unit] = after + (self.work[unit] as f64 * factor) as Millis;
        }
        by_tail(&tail)
    }
}

fn by_tail(tail: &[Millis]) -> Vec<Unit> {
    let mut list: Vec<Unit> = (0..tail.len() as Unit).collect();
    list.sort_by_key(|&unit| (Reverse(tail[unit as usize]), unit));
    list
}
