//! What jobs fetch: from each other, and from caches by the sizes that these say of what exists.
//!
//! In: sizes, one derivation after the other. Out: [`Downloads`] of a job, and of all. What a path refers to is
//! not asked for, so this is the least that is fetched.

use serde::{Deserialize, Serialize};

use super::problem::Millis;
use crate::delivery::HandOffKind;
use crate::duration::seconds;
use crate::nix::binary_cache::PathSize;

/// What hand-offs are predicted to take, over all jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HandOffEstimate {
    /// How results travel.
    pub kind: HandOffKind,
    /// Layers of a workspace that jobs attach, one for each transitive ancestor; 0 with a cache.
    pub layers: u64,
    /// What attaching one of them takes; it is a part of each job's estimate.
    #[serde(rename = "layer_seconds", with = "seconds")]
    pub layer: Millis,
    /// Bytes that jobs fetch: with a workspace all that their ancestors have built, else what they miss; null where the sizes are not known.
    pub bytes: Option<u64>,
    /// What both take.
    #[serde(rename = "seconds", with = "seconds")]
    pub time: Millis,
}

/// What all jobs fetch from caches at least, summed over all jobs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Downloads {
    /// Derivations whose outputs are fetched.
    pub derivations: u64,
    /// Of how many of these no cache has said how large they are.
    pub unknown: u64,
    /// Bytes of their NARs, which is about what they take on disks.
    pub nar_bytes: u64,
    /// Bytes that are fetched, compressed where caches compress.
    pub bytes: u64,
    /// What that takes in all; it is a part of no job's estimate.
    #[serde(rename = "seconds", with = "seconds")]
    pub time: Millis,
}

impl Downloads {
    /// Adds what one derivation has in a cache.
    pub fn add(&mut self, size: Option<PathSize>) {
        self.derivations += 1;
        match size {
            Some(size) => {
                self.nar_bytes = self.nar_bytes.saturating_add(size.nar);
                self.bytes = self.bytes.saturating_add(size.file.unwrap_or(size.nar));
            }
            None => self.unknown += 1,
        }
    }
}

/// All of it, at so many bytes a second; none where nothing is known of any size.
pub fn of_all(jobs: &[Downloads], bandwidth: u64) -> Option<Downloads> {
    let mut all = Downloads::default();
    for job in jobs {
        all.derivations += job.derivations;
        all.unknown += job.unknown;
        all.nar_bytes = all.nar_bytes.saturating_add(job.nar_bytes);
        all.bytes = all.bytes.saturating_add(job.bytes);
    }
    all.time = all.bytes.saturating_mul(1000) / bandwidth.max(1);
    (all.derivations > all.unknown).then_some(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_is_counted_and_not_guessed() {
        let mut job = Downloads::default();
        for size in [Some(PathSize { nar: 100, file: Some(40) }), Some(PathSize { nar: 60, file: None }), None] {
            job.add(size);
        }
        let all = of_all(&[job, job], 100).unwrap();
        assert_eq!((all.derivations, all.unknown, all.nar_bytes, all.bytes, all.time), (6, 2, 320, 200, 2_000));
        let unknown = Downloads { derivations: 3, unknown: 3, ..Downloads::default() };
        assert_eq!(of_all(&[unknown], 100), None);
        assert_eq!(of_all(&[], 0), None);
    }
}
