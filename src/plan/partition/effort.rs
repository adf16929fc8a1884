//! How much search a graph is worth.
//!
//! In: the [`Instance`]. Out: numbers of steps and rounds, which depend on the size of the graph in powers of two only, so that one derivation more changes nothing.

use super::jobs::Instance;

/// Units and edges from which on a graph is worth all steps.
const ALL_STEPS: u64 = 1 << 12;

/// Units from which on a graph is worth all rounds.
const ALL_ROUNDS: usize = 128;

/// Units and edges from which on a graph is planned in one go: a third of a second for 20,000 derivations, at 3 % more wall time.
const GIANT: usize = 1 << 14;

/// So many of `most` steps as are worth it: a small graph with long jobs is planned in half a second.
pub fn worth_steps(instance: &Instance, most: u64) -> u64 {
    if is_large(instance) { most } else { most * size(instance) / (3 * ALL_STEPS) }
}

/// Units and edges, rounded up to a power of two.
pub fn size(instance: &Instance) -> u64 {
    (instance.units.len() + instance.units.inputs.edges()).next_power_of_two() as u64
}

/// So many of `most` rounds as are worth it: a few dozen units hold no more surprises than a few rounds find.
pub fn worth(instance: &Instance, most: u32) -> u32 {
    let size = instance.units.len().next_power_of_two();
    if size >= ALL_ROUNDS { most } else { (most as usize * size).div_ceil(ALL_ROUNDS) as u32 }
}

/// True where all steps are worth it.
pub fn is_large(instance: &Instance) -> bool {
    size(instance) >= ALL_STEPS
}

/// True for graphs that would be searched for longer than anybody wants to wait.
pub fn is_giant(instance: &Instance) -> bool {
    instance.units.len() + instance.units.inputs.edges() > GIANT
}
