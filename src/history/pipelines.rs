//! What a plan has predicted, and what came.

use serde::{Deserialize, Serialize};

use crate::duration::seconds;

/// One pipeline whose jobs have all come to their end.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PipelineRun {
    /// When its first job began, in seconds since 1970.
    pub at: u64,
    /// Its jobs.
    pub jobs: u64,
    /// From the start of the first job to the end of the last as the plan has it, milliseconds.
    #[serde(rename = "predicted_seconds", with = "seconds")]
    pub predicted: u64,
    /// As measured.
    #[serde(rename = "seconds", with = "seconds")]
    pub measured: u64,
}
