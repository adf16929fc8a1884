//! The plan as JSON, version 1: one line a job, keys in the contract's order, and back with every reference checked.

mod read;
mod write;

pub use self::read::{is_id, read};
pub use self::write::{VERSION, write};
