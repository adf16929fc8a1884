//! The JSON schema of `nixdag.yml`, for editors. It comes from the same table as the reader: a mapping's keys, what they mean and
//! what they take are listed once, where [`super::yaml::mapping`] is used. Out: JSON Schema, draft 7.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::choice::Choice;

/// What values of a type look like in the file.
pub trait Schema {
    /// The JSON schema of a value.
    fn schema() -> Value;
}

impl<T: Choice> Schema for T {
    fn schema() -> Value {
        json!({ "enum": T::names() })
    }
}

impl Schema for String {
    fn schema() -> Value {
        json!({ "type": "string" })
    }
}

impl Schema for bool {
    fn schema() -> Value {
        json!({ "type": "boolean" })
    }
}

impl<T: Schema> Schema for BTreeMap<String, T> {
    fn schema() -> Value {
        json!({ "type": "object", "additionalProperties": T::schema() })
    }
}

impl Schema for u64 {
    fn schema() -> Value {
        json!({ "type": "integer", "minimum": 0 })
    }
}

/// The schema of what a field of a mapping may hold.
pub fn of_field<S, T: Schema>(_: impl Fn(&S) -> &Option<T>) -> Value {
    T::schema()
}

/// A key of a mapping with the schema of its value and what it means.
pub fn described(key: &'static str, about: &str, mut schema: Value) -> (&'static str, Value) {
    if let Value::Object(schema) = &mut schema {
        schema.insert("description".into(), about.into());
    }
    (key, schema)
}

/// The schema of a mapping: its keys with the schemas of their values, and what else holds for it.
pub fn object(keys: impl Iterator<Item = (&'static str, Value)>, more: &Value) -> Value {
    let properties: Map<String, Value> = keys.map(|(key, schema)| (key.to_owned(), schema)).collect();
    let mut object = json!({ "type": "object", "additionalProperties": false, "properties": properties });
    if let (Value::Object(object), Value::Object(more)) = (&mut object, more) {
        object.extend(more.clone());
    }
    object
}

/// The schema of a string, or a list of one or more.
pub fn one_or_more(one: &Value) -> Value {
    json!({ "anyOf": [one, { "type": "array", "minItems": 1, "items": one }] })
}
