//! What goes into a run on paper, and what comes out of it.

use super::crew::{Crew, Lanes, ProtocolCosts};
use super::work::Work;
use crate::plan::model::Model;
use crate::plan::partition::units::Unit;
use crate::plan::problem::Millis;

/// What is run.
#[derive(Clone, Copy, Debug)]
pub struct Setting<'a> {
    /// The units.
    pub work: &'a Work,
    /// Start-up, queue and slots.
    pub model: &'a Model,
    /// Claims, fetches, publishing, polls.
    pub costs: &'a ProtocolCosts,
    /// The workers.
    pub crews: &'a [Crew],
    /// What they have been given.
    pub lanes: Option<&'a Lanes>,
    /// A worker that dies, and when.
    pub death: Option<(usize, Millis)>,
}

/// What happens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// From the request for the first machine to the end of the last build, milliseconds.
    pub makespan: Millis,
    /// Sum of all workers' times, start-ups included, milliseconds.
    pub machine_time: Millis,
    /// The time of each worker, milliseconds.
    pub lengths: Vec<Millis>,
    /// What each worker took, in order.
    pub taken: Vec<Vec<Unit>>,
    /// How many units were done when each worker took its last one.
    pub done_at_last: Vec<u32>,
    /// When each worker took its first one; none where it took none.
    pub first_taken: Vec<Option<Millis>>,
    /// Ends of builds, ascending, milliseconds.
    pub ends: Vec<Millis>,
    /// Units that were begun once more, since their first builder died.
    pub begun_again: u32,
}
