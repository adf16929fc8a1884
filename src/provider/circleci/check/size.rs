//! Estimates the size of the compiled configuration, in which every job of a workflow has its whole body written out.

use std::collections::HashMap;

use serde_yaml::{Mapping, Value};

use super::super::template::{self, Reference};
use crate::provider::limits::Limits;
use crate::provider::yaml::lenient::{map, text};

/// A value's size as YAML, with what its parameters will add left out.
#[derive(Clone, Default)]
struct Size {
    /// Bytes, less those of the templates.
    bytes: u64,
    /// How often each parameter stands in it.
    parameters: HashMap<String, u64>,
}

pub(super) fn check(top: &Mapping, limits: &Limits, problems: &mut Vec<String>) {
    let bytes = compiled(top);
    if let Some(allowed) = limits.compiled_bytes.filter(|allowed| bytes > *allowed) {
        problems.push(format!(
            "compiled, the configuration would take about {:.1} MB, {:.1} MB more than the {:.1} MB that CircleCI takes \
             (let jobs build more each: `--max-jobs` with a lower number, or `--granularity auto`)",
            bytes as f64 / 1e6,
            (bytes - allowed) as f64 / 1e6,
            allowed as f64 / 1e6
        ));
    }
}

/// Bytes of the compiled configuration, estimated with a twentieth to spare.
fn compiled(top: &Mapping) -> u64 {
    let jobs: HashMap<String, (Size, &Value)> =
        map(top, "jobs").iter().map(|(key, job)| (text(key), (job_size(top, job), job))).collect();
    let mut total = 0;
    for (_, workflow) in map(top, "workflows") {
        let Some(invocations) = workflow.get("jobs").and_then(Value::as_sequence) else { continue };
        for invocation in invocations {
            let mut own = Size::default();
            measure(invocation, 6, &mut own);
            total += own.bytes;
            let (key, arguments) = super::workflow::parts(invocation);
            let Some((size, job)) = jobs.get(&key) else { continue };
            total += size.bytes;
            for (name, count) in &size.parameters {
                let argument = arguments.and_then(|arguments| arguments.get(&**name));
                let default = || job.get("parameters")?.get(&**name)?.get("default");
                total += argument.or_else(default).map_or(0, |value| text(value).len() as u64) * count;
            }
        }
    }
    total + total / 20
}

/// A job with its executor and its commands written out, without what is gone after compilation.
fn job_size(top: &Mapping, job: &Value) -> Size {
    let mut size = Size::default();
    for (key, value) in job.as_mapping().into_iter().flatten() {
        match &*text(key) {
            "parameters" | "description" => {}
            "executor" => {
                let name = value.get("name").map_or_else(|| text(value), text);
                measure(map(top, "executors").get(&*name).unwrap_or(value), 4, &mut size);
            }
            "steps" => {
                steps(top, value, &mut size, 0);
            }
            _ => {
                measure(key, 4, &mut size);
                measure(value, 6, &mut size);
            }
        }
    }
    size
}

fn steps(top: &Mapping, list: &Value, size: &mut Size, depth: usize) {
    for step in list.as_sequence().into_iter().flatten() {
        let name = match step {
            Value::String(name) => name.clone(),
            _ => step.as_mapping().and_then(|step| step.keys().next()).map(text).unwrap_or_default(),
        };
        match (&*name, map(top, "commands").get(&*name)) {
            ("when" | "unless", _) => {
                if let Some(inner) = step.get(&*name).and_then(|body| body.get("steps")) {
                    steps(top, inner, size, depth + 1);
                }
            }
            // Commands may call commands, but not without an end.
            (_, Some(command)) if depth < 100 => {
                if let Some(inner) = command.get("steps") {
                    steps(top, inner, size, depth + 1);
                }
            }
            _ => measure(step, 6, size),
        }
    }
}

/// Adds the bytes of a value that stands at this indentation.
fn measure(value: &Value, indent: u64, size: &mut Size) {
    match value {
        Value::String(string) => {
            let lines = string.matches('\n').count() as u64;
            // Quotes, or a block's header; in a block each line is indented.
            size.bytes += string.len() as u64 + 2 + lines * indent;
            for template in template::templates(string).unwrap_or_default() {
                size.bytes -= template.range.len() as u64;
                if let Reference::Parameter(name) = template.reference {
                    *size.parameters.entry(name.to_owned()).or_default() += 1;
                } else {
                    // A pipeline's id, a revision: longer than most values.
                    size.bytes += 40;
                }
            }
        }
        Value::Sequence(items) => {
            for item in items {
                // An item's first key stands behind the dash.
                size.bytes += if item.is_mapping() { 2 } else { indent + 3 };
                measure(item, indent + 2, size);
            }
        }
        Value::Mapping(entries) => {
            for (key, value) in entries {
                size.bytes += indent + 3;
                measure(key, indent, size);
                measure(value, indent + 2, size);
            }
        }
        other => size.bytes += text(other).len() as u64,
    }
}
