//! The job that holds the sizes of closures against their limits: behind all jobs that may not fail, with nothing of its own.

use anyhow::Result;

use super::Finals;
use crate::plan::final_job::{FinalJob, FinalJobRequest, Task};
use crate::plan::{SkipReason, Skipped};
use crate::printable::printable;

impl<'a> Finals<'a> {
    /// The job.
    pub fn sizes(&mut self, request: &'a FinalJobRequest) -> Result<()> {
        let Task::Sizes(limits) = &request.task else { return Ok(()) };
        for (at, (pattern, _)) in limits.limits.iter().enumerate() {
            let is_meant = |skipped: &Skipped| {
                skipped.reason == SkipReason::Unaffected && pattern.matches_at_or_above(skipped.target.names())
            };
            let is_known = self.inputs.is_part || self.has_failed(pattern) || self.plan.skipped.iter().any(is_meant);
            if !is_known && self.meant(pattern).is_empty() {
                let place = limits.places.get(at).map(|place| format!("{place}: ")).unwrap_or_default();
                self.warnings.push(format!(
                    "{place}`size_limits`: `{}` is not a target{}",
                    printable(&pattern.to_string()),
                    self.hint(pattern)
                ));
            }
        }
        let (_, direct) = self.after(request)?;
        let (system, executor) = self.machines.of(request);
        let job = self.shell(request, system, executor, direct);
        self.size_check = Some((self.jobs.len(), limits));
        self.jobs.push(FinalJob::without_command(job));
        Ok(())
    }
}
