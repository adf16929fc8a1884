//! Steps: commands, `when` and `unless` expanded away, the rest with its keys checked.

use anyhow::{Context, Result, bail, ensure};
use serde_yaml::{Mapping, Value};

use super::compile::PARAMETER_TYPES;
use super::document::{mapping, optional_string, string, strings};
use super::orbs::{Kind, Sources};
use super::template::{Scope, bind, truth};

/// When a step runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    OnSuccess,
    OnFail,
    Always,
}

/// What a step does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    Run {
        command: String,
        shell: Option<String>,
        directory: Option<String>,
        environment: Vec<(String, String)>,
        /// How often it is run again after a failure.
        reruns: u64,
    },
    Checkout,
    SaveCache {
        key: String,
        paths: Vec<String>,
    },
    RestoreCache {
        keys: Vec<String>,
    },
    Persist {
        root: String,
        paths: Vec<String>,
    },
    Attach {
        at: String,
    },
    StoreTestResults {
        path: String,
    },
    StoreArtifacts {
        path: String,
    },
}

/// A step of a compiled job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    pub name: String,
    pub when: When,
    pub action: Action,
}

/// Expands and checks a list of steps.
pub fn compile(
    sources: &Sources,
    list: &Value,
    scope: &Scope,
    place: &str,
    depth: usize,
    out: &mut Vec<Step>,
) -> Result<()> {
    ensure!(depth < 50, "{place}: commands that call one another without an end");
    let list = list.as_sequence().with_context(|| format!("{place}: `steps` is not a list"))?;
    for step in list {
        let nothing = Value::Mapping(Mapping::new());
        let (name, body) = match step {
            Value::String(name) => (&**name, &nothing),
            Value::Mapping(map) if map.len() == 1 => {
                let (name, body) = map.iter().next().context("it has one entry")?;
                (name.as_str().with_context(|| format!("{place} has a step whose name is not a string"))?, body)
            }
            _ => bail!("{place} has a step that is not one name with its settings"),
        };
        let place = format!("{place}, step `{name}`");
        match name {
            "when" | "unless" => {
                let body = mapping(body, &place, &["condition", "steps"])?;
                let condition = body.get("condition").with_context(|| format!("{place} lacks `condition`"))?;
                let steps = body.get("steps").with_context(|| format!("{place} lacks `steps`"))?;
                if truth(&scope.expand(condition)?)? == (name == "when") {
                    compile(sources, steps, scope, &place, depth + 1, out)?;
                } else {
                    // What does not run has to be sound all the same.
                    compile(sources, steps, scope, &place, depth + 1, &mut Vec::new())?;
                }
            }
            _ if sources.find(Kind::Command, name).is_some() => {
                let (sources, command) = sources.find(Kind::Command, name).context("it is there")?;
                let command = mapping(command, &place, &["description", "parameters", "steps"])?;
                let arguments = scope.expand(body)?;
                let arguments =
                    arguments.as_mapping().with_context(|| format!("{place}: its arguments are no mapping"))?;
                let values = bind(command.get("parameters"), arguments, &place, &PARAMETER_TYPES)?;
                let steps = command.get("steps").with_context(|| format!("{place} has no steps"))?;
                compile(sources, steps, &scope.inside(sources.is_orb, values), &place, depth + 1, out)?;
            }
            _ => out.push(built_in(name, &scope.expand(body)?, &place)?),
        }
    }
    Ok(())
}

fn built_in(name: &str, body: &Value, place: &str) -> Result<Step> {
    let keys: &[&str] = match name {
        "run" => &[
            "name",
            "command",
            "shell",
            "working_directory",
            "environment",
            "no_output_timeout",
            "max_auto_reruns",
            "when",
        ],
        "checkout" => &["path"],
        "save_cache" => &["name", "key", "paths", "when"],
        "restore_cache" => &["name", "key", "keys", "when"],
        "persist_to_workspace" => &["name", "root", "paths", "when"],
        "attach_workspace" => &["name", "at", "when"],
        "store_test_results" => &["name", "path", "when"],
        "store_artifacts" => &["name", "path", "destination", "when"],
        _ => bail!("{place} is neither one of CircleCI's that the stand-in knows nor a command"),
    };
    let short = Value::Mapping(body.as_str().map(|command| ("command".into(), command.into())).into_iter().collect());
    let body = mapping(if name == "run" && body.is_string() { &short } else { body }, place, keys)?;
    let when = match optional_string(body, "when", place)?.as_deref() {
        None | Some("on_success") => When::OnSuccess,
        Some("on_fail") => When::OnFail,
        Some("always") => When::Always,
        Some(other) => bail!("{place}: `when: {other}`"),
    };
    let action = match name {
        "run" => Action::Run {
            command: string(body, "command", place)?,
            shell: optional_string(body, "shell", place)?,
            directory: optional_string(body, "working_directory", place)?,
            environment: environment(body, place)?,
            reruns: match body.get("max_auto_reruns") {
                None => 0,
                Some(times) => times
                    .as_u64()
                    .filter(|times| (1..=5).contains(times))
                    .with_context(|| format!("{place}: `max_auto_reruns` is not a number from 1 to 5"))?,
            },
        },
        "checkout" => Action::Checkout,
        "save_cache" => Action::SaveCache {
            key: string(body, "key", place)?,
            paths: at_least_one(strings(body, "paths", place)?, place)?,
        },
        "restore_cache" => {
            let mut keys = strings(body, "keys", place)?;
            let key = optional_string(body, "key", place)?;
            ensure!(keys.is_empty() || key.is_none(), "{place} has both `key` and `keys`");
            keys.extend(key);
            Action::RestoreCache { keys: at_least_one(keys, place)? }
        }
        "persist_to_workspace" => Action::Persist {
            root: string(body, "root", place)?,
            paths: at_least_one(strings(body, "paths", place)?, place)?,
        },
        "attach_workspace" => Action::Attach { at: string(body, "at", place)? },
        "store_test_results" => Action::StoreTestResults { path: string(body, "path", place)? },
        _ => Action::StoreArtifacts { path: string(body, "path", place)? },
    };
    let shown = optional_string(body, "name", place)?.unwrap_or_else(|| name.to_owned());
    ensure!(!shown.trim().is_empty(), "{place} has an empty name");
    Ok(Step { name: shown, when, action })
}

fn at_least_one(list: Vec<String>, place: &str) -> Result<Vec<String>> {
    ensure!(!list.is_empty(), "{place} names nothing");
    Ok(list)
}

/// The variables under `environment`.
pub fn environment(body: &Mapping, place: &str) -> Result<Vec<(String, String)>> {
    super::document::entries(body, "environment")?
        .into_iter()
        .map(|(name, value)| {
            let value = match value {
                Value::String(text) => text.clone(),
                Value::Number(number) => number.to_string(),
                Value::Bool(truth) => truth.to_string(),
                _ => bail!("{place}: the variable `{name}` is no scalar"),
            };
            Ok((name.to_owned(), value))
        })
        .collect()
}
