//! How much of a machine's store stays behind jobs, for machines that keep theirs: `50GB`, `14d`.
//!
//! In: a text of the settings. Out: a limit, or an error that shows the forms there are.

use std::fmt;

use anyhow::{Context, Result, bail};

/// A limit for what stays in a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Keep {
    /// At most so many MB in all.
    Megabytes(u32),
    /// What nothing needs goes when it has been there for so many days.
    Days(u32),
}

impl Keep {
    /// Forms of a limit, for messages.
    pub const EXPECTED: &'static str = "gigabytes or days to keep, such as `50GB` or `14d`";

    /// Reads a limit.
    pub fn parse(text: &str) -> Result<Self> {
        let number = |digits: &str| {
            let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
            let number = digits.parse().ok().filter(|number| plain && (1..=1_000_000).contains(number));
            number.with_context(|| format!("`{}`, expected {}", text.escape_debug(), Self::EXPECTED))
        };
        match (text.strip_suffix("GB"), text.strip_suffix("MB"), text.strip_suffix('d')) {
            (Some(digits), ..) => number(digits).map(|number| Self::Megabytes(number * 1000)),
            (_, Some(digits), _) => number(digits).map(Self::Megabytes),
            (.., Some(digits)) => number(digits).map(Self::Days),
            _ => bail!("`{}`, expected {}", text.escape_debug(), Self::EXPECTED),
        }
    }
}

impl fmt::Display for Keep {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Megabytes(number) if number % 1000 == 0 => write!(f, "{}GB", number / 1000),
            Self::Megabytes(number) => write!(f, "{number}MB"),
            Self::Days(number) => write!(f, "{number}d"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_read_as_they_are_written() {
        for text in ["50GB", "14d", "1000000GB", "1500MB"] {
            assert_eq!(Keep::parse(text).unwrap().to_string(), text);
        }
        for text in ["", "GB", "0d", "-1d", "+1d", "1.5GB", "50", "50gb", "1000001d", "99999999999GB", "50GB|14d"] {
            assert!(Keep::parse(text).unwrap_err().to_string().contains("`50GB`"), "{text}");
        }
    }
}
