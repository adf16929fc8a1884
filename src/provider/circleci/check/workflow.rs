//! Workflows: invocations of jobs, their names, parameters, order, filters and contexts, and the gate.

use std::collections::{BTreeSet, HashMap, HashSet};

use serde_yaml::{Mapping, Value};

use super::super::names::{GATE, WORKFLOW};
use super::super::template::Reference;
use super::jobs::WITHOUT_STEPS;
use super::orbs;
use super::read::each_reference;
use crate::nearest::meant;
use crate::provider::limits::Limits;
use crate::provider::yaml::lenient::{map, text, text_list};
use crate::topological::{self, InDegrees};

/// What an invocation may say beside the job's parameters.
const INVOCATION_KEYS: [&str; 10] = [
    "name",
    "requires",
    "filters",
    "context",
    "type",
    "pre-steps",
    "post-steps",
    "matrix",
    "serial-group",
    "override-with",
];

/// The ends of a job that another one may wait for.
const STATUSES: [&str; 6] = ["success", "failed", "canceled", "unauthorized", "not_run", "terminal"];

/// CircleCI's most contexts in one configuration.
const MAX_CONTEXTS: usize = 100;

pub(super) fn check(top: &Mapping, limits: &Limits, problems: &mut Vec<String>) {
    let mut contexts = BTreeSet::new();
    for (key, workflow) in map(top, "workflows") {
        let key = text(key);
        // Configurations for 2.0 say `version: 2` here.
        if key == "version" {
            continue;
        }
        match workflow.get("jobs").and_then(Value::as_sequence) {
            Some(invocations) if !invocations.is_empty() => {
                check_order(&key, &check_invocations(top, &key, invocations, limits, problems), problems);
                let arguments = invocations.iter().filter_map(|invocation| parts(invocation).1);
                contexts.extend(arguments.flat_map(|arguments| text_list(arguments.get("context"))));
            }
            _ => problems.push(format!("workflow `{key}` has no jobs")),
        }
    }
    if contexts.len() > MAX_CONTEXTS {
        problems.push(format!("there are {} contexts, CircleCI takes {MAX_CONTEXTS}", contexts.len()));
    }
}

/// In setup, CircleCI runs one workflow; which one may depend on conditions.
pub(super) fn one_runs(top: &Mapping, problems: &mut Vec<String>) {
    let is_conditional = |workflow: &Value| workflow.get("when").is_some() || workflow.get("unless").is_some();
    let workflows = map(top, "workflows").iter().filter(|(name, _)| text(name) != "version");
    let always = workflows.filter(|(_, workflow)| !is_conditional(workflow)).count();
    if always > 1 {
        problems.push(format!("with `setup: true` one workflow may run, and {always} of these always do"));
    }
}

/// An invocation's job key and arguments.
pub(super) fn parts(invocation: &Value) -> (String, Option<&Mapping>) {
    match invocation {
        Value::Mapping(entries) if entries.len() == 1 => {
            let (key, arguments) = entries.iter().next().expect("it has one entry");
            (text(key), arguments.as_mapping())
        }
        other => (text(other), None),
    }
}

/// The jobs of a workflow, and what they wait for.
#[derive(Default)]
struct Order {
    /// Each job's name, and the names that it requires.
    nodes: Vec<(String, Vec<String>)>,
    /// With a matrix, one invocation is several jobs, whose names are known after compilation only.
    matrices: HashSet<String>,
}

fn check_invocations(
    top: &Mapping,
    workflow: &str,
    invocations: &[Value],
    limits: &Limits,
    problems: &mut Vec<String>,
) -> Order {
    if let Some(most) = limits.jobs.filter(|&most| invocations.len() > most as usize) {
        problems.push(format!("workflow `{workflow}` has {} jobs, {most} are allowed", invocations.len()));
    }
    let nothing = Mapping::new();
    let mut names = HashMap::new();
    let mut order = Order::default();
    for invocation in invocations {
        let (key, arguments) = parts(invocation);
        let arguments = arguments.unwrap_or(&nothing);
        let name = arguments.get("name").map_or_else(|| key.clone(), text);
        let place = format!("job `{name}`");
        known_job(top, &key, arguments, (workflow, &place), problems);
        if name.trim().is_empty() {
            problems.push(format!("an invocation of job `{key}` has an empty name"));
        }
        if name.chars().any(char::is_control) {
            problems.push(format!("the name `{}` holds control characters", name.escape_debug()));
        }
        if let Some(matrix) = arguments.get("matrix") {
            order.matrices.insert(matrix.get("alias").map_or_else(|| key.clone(), text));
        } else if let Some(other) = names.insert(name.to_lowercase(), name.clone()) {
            problems.push(format!("two jobs of workflow `{workflow}` have the name `{other}`, without regard to case"));
        }
        filters(arguments, &place, problems);
        let required = requires(arguments, &place, problems);
        if let Some(most) = limits.requires.filter(|&most| required.len() > most as usize) {
            problems.push(format!("{place} requires {} jobs, {most} are allowed", required.len()));
        }
        order.nodes.push((name, required));
    }
    order
}

