//! From a file to a workflow, with everything refused that GitHub refuses, and what this stand-in does not know.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Map, Value};

use super::expression::SCALAR_CHARACTERS;

/// Most bytes of a workflow's file.
const FILE_BYTES: usize = 512_000;

/// Keys of a workflow.
const TOP: [&str; 5] = ["name", "on", "permissions", "concurrency", "jobs"];

/// Events that a workflow may name here; `pull_request_target` runs a fork's text with the repository's secrets.
const EVENTS: [&str; 5] = ["push", "pull_request", "merge_group", "workflow_dispatch", "workflow_call"];

/// Keys of a job with steps.
const WITH_STEPS: [&str; 13] = [
    "name",
    "needs",
    "if",
    "runs-on",
    "environment",
    "permissions",
    "concurrency",
    "outputs",
    "env",
    "continue-on-error",
    "timeout-minutes",
    "strategy",
    "steps",
];

/// Keys of a job that calls a workflow.
const CALLING: [&str; 9] = ["name", "needs", "if", "permissions", "concurrency", "strategy", "uses", "with", "secrets"];

/// Keys of a step.
const STEP: [&str; 9] = ["name", "id", "if", "uses", "with", "run", "shell", "env", "continue-on-error"];

/// A workflow.
#[derive(Clone, Debug)]
pub struct Workflow {
    /// What it can be started by, with what is said about each.
    pub on: Map<String, Value>,
    /// What its token may do.
    pub permissions: Map<String, Value>,
    pub jobs: BTreeMap<String, Map<String, Value>>,
    /// The order in which jobs can run.
    pub order: Vec<String>,
}

impl Workflow {
    /// Reads a file.
    pub fn read(text: &str) -> Result<Self> {
        ensure!(text.len() <= FILE_BYTES, "the file has {} bytes: GitHub starts no run", text.len());
        let top = document(text)?;
        known(&top, &TOP, "the workflow")?;
        let on = map(top.get("on"), "on")?.clone();
        for event in on.keys() {
            ensure!(EVENTS.contains(&event.as_str()), "the event `{event}`");
        }
        let permissions = map(top.get("permissions"), "permissions")?.clone();
        let mut jobs = BTreeMap::new();
        for (id, job) in map(top.get("jobs"), "jobs")? {
            check_id(id)?;
            let job = map(Some(job), id)?;
            check_job(job).with_context(|| format!("job `{id}`"))?;
            jobs.insert(id.clone(), job.clone());
        }
        let order = order(&jobs)?;
        Ok(Self { on, permissions, jobs, order })
    }
}

/// Steps, outputs and inputs of an action that is made of steps.
pub fn read_action(text: &str) -> Result<Map<String, Value>> {
    let top = document(text)?;
    known(&top, &["name", "description", "inputs", "outputs", "runs"], "the action")?;
    let runs = map(top.get("runs"), "runs")?;
    known(runs, &["using", "steps"], "runs")?;
    ensure!(runs["using"] == "composite", "an action that is not `composite`");
    for (name, input) in map(top.get("inputs"), "inputs")? {
        let input = map(Some(input), name)?;
        known(input, &["description", "required", "default"], name)?;
        ensure!(input.get("default").is_none_or(Value::is_string), "the default of `{name}` is not text");
    }
    for step in list(runs.get("steps"), "steps")? {
        let step = map(Some(&step), "step")?;
        check_step(step)?;
        ensure!(!step.contains_key("run") || step.contains_key("shell"), "a step of an action without `shell`");
    }
    Ok(top)
}

/// A mapping in a document, duplicate keys and long expressions refused.
fn document(text: &str) -> Result<Map<String, Value>> {
    let read: serde_yaml::Value = serde_yaml::from_str(text).context("it is not YAML")?;
    ensure!(!text.contains("<<:"), "a merge key");
    let value = serde_json::to_value(read)?;
    check_scalars(&value)?;
    Ok(map(Some(&value), "the file")?.clone())
}

fn check_scalars(value: &Value) -> Result<()> {
    match value {
        Value::String(text) => ensure!(
            !text.contains("${{") || text.chars().count() <= SCALAR_CHARACTERS,
            "Exceeded max expression length {SCALAR_CHARACTERS}"
        ),
        Value::Array(items) => items.iter().try_for_each(check_scalars)?,
        Value::Object(entries) => entries.values().try_for_each(check_scalars)?,
        _ => {}
    }
    Ok(())
}

