//! What a job has found out about the runtime closure of a target, beside that at the base: part of its record.

use serde::{Deserialize, Serialize};

use crate::byte_size;
use crate::closure::difference::PackageChange;
use crate::plural::counted;

/// Packages that a record holds of a target.
const MOST_PACKAGES: usize = 500;

/// Packages that a line names.
const MOST_NAMED: usize = 8;

/// A target's closure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClosureRecord {
    /// The attribute.
    pub target: String,
    /// At the base.
    pub before: ClosureSize,
    /// Now.
    pub after: ClosureSize,
    /// Packages that differ; none where one of both closures is not known whole.
    pub packages: Option<Vec<PackageChange>>,
    /// Packages that are left out.
    #[serde(default)]
    pub more_packages: u64,
}

/// The size of a closure.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClosureSize {
    /// Bytes of all NARs.
    pub bytes: Option<u64>,
    /// Why it is not known.
    pub unknown: Option<String>,
}

impl ClosureSize {
    /// One that is not known.
    pub fn unknown(why: &str) -> Self {
        Self { bytes: None, unknown: Some(why.to_owned()) }
    }

    /// `96.2 MB`, or `unknown, because …`.
    pub fn text(&self) -> String {
        match (self.bytes, &self.unknown) {
            (Some(bytes), _) => byte_size::text(bytes),
            (None, Some(why)) => format!("unknown, because {why}"),
            (None, None) => "unknown".to_owned(),
        }
    }
}

impl ClosureRecord {
    /// Sizes are those at the base and now.
    pub fn new(target: String, sizes: (ClosureSize, ClosureSize), packages: Option<Vec<PackageChange>>) -> Self {
        let mut packages = packages;
        let more = packages.as_ref().map_or(0, |all| all.len().saturating_sub(MOST_PACKAGES));
        packages.iter_mut().for_each(|all| all.truncate(MOST_PACKAGES));
        Self { target, before: sizes.0, after: sizes.1, packages, more_packages: more as u64 }
    }

    /// False where both are known, and are the same.
    pub fn differs(&self) -> bool {
        let is_same = self.before.bytes.is_some() && self.before.bytes == self.after.bytes;
        !is_same || self.packages.as_ref().is_some_and(|packages| !packages.is_empty())
    }

    /// How much larger it is: `+10.0 %`; none where that is not known.
    pub fn growth(&self) -> Option<String> {
        let (before, after) = (self.before.bytes?, self.after.bytes?);
        if before == 0 {
            return None;
        }
        let percent = (after as f64 / before as f64 - 1.0) * 100.0;
        Some(format!("{percent:+.1} %").replace("-0.0", "0.0").replace("+0.0", "0.0"))
    }

    /// `; + icu 77.1, - zlib 1.2`, or nothing.
    pub fn changes_in_words(&self) -> String {
        let all = self.packages.iter().flatten();
        let mut words: Vec<String> = all.clone().take(MOST_NAMED).map(package).collect();
        let more = all.count().saturating_sub(MOST_NAMED) as u64 + self.more_packages;
        if more > 0 {
            words.push(counted(more, "more package"));
        }
        if words.is_empty() { String::new() } else { format!(": {}", words.join(", ")) }
    }

    /// Lines for a log.
    pub fn lines(&self) -> Vec<String> {
        let sizes = match (self.before.bytes, self.after.bytes) {
            (Some(before), Some(after)) if before == after => format!("{}, as before", self.after.text()),
            (Some(_), Some(_)) => {
                format!("{} -> {} ({})", self.before.text(), self.after.text(), self.growth().unwrap_or_default())
            }
            _ => format!("now {}; before {}", self.after.text(), self.before.text()),
        };
        vec![format!("{}: closure {sizes}{}", self.target, self.changes_in_words())]
    }
}

/// `+ icu 77.1`, `- icu 76`, `icu 76 -> 77.1`, `icu +1.2 MB`.
pub fn package(change: &PackageChange) -> String {
    let versions = |all: &[String]| all.iter().map(|version| version.as_str()).collect::<Vec<_>>().join(", ");
    let (name, before, after) = (&change.name, versions(&change.before), versions(&change.after));
    let text = match (change.before.is_empty(), change.after.is_empty()) {
        (true, true) => {
            let sign = if change.bytes < 0 { '-' } else { '+' };
            format!("{name} {sign}{}", byte_size::text(change.bytes.unsigned_abs()))
        }
        (true, false) => format!("+ {name} {after}"),
        (false, true) => format!("- {name} {before}"),
        (false, false) => format!("{name} {before} -> {after}"),
    };
    text.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_said_in_a_line_and_what_is_unknown_too() {
        let change = |name: &str, before: &[&str], after: &[&str], bytes| PackageChange {
            name: name.into(),
            before: before.iter().map(|version| (*version).to_owned()).collect(),
            after: after.iter().map(|version| (*version).to_owned()).collect(),
            bytes,
        };
        let known = |bytes| ClosureSize { bytes: Some(bytes), unknown: None };
        let packages = vec![
            change("icu", &[], &["77.1"], 9_000_000),
            change("zlib", &["1.2"], &["1.3"], 0),
            change("old", &["1", "2"], &[], -5),
            change("data", &[], &[], -20_000),
        ];
        let closure = ClosureRecord::new("a".into(), (known(96_200_000), known(105_800_000)), Some(packages));
        assert_eq!(
            closure.lines(),
            ["a: closure 96.2 MB -> 105.8 MB (+10.0 %): + icu 77.1, zlib 1.2 -> 1.3, - old 1, 2, data -20 kB"]
        );
        let unknown = ClosureRecord::new("a".into(), (ClosureSize::unknown("no base"), known(5)), None);
        assert_eq!(unknown.lines(), ["a: closure now 5 B; before unknown, because no base"]);
        assert_eq!(unknown.growth(), None);
    }
}
