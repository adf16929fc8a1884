//! Planning from recorded evaluations and repositories: what is needed, what a change touches, which jobs come of it, where they run.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../support/mod.rs"]
mod support;

mod affected;
mod base;
mod base_settings;
mod change;
mod contract;
mod explain;
mod fleet;
mod money;
mod page;
mod planner;
mod records;
#[path = "../support/scenario.rs"]
mod scenario;
mod targets;
mod workers;

use support::synthetic;
