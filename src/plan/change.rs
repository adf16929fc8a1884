//! What a change does to targets: part of the plan's JSON, under `change`, where there is a base.
//!
//! - `new`, `gone`: attributes that only the head or only the base has. `newly_failing`, `still_failing`, `fixed`: attributes that do not evaluate
//!   now, before and now, or only before.
//! - `changed`: attributes with another derivation than at the base, each with its outputs there.
//! - `causes`: derivations where the change begins, those first that most targets need, each with what changed in it and how many targets that
//!   changes; `unexplained` counts changed targets for which none was found.

use serde::{Deserialize, Serialize};

use crate::attribute::AttributePath;
use crate::graph::OutputPaths;

/// What a change does.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Change {
    /// The base does not have these.
    pub new: Vec<AttributePath>,
    /// Only the base has these.
    pub gone: Vec<AttributePath>,
    /// Another derivation than at the base.
    pub changed: Vec<ChangedTarget>,
    /// They evaluate at the base alone.
    pub newly_failing: Vec<AttributePath>,
    /// They do not evaluate at the base either.
    pub still_failing: Vec<AttributePath>,
    /// They did not evaluate at the base.
    pub fixed: Vec<AttributePath>,
    /// Where the change begins.
    pub causes: Vec<RootCause>,
    /// Causes that are left out.
    pub more_causes: u64,
    /// Changed targets without a cause that is known.
    pub unexplained: u64,
}

/// A target whose derivation is another one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangedTarget {
    /// The attribute.
    pub target: AttributePath,
    /// Its outputs at the base, none where only the build tells the path; empty where its derivation could not be read.
    pub base_outputs: OutputPaths,
}

/// A derivation whose own definition changed, and nothing below it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootCause {
    /// Its name: `gcc-13.3.0`.
    pub name: String,
    /// Its name at the base, where that is another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_name: Option<String>,
    /// What changed in it, a few words each.
    pub what: Vec<String>,
    /// Changed targets that need it.
    pub targets: u64,
}

impl Change {
    /// True where nothing differs.
    pub fn is_empty(&self) -> bool {
        let lists = [&self.new, &self.gone, &self.newly_failing, &self.still_failing, &self.fixed];
        lists.iter().all(|list| list.is_empty()) && self.changed.is_empty()
    }

    /// A changed target.
    pub fn of(&self, target: &AttributePath) -> Option<&ChangedTarget> {
        self.changed.iter().find(|changed| changed.target == *target)
    }
}
