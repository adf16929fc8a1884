//! What users add to the generated configuration: files and words that only the provider can read.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::output::read_input;

/// Largest file of the user's own that is read, in bytes.
const MAX_SIZE: usize = 2 << 20;

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

/// What messages call a file of the user's own, and its text.
pub fn read_file(path: &Path) -> Result<(String, String)> {
    let bytes = read_input(path)?;
    let name = path.display().to_string();
    ensure!(bytes.len() <= MAX_SIZE, "cannot merge `{name}`: it has more than {} MB", MAX_SIZE >> 20);
    let text = String::from_utf8(bytes).with_context(|| format!("cannot merge `{name}`: it is not UTF-8"))?;
    Ok((name, text))
}
