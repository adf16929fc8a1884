//! What settings add to a job: in the plan's JSON the job's `options`, an object of what is said and nothing else.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

use crate::secret::is_variable;

/// What the names of all variables that nixdag sets begin with.
pub const VARIABLE_PREFIX: &str = "NIXDAG_";

/// Most times that a derivation is built again which failed for a reason that may go away, and how often it is where nobody says.
pub const MAX_RETRIES: u32 = 2;

/// Timeout, contexts, retries, environment.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct JobOptions {
    /// Seconds after which a build is ended, and after which a step without output is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<u32>,
    /// The job builds only what may fail: the gate does not wait for it, and what needs its results fails without building them.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub allow_failure: bool,
    /// Contexts, whose variables the job gets.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub context: Vec<String>,
    /// How often a derivation is built again that failed for a reason that may go away, 0 to [`MAX_RETRIES`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retries: Option<u32>,
    /// Variables.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub environment: BTreeMap<String, String>,
}

impl JobOptions {
    /// Refuses what no configuration can hold.
    pub fn check(&self) -> Result<()> {
        ensure!(self.timeout != Some(0), "its timeout is 0 seconds");
        ensure!(
            self.retries.is_none_or(|retries| retries <= MAX_RETRIES),
            "what fails is tried again {} times ({MAX_RETRIES} at most)",
            self.retries.unwrap_or_default()
        );
        for context in &self.context {
            ensure!(is_context(context), "`{}` cannot be the name of a context", context.escape_debug());
        }
        for (name, value) in &self.environment {
            ensure!(
                is_variable(name) && !name.starts_with(VARIABLE_PREFIX) && !value.contains('\0'),
                "`{}` cannot be a variable of a job (expected letters, digits and `_`, not `{VARIABLE_PREFIX}…`)",
                name.escape_debug()
            );
        }
        Ok(())
    }
}

/// True for a name that a context can have.
pub fn is_context(name: &str) -> bool {
    !name.trim().is_empty() && name.len() <= 200 && !name.contains(char::is_control) && !name.contains("<<")
}
