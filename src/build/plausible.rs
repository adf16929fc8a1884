//! How much a record of a job can hold that a job has left. In: a record from anybody. Out: whether a job can have left it.

use super::record::Record;

/// Messages that a record holds at most.
const MOST_TEXTS: usize = 10_000;

/// Derivations, targets, paths that a record holds at most.
const MOST_ENTRIES: usize = 200_000;

/// The last second of the year 9999, since 1970.
const LATEST: u64 = 253_402_300_799;

impl Record {
    /// Whether its lists are as long as a job's can be, and its beginning is a date: it may come from anybody.
    pub(super) fn is_plausible(&self) -> bool {
        let texts = [&self.errors, &self.survived, &self.damaged];
        let others =
            [self.failures.len(), self.missing.len(), self.pushed.len(), self.closures.len(), self.derivations.len()];
        texts.iter().all(|texts| texts.len() <= MOST_TEXTS)
            && others.iter().chain([&self.waiting.len()]).all(|count| *count <= MOST_ENTRIES)
            && self.started <= LATEST
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::record::HandedOff;

    #[test]
    fn a_record_that_no_job_can_have_left_is_none() {
        let record = |started: u64, errors: usize, waiting: usize| {
            let value = serde_json::json!({
                "version": 1, "job": "a", "name": "a", "system": "x86_64-linux", "nix": "2.34", "started": started, "seconds": 1,
                "verdict": "success", "errors": vec![""; errors], "derivations": [], "waiting": vec![""; waiting], "missing": [], "damaged": [],
                "fetched": 0, "handed_off": HandedOff::default()
            });
            Record::parse(value.to_string().as_bytes(), "report.json").map(|record| record.started)
        };
        assert_eq!(record(LATEST, MOST_TEXTS, MOST_ENTRIES).unwrap(), LATEST);
        for wrong in [record(u64::MAX, 0, 0), record(0, MOST_TEXTS + 1, 0), record(0, 0, MOST_ENTRIES + 1)] {
            assert!(wrong.unwrap_err().to_string().contains("more entries, or a later date"));
        }
    }
}
