//! The command line, `nixdag.yml` and its schema.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../support/mod.rs"]
mod support;

mod cli;
mod delivery;
mod manners;
mod nixdag_yml;
mod options;
mod schema;
mod security;
