//! Reading the templates of a parsed configuration.

use serde_yaml::Value;

use crate::provider::circleci::template::{self, Reference};

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
