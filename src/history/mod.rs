//! What earlier pipelines have measured, to ask when planning.
//!
//! In: [`Records`]. Out: a [`History`]. A derivation is found by its path; a changed one by name and system; one of another version by
//! its family, the name without the version. Of the youngest few measurements the median counts, which one slow machine does not move, and which
//! follows where a package has become slower.

pub mod csv;
pub mod files;
pub mod jobs;
pub mod last_plan;
pub mod needs;
pub mod pipelines;
mod reading;
pub mod records;
pub mod store;
pub mod used;

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;

use self::jobs::JobRun;
use self::last_plan::LastPlan;
use self::needs::{Needs, YOUNGEST};
use self::records::{Ending, Records, family_of};

/// So many pipelines and jobs have to have measured the start-up of jobs, and so many jobs count, the youngest.
const PIPELINES: usize = 3;
const JOBS: usize = 8;
const YOUNGEST_JOBS: usize = 50;

/// What takes longer is no start of a job, milliseconds.
const LONGEST_START: u64 = 3_600_000;

/// What is less says nothing about how fast anything is fetched, bytes.
const FEW_BYTES: u64 = 1 << 20;

/// No network is slower or faster, bytes per second.
const SPEEDS: std::ops::RangeInclusive<u64> = 100_000..=10_000_000_000;

/// Durations and failures of earlier pipelines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    by_path: HashMap<String, Recorded>,
    by_name: HashMap<(String, String), Recorded>,
    by_family: HashMap<(String, String), Recorded>,
    sizes: Sizes,
    start_up: Option<u64>,
    bandwidth: Option<u64>,
    /// What builds have needed beside time.
    pub needs: Needs,
    failed: HashMap<String, Failed>,
    /// The jobs of the last plan.
    pub last_plan: Option<Arc<LastPlan>>,
    /// When the first and the last job began, in seconds since 1970; none where nothing was built.
    pub span: Option<(u64, u64)>,
}

/// What building a derivation took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// The median of the youngest few, milliseconds.
    pub duration: u64,
    /// How far apart they are: the standard deviation of their natural logarithms, in hundredths.
    pub deviation: u32,
}

/// The deviation that is assumed of what was measured once, and the least one of what was measured of other versions, in hundredths.
const ONCE: u32 = 25;
const OTHER_VERSION: u32 = 40;

/// A derivation that has failed in an earlier pipeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    /// The last time, in seconds since 1970.
    pub at: u64,
    /// Why, that time, where it is known.
    pub class: Option<String>,
    /// True where it has been built as well, before or after.
    pub flaky: bool,
}

impl History {
    /// What the records say. Only what was built has a duration: a builder that fails ends early.
    pub fn new(records: &Records) -> Self {
        let (mut by_path, mut by_name, mut by_family) = (Durations::new(), Durations::new(), Durations::new());
        let (mut size_by_path, mut size_by_family) = (Durations::new(), Durations::new());
        let mut failed: HashMap<String, Failed> = HashMap::new();
        for build in &records.builds {
            if build.ending == Ending::Failed {
                let last = Failed { at: build.at, class: build.class.clone(), flaky: false };
                let known = failed.entry(build.derivation.clone()).or_insert_with(|| last.clone());
                if known.at < last.at {
                    *known = last;
                }
                continue;
            }
            let sample = (Reverse(build.at), build.duration);
            by_path.entry(build.derivation.clone()).or_default().push(sample);
            by_name.entry((build.name.clone(), build.system.clone())).or_default().push(sample);
            let family = (build.family(), build.system.clone());
            if let Some(bytes) = build.used.nar_bytes {
                let sample = (Reverse(build.at), bytes);
                size_by_path.entry(build.derivation.clone()).or_default().push(sample);
                size_by_family.entry(family.clone()).or_default().push(sample);
            }
            by_family.entry(family).or_default().push(sample);
        }
        for (path, failed) in &mut failed {
            failed.flaky = by_path.contains_key(path);
        }
        let times = || by_path.values().flatten().map(|(Reverse(at), _)| *at);
        let span = times().min().zip(times().max());
        let start_up = start_up(records);
        let sizes = Sizes { by_path: medians(size_by_path), by_family: medians(size_by_family) };
        Self {
            by_path: recorded(by_path, ONCE),
            by_name: recorded(by_name, ONCE),
            // Another version is another program.
            by_family: recorded(by_family, OTHER_VERSION),
            sizes,
            start_up,
            bandwidth: bandwidth(records),
            needs: Needs::new(records),
            failed,
            last_plan: records.last_plan.clone().map(Arc::new),
            span,
        }
    }

