//! Evaluation of flakes by real Nix, with an empty store.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../support/mod.rs"]
mod support;

mod attributes;
mod cache;
mod early_inputs;
mod edited;
mod evaluate;
mod failures;
mod flake;
mod hints;
mod hostile;
mod inputs;
mod limits;
mod local_inputs;
mod machine;
mod named;
mod nested;
mod private_inputs;
mod programs;
mod signals;
