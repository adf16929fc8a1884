//! The protocol by which workers agree on who builds what, without a server: claims and results are names in a store that can say "taken".
//!
//! In: the tasks of a plan ([`tasks`]), and the answers of a store. Out: what a worker does next ([`worker`]), and what all of them have done together ([`verdict`]). Pure: no store,
//! no clock, no Nix, so that every order of events can be tried out. `docs/workers.md` says what is assumed of a store, and why the rules are as they are.

#[cfg(test)]
mod model;
#[cfg(test)]
mod model_tests;
pub mod name;
pub mod tasks;
pub mod verdict;
pub mod view;
pub mod worker;
#[cfg(test)]
mod worker_tests;
