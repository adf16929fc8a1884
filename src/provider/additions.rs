//! What users add to the generated configuration: files and words that only the provider can read.

use std::path::PathBuf;

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
