//! The list: who, after what, what stops it, and under which settings nothing does, a file for each attacker. A test holds the names of tests
//! against the tests.

mod branch;
mod cache;
mod fork;
mod input;
mod machine_user;

use super::line::Exposure;

/// All attackers and assets that meet.
pub fn all() -> impl Iterator<Item = &'static Exposure> {
    [branch::LINES, fork::LINES, input::LINES, machine_user::LINES, cache::LINES].into_iter().flatten()
}
