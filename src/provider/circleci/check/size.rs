//! Estimates the size of the compiled configuration, in which every job of a workflow has its whole body written out.

use std::collections::HashMap;

use serde_yaml::{Mapping, Value};

use super::super::template::{self, Reference};
use super::commands::each_step;
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

impl Size {
    /// What is added where this stands so often.
    fn add(&mut self, other: &Self, times: u64) {
        self.bytes = self.bytes.saturating_add(other.bytes.saturating_mul(times));
        for (name, count) in &other.parameters {
            let known = self.parameters.entry(name.clone()).or_default();
            *known = known.saturating_add(count.saturating_mul(times));
        }
    }

    /// The size with these arguments, or the defaults of its definition; parameters of whoever calls it may stand in them.
    fn with(&self, definition: &Value, arguments: Option<&Mapping>) -> Self {
        let mut size = Self { bytes: self.bytes, parameters: HashMap::new() };
        for (name, count) in &self.parameters {
            let argument = arguments.and_then(|arguments| arguments.get(&**name));
            let default = || definition.get("parameters")?.get(&**name)?.get("default");
            let mut own = Self::default();
            if let Some(value @ Value::String(_)) = argument.or_else(default) {
                measure(value, 0, &mut own);
                // Without the quotes.
                own.bytes -= 2;
            }
            size.add(&own, *count);
        }
        size
    }
}

/// `order` has the commands, each after those that it calls.
pub(super) fn check(top: &Mapping, order: &[&str], limits: &Limits, problems: &mut Vec<String>) {
    let bytes = compiled(top, order);
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
fn compiled(top: &Mapping, order: &[&str]) -> u64 {
    let mut commands = HashMap::new();
    for &name in order {
        let command = &map(top, "commands")[name];
        let mut size = Size::default();
        steps(top, &commands, command.get("steps"), &mut size);
        commands.insert(name, size);
    }
    let jobs: HashMap<String, (Size, &Value)> =
        map(top, "jobs").iter().map(|(key, job)| (text(key), (job_size(top, &commands, job), job))).collect();
    let mut total = 0u64;
    for (_, workflow) in map(top, "workflows") {
        let Some(invocations) = workflow.get("jobs").and_then(Value::as_sequence) else { continue };
        for invocation in invocations {
            let mut own = Size::default();
            measure(invocation, 6, &mut own);
            total = total.saturating_add(own.bytes);
            let (key, arguments) = super::workflow::parts(invocation);
            let Some((size, job)) = jobs.get(&key) else { continue };
            total = total.saturating_add(size.with(job, arguments).bytes);
        }
    }
    total.saturating_add(total / 20)
}

/// A job with its executor and its commands written out, without what is gone after compilation.
fn job_size(top: &Mapping, commands: &HashMap<&str, Size>, job: &Value) -> Size {
    let mut size = Size::default();
    for (key, value) in job.as_mapping().into_iter().flatten() {
        match &*text(key) {
            "parameters" | "description" => {}
            "executor" => {
                let name = value.get("name").map_or_else(|| text(value), text);
                measure(map(top, "executors").get(&*name).unwrap_or(value), 4, &mut size);
            }
            "steps" => steps(top, commands, Some(value), &mut size),
            _ => {
                measure(key, 4, &mut size);
                measure(value, 6, &mut size);
            }
        }
    }
    size
}

/// Steps, commands among them written out.
fn steps(top: &Mapping, commands: &HashMap<&str, Size>, list: Option<&Value>, size: &mut Size) {
    each_step(list, &mut |name, step| match (commands.get(name), map(top, "commands").get(name)) {
        (Some(command), Some(definition)) => {
            size.add(&command.with(definition, step.get(name).and_then(Value::as_mapping)), 1);
        }
        _ => measure(step, 6, size),
    });
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
