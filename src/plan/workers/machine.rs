//! One worker's machine in a run on paper.

use crate::plan::model::Capacity;
use crate::plan::partition::units::Unit;
use crate::plan::problem::{ANY_SYSTEM, Millis, System};

/// When a machine is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Start {
    /// At the very beginning.
    #[default]
    AtOnce,
    /// When this worker has gone.
    After(usize),
}

/// A machine and what it is doing.
#[derive(Clone, Debug, Default)]
pub struct Machine {
    /// Its kind.
    pub system: System,
    /// When it is asked for.
    pub start: Start,
    /// When it began, without the wait for it, milliseconds.
    pub begin: Option<Millis>,
    /// True once it has started up.
    pub is_up: bool,
    /// True once it has died.
    pub is_dead: bool,
    /// True once the others know.
    pub is_known_dead: bool,
    /// When it left or died, milliseconds.
    pub end: Option<Millis>,
    /// It leaves when so many units are done and it has nothing to do.
    pub leave_at: u32,
    /// It takes nothing more once so many units are done, leaves, and others start.
    pub opens_at: Option<u32>,
    slots: usize,
    memory: u64,
    running: usize,
    occupied: u64,
    /// Units whose outputs are in its store, a bit each.
    store: Vec<u64>,
}

impl Machine {
    /// A machine that has not started, for so many units.
    pub fn new(system: System, capacity: Capacity, units: usize) -> Self {
        let store = vec![0; units.div_ceil(64)];
        Self { system, slots: capacity.slots, memory: capacity.memory, store, ..Self::default() }
    }

    /// True once it left or died.
    pub fn is_gone(&self) -> bool {
        self.end.is_some()
    }

    /// True where it could begin a build.
    pub fn is_free(&self) -> bool {
        self.is_up && !self.is_gone() && self.running < self.slots
    }

    /// True where it is there and builds nothing.
    pub fn is_idle(&self) -> bool {
        self.is_up && !self.is_gone() && self.running == 0
    }

    /// True for units of its kind, and for those of any.
    pub fn builds(&self, system: System) -> bool {
        system == self.system || system == ANY_SYSTEM || self.system == ANY_SYSTEM
    }

    /// True where so much memory is left, bytes, or nothing else runs.
    pub fn has_memory(&self, bytes: u64) -> bool {
        self.running == 0 || self.occupied.saturating_add(bytes) <= self.memory
    }

    /// A build begins that takes so much memory, bytes.
    pub fn occupy(&mut self, bytes: u64) {
        self.running += 1;
        self.occupied = self.occupied.saturating_add(bytes);
    }

    /// A build ends.
    pub fn release(&mut self, bytes: u64) {
        self.running -= 1;
        self.occupied = self.occupied.saturating_sub(bytes);
    }

    /// Puts a unit into its store; true where it was not there.
    pub fn have(&mut self, unit: Unit) -> bool {
        let (word, bit) = (unit as usize / 64, 1 << (unit % 64));
        let is_new = self.store[word] & bit == 0;
        self.store[word] |= bit;
        is_new
    }
}
