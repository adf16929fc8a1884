//! Numbers of `costs`: times, amounts, prices. Each is checked where it is read, so that a message names the place.

use anyhow::{Result, ensure};
use serde::Deserialize;
use serde_json::{Value, json};

use super::schema::Schema;
use crate::plan::problem::Millis;

/// Longest time and largest number that are taken: a week, a terabyte. Sums over all derivations then stay far from any overflow.
const MOST_SECONDS: f64 = 7.0 * 86_400.0;
const MOST: f64 = 1e12;

/// A time in milliseconds, written as a number of seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seconds(pub Millis);

/// A number from 0 on: bytes, bytes a second, credits a minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Amount(pub u64);

/// A price in millionths of a currency.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Price(pub u64);

impl Schema for Seconds {
    fn schema() -> Value {
        json!({ "type": "number", "minimum": 0, "maximum": MOST_SECONDS })
    }
}

impl Schema for Amount {
    fn schema() -> Value {
        json!({ "type": "number", "minimum": 0, "maximum": MOST })
    }
}

impl Seconds {
    pub fn new(seconds: f64) -> Result<Self> {
        ensure!((0.0..=MOST_SECONDS).contains(&seconds), "`{seconds}` is not a time in seconds from 0 to a week");
        Ok(Self((seconds * 1000.0).round() as Millis))
    }
}

impl Amount {
    pub fn new(amount: f64) -> Result<Self> {
        ensure!((0.0..=MOST).contains(&amount), "`{amount}` is not a number from 0 to 1e12");
        Ok(Self(amount.round() as u64))
    }
}

impl Price {
    pub fn new(price: f64) -> Result<Self> {
        ensure!((0.0..=1e6).contains(&price), "`{price}` is not a price from 0 to 1e6");
        Ok(Self((price * 1e6).round() as u64))
    }
}

impl Schema for Price {
    fn schema() -> Value {
        json!({ "type": "number", "minimum": 0, "maximum": 1e6 })
    }
}

impl<'de> Deserialize<'de> for Price {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Number("a price", Price::new))
    }
}

/// Reads a number that a constructor may refuse.
struct Number<T>(&'static str, fn(f64) -> Result<T>);

impl<T> serde::de::Visitor<'_> for Number<T> {
    type Value = T;

    fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str(self.0)
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<T, E> {
        self.visit_f64(number as f64)
    }

    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<T, E> {
        self.visit_f64(number as f64)
    }

    fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<T, E> {
        (self.1)(number).map_err(|error| E::custom(format!("{error:#}")))
    }
}

impl<'de> Deserialize<'de> for Seconds {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Number("a number of seconds", Seconds::new))
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Number("a number from 0 on", Amount::new))
    }
}
