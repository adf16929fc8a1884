//! Limits for the size of runtime closures, and the job in front of the gate that holds them. The job is a final job that builds nothing; the
//! plan's JSON says under `sizes` which it is, and what it checks.

use std::fmt;
use std::str::FromStr;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use crate::attribute::AttributePath;
use crate::byte_size;
use crate::choice::choice;
use crate::pattern::Pattern;

/// Name of the job.
pub const JOB: &str = "sizes";

/// What a limit may be, for messages.
pub const EXPECTED: &str = "a number of bytes such as `500MB`, or how much more than at the base, such as `5%`";

choice! {
    /// What a size means that nobody knows.
    #[derive(Default)]
    pub enum UnknownSize {
        /// It is named
        #[default]
        Name = "name",
        /// It fails
        Fail = "fail",
    }
}

/// One limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SizeLimit {
    /// Bytes of the NARs of the closure.
    Bytes(u64),
    /// How much larger than at the base it may be, in hundredths of a percent.
    Growth(u32),
}

/// All limits, as somebody asks for them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SizeLimits {
    /// By attribute; all limits of all patterns that match hold.
    pub limits: Vec<(Pattern, Vec<SizeLimit>)>,
    /// Where each entry of `limits` is in nixdag.yml (`nixdag.yml:3:5`); empty where that is not known.
    pub places: Vec<String>,
    /// What an unknown size means.
    pub unknown: UnknownSize,
}

impl SizeLimits {
    /// True where a limit is about growth.
    pub fn limit_growth(&self) -> bool {
        self.limits.iter().flat_map(|(_, limits)| limits).any(|limit| matches!(limit, SizeLimit::Growth(_)))
    }
}

/// What the job checks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SizeCheck {
    /// The job's id.
    pub job: String,
    /// True where an unknown size fails.
    pub unknown_fails: bool,
    /// The limits.
    pub limits: Vec<PatternLimits>,
}

/// Limits of the attributes that a pattern means.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PatternLimits {
    /// The pattern.
    pub pattern: String,
    /// Its limits, as in nixdag.yml.
    pub limits: Vec<String>,
}

impl SizeCheck {
    /// What a job checks.
    pub fn new(job: String, limits: &SizeLimits) -> Self {
        let of_pattern = |(pattern, limits): &(Pattern, Vec<SizeLimit>)| PatternLimits {
            pattern: pattern.to_string(),
            limits: limits.iter().map(ToString::to_string).collect(),
        };
        Self {
            job,
            unknown_fails: limits.unknown == UnknownSize::Fail,
            limits: limits.limits.iter().map(of_pattern).collect(),
        }
    }

    /// The limits, read back.
    pub fn limits(&self) -> Result<SizeLimits> {
        let read = |limits: &PatternLimits| -> Result<_> {
            let pattern = Pattern::parse(&limits.pattern)?;
            Ok((pattern, limits.limits.iter().map(|limit| limit.parse()).collect::<Result<_>>()?))
        };
        let unknown = if self.unknown_fails { UnknownSize::Fail } else { UnknownSize::Name };
        Ok(SizeLimits { limits: self.limits.iter().map(read).collect::<Result<_>>()?, unknown, places: Vec::new() })
    }
}

impl SizeLimits {
    /// All limits of an attribute.
    pub fn of(&self, attribute: &AttributePath) -> Vec<SizeLimit> {
        let meant = self.limits.iter().filter(|(pattern, _)| pattern.matches_at_or_above(attribute.names()));
        meant.flat_map(|(_, limits)| limits.iter().copied()).collect()
    }
}

impl SizeLimit {
    /// True where a closure of `after` bytes is too large; `before` is its size at the base. None where that is not known.
    pub fn is_over(self, before: Option<u64>, after: Option<u64>) -> Option<bool> {
        Some(match self {
            Self::Bytes(most) => after? > most,
            Self::Growth(most) => u128::from(after?) * 10_000 > u128::from(before?) * (10_000 + u128::from(most)),
        })
    }
}

impl FromStr for SizeLimit {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let what = || format!("`{}`, expected {EXPECTED}", text.escape_debug());
        let Some(percent) = text.strip_suffix('%') else {
            return byte_size::parse(text).ok().map(Self::Bytes).with_context(what);
        };
        let digits = percent.trim().trim_start_matches('+');
        ensure!(digits.starts_with(|c: char| c.is_ascii_digit()), what());
        let number: f64 = digits.parse().ok().with_context(what)?;
        ensure!((0.0..=1e6).contains(&number), what());
        Ok(Self::Growth((number * 100.0).round() as u32))
    }
}

impl fmt::Display for SizeLimit {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Bytes(bytes) => write!(f, "{bytes}"),
            Self::Growth(hundredths) => write!(f, "{}%", f64::from(*hundredths) / 100.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_exact() {
        let over = |text: &str, before, after| text.parse::<SizeLimit>().unwrap().is_over(before, after);
        assert_eq!(over("100", None, Some(100)), Some(false));
        assert_eq!(over("100", None, Some(101)), Some(true));
        assert_eq!(over("100", Some(1), None), None);
        assert_eq!(over("5%", Some(1000), Some(1050)), Some(false));
        assert_eq!(over("+5 %".replace(' ', "").as_str(), Some(1000), Some(1051)), Some(true));
        assert_eq!(over("0%", Some(7), Some(7)), Some(false));
        assert_eq!(over("0.5%", None, Some(7)), None);
        assert_eq!(over("1%", Some(u64::MAX), Some(u64::MAX)), Some(false));
    }

    #[test]
    fn limits_are_read_as_they_are_written() {
        for text in ["500000000", "5%", "0.25%"] {
            assert_eq!(text.parse::<SizeLimit>().unwrap().to_string(), text);
        }
        for wrong in ["", "%", "-5%", "5 percent", "1e99%", "many", "500 megabytes"] {
            let error = format!("{:#}", wrong.parse::<SizeLimit>().unwrap_err());
            assert!(error.contains("`5%`") && error.matches("expected").count() == 1, "{error}");
        }
    }
}
