//! Records: what jobs have measured, as files that pipelines pass on.
//!
//! In: texts of `records.json`, as `nixdag build --results` and `nixdag history --format json` write them. Out: [`Records`], merged,
//! bounded and in one order. Anybody who can write a CI's cache may have written them: they are hints, read within limits, and what is
//! no measurement is left out and counted.

use std::collections::{HashMap, HashSet};
use std::io::{self, Write};

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use super::jobs::JobRun;
use super::last_plan::LastPlan;
use super::pipelines::PipelineRun;
use super::used::Used;
use crate::duration::seconds;
use crate::nix::store_path;

/// The version of `records.json`.
pub const VERSION: u64 = 2;

/// Name of the file.
pub const FILE: &str = "records.json";

/// Longest file that is read, in bytes.
pub const MAX_SIZE: u64 = 64 << 20;

/// Longer ones count as this, milliseconds: no job runs for a week, and a sum of such times cannot overflow.
pub const LONGEST: u64 = 7 * 86_400_000;

/// Clocks of two machines differ by less, seconds: what is said to be younger than that is not believed.
const CLOCKS_DIFFER: u64 = 86_400;

/// So many pipelines are kept, the youngest.
const MOST_PIPELINES: usize = 100;

/// Longest name of a system, of a class and of a job, in bytes.
const MAX_WORD: usize = 128;

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
    /// True where it may be one: names that a store can have, a time that has been.
    fn is_possible(&self, now: u64) -> bool {
        let path = store_path::split(&self.derivation)
            .is_ok_and(|(_, base)| base.ends_with(".drv") && store_path::name_of(base) == self.name);
        path && is_word(&self.system)
            && is_word(&self.job)
            && self.class.as_deref().is_none_or(is_word)
            && self.at <= now.saturating_add(CLOCKS_DIFFER)
    }

    /// The name without its version, by Nix's own rule: the version begins at the first dash that no letter follows.
    pub fn package(&self) -> &str {
        package_of(&self.name)
    }
}

/// True for what may be a name.
fn is_word(text: &str) -> bool {
    text.len() <= MAX_WORD && !text.chars().any(char::is_control)
}

/// The name without its version.
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
}

#[derive(Serialize, Deserialize)]
struct File<B, J, P, L> {
    version: u64,
    builds: Vec<B>,
    // Files that people have written may have none.
    #[serde(default = "Vec::new")]
    jobs: Vec<J>,
    #[serde(default = "Vec::new")]
    pipelines: Vec<P>,
    #[serde(default = "Option::default", skip_serializing_if = "Option::is_none")]
    last_plan: Option<L>,
}

