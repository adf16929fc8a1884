//! `nixdag build` with real Nix: jobs in empty stores, their hand-offs, pushes and signatures.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../support/mod.rs"]
mod support;

mod build;
mod clean_up;
mod daemon;
mod deliveries;
mod disk;
mod faults;
mod garbage;
mod handoff;
mod hostile;
mod matrix;
mod measured;
mod memory;
mod private_caches;
mod push;
mod signature;
mod sizes;
mod sources;
mod traces;
mod workers;
