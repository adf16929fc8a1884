//! Reads files of records, which anybody who can write a CI's cache may have written.
//!
//! In: the text of a `records.json`. Out: [`Records`] of all that may have been measured; what cannot, and what this version does not know, is
//! counted and named.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use anyhow::{Context, Result, ensure};
use serde::de::{DeserializeOwned, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::jobs::JobRun;
use super::last_plan::LastPlan;
use super::pipelines::PipelineRun;
use super::records::{FILE, LONGEST, MAX_SIZE, Measurement, Records, VERSION};
use crate::nix::store_path;
use crate::printable::{printable, shortened};

/// Clocks of two machines differ by less, seconds: what is said to be younger than that is not believed.
const CLOCKS_DIFFER: u64 = 86_400;

/// Longest name of a system, of a class and of a job, in bytes.
const MAX_WORD: usize = 128;

/// Longest entry, in bytes.
const MAX_ENTRY: usize = 64 << 10;

/// Keys of a file.
const KEYS: [&str; 5] = ["version", "builds", "jobs", "pipelines", "last_plan"];

/// So many keys are named that are none of these, and so many characters of each.
const MOST_UNKNOWN: usize = 5;
const LONGEST_KEY: usize = 40;

/// What a file says of itself.
struct Head {
    version: u64,
    unknown: Vec<String>,
}

impl<'de> Deserialize<'de> for Head {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(HeadVisitor)
    }
}

struct HeadVisitor;

impl<'de> Visitor<'de> for HeadVisitor {
    type Value = Head;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("records")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Head, A::Error> {
        let (mut version, mut unknown) = (None, Vec::new());
        while let Some(key) = map.next_key::<Cow<str>>()? {
            if key == "version" {
                version = Some(map.next_value()?);
                continue;
            }
            if !KEYS.contains(&&*key) && unknown.len() < MOST_UNKNOWN {
                unknown.push(format!("`{}`", shortened(&printable(&key), LONGEST_KEY)));
            }
            map.next_value::<IgnoredAny>()?;
        }
        let version = version.ok_or_else(|| serde::de::Error::missing_field("version"))?;
        Ok(Head { version, unknown })
    }
}

/// The entries of a list that have the shape of one, and how many have not.
struct Entries<T> {
    good: Vec<T>,
    odd: usize,
}

impl<T> Default for Entries<T> {
    fn default() -> Self {
        Self { good: Vec::new(), odd: 0 }
    }
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for Entries<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(EntriesVisitor(PhantomData))
    }
}

struct EntriesVisitor<T>(PhantomData<T>);

impl<'de, T: DeserializeOwned> Visitor<'de> for EntriesVisitor<T> {
    type Value = Entries<T>;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Entries<T>, A::Error> {
        let mut entries = Entries::default();
        // One at a time: what is odd takes no memory.
        while let Some(entry) = list.next_element::<&RawValue>()? {
            let text = entry.get();
            match (text.len() <= MAX_ENTRY).then(|| serde_json::from_str(text)) {
                Some(Ok(entry)) => entries.good.push(entry),
                _ => entries.odd += 1,
            }
        }
        Ok(entries)
    }
}

#[derive(Deserialize)]
#[serde(bound = "")]
struct File<'a> {
    builds: Entries<Measurement>,
    // Files that people have written may have none.
    #[serde(default)]
    jobs: Entries<JobRun>,
    #[serde(default)]
    pipelines: Entries<PipelineRun>,
    #[serde(default, borrow)]
    last_plan: Option<&'a RawValue>,
}

impl Records {
    /// Reads one file's text. `now` in seconds since 1970.
    pub fn read(text: &[u8], now: u64) -> Result<Self> {
        ensure!(text.len() as u64 <= MAX_SIZE, "more than {MAX_SIZE} bytes");
        let what = || format!("no records (expected `{FILE}` of `nixdag build --results`)");
        let Head { version, unknown } = serde_json::from_slice(text).with_context(what)?;
        ensure!(version == VERSION, "version {version} of records, this nixdag reads version {VERSION}");
        let file: File = serde_json::from_slice(text).with_context(what)?;
        let mut left_out = 0;
        let latest = now.saturating_add(CLOCKS_DIFFER);
        let mut builds = possible(file.builds, &mut left_out, |build| is_build(build, latest));
        for build in &mut builds {
            build.duration = build.duration.min(LONGEST);
            build.used = std::mem::take(&mut build.used).bounded();
        }
        let mut jobs = possible(file.jobs, &mut left_out, |run| is_run(run, latest));
        for run in &mut jobs {
            run.duration = run.duration.min(LONGEST);
            run.measured = std::mem::take(&mut run.measured).bounded(LONGEST);
        }
        let mut pipelines = possible(file.pipelines, &mut left_out, |run| run.at <= latest);
        for run in &mut pipelines {
            (run.predicted, run.measured) = (run.predicted.min(LONGEST), run.measured.min(LONGEST));
        }
        let plan = file.last_plan.map(|plan| serde_json::from_str(plan.get()).ok());
        let last_plan = plan.clone().flatten().filter(|plan: &LastPlan| plan.is_possible(latest));
        left_out += usize::from(plan.is_some() && last_plan.is_none());
        Ok(Self { builds, jobs, pipelines, last_plan, left_out, unknown })
    }
}