    /// True where nothing is recorded that a plan could use.
    pub fn is_empty(&self) -> bool {
        self.by_path.is_empty() && self.failed.is_empty()
    }

    /// How many derivations are recorded as built.
    pub fn len(&self) -> usize {
        self.by_path.len()
    }

    /// What the derivation took, if it or one like it was built before.
    pub fn recorded(&self, path: &str, name: &str, system: &str) -> Option<Recorded> {
        let key = |name: &str| (name.to_owned(), system.to_owned());
        self.by_path
            .get(path)
            .or_else(|| self.by_name.get(&key(name)))
            .or_else(|| self.by_family.get(&(family_of(name), system.to_owned())))
            .copied()
    }

    /// How large its outputs are as NARs, if it or one like it was built before, bytes.
    pub fn size(&self, path: &str, name: &str, system: &str) -> Option<u64> {
        let of_family = || self.sizes.by_family.get(&(family_of(name), system.to_owned()));
        self.sizes.by_path.get(path).or_else(of_family).copied()
    }

    /// From the start of a job's machine to its first build, milliseconds; none until enough jobs of enough pipelines have measured it.
    pub fn start_up(&self) -> Option<u64> {
        self.start_up
    }

    /// What jobs have fetched in a second, bytes; none until enough jobs of enough pipelines have measured it.
    pub fn bandwidth(&self) -> Option<u64> {
        self.bandwidth
    }

    /// Whether this very derivation has failed before.
    pub fn failed(&self, path: &str) -> Option<&Failed> {
        self.failed.get(path)
    }
}

/// The median of the youngest jobs' start-ups.
fn start_up(records: &Records) -> Option<u64> {
    let start = |run: &JobRun| Some(run.measured.start_up? + run.measured.import.unwrap_or(0));
    of_jobs(records, |run| start(run).filter(|start| *start <= LONGEST_START))
}

/// The median of what the youngest jobs have fetched in a second.
fn bandwidth(records: &Records) -> Option<u64> {
    let speed = |run: &JobRun| {
        let bytes = run.measured.fetched_bytes.filter(|bytes| *bytes >= FEW_BYTES)?;
        Some((bytes.saturating_mul(1000) / run.measured.fetch?.max(1)).clamp(*SPEEDS.start(), *SPEEDS.end()))
    };
    of_jobs(records, speed)
}

/// The median of what the youngest jobs have measured, where enough have.
fn of_jobs(records: &Records, measured: impl Fn(&JobRun) -> Option<u64>) -> Option<u64> {
    let mut values: Vec<(Reverse<u64>, u64)> =
        records.jobs.iter().filter_map(|run| Some((Reverse(run.at), measured(run)?))).collect();
    let is_enough = records.pipelines.len() >= PIPELINES && values.len() >= JOBS;
    values.sort_unstable();
    values.truncate(YOUNGEST_JOBS);
    median(&values).filter(|_| is_enough)
}

/// How large the outputs of derivations were, bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Sizes {
    by_path: HashMap<String, u64>,
    by_family: HashMap<(String, String), u64>,
}

type Durations<K> = HashMap<K, Vec<(Reverse<u64>, u64)>>;

/// The standard deviation of the natural logarithms of measured times around estimates, in hundredths. Tenths of a second do not count.
pub fn deviation(pairs: impl Iterator<Item = (u64, u64)>) -> u32 {
    let log = |millis: u64| (millis.max(500) as f64).ln();
    let (count, sum) = pairs.fold((0.0, 0.0), |(count, sum): (f64, f64), (measured, estimate)| {
        (count + 1.0, sum + (log(measured) - log(estimate)).powi(2))
    });
    ((sum / count.max(1.0)).sqrt() * 100.0).round() as u32
}

