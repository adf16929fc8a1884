//! `override_inputs` of `nixdag.yml`: inputs of the flake, and what to take for them. What
//! it can do, `flake.nix` beside it can do as well: neither reads what is on the machine outside of the repository.

use std::collections::BTreeMap;
use std::fmt;

use anyhow::ensure;
use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::{Value, json};

use super::schema::Schema;
use super::values::key;

/// Inputs by name (`a`, or `a/b` for an input of an input), and the reference of a flake for each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inputs(pub BTreeMap<String, String>);

/// The path to an input.
struct InputOverride(String);

impl<'de> Deserialize<'de> for InputOverride {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        key(deserializer, "the name of an input", |name| {
            let shown = name.escape_debug();
            ensure!(
                !name.split('/').any(str::is_empty),
                "`{shown}` is not the name of an input (`a`, or `a/b` for an input of `a`)"
            );
            Ok(Self(name.to_owned()))
        })
    }
}

impl<'de> Deserialize<'de> for Inputs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Inputs;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a mapping of inputs to flake references")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Inputs, A::Error> {
                let mut inputs = BTreeMap::new();
                while let Some(name) = map.next_key::<InputOverride>()? {
                    let (shown, reference) = (name.0.escape_debug().to_string(), map.next_value::<String>()?);
                    if reference.is_empty() || reference.starts_with('-') {
                        let reference = reference.escape_debug();
                        return Err(de::Error::custom(format!("`{shown}`: `{reference}` is not a flake reference")));
                    }
                    if inputs.insert(name.0, reference).is_some() {
                        return Err(de::Error::custom(format!("duplicate input `{shown}`")));
                    }
                }
                Ok(Inputs(inputs))
            }
        }
        deserializer.deserialize_map(Reader)
    }
}

impl Schema for Inputs {
    fn schema() -> Value {
        json!({
            "type": "object",
            "propertyNames": { "pattern": "^[^/]+(/[^/]+)*$" },
            "additionalProperties": { "type": "string", "pattern": "^[^-]" },
        })
    }
}
