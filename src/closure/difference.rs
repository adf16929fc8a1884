//! What differs between two closures, by package and version, as `nix store diff-closures` sees it: a path's name is a package, a version and
//! perhaps an output; a package counts where its versions differ, or its size by 8 KiB and more.
//!
//! In: two closures. Out: a [`PackageChange`] for each package, by name.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{Closure, KnownPaths};
use crate::history::records::package_of;
use crate::nix::store_path;

/// Bytes by which a package grows or shrinks before that is worth a line.
const LEAST: u64 = 8 << 10;

/// A package that is not the same in both closures.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackageChange {
    /// Its name, without version.
    pub name: String,
    /// Versions of the first closure that the second one lacks; empty for a package without a version.
    pub before: Vec<String>,
    /// Versions of the second closure that the first one lacks.
    pub after: Vec<String>,
    /// How many bytes more the second one has of it.
    pub bytes: i64,
}

/// What a closure has of a package.
#[derive(Default)]
struct Package<'a> {
    versions: BTreeSet<&'a str>,
    bytes: u64,
}

/// The packages that differ.
pub fn difference(known: &KnownPaths, before: &Closure, after: &Closure) -> Vec<PackageChange> {
    let (before, after) = (packages(known, before), packages(known, after));
    let names: BTreeSet<&str> = before.keys().chain(after.keys()).copied().collect();
    let none = Package::default();
    let change = |name: &str| {
        let (before, after) = (before.get(name).unwrap_or(&none), after.get(name).unwrap_or(&none));
        let only = |one: &Package, other: &Package| {
            one.versions.difference(&other.versions).map(|version| (*version).to_owned()).collect::<Vec<_>>()
        };
        let change = PackageChange {
            name: name.to_owned(),
            before: only(before, after),
            after: only(after, before),
            bytes: i64::try_from(i128::from(after.bytes) - i128::from(before.bytes)).unwrap_or(i64::MAX),
        };
        let differs = !change.before.is_empty() || !change.after.is_empty() || change.bytes.unsigned_abs() >= LEAST;
        differs.then_some(change)
    };
    names.into_iter().filter_map(change).collect()
}

fn packages<'a>(known: &KnownPaths, closure: &'a Closure) -> BTreeMap<&'a str, Package<'a>> {
    let mut packages: BTreeMap<&str, Package> = BTreeMap::new();
    for base in &closure.paths {
        let name = without_output(store_path::name_of(base));
        let package = package_of(name);
        let entry = packages.entry(package).or_default();
        entry.versions.insert(name[package.len()..].strip_prefix('-').unwrap_or(""));
        entry.bytes = entry.bytes.saturating_add(known.nar_size(base));
    }
    packages
}

/// The name without what looks like an output's at its end: lower-case letters, `lib32` or `lib64`. What looks like one may be the end of the
/// name: nobody can tell.
fn without_output(name: &str) -> &str {
    match name.rsplit_once('-') {
        Some((rest, "lib32" | "lib64")) => rest,
        Some((rest, end)) if !end.is_empty() && end.bytes().all(|byte| byte.is_ascii_lowercase()) => rest,
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::closure::PathFacts;
    use crate::closure::tests::info;

    #[test]
    fn packages_are_added_removed_changed_and_grow() {
        let hash = "0".repeat(32);
        let base = |name: &str| format!("{hash}-{name}");
        let infos: Vec<_> = [
            ("app-1", 100, vec!["lib-1.0-dev", "gone-2", "data"]),
            ("app-2", 100, vec!["lib-1.1-dev", "lib-1.0", "data-bin", "new-unstable-1"]),
            ("lib-1.0-dev", 10, vec![]),
            ("lib-1.1-dev", 10, vec![]),
            ("lib-1.0", 9, vec![]),
            ("gone-2", 5, vec![]),
            ("data", 1_000, vec![]),
            ("data-bin", 10_000, vec![]),
            ("new-unstable-1", 7, vec![]),
        ]
        .into_iter()
        .map(|(name, size, references)| {
            let references: Vec<String> = references.into_iter().map(base).collect();
            info(&base(name), size, &references.iter().map(String::as_str).collect::<Vec<_>>())
        })
        .collect();
        let mut known = KnownPaths::default();
        known.load(&[base("app-1"), base("app-2")], &mut |bases| {
            bases
                .iter()
                .map(|base| infos.iter().find(|info| info.store_path.ends_with(base.as_str())).cloned())
                .map(|info| info.map(PathFacts::from))
                .collect()
        });
        let [before, after] = ["app-1", "app-2"].map(|name| known.closure([base(name)]));
        let changes = difference(&known, &before, &after);
        let texts: Vec<String> = changes
            .iter()
            .map(|change| {
                format!("{} {}>{} {:+}", change.name, change.before.join(","), change.after.join(","), change.bytes)
            })
            .collect();
        assert_eq!(texts, ["app 1>2 +0", "data > +9000", "gone 2> -5", "lib >1.1 +9", "new-unstable >1 +7"]);
    }

    #[test]
    fn an_output_is_no_part_of_a_version() {
        for (name, expected) in [
            ("glibc-2.38-bin", "glibc-2.38"),
            ("gcc-13-lib64", "gcc-13"),
            ("a-b", "a"),
            ("a-1.0", "a-1.0"),
            ("a-Bin", "a-Bin"),
            ("a-", "a-"),
        ] {
            assert_eq!(without_output(name), expected);
        }
    }
}