/// The medians, with how far apart the youngest few are: `least` where there is one alone, and for other versions at least that.
fn recorded<K: std::hash::Hash + Eq>(durations: Durations<K>, least: u32) -> HashMap<K, Recorded> {
    let around = |mut samples: Vec<(Reverse<u64>, u64)>| {
        samples.sort_unstable();
        samples.truncate(YOUNGEST);
        let duration = median(&samples)?;
        let apart = deviation(samples.iter().map(|&(_, sample)| (sample, duration)));
        let is_known = samples.len() > 1 && least < OTHER_VERSION;
        Some(Recorded { duration, deviation: if is_known { apart } else { apart.max(least) } })
    };
    durations.into_iter().filter_map(|(key, samples)| Some((key, around(samples)?))).collect()
}

/// The median of samples.
fn median(samples: &[(Reverse<u64>, u64)]) -> Option<u64> {
    let mut durations: Vec<u64> = samples.iter().map(|(_, duration)| *duration).collect();
    durations.sort_unstable();
    // Of two in the middle the lower: machines are slow by accident, never fast.
    durations.get(durations.len().checked_sub(1)? / 2).copied()
}

fn medians<K: std::hash::Hash + Eq>(durations: Durations<K>) -> HashMap<K, u64> {
    durations
        .into_iter()
        .filter_map(|(key, mut samples)| {
            samples.sort_unstable();
            samples.truncate(YOUNGEST);
            Some((key, median(&samples)?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::records::Measurement;
    use super::used::Used;
    use super::*;

    fn history(builds: &[(&str, &str, u64, u64, Ending)]) -> History {
        let builds = builds.iter().map(|&(derivation, name, at, duration, ending)| Measurement {
            name: name.to_owned(),
            system: "x".to_owned(),
            derivation: derivation.to_owned(),
            at,
            job: "job".to_owned(),
            duration,
            ending,
            class: (ending == Ending::Failed).then(|| format!("class-{at}")),
            attempts: 1,
            used: Used::default(),
        });
        History::new(&Records { builds: builds.collect(), ..Records::default() })
    }

    use Ending::{Built, Failed};

    #[test]
    fn the_nearest_record_counts_and_outliers_do_not() {
        let history = history(&[
            ("p1", "openssl-3.0", 1, 100_000, Built),
            ("p1", "openssl-3.0", 1, 104_500, Built),
            ("p1", "openssl-3.0", 1, 9_000_000, Built),
            ("p2", "openssl-3.1", 2, 7_000, Built),
            ("p3", "curl-8", 9, 1_000, Failed),
        ]);
        let took = |path: &str, name: &str, system: &str| history.recorded(path, name, system).map(|it| it.duration);
        assert_eq!(took("p1", "openssl-3.0", "x"), Some(104_500));
        assert_eq!(took("other", "openssl-3.1", "x"), Some(7_000));
        assert_eq!(took("other", "openssl-4", "x"), Some(100_000), "the median of all versions");
        assert_eq!(took("other", "openssl-3.0", "y"), None);
        assert_eq!(took("p3", "curl-8", "x"), None, "a failure says nothing about a build");
        assert_eq!(history.span, Some((1, 2)));
    }

    #[test]
    fn a_source_says_nothing_about_what_is_built_from_it() {
        let history = history(&[
            ("p1", "hello-2.9", 1, 2_400_000, Built),
            ("p2", "hello-2.9.tar.gz", 1, 2_000, Built),
            ("p3", "lone-1", 1, 900_000, Built),
        ]);
        let took = |name: &str| history.recorded("other", name, "x").map(|it| it.duration);
        assert_eq!([took("hello-2.10"), took("hello-2.10.tar.gz")], [Some(2_400_000), Some(2_000)]);
        assert_eq!(took("lone-2.tar.xz"), None);
    }

    #[test]
    fn an_estimate_knows_how_far_off_it_may_be() {
        let history = history(&[
            ("p1", "a-1", 1, 100_000, Built),
            ("p1", "a-1", 2, 101_000, Built),
            ("p2", "b-1", 1, 100_000, Built),
            ("p2", "b-1", 2, 400_000, Built),
            ("p3", "c-1", 1, 100_000, Built),
            ("p4", "d-1", 1, 200, Built),
            ("p4", "d-1", 2, 450, Built),
        ]);
        let deviation = |path: &str, name: &str| history.recorded(path, name, "x").map(|it| it.deviation);
        assert_eq!([deviation("p1", "a-1"), deviation("p4", "d-1")], [Some(1), Some(0)], "what is short is known");
        assert_eq!([deviation("p2", "b-1"), deviation("p3", "c-1")], [Some(98), Some(25)]);
        assert_eq!(deviation("other", "a-2"), Some(40), "another version");
    }

    #[test]
    fn the_start_up_of_jobs_is_known_after_three_pipelines() {
        let run = |at: u64, start_up| {
            let measured = jobs::Measured { start_up: Some(start_up), import: Some(500), ..jobs::Measured::default() };
            let (job, system) = ("job".to_owned(), "x".to_owned());
            jobs::JobRun { job, system, resource_class: None, at, duration: 1, measured }
        };
        let pipeline = |at| pipelines::PipelineRun { at, jobs: 3, predicted: 1, measured: 1 };
        let known = |count: u64, jobs: u64| {
            let mut records = Records::default();
            records.jobs.extend((0..jobs).map(|at| run(at, if at == 0 { 900_000 } else { 20_000 })));
            records.pipelines.extend((0..count).map(pipeline));
            History::new(&records).start_up()
        };
        assert_eq!([known(2, 9), known(3, 7), known(3, 9)], [None, None, Some(20_500)]);
    }

    #[test]
    fn the_speed_of_transfers_is_known_after_three_pipelines() {
        let known = |pipelines: u64, fetched: &[(u64, u64)]| {
            let mut records = Records::default();
            records.jobs.extend((0..).zip(fetched).map(|(at, &(bytes, fetch))| {
                let measured =
                    jobs::Measured { fetch: Some(fetch), fetched_bytes: Some(bytes), ..jobs::Measured::default() };
                jobs::JobRun { job: "job".into(), system: "x".into(), resource_class: None, at, duration: 1, measured }
            }));
            let pipeline = |at| pipelines::PipelineRun { at, jobs: 3, predicted: 1, measured: 1 };
            records.pipelines.extend((0..pipelines).map(pipeline));
            History::new(&records).bandwidth()
        };
        let mut fetched = vec![(30_000_000, 2_000); 8];
        fetched.push((u64::MAX, 0));
        assert_eq!([known(2, &fetched), known(3, &fetched)], [None, Some(15_000_000)]);
        assert_eq!(known(3, &[(1_000, 2_000); 9]), None, "so little says nothing");
        assert_eq!(known(3, &[(2 << 20, u64::MAX); 9]), Some(100_000), "no plan divides by nothing");
    }

    #[test]
    fn what_has_become_slower_is_believed_after_a_few_pipelines() {
        let fast = (0..20).map(|at| ("p", "a-1", at, 10_000, Built));
        let slow = |count: u64| (20..20 + count).map(|at| ("p", "a-1", at, 60_000, Built));
        let after = |count| {
            history(&fast.clone().chain(slow(count)).collect::<Vec<_>>())
                .recorded("p", "a-1", "x")
                .map(|it| it.duration)
        };
        assert_eq!([2, 3].map(after), [Some(10_000), Some(60_000)]);
    }

    #[test]
    fn the_last_failure_is_known_and_whether_it_was_ever_built() {
        let history = history(&[
            ("p", "a", 3, 5, Failed),
            ("p", "a", 7, 5, Failed),
            ("q", "b", 2, 5, Failed),
            ("q", "b", 1, 5, Built),
        ]);
        let failed = |path: &str| history.failed(path).map(|it| (it.at, it.class.as_deref(), it.flaky));
        assert_eq!(failed("p"), Some((7, Some("class-7"), false)));
        assert_eq!(failed("q"), Some((2, Some("class-2"), true)));
        assert_eq!(failed("r"), None);
    }
}
