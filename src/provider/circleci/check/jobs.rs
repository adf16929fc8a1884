//! Jobs, commands, executors and their steps: keys, parameters, names of steps, cache keys.

use std::collections::{BTreeSet, HashMap};

use serde_yaml::{Mapping, Value};

use super::super::template::Reference;
use super::read::each_reference;
use crate::provider::yaml::lenient::{map, text, text_list};

/// The steps that CircleCI knows without an orb.
const STEPS: [&str; 15] = [
    "run",
    "checkout",
    "setup_remote_docker",
    "save_cache",
    "restore_cache",
    "store_artifacts",
    "store_test_results",
    "persist_to_workspace",
    "attach_workspace",
    "add_ssh_keys",
    "deploy",
    "when",
    "unless",
    "with_tool_cache",
    "install_signing_bundle",
];

/// Types of job that run no steps.
pub(super) const WITHOUT_STEPS: [&str; 5] = ["no-op", "approval", "release", "lock", "unlock"];

/// CircleCI's longest cache key, in characters.
const MAX_KEY: usize = 900;

pub(super) fn check(top: &Mapping, problems: &mut Vec<String>) {
    let mut restored = BTreeSet::new();
    let mut seen = HashMap::new();
    for (key, job) in map(top, "jobs") {
        let key = text(key);
        if !is_job_key(&key) {
            problems.push(format!("the job key `{key}` is not a letter and then letters, digits, spaces, `_` and `-`"));
        }
        if let Some(other) = seen.insert(key.to_lowercase(), key.clone()) {
            problems.push(format!("the job keys `{other}` and `{key}` differ in case only"));
        }
        let place = format!("job `{key}`");
        let Some(body) = job.as_mapping() else {
            problems.push(format!("{place} is not a mapping"));
            continue;
        };
        if body.get("type").is_some_and(|kind| WITHOUT_STEPS.contains(&&*text(kind))) {
            continue;
        }
        machine(top, body, &place, problems);
        definition(top, job, &place, &mut restored, problems);
    }
    for (key, command) in map(top, "commands") {
        definition(top, command, &format!("command `{}`", text(key)), &mut restored, problems);
    }
    for (key, executor) in map(top, "executors") {
        let key = text(key);
        let place = format!("executor `{key}`");
        let first = key.bytes().next();
        if !first.is_some_and(|b| b.is_ascii_lowercase())
            || !key.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-')
        {
            problems.push(format!("{place} does not match `[a-z][a-z0-9_-]*`"));
        }
        references(executor, &place, problems);
        if !["docker", "machine", "macos"].iter().any(|kind| executor.get(kind).is_some()) {
            problems.push(format!("{place} has none of `docker`, `machine`, `macos`"));
        }
    }
    prefixes(&restored, problems);
}

/// True for a key that CircleCI takes under `jobs`.
fn is_job_key(key: &str) -> bool {
    key.bytes().next().is_some_and(|b| b.is_ascii_alphabetic())
        && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-' || b.is_ascii_whitespace())
}

/// A job runs on an executor that exists, or says itself what it runs on.
fn machine(top: &Mapping, body: &Mapping, place: &str, problems: &mut Vec<String>) {
    let executor = body.get("executor").map(|executor| executor.get("name").map_or_else(|| text(executor), text));
    match executor {
        Some(name) if name.contains("<<") || name.contains('/') => {}
        Some(name) if map(top, "executors").contains_key(&*name) => {}
        Some(name) => problems.push(format!("{place} names the executor `{name}`, which is not defined")),
        None if ["docker", "machine", "macos"].iter().any(|kind| body.contains_key(kind)) => {}
        None => problems.push(format!("{place} has no executor")),
    }
}

/// Steps and parameters of a job or a command.
fn definition(top: &Mapping, body: &Value, place: &str, restored: &mut BTreeSet<String>, problems: &mut Vec<String>) {
    references(body, place, problems);
    match body.get("steps") {
        Some(Value::Sequence(list)) if !list.is_empty() => steps(top, list, place, restored, problems),
        // A parameter of type `steps`.
        Some(Value::String(_)) => {}
        _ => problems.push(format!("{place} has no steps")),
    }
}

/// Every parameter that is used is declared.
fn references(body: &Value, place: &str, problems: &mut Vec<String>) {
    let declared = body.get("parameters");
    let mut unknown = BTreeSet::new();
    each_reference(body, &mut |reference| {
        if let Reference::Parameter(name) = reference {
            // `a.b` is a member of the executor parameter `a`.
            let name = name.split('.').next().unwrap_or(name);
            if declared.and_then(|declared| declared.get(name)).is_none() {
                unknown.insert(name);
            }
        }
    });
    problems.extend(
        unknown.into_iter().map(|name| format!("{place} uses the parameter `{name}`, which it does not declare")),
    );
}

fn steps(top: &Mapping, list: &[Value], place: &str, restored: &mut BTreeSet<String>, problems: &mut Vec<String>) {
    for step in list {
        let (name, body) = match step {
            Value::String(name) => (name.clone(), &Value::Null),
            Value::Mapping(entries) if entries.len() == 1 => {
                let (name, body) = entries.iter().next().expect("it has one entry");
                (text(name), body)
            }
            _ => {
                problems.push(format!("{place} has a step that is not one name with its settings"));
                continue;
            }
        };
        let known = STEPS.contains(&&*name)
            || name.contains('/')
            || name.contains("<<")
            || map(top, "commands").contains_key(&*name);
        if !known {
            problems.push(format!("{place} has the step `{name}`, which is neither CircleCI's nor a command"));
        }
        match &*name {
            "when" | "unless" => match body.get("steps") {
                Some(Value::Sequence(inner)) if body.get("condition").is_some() => {
                    steps(top, inner, place, restored, problems);
                }
                _ => problems.push(format!("{place} has a `{name}` without `condition` and `steps`")),
            },
            "run" => {
                // In short, `run` is followed by the command itself.
                let command = if body.is_string() { Some(body) } else { body.get("command") };
                if command.is_none_or(|command| text(command).trim().is_empty()) {
                    problems.push(format!("{place} has a `run` step without a command"));
                }
            }
            "save_cache" | "restore_cache" => {
                let mut keys = text_list(body.get("key"));
                keys.extend(text_list(body.get("keys")));
                if keys.is_empty() {
                    problems.push(format!("{place} has a `{name}` step without a key"));
                }
                for key in keys {
                    if key.chars().count() > MAX_KEY {
                        problems.push(format!("{place} has a cache key of more than {MAX_KEY} characters"));
                    }
                    if name == "restore_cache" {
                        restored.insert(key);
                    }
                }
            }
            _ => {}
        }
    }
}

/// `restore_cache` takes the newest entry whose key begins with the one it is given: no key of nixdag's may begin another.
fn prefixes(restored: &BTreeSet<String>, problems: &mut Vec<String>) {
    for (one, other) in restored.iter().zip(restored.iter().skip(1)) {
        // In order, a beginning stands right before what it begins, or before another one that it begins.
        if other.starts_with(&**one) && one.starts_with("nixdag-") {
            problems.push(format!(
                "the cache key `{one}` is the beginning of `{other}`, so that one could restore the other"
            ));
        }
    }
}
