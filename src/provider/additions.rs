//! What users add to the generated configuration: files and words that only the provider can read.

use std::path::PathBuf;

use anyhow::{Result, ensure};

/// What users add.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Additions {
    /// Files with configurations of their own.
    pub merge: Vec<PathBuf>,
    /// Pipeline parameters, as they were written.
    pub parameters: Vec<String>,
    /// Where those were written, for messages.
    pub parameters_place: &'static str,
    /// The setup configuration, whose pipeline parameters are passed on.
    pub setup: Option<PathBuf>,
}

impl Additions {
    /// Refuses pipeline parameters, for a provider that has none; `reason` says so.
    pub fn refuse_parameters(&self, reason: &str) -> Result<()> {
        let place = if self.setup.is_some() { "`parameters_from`" } else { self.parameters_place };
        ensure!(self.parameters.is_empty() && self.setup.is_none(), "{place}: {reason}");
        Ok(())
    }
}
