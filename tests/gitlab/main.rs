//! GitLab CI: which provider a plan is for, what is generated and checked, and whole pipelines on a stand-in for GitLab.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../support/mod.rs"]
mod support;

mod cache;
mod check;
mod comment;
mod component;
mod events;
mod generate;
mod local_runner;
mod merge;
mod packages;
mod pipeline;
mod provider;
mod records;
mod relays;
mod schema;
mod signed;
mod signing;
mod sizes;
mod workers;
