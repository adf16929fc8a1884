//! What one run of one job has measured about itself and its machine, beside its builds.

use serde::{Deserialize, Serialize};

use crate::duration::seconds;

/// One run of one job.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct JobRun {
    /// The job, by id.
    pub job: String,
    /// The system of its machine.
    pub system: String,
    /// The size of its machine, where the provider has sizes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_class: Option<String>,
    /// When it began, in seconds since 1970.
    pub at: u64,
    /// How long `nixdag build` ran, milliseconds.
    #[serde(rename = "seconds", with = "seconds")]
    pub duration: u64,
    /// What else is known.
    #[serde(flatten)]
    pub measured: Measured,
}

/// What a job measures; what is not known is none.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Measured {
    /// From the start of the job's machine or container to that of `nixdag build`, milliseconds: checkout, restored caches, installation.
    #[serde(default, rename = "start_up_seconds", with = "seconds::optional", skip_serializing_if = "Option::is_none")]
    pub start_up: Option<u64>,
    /// Reading hand-offs and importing derivations, milliseconds.
    #[serde(default, rename = "import_seconds", with = "seconds::optional", skip_serializing_if = "Option::is_none")]
    pub import: Option<u64>,
    /// Fetching what others have built, milliseconds.
    #[serde(default, rename = "fetch_seconds", with = "seconds::optional", skip_serializing_if = "Option::is_none")]
    pub fetch: Option<u64>,
    /// Bytes of what was fetched then, as NARs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fetched_bytes: Option<u64>,
    /// The part of that time in which outputs came that other jobs had built, milliseconds.
    #[serde(
        default,
        rename = "handoff_down_seconds",
        with = "seconds::optional",
        skip_serializing_if = "Option::is_none"
    )]
    pub down: Option<u64>,
    /// Bytes of these, as NARs.
    #[serde(default, rename = "handoff_down_bytes", skip_serializing_if = "Option::is_none")]
    pub down_bytes: Option<u64>,
    /// Building, milliseconds.
    #[serde(default, rename = "build_seconds", with = "seconds::optional", skip_serializing_if = "Option::is_none")]
    pub build: Option<u64>,
    /// Handing on and pushing, milliseconds.
    #[serde(default, rename = "handoff_seconds", with = "seconds::optional", skip_serializing_if = "Option::is_none")]
    pub hand_off: Option<u64>,
    /// Bytes that were handed on through a workspace, compressed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handoff_bytes: Option<u64>,
    /// Bytes that were handed on, as NARs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handoff_nar_bytes: Option<u64>,
    /// Processor time that measuring took, milliseconds.
    #[serde(default, rename = "sampling_seconds", with = "seconds::optional", skip_serializing_if = "Option::is_none")]
    pub sampling: Option<u64>,
    /// Time in which a slot built nothing while others built, summed over slots, milliseconds.
    #[serde(default, rename = "idle_seconds", with = "seconds::optional", skip_serializing_if = "Option::is_none")]
    pub idle: Option<u64>,
    /// The model of the machine's processors, as it calls them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub processor: Option<String>,
    /// Processors of the machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cores: Option<u32>,
    /// Memory of the machine in use at most, bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<u64>,
    /// Bytes of the store's disk in use at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk: Option<u64>,
}

/// Longest name of a processor, bytes.
const MAX_MODEL: usize = 128;

/// True for what may be the name of a processor.
pub fn is_model(text: &str) -> bool {
    !text.is_empty() && text.len() <= MAX_MODEL && !text.chars().any(char::is_control)
}

/// No size is larger: sums over all jobs stay far from any overflow.
const MOST_BYTES: u64 = 1 << 50;

impl Measured {
    /// The same with no time above `longest`, milliseconds, and no size that no machine has.
    pub fn bounded(self, longest: u64) -> Self {
        let time = |time: Option<u64>| time.map(|time| time.min(longest));
        let bytes = |bytes: Option<u64>| bytes.map(|bytes| bytes.min(MOST_BYTES));
        Self {
            start_up: time(self.start_up),
            import: time(self.import),
            fetch: time(self.fetch),
            fetched_bytes: bytes(self.fetched_bytes),
            down: time(self.down),
            down_bytes: bytes(self.down_bytes),
            build: time(self.build),
            hand_off: time(self.hand_off),
            handoff_bytes: bytes(self.handoff_bytes),
            handoff_nar_bytes: bytes(self.handoff_nar_bytes),
            sampling: time(self.sampling),
            idle: time(self.idle),
            processor: self.processor.filter(|model| is_model(model)),
            cores: self.cores,
            memory: bytes(self.memory),
            disk: bytes(self.disk),
        }
    }
}
