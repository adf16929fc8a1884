//! The fleet: the machines that a provider offers. A provider fills in a [`Fleet`], settings change its executors, planning reads it.
//! Plain data: nothing here knows a provider.

#[cfg(test)]
pub mod example;
pub mod executor;
pub mod image;
pub mod keep;
pub mod offers;
pub mod requirement;
pub mod size;
pub mod system;

use executor::Executor;
use offers::Offers;

/// What planning has to know of a provider beside its limits.
#[derive(Clone, Debug)]
pub struct Fleet {
    /// The kinds of machine that jobs run on: the first one that builds a system gets its jobs. The provider's own to begin with.
    pub executors: Vec<Executor>,
    /// What the provider offers, whether an executor is made of it or not.
    pub offers: Offers,
    /// Names of jobs that the provider keeps for itself, in lower case.
    pub reserved_names: &'static [&'static str],
    /// Jobs that run at once where nobody says otherwise.
    pub concurrency: usize,
    /// What a job's time is rounded up to where it is charged, milliseconds.
    pub rounding: u64,
}
