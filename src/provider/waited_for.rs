//! The targets of a plan as users' own jobs name them, to wait for. In: a plan, and an entry such as `packages.x86_64-linux.hello`,
//! `nixdag/packages.*.*` or, as the jobs are named, `hello`. Out: the jobs that complete these targets, and warnings.
//!
//! A target that exists already needs no waiting for. One that is never built is an error where it is named, and a warning where a
//! pattern reaches it.

use std::collections::BTreeSet;

use anyhow::{Result, bail};

use crate::attribute::AttributePath;
use crate::nearest::nearest;
use crate::pattern::{Pattern, Segment};
use crate::plan::{JobIndex, Plan, SkipReason, names};
use crate::printable::printable;

/// Says that what follows is an attribute, whatever the user's own jobs are called.
const PREFIX: &str = "nixdag/";

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

/// Every target that was selected, and what becomes of it.
pub struct Targets<'a> {
    plan: &'a Plan,
    all: Vec<(&'a AttributePath, Fate)>,
}

/// What an entry stands for.
pub struct Found {
    /// The jobs that complete the targets.
    pub jobs: BTreeSet<JobIndex>,
    /// What there is to be said.
    pub warnings: Vec<String>,
}

impl<'a> Targets<'a> {
    /// Those of a plan.
    pub fn of(plan: &'a Plan) -> Self {
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

    /// The jobs that an entry stands for: a target's attribute, a pattern of them, or a job's name. `own` are the user's jobs, for the hint to one that is misspelt.
    pub fn find(&self, entry: &str, own: &[&str]) -> Result<Found> {
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
            let names: Vec<String> = names.chain(own.iter().map(|name| (*name).to_owned())).collect();
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
