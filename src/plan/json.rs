//! The plan as JSON, version 1: one line a job, keys in the contract's order, and back with every reference checked.

mod read;
mod write;

pub use self::read::read;
pub use self::write::write;

/// The version that this program writes and reads.
pub const VERSION: u64 = 1;

/// True for an id of the contract: `[a-z][a-z0-9_-]{0,62}`.
pub fn is_id(id: &str) -> bool {
    id.len() <= 63
        && id.bytes().next().is_some_and(|b| b.is_ascii_lowercase())
        && id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-')
}
