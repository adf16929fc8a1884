//! Records: what jobs have measured, as files that pipelines pass on.
//!
//! In: texts of `records.json`, as `nixdag build --results` and `nixdag history --format json` write them. Out: [`Records`], merged,
//! bounded and in one order. Anybody who can write a CI's cache may have written them: they are hints, read within limits, and what is
//! no measurement is left out and counted.

use std::collections::{HashMap, HashSet};
use std::io::{self, Write};

use serde::{Deserialize, Serialize};

use super::jobs::JobRun;
use super::last_plan::LastPlan;
use super::pipelines::PipelineRun;
use super::used::Used;
use crate::duration::seconds;

/// The version of `records.json`.
pub const VERSION: u64 = 2;

/// Name of the file.
pub const FILE: &str = "records.json";

/// Longest file that is read, in bytes.
pub const MAX_SIZE: u64 = 64 << 20;

/// Longer ones count as this, milliseconds: no job runs for a week, and a sum of such times cannot overflow.
pub const LONGEST: u64 = 7 * 86_400_000;

/// So many pipelines are kept, the youngest.
const MOST_PIPELINES: usize = 100;

/// How much of what was measured is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep {
    /// Older measurements go, seconds.
    pub age: u64,
    /// Of one package on one system so many stay, the youngest.
    pub of_a_package: usize,
    /// So many stay altogether, the youngest; of runs of jobs a tenth.
    pub in_all: usize,
}

impl Default for Keep {
    fn default() -> Self {
        Self { age: 90 * 86_400, of_a_package: 16, in_all: 100_000 }
    }
}

/// How a build ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ending {
    /// Its outputs were there.
    Built,
    /// They were not.
    Failed,
}

/// One build of one derivation.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Measurement {
    /// Its name.
    pub name: String,
    /// The system it was built on.
    pub system: String,
    /// Its path.
    pub derivation: String,
    /// When its job began, in seconds since 1970.
    pub at: u64,
    /// The job, by id.
    pub job: String,
    /// How long it was built, the last attempt.
    #[serde(rename = "seconds", with = "seconds")]
    pub duration: u64,
    /// How it ended.
    pub ending: Ending,
    /// Of a failure: why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<String>,
    /// How many times it was begun.
    pub attempts: u32,
    /// What it used.
    #[serde(flatten)]
    pub used: Used,
}

impl Measurement {
    /// What others of it have in common, whatever their version.
    pub fn family(&self) -> String {
        family_of(&self.name)
    }
}

/// Ends of names in which a digit is no part of a version.
const WITH_DIGITS: [&str; 2] = ["bz2", "lz4"];

/// The name without its version, but with what is behind that: a `hello.tar.gz` takes another time than the `hello` that is built from it.
pub fn family_of(name: &str) -> String {
    let package = package_of(name);
    let version = &name[package.len()..];
    let of_version = |part: &str| part.bytes().any(|byte| byte.is_ascii_digit()) && !WITH_DIGITS.contains(&part);
    let mut end = version.len();
    for part in version.rsplit(['.', '-']) {
        if of_version(part) {
            return format!("{package}{}", &version[end..]);
        }
        end = end.saturating_sub(part.len() + 1);
    }
    package.to_owned()
}

/// The name without its version, by Nix's own rule: the version begins at the first dash that no letter follows.
pub fn package_of(name: &str) -> &str {
    let dash = name.as_bytes().windows(2).position(|pair| pair[0] == b'-' && !pair[1].is_ascii_alphabetic());
    dash.map_or(name, |at| &name[..at])
}

/// What was measured, each build once, ordered by name, system, derivation and time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Records {
    /// The builds.
    pub builds: Vec<Measurement>,
    /// The runs of jobs, each once, in order.
    pub jobs: Vec<JobRun>,
    /// Pipelines, each once, in order.
    pub pipelines: Vec<PipelineRun>,
    /// The jobs of the last plan; none in what a job leaves.
    pub last_plan: Option<LastPlan>,
    /// How many entries were none, and were left out.
    pub left_out: usize,
    /// Keys of a file that this version does not know, for people; the first few.
    pub unknown: Vec<String>,
}

#[derive(Serialize)]
struct File<'a> {
    version: u64,
    builds: &'a [Measurement],
    jobs: &'a [JobRun],
    pipelines: &'a [PipelineRun],
    #[serde(skip_serializing_if = "Option::is_none")]
    last_plan: Option<&'a LastPlan>,
}

impl Records {
    /// Sentences about what was left out of a file.
    pub fn remarks(&self) -> Vec<String> {
        let mut remarks = Vec::new();
        if self.left_out > 0 {
            remarks.push(match self.left_out {
                1 => "1 entry is not a measurement and is left out".to_owned(),
                count => format!("{count} entries are not measurements and are left out"),
            });
        }
        if !self.unknown.is_empty() {
            remarks.push(format!("what this nixdag does not know is left out: {}", self.unknown.join(", ")));
        }
        remarks
    }

    /// Adds others.
    pub fn merge(&mut self, others: Self) {
        self.builds.extend(others.builds);
        self.jobs.extend(others.jobs);
        self.pipelines.extend(others.pipelines);
        let at = |plan: &Option<LastPlan>| plan.as_ref().map(|plan| plan.at);
        if at(&self.last_plan) < at(&others.last_plan) {
            self.last_plan = others.last_plan;
        }
        self.left_out += others.left_out;
    }

