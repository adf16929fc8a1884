//! What building one derivation has used, beside its time.

use serde::{Deserialize, Serialize};

use crate::duration::seconds;

/// What is known of one build; what is not known is none.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Used {
    /// When it began, milliseconds after its job.
    #[serde(default, with = "seconds::optional", skip_serializing_if = "Option::is_none")]
    pub begun: Option<u64>,
    /// The lowest number that no other build of the job had at that time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slot: Option<u32>,
    /// Processor time of the builder and all that it started, milliseconds; what ran for less than a second may be left out.
    #[serde(default, rename = "cpu_seconds", with = "seconds::optional", skip_serializing_if = "Option::is_none")]
    pub cpu: Option<u64>,
    /// Memory of these at once, at most, bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<u64>,
    /// Bytes of its outputs as NARs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nar_bytes: Option<u64>,
}

/// No size and no time is larger: sums over all builds stay far from any overflow.
const MOST: u64 = 1 << 50;

impl Used {
    /// The same with what no machine has made smaller.
    pub fn bounded(self) -> Self {
        let most = |number: Option<u64>| number.map(|number| number.min(MOST));
        Self {
            begun: most(self.begun),
            slot: self.slot,
            cpu: most(self.cpu),
            memory: most(self.memory),
            nar_bytes: most(self.nar_bytes),
        }
    }
}