/// Those that may have been measured; the others are counted.
fn possible<T>(entries: Entries<T>, left_out: &mut usize, is_possible: impl Fn(&T) -> bool) -> Vec<T> {
    let Entries { mut good, odd } = entries;
    let all = good.len() + odd;
    good.retain(is_possible);
    *left_out += all - good.len();
    good
}

/// True where a build may be one: names that a store can have, a time that has been.
fn is_build(build: &Measurement, latest: u64) -> bool {
    let path = store_path::split(&build.derivation)
        .is_ok_and(|(_, base)| base.ends_with(".drv") && store_path::name_of(base) == build.name);
    path && is_word(&build.system)
        && is_word(&build.job)
        && build.class.as_deref().is_none_or(is_word)
        && build.at <= latest
}

/// The same for the run of a job.
fn is_run(run: &JobRun, latest: u64) -> bool {
    let class = run.resource_class.as_deref();
    is_word(&run.job) && is_word(&run.system) && class.is_none_or(is_word) && run.at <= latest
}

/// True for what may be a name.
fn is_word(text: &str) -> bool {
    text.len() <= MAX_WORD && !text.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::super::records::Ending;
    use super::*;

    const NOW: u64 = 1_800_000_000;

    fn text(builds: &[Measurement]) -> String {
        let mut text = Vec::new();
        Records { builds: builds.to_vec(), ..Records::default() }.write(&mut text).unwrap();
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn one_field_that_is_odd_costs_its_entry_and_no_other() {
        let good = Measurement::example("a-1", NOW, Ending::Built);
        let entry = serde_json::to_string(&good).unwrap();
        let deep = format!("\"x\":{}{},\"at\"", "[".repeat(1000), "]".repeat(1000));
        for odd in [
            entry.replace("1.5", "-5"),
            entry.replace("1.5", "1e300"),
            entry.replace("1.5", "[[[[]]]]"),
            entry.replace("\"slot\":1", "\"slot\":9223372036854775808"),
            entry.replace("\"attempts\":1", "\"attempts\":\"1\""),
            entry.replace("\"at\"", &deep),
            entry.replace("\"at\"", &format!("\"x\":\"{}\",\"at\"", "y".repeat(MAX_ENTRY))),
            "7".to_owned(),
        ] {
            assert_ne!(odd, entry);
            let file = format!(
                r#"{{"version":2,"builds":[{odd},{entry}],"jobs":[{{}}],"pipelines":[0],"last_plan":{{"at":-1}}}}"#
            );
            let read = Records::read(file.as_bytes(), NOW).unwrap();
            assert_eq!((read.builds, read.left_out), (vec![good.clone()], 4), "{odd:.300}");
        }
    }

    #[test]
    fn keys_that_are_not_known_are_named() {
        let deep = "[".repeat(100_000) + &"]".repeat(100_000);
        let file = format!(r#"{{"version":2,"builds":[],"x\u001b[31m":{deep},"last_plan":null,"y":1}}"#);
        let read = Records::read(file.as_bytes(), NOW).unwrap();
        let said = "what this nixdag does not know is left out: `x\\u{1b}[31m`, `y`";
        assert_eq!(read.remarks(), [said]);
    }

    #[test]
    fn what_cannot_have_been_measured_is_left_out_and_counted() {
        let good = Measurement::example("a-1", NOW, Ending::Built);
        let odd = [
            Measurement { derivation: "/etc/passwd".to_owned(), ..good.clone() },
            Measurement { name: "b".to_owned(), ..good.clone() },
            Measurement { system: "x".repeat(129), ..good.clone() },
            Measurement { job: "a\u{1b}[31m".to_owned(), ..good.clone() },
            Measurement { at: NOW + 2 * CLOCKS_DIFFER, ..good.clone() },
        ];
        let count = odd.len();
        let all: Vec<_> =
            odd.into_iter().chain([Measurement { duration: 1_000_000_000_000, ..good.clone() }]).collect();
        let read = Records::read(text(&all).as_bytes(), NOW).unwrap();
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
        let good = text(&[Measurement::example("a-1", NOW, Ending::Built)]);
        for (text, words) in [
            ("", "no records"),
            ("[]", "no records"),
            (r#"{"version":1,"timings":[]}"#, "version 1 of records, this nixdag reads version 2"),
            (&good[..good.len() - 4], "no records"),
            (r#"{"version":2,"builds":{}}"#, "no records"),
            (r#"{"version":2}"#, "no records"),
        ] {
            let error = Records::read(text.as_bytes(), NOW).unwrap_err().to_string();
            assert!(error.contains(words), "{text}: {error}");
        }
    }
}
