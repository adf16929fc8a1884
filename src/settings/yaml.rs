//! Reading YAML for people: errors name the nearest key, what was expected, line and column.

use std::fmt;
use std::marker::PhantomData;

use anyhow::Result;
use serde::Deserialize;
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer, StrDeserializer};
use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Value, json};

use super::schema::Schema;
use crate::nearest::{listed, unknown};

/// Which of the known keys comes next.
pub struct Key<'k> {
    /// All keys that are known.
    pub known: &'k [&'static str],
    /// Say why an option is no key.
    pub refusals: &'k [fn(&str) -> Option<String>],
    /// Which of them were there already.
    pub seen: &'k mut Vec<bool>,
}

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = usize;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<usize, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Key<'_> {
    type Value = usize;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "one of the keys {}", listed(self.known))
    }

    fn visit_str<E: de::Error>(self, key: &str) -> Result<usize, E> {
        let Some(at) = self.known.iter().position(|known| *known == key) else {
            let refusal = self.refusals.iter().find_map(|refusal| refusal(key));
            return Err(E::custom(refusal.unwrap_or_else(|| unknown("key", key, self.known))));
        };
        if std::mem::replace(&mut self.seen[at], true) {
            return Err(E::custom(format!("duplicate key `{key}`")));
        }
        Ok(at)
    }
}

/// Implements `Deserialize` and `Schema` for a struct of options: a mapping whose keys are known, each at most once. Each key stands
/// with its field and what it means; behind the keys may follow fields with groups of options, what else the schema says, and a function
/// that checks what was read.
macro_rules! mapping {
    (
        $type:ident, $expected:literal, { $($key:literal => $field:ident: $about:literal),* $(,)? }
        $(, groups { $($group:ident: $keys:ident),+ $(,)? })? $(, schema $more:tt)? $(, refusal $refusal:path)? $(, check $check:path)?
    ) => {
        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Reader;
                impl<'de> serde::de::Visitor<'de> for Reader {
                    type Value = $type;

                    fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
                        f.write_str($expected)
                    }

                    fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<$type, A::Error> {
                        #[allow(unused_imports, reason = "not every mapping has groups")]
                        use $crate::settings::option::Keys;
                        let known: Vec<&'static str> = std::iter::empty()$($(.chain($keys::known()))+)?.chain([$($key),*]).collect();
                        let refusals: &[fn(&str) -> Option<String>] = &[$($($keys::refusal,)+)? $($refusal,)?];
                        let mut read = $type::default();
                        let mut seen = vec![false; known.len()];
                        while let Some(at) = map.next_key_seed($crate::settings::yaml::Key {
                            known: &known,
                            refusals,
                            seen: &mut seen,
                        })? {
                            match known[at] {
                                $($key => read.$field = Some(map.next_value()?),)*
                                #[allow(unused_variables, reason = "not every mapping has groups")]
                                key => {
                                    $($(if read.$group.read(key, &mut map)? {
                                        continue;
                                    })+)?
                                    // `Key` gives positions of known keys only.
                                    unreachable!("a key of another mapping")
                                }
                            }
                        }
                        $($check(&read).map_err(|error| serde::de::Error::custom(format!("{error:#}")))?;)?
                        Ok(read)
                    }
                }
                deserializer.deserialize_map(Reader)
            }
        }

        impl $crate::settings::schema::Schema for $type {
            fn schema() -> serde_json::Value {
                #[allow(unused_imports, reason = "not every mapping has groups")]
                use $crate::settings::option::Keys;
                let own = [$($crate::settings::schema::described(
                    $key,
                    $about,
                    $crate::settings::schema::of_field(|read: &$type| &read.$field),
                )),*];
                let keys = std::iter::empty()$($(.chain($keys::schemas()))+)?.chain(own);
                #[allow(unused_mut, unused_assignments, reason = "not every mapping says more")]
                let mut more = serde_json::Value::Null;
                $(more = serde_json::json!($more);)?
                $crate::settings::schema::object(keys, &more)
            }
        }
    };
}
pub(super) use mapping;

/// A list of values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct List<T>(pub Vec<T>);

impl<'de, T: Deserialize<'de> + Expected> Deserialize<'de> for List<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de> + Expected> Visitor<'de> for Reader<T> {
            type Value = List<T>;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                write!(f, "a list of {}", T::PLURAL)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<List<T>, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = list.next_element()? {
                    items.push(item);
                }
                Ok(List(items))
            }
        }
        deserializer.deserialize_seq(Reader(PhantomData))
    }
}

