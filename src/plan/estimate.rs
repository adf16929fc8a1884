//! Durations: what building a derivation and starting a job are expected to take.
//!
//! Records of earlier pipelines come first. All other figures are assumptions of the model, none is a measurement: a fetch 5 s, a derivation that prefers to be built locally
//! 1 s, any other 60 s (also one that asks for `big-parallel`), a job's start 45 s, a workspace's layer 0.5 s, a wave's wait for machines 15 s. How much a derivation leaves is not known, and moving it is not counted. Where there are enough records, they replace these ([`super::fitted`]).
//! Each can be set: `costs` in `nixdag.yml`, `--cost`.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::{Deserialize, Serialize};

use super::model::{LONGEST_MOVE, Sizes};
use super::prices::PriceTable;
use super::problem::{Millis, Spread};
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

/// How a duration of one build is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EstimateKind {
    /// Recorded in an earlier pipeline, of this derivation or of its package.
    Recorded,
    /// From what records say about others of its kind.
    Fitted,
    /// An assumption.
    Guessed,
}

impl EstimateKind {
    /// `r`, `f` or `g`.
    pub fn letter(self) -> char {
        match self {
            Self::Recorded => 'r',
            Self::Fitted => 'f',
            Self::Guessed => 'g',
        }
    }

    /// The kind that has this letter.
    pub fn of_letter(letter: char) -> Option<Self> {
        [Self::Recorded, Self::Fitted, Self::Guessed].into_iter().find(|kind| kind.letter() == letter)
    }
}

/// What building one derivation is predicted to take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BuildEstimate {
    /// Without a job's start-up, milliseconds.
    pub duration: Millis,
    /// Where it comes from.
    pub from: EstimateSource,
    /// How it is known.
    pub kind: EstimateKind,
    /// How far off it may be.
    pub spread: Spread,
}

/// The assumptions that records have replaced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Replaced {
    /// `start_up`
    pub start_up: bool,
    /// `bandwidth`
    pub bandwidth: bool,
    /// `bytes`
    pub bytes: bool,
    /// `fetch`, with how far off it may be.
    pub fetch: Option<Spread>,
    /// `local`
    pub local: Option<Spread>,
    /// `big_parallel`
    pub big_parallel: Option<Spread>,
    /// `default`
    pub default: Option<Spread>,
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
    /// A derivation with `preferLocalBuild` that is not a target.
    pub local: Millis,
    /// A derivation that asks for a machine with `big-parallel`.
    pub big_parallel: Millis,
    /// How durations of ordinary derivations grow with the number of their inputs, where that is known: comes before `default`.
    pub growth: Option<Growth>,
    /// Whether records may replace the assumptions above: the user has set none of them.
    pub fits: bool,
    /// Whether they may replace `start_up`: the user has not set it.
    pub fits_start_up: bool,
    /// What a derivation leaves to be handed on, bytes, where that is known.
    pub bytes: Option<u64>,
    /// Bytes that a job fetches in a second; where nobody says it and nothing is recorded, what is usual ([`super::fitted::BANDWIDTH`]).
    pub bandwidth: Option<u64>,
    /// Attaching what one transitive ancestor has handed off, where it travels as a layer of a workspace.
    pub layer: Millis,
    /// What each wave waits for machines, where jobs come in waves.
    pub queue: Millis,
    /// Jobs that run at once.
    pub concurrency: usize,
    /// Credits a minute by resource class, over what is known of the class.
    pub credits: BTreeMap<String, u32>,
    /// What everything else costs.
    pub prices: PriceTable,
    /// Which of these are not assumptions any more.
    pub replaced: Replaced,
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
            growth: None,
            fits: true,
            fits_start_up: true,
            bytes: None,
            bandwidth: None,
            layer: 500,
            queue: 15_000,
            concurrency: 80,
            credits: BTreeMap::new(),
            prices: PriceTable::default(),
            replaced: Replaced::default(),
            history: History::default(),
        }
    }
}

impl CostModel {
    /// How long building one derivation takes, by what was recorded, else by what it says about itself.
    pub fn of(&self, graph: &Graph, id: DrvId, is_target: bool) -> BuildEstimate {
        use EstimateSource::{Default, Derivation, History};
        let node = graph.node(id);
        let recorded = || self.history.recorded(&graph.path(id), node.name(), &node.system);
        if let Some(recorded) = (!self.history.is_empty()).then(recorded).flatten() {
            let spread = Spread::of(recorded.deviation);
            return BuildEstimate { duration: recorded.duration, from: History, kind: EstimateKind::Recorded, spread };
        }
        let (duration, from, replaced) = if node.fixed_output {
            (self.fetch, Derivation, self.replaced.fetch)
        } else if node.prefer_local_build && !is_target {
            (self.local, Derivation, self.replaced.local)
        } else if node.required_system_features.iter().any(|feature| feature == "big-parallel") {
            (self.big_parallel, Derivation, self.replaced.big_parallel)
        } else {
            let grown = self.growth.map(|growth| growth.of(graph.inputs(id).len()));
            (grown.unwrap_or(self.default), Default, self.replaced.default)
        };
        let kind = if replaced.is_some() { EstimateKind::Fitted } else { EstimateKind::Guessed };
        BuildEstimate { duration, from, kind, spread: replaced.unwrap_or_default() }
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

    /// How results travel, where sizes are recorded.
    pub fn sizes(&self) -> Option<Sizes> {
        let (typical, bandwidth) =
            (self.bytes.filter(|_| self.replaced.bytes)?, self.bandwidth.filter(|bandwidth| *bandwidth > 0)?);
        Some(Sizes { typical, bandwidth })
    }

    /// Fetching what one derivation has left, milliseconds, an hour at most.
    pub fn transfer(&self) -> Millis {
        let bytes = self.bytes.unwrap_or(0).saturating_mul(1000);
        bytes.checked_div(self.bandwidth.unwrap_or(0)).unwrap_or(0).min(LONGEST_MOVE * 1000)
    }
}

/// The logarithm of a duration in milliseconds as a line over that of the number of inputs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Growth {
    /// Its slope.
    pub slope: f64,
    /// Its value for no inputs.
    pub intercept: f64,
    /// The shortest duration that it was made from.
    pub least: Millis,
    /// The longest one: nothing is said to take longer.
    pub most: Millis,
}

impl Eq for Growth {} // never NaN

impl Growth {
    /// A number of inputs, on the line's scale.
    pub fn measure(inputs: usize) -> f64 {
        (inputs as f64).ln_1p()
    }

    /// How long a derivation of so many inputs takes.
    pub fn of(&self, inputs: usize) -> Millis {
        let millis = (self.intercept + self.slope * Self::measure(inputs)).exp().round();
        (millis as Millis).clamp(self.least, self.most)
    }
}

/// True where most of the builds have been timed before: a plan made from guesses keeps a reserve, one made from records does not.
pub fn are_recorded(estimates: &[BuildEstimate]) -> bool {
    let guessed = estimates.iter().filter(|estimate| estimate.from == EstimateSource::Default).count();
    let recorded = estimates.iter().filter(|estimate| estimate.from == EstimateSource::History).count();
    recorded > 9 * guessed
}
