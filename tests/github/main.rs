//! GitHub Actions: plans in waves, what the planning job hands to them, and whole workflows.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../support/mod.rs"]
mod support;

mod act;
mod act_failures;
mod checks;
mod comment;
mod files;
mod generate;
mod hostile;
mod install;
mod pipeline;
mod records;
mod secrets;
mod sizes;
mod stand_in;
mod waves;
mod worker_action;
mod workers;
