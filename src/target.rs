//! Targets.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::attribute::AttributePath;

/// An attribute that was selected and evaluated to a derivation.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Target {
    /// The attribute.
    pub attribute: AttributePath,
    /// Full path of its `.drv` file.
    pub drv_path: Arc<str>,
}
