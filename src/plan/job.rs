//! One job of a plan: what it builds, what it waits for, and where it runs.

use std::sync::Arc;

use super::estimate::Estimate;
use super::options::JobOptions;
use super::predicted::Predicted;
use crate::attribute::AttributePath;

/// Index of a job: in [`Plan::jobs`](super::Plan::jobs), and behind these in [`Plan::final_jobs`](super::Plan::final_jobs).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobIndex(pub u32);

impl JobIndex {
    /// The index as an array index.
    pub fn at(self) -> usize {
        self.0 as usize
    }
}

/// One CI job: a set of derivations built on one machine of one system.
#[derive(Clone, Debug, PartialEq)]
pub struct Job {
    /// Matches `[a-z][a-z0-9_-]{0,62}`, unique.
    pub id: String,
    /// For people; unique without regard to case.
    pub name: String,
    /// The Nix system of the machine.
    pub system: String,
    /// The attributes that this job completes.
    pub targets: Vec<AttributePath>,
    /// Paths of the derivations that this job owns, in build order.
    pub derivations: Vec<Arc<str>>,
    /// Paths of the derivations that are built here and elsewhere on purpose, in build order.
    pub co_located: Vec<Arc<str>>,
    /// Jobs that must have ended before this one starts, transitively reduced; ascending.
    pub requires: Vec<JobIndex>,
    /// All jobs whose results this one may need: the closure of `requires`; ascending.
    pub inputs: Vec<JobIndex>,
    /// The wave that it runs in, from 1 on, where the provider has waves: it starts when all jobs of the waves before have ended.
    pub wave: Option<u32>,
    /// Name of the executor.
    pub executor: Option<String>,
    /// What the machine starts from.
    pub image: Option<String>,
    /// Size of the machine.
    pub resource_class: Option<String>,
    /// Timeout, context, retries, environment: what the settings say.
    pub options: JobOptions,
    /// How long the job is expected to run.
    pub estimate: Estimate,
    /// How it is predicted to run; none in plans of programs that do not say, and of what runs after the others.
    pub predicted: Option<Predicted>,
}

impl Job {
    /// Paths of all derivations that are built here: those that it owns, then those that others build too.
    pub fn builds(&self) -> impl Iterator<Item = &str> {
        self.derivations.iter().chain(&self.co_located).map(|path| &**path)
    }
}
