//! Final jobs that run a command: which outputs they find, and after which jobs they come.

use anyhow::{Result, bail};

use super::Finals;
use crate::attribute::AttributePath;
use crate::delivery::HandOffKind;
use crate::graph::DrvId;
use crate::pattern::Pattern;
use crate::plan::final_job::{FinalJob, FinalJobRequest, Task};
use crate::plan::{SkipReason, restored};

impl<'a> Finals<'a> {
    /// A job that runs a command.
    pub fn run(&mut self, request: &FinalJobRequest) -> Result<()> {
        let Task::Run { command, checkout, restore, environment, resource_group } = &request.task else {
            return Ok(());
        };
        let (after, mut direct) = self.after(request)?;
        let targets = match restore {
            None => self.restorable(request, after),
            Some(patterns) => {
                let mut all = Vec::new();
                for pattern in patterns {
                    let meant = self.meant(pattern);
                    let none = meant.is_empty();
                    let found = self.restorable(request, meant);
                    // The command does not run then: it waits for the job that reports the failure.
                    if found.is_empty() && self.has_failed(pattern) {
                        let why = format!("final job `{}` cannot have `{pattern}`: it failed before", request.name);
                        self.warnings.push(why);
                    } else if none && self.inputs.is_part {
                        let why = format!(
                            "final job `{}` is left out: `{pattern}`, which it restores, is not selected",
                            request.name
                        );
                        self.warnings.push(why);
                        return Ok(());
                    } else if found.is_empty() {
                        bail!(
                            "final job `{}` wants `{pattern}` restored, {}",
                            request.name,
                            if none {
                                format!("which is not a target{}", self.hint(pattern))
                            } else {
                                format!("and cannot have it: {}", self.warnings.pop().unwrap_or_default())
                            }
                        );
                    }
                    all.extend(found);
                }
                all.sort_unstable();
                all.dedup();
                all
            }
        };
        direct.extend(targets.iter().filter_map(|(_, id)| self.owner.get(id).copied()));
        let (system, executor) = self.machines.of(request);
        let mut job = self.shell(request, system, executor, direct);
        job.name = request.name.clone();
        self.jobs.push(FinalJob {
            restore: restored::name(self.inputs.graph, &targets, system),
            job,
            run: Some(command.clone()),
            checkout: *checkout,
            environment: environment.clone(),
            resource_group: resource_group.clone(),
        });
        Ok(())
    }

    /// True if the pattern means something that does not evaluate or has no executor.
    pub(super) fn has_failed(&self, pattern: &Pattern) -> bool {
        let errors = self.plan.errors.iter().map(|error| &error.target);
        let lacking = self.plan.skipped.iter().filter(|skipped| skipped.reason == SkipReason::NoExecutor);
        errors.chain(lacking.map(|skipped| &skipped.target)).any(|target| pattern.matches_at_or_above(target.names()))
    }

    /// Those targets whose outputs a job can have before it builds anything; warns about others.
    fn restorable(
        &mut self,
        request: &FinalJobRequest,
        targets: Vec<(&'a AttributePath, DrvId)>,
    ) -> Vec<(&'a AttributePath, DrvId)> {
        let (inputs, owner) = (self.inputs, &self.owner);
        let mut found = targets;
        found.retain(|(attribute, id)| {
            let is_floating = inputs.graph.node(*id).is_floating();
            let problem = if is_floating && !owner.contains_key(id) {
                "its output path is known only once it is built, and no job of this plan builds it"
            } else if is_floating && inputs.handoff == HandOffKind::Cache {
                "its output path is known only once it is built, and `handoff: cache` does not pass it on"
            } else if inputs.needed.has(*id) && !owner.contains_key(id) {
                "no job builds it"
            } else {
                return true;
            };
            self.warnings.push(format!("final job `{}` does without target `{attribute}`: {problem}", request.name));
            false
        });
        found
    }
}
