//! Times, numbers and variables of `nixdag.yml`: each is checked where it is read, so that a message names the place.

use std::collections::BTreeMap;
use std::fmt;

use anyhow::{Result, bail, ensure};
use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::{Value, json};

use super::option::Said;
use super::schema::Schema;
use super::yaml::Scalar;
use crate::plan::options::VARIABLE_PREFIX;
use crate::secret::is_variable;

/// Most seconds of a [`Duration`]: no provider lets a job run longer than a day.
const MAX_SECONDS: u32 = 24 * 60 * 60;

/// A time, as seconds or as `90s`, `30m`, `2h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Duration(pub u32);

impl Duration {
    const EXPECTED: &'static str = "seconds, or a time such as `90s`, `30m`, `2h`, up to 24 hours";

    /// Refuses none and too many.
    pub fn checked(seconds: u64) -> Result<Self> {
        let fits = u32::try_from(seconds).ok().filter(|seconds| (1..=MAX_SECONDS).contains(seconds));
        fits.map(Self).ok_or_else(|| anyhow::anyhow!("{seconds} seconds, expected {}", Self::EXPECTED))
    }

    /// The longest that is possible where it is more.
    pub fn at_most(seconds: u64) -> Result<Self> {
        Self::checked(seconds.min(MAX_SECONDS.into()))
    }

    /// Reads `30m`.
    pub fn read(text: &str) -> Result<Self> {
        Self::checked(Self::seconds(text)?)
    }

    /// The seconds in `30m`.
    pub fn seconds(text: &str) -> Result<u64> {
        let (number, unit) = text.split_at(text.len() - text.chars().next_back().map_or(0, char::len_utf8));
        let factor = match unit {
            "s" => 1,
            "m" => 60,
            "h" => 3600,
            _ => 0,
        };
        let number = number.parse::<u64>().ok().filter(|_| number.bytes().all(|b| b.is_ascii_digit()));
        match number.and_then(|number| number.checked_mul(factor)).filter(|_| factor > 0) {
            Some(seconds) => Ok(seconds),
            None => bail!("`{}`, expected {}", text.escape_debug(), Self::EXPECTED),
        }
    }
}

impl<'de> Deserialize<'de> for Duration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl Visitor<'_> for Reader {
            type Value = Duration;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str(Duration::EXPECTED)
            }

            fn visit_u64<E: de::Error>(self, seconds: u64) -> Result<Duration, E> {
                Duration::checked(seconds).map_err(E::custom)
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Duration, E> {
                Duration::read(text).map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

impl Schema for Duration {
    fn schema() -> Value {
        json!({ "anyOf": [
            { "type": "integer", "minimum": 1, "maximum": MAX_SECONDS },
            { "type": "string", "pattern": "^[0-9]+[smh]$" },
        ] })
    }
}

/// A whole number in a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Number<const LEAST: u32, const MOST: u32>(pub u32);

impl<'de, const LEAST: u32, const MOST: u32> Deserialize<'de> for Number<LEAST, MOST> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader<const LEAST: u32, const MOST: u32>;
        impl<const LEAST: u32, const MOST: u32> Visitor<'_> for Reader<LEAST, MOST> {
            type Value = Number<LEAST, MOST>;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                write!(f, "a whole number from {LEAST} ")?;
                if MOST == u32::MAX { f.write_str("on") } else { write!(f, "to {MOST}") }
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Self::Value, E> {
                let fits = u32::try_from(number).ok().filter(|number| (LEAST..=MOST).contains(number));
                fits.map(Number).ok_or_else(|| E::invalid_value(de::Unexpected::Unsigned(number), &self))
            }
        }
        deserializer.deserialize_u64(Reader::<LEAST, MOST>)
    }
}

impl<const LEAST: u32, const MOST: u32> Schema for Number<LEAST, MOST> {
    fn schema() -> Value {
        json!({ "type": "integer", "minimum": LEAST, "maximum": MOST })
    }
}

impl<const LEAST: u32, const MOST: u32> Said<u32> for Option<Number<LEAST, MOST>> {
    fn said(&self) -> Option<u32> {
        self.map(|number| number.0)
    }
}

/// A whole number from 1 on.
pub type Count = Number<1, { u32::MAX }>;

/// Variables of a job: name to value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Variables(pub BTreeMap<String, String>);

impl<'de> Deserialize<'de> for Variables {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Variables;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a mapping of variables to values")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Variables, A::Error> {
                let mut variables = BTreeMap::new();
                while let Some(name) = map.next_key::<Variable>()? {
                    let shown = name.0.clone();
                    if variables.insert(name.0, map.next_value::<Scalar>()?.0).is_some() {
                        return Err(de::Error::custom(format!("the variable `{shown}` is given twice")));
                    }
                }
                Ok(Variables(variables))
            }
        }
        deserializer.deserialize_map(Reader)
    }
}

impl Schema for Variables {
    fn schema() -> Value {
        json!({
            "type": "object",
            "propertyNames": { "pattern": format!("^(?!{VARIABLE_PREFIX})[A-Za-z_][A-Za-z0-9_]*$") },
            "additionalProperties": Scalar::schema(),
        })
    }
}

/// The name of a variable.
struct Variable(String);

impl<'de> Deserialize<'de> for Variable {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        key(deserializer, "the name of a variable", |name| {
            let shown = name.escape_debug();
            ensure!(is_variable(name), "`{shown}` cannot be a variable (expected letters, digits and `_`)");
            ensure!(
                !name.starts_with(VARIABLE_PREFIX),
                "the variable `{shown}` begins with `{VARIABLE_PREFIX}`, as nixdag's own do"
            );
            Ok(Self(name.to_owned()))
        })
    }
}

/// Reads the key of a mapping: a string even where a value of the same letters would be something else.
pub fn key<'de, D: Deserializer<'de>, T>(
    deserializer: D,
    expected: &'static str,
    read: fn(&str) -> Result<T>,
) -> Result<T, D::Error> {
    struct Reader<T>(&'static str, fn(&str) -> Result<T>);
    impl<T> Visitor<'_> for Reader<T> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
            f.write_str(self.0)
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
            self.1(text).map_err(|error| E::custom(format!("{error:#}")))
        }
    }
    deserializer.deserialize_str(Reader(expected, read))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units_and_bounds() {
        let read = |text| Duration::read(text).map(|time| time.0).ok();
        assert_eq!(["90s", "30m", "24h"].map(read), [Some(90), Some(1800), Some(86_400)]);
        for text in ["", "s", "m5", "0s", "25h", "1d", "-1s", "+1s", "1 m", "99999999999999999999h", "5ü"] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
