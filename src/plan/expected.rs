//! What building a derivation is expected to need beside time, for the runner: hints from records, which may be wrong.

use serde::{Deserialize, Serialize};

/// What is expected of one build; what is not known is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expected {
    /// Bytes of its outputs as NARs, which is about what they take on a disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nar_bytes: Option<u64>,
    /// Memory of its processes at once, at most, bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<u64>,
}

impl Expected {
    /// True where nothing is known.
    pub fn is_empty(self) -> bool {
        self == Self::default()
    }
}
