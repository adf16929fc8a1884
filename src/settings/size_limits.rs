//! `size_limits` of `nixdag.yml`. In: a mapping of patterns to limits, and `unknown`. Out: [`SizeLimits`].

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, IntoDeserializer, MapAccess, Visitor};
use serde_json::{Value, json};

use super::schema::{Schema, one_or_more};
use super::words::{AttributePattern, Word};
use super::yaml::{Expected, List};
use crate::choice::Choice;
use crate::plan::final_job::{FinalJobRequest, Task};
use crate::plan::sizes::{EXPECTED, JOB, SizeLimit, SizeLimits, UnknownSize};

/// The key that is not a pattern.
const UNKNOWN: &str = "unknown";

/// `size_limits`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SizeLimitsEntry(pub SizeLimits);

impl SizeLimitsEntry {
    /// The job that is asked for. `keys` are those of the mapping, with their places in the file where that is known.
    pub fn request(&self, keys: &[(&str, Option<String>)]) -> FinalJobRequest {
        let places = keys.iter().filter(|(key, _)| *key != UNKNOWN).filter_map(|(_, place)| place.clone()).collect();
        let task = Task::Sizes(SizeLimits { places, ..self.0.clone() });
        FinalJobRequest { name: JOB.to_owned(), place: None, after: None, task, executor: None }
    }
}

impl Schema for SizeLimitsEntry {
    fn schema() -> Value {
        let limit = json!({ "anyOf": [{ "type": "integer", "minimum": 0 }, { "type": "string", "pattern": "^[+]?[0-9][0-9.]* ?([kKMGT]?i?B|%)?$" }] });
        json!({
            "type": "object",
            "properties": { UNKNOWN: { "enum": UnknownSize::names() } },
            "additionalProperties": one_or_more(&limit),
        })
    }
}

impl<'de> Deserialize<'de> for SizeLimitsEntry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = SizeLimitsEntry;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a mapping of attribute patterns to limits")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<SizeLimitsEntry, A::Error> {
                let mut read = SizeLimits::default();
                while let Some(key) = map.next_key::<String>()? {
                    if key == UNKNOWN {
                        read.unknown = map.next_value()?;
                        continue;
                    }
                    let pattern =
                        AttributePattern::read(&key).map_err(|error| de::Error::custom(format!("{error:#}")))?;
                    let limits: OneLimitOrMore = map.next_value()?;
                    read.limits.push((pattern.0.meant(), limits.0));
                }
                Ok(SizeLimitsEntry(read))
            }
        }
        deserializer.deserialize_map(Reader)
    }
}

/// A limit, or a list of limits.
struct OneLimitOrMore(Vec<SizeLimit>);

/// A limit of the file.
struct Limit(SizeLimit);

impl<'de> Deserialize<'de> for Limit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        // What a reader of one value refuses has the place of that value.
        impl Visitor<'_> for Reader {
            type Value = Limit;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str(EXPECTED)
            }

            fn visit_u64<E: de::Error>(self, bytes: u64) -> Result<Limit, E> {
                Ok(Limit(SizeLimit::Bytes(bytes)))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Limit, E> {
                text.parse().map(Limit).map_err(|error: anyhow::Error| E::custom(format!("{error:#}")))
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

impl Expected for Limit {
    const PLURAL: &'static str = "limits";
}

impl<'de> Deserialize<'de> for OneLimitOrMore {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = OneLimitOrMore;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                write!(f, "{EXPECTED}, or a list of these")
            }

            fn visit_u64<E: de::Error>(self, bytes: u64) -> Result<OneLimitOrMore, E> {
                Limit::deserialize(bytes.into_deserializer()).map(|limit| OneLimitOrMore(vec![limit.0]))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<OneLimitOrMore, E> {
                Limit::deserialize(text.into_deserializer()).map(|limit| OneLimitOrMore(vec![limit.0]))
            }

            fn visit_seq<A: de::SeqAccess<'de>>(self, list: A) -> Result<OneLimitOrMore, A::Error> {
                let List(limits) = List::<Limit>::deserialize(de::value::SeqAccessDeserializer::new(list))?;
                Ok(OneLimitOrMore(limits.into_iter().map(|limit| limit.0).collect()))
            }
        }
        deserializer.deserialize_any(Reader)
    }
}
