//! What earlier pipelines have measured, for people: how much there is, what takes longest, what fails.

use std::collections::BTreeMap;
use std::io::{self, Write};

use super::look::{Look, row};
use crate::duration::{day, in_short, in_words};
use crate::history::records::{Ending, Measurement, Records};
use crate::plural::counted;
use crate::printable::printable;

/// Packages that are listed, those that take longest.
const MOST_ROWS: usize = 20;

/// Builds of one package on one system.
#[derive(Default)]
struct Package {
    /// Milliseconds, ascending once sorted.
    durations: Vec<u64>,
    failed: usize,
    last: u64,
}

/// Writes the whole.
pub fn write(records: &Records, look: &Look, out: &mut dyn Write) -> io::Result<()> {
    let times = || records.builds.iter().map(|build| build.at);
    let (Some(first), Some(last)) = (times().min(), times().max()) else {
        return writeln!(out, "nothing is recorded");
    };
    let packages = by_package(&records.builds);
    let failed = records.builds.iter().filter(|build| build.ending == Ending::Failed).count();
    let sum = format!(
        "{} of {} from {} to {}, {failed} failed",
        counted(records.builds.len() as u64, "build"),
        counted(packages.len() as u64, "package"),
        day(first),
        day(last),
    );
    look.sentence(&sum, out)?;
    let mut packages: Vec<_> = packages.into_iter().collect();
    for (_, package) in &mut packages {
        package.durations.sort_unstable();
    }
    packages.sort_by_key(|(name, package)| (std::cmp::Reverse(package.median()), *name));
    writeln!(out)?;
    look.columns_or(&rows(&packages, false), || rows(&packages, true), out)?;
    if packages.len() > MOST_ROWS {
        writeln!(out, "and {} more", packages.len() - MOST_ROWS)?;
    }
    for path in records.flaky() {
        writeln!(out, "flaky, both built and failed: {}", printable(path))?;
    }
    Ok(())
}

/// A row for each package, the first ones; durations and days are short where the terminal is narrow.
fn rows(packages: &[((&str, &str), Package)], is_narrow: bool) -> Vec<Vec<String>> {
    let longest = if is_narrow { "MAX" } else { "LONGEST" };
    let mut rows = vec![row(["PACKAGE", "SYSTEM", "BUILDS", "MEDIAN", longest, "FAILED", "LAST"])];
    let in_text = if is_narrow { in_short } else { in_words };
    let duration = |duration: Option<u64>| duration.map_or("-".to_owned(), in_text);
    for ((name, system), package) in packages.iter().take(MOST_ROWS) {
        let last = day(package.last);
        rows.push(vec![
            (*name).to_owned(),
            (*system).to_owned(),
            (package.durations.len() + package.failed).to_string(),
            duration(package.median()),
            duration(package.durations.last().copied()),
            package.failed.to_string(),
            // `--max-age` is 90 days where nobody says otherwise: the year is known.
            if is_narrow { last.chars().skip(5).collect() } else { last },
        ]);
    }
    rows
}

fn by_package(builds: &[Measurement]) -> BTreeMap<(&str, &str), Package> {
    let mut packages: BTreeMap<(&str, &str), Package> = BTreeMap::new();
    for build in builds {
        let package = packages.entry((build.package(), &build.system)).or_default();
        match build.ending {
            Ending::Built => package.durations.push(build.duration),
            Ending::Failed => package.failed += 1,
        }
        package.last = package.last.max(build.at);
    }
    packages
}

impl Package {
    /// Of two in the middle the lower; none where nothing was built.
    fn median(&self) -> Option<u64> {
        self.durations.get(self.durations.len().checked_sub(1)? / 2).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::used::Used;

    #[test]
    fn rows_fit_into_a_narrow_terminal() {
        let derivation = format!("/nix/store/{}-package-with-a-name-1.drv", "0".repeat(32));
        let build = |duration, ending| Measurement {
            name: "package-with-a-name-1".to_owned(),
            system: "aarch64-linux".to_owned(),
            derivation: derivation.clone(),
            at: 1_795_824_000,
            job: "job".to_owned(),
            duration,
            ending,
            class: None,
            attempts: 1,
            used: Used::default(),
        };
        let builds = vec![build(225_000, Ending::Built), build(4_025_000, Ending::Built), build(1, Ending::Failed)];
        let records = Records { builds, ..Records::default() };
        let written = |width| {
            let mut text = Vec::new();
            write(&records, &Look { width, color: false }, &mut text).unwrap();
            String::from_utf8(text).unwrap()
        };
        let (narrow, wide) = (written(Some(60)), written(None));
        assert!(
            narrow.lines().filter(|line| !line.starts_with("flaky")).all(|line| line.chars().count() <= 60),
            "{narrow}"
        );
        assert!(narrow.contains("3m45s") && narrow.contains("11-28"), "{narrow}");
        assert!(wide.contains("3 min 45 s") && wide.contains("2026-11-28"), "{wide}");
    }
}
