//! What planning for waves takes as given.
//!
//! In: nothing; the caller fills it in from a provider's limits. Out: plain values.

use crate::plan::problem::Millis;

/// What a wave is.
#[derive(Clone, Copy, Debug)]
pub struct Barrier {
    /// Most waves.
    pub waves: usize,
    /// What each wave waits for machines, milliseconds.
    pub queue: Millis,
    /// Machines at once.
    pub runners: usize,
    /// Targets that should have their own jobs share some where there are too few waves.
    pub sharing: bool,
    /// Waves that take longer in all are of no use, milliseconds, queues included.
    pub longest: Millis,
}
