//! What the gate waits for beside the generated jobs: the users' jobs of the same workflow, for it is the one required check.
//!
//! Not all of them: a job that runs after the gate cannot come before it; an approval, and what waits for one, may never come; a job
//! that runs when another one fails does not run when all is well. Filters need no thought: CircleCI leaves out what they remove.

use anyhow::Result;

use super::super::names::GATE;
use super::user_config::{Invocation, Requirement, UserConfig};
use crate::provider::yaml::Yaml;

/// Names of the users' jobs that the gate waits for.
pub(super) fn waits_for(users: &[UserConfig]) -> Result<Vec<String>> {
    let mut jobs: Vec<(&Invocation, Vec<Requirement>)> = Vec::new();
    for job in users.iter().flat_map(|user| &user.jobs) {
        jobs.push((job, job.requires()?));
    }
    let mut excluded: Vec<bool> = jobs
        .iter()
        .map(|(job, requires)| {
            is_approval(job, users)
                || requires.iter().any(|requirement| requirement.name == GATE || !requirement.is_success())
        })
        .collect();
    // What comes after an excluded job is excluded too.
    loop {
        let mut changed = false;
        for at in 0..jobs.len() {
            let behind = jobs[at].1.iter().any(|requirement| {
                jobs.iter().zip(&excluded).any(|((job, _), excluded)| *excluded && is_meant(job, &requirement.name))
            });
            changed |= behind && !excluded[at];
            excluded[at] |= behind;
        }
        if !changed {
            break;
        }
    }
    Ok(jobs.iter().zip(excluded).filter(|(_, excluded)| !excluded).map(|((job, _), _)| job.name().to_owned()).collect())
}

/// Lets the gate wait for these too.
pub(super) fn add(gate: &mut Invocation, names: Vec<String>) -> Result<()> {
    let mut requirements = gate.requires()?;
    requirements.extend(names.into_iter().map(|name| Requirement { name, status: None }));
    if !requirements.is_empty() && gate.get("requires").is_none() {
        gate.arguments.insert(0, ("requires".to_owned(), Yaml::Null));
    }
    gate.set_requires(requirements);
    Ok(())
}

/// True if a name in `requires` stands for the job, or for one of a matrix.
pub(super) fn is_meant(job: &Invocation, name: &str) -> bool {
    if job.name() == name {
        return true;
    }
    if job.get("matrix").is_none() {
        return false;
    }
    // CircleCI names them after their parameters; only the beginning is known.
    let pattern = job.get("name").and_then(Yaml::as_text).map(|name| name.split("<<").next().unwrap_or_default());
    match pattern {
        Some(beginning) => !beginning.is_empty() && name.starts_with(beginning),
        None => name.strip_prefix(job.key.as_str()).is_some_and(|rest| rest.starts_with('-')),
    }
}

fn is_approval(job: &Invocation, users: &[UserConfig]) -> bool {
    let approves = |value: Option<&Yaml>| value.and_then(Yaml::as_text) == Some("approval");
    let defined = users.iter().flat_map(|user| &user.sections).filter(|(section, _)| section == "jobs");
    let mut definitions = defined.flat_map(|(_, jobs)| jobs).filter(|(key, _)| *key == job.key);
    approves(job.get("type")) || definitions.any(|(_, definition)| approves(definition.get("type")))
}
