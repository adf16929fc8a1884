//! Planning is pure: no files, no network, no clock, no environment.

pub mod model;
pub mod partition;
pub mod problem;
pub mod simulate;
