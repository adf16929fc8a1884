//! What the users' jobs wait for: in `requires`, an entry may name a target by its attribute or a pattern of attributes. In: the
//! users' configurations and the plan. Out: the same with names of jobs, and warnings.
//!
//! An entry `packages.x86_64-linux.hello`, `nixdag/packages.*.*` or, as the jobs are named, `hello` becomes the jobs that complete
//! these targets. A target that exists already needs no waiting for. One that is never built is an error where it is named, and a
//! warning where a pattern reaches it.

use std::collections::BTreeSet;

use anyhow::{Context, Result, bail, ensure};

use super::super::names::GATE;
use super::super::template;
use super::gate::is_meant;
use super::user_config::{Requirement, UserConfig};
use crate::attribute::AttributePath;
use crate::nearest::nearest;
use crate::pattern::{Pattern, Segment};
use crate::plan::{JobIndex, Plan, SkipReason, names};
use crate::printable::printable;

/// Says that what follows is an attribute, whatever the user's own jobs are called.
const PREFIX: &str = "nixdag/";

/// Replaces attributes in the `requires` of all jobs that join the generated ones. Gives warnings.
pub fn resolve(users: &mut [UserConfig], plan: &Plan) -> Result<Vec<String>> {
    let targets = Targets::of(plan);
    let mut warnings = Vec::new();
    let all = users.to_owned();
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
                let found = targets.find(&requirement.name, &all).with_context(what)?;
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

/// What became of a target.
#[derive(Clone, Debug)]
enum Fate {
    /// A job completes it.
    Built(JobIndex),
    /// It exists.
    There,
    /// It is neither there nor built: why.
    Never(String),
}

struct Targets<'a> {
    plan: &'a Plan,
    all: Vec<(&'a AttributePath, Fate)>,
}

struct Found {
    jobs: BTreeSet<JobIndex>,
    warnings: Vec<String>,
}

impl<'a> Targets<'a> {
    fn of(plan: &'a Plan) -> Self {
        let mut all = Vec::new();
        for (at, job) in plan.all_jobs().enumerate() {
            all.extend(job.targets.iter().map(|target| (target, Fate::Built(JobIndex(at as u32)))));
        }
        for skipped in &plan.skipped {
            let fate = match skipped.reason {
                SkipReason::Available | SkipReason::Unaffected => Fate::There,
                SkipReason::Excluded => Fate::Never("is excluded".into()),
                SkipReason::NoExecutor => Fate::Never("is of a system that no executor builds".into()),
            };
            all.push((&skipped.target, fate));
        }
        for error in &plan.errors {
            all.push((&error.target, Fate::Never("does not evaluate".into())));
        }
        Self { plan, all }
    }

    /// The jobs that an entry stands for.
    fn find(&self, entry: &str, users: &[UserConfig]) -> Result<Found> {
        let mut found = Found { jobs: BTreeSet::new(), warnings: Vec::new() };
        let text = entry.strip_prefix(PREFIX).unwrap_or(entry);
        let finals = self.plan.final_jobs.iter().enumerate().filter(|(_, job)| job.job.name == text);
        let finals: BTreeSet<JobIndex> = finals.map(|(at, _)| JobIndex((self.plan.jobs.len() + at) as u32)).collect();
        if !finals.is_empty() {
            found.jobs = finals;
            return Ok(found);
        }
        let pattern = Pattern::parse(text)?;
        let is_literal = pattern
            .alternatives()
            .iter()
            .all(|segments| segments.iter().all(|segment| matches!(segment, Segment::Literal(_))));
        let meant: Vec<_> =
            self.all.iter().filter(|(target, _)| pattern.matches(target.names()) || short(target) == text).collect();
        if meant.is_empty() {
            let names = self.all.iter().flat_map(|(target, _)| [target.to_string(), short(target)]);
            let own = users.iter().flat_map(|user| user.jobs.iter().map(|job| job.name().to_owned()));
            let names: Vec<String> = names.chain(own).collect();
            let hint = match nearest(text, names.iter().map(String::as_str)) {
                Some(name) => format!("did you mean `{}`?", printable(name)),
                None => "name a target by its attribute, or a job of your own".into(),
            };
            if is_literal {
                bail!("there is no such target or job ({hint})");
            }
            found.warnings.push(format!("the pattern matches no target ({hint})"));
        }
        for (target, fate) in meant {
            match fate {
                Fate::Built(job) => _ = found.jobs.insert(*job),
                Fate::There => {}
                Fate::Never(why) if is_literal => {
                    bail!("target `{}` {why}, so it will never be built", printable(&target.to_string()))
                }
                Fate::Never(why) => found.warnings.push(format!("target `{}` {why}", printable(&target.to_string()))),
            }
        }
        Ok(found)
    }
}

/// A target as a job that completes it would be named.
fn short(target: &AttributePath) -> String {
    names::label(target, target.names().get(1).map(String::as_str).unwrap_or_default())
}
