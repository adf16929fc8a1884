//! Numbers with a noun: `1 job`, `2 jobs`.

use std::fmt::Display;

/// A number of things whose plural has an `s`.
pub fn counted<N: Display + PartialEq + From<u8>>(number: N, noun: &str) -> String {
    let end = if number == N::from(1) { "" } else { "s" };
    format!("{number} {noun}{end}")
}
