//! What users install: the orb, the release, nixdag's own flake.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../support/mod.rs"]
mod support;

mod init;
mod orb;
mod orb_pipeline;
mod own_flake;
mod release;
