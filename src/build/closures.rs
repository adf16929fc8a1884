//! How large the closures of a job's outputs are: what a machine needs that runs or builds with them.
//!
//! In: the outputs. Out: for each of them the bytes of all NARs of its closure. The store is asked twice, whatever the number of outputs.

use std::collections::{HashMap, HashSet};

use anyhow::Result;

use crate::nix::path_info::PathInfo;
use crate::nix::store::Store;

/// So many paths are visited for all outputs together: some seconds. What is left then has no size.
const MOST_VISITS: usize = 20_000_000;

/// Store paths and what they refer to.
#[derive(Default)]
pub struct Closures {
    number: HashMap<String, usize>,
    /// Bytes of the NAR, and what the path refers to.
    paths: Vec<(u64, Vec<usize>)>,
    visits: std::cell::Cell<usize>,
}

impl Closures {
    /// Asks the store for the closures of these paths, all of which it has.
    pub fn new(store: &Store, outputs: &[&str]) -> Result<Self> {
        if outputs.is_empty() {
            return Ok(Self::default());
        }
        let requisites = store.requisites(outputs)?;
        let paths: Vec<&str> = requisites.iter().map(String::as_str).collect();
        Ok(Self::of(&store.path_infos(&paths)?))
    }

    fn of(infos: &[PathInfo]) -> Self {
        let number: HashMap<String, usize> = infos.iter().map(|info| info.path.clone()).zip(0..).collect();
        let references =
            |info: &PathInfo| info.references.iter().filter_map(|path| number.get(path).copied()).collect();
        let paths = infos.iter().map(|info| (info.nar_size, references(info))).collect();
        Self { number, paths, visits: std::cell::Cell::default() }
    }

    /// Bytes of all NARs of the closure of these outputs; none where one of them is not known.
    pub fn bytes(&self, outputs: &[String]) -> Option<u64> {
        let mut open: Vec<usize> = outputs.iter().map(|path| self.number.get(path).copied()).collect::<Option<_>>()?;
        let mut seen: HashSet<usize> = open.iter().copied().collect();
        let mut sum = 0u64;
        while let Some(at) = open.pop() {
            let (bytes, references) = &self.paths[at];
            sum = sum.saturating_add(*bytes);
            open.extend(references.iter().copied().filter(|&other| seen.insert(other)));
        }
        self.visits.set(self.visits.get() + seen.len());
        (self.visits.get() <= MOST_VISITS).then_some(sum)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nix::hash::Sha256;

    #[test]
    fn a_closure_counts_each_path_once() {
        let info = |path: &str, nar_size, references: &[&str]| PathInfo {
            path: path.to_owned(),
            nar_hash: Sha256([0; 32]),
            nar_size,
            deriver: None,
            references: references.iter().map(|&path| path.to_owned()).collect(),
        };
        let closures = Closures::of(&[
            info("top", 1, &["top", "left", "right"]),
            info("left", 10, &["base"]),
            info("right", 100, &["base", "elsewhere"]),
            info("base", 1000, &[]),
        ]);
        let of = |outputs: &[&str]| closures.bytes(&outputs.iter().map(|&path| path.to_owned()).collect::<Vec<_>>());
        assert_eq!([of(&["top"]), of(&["left", "right"]), of(&["none"])], [Some(1111), Some(1110), None]);
    }
}
