//! Workers: machines that each take one ready unit after another, instead of jobs with contents of their own.
//!
//! Plain values that the simulation and the search share; times in milliseconds.

use super::work::Work;
use crate::plan::partition::units::Unit;
use crate::plan::problem::{Millis, System};

/// What taking part costs beside building.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProtocolCosts {
    /// Making a claim.
    pub claim: Millis,
    /// Fetching what other workers have left for one unit.
    pub fetch: Millis,
    /// From the end of a build until other workers can fetch what it has left.
    pub publish: Millis,
    /// How often a worker that waits looks for what has become ready.
    pub poll: Millis,
    /// From the death of a worker until others take over what it had claimed.
    pub silence: Millis,
}

impl Default for ProtocolCosts {
    /// Assumptions: claim 1 s, fetch 2 s, publish 3 s, poll 5 s, two minutes until a worker counts as dead.
    fn default() -> Self {
        Self { claim: 1_000, fetch: 2_000, publish: 3_000, poll: 5_000, silence: 120_000 }
    }
}

/// Signs of life in the time after which a worker without any is taken for dead.
pub const SIGNS: u32 = 4;

/// Where names are few, gaps between signs grow with their number, up to eight times the first one.
const GROWTH: (u32, u32) = (40, 280);

/// How many times as long as the first one the gap behind a sign of life is, where names are few.
pub fn stretch(sign: u32) -> f64 {
    f64::from(GROWTH.0 + sign.min(GROWTH.1)) / f64::from(GROWTH.0)
}

impl ProtocolCosts {
    /// Signs of life of a worker that runs for so long, where names are few.
    pub fn signs(&self, length: Millis) -> u32 {
        let (mut at, mut signs) = (0.0, 0);
        while at < length as f64 {
            at += (self.silence / Millis::from(SIGNS)).max(1_000) as f64 * stretch(signs);
            signs += 1;
        }
        signs
    }
}

/// The workers of one kind of machine, in up to two stages.
///
/// `first` workers start at once. Where `later` is not 0, one of these, the opener, leaves as soon as `after` units are done; `later` others start then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crew {
    /// The kind of machine.
    pub system: System,
    /// Workers that start at once.
    pub first: u32,
    /// Workers that start when the opener has left.
    pub later: u32,
    /// So many units are done when it leaves.
    pub after: u32,
}

impl Crew {
    /// A crew of one stage.
    pub fn at_once(system: System, workers: u32) -> Self {
        Self { system, first: workers, later: 0, after: 0 }
    }

    /// All workers of both stages.
    pub fn workers(&self) -> u32 {
        self.first + self.later
    }
}

/// The workers of a crew by number, first stage first.
pub fn numbers(crews: &[Crew]) -> impl Iterator<Item = (usize, &Crew)> {
    crews.iter().flat_map(|crew| (0..crew.workers() as usize).map(move |at| (at, crew)))
}

/// What the workers of a plan have been given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lanes {
    /// The units of each worker in the order in which it is expected to take them. A lane is a preference: whoever has claimed a unit builds it.
    pub units: Vec<Vec<Unit>>,
    /// How many units are done when a worker that finds nothing ready leaves, by worker: in a run as planned it takes no more.
    pub leave_at: Vec<u32>,
}

impl Lanes {
    /// The worker of each unit.
    pub fn of_unit(&self, work: &Work) -> Vec<u32> {
        let mut of_unit = vec![u32::MAX; work.len()];
        for (worker, units) in self.units.iter().enumerate() {
            units.iter().for_each(|&unit| of_unit[unit as usize] = worker as u32);
        }
        of_unit
    }
}
