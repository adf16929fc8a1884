//! What a plan costs: prices of machines and of gigabytes, and what they come to.
//!
//! In: numbers that a provider or a user says. Out: credits. What is not known is said to be unknown, and not left out of a sum.

use serde::{Deserialize, Serialize};

use super::problem::{ANY_SYSTEM, Millis, System};

/// What everything but the machines costs, as the user says: none of it is known otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PriceTable {
    /// What a job's time is rounded up to, milliseconds.
    pub rounding: Millis,
    /// Credits for a gigabyte that jobs leave with the CI.
    pub storage: Option<u64>,
    /// Credits for a gigabyte that machines of one's own fetch from the CI.
    pub egress: Option<u64>,
    /// What a credit costs, in millionths of the currency.
    pub credit: Option<u64>,
    /// The currency's name.
    pub currency: Option<String>,
}

impl Default for PriceTable {
    fn default() -> Self {
        Self { rounding: 1_000, storage: None, egress: None, credit: None, currency: None }
    }
}

/// What machines cost.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prices {
    /// Credits a minute of the machines of each system, by its number.
    pub a_minute: Vec<u32>,
    /// What a job's time is rounded up to, milliseconds.
    pub rounding: Millis,
}

impl Prices {
    /// What a job of this length costs; nothing on a machine without a price.
    pub fn credits(&self, system: System, duration: Millis) -> u64 {
        let index = if system == ANY_SYSTEM { 0 } else { usize::from(system) };
        charged(self.a_minute.get(index).copied().unwrap_or(0), duration, self.rounding)
    }
}

/// What a job of this length costs at so many credits a minute: time is rounded up, and then to a whole credit.
pub fn charged(a_minute: u32, duration: Millis, rounding: Millis) -> u64 {
    let rounded = duration.div_ceil(rounding.max(1)).saturating_mul(rounding.max(1));
    rounded.saturating_mul(u64::from(a_minute)).div_ceil(60_000)
}

/// What a plan costs beside its machines, and in money, where the user has said prices.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PriceEstimate {
    /// Credits for what jobs leave with the CI; none where that has no price, or sizes are not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage: Option<u64>,
    /// Credits for what machines of one's own fetch from the CI; the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub egress: Option<u64>,
    /// What has a price and no known size, by the names above.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unknown: Vec<String>,
    /// What a credit costs, in millionths of the currency.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credit_millionths: Option<u64>,
    /// The currency.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub currency: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_begun_credit_is_a_whole_one_and_time_is_rounded_up_before() {
        let prices = Prices { a_minute: vec![20, 200], rounding: 1_000 };
        assert_eq!([prices.credits(0, 60_000), prices.credits(0, 60_001), prices.credits(1, 30_000)], [20, 21, 100]);
        assert_eq!([prices.credits(ANY_SYSTEM, 3_000), prices.credits(7, 60_000)], [1, 0]);
        assert_eq!([charged(6, 61_000, 60_000), charged(6, 60_000, 60_000), charged(6, 0, 60_000)], [12, 6, 0]);
        assert_eq!(charged(u32::MAX, Millis::MAX, 0), u64::MAX.div_ceil(60_000));
    }
}