/// Each job exists that another one waits for, and none waits for itself.
fn check_order(workflow: &str, Order { nodes, matrices }: &Order, problems: &mut Vec<String>) {
    let index: HashMap<&str, usize> = nodes.iter().enumerate().map(|(at, (name, _))| (&**name, at)).collect();
    let mut inputs = vec![0; nodes.len()];
    let mut consumers = vec![Vec::new(); nodes.len()];
    for (at, (name, required)) in nodes.iter().enumerate() {
        for other in required {
            match index.get(&**other) {
                Some(&before) => {
                    inputs[at] += 1;
                    consumers[before].push(at as u32);
                }
                None if matrices.contains(other) || (!matrices.is_empty() && other.contains('-')) => {}
                None => {
                    problems.push(format!("job `{name}` requires `{other}`, which workflow `{workflow}` does not have"))
                }
            }
        }
    }
    let order = topological::by_rank(InDegrees::new(inputs), |at| consumers[at as usize].iter().copied(), |at| at);
    if let Err(left) = order
        && let Some((first, _)) = left.waiting().next().map(|at| &nodes[at as usize])
    {
        problems.push(format!("workflow `{workflow}` has a cycle of `requires` through or before job `{first}`"));
    }
}

/// The job exists, and gets the parameters that it declares.
fn known_job(
    top: &Mapping,
    key: &str,
    arguments: &Mapping,
    (workflow, place): (&str, &str),
    problems: &mut Vec<String>,
) {
    each_reference_in(arguments, &mut |reference| {
        if let Reference::Parameter(name) = reference {
            problems.push(format!("{place} uses the parameter `{name}`, but a workflow has none"));
        }
    });
    let by_type = arguments.get("type").is_some_and(|kind| WITHOUT_STEPS.contains(&&*text(kind)));
    let from_orb = key.split_once('/').is_some_and(|(orb, _)| map(top, "orbs").contains_key(orb));
    let own = match orbs::own_job(top, key) {
        Some(Ok(job)) => Some(job),
        Some(Err(problem)) => {
            problems.push(problem);
            return;
        }
        None => None,
    };
    let Some(job) = map(top, "jobs").get(key).or(own.as_ref()) else {
        if !by_type && !from_orb {
            let names: Vec<String> = map(top, "jobs").keys().map(text).collect();
            let meant = meant(key, names.iter().map(String::as_str));
            problems.push(format!("workflow `{workflow}` invokes the job `{key}`, which is not defined{meant}"));
        }
        return;
    };
    let none = Mapping::new();
    let declared = job.get("parameters").and_then(Value::as_mapping).unwrap_or(&none);
    for (argument, _) in arguments {
        let argument = text(argument);
        if !INVOCATION_KEYS.contains(&&*argument) && !declared.contains_key(&*argument) {
            problems.push(format!("{place} gives the parameter `{argument}`, which job `{key}` does not declare"));
        }
    }
    let in_matrix = arguments.get("matrix").and_then(|matrix| matrix.get("parameters"));
    for (parameter, declaration) in declared {
        let parameter = text(parameter);
        let given = arguments.get(&*parameter).or_else(|| in_matrix?.get(&*parameter));
        match (given, declaration.get("type").and_then(Value::as_str)) {
            (None, _) if declaration.get("default").is_none() => {
                problems.push(format!("{place} does not give the parameter `{parameter}` of job `{key}`"));
            }
            (Some(Value::Bool(_) | Value::Number(_)), Some("string")) => {
                problems.push(format!("{place} gives the parameter `{parameter}` no string"));
            }
            (Some(Value::String(text)), Some(kind @ ("boolean" | "integer"))) if !text.contains("<<") => {
                problems.push(format!("{place} gives the parameter `{parameter}` a string in place of type `{kind}`"));
            }
            _ => {}
        }
    }
}

fn each_reference_in<'a>(arguments: &'a Mapping, visit: &mut dyn FnMut(Reference<'a>)) {
    for (_, value) in arguments {
        each_reference(value, visit);
    }
}

/// An expression is not a template.
fn filters(arguments: &Mapping, place: &str, problems: &mut Vec<String>) {
    if let Some(Value::String(expression)) = arguments.get("filters")
        && expression.contains("<<")
    {
        problems.push(format!("{place} has a filter with `<<`, which filters do not take"));
    }
}

/// The names that a job waits for.
fn requires(arguments: &Mapping, place: &str, problems: &mut Vec<String>) -> Vec<String> {
    let mut names = Vec::new();
    let items = match arguments.get("requires") {
        Some(Value::Sequence(items)) => items.as_slice(),
        Some(_) => {
            problems.push(format!("{place} has a `requires` that is not a list"));
            &[]
        }
        None => &[],
    };
    for item in items {
        let name = match item {
            Value::Mapping(entries) if entries.len() == 1 => {
                let (name, statuses) = entries.iter().next().expect("it has one entry");
                for status in text_list(Some(statuses)) {
                    if !STATUSES.contains(&&*status) {
                        problems.push(format!(
                            "{place} waits for `{status}`, which is not a status that a job can end with"
                        ));
                    }
                }
                text(name)
            }
            other => text(other),
        };
        if names.contains(&name) {
            problems.push(format!("{place} requires `{name}` twice"));
        }
        names.push(name);
    }
    names
}

/// The job that can be made a required check is there, behind everything.
pub(super) fn gate(top: &Mapping, problems: &mut Vec<String>) {
    let is_no_op = map(top, "jobs").get(GATE).is_some_and(|job| job.get("type").map(text).as_deref() == Some("no-op"));
    let invocations = map(top, "workflows").get(WORKFLOW).and_then(|workflow| workflow.get("jobs"));
    let invoked = invocations.and_then(Value::as_sequence).is_some_and(|jobs| {
        jobs.iter().any(|job| {
            let (key, arguments) = parts(job);
            key == GATE && arguments.is_none_or(|arguments| !arguments.contains_key("name"))
        })
    });
    // Without that workflow it is a configuration of somebody's own.
    if invocations.is_some() && (!is_no_op || !invoked) {
        problems.push(format!("workflow `{WORKFLOW}` lacks the job `{GATE}` of type `no-op`"));
    }
}
