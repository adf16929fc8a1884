//! What workers take: units of work, each one derivation, fetches included.
//!
//! In: a [`Problem`], its [`Units`] in which nothing is co-located, and which systems share machines. Out: [`Work`], with what a run on paper needs of each unit. Derivations whose
//! output paths are not known beforehand make one unit with those of their consumers that the same kind of machine builds.

use crate::plan::partition::units::{Unit, Units};
use crate::plan::problem::{Adjacency, Millis, Problem, System};

/// Units of work. All columns have one entry a unit; every input of a unit has a smaller number.
#[derive(Clone, Debug)]
pub struct Work {
    /// The units that a unit needs.
    pub inputs: Adjacency,
    /// The units that need it.
    pub consumers: Adjacency,
    /// How long building it takes on a machine that is free, milliseconds.
    pub duration: Vec<Millis>,
    /// The longest path that starts with it, itself included, milliseconds.
    pub tail: Vec<Millis>,
    /// Memory that it takes, bytes; 0 where that is not known.
    pub memory: Vec<u64>,
    /// Derivations in it.
    pub derivations: Vec<u32>,
    /// The kind of machine.
    pub system: Vec<System>,
}

impl Work {
    /// The units of a problem. `machines` has the number of the machine of each system, where systems share machines.
    pub fn new(problem: &Problem, units: &Units, machines: &[System]) -> Self {
        let all = 0..units.len() as Unit;
        // A worker builds the derivations of a unit one after the other.
        let length = |unit: Unit| units.owned.of(unit).iter().map(|&node| problem.duration[node as usize]).sum();
        let duration: Vec<Millis> = all.clone().map(length).collect();
        let memory = |unit: Unit| {
            let of_nodes = units.owned.of(unit).iter().map(|&node| problem.memory.get(node as usize).copied());
            of_nodes.flatten().max().unwrap_or(0)
        };
        let machine = |&system: &System| machines.get(usize::from(system)).copied().unwrap_or(system);
        Self {
            tail: tails(&units.consumers, &duration),
            memory: all.clone().map(memory).collect(),
            derivations: all.map(|unit| units.owned.of(unit).len() as u32).collect(),
            inputs: units.inputs.clone(),
            consumers: units.consumers.clone(),
            system: units.system.iter().map(machine).collect(),
            duration,
        }
    }

    /// Number of units.
    pub fn len(&self) -> usize {
        self.duration.len()
    }

    /// True where there is no unit.
    pub fn is_empty(&self) -> bool {
        self.duration.is_empty()
    }

    /// The longest path of all, milliseconds.
    pub fn longest_path(&self) -> Millis {
        self.tail.iter().copied().max().unwrap_or(0)
    }
}

fn tails(consumers: &Adjacency, duration: &[Millis]) -> Vec<Millis> {
    let mut tail = vec![0; duration.len()];
    for unit in (0..duration.len()).rev() {
        let after = consumers.of(unit as Unit).iter().map(|&consumer| tail[consumer as usize]).max();
        tail[unit] = after.unwrap_or(0) + duration[unit];
    }
    tail
}
