//! How one job is predicted to run: when it starts, its phases, and each of its builds. For pages and programs, which need not run the model
//! themselves.
//!
//! In the plan's JSON it is a job's `predicted`. What a job's builds take is in two columns, since a plan may have a hundred thousand of them.

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

use super::estimate::{BuildEstimate, EstimateKind};
use super::problem::Millis;
use crate::duration::seconds;

/// The predicted run of one job. Times in milliseconds, in JSON in seconds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Predicted {
    /// After the start of the first job.
    #[serde(rename = "start_seconds", with = "seconds")]
    pub start: Millis,
    /// From there to the first fetch: machine, Nix, nixdag, bundle.
    #[serde(rename = "start_up_seconds", with = "seconds")]
    pub start_up: Millis,
    /// Attaching layers and fetching what other jobs have built.
    #[serde(rename = "restore_seconds", with = "seconds")]
    pub restore: Millis,
    /// Building.
    #[serde(rename = "build_seconds", with = "seconds")]
    pub build: Millis,
    /// Handing on what the job has built; none where nothing is known of how large that is.
    #[serde(rename = "hand_off_seconds", with = "seconds::optional")]
    pub hand_off: Option<Millis>,
    /// Derivations that are built at once.
    pub slots: u32,
    /// What each build takes: the derivations that the job owns and then the co-located ones, in the order of these lists.
    #[serde(rename = "builds_seconds", with = "seconds::list")]
    pub builds: Vec<Millis>,
    /// How each of these is known, a letter each: see [`EstimateKind::letter`].
    pub builds_from: String,
}

impl Predicted {
    /// Adds the build of one more derivation.
    pub fn push(&mut self, estimate: &BuildEstimate) {
        self.builds.push(estimate.duration);
        self.builds_from.push(estimate.kind.letter());
    }

    /// Refuses columns that are not those of a job with so many builds.
    pub fn check(&self, builds: usize) -> Result<()> {
        ensure!(
            self.builds.len() == builds && self.builds_from.len() == builds,
            "`predicted` has {} durations of {} kinds, and the job builds {builds} derivations",
            self.builds.len(),
            self.builds_from.len()
        );
        let unknown = self.builds_from.chars().find(|letter| EstimateKind::of_letter(*letter).is_none());
        ensure!(unknown.is_none(), "`builds_from` of `predicted` has other letters than `r`, `f` and `g`");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_those_of_the_builds() {
        let with = |builds: &[Millis], from: &str| Predicted {
            builds: builds.to_vec(),
            builds_from: from.to_owned(),
            ..Predicted::default()
        };
        assert!(with(&[1, 2, 3], "rfg").check(3).is_ok());
        for (predicted, builds) in [(with(&[1], "r"), 2), (with(&[1, 2], "r"), 2), (with(&[1], "x"), 1)] {
            assert!(predicted.check(builds).is_err(), "{predicted:?}");
        }
    }
}
