//! What builds have needed of their machines beside time: memory and processors; and on which machines memory was not enough.
//!
//! In: [`Records`]. Out: [`Needs`], asked by derivation. Peaks count at their highest of the youngest few: too little memory costs a build, too
//! much only money.

use std::cmp::Reverse;
use std::collections::HashMap;

use super::records::{Ending, Measurement, Records, family_of};

/// So many measurements count, the youngest.
pub const YOUNGEST: usize = 5;

/// The class of a failure for lack of memory, as records name it.
pub const KILLED: &str = "killed";

/// Shorter builds say nothing about processors, milliseconds: their use is measured once a second.
const TOO_SHORT: u64 = 10_000;

/// What builds have needed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    memory: Peaks,
    processors: Peaks,
    killed: HashMap<Family, Killed>,
}

type Family = (String, String);

/// A kill for lack of memory.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Killed {
    at: u64,
    class: String,
}

/// The highest of the youngest measurements, by path and by family.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Peaks {
    by_path: HashMap<String, u64>,
    by_family: HashMap<Family, u64>,
}

impl Needs {
    /// What the records say.
    pub fn new(records: &Records) -> Self {
        let classes: HashMap<(&str, u64), &str> = records
            .jobs
            .iter()
            .filter_map(|run| Some(((run.job.as_str(), run.at), run.resource_class.as_deref()?)))
            .collect();
        let class = |build: &Measurement| classes.get(&(build.job.as_str(), build.at)).copied();
        let built = || records.builds.iter().filter(|build| build.ending == Ending::Built);
        let mut killed: HashMap<Family, Killed> = HashMap::new();
        for build in records.builds.iter().filter(|build| build.class.as_deref() == Some(KILLED)) {
            let Some(class) = class(build) else { continue };
            let new = Killed { at: build.at, class: class.to_owned() };
            let known = killed.entry(family(build)).or_insert_with(|| new.clone());
            if known.at < new.at {
                *known = new;
            }
        }
        // What was built there since fits.
        for build in built() {
            let family = family(build);
            if killed.get(&family).is_some_and(|kill| kill.at < build.at && class(build) == Some(&kill.class)) {
                killed.remove(&family);
            }
        }
        let processors = |build: &Measurement| {
            build.used.cpu.filter(|_| build.duration >= TOO_SHORT).map(|cpu| cpu.saturating_mul(1000) / build.duration)
        };
        Self {
            memory: Peaks::new(built(), |build| build.used.memory),
            processors: Peaks::new(built(), processors),
            killed,
        }
    }

    /// Memory of a builder's processes at once, at most, bytes.
    pub fn memory(&self, path: &str, name: &str, system: &str) -> Option<u64> {
        self.memory.of(path, name, system)
    }

    /// Processors that a build has kept busy on average, thousandths.
    pub fn processors(&self, path: &str, name: &str, system: &str) -> Option<u64> {
        self.processors.of(path, name, system)
    }

    /// The size of the machine on which it, or another version of it, was last killed for lack of memory, and has not been built since.
    pub fn killed_on(&self, name: &str, system: &str) -> Option<&str> {
        if self.killed.is_empty() {
            return None;
        }
        self.killed.get(&(family_of(name), system.to_owned())).map(|killed| killed.class.as_str())
    }

    /// True where nothing is known.
    pub fn is_empty(&self) -> bool {
        self.memory.by_path.is_empty() && self.processors.by_path.is_empty() && self.killed.is_empty()
    }
}

impl Peaks {
    fn new<'b>(builds: impl Iterator<Item = &'b Measurement>, value: impl Fn(&Measurement) -> Option<u64>) -> Self {
        let (mut by_path, mut by_family) = (HashMap::<_, Vec<_>>::new(), HashMap::<_, Vec<_>>::new());
        for (build, value) in builds.filter_map(|build| Some((build, value(build)?))) {
            by_path.entry(build.derivation.clone()).or_default().push((Reverse(build.at), value));
            by_family.entry(family(build)).or_default().push((Reverse(build.at), value));
        }
        Self { by_path: highest(by_path), by_family: highest(by_family) }
    }

    fn of(&self, path: &str, name: &str, system: &str) -> Option<u64> {
        if self.by_path.is_empty() {
            return None;
        }
        let of_family = || self.by_family.get(&(family_of(name), system.to_owned()));
        self.by_path.get(path).or_else(of_family).copied()
    }
}

fn family(build: &Measurement) -> Family {
    (build.family(), build.system.clone())
}

fn highest<K: std::hash::Hash + Eq>(samples: HashMap<K, Vec<(Reverse<u64>, u64)>>) -> HashMap<K, u64> {
    let highest = samples.into_iter().filter_map(|(key, mut samples)| {
        samples.sort_unstable();
        Some((key, samples.into_iter().take(YOUNGEST).map(|(_, value)| value).max()?))
    });
    highest.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::jobs::{JobRun, Measured};
    use crate::history::used::Used;

    fn path(name: &str) -> String {
        format!("/nix/store/{}-{name}.drv", "0".repeat(32))
    }

    /// A build in the job of that moment, and that job, on a machine of this class.
    fn records(builds: &[(&str, u64, &str, Option<u64>)]) -> Records {
        let build = |&(name, at, _, memory): &(&str, u64, &str, Option<u64>)| Measurement {
            name: name.into(),
            system: "s".into(),
            derivation: path(name),
            at,
            job: "j".into(),
            duration: 20_000,
            ending: if memory.is_some() { Ending::Built } else { Ending::Failed },
            class: memory.is_none().then(|| KILLED.to_owned()),
            attempts: 1,
            used: Used { memory, cpu: Some(50_000), ..Used::default() },
        };
        let job = |&(_, at, class, _): &(&str, u64, &str, Option<u64>)| JobRun {
            job: "j".into(),
            system: "s".into(),
            resource_class: Some(class.into()),
            at,
            duration: 1,
            measured: Measured::default(),
        };
        Records {
            builds: builds.iter().map(build).collect(),
            jobs: builds.iter().map(job).collect(),
            ..Records::default()
        }
    }

    #[test]
    fn a_kill_counts_until_it_was_built_on_such_a_machine() {
        let mut builds = vec![("a-1", 5, "small", None)];
        let killed = |builds: &[_]| Needs::new(&records(builds)).killed_on("a-2", "s").map(str::to_owned);
        assert_eq!(killed(&builds).as_deref(), Some("small"), "another version too");
        builds.push(("a-1", 6, "large", Some(1)));
        assert_eq!(killed(&builds).as_deref(), Some("small"), "it fits a larger one only");
        builds.push(("a-1", 7, "large", None));
        assert_eq!(killed(&builds).as_deref(), Some("large"), "the last one");
        builds.push(("a-1", 8, "large", Some(1)));
        assert_eq!(killed(&builds), None);
    }

    #[test]
    fn the_highest_of_the_youngest_peaks_counts_for_other_versions_too() {
        let many: Vec<_> = (0..8).map(|at| ("a-1", at, "small", Some(100 - at))).collect();
        let needs = Needs::new(&records(&many));
        assert_eq!(needs.memory(&path("a-1"), "a-1", "s"), Some(97), "of the youngest five");
        assert_eq!((needs.memory("x", "a-2", "s"), needs.memory("x", "b-1", "s")), (Some(97), None));
        assert_eq!(needs.processors("x", "a-1", "s"), Some(2_500));
        assert!(Needs::new(&Records::default()).is_empty());
    }
}
