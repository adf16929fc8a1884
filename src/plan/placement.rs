//! Where derivations are built: the kinds of jobs, which derivation has which, and who decided that. [`place`](super::placer::place)
//! finds out. A [`Placement`] is what the planner calls a system: derivations of different ones never share a job.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::allowed_failure::AllowedFailure;
use super::options::JobOptions;
use super::problem::System;
use super::rules::{JobSettings, Rule};
use crate::attribute::AttributePath;
use crate::fleet::Fleet;
use crate::graph::DrvId;

/// What decides on which machine a derivation is built.
#[derive(Clone, Copy, Debug)]
pub struct MachineChoice<'a> {
    /// The machines that there are.
    pub fleet: &'a Fleet,
    /// What the settings say, the first one that matches wins.
    pub rules: &'a [Rule],
    /// What packages say about themselves.
    pub packages: &'a BTreeMap<AttributePath, JobSettings>,
    /// What may fail.
    pub allow_failure: &'a [AllowedFailure],
}

/// A kind of job: everything in a job has the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    /// The Nix system of the job.
    pub system: Arc<str>,
    /// Name of the executor.
    pub executor: String,
    /// What the machine starts from; none for a self-hosted machine.
    pub image: Option<String>,
    /// Size of the machine.
    pub resource_class: String,
    /// Derivations built side by side.
    pub cores: u32,
    /// Memory for builds, bytes, where it is known.
    pub memory: Option<u64>,
    /// Disk for what a job fetches and builds, bytes, where it is known.
    pub disk: Option<u64>,
    /// What a minute costs.
    pub credits_per_minute: u32,
    /// Timeout, contexts, retries, environment.
    pub options: JobOptions,
}

/// Who decided where a derivation is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Nobody: the first executor for its system and features.
    Default,
    /// The features that it requires.
    Features,
    /// What its package says about itself.
    Package,
    /// The rule at this position.
    Rule(usize),
    /// What alone needs it.
    Consumer,
}

impl std::fmt::Display for Decision {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        match self {
            Self::Default => f.write_str("the first executor for its system"),
            Self::Features => f.write_str("the executor for its system and the features that it requires"),
            Self::Package => f.write_str("what its package says (`passthru.ci`, `meta.ci`, `meta.timeout`)"),
            Self::Rule(at) => write!(f, "rule {} of nixdag.yml", at + 1),
            Self::Consumer => f.write_str("where what needs it is built"),
        }
    }
}

/// All placements, and who has which.
#[derive(Clone, Debug, Default)]
pub struct Placements {
    /// The placements, by number.
    pub list: Vec<Placement>,
    /// The placement of each needed derivation; [`ANY_SYSTEM`] for what any machine builds.
    pub of: HashMap<DrvId, System>,
    /// Who decided that.
    pub decisions: HashMap<DrvId, Decision>,
    /// Cheap derivations that may be built along with whatever needs them, wherever that is.
    pub portable: BTreeSet<DrvId>,
    /// Where a job goes that any machine could run.
    pub anywhere: System,
    /// Derivations that no executor can build, and why; with a derivation as its subject that is a sentence.
    pub lacking: BTreeMap<DrvId, String>,
    /// What may not be as its author thinks, in sentences.
    pub warnings: BTreeSet<String>,
}

impl Placements {
    /// True where jobs get the variables of contexts.
    pub fn has_contexts(&self, system: System) -> bool {
        self.list.get(usize::from(system)).is_some_and(|placement| !placement.options.context.is_empty())
    }
}

/// The attributes of each target, by derivation.
pub type Attributes<'a> = BTreeMap<DrvId, Vec<&'a AttributePath>>;
