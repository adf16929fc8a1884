//! Workers: machines that take one task of a plan after another, and agree without a server on who builds what.
//!
//! In: the tasks of a plan ([`planned`]), a store that can say "taken" ([`stores`]). Out: everything built once, and a record of what was built where ([`run`]); what all workers have done
//! together ([`verdict`]). The rules ([`worker`]) are pure: no store, no clock, no Nix, so that every order of events can be tried out. `docs/workers.md` says what is assumed of a store, and why
//! the rules are as they are.

pub mod absence;
pub mod budget;
pub mod courier;
pub mod gate;
pub mod groups;
pub mod inputs;
pub mod isolation;
pub mod maker;
#[cfg(test)]
mod model;
#[cfg(test)]
mod model_tests;
pub mod name;
pub mod package;
pub mod planned;
pub mod record;
pub mod results;
pub mod run;
pub mod signs;
pub mod stores;
pub mod task_lines;
pub mod tasks;
pub mod verdict;
pub mod view;
pub mod worker;
#[cfg(test)]
mod worker_tests;
