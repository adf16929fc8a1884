//! What a plan aims for, as people write it: the name of an objective, or a number, the seconds of waiting that a machine minute is worth.

use std::ffi::OsStr;
use std::fmt;
use std::str::FromStr;

use anyhow::{Context, Result, ensure};
use clap::builder::{PossibleValue, TypedValueParser};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Value, json};

use super::schema::Schema;
use crate::choice::Choice;
use crate::nearest::listed;
use crate::plan::model::{Aim, Objective};

/// Most seconds that a machine minute is worth: beyond, wall time makes no difference.
const MOST: f64 = 3_600.0;

/// The value of `objective`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AimValue(pub Aim);

impl Default for AimValue {
    fn default() -> Self {
        Self(Aim::Objective(Objective::default()))
    }
}

impl AimValue {
    fn expected() -> String {
        format!("one of {}, or a number of seconds from 0 to {MOST}", listed(&Objective::names()))
    }

    fn seconds(seconds: f64) -> Result<Self> {
        ensure!((0.0..=MOST).contains(&seconds), "`{seconds}`, expected {}", Self::expected());
        Ok(Self(Aim::Worth((seconds * 1000.0).round() as u64)))
    }
}

impl FromStr for AimValue {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        match text.parse() {
            Ok(seconds) => Self::seconds(seconds),
            Err(_) => Objective::parse(text)
                .map(|objective| Self(Aim::Objective(objective)))
                .with_context(|| format!("expected {}", Self::expected())),
        }
    }
}

/// Reads the flag; its help lists the objectives.
#[derive(Clone, Copy, Debug)]
pub struct AimParser;

impl TypedValueParser for AimParser {
    type Value = AimValue;

    fn parse_ref(
        &self,
        command: &clap::Command,
        argument: Option<&clap::Arg>,
        value: &OsStr,
    ) -> std::result::Result<AimValue, clap::Error> {
        <AimValue as FromStr>::from_str.parse_ref(command, argument, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        let objectives = Objective::ALL.iter().map(|(name, meaning, _)| PossibleValue::new(*name).help(*meaning));
        let number = PossibleValue::new("SECONDS")
            .help("Of the plans of these, the one with the least sum of wall time and so many seconds for each machine minute");
        Some(Box::new(objectives.chain([number])))
    }
}

impl Serialize for AimValue {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Aim::Objective(objective) => objective.serialize(serializer),
            Aim::Worth(worth) => serializer.serialize_f64(worth as f64 / 1000.0),
        }
    }
}

impl Schema for AimValue {
    fn schema() -> Value {
        json!({ "anyOf": [Objective::schema(), { "type": "number", "minimum": 0, "maximum": MOST as u64 }] })
    }
}

impl<'de> Deserialize<'de> for AimValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl serde::de::Visitor<'_> for Reader {
            type Value = AimValue;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str(&AimValue::expected())
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<AimValue, E> {
                let objective = Objective::parse(text).map_err(E::custom)?;
                Ok(AimValue(Aim::Objective(objective)))
            }

            fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<AimValue, E> {
                self.visit_f64(number as f64)
            }

            fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<AimValue, E> {
                AimValue::seconds(number).map_err(|error| E::custom(format!("{error:#}")))
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_are_read_and_others_refused() {
        for (text, aim) in [("cost", Aim::Objective(Objective::Cost)), ("7.5", Aim::Worth(7_500)), ("0", Aim::Worth(0))]
        {
            assert_eq!(text.parse::<AimValue>().unwrap().0, aim);
            assert_eq!(serde_yaml::from_str::<AimValue>(text).unwrap().0, aim);
        }
        for text in ["costs", "-1", "3601", "NaN"] {
            assert!(text.parse::<AimValue>().is_err(), "{text}");
        }
        assert!(serde_yaml::from_str::<AimValue>("costs").unwrap_err().to_string().contains("did you mean `cost`?"));
    }
}