    /// Puts in order what was merged, each build once, and leaves out what is too old or too much. `now` in seconds since 1970.
    pub fn prune(&mut self, keep: Keep, now: u64) {
        self.builds.retain(|build| now.saturating_sub(build.at) <= keep.age);
        // The youngest first; what is equally old in one order, whatever order it was read in.
        self.builds.sort_unstable_by(|one, other| other.at.cmp(&one.at).then_with(|| one.cmp(other)));
        self.builds.dedup();
        let mut of_package: HashMap<(String, String), usize> = HashMap::new();
        self.builds.retain(|build| {
            let count = of_package.entry((build.family(), build.system.clone())).or_default();
            *count += 1;
            *count <= keep.of_a_package
        });
        self.builds.truncate(keep.in_all);
        self.builds.sort_unstable();
        self.jobs.retain(|run| now.saturating_sub(run.at) <= keep.age);
        self.jobs.sort_unstable_by(|one, other| other.at.cmp(&one.at).then_with(|| one.cmp(other)));
        self.jobs.dedup();
        self.jobs.truncate(keep.in_all / 10);
        self.jobs.sort_unstable();
        self.pipelines.retain(|run| now.saturating_sub(run.at) <= keep.age);
        self.pipelines.sort_unstable_by(|one, other| other.cmp(one));
        self.pipelines.dedup();
        self.pipelines.truncate(MOST_PIPELINES);
        self.pipelines.reverse();
        self.last_plan.take_if(|plan| now.saturating_sub(plan.at) > keep.age);
    }

    /// Writes `records.json`.
    pub fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        serde_json::to_writer(
            &mut *out,
            &File {
                version: VERSION,
                builds: &self.builds,
                jobs: &self.jobs,
                pipelines: &self.pipelines,
                last_plan: self.last_plan.as_ref(),
            },
        )?;
        writeln!(out)
    }

    /// Derivations that have both failed and been built, by path, in order.
    pub fn flaky(&self) -> Vec<&str> {
        let of = |ending| -> HashSet<&str> {
            self.builds.iter().filter(|build| build.ending == ending).map(|build| build.derivation.as_str()).collect()
        };
        let failed = of(Ending::Failed);
        let mut both: Vec<_> = of(Ending::Built).intersection(&failed).copied().collect();
        both.sort_unstable();
        both
    }
}

#[cfg(test)]
impl Measurement {
    /// A build of a second and a half, for tests.
    pub fn example(name: &str, at: u64, ending: Ending) -> Self {
        Self {
            name: name.to_owned(),
            system: "x86_64-linux".to_owned(),
            derivation: format!("/nix/store/{}-{name}.drv", "0".repeat(32)),
            at,
            job: "job".to_owned(),
            duration: 1_500,
            ending,
            class: None,
            attempts: 1,
            used: Used { cpu: Some(900), slot: Some(1), ..Used::default() },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_800_000_000;

    fn records(builds: Vec<Measurement>) -> Records {
        Records { builds, ..Records::default() }
    }

    fn text(records: &Records) -> Vec<u8> {
        let mut text = Vec::new();
        records.write(&mut text).unwrap();
        text
    }

    #[test]
    fn what_is_written_is_read() {
        let mut written = records(vec![
            Measurement::example("b-1", NOW, Ending::Built),
            Measurement::example("a-1", NOW, Ending::Failed),
        ]);
        written.builds[1].class = Some("builder".to_owned());
        written.prune(Keep::default(), NOW);
        assert_eq!(Records::read(&text(&written), NOW).unwrap(), written);
    }

    #[test]
    fn the_order_of_merging_makes_no_difference_and_each_build_counts_once() {
        let [one, two] =
            [Measurement::example("a-1", NOW - 9, Ending::Built), Measurement::example("a-1", NOW, Ending::Failed)];
        let merged = |parts: [Vec<&Measurement>; 2]| {
            let mut all = Records::default();
            for part in parts {
                all.merge(records(part.into_iter().cloned().collect()));
            }
            all.prune(Keep::default(), NOW);
            all
        };
        let all = merged([vec![&one, &two], vec![&one]]);
        assert_eq!(all, merged([vec![&one], vec![&two, &one]]));
        assert_eq!(all.builds.len(), 2);
        assert_eq!(all.flaky(), [one.derivation]);
    }

    #[test]
    fn the_oldest_go_first() {
        let mut all = records(
            (0..50).map(|age| Measurement::example(&format!("a-{}", age % 2), NOW - age, Ending::Built)).collect(),
        );
        all.builds.push(Measurement::example("b-1", NOW - 91 * 86_400, Ending::Built));
        all.prune(Keep::default(), NOW);
        assert_eq!(all.builds.iter().map(|build| NOW - build.at).max(), Some(15), "{all:?}");
        all.prune(Keep { in_all: 3, ..Keep::default() }, NOW);
        let mut ages: Vec<_> = all.builds.iter().map(|build| NOW - build.at).collect();
        ages.sort_unstable();
        assert_eq!(ages, [0, 1, 2]);
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
            assert_eq!(package_of(name), package, "{name}");
        }
    }

    #[test]
    fn a_family_has_what_is_behind_the_version() {
        for (name, family) in [
            ("hello-2.10", "hello"),
            ("hello-2.10.tar.gz", "hello.tar.gz"),
            ("hello-2.10.1-rc1.tar.bz2", "hello.tar.bz2"),
            ("fd-8.7.0-vendor", "fd-vendor"),
            ("nixos-system-host-25.05.20250101.ac1ef00", "nixos-system-host"),
            ("x-unstable-2020-01-01", "x-unstable"),
            ("x-1.0-x86_64-linux", "x-linux"),
            ("source", "source"),
            ("a-", "a-"),
            ("a--", "a"),
            ("é-1.ü", "é.ü"),
        ] {
            assert_eq!(family_of(name), family, "{name}");
        }
    }
}