/// The mapping that a value is; empty where there is none.
pub fn map<'a>(value: Option<&'a Value>, what: &str) -> Result<&'a Map<String, Value>> {
    static EMPTY: std::sync::OnceLock<Map<String, Value>> = std::sync::OnceLock::new();
    match value {
        None | Some(Value::Null) => Ok(EMPTY.get_or_init(Map::new)),
        Some(Value::Object(map)) => Ok(map),
        Some(other) => bail!("`{what}` is {other}, expected a mapping"),
    }
}

/// The list that a value is; a single text is a list, too.
pub fn list(value: Option<&Value>, what: &str) -> Result<Vec<Value>> {
    match value {
        None => Ok(Vec::new()),
        Some(Value::Array(items)) => Ok(items.clone()),
        Some(Value::String(text)) => Ok(vec![Value::String(text.clone())]),
        Some(other) => bail!("`{what}` is {other}, expected a list"),
    }
}

fn known(map: &Map<String, Value>, keys: &[&str], what: &str) -> Result<()> {
    match map.keys().find(|key| !keys.contains(&key.as_str())) {
        Some(key) => bail!("{what}: the key `{key}` is not known"),
        None => Ok(()),
    }
}

fn check_id(id: &str) -> Result<()> {
    let mut letters = id.chars();
    let first = letters.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
    ensure!(first && letters.all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-'), "the id `{id}`");
    Ok(())
}

fn check_job(job: &Map<String, Value>) -> Result<()> {
    if let Some(uses) = job.get("uses") {
        known(job, &CALLING, "a job that calls a workflow")?;
        let uses = uses.as_str().context("`uses`")?;
        ensure!(
            uses.starts_with("./.github/workflows/") || is_pinned(uses),
            "`{uses}` is neither a workflow of this repository nor pinned"
        );
        ensure!(job.get("secrets").is_none_or(Value::is_object), "secrets that are not named");
    } else {
        known(job, &WITH_STEPS, "a job")?;
        ensure!(job.contains_key("runs-on"), "no `runs-on`");
        let steps = list(job.get("steps"), "steps")?;
        ensure!(!steps.is_empty(), "no steps");
        let mut ids = BTreeSet::new();
        for step in &steps {
            let step = map(Some(step), "step")?;
            check_step(step)?;
            if let Some(id) = step.get("id").and_then(Value::as_str) {
                check_id(id)?;
                ensure!(ids.insert(id.to_owned()), "two steps with the id `{id}`");
            }
        }
    }
    if let Some(strategy) = job.get("strategy") {
        let strategy = map(Some(strategy), "strategy")?;
        known(strategy, &["fail-fast", "max-parallel", "matrix"], "strategy")?;
        ensure!(strategy.get("fail-fast") == Some(&Value::Bool(false)), "one failure would cancel the others");
    }
    Ok(())
}

fn check_step(step: &Map<String, Value>) -> Result<()> {
    known(step, &STEP, "a step")?;
    ensure!(step.contains_key("uses") != step.contains_key("run"), "a step has either `run` or `uses`");
    if let Some(run) = step.get("run").and_then(Value::as_str) {
        ensure!(!run.contains("${{"), "data in a shell: {run}");
    }
    if let Some(uses) = step.get("uses").and_then(Value::as_str) {
        ensure!(is_pinned(uses), "`{uses}` is not pinned");
    }
    Ok(())
}

/// True for `owner/repository/path@` and 40 hexadecimal digits.
fn is_pinned(uses: &str) -> bool {
    uses.split_once('@').is_some_and(|(_, commit)| {
        commit.len() == 40 && commit.bytes().all(|byte| byte.is_ascii_hexdigit() && !byte.is_ascii_uppercase())
    })
}

/// What a job needs.
pub fn needs(job: &Map<String, Value>) -> Result<Vec<String>> {
    list(job.get("needs"), "needs")?
        .iter()
        .map(|need| need.as_str().map(str::to_owned).context("a need is a job's id"))
        .collect()
}

/// The jobs in an order in which they can run.
fn order(jobs: &BTreeMap<String, Map<String, Value>>) -> Result<Vec<String>> {
    let mut done: Vec<String> = Vec::new();
    for (id, job) in jobs {
        for need in needs(job)? {
            ensure!(jobs.contains_key(&need), "job `{id}` needs `{need}`, which is not a job");
        }
    }
    while done.len() < jobs.len() {
        let mut found = None;
        for (id, job) in jobs {
            if !done.contains(id) && needs(job)?.iter().all(|need| done.contains(need)) {
                found = Some(id.clone());
                break;
            }
        }
        done.push(found.context("needs go in a circle")?);
    }
    Ok(done)
}
