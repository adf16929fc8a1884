//! What a plan costs and what it may look like: the numbers and choices that the planner and the simulator share.
//!
//! In: nothing; the caller fills these in from flags, provider limits and records. Out: plain values, times in milliseconds.

use serde::{Deserialize, Serialize};

use super::problem::{ANY_SYSTEM, Millis, System};
use crate::choice::choice;
use crate::duration::seconds;

/// What running jobs costs on a provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Model {
    /// From the start of a job to its first derivation, milliseconds.
    pub start_up: Millis,
    /// Attaching the layer of one transitive ancestor job, milliseconds, before the first derivation starts
    /// (hand-off by workspace); 0 where a job fetches only what it misses (hand-off by cache).
    pub layer: Millis,
    /// Fetching what one derivation has left, milliseconds.
    pub fetch: Millis,
    /// Handing on what one derivation has left, milliseconds. The search leaves it out: whichever job owns a derivation hands it on.
    pub hand_off: Millis,
    /// True where a job fetches everything that its ancestors have built (hand-off by workspace), false where only what it misses.
    pub whole_layers: bool,
    /// What each wave waits for machines, where the provider has waves, milliseconds.
    pub queue: Millis,
    /// How many jobs run at once.
    pub concurrency: usize,
    /// How many derivations a job builds at once, by system number; systems beyond the end get `default_slots`.
    pub slots: Vec<usize>,
    /// Slots of the systems that `slots` does not name.
    pub default_slots: usize,
    /// Memory for builds by system number, bytes; systems beyond the end, and those of which it is not known, have enough.
    pub memory: Vec<Option<u64>>,
    /// Disk for what a job fetches and builds by system number, bytes; the same.
    pub disk: Vec<Option<u64>>,
    /// Where sizes are recorded: a plan is run on paper with those. The search takes each derivation for one of the typical size.
    pub sizes: Option<Sizes>,
}

/// How fast results travel, and how large those are whose size is not recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// What one derivation leaves, bytes.
    pub typical: u64,
    /// Bytes a second.
    pub bandwidth: u64,
}

/// Longest time that moving what one derivation has left is taken to last, seconds: no forged record makes more of it.
pub const LONGEST_MOVE: u64 = 3_600;

impl Sizes {
    /// Bytes that moving what a derivation has left counts for, with the size that is recorded of it, 0 where none is.
    pub fn of(self, recorded: u64) -> u64 {
        let bytes = if recorded == 0 { self.typical } else { recorded };
        bytes.min(self.bandwidth.saturating_mul(LONGEST_MOVE))
    }

    /// How long it takes to move so many bytes, milliseconds.
    pub fn time(self, bytes: u64) -> Millis {
        bytes.saturating_mul(1000) / self.bandwidth.max(1)
    }
}

/// What the machine of a job can do at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// Derivations that it builds at once, at least 1.
    pub slots: usize,
    /// Memory for these, bytes.
    pub memory: u64,
    /// Disk for all that it fetches and builds, bytes.
    pub disk: u64,
}

impl Capacity {
    /// So many slots, with memory and disk enough for anything.
    pub fn of_slots(slots: usize) -> Self {
        Self { slots, memory: u64::MAX, disk: u64::MAX }
    }
}

impl Default for Model {
    /// The model of the reference figures: 45 s of start-up, 4 slots, 80 jobs at once, free transfers.
    fn default() -> Self {
        Self {
            start_up: 45_000,
            layer: 0,
            fetch: 0,
            hand_off: 0,
            whole_layers: false,
            queue: 0,
            concurrency: 80,
            slots: Vec::new(),
            default_slots: 4,
            memory: Vec::new(),
            disk: Vec::new(),
            sizes: None,
        }
    }
}

impl Model {
    /// True where the ancestors of a job make it longer.
    pub fn ancestors_count(&self) -> bool {
        self.layer > 0 || (self.whole_layers && self.fetch > 0)
    }

    /// Derivations that a job of this system builds at once, at least 1.
    pub fn slots_of(&self, system: System) -> usize {
        let named = if system == ANY_SYSTEM { None } else { self.slots.get(system as usize).copied() };
        named.unwrap_or(self.default_slots).max(1)
    }

    /// What the machine of a job of this system can do at once.
    pub fn capacity_of(&self, system: System) -> Capacity {
        let of = |list: &[Option<u64>]| match system {
            ANY_SYSTEM => u64::MAX,
            system => list.get(usize::from(system)).copied().flatten().unwrap_or(u64::MAX),
        };
        Capacity { slots: self.slots_of(system), memory: of(&self.memory), disk: of(&self.disk) }
    }

    /// The largest number of slots that any job has, at least 1.
    pub fn most_slots(&self) -> usize {
        self.slots.iter().copied().chain([self.default_slots, 1]).max().unwrap_or(1)
    }
}

/// The numbers of the model that a plan was made with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelFigures {
    /// From a job's start to its first build.
    #[serde(rename = "start_up_seconds", with = "seconds")]
    pub start_up: Millis,
    /// Attaching what one ancestor has handed off.
    #[serde(rename = "layer_seconds", with = "seconds")]
    pub layer: Millis,
    /// Fetching what one derivation has left.
    #[serde(rename = "fetch_seconds", with = "seconds")]
    pub fetch: Millis,
    /// What each wave waits for machines.
    #[serde(rename = "queue_seconds", with = "seconds")]
    pub queue: Millis,
    /// Jobs that run at once.
    pub concurrency: u64,
    /// Bytes a second that a job fetches and hands on; none where moving them is not counted.
    #[serde(default, rename = "transfer_bytes_per_second", skip_serializing_if = "Option::is_none")]
    pub bandwidth: Option<u64>,
    /// True where jobs have measured that.
    #[serde(default, rename = "transfer_recorded")]
    pub bandwidth_recorded: bool,
    /// True where jobs have measured the start-up.
    #[serde(default)]
    pub start_up_recorded: bool,
}

