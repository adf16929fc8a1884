//! Invocations of jobs: names, arguments, order, filters.

use anyhow::{Context, Result, bail, ensure};
use serde_yaml::{Mapping, Value};

use super::compile::{Compiled, Job, compile_job};
use super::document::{optional_string, strings};
use super::orbs::{Kind, Sources};
use super::template::{Scope, finish};
use super::{Facts, filter};

/// Compiles a workflow's invocations; jobs that filters remove are gone.
pub fn compile(sources: &Sources, scope: &Scope, invocations: &[Value], facts: &Facts) -> Result<Compiled> {
    let mut jobs = Vec::new();
    let mut wanted = Vec::new();
    let mut runs = Vec::new();
    for invocation in invocations {
        let nothing = Value::Mapping(Mapping::new());
        let (key, arguments) = match invocation {
            Value::String(key) => (&**key, &nothing),
            Value::Mapping(map) if map.len() == 1 => {
                let (key, arguments) = map.iter().next().context("it has one entry")?;
                (key.as_str().context("an invocation whose job is not a string")?, arguments)
            }
            _ => bail!("an invocation that is not one job with its settings"),
        };
        let filters = arguments.get("filters").cloned();
        let arguments = finish_names(&scope.expand(arguments)?);
        let arguments =
            arguments.as_mapping().with_context(|| format!("the invocation of `{key}` is not a mapping"))?;
        let name = optional_string(arguments, "name", key)?.unwrap_or_else(|| key.to_owned());
        ensure!(!name.trim().is_empty(), "an invocation of `{key}` with an empty name");
        ensure!(!jobs.iter().any(|job: &Job| job.name == name), "two jobs have the name `{name}`");
        let place = format!("job `{name}`");
        ensure!(sources.find(Kind::Job, key).is_some(), "Cannot find a definition for job {key}");
        let own = ["name", "requires", "filters", "context"];
        for refused in ["type", "matrix", "pre-steps", "post-steps", "serial-group", "override-with"] {
            ensure!(!arguments.contains_key(refused), "{place}: the stand-in has no `{refused}`");
        }
        let given: Mapping = arguments
            .iter()
            .filter(|(key, _)| key.as_str().is_none_or(|key| !own.contains(&key)))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        runs.push(filter::runs(filters.as_ref(), facts, &place)?);
        wanted.push(requires(arguments, &place)?);
        let mut job = compile_job(sources, scope, key, &given, &place)?;
        job.contexts = strings(arguments, "context", &place)?;
        job.name = name;
        jobs.push(job);
    }

    for at in 0..jobs.len() {
        for (name, statuses) in &wanted[at] {
            let before = jobs.iter().position(|job| job.name == *name);
            let before =
                before.with_context(|| format!("job `{}` requires `{name}`, which is not there", jobs[at].name))?;
            jobs[at].requires.push((before, statuses.clone()));
        }
    }
    let mut known = vec![false; jobs.len()];
    for _ in 0..jobs.len() {
        for at in 0..jobs.len() {
            known[at] |= jobs[at].requires.iter().all(|&(before, _)| known[before]);
        }
    }
    ensure!(known.iter().all(|known| *known), "a cycle of `requires`");

    let order = Compiled { jobs: jobs.clone() }.order();
    for at in order {
        let required = jobs[at].requires.clone();
        let gone = |before: usize| jobs[before].removed || !runs[before];
        jobs[at].removed = !runs[at] || (!required.is_empty() && required.iter().all(|&(before, _)| gone(before)));
    }
    let index: Vec<usize> = jobs
        .iter()
        .scan(0, |next, job| {
            let at = *next;
            *next += usize::from(!job.removed);
            Some(at)
        })
        .collect();
    let removed: Vec<bool> = jobs.iter().map(|job| job.removed).collect();
    jobs.retain(|job| !job.removed);
    for job in &mut jobs {
        job.requires.retain(|(before, _)| !removed[*before]);
        job.requires.iter_mut().for_each(|(before, _)| *before = index[*before]);
    }
    Ok(Compiled { jobs })
}

/// Names are compared as they are shown; the arguments of parameters go on to be expanded into the job.
fn finish_names(arguments: &Value) -> Value {
    let Value::Mapping(map) = arguments else { return arguments.clone() };
    let finished = |(key, value): (&Value, &Value)| {
        let own = matches!(key.as_str(), Some("name" | "requires" | "context"));
        (key.clone(), if own { finish(value) } else { value.clone() })
    };
    Value::Mapping(map.iter().map(finished).collect())
}

fn requires(arguments: &Mapping, place: &str) -> Result<Vec<(String, Vec<String>)>> {
    const STATUSES: [&str; 5] = ["success", "failed", "canceled", "unauthorized", "not_run"];
    let Some(list) = arguments.get("requires") else { return Ok(Vec::new()) };
    let list = list.as_sequence().with_context(|| format!("{place}: `requires` is not a list"))?;
    list.iter()
        .map(|item| match item {
            Value::String(name) => Ok((name.clone(), vec!["success".to_owned()])),
            Value::Mapping(map) if map.len() == 1 => {
                let (name, statuses) = map.iter().next().context("it has one entry")?;
                let name = name.as_str().with_context(|| format!("{place} requires what is no name"))?;
                ensure!(
                    name.starts_with(|c: char| c.is_ascii_alphabetic())
                        && name.chars().all(|c| c.is_ascii_alphanumeric() || " _-".contains(c)),
                    "{place}: with a status, `requires` takes only letters, digits, blanks, `_` and `-`, not `{name}`"
                );
                let statuses = match statuses {
                    Value::String(one) if one == "terminal" => vec![one.clone()],
                    Value::String(one) => vec![one.clone()],
                    _ => strings(map, name, place)?,
                };
                for status in &statuses {
                    let alone = status == "terminal" && statuses.len() == 1;
                    ensure!(
                        alone || STATUSES.contains(&&**status),
                        "{place} waits for `{status}`, which is not a status that a job can end with"
                    );
                }
                Ok((name.to_owned(), statuses))
            }
            _ => bail!("{place}: `requires` takes names"),
        })
        .collect()
}
