//! Reading jobs, needs and stages of a pipeline, and what of them has another form than GitLab takes.

use std::collections::BTreeMap;

use serde_yaml::{Mapping, Value};

use super::language::GLOBAL;
use crate::provider::yaml::lenient::{text, text_list};

/// The stages of a pipeline that names none; `.pre` and `.post` are always there.
const STAGES: [&str; 5] = [".pre", "build", "test", "deploy", ".post"];

/// A job that is not hidden.
pub struct ReadJob<'a> {
    pub name: String,
    /// The job and the hidden jobs that it extends, nearest first.
    pub bodies: Vec<&'a Mapping>,
    /// What it needs in its own pipeline.
    pub needs: Option<Vec<String>>,
    /// Needs of other pipelines.
    pub across: usize,
}

impl ReadJob<'_> {
    /// What it says about a key.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.bodies.iter().find_map(|body| body.get(key))
    }

    /// Its stage.
    pub fn stage(&self) -> String {
        self.get("stage").map_or_else(|| "test".to_owned(), text)
    }
}

/// The stages, in order.
pub fn stages(top: &Mapping, problems: &mut Vec<String>) -> Vec<String> {
    let Some(named) = top.get("stages") else { return STAGES.map(str::to_owned).into() };
    let named = text_list(Some(named));
    if named.is_empty() {
        problems.push("`stages` is empty".to_owned());
    }
    let known = [".pre".to_owned()].into_iter().chain(named.into_iter().filter(|stage| !stage.starts_with('.')));
    known.chain([".post".to_owned()]).collect()
}

/// All jobs, in the order of the pipeline. Where that is a part, what it lacks may be in the rest.
pub fn jobs<'a>(top: &'a Mapping, is_part: bool, problems: &mut Vec<String>) -> Vec<ReadJob<'a>> {
    let mut found = Vec::new();
    for (key, body) in top {
        let name = text(key);
        if name.starts_with('.') || GLOBAL.contains(&&*name) {
            continue;
        }
        let Some(body) = body.as_mapping() else {
            problems.push(format!("job `{name}` is not a mapping"));
            continue;
        };
        let (needs, across) = needs(body, &name, problems);
        let bodies = with_extended(top, body, is_part, &format!("job `{name}`"), problems);
        found.push(ReadJob { name, bodies, needs, across });
    }
    if found.is_empty() && !is_part {
        problems.push("the pipeline has no job (hidden ones do not count)".to_owned());
    }
    found
}

/// The names that a job needs in its own pipeline, and how many jobs of others.
fn needs(body: &Mapping, name: &str, problems: &mut Vec<String>) -> (Option<Vec<String>>, usize) {
    let items = match body.get("needs") {
        None => return (None, 0),
        Some(Value::Sequence(items)) => items,
        Some(_) => {
            problems.push(format!("job `{name}` has `needs` that is not a list"));
            return (None, 0);
        }
    };
    let (mut own, mut across) = (Vec::new(), 0);
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for item in items {
        match item {
            Value::String(job) => own.push(job.clone()),
            Value::Mapping(entry) if entry.contains_key("pipeline") || entry.contains_key("project") => {
                if !entry.contains_key("job") {
                    problems.push(format!("job `{name}` needs something of another pipeline without `job`"));
                }
                across += 1;
            }
            Value::Mapping(entry) if entry.get("job").is_some_and(Value::is_string) => own.push(text(&entry["job"])),
            _ => problems.push(format!("job `{name}` needs something that is not a job's name")),
        }
    }
    for need in &own {
        *counts.entry(need.clone()).or_default() += 1;
    }
    problems.extend(
        counts.iter().filter(|(_, count)| **count > 1).map(|(need, _)| format!("job `{name}` needs `{need}` twice")),
    );
    (Some(own), across)
}

/// The job and the hidden jobs that it extends, nearest first.
fn with_extended<'a>(
    top: &'a Mapping,
    body: &'a Mapping,
    is_part: bool,
    place: &str,
    problems: &mut Vec<String>,
) -> Vec<&'a Mapping> {
    let mut bodies = vec![body];
    let mut open = text_list(body.get("extends"));
    while let Some(name) = open.pop() {
        match top.get(&*name).and_then(Value::as_mapping) {
            // GitLab allows eleven levels.
            Some(_) if bodies.len() > 11 => {
                problems.push(format!("{place} extends too many jobs, or itself"));
                break;
            }
            Some(extended) => {
                open.extend(text_list(extended.get("extends")));
                bodies.push(extended);
            }
            None if is_part => {}
            None => problems.push(format!("{place} extends `{name}`, which is not defined")),
        }
    }
    bodies
}
