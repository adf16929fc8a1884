//! What the users' jobs need: an entry may name a target by its attribute, a pattern of them, or a job's name. In: a job's body and the plan.
//! Out: the same with names of jobs, and warnings.
//!
//! Such an entry is waited for, and its artifacts, which are the hand-off to other jobs, are taken only with `artifacts: true`.

use std::collections::BTreeSet;

use anyhow::{Context, Result, bail};

use super::super::names::GATE;
use crate::plan::{JobIndex, Plan};
use crate::printable::printable;
use crate::provider::waited_for::Targets;
use crate::provider::yaml::Yaml;

/// What can be waited for.
pub struct Waiting<'a> {
    pub targets: Targets<'a>,
    pub plan: &'a Plan,
    /// Names of the plan's jobs in the pipeline, in the plan's order.
    pub names: &'a [&'a str],
    /// Names of the users' jobs.
    pub own: &'a [&'a str],
}

/// Replaces attributes in the `needs` of a job. Gives warnings.
pub fn resolve(body: &mut [(String, Yaml)], waiting: &Waiting) -> Result<Vec<String>> {
    let Some((_, Yaml::List(items))) = body.iter_mut().find(|(key, _)| key == "needs") else { return Ok(Vec::new()) };
    let mut warnings = Vec::new();
    let mut kept: Vec<Yaml> = Vec::new();
    let (mut awaited, mut taken) = (BTreeSet::new(), BTreeSet::new());
    for item in items.drain(..) {
        let name = match &item {
            Yaml::Map(entries) if entries.iter().any(|(key, _)| key == "pipeline" || key == "project") => None,
            item => item.as_text().or_else(|| item.get("job")?.as_text()),
        };
        let Some(name) = name.filter(|name| *name != GATE && !waiting.own.contains(name)) else {
            kept.push(item);
            continue;
        };
        let is_true = |key: &str| item.get(key) == Some(&Yaml::Bool(true));
        if let Some(key) = ["parallel", "ref"].into_iter().find(|key| item.get(key).is_some()) {
            bail!("it needs `{}` with `{key}`, which jobs of nixdag do not have", printable(name));
        }
        let found = match waiting.targets.find(name, waiting.own) {
            Err(_) if is_true("optional") => continue,
            found => found.with_context(|| format!("it cannot need `{}`", printable(name)))?,
        };
        warnings.extend(found.warnings.iter().map(|why| format!("it needs `{}`: {why}", printable(name))));
        if is_true("artifacts") { taken.extend(found.jobs) } else { awaited.extend(found.jobs) }
    }
    // Who waits for a job waits for all that it waits for.
    let all: BTreeSet<JobIndex> = awaited.union(&taken).copied().collect();
    let implied: BTreeSet<JobIndex> =
        all.iter().flat_map(|&index| waiting.plan.job(index).inputs.iter().copied()).collect();
    for index in all {
        let with_artifacts = taken.contains(&index);
        if with_artifacts || !implied.contains(&index) {
            let name = Yaml::text(waiting.names[index.at()]);
            kept.push(Yaml::map([("job", name), ("artifacts", Yaml::Bool(with_artifacts))]));
        }
    }
    *items = kept;
    Ok(warnings)
}
