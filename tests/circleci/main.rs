//! CircleCI: what is generated, checked, merged and continued, and whole pipelines on a stand-in for CircleCI.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../support/mod.rs"]
mod support;

mod allow_failure;
mod built_by_evaluation;
mod caches;
mod check;
mod content_addressed;
mod continuation;
mod evaluation;
mod final_jobs;
mod fleet;
mod generate;
mod interrupted;
mod merge;
mod pipeline;
mod records;
mod records_in_store;
mod reuse;
mod same_outputs;
mod sizes;
mod stand_in;
mod two_branches;
mod verdict;
mod workers;
mod yaml;
