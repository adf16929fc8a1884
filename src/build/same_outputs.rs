//! Other derivations of an output that could not be made: the same file from another mirror. Of derivations with the same fixed output one
//! stands in the plan for all; where that fails the others are built in its place, which Nix itself would do for whatever names them.
//!
//! In: what failed, the plan. Out: whether anything was made after all. Each is begun once, and both failures are put down.

use std::collections::BTreeMap;
use std::time::Instant;

use anyhow::Result;

use super::job_store;
use super::outcome::known_outputs;
use super::progress::Tracker;
use super::realise::Calls;
use super::work::JobWork;
use super::{JobRequest, OnMissing};
use crate::graph::{DrvId, Graph};

/// What is built from.
pub struct SameOutputs<'a> {
    /// What the job has to do.
    pub work: &'a JobWork<'a>,
    /// What brings paths into the store.
    pub calls: &'a Calls,
    /// Other derivations of what this job builds, by the one that stands for them.
    others: BTreeMap<&'a str, Vec<&'a str>>,
}

impl<'a> SameOutputs<'a> {
    /// Looks at the plan. Where nothing may be built that belongs to other jobs there are none: what they need is nobody's.
    pub fn new(work: &'a JobWork<'a>, calls: &'a Calls) -> Self {
        let request: &JobRequest = work.request;
        let mut others: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (other, stands) in &request.plan.same_as {
            let is_ours = work.graph.find(stands).is_some_and(|id| work.set.contains(&id));
            // Another one that is the same but for what it takes would fail the same way.
            if request.on_missing == OnMissing::Build && is_ours && is_fetched(work.graph, stands) {
                others.entry(stands).or_default().push(other);
            }
        }
        Self { work, calls, others }
    }

    /// Builds others for all that has failed, one for each at a time; true where an output was made.
    pub fn build(&mut self, tracker: &mut Tracker) -> Result<bool> {
        let mut has_made = false;
        loop {
            let asked = self.next(tracker);
            if asked.is_empty() {
                break;
            }
            for (stands, other) in &asked {
                let line = format!("`{stands}` failed: building `{other}`, which has the same output");
                tracker.say(&line, Instant::now());
                tracker.ledger_mut().add_other(other, stands);
            }
            let paths: Vec<&str> = asked.iter().map(|(_, other)| *other).collect();
            let imported = job_store::import_derivations(self.work.request, &paths, self.calls.store(), &mut |line| {
                tracker.say(line, Instant::now());
            });
            if let Err(error) = imported {
                paths.iter().for_each(|other| {
                    tracker.ledger_mut().add_failure((*other).to_owned(), format!("{error:#}"));
                });
                continue;
            }
            self.work.held.hold(paths.iter().copied())?;
            self.calls.build(&paths, &[], tracker)?;
            for (stands, other) in asked {
                if self.is_there(stands)? {
                    tracker.ledger_mut().make_up_for(stands, other);
                    has_made = true;
                } else {
                    tracker.ledger_mut().add_failure_unless_known(other, "Nix did not say why it was not built");
                }
            }
        }
        if has_made {
            tracker.ledger_mut().forget_dependents();
        }
        Ok(has_made)
    }

    /// For each that has failed the next one that can be built in its place.
    fn next(&mut self, tracker: &Tracker) -> Vec<(&'a str, &'a str)> {
        let failed = self.others.iter_mut().filter(|(stands, _)| tracker.ledger().failure(stands).is_some());
        failed.filter_map(|(stands, others)| (!others.is_empty()).then(|| (*stands, others.remove(0)))).collect()
    }

    fn is_there(&self, derivation: &str) -> Result<bool> {
        let Some(id) = self.work.graph.find(derivation) else { return Ok(false) };
        let outputs: Vec<String> = known_outputs(self.work.graph, id).collect();
        Ok(self.calls.store().invalid(&outputs.iter().map(String::as_str).collect::<Vec<_>>())?.is_empty())
    }
}

fn is_fetched(graph: &Graph, derivation: &str) -> bool {
    graph.find(derivation).is_some_and(|id: DrvId| graph.node(id).fixed_output)
}
