//! Binary caches, on loopback: made-up ones that misbehave, and those that Nix itself makes.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../support/mod.rs"]
mod support;

mod closures;
mod http;
mod nix;
