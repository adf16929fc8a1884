//! What the users' jobs wait for: in `requires`, an entry may name a target by its attribute or a pattern of attributes. In: the
//! users' configurations and the plan. Out: the same with names of jobs, and warnings.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};

use super::super::names::GATE;
use super::super::template;
use super::gate::is_meant;
use super::user_config::{Invocation, Requirement, UserConfig};
use crate::plan::{JobIndex, Plan};
use crate::printable::printable;
use crate::provider::waited_for::Targets;

/// Replaces attributes in the `requires` of all jobs that join the generated ones. Gives warnings.
pub fn resolve(users: &mut [UserConfig], plan: &Plan) -> Result<Vec<String>> {
    let targets = Targets::of(plan);
    let mut warnings = Vec::new();
    let all = users.to_owned();
    let names: Vec<&str> = all.iter().flat_map(|user| user.jobs.iter().map(Invocation::name)).collect();
    for user in users {
        let name = user.name.clone();
        for job in &mut user.jobs {
            let mut resolved: Vec<Requirement> = Vec::new();
            let mut jobs = BTreeSet::new();
            for requirement in job.requires().with_context(|| format!("cannot merge `{name}`"))? {
                let own = all.iter().flat_map(|user| &user.jobs).any(|job| is_meant(job, &requirement.name));
                if own || requirement.name == GATE {
                    push(&mut resolved, requirement);
                    continue;
                }
                let what = || {
                    format!(
                        "`{name}`: job `{}` cannot require `{}`",
                        printable(job.name()),
                        printable(&requirement.name)
                    )
                };
                let found = targets.find(&requirement.name, &names).with_context(what)?;
                warnings.extend(found.warnings.iter().map(|why| format!("{}: {why}", what())));
                if requirement.status.is_none() {
                    jobs.extend(found.jobs);
                    continue;
                }
                for index in found.jobs {
                    let label = template::label(&plan.job(index).name);
                    ensure!(
                        label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'),
                        "{}: CircleCI takes a status only for jobs with plain names, not for `{label}`",
                        what()
                    );
                    push(&mut resolved, Requirement { name: label, status: requirement.status.clone() });
                }
            }
            // Who waits for a job waits for all that it waits for.
            let implied: BTreeSet<JobIndex> =
                jobs.iter().flat_map(|&index| plan.job(index).inputs.iter().copied()).collect();
            for &index in jobs.difference(&implied) {
                push(&mut resolved, Requirement { name: template::label(&plan.job(index).name), status: None });
            }
            job.set_requires(resolved);
        }
    }
    Ok(warnings)
}

fn push(requirements: &mut Vec<Requirement>, requirement: Requirement) {
    if !requirements.iter().any(|known| known.name == requirement.name) {
        requirements.push(requirement);
    }
}
