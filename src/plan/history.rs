//! Recorded durations: what derivations took in earlier pipelines.
//!
//! In: the texts of `timings.json` files, as `nixdag build` writes them. Out: a [`History`] to ask for a derivation's duration. A
//! derivation is found by its path; a changed one by name and system; one of another version by its name without the version.
//! Where there are several records their median counts, which one slow machine does not move.

use std::collections::HashMap;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use super::problem::Millis;
use super::seconds;

/// The version of `timings.json` that is read.
const VERSION: u64 = 1;

/// Longer records count as this, milliseconds: no job runs for a week, and a sum of such times cannot overflow.
const LONGEST: Millis = 7 * 86_400_000;

/// Durations of earlier pipelines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    by_path: HashMap<String, Millis>,
    by_name: HashMap<(String, String), Millis>,
    by_package: HashMap<(String, String), Millis>,
}

#[derive(Deserialize)]
struct Timings {
    version: u64,
    timings: Vec<Timing>,
}

#[derive(Deserialize)]
struct Timing {
    derivation: String,
    name: String,
    system: String,
    #[serde(with = "seconds")]
    seconds: Millis,
    source: String,
}

impl History {
    /// Reads the texts of `timings.json` files with the names that messages call them. Only real builds count, no fetches of results.
    pub fn read<'a>(files: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Result<Self> {
        let (mut by_path, mut by_name, mut by_package) = (Records::new(), Records::new(), Records::new());
        for (name, text) in files {
            let what = || format!("`{name}` holds no recorded durations (expected `timings.json` of `nixdag build`)");
            let file: Timings = serde_json::from_slice(text).with_context(what)?;
            ensure!(
                file.version == VERSION,
                "`{name}` has version {}, this nixdag reads version {VERSION}",
                file.version
            );
            for timing in file.timings.into_iter().filter(|timing| timing.source == "built") {
                let package = package_of(&timing.name).to_owned();
                let duration = timing.seconds.min(LONGEST);
                by_path.entry(timing.derivation).or_default().push(duration);
                by_name.entry((timing.name, timing.system.clone())).or_default().push(duration);
                by_package.entry((package, timing.system)).or_default().push(duration);
            }
        }
        Ok(Self { by_path: medians(by_path), by_name: medians(by_name), by_package: medians(by_package) })
    }

    /// True where nothing is recorded.
    pub fn is_empty(&self) -> bool {
        self.by_path.is_empty()
    }

    /// What the derivation took, if it or one like it was built before.
    pub fn duration(&self, path: &str, name: &str, system: &str) -> Option<Millis> {
        let key = |name: &str| (name.to_owned(), system.to_owned());
        self.by_path
            .get(path)
            .or_else(|| self.by_name.get(&key(name)))
            .or_else(|| self.by_package.get(&key(package_of(name))))
            .copied()
    }
}

type Records<K> = HashMap<K, Vec<Millis>>;

fn medians<K: std::hash::Hash + Eq>(records: Records<K>) -> HashMap<K, Millis> {
    records
        .into_iter()
        .filter_map(|(key, mut durations)| {
            durations.sort_unstable();
            // Of two in the middle the lower: machines are slow by accident, never fast.
            Some((key, *durations.get(durations.len().checked_sub(1)? / 2)?))
        })
        .collect()
}

/// The name without its version, by Nix's own rule: the version begins at the first dash that no letter follows.
fn package_of(name: &str) -> &str {
    let dash = name.as_bytes().windows(2).position(|pair| pair[0] == b'-' && !pair[1].is_ascii_alphabetic());
    dash.map_or(name, |at| &name[..at])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(timings: &[(&str, &str, &str, f64, &str)]) -> String {
        let timings: Vec<_> = timings
            .iter()
            .map(|(path, name, system, seconds, source)| {
                serde_json::json!({ "derivation": path, "name": name, "system": system, "seconds": seconds, "source": source })
            })
            .collect();
        serde_json::json!({ "version": 1, "timings": timings }).to_string()
    }

    #[test]
    fn the_nearest_record_counts_and_outliers_do_not() {
        let texts = [
            file(&[("p1", "openssl-3.0", "x", 100.0, "built"), ("p1", "openssl-3.0", "x", 104.5, "built")]),
            file(&[("p1", "openssl-3.0", "x", 9000.0, "built"), ("p2", "openssl-3.1", "x", 7.0, "built")]),
            file(&[("p3", "curl-8", "x", 1.0, "substituted")]),
        ];
        let history = History::read(texts.iter().map(|text| ("t", text.as_bytes()))).unwrap();
        assert_eq!(history.duration("p1", "openssl-3.0", "x"), Some(104_500));
        assert_eq!(history.duration("other", "openssl-3.1", "x"), Some(7_000));
        assert_eq!(history.duration("other", "openssl-4", "x"), Some(100_000), "the median of all versions");
        assert_eq!(history.duration("other", "openssl-3.0", "y"), None);
        assert_eq!(history.duration("p3", "curl-8", "x"), None, "a fetched result says nothing about building");
    }

    #[test]
    fn absurd_records_are_bounded_and_impossible_ones_refused() {
        let text = file(&[("p", "a-1", "x", 1e12, "built")]);
        assert_eq!(History::read([("t", text.as_bytes())]).unwrap().duration("p", "a-1", "x"), Some(LONGEST));
        for seconds in ["-1", "1e300", "null", "\"1\"", "[[[[]]]]"] {
            let text = text.replace("1000000000000.0", seconds);
            assert!(History::read([("t", text.as_bytes())]).is_err(), "{text}");
        }
    }

    #[test]
    fn names_lose_their_versions() {
        for (name, package) in [
            ("hello-2.10", "hello"),
            ("gtk+-3.24", "gtk+"),
            ("python3.8-foo", "python3.8-foo"),
            ("a-", "a-"),
            ("x-y-1", "x-y"),
        ] {
            assert_eq!(package_of(name), package);
        }
    }

    #[test]
    fn other_files_are_refused() {
        for text in ["", "{}", "[]", r#"{"version": 2, "timings": []}"#, r#"{"version": 1, "timings": [{}]}"#] {
            assert!(
                History::read([("t.json", text.as_bytes())]).is_err_and(|error| error.to_string().contains("`t.json`")),
                "{text}"
            );
        }
    }
}
