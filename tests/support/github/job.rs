//! Runs the steps of a job, actions included, on a machine of its own.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Map, Value, json};

use super::Status;
use super::commands::annotations;
use super::expression::{self, Scope, condition, to_text, truth};
use super::run::{JobOutcome, Run, evaluated};
use super::workflow::{list, map, read_action};
use super::{Accident, actions};
use crate::support::machine::{Cancel, Machine, Start, copy_into, note};

/// Where the repository is on every machine.
pub const WORKSPACE: &str = "/mnt/work/flake/flake";

/// Where actions are, and files of steps.
const ACTIONS: &str = "/mnt/work/_actions";
const TEMP: &str = "/mnt/work/_temp";

/// Most bytes of a step's summary.
const SUMMARY_BYTES: usize = 1 << 20;

/// A job that is going on.
pub struct Steps<'a, 'b> {
    pub run: &'a mut Run<'b>,
    pub machine: &'a Machine,
    pub log: &'a Path,
    summary: String,
    annotations: Vec<String>,
    /// Folders in front of PATH.
    path: Vec<String>,
    number: usize,
}

/// Runs a job; gives how it ended and its outputs.
pub fn run(
    run: &mut Run,
    body: &Map<String, Value>,
    contexts: &Map<String, Value>,
    name: &str,
) -> Result<(Status, Map<String, Value>, JobOutcome)> {
    run.jobs += 1;
    let dir = run.github.state.path().join(format!("{}-{}-{}", run.id, run.attempt, run.jobs));
    let mut outcome = JobOutcome {
        name: name.to_owned(),
        status: Status::Cancelled,
        log: String::new(),
        summary: String::new(),
        annotations: Vec::new(),
        attempt: run.attempt,
    };
    let mut contexts = contexts.clone();
    let contexts_have_inputs = contexts.contains_key("inputs");
    if let Some(environment) = body.get("environment") {
        let named = to_text(&evaluated(environment, &contexts)?)?;
        let own = run.github.environments.get(&named).filter(|_| !run.github.event.2).cloned().unwrap_or_default();
        let secrets = contexts.get_mut("secrets").and_then(Value::as_object_mut).context("secrets")?;
        for (name, value) in own {
            // A called workflow sees the secrets that it declares.
            if secrets.contains_key(&name) || !contexts_have_inputs {
                secrets.insert(name, Value::String(value));
            }
        }
    }
    let runner = evaluated(body.get("runs-on").context("runs-on")?, &contexts)?;
    if let Some(minutes) = body.get("timeout-minutes") {
        let minutes = evaluated(minutes, &contexts)?.as_u64().context("timeout-minutes")?;
        ensure!((1..=360).contains(&minutes), "timeout-minutes: {minutes}");
    }
    let accident = run.accident(name);
    match accident {
        Some(Accident::CancelRun) => run.cancelled = true,
        Some(Accident::Lost) => outcome.status = Status::Failure,
        Some(Accident::TimeOut) => {}
        // A job that no runner takes is cancelled after a day.
        None if !run.has_runner(&runner)? => {}
        None => {
            let start = Start { image: None, shell: None, directory: WORKSPACE, user: "runner", variables: &[] };
            fs::create_dir_all(&dir)?;
            let machine = Machine::new(&run.github.world, &start, &dir)?;
            fs::create_dir_all(machine.outside(Path::new(TEMP))?)?;
            let log = dir.join("log");
            machine.before_steps(&log, &Cancel::default())?;
            let (path, annotations) = (Vec::new(), Vec::new());
            let mut steps =
                Steps { run, machine: &machine, log: &log, summary: String::new(), annotations, path, number: 0 };
            let list = list(body.get("steps"), "steps")?;
            let (status, of_steps) = steps.all(&list, &contexts)?;
            outcome.status = status;
            outcome.summary = std::mem::take(&mut steps.summary);
            outcome.annotations = std::mem::take(&mut steps.annotations);
            contexts.insert("steps".into(), Value::Object(of_steps));
            outcome.log = String::from_utf8_lossy(&fs::read(&log).unwrap_or_default()).into_owned();
        }
    }
    let mut outputs = Map::new();
    if outcome.status == Status::Success || contexts.contains_key("steps") {
        for (name, value) in map(body.get("outputs"), "outputs")? {
            outputs.insert(name.clone(), Value::String(to_text(&evaluated(value, &contexts)?)?));
        }
    }
    let may_fail = match body.get("continue-on-error") {
        Some(value) => truth(&evaluated(value, &contexts)?),
        None => false,
    };
    let status = if may_fail && outcome.status == Status::Failure { Status::Success } else { outcome.status };
    Ok((status, outputs, outcome))
}

