//! GitHub Actions: a plan goes in, what the planning job hands to the waves of a workflow that never changes comes out.

pub mod environment;
pub mod limits;
pub mod machines;
pub mod names;
