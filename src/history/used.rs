//! What building one derivation has used, beside its time.

use std::collections::BTreeMap;

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
    /// Bytes of these with all that they refer to, by way of others too, as NARs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closure_bytes: Option<u64>,
    /// The NARs of each output by its name, where there are several.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub output_bytes: BTreeMap<String, u64>,
    /// How long the attempts before the last took, milliseconds.
    #[serde(default, rename = "earlier_seconds", with = "seconds::list", skip_serializing_if = "Vec::is_empty")]
    pub earlier: Vec<u64>,
}

/// No size and no time is larger: sums over all builds stay far from any overflow.
const MOST: u64 = 1 << 50;

/// So many outputs and attempts of one build are believed, and names of outputs of so many bytes.
const MOST_OUTPUTS: usize = 32;
const MOST_ATTEMPTS: usize = 8;
const MAX_NAME: usize = 128;

impl Used {
    /// The same with what no machine has made smaller.
    pub fn bounded(self) -> Self {
        let is_name = |name: &str| name.len() <= MAX_NAME && !name.chars().any(char::is_control);
        let outputs = self.output_bytes.into_iter().filter(|(name, _)| is_name(name));
        let outputs = outputs.map(|(name, bytes)| (name, bytes.min(MOST)));
        let most = |number: Option<u64>| number.map(|number| number.min(MOST));
        Self {
            begun: most(self.begun),
            slot: self.slot,
            cpu: most(self.cpu),
            memory: most(self.memory),
            nar_bytes: most(self.nar_bytes),
            closure_bytes: most(self.closure_bytes),
            output_bytes: outputs.take(MOST_OUTPUTS).collect(),
            earlier: self.earlier.into_iter().take(MOST_ATTEMPTS).map(|time| time.min(MOST)).collect(),
        }
    }
}