impl<T: Schema> Schema for List<T> {
    fn schema() -> Value {
        json!({ "type": "array", "items": T::schema() })
    }
}

/// A value, or a list of such.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OneOrMore<T>(pub Vec<T>);

impl<'de, T: Deserialize<'de> + Expected> Deserialize<'de> for OneOrMore<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de> + Expected> Visitor<'de> for Reader<T> {
            type Value = OneOrMore<T>;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                write!(f, "one or a list of {}", T::PLURAL)
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<OneOrMore<T>, E> {
                Ok(OneOrMore(vec![T::deserialize(StrDeserializer::new(text))?]))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<OneOrMore<T>, A::Error> {
                Ok(OneOrMore(vec![T::deserialize(MapAccessDeserializer::new(map))?]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<OneOrMore<T>, A::Error> {
                Ok(OneOrMore(List::deserialize(SeqAccessDeserializer::new(list))?.0))
            }
        }
        deserializer.deserialize_any(Reader(PhantomData))
    }
}

impl<T: Schema> Schema for OneOrMore<T> {
    fn schema() -> Value {
        let one = T::schema();
        json!({ "anyOf": [one, { "type": "array", "items": one }] })
    }
}

/// Reads a string or a mapping; what `of_text` and `of_mapping` complain about has its place named.
pub fn text_or_mapping<'de, D: Deserializer<'de>, M: Deserialize<'de>, T>(
    deserializer: D,
    expected: &'static str,
    of_text: fn(&str) -> Result<T>,
    of_mapping: fn(M) -> Result<T>,
) -> Result<T, D::Error> {
    struct Reader<M, T>(&'static str, fn(&str) -> Result<T>, fn(M) -> Result<T>);
    impl<'de, M: Deserialize<'de>, T> Visitor<'de> for Reader<M, T> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
            f.write_str(self.0)
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
            self.1(text).map_err(|error| E::custom(format!("{error:#}")))
        }

        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
            let mapping = M::deserialize(MapAccessDeserializer::new(map))?;
            self.2(mapping).map_err(|error| de::Error::custom(format!("{error:#}")))
        }
    }
    deserializer.deserialize_any(Reader(expected, of_text, of_mapping))
}

/// What messages call several of something.
pub trait Expected {
    /// The plural.
    const PLURAL: &'static str;
}

impl Expected for String {
    const PLURAL: &'static str = "strings";
}

/// A value that an environment variable can have: a string, a whole number or a boolean as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scalar(pub String);

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl Visitor<'_> for Reader {
            type Value = Scalar;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a string, in quotes where YAML would read something else")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Scalar, E> {
                Ok(Scalar(text.to_owned()))
            }

            fn visit_bool<E: de::Error>(self, truth: bool) -> Result<Scalar, E> {
                Ok(Scalar(truth.to_string()))
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Scalar, E> {
                Ok(Scalar(number.to_string()))
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Scalar, E> {
                Ok(Scalar(number.to_string()))
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

impl Expected for Scalar {
    const PLURAL: &'static str = "strings";
}

impl Schema for Scalar {
    fn schema() -> Value {
        json!({ "type": ["string", "boolean", "integer"] })
    }
}

/// A string or a list of strings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Texts {
    /// A string.
    One(String),
    /// A list.
    List(Vec<String>),
}

/// Reads a string or a list of strings; what `read` complains about has its place named.
pub fn texts<'de, D: Deserializer<'de>, T>(
    deserializer: D,
    expected: &'static str,
    read: fn(Texts) -> Result<T>,
) -> Result<T, D::Error> {
    struct Reader<T>(&'static str, fn(Texts) -> Result<T>);
    impl<'de, T> Visitor<'de> for Reader<T> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
            f.write_str(self.0)
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
            self.1(Texts::One(text.to_owned())).map_err(|error| E::custom(format!("{error:#}")))
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<T, A::Error> {
            let mut texts = Vec::new();
            while let Some(text) = list.next_element()? {
                texts.push(text);
            }
            self.1(Texts::List(texts)).map_err(|error| de::Error::custom(format!("{error:#}")))
        }
    }
    deserializer.deserialize_any(Reader(expected, read))
}
