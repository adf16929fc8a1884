//! Reading a parsed configuration leniently: what has another form than expected is empty, and reported elsewhere.

use serde_yaml::{Mapping, Value};

use crate::provider::circleci::template::{self, Reference};

/// A scalar as text; empty for a mapping or a sequence.
pub(super) fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Bool(truth) => truth.to_string(),
        Value::Number(number) => number.to_string(),
        _ => String::new(),
    }
}

/// The mapping under a key; an empty one where there is none.
pub(super) fn map<'a>(parent: &'a Mapping, key: &str) -> &'a Mapping {
    static EMPTY: std::sync::LazyLock<Mapping> = std::sync::LazyLock::new(Mapping::new);
    parent.get(key).and_then(Value::as_mapping).unwrap_or(&EMPTY)
}

/// One string, or a sequence of them.
pub(super) fn text_list(value: Option<&Value>) -> Vec<String> {
    match value {
        Some(Value::Sequence(items)) => items.iter().map(text).collect(),
        Some(Value::Null) | None => Vec::new(),
        Some(value) => vec![text(value)],
    }
}

/// Calls back for each template in all strings and keys of a value.
pub(super) fn each_reference<'a>(value: &'a Value, visit: &mut dyn FnMut(Reference<'a>)) {
    match value {
        Value::String(string) => {
            // A stray `<<` is reported where all strings are looked at.
            for template in template::templates(string).unwrap_or_default() {
                visit(template.reference);
            }
        }
        Value::Sequence(items) => items.iter().for_each(|item| each_reference(item, visit)),
        Value::Mapping(entries) => {
            for (key, value) in entries {
                each_reference(key, visit);
                each_reference(value, visit);
            }
        }
        _ => {}
    }
}
