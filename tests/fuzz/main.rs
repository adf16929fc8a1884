//! Readers of bytes from outside, given inputs that are mutated from real ones: none panics, hangs, or takes more than 100 MB.
//!
//! In the suite each gets some thousands. For more, with a profile that checks arithmetic:
//! `NIXDAG_FUZZ_INPUTS=1000000 cargo test --locked --profile fuzz --test fuzz -- --nocapture`, or for an hour a reader, other inputs each
//! time, `NIXDAG_FUZZ_SECONDS=3600`. What is found is in `target/tmp`, and `NIXDAG_FUZZ_SEED` brings it back.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod harness;
mod mutate;
mod nix_formats;
mod own_formats;
#[path = "../support/random.rs"]
mod random;
mod seeds;
mod served;
mod workers;
