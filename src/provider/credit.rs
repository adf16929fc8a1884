//! What the price of a machine is counted in. In: an amount of it. Out: how that reads.

use crate::plural::counted;

/// What the price of a machine is counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Credit {
    /// What the provider itself calls a credit.
    Own,
    /// A minute of the plainest machine.
    Minute,
    /// A thousandth of a dollar.
    Millidollar,
}

impl Credit {
    /// A number of them in a column of a table, without its unit: `142`, `0.024`.
    pub fn figure(self, number: u64) -> String {
        match self {
            Credit::Own | Credit::Minute => number.to_string(),
            Credit::Millidollar => format!("{}.{:03}", number / 1000, number % 1000),
        }
    }

    /// A number of them, with its unit: `142 credits`, `24 compute minutes`, `0.024 USD`.
    pub fn amount(self, number: u64) -> String {
        match self {
            Credit::Own => counted(number, "credit"),
            Credit::Minute => counted(number, "compute minute"),
            Credit::Millidollar => format!("{} USD", self.figure(number)),
        }
    }
}
