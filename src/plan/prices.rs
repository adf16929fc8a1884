//! What machine time costs.

use super::problem::{ANY_SYSTEM, Millis, System};

/// Credits a minute of the machines of each system, by its number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prices(pub Vec<u32>);

impl Prices {
    /// What a job of this length costs, rounded up to a whole credit; nothing on a machine without a price.
    pub fn credits(&self, system: System, duration: Millis) -> u64 {
        let index = if system == ANY_SYSTEM { 0 } else { usize::from(system) };
        let a_minute = self.0.get(index).copied().unwrap_or(0);
        duration.saturating_mul(u64::from(a_minute)).div_ceil(60_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_begun_credit_is_a_whole_one() {
        let prices = Prices(vec![20, 200]);
        assert_eq!([prices.credits(0, 60_000), prices.credits(0, 60_001), prices.credits(1, 30_000)], [20, 21, 100]);
        assert_eq!([prices.credits(ANY_SYSTEM, 3_000), prices.credits(7, 60_000)], [1, 0]);
    }
}