choice! {
    /// Which point on the curve between wall time and job time a plan aims for; among equals, the smaller of the other.
    #[derive(Default)]
    pub enum Objective {
        /// The shortest wall time
        Time = "time",
        /// The least machine time at nearly the shortest wall time
        #[default]
        Balanced = "balanced",
        /// The least machine time at no more than twice the shortest wall time
        Cost = "cost",
    }
}

/// What a plan aims for: a point on the curve, or the one that costs least where waiting has a price.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aim {
    /// This objective.
    Objective(Objective),
    /// Of the objectives' plans the best, if a machine minute is worth so much waiting, milliseconds.
    Worth(Millis),
}

impl Aim {
    /// The objective of each plan that is made, where there is one.
    pub fn objective(self) -> Objective {
        if let Self::Objective(objective) = self { objective } else { Objective::default() }
    }

    /// How much waiting a machine minute is worth, where that decides, milliseconds.
    pub fn minute_worth(self) -> Option<Millis> {
        if let Self::Worth(worth) = self { Some(worth) } else { None }
    }
}

choice! {
    /// What builds.
    pub enum Mode {
        /// Jobs, each of which starts when those that it needs have ended
        Jobs = "jobs",
        /// Jobs in waves, each of which starts when the one before has ended: GitHub's way
        Waves = "waves",
        /// Machines that take one derivation after another
        Workers = "workers",
    }
}

choice! {
    /// How derivations share jobs.
    #[derive(Default)]
    pub enum Granularity {
        /// Each target has a job of its own; what lies below is planned freely
        #[default]
        Target = "target",
        /// Targets share jobs where that pays
        Auto = "auto",
        /// One job per system
        Single = "single",
    }
}

/// What a provider accepts. `None` is no limit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PlanLimits {
    /// Most jobs in the plan.
    pub jobs: Option<usize>,
    /// Most direct (transitively reduced) requirements of one job.
    pub requires: Option<usize>,
    /// Most jobs whose results one job takes, theirs included.
    pub inputs: Option<usize>,
    /// Longest time one job may take, start-up included, milliseconds.
    pub job_length: Option<Millis>,
    /// Most waves, where jobs come in waves that wait for one another.
    pub waves: Option<Waves>,
    /// Most names that one worker can make: claims, results, signs of life.
    pub worker_names: Option<usize>,
}

/// Waves that a provider runs: the jobs of one start when all jobs of those before have ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waves {
    /// Most waves.
    pub count: usize,
    /// Most jobs of one wave.
    pub jobs: usize,
}

/// Where workers talk; none where whoever starts them says so.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WorkerNames(pub Option<String>);

/// What the caller wants from the planner.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PartitionOptions {
    /// Wall time against job time.
    pub objective: Objective,
    /// How much waiting a machine minute is worth, where that decides between the objectives, milliseconds.
    pub minute_worth: Option<Millis>,
    /// How targets share jobs.
    pub granularity: Granularity,
    /// Whether workers build, and where they talk if that is said.
    pub workers: Option<WorkerNames>,
    /// What the provider accepts.
    pub limits: PlanLimits,
    /// How many times its own build time a job keeps free before its deadline, against durations that turn out longer;
    /// `None` takes [`PartitionOptions::default_reserve`], and where durations are guesses has jobs taken apart that others wait for in vain.
    pub reserve: Option<f64>,
    /// True where the durations come from records of earlier runs, false where they are guesses.
    pub durations_recorded: bool,
    /// Most credits that the plan's jobs may take together.
    pub max_credits: Option<u64>,
    /// How much longer, and how much more machine time, in percent, a plan may take that keeps the jobs of the last one.
    pub keep_plan: u32,
    /// A stage of the search that is left out, to see what it is worth.
    pub without: Option<Stage>,
}

choice! {
    /// A stage of the search.
    pub enum Stage {
        /// Plans for waves
        Waves = "waves",
        /// Several orders in which edges are zeroed, not one
        Orders = "orders",
        /// Critical jobs are taken apart and merged again
        Shorten = "shorten",
        /// Badly filled jobs are taken apart and merged again
        Refill = "refill",
        /// A job a derivation, where that is shorter
        Separate = "separate",
        /// Rounds of search that know what layers cost
        LayerRounds = "layer-rounds",
        /// Merges for the sake of layers, in these rounds
        LayerMerges = "layer-merges",
        /// Jobs are taken apart where durations are guesses
        Guesses = "guesses",
    }
}

impl PartitionOptions {
    /// True where the plan has to stand durations that turn out longer: they are guesses, the caller asks for no reserve, and wall time counts.
    pub fn expects_surprises(&self) -> bool {
        !self.durations_recorded && self.reserve.is_none() && self.objective != Objective::Cost
    }

    /// True where durations count as exact: they are recorded, or the caller asks for no reserve.
    pub fn trusts_durations(&self) -> bool {
        self.reserve.map_or(self.durations_recorded, |reserve| reserve == 0.0)
    }

    /// What the caller aims for.
    pub fn aim(&self) -> Aim {
        self.minute_worth.map_or(Aim::Objective(self.objective), Aim::Worth)
    }

    /// The reserve where the caller names none: guessed durations need one the more the tighter the plan, records need none
    /// (measured with heavy-tailed durations: without it a tight plan loses a third of its wall time).
    pub fn default_reserve(&self) -> f64 {
        match (self.durations_recorded, self.objective) {
            (true, _) | (false, Objective::Cost) => 0.0,
            (false, Objective::Balanced) => 1.0,
            (false, Objective::Time) => 2.0,
        }
    }
}