impl Steps<'_, '_> {
    /// Runs steps in their order; gives how they ended, and the context `steps`.
    fn all(&mut self, steps: &[Value], contexts: &Map<String, Value>) -> Result<(Status, Map<String, Value>)> {
        let mut contexts = contexts.clone();
        contexts.insert("runner".into(), json!({ "os": "Linux", "temp": TEMP }));
        contexts.insert("steps".into(), json!({}));
        let mut ended = Status::Success;
        for step in steps {
            let step = map(Some(step), "step")?;
            let status =
                expression::Status { failure: ended == Status::Failure, cancelled: self.run.cancelled, skipped: false };
            let scope = Scope { contexts: &contexts, status: Some(status) };
            let name = step.get("name").or(step.get("uses")).or(step.get("run")).and_then(Value::as_str);
            let name = name.unwrap_or_default();
            let due = condition(step.get("if").and_then(Value::as_str), &scope);
            if !due.with_context(|| format!("step `{name}`"))? {
                continue;
            }
            let (well, outputs) = self.one(step, &contexts).with_context(|| format!("step `{name}`"))?;
            if !well {
                let may_fail = match step.get("continue-on-error") {
                    Some(value) => truth(&evaluated(value, &contexts)?),
                    None => false,
                };
                ended = if may_fail { ended } else { Status::Failure };
            }
            if let Some(id) = step.get("id").and_then(Value::as_str) {
                let outcome = if well { "success" } else { "failure" };
                contexts["steps"][id] = json!({ "outputs": outputs, "outcome": outcome });
            }
        }
        let steps = contexts.get("steps").and_then(Value::as_object).cloned().unwrap_or_default();
        Ok((ended, steps))
    }

    /// Runs one step; gives whether it ended well, and its outputs.
    fn one(&mut self, step: &Map<String, Value>, contexts: &Map<String, Value>) -> Result<(bool, Map<String, Value>)> {
        let mut variables = BTreeMap::new();
        for (name, value) in map(step.get("env"), "env")? {
            ensure!(!name.starts_with("GITHUB_"), "the variable `{name}`");
            variables.insert(name.clone(), to_text(&evaluated(value, contexts)?)?);
        }
        if let Some(script) = step.get("run").and_then(Value::as_str) {
            ensure!(matches!(step.get("shell").and_then(Value::as_str), None | Some("bash")), "another shell");
            return self.script(script, variables, contexts);
        }
        let uses = step.get("uses").and_then(Value::as_str).context("a step that does nothing")?;
        let mut given = Map::new();
        for (name, value) in map(step.get("with"), "with")? {
            given.insert(name.clone(), Value::String(to_text(&evaluated(value, contexts)?)?));
        }
        if uses.starts_with("actions/") {
            return actions::run(self, uses, &given);
        }
        ensure!(variables.is_empty(), "variables of an action");
        self.composite(uses, &given, contexts)
    }

    /// Runs an action that is made of steps.
    fn composite(
        &mut self,
        uses: &str,
        given: &Map<String, Value>,
        contexts: &Map<String, Value>,
    ) -> Result<(bool, Map<String, Value>)> {
        let folder = self.run.github.used(uses)?;
        let (path, commit) = uses.split_once('@').context("a commit")?;
        let parts: Vec<&str> = path.splitn(3, '/').collect();
        let root = format!("{ACTIONS}/{}/{}/{commit}", parts[0], parts[1]);
        let place = self.machine.outside(Path::new(&root))?;
        if !place.exists() {
            // GitHub unpacks the whole repository; these are the folders with actions and what they use.
            let repository = folder.ancestors().nth(2).context("an action in a folder of its own")?;
            for part in ["github", "orb"] {
                copy_into(&repository.join(part), &place.join(part))?;
            }
        }
        let action = read_action(&fs::read_to_string(folder.join("action.yml"))?)?;
        let declared = map(action.get("inputs"), "inputs")?;
        let mut inputs = Map::new();
        for name in given.keys() {
            ensure!(declared.contains_key(name), "the action `{uses}` has no input `{name}`");
        }
        for (name, declaration) in declared {
            let value = given.get(name).or(declaration.get("default")).cloned();
            ensure!(value.is_some() || declaration.get("required") != Some(&Value::Bool(true)), "`{name}` is required");
            inputs.insert(name.clone(), value.unwrap_or_else(|| json!("")));
        }
        let mut inner = Map::new();
        let mut github = contexts.get("github").cloned().context("github")?;
        github["action_path"] = json!(format!("{root}/{}", parts[2]));
        inner.insert("github".into(), github);
        inner.insert("inputs".into(), Value::Object(inputs));
        let steps = list(map(action.get("runs"), "runs")?.get("steps"), "steps")?;
        let (status, of_steps) = self.all(&steps, &inner)?;
        inner.insert("steps".into(), Value::Object(of_steps));
        let mut outputs = Map::new();
        for (name, output) in map(action.get("outputs"), "outputs")? {
            outputs.insert(name.clone(), json!(to_text(&evaluated(&output["value"], &inner)?)?));
        }
        Ok((status == Status::Success, outputs))
    }

