//! What one run of one job has measured about itself, beside its builds.

use serde::{Deserialize, Serialize};

use crate::duration::seconds;

/// One run of one job.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct JobRun {
    /// The job, by id.
    pub job: String,
    /// The system of its machine.
    pub system: String,
    /// When it began, in seconds since 1970.
    pub at: u64,
    /// How long `nixdag build` ran, milliseconds.
    #[serde(rename = "seconds", with = "seconds")]
    pub duration: u64,
}
