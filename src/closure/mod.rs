//! Runtime closures: what store paths refer to, and how many bytes that is.
//!
//! In: what narinfo files and stores say of paths, wherever these are; no contents are read. Out: a [`Closure`] of known size, or the paths of which nothing
//! is known, so that a size is never guessed.

pub mod difference;

use std::collections::{BTreeSet, HashMap};

use crate::nix::narinfo::NarInfo;
use crate::nix::path_info::PathInfo;

/// Paths that are looked up at most: answers come from outside.
const MAX_PATHS: usize = 500_000;

/// References of one path at most, each counted once: of one with more nothing is known.
const MAX_REFERENCES: usize = 20_000;

/// What is known of store paths, by base name.
#[derive(Clone, Debug, Default)]
pub struct KnownPaths {
    facts: HashMap<String, PathFacts>,
    /// Nobody knows anything of these.
    unknown: BTreeSet<String>,
}

/// What a narinfo or a store says of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathFacts {
    /// Bytes of its NAR.
    nar_size: u64,
    /// What it refers to, by base name.
    references: BTreeSet<String>,
}

impl From<NarInfo> for PathFacts {
    fn from(info: NarInfo) -> Self {
        Self { nar_size: info.nar_size, references: info.references.into_iter().collect() }
    }
}

impl From<PathInfo> for PathFacts {
    fn from(info: PathInfo) -> Self {
        let base = |path: String| path.rsplit('/').next().unwrap_or_default().to_owned();
        Self { nar_size: info.nar_size, references: info.references.into_iter().map(base).collect() }
    }
}

/// A path with all that it refers to, by base name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Closure {
    /// The paths.
    pub paths: BTreeSet<String>,
    /// Paths among them of which nothing is known.
    pub unknown: BTreeSet<String>,
    /// Bytes of the NARs of those that are known.
    pub known_bytes: u64,
}

impl KnownPaths {
    /// Adds all that these paths refer to. `look_up` answers for a list of base names, in its order; each is asked for once.
    pub fn load(&mut self, roots: &[String], look_up: &mut dyn FnMut(&[String]) -> Vec<Option<PathFacts>>) {
        let mut wave: BTreeSet<String> = roots.iter().filter(|base| !self.has(base)).cloned().collect();
        while !wave.is_empty() && self.facts.len() + self.unknown.len() < MAX_PATHS {
            let bases: Vec<String> = std::mem::take(&mut wave).into_iter().collect();
            let answers = look_up(&bases);
            for (base, answer) in bases.into_iter().zip(answers) {
                match answer {
                    Some(facts) if facts.references.len() <= MAX_REFERENCES => {
                        wave.extend(facts.references.iter().cloned());
                        self.facts.insert(base, facts);
                    }
                    Some(_) | None => _ = self.unknown.insert(base),
                }
            }
            wave.retain(|base| !self.has(base));
        }
        self.unknown.extend(wave);
    }

    fn has(&self, base: &str) -> bool {
        self.facts.contains_key(base) || self.unknown.contains(base)
    }

    /// What these paths refer to, themselves included; they have to be loaded.
    pub fn closure(&self, roots: impl IntoIterator<Item = String>) -> Closure {
        let mut closure = Closure::default();
        let mut open: Vec<String> = roots.into_iter().collect();
        while let Some(base) = open.pop() {
            if closure.paths.contains(&base) {
                continue;
            }
            match self.facts.get(&base) {
                Some(facts) => {
                    closure.known_bytes = closure.known_bytes.saturating_add(facts.nar_size);
                    open.extend(facts.references.iter().filter(|base| !closure.paths.contains(*base)).cloned());
                }
                None => _ = closure.unknown.insert(base.clone()),
            }
            closure.paths.insert(base);
        }
        closure
    }

    /// Bytes of a path's NAR.
    fn nar_size(&self, base: &str) -> u64 {
        self.facts.get(base).map_or(0, |facts| facts.nar_size)
    }
}

impl Closure {
    /// Its size, where all of it is known.
    pub fn bytes(&self) -> Option<u64> {
        self.unknown.is_empty().then_some(self.known_bytes)
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::nix::hash::Sha256;

    /// A narinfo of a base name.
    pub fn info(base: &str, nar_size: u64, references: &[&str]) -> NarInfo {
        NarInfo {
            store_path: format!("/nix/store/{base}"),
            url: "nar/x".into(),
            compression: "none".into(),
            file_hash: None,
            file_size: None,
            nar_hash: Sha256([0; 32]),
            nar_size,
            references: references.iter().map(|base| (*base).to_owned()).collect(),
            deriver: None,
            signatures: Vec::new(),
            content_address: None,
        }
    }

    #[test]
    fn each_path_is_asked_for_once_and_what_is_not_known_is_said() {
        let infos = [info("a", 10, &["a", "b", "c"]), info("b", 5, &["c", "gone"]), info("c", 1, &[])];
        let find = |base: &String| infos.iter().find(|info| info.store_path.ends_with(&format!("/{base}"))).cloned();
        let mut asked = Vec::new();
        let mut known = KnownPaths::default();
        known.load(&["a".into(), "c".into()], &mut |bases| {
            asked.extend_from_slice(bases);
            bases.iter().map(|base| find(base).map(PathFacts::from)).collect()
        });
        assert_eq!(asked, ["a", "c", "b", "gone"]);
        let closure = known.closure(["a".to_owned()]);
        assert_eq!((closure.bytes(), closure.known_bytes, closure.paths.len()), (None, 16, 4));
        assert_eq!(closure.unknown, BTreeSet::from(["gone".to_owned()]));
        assert_eq!(known.closure(["c".to_owned()]).bytes(), Some(1));
    }

    #[test]
    fn no_reference_is_left_out_of_a_size_that_counts_as_known() {
        let others: Vec<String> = (0..=MAX_REFERENCES).map(|number| format!("x{number}")).collect();
        let [mut repeated, mut many] = [vec!["a"; MAX_REFERENCES + 1], others.iter().map(String::as_str).collect()];
        for references in [&mut repeated, &mut many] {
            references.push("big");
        }
        let bytes = |references: &[&str]| {
            let mut known = KnownPaths::default();
            known.load(&["a".into()], &mut |bases| {
                let answer = |base: &String| match base.as_str() {
                    "a" => Some(info("a", 1, references)),
                    other => Some(info(other, 1_000, &[])),
                };
                bases.iter().map(|base| answer(base).map(PathFacts::from)).collect()
            });
            known.closure(["a".to_owned()]).bytes()
        };
        assert_eq!((bytes(&repeated), bytes(&many)), (Some(1_001), None));
    }
}
