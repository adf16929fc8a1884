//! The language itself: keys, strings that readers of YAML 1.1 take for something else, `$` where GitLab expands it.

use serde_yaml::{Mapping, Value};

use super::super::names::PLAN_PIPELINE;
use super::super::places::{JOB, REUSE};
use crate::provider::yaml::lenient::text;

/// Keys that are no jobs.
pub const GLOBAL: [&str; 13] = [
    "default",
    "workflow",
    "stages",
    "variables",
    "include",
    "spec",
    "image",
    "services",
    "cache",
    "before_script",
    "after_script",
    "types",
    "pages:deploy",
];

/// Keys of a job.
const KEYS: [&str; 34] = [
    "after_script",
    "allow_failure",
    "artifacts",
    "before_script",
    "cache",
    "coverage",
    "dast_configuration",
    "dependencies",
    "environment",
    "extends",
    "hooks",
    "id_tokens",
    "identity",
    "image",
    "inherit",
    "inputs",
    "interruptible",
    "manual_confirmation",
    "needs",
    "pages",
    "parallel",
    "publish",
    "release",
    "resource_group",
    "retry",
    "rules",
    "run",
    "script",
    "secrets",
    "services",
    "stage",
    "tags",
    "timeout",
    "trigger",
];

/// Keys of a job that GitLab still takes, and that it has others for.
const OLD_KEYS: [&str; 5] = ["only", "except", "when", "start_in", "variables"];

/// Keys of a job in which GitLab expands variables.
const EXPANDING: [&str; 9] =
    ["image", "services", "tags", "environment", "cache", "artifacts", "needs", "resource_group", "variables"];

/// Variables that nixdag's own configuration has expanded.
const EXPANDED: [&str; 5] = [PLAN_PIPELINE, JOB, REUSE, "CI_COMMIT_REF_SLUG", "CI_DEFAULT_BRANCH"];

pub(super) fn check(whole: &Value, top: &Mapping, is_own: &dyn Fn(&str) -> bool, problems: &mut Vec<String>) {
    strings(whole, "the pipeline", problems);
    if top.contains_key("spec") || top.contains_key("include") {
        problems.push("the pipeline has `spec` or `include`: it has to be complete in itself".to_owned());
    }
    for (key, body) in top {
        let name = text(key);
        if GLOBAL.contains(&&*name) {
            continue;
        }
        if !key.is_string() {
            problems.push(format!("the job name `{name}` is not a string"));
        }
        let Some(body) = body.as_mapping() else { continue };
        for (key, value) in body {
            let key = text(key);
            if !KEYS.contains(&&*key) && !OLD_KEYS.contains(&&*key) {
                problems.push(format!("job `{name}` has the key `{key}`, which GitLab does not know"));
            }
            if EXPANDING.contains(&&*key) && !is_own(&name) {
                expanded(value, &format!("job `{name}`: `{key}`"), problems);
            }
            if key == "variables" {
                values(value, &name, problems);
            }
        }
    }
}

/// A variable's value is a string, or a mapping with one.
fn values(variables: &Value, job: &str, problems: &mut Vec<String>) {
    for (key, value) in variables.as_mapping().into_iter().flatten() {
        let value = value.get("value").unwrap_or(value);
        if !value.is_string() && !value.is_number() && !value.is_bool() {
            problems.push(format!("job `{job}`: the variable `{}` is not text", text(key)));
        }
    }
}

/// A `$` begins the name of a variable that nixdag means, or is said not to be expanded.
fn expanded(value: &Value, place: &str, problems: &mut Vec<String>) {
    match value {
        Value::String(string) => {
            let mut rest = string.as_str();
            while let Some(at) = rest.find('$') {
                rest = &rest[at + 1..];
                let name: &str =
                    &rest[..rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len())];
                if !EXPANDED.contains(&name) {
                    problems.push(format!("{place} holds a `$` that GitLab would expand: `{}`", string.escape_debug()));
                    return;
                }
            }
        }
        Value::Sequence(items) => items.iter().for_each(|item| expanded(item, place, problems)),
        Value::Mapping(entries) if entries.get("expand") == Some(&Value::Bool(false)) => {}
        Value::Mapping(entries) => entries.iter().for_each(|(_, value)| expanded(value, place, problems)),
        _ => {}
    }
}

/// No tags, and no mapping key `<<`.
fn strings(value: &Value, place: &str, problems: &mut Vec<String>) {
    match value {
        Value::Sequence(items) => items.iter().for_each(|item| strings(item, place, problems)),
        Value::Mapping(entries) => {
            for (key, value) in entries {
                let name = text(key);
                if name.trim() == "<<" {
                    problems.push(format!("{place} has a mapping key `<<`"));
                }
                strings(value, &format!("`{name}`"), problems);
            }
        }
        Value::Tagged(_) => problems.push(format!("{place} holds a YAML tag")),
        _ => {}
    }
}