impl Records {
    /// Reads one file's text. `now` in seconds since 1970.
    pub fn read(text: &[u8], now: u64) -> Result<Self> {
        #[derive(Deserialize)]
        struct Version {
            version: u64,
        }
        ensure!(text.len() as u64 <= MAX_SIZE, "more than {MAX_SIZE} bytes");
        let what = || format!("no records (expected `{FILE}` of `nixdag build --results`)");
        let found: Version = serde_json::from_slice(text).with_context(what)?;
        ensure!(found.version == VERSION, "version {} of records, this nixdag reads version {VERSION}", found.version);
        let file: File<Measurement, JobRun, PipelineRun, LastPlan> = serde_json::from_slice(text).with_context(what)?;
        let entries = file.builds.len() + file.jobs.len() + file.pipelines.len();
        let mut builds: Vec<_> = file.builds.into_iter().filter(|build| build.is_possible(now)).collect();
        for build in &mut builds {
            build.duration = build.duration.min(LONGEST);
            build.used = std::mem::take(&mut build.used).bounded();
        }
        let has_been = |at: u64| at <= now.saturating_add(CLOCKS_DIFFER);
        let possible = |run: &JobRun| {
            let class = run.resource_class.as_deref();
            is_word(&run.job) && is_word(&run.system) && class.is_none_or(is_word) && has_been(run.at)
        };
        let mut jobs: Vec<_> = file.jobs.into_iter().filter(possible).collect();
        for run in &mut jobs {
            run.duration = run.duration.min(LONGEST);
            run.measured = std::mem::take(&mut run.measured).bounded(LONGEST);
        }
        let mut pipelines: Vec<_> = file.pipelines.into_iter().filter(|run| has_been(run.at)).collect();
        for run in &mut pipelines {
            (run.predicted, run.measured) = (run.predicted.min(LONGEST), run.measured.min(LONGEST));
        }
        let has_plan = usize::from(file.last_plan.is_some());
        let last_plan = file.last_plan.filter(|plan| plan.is_possible(now.saturating_add(CLOCKS_DIFFER)));
        let kept = builds.len() + jobs.len() + pipelines.len() + usize::from(last_plan.is_some());
        Ok(Self { left_out: entries + has_plan - kept, builds, jobs, pipelines, last_plan })
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
            let count = of_package.entry((build.package().to_owned(), build.system.clone())).or_default();
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
                builds: self.builds.iter().collect(),
                jobs: self.jobs.iter().collect(),
                pipelines: self.pipelines.iter().collect(),
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
mod tests {
    use super::*;

    const NOW: u64 = 1_800_000_000;

    fn build(name: &str, at: u64, ending: Ending) -> Measurement {
        Measurement {
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
        let mut written = records(vec![build("b-1", NOW, Ending::Built), build("a-1", NOW, Ending::Failed)]);
        written.builds[1].class = Some("builder".to_owned());
        written.prune(Keep::default(), NOW);
        assert_eq!(Records::read(&text(&written), NOW).unwrap(), written);
    }

    #[test]
    fn the_order_of_merging_makes_no_difference_and_each_build_counts_once() {
        let [one, two] = [build("a-1", NOW - 9, Ending::Built), build("a-1", NOW, Ending::Failed)];
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
        let mut all = records((0..50).map(|age| build(&format!("a-{}", age % 2), NOW - age, Ending::Built)).collect());
        all.builds.push(build("b-1", NOW - 91 * 86_400, Ending::Built));
        all.prune(Keep::default(), NOW);
        assert_eq!(all.builds.iter().map(|build| NOW - build.at).max(), Some(15), "{all:?}");
        all.prune(Keep { in_all: 3, ..Keep::default() }, NOW);
        let mut ages: Vec<_> = all.builds.iter().map(|build| NOW - build.at).collect();
        ages.sort_unstable();
        assert_eq!(ages, [0, 1, 2]);
    }

    #[test]
    fn what_cannot_have_been_measured_is_left_out_and_counted() {
        let good = build("a-1", NOW, Ending::Built);
        let odd = [
            Measurement { derivation: "/etc/passwd".to_owned(), ..good.clone() },
            Measurement { name: "b".to_owned(), ..good.clone() },
            Measurement { system: "x".repeat(129), ..good.clone() },
            Measurement { job: "a\u{1b}[31m".to_owned(), ..good.clone() },
            Measurement { at: NOW + 2 * CLOCKS_DIFFER, ..good.clone() },
        ];
        let count = odd.len();
        let all =
            records(odd.into_iter().chain([Measurement { duration: 1_000_000_000_000, ..good.clone() }]).collect());
        let read = Records::read(&text(&all), NOW).unwrap();
        assert_eq!(read.left_out, count);
        assert_eq!(read.builds, [Measurement { duration: LONGEST, ..good }]);
    }

    #[test]
    fn a_job_whose_class_is_no_word_is_left_out() {
        let run = |class: &str| format!(r#"{{"job":"a","system":"x","at":5,"seconds":1,"resource_class":"{class}"}}"#);
        let all = [run("large"), run(r"large\u001b[31m"), run(&"x".repeat(129))].join(",");
        let read = Records::read(format!(r#"{{"version":2,"builds":[],"jobs":[{all}]}}"#).as_bytes(), NOW).unwrap();
        assert_eq!((read.jobs.len(), read.left_out), (1, 2), "{read:?}");
    }

    #[test]
    fn no_number_of_a_job_or_a_pipeline_makes_a_sum_overflow() {
        let text = r#"{"version":2,"builds":[],
            "jobs":[{"job":"a","system":"x","at":5,"seconds":1e12,"build_seconds":1e12,"memory":18446744073709551615}],
            "pipelines":[{"at":5,"jobs":1,"predicted_seconds":1e12,"seconds":1e12}]}"#;
        let read = Records::read(text.as_bytes(), NOW).unwrap();
        let run = &read.jobs[0];
        assert_eq!((run.duration, run.measured.build, run.measured.memory), (LONGEST, Some(LONGEST), Some(1 << 50)));
        assert_eq!((read.pipelines[0].predicted, read.pipelines[0].measured), (LONGEST, LONGEST));
    }

    #[test]
    fn what_is_no_file_of_records_is_an_error() {
        let good = String::from_utf8(text(&records(vec![build("a-1", NOW, Ending::Built)]))).unwrap();
        for (text, words) in [
            ("", "no records"),
            ("[]", "no records"),
            (r#"{"version":1,"timings":[]}"#, "version 1 of records, this nixdag reads version 2"),
            (&good[..good.len() - 4], "no records"),
            (&good.replace("1.5", "-1"), "no records"),
            (&good.replace("1.5", "1e300"), "no records"),
            (&good.replace("1.5", "[[[[]]]]"), "no records"),
        ] {
            let error = Records::read(text.as_bytes(), NOW).unwrap_err().to_string();
            assert!(error.contains(words), "{text}: {error}");
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
            assert_eq!(package_of(name), package, "{name}");
        }
    }
}
