//! The types of values, in words, and where which type belongs.

use crate::printable::printable;

/// Outputs that hold nothing but derivations, so that anything else in them is a mistake.
pub const DERIVATION_OUTPUTS: [&str; 3] = ["packages", "checks", "devShells"];

/// A type as Nix names it, with an article.
pub fn with_article(kind: &str) -> String {
    match kind {
        "null" => "null".to_owned(),
        "lambda" => "a function".to_owned(),
        "bool" => "a boolean".to_owned(),
        "int" => "an integer".to_owned(),
        "app" => "an app whose program is not made by one derivation".to_owned(),
        other => format!("a {}", printable(other)),
    }
}
