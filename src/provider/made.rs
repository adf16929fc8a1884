//! Whether a file is one that `nixdag generate` has written.
//!
//! In: the text of a file. Out: its origin. Anybody can write such a first line: it decides about advice, nothing else.

use serde_json::Value;

/// What the line begins with that all generated YAML has.
const MADE: &str = "# Made by nixdag ";

/// What the line of a preview begins with, above that one.
const PREVIEW: &str = "# A preview, whose jobs have nothing to build from: ";

/// Where a configuration comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// `nixdag generate` without a bundle.
    Preview,
    /// `nixdag generate --bundle`.
    Bundle,
    /// Something else.
    Other,
}

/// The first lines of generated YAML: `preview` is the one of a preview.
pub fn header(preview: Option<&str>) -> String {
    let preview = preview.map_or_else(String::new, |line| format!("{line}\n"));
    format!("{preview}{MADE}{}: change the flake or nixdag.yml, not this file.\n", env!("CARGO_PKG_VERSION"))
}

/// Finds out where a text comes from, by its first lines, or by the keys of what GitHub's planning job puts out.
pub fn origin(text: &str) -> Origin {
    let mut lines = text.lines();
    match lines.next() {
        Some(first) if first.starts_with(PREVIEW) => match lines.next() {
            Some(second) if second.starts_with(MADE) => Origin::Preview,
            _ => Origin::Other,
        },
        Some(first) if first.starts_with(MADE) => Origin::Bundle,
        Some(first) if first.starts_with('{') => of_outputs(text),
        _ => Origin::Other,
    }
}

fn of_outputs(text: &str) -> Origin {
    let Ok(Value::Object(outputs)) = serde_json::from_str(text) else { return Origin::Other };
    match (outputs.get("manifest").and_then(Value::as_str), outputs.get("scripts")) {
        (Some(""), Some(_)) => Origin::Preview,
        (Some(_), Some(_)) => Origin::Bundle,
        _ => Origin::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_generate_writes_is_known_by_its_beginning() {
        for preview in [crate::provider::circleci::names::PREVIEW, crate::provider::gitlab::names::PREVIEW] {
            assert_eq!(origin(&header(Some(preview))), Origin::Preview);
        }
        assert_eq!(origin(&header(None)), Origin::Bundle);
        assert_eq!(origin(r#"{"manifest":"","scripts":{}}"#), Origin::Preview);
        assert_eq!(origin(r#"{"manifest":"ab","scripts":{}}"#), Origin::Bundle);
        for other in ["", "version: 2.1\n", "{", "[]", r#"{"manifest":1}"#, "# Made by hand\n"] {
            assert_eq!(origin(other), Origin::Other, "{other}");
        }
    }
}
