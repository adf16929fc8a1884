//! Reading a parsed configuration leniently: what has another form than expected is empty, and reported elsewhere.

use serde_yaml::{Mapping, Value};

/// A scalar as text; empty for a mapping or a sequence.
pub fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Bool(truth) => truth.to_string(),
        Value::Number(number) => number.to_string(),
        _ => String::new(),
    }
}

/// The mapping under a key; an empty one where there is none.
pub fn map<'a>(parent: &'a Mapping, key: &str) -> &'a Mapping {
    static EMPTY: std::sync::LazyLock<Mapping> = std::sync::LazyLock::new(Mapping::new);
    parent.get(key).and_then(Value::as_mapping).unwrap_or(&EMPTY)
}

/// One string, or a sequence of them.
pub fn text_list(value: Option<&Value>) -> Vec<String> {
    match value {
        Some(Value::Sequence(items)) => items.iter().map(text).collect(),
        Some(Value::Null) | None => Vec::new(),
        Some(value) => vec![text(value)],
    }
}
