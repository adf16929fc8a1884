//! What nixdag demands of the jobs that it writes, beside what CircleCI demands of all: they run on tags, their steps have names, and where
//! jobs have secrets none restores from the cache but those that only restore and the one that puts records together, which have no contexts.

use serde_yaml::{Mapping, Value};

use super::super::names::{REPORT, RESTORE, WORKFLOW};
use super::workflow::parts;
use crate::provider::yaml::lenient::{map, text};

/// Problems of the jobs in nixdag's workflow, without those that `is_foreign` knows by their names.
pub fn check_own(config: &Value, is_guarded: bool, is_foreign: impl Fn(&str) -> bool) -> Vec<String> {
    let mut problems = Vec::new();
    let none = Mapping::new();
    let top = config.as_mapping().unwrap_or(&none);
    let jobs = map(top, "workflows").get(WORKFLOW).and_then(|workflow| workflow.get("jobs"));
    let mut seen = Vec::new();
    for invocation in jobs.and_then(Value::as_sequence).into_iter().flatten() {
        let (key, arguments) = parts(invocation);
        let name = arguments.and_then(|arguments| arguments.get("name")).map_or_else(|| key.clone(), text);
        if is_foreign(&name) {
            continue;
        }
        filters(arguments.unwrap_or(&none), &name, &mut problems);
        let steps = map(top, "jobs").get(&*key).and_then(|job| job.get("steps"));
        let is_apart = key.starts_with(RESTORE) || key == REPORT;
        let only_restores = is_apart && arguments.is_none_or(|own| !own.contains_key("context"));
        if is_guarded && !only_restores && steps.is_some_and(restores) {
            problems.push(format!("job `{name}` restores from the cache although jobs have secrets"));
        }
        if !seen.contains(&key) {
            if let Some(list) = steps {
                names(list, &key, &mut problems);
            }
            seen.push(key);
        }
    }
    problems
}

/// Without filters a job does not run on tags, and takes all jobs behind it with it.
fn filters(arguments: &Mapping, name: &str, problems: &mut Vec<String>) {
    match arguments.get("filters") {
        Some(Value::String(expression)) if !expression.trim().is_empty() => {}
        Some(Value::Mapping(filters)) if filters.contains_key("tags") => {}
        _ => problems.push(format!("job `{name}` has no filters for tags: it would not run on any")),
    }
}

/// True where one of the steps unpacks what any branch may have saved.
fn restores(list: &Value) -> bool {
    list.as_sequence().into_iter().flatten().any(|step| {
        let inner = ["when", "unless"].into_iter().filter_map(|logic| step.get(logic)?.get("steps"));
        step.get("restore_cache").is_some() || inner.into_iter().any(restores)
    })
}

fn names(list: &Value, key: &str, problems: &mut Vec<String>) {
    for step in list.as_sequence().into_iter().flatten() {
        if let Some(run) = step.get("run").filter(|_| step.as_mapping().is_some_and(|step| step.len() == 1))
            && run.get("name").is_none_or(|name| text(name).trim().is_empty())
        {
            problems.push(format!("job `{key}` has a `run` step without a name"));
        }
        for logic in ["when", "unless"] {
            if let Some(inner) = step.get(logic).and_then(|body| body.get("steps")) {
                names(inner, key, problems);
            }
        }
    }
}
