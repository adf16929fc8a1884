//! What earlier pipelines have measured, for people: how much there is, what takes longest, what fails.

use std::collections::BTreeMap;
use std::io::{self, Write};

use super::look::Look;
use crate::duration::{day, in_words};
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
pub fn write(records: &Records, out: &mut dyn Write) -> io::Result<()> {
    let times = || records.builds.iter().map(|build| build.at);
    let (Some(first), Some(last)) = (times().min(), times().max()) else {
        return writeln!(out, "nothing is recorded");
    };
    let packages = by_package(&records.builds);
    let failed = records.builds.iter().filter(|build| build.ending == Ending::Failed).count();
    writeln!(
        out,
        "{} of {} from {} to {}, {failed} failed",
        counted(records.builds.len() as u64, "build"),
        counted(packages.len() as u64, "package"),
        day(first),
        day(last),
    )?;
    let mut packages: Vec<_> = packages.into_iter().collect();
    for (_, package) in &mut packages {
        package.durations.sort_unstable();
    }
    packages.sort_by_key(|(name, package)| (std::cmp::Reverse(package.median()), *name));
    let mut rows =
        vec![["PACKAGE", "SYSTEM", "BUILDS", "MEDIAN", "LONGEST", "FAILED", "LAST"].map(String::from).to_vec()];
    for ((name, system), package) in packages.iter().take(MOST_ROWS) {
        let duration = |duration: Option<u64>| duration.map_or("-".to_owned(), in_words);
        rows.push(vec![
            (*name).to_owned(),
            (*system).to_owned(),
            (package.durations.len() + package.failed).to_string(),
            duration(package.median()),
            duration(package.durations.last().copied()),
            package.failed.to_string(),
            day(package.last),
        ]);
    }
    writeln!(out)?;
    Look::default().columns(&rows, out)?;
    if packages.len() > MOST_ROWS {
        writeln!(out, "and {} more", packages.len() - MOST_ROWS)?;
    }
    for path in records.flaky() {
        writeln!(out, "flaky, both built and failed: {}", printable(path))?;
    }
    Ok(())
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
