//! Checks a CircleCI configuration against what CircleCI's compiler and its limits demand: a parsed configuration goes in,
//! one sentence a problem comes out.
//!
//! CircleCI compiles a continued configuration only after it has answered that all is well, and a refused one leaves a green
//! setup job and no workflow: so everything that a program can find out is found out here. The configuration may be one that
//! nixdag wrote, or one that it was merged into: orbs, commands and matrices are understood as far as they go.

mod commands;
mod jobs;
mod orbs;
mod own;
mod read;
mod size;
mod workflow;

use std::collections::BTreeSet;

pub use own::check_own;
use read::each_reference;
use serde_yaml::{Mapping, Value};

use super::template::{self, Reference};
use crate::provider::limits::Limits;
use crate::provider::yaml::lenient::{map, text};

/// All problems of a configuration that continues a pipeline with nixdag's workflow, in the order of the configuration; none for one that
/// CircleCI takes.
pub fn check(config: &Value, limits: &Limits) -> Vec<String> {
    let mut problems = check_any(config, limits);
    if let Some(top) = config.as_mapping() {
        if is_setup(top) {
            problems.push(
                "`setup` is set: a configuration that continues a pipeline may not be in setup itself".to_owned(),
            );
        }
        workflow::gate(top, &mut problems);
    }
    problems
}

/// The same of anybody's configuration, which may be one that sets a pipeline up.
pub fn check_any(config: &Value, limits: &Limits) -> Vec<String> {
    let mut problems = Vec::new();
    let Some(top) = config.as_mapping() else {
        return vec!["the configuration is not a mapping".to_owned()];
    };
    top_level(top, &mut problems);
    if is_setup(top) {
        workflow::one_runs(top, &mut problems);
    }
    strings(config, "the configuration", &mut problems);
    jobs::check(top, &mut problems);
    workflow::check(top, limits, &mut problems);
    match commands::in_order(top) {
        Ok(order) => size::check(top, &order, limits, &mut problems),
        Err(problem) => problems.push(problem),
    }
    pipeline_values(config, top, &mut problems);
    problems
}

/// What a configuration refers to and nobody has looked at.
pub fn unseen(config: &Value) -> Vec<String> {
    config.as_mapping().map(orbs::unseen).unwrap_or_default()
}

/// The keys of a configuration.
const KEYS: [&str; 12] = [
    "version",
    "setup",
    "orbs",
    "commands",
    "executors",
    "jobs",
    "workflows",
    "parameters",
    "display",
    "experimental",
    "job-groups",
    "functions",
];

/// True for a key of a configuration that means something to CircleCI.
pub fn is_key(key: &str) -> bool {
    KEYS.contains(&key)
}

/// True for a configuration that sets a pipeline up.
fn is_setup(top: &Mapping) -> bool {
    top.get("setup").is_some_and(|setup| *setup != Value::Bool(false))
}

/// Keys of a configuration that have a mapping, of names to what they mean.
const MAPPINGS: [&str; 8] =
    ["orbs", "commands", "executors", "jobs", "workflows", "parameters", "job-groups", "functions"];

fn top_level(top: &Mapping, problems: &mut Vec<String>) {
    if top.is_empty() {
        problems.push("it is empty".to_owned());
        return;
    }
    for key in MAPPINGS {
        if top.get(key).is_some_and(|value| !value.is_mapping() && !value.is_null()) {
            problems.push(format!("`{key}` is not a mapping"));
        }
    }
    for (key, _) in top {
        let key = text(key);
        // Keys that begin with `x-` are where people keep what they repeat.
        if !is_key(&key) && !key.starts_with("x-") {
            problems.push(format!("`{key}` is not a key of a configuration"));
        }
    }
    match top.get("version") {
        Some(Value::String(version)) if version == "2.1" => {}
        Some(Value::Number(version)) if version.as_f64() == Some(2.1) => {}
        _ => problems.push("`version` is not 2.1".to_owned()),
    }
    let parameters = map(top, "parameters");
    if parameters.len() > 100 {
        problems.push(format!("there are {} pipeline parameters, CircleCI takes 100", parameters.len()));
    }
    for (name, declaration) in parameters {
        let name = text(name);
        if name.chars().count() > 128 {
            problems.push(format!("the pipeline parameter `{name}` has a name of more than 128 characters"));
        }
        let kind = declaration.get("type").and_then(Value::as_str);
        if !matches!(kind, Some("string" | "boolean" | "integer" | "enum")) {
            problems
                .push(format!("the pipeline parameter `{name}` has no type of `string`, `boolean`, `integer`, `enum`"));
        }
        match declaration.get("default") {
            None => problems.push(format!("the pipeline parameter `{name}` has no default")),
            Some(Value::String(default)) if default.chars().count() > 512 => {
                problems.push(format!("the pipeline parameter `{name}` has a default of more than 512 characters"));
            }
            Some(_) => {}
        }
    }
}

/// Every pipeline parameter that is used is declared.
fn pipeline_values(config: &Value, top: &Mapping, problems: &mut Vec<String>) {
    let declared = map(top, "parameters");
    let mut unknown = BTreeSet::new();
    each_reference(config, &mut |reference| {
        if let Reference::Pipeline(value) = reference
            && let Some(name) = value.strip_prefix("parameters.")
            && !declared.contains_key(name)
        {
            unknown.insert(name);
        }
    });
    problems
        .extend(unknown.into_iter().map(|name| format!("the pipeline parameter `{name}` is used, but not declared")));
}

/// Looks at every string and key: `<<` only as a template or escaped, and never a mapping key of its own.
fn strings(value: &Value, place: &str, problems: &mut Vec<String>) {
    match value {
        Value::String(string) => {
            if let Err(error) = template::templates(string) {
                problems.push(format!("{place} holds {error}"));
            }
        }
        Value::Sequence(items) => items.iter().for_each(|item| strings(item, place, problems)),
        Value::Mapping(entries) => {
            for (key, value) in entries {
                let name = text(key);
                if name.trim() == "<<" {
                    problems.push(format!("{place} has a mapping key `<<`"));
                } else {
                    strings(key, place, problems);
                }
                strings(value, &format!("`{name}`"), problems);
            }
        }
        Value::Tagged(_) => problems.push(format!("{place} holds a YAML tag")),
        _ => {}
    }
}
