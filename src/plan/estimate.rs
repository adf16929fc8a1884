//! Durations: what building a derivation and starting a job are expected to take.
//!
//! Records of earlier pipelines come first. All other figures are assumptions of the model, none is a measurement: a fetch 5 s, a derivation that prefers to be built locally
//! 1 s, any other 60 s (also one that asks for `big-parallel`), a job's start 45 s, a workspace's layer 0.5 s, a wave's wait for machines 15 s; what a derivation leaves is 20 MB, and moving it takes no time.
//! Each can be set: `costs` in `nixdag.yml`, `--cost`.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::{Deserialize, Serialize};

use super::problem::Millis;
use crate::duration::seconds;
use crate::graph::{DrvId, Graph};
use crate::history::History;

/// A predicted duration and where it comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Estimate {
    /// Start-up included.
    #[serde(rename = "seconds", with = "seconds")]
    pub duration: Millis,
    /// The least certain source among the job's derivations.
    pub from: EstimateSource,
}

/// Where a duration comes from, most certain first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EstimateSource {
    /// Recorded in an earlier pipeline.
    History,
    /// What the derivation says about itself (a fetch, `preferLocalBuild`).
    Derivation,
    /// The stated default.
    Default,
}

/// The assumptions that durations, makespans and credits rest on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CostModel {
    /// From a job's start to its first build: machine, Nix, nixdag, bundle.
    pub start_up: Millis,
    /// A derivation that says nothing about itself.
    pub default: Millis,
    /// A fixed-output derivation.
    pub fetch: Millis,
    /// A derivation with `preferLocalBuild` that is no target.
    pub local: Millis,
    /// A derivation that asks for a machine with `big-parallel`.
    pub big_parallel: Millis,
    /// What a derivation leaves to be handed on, bytes.
    pub bytes: u64,
    /// Bytes that a job fetches in a second; 0 where that takes no time worth counting.
    pub bandwidth: u64,
    /// Attaching what one transitive ancestor has handed off, where it travels as a layer of a workspace.
    pub layer: Millis,
    /// What each wave waits for machines, where jobs come in waves.
    pub queue: Millis,
    /// Jobs that run at once.
    pub concurrency: usize,
    /// Credits a minute by resource class, over what is known of the class.
    pub credits: BTreeMap<String, u32>,
    /// Durations of earlier pipelines, which come before all assumptions.
    pub history: History,
}

impl Default for CostModel {
    fn default() -> Self {
        Self {
            start_up: 45_000,
            default: 60_000,
            fetch: 5_000,
            local: 1_000,
            big_parallel: 60_000,
            bytes: 20_000_000,
            bandwidth: 0,
            layer: 500,
            queue: 15_000,
            concurrency: 80,
            credits: BTreeMap::new(),
            history: History::default(),
        }
    }
}

impl CostModel {
    /// How long building one derivation takes, by what was recorded, else by what it says about itself.
    pub fn of(&self, graph: &Graph, id: DrvId, is_target: bool) -> Estimate {
        use EstimateSource::{Default, Derivation, History};
        let node = graph.node(id);
        let recorded = || self.history.duration(&graph.path(id), node.name(), &node.system);
        let (duration, from) = if let Some(recorded) = (!self.history.is_empty()).then(recorded).flatten() {
            (recorded, History)
        } else if node.fixed_output {
            (self.fetch, Derivation)
        } else if node.prefer_local_build && !is_target {
            (self.local, Derivation)
        } else if node.required_system_features.iter().any(|feature| feature == "big-parallel") {
            (self.big_parallel, Derivation)
        } else {
            (self.default, Default)
        };
        Estimate { duration, from }
    }

    /// How long a job takes that builds these, some of them targets: start-up, and then the longest path, or all work on all cores.
    pub fn of_job(&self, graph: &Graph, ids: &BTreeSet<DrvId>, targets: &BTreeSet<DrvId>, cores: u32) -> Estimate {
        let mut height: HashMap<DrvId, Millis> = HashMap::new();
        let (mut path, mut work, mut from) = (0, 0, EstimateSource::History);
        // Ascending: inputs come before their consumers.
        for &id in ids {
            let own = self.of(graph, id, targets.contains(&id));
            let below = graph.inputs(id).iter().filter_map(|input| height.get(&input.drv)).max().copied();
            let end = below.unwrap_or(0) + own.duration;
            height.insert(id, end);
            path = end.max(path);
            work += own.duration;
            from = own.from.max(from);
        }
        Estimate { duration: self.start_up + path.max(work / u64::from(cores.max(1))), from }
    }

    /// Fetching what one derivation has left, milliseconds, an hour at most.
    pub fn transfer(&self) -> Millis {
        self.bytes.saturating_mul(1000).checked_div(self.bandwidth).unwrap_or(0).min(3_600_000)
    }
}