    /// Runs a script in bash.
    fn script(
        &mut self,
        script: &str,
        own: BTreeMap<String, String>,
        contexts: &Map<String, Value>,
    ) -> Result<(bool, Map<String, Value>)> {
        self.number += 1;
        let number = self.number;
        let file = |name: &str| format!("{TEMP}/{name}-{number}");
        let outside = |path: &str| self.machine.outside(Path::new(path));
        fs::write(outside(&file("script"))?, script)?;
        let files = ["GITHUB_OUTPUT", "GITHUB_ENV", "GITHUB_PATH", "GITHUB_STEP_SUMMARY"];
        let mut variables: BTreeMap<String, String> = own;
        for name in files {
            fs::write(outside(&file(name))?, "")?;
            variables.insert(name.into(), file(name));
        }
        let github = &contexts["github"];
        for name in ["event_name", "ref", "ref_name", "head_ref", "run_id", "run_attempt", "repository", "sha"] {
            let value = github[name].as_str().unwrap_or_default().to_owned();
            variables.insert(format!("GITHUB_{}", name.to_uppercase()), value);
        }
        for (name, value) in [
            ("GITHUB_ACTIONS", "true"),
            ("GITHUB_REF_TYPE", "branch"),
            ("GITHUB_WORKSPACE", WORKSPACE),
            ("GITHUB_ACTION_PATH", github["action_path"].as_str().unwrap_or_default()),
            ("RUNNER_TEMP", TEMP),
        ] {
            variables.insert(name.into(), value.into());
        }
        let path: String = self.path.iter().rev().map(|folder| format!("{folder}:")).collect();
        let command =
            format!("export PATH='{path}'\"$PATH\"; exec bash --noprofile --norc -eo pipefail {}", file("script"));
        let from = fs::metadata(self.log).map_or(0, |data| data.len()) as usize;
        let ran = self.machine.run(&command, None, Path::new(WORKSPACE), &variables, self.log, &Cancel::default())?;
        let printed = fs::read(self.log)?;
        self.annotations.extend(annotations(&String::from_utf8_lossy(&printed[from..]))?);
        let read = |name: &str| -> Result<String> { Ok(fs::read_to_string(outside(&file(name))?)?) };
        let summary = read("GITHUB_STEP_SUMMARY")?;
        ensure!(summary.len() <= SUMMARY_BYTES, "$GITHUB_STEP_SUMMARY upload aborted, {} bytes", summary.len());
        let outputs = assignments(&read("GITHUB_OUTPUT")?)?;
        ensure!(read("GITHUB_ENV")?.is_empty(), "variables for later steps");
        let more: Vec<String> = read("GITHUB_PATH")?.lines().map(str::to_owned).collect();
        self.summary.push_str(&summary);
        self.path.extend(more);
        Ok((ran.is_some_and(|ran| ran.success()), outputs))
    }

    /// A path of a step as this process sees it.
    pub fn outside(&self, path: &str) -> Result<PathBuf> {
        self.machine.outside(&self.machine.absolute(path.trim_end_matches('/'))?)
    }

    /// Adds a line to the log.
    pub fn say(&self, line: &str) -> Result<()> {
        note(self.log, line)
    }
}

/// `name=value` on a line each, as `GITHUB_OUTPUT` has them here.
fn assignments(text: &str) -> Result<Map<String, Value>> {
    let mut found = Map::new();
    for line in text.lines() {
        let Some((name, value)) = line.split_once('=') else { bail!("`{line}` in GITHUB_OUTPUT") };
        ensure!(!name.contains("<<"), "a delimiter in GITHUB_OUTPUT");
        ensure!(!found.contains_key(name), "two values of `{name}` in GITHUB_OUTPUT");
        found.insert(name.to_owned(), Value::String(value.to_owned()));
    }
    Ok(found)
}
