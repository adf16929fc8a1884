//! What earlier pipelines have measured, for people: how much there is, what takes longest, what fails.

use std::collections::BTreeMap;
use std::io::{self, Write};

use super::look::{InText, Look, row};
use crate::byte_size;
use crate::duration::day;
use crate::history::jobs::{JobRun, Measured};
use crate::history::records::{Ending, Measurement, Records};
use crate::history::used::Used;
use crate::plural::counted;
use crate::printable::printable;

/// Packages that are listed, those that take longest.
const MOST_ROWS: usize = 20;

/// Builds of one package on one system.
#[derive(Default)]
struct Package {
    /// Milliseconds, ascending once sorted, like the others.
    durations: Vec<u64>,
    /// Processor time, milliseconds.
    cpu: Vec<u64>,
    /// Bytes.
    memory: Vec<u64>,
    outputs: Vec<u64>,
    closures: Vec<u64>,
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
        let Package { durations, cpu, memory, outputs, closures, .. } = package;
        [durations, cpu, memory, outputs, closures].into_iter().for_each(|list| list.sort_unstable());
    }
    packages.sort_by(|(one, a), (other, b)| b.median().cmp(&a.median()).then_with(|| one.cmp(other)));
    writeln!(out)?;
    let duration = look.duration();
    look.columns_or(&rows(&packages, duration, false), || rows(&packages, duration, true), out)?;
    if packages.len() > MOST_ROWS {
        writeln!(out, "and {} more", packages.len() - MOST_ROWS)?;
    }
    write_jobs(&records.jobs, look, out)?;
    for path in records.flaky() {
        writeln!(out, "flaky, both built and failed: {}", printable(path))?;
    }
    Ok(())
}

/// A row for each package, the first ones; durations and days are short where the terminal is narrow.
fn rows(packages: &[((String, &str), Package)], in_text: InText, is_narrow: bool) -> Vec<Vec<String>> {
    let longest = if is_narrow { "MAX" } else { "LONGEST" };
    let mut rows = vec![row(["PACKAGE", "SYSTEM", "BUILDS", "MEDIAN", longest, "FAILED", "LAST"])];
    if !is_narrow {
        rows[0].extend(row(["CPU", "MEMORY", "OUTPUTS", "CLOSURE"]));
    }
    let duration = |duration: Option<u64>| duration.map_or("-".to_owned(), in_text);
    for ((name, system), package) in packages.iter().take(MOST_ROWS) {
        let last = day(package.last);
        rows.push(vec![
            name.clone(),
            (*system).to_owned(),
            (package.durations.len() + package.failed).to_string(),
            duration(package.median()),
            duration(package.durations.last().copied()),
            package.failed.to_string(),
            // `--max-age` is 90 days where nobody says otherwise: the year is known.
            if is_narrow { last.chars().skip(5).collect() } else { last },
        ]);
        if !is_narrow {
            let bytes = |list: &[u64]| median(list).map_or("-".to_owned(), byte_size::text);
            let of_package = [&package.memory, &package.outputs, &package.closures].map(|list| bytes(list));
            rows.last_mut().into_iter().for_each(|row| {
                row.push(duration(median(&package.cpu)));
                row.extend(of_package.clone());
            });
        }
    }
    rows
}

fn by_package(builds: &[Measurement]) -> BTreeMap<(String, &str), Package> {
    let mut packages: BTreeMap<(String, &str), Package> = BTreeMap::new();
    for build in builds {
        let package = packages.entry((build.family(), &build.system)).or_default();
        match build.ending {
            Ending::Built => package.durations.push(build.duration),
            Ending::Failed => package.failed += 1,
        }
        let Used { cpu, memory, nar_bytes, closure_bytes, .. } = build.used;
        package.cpu.extend(cpu);
        package.memory.extend(memory);
        package.outputs.extend(nar_bytes);
        package.closures.extend(closure_bytes);
        package.last = package.last.max(build.at);
    }
    packages
}

impl Package {
    /// None where nothing was built.
    fn median(&self) -> Option<u64> {
        median(&self.durations)
    }
}

/// The median of an ascending list, of two in the middle the lower.
fn median(list: &[u64]) -> Option<u64> {
    list.get(list.len().checked_sub(1)? / 2).copied()
}

/// Writes what runs of jobs have measured of themselves: their phases, and their machines.
fn write_jobs(runs: &[JobRun], look: &Look, out: &mut dyn Write) -> io::Result<()> {
    if runs.is_empty() {
        return Ok(());
    }
    type Known = fn(&Measured) -> Option<u64>;
    const TIMES: [(&str, Known); 7] = [
        ("start-up", |run| run.start_up),
        ("reading hand-offs", |run| run.import),
        ("fetching", |run| run.fetch),
        ("of it what jobs had built", |run| run.down),
        ("building", |run| run.build),
        ("handing on", |run| run.hand_off),
        ("idle slots", |run| run.idle),
    ];
    const SIZES: [(&str, Known); 6] = [
        ("fetched", |run| run.fetched_bytes),
        ("of it what jobs had built", |run| run.down_bytes),
        ("handed on", |run| run.handoff_nar_bytes),
        ("handed on, compressed", |run| run.handoff_bytes),
        ("memory at its highest", |run| run.memory),
        ("disk at its fullest", |run| run.disk),
    ];
    let mut rows = vec![row(["OF A JOB", "RUNS", "MEDIAN", "MOST"])];
    for (group, text) in [(&TIMES[..], look.duration()), (&SIZES[..], byte_size::text)] {
        for (name, known) in group {
            let mut all: Vec<u64> = runs.iter().filter_map(|run| known(&run.measured)).collect();
            all.sort_unstable();
            if let (Some(middle), Some(&most)) = (median(&all), all.last()) {
                rows.push(vec![(*name).to_owned(), all.len().to_string(), text(middle), text(most)]);
            }
        }
    }
    writeln!(out)?;
    look.columns(&rows, out)?;
    let mut machines: BTreeMap<String, u64> = BTreeMap::new();
    for run in runs {
        let cores = run.measured.cores.map(|cores| counted(u64::from(cores), "core"));
        let parts = [run.resource_class.clone(), cores, run.measured.processor.clone()].into_iter().flatten();
        let machine: Vec<String> = parts.map(|part| printable(&part)).collect();
        *machines.entry(machine.join(", ")).or_default() += 1;
    }
    for (machine, count) in machines.iter().filter(|(machine, _)| !machine.is_empty()).take(MOST_ROWS) {
        writeln!(out, "{}: {machine}", counted(*count, "run"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

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
