//! Reads a pipeline as GitLab does: by Psych, a reader of YAML 1.1, hidden jobs merged into what extends them.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::Mutex;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Map, Value};

/// What has been read so far: a pipeline is read when it is written, created and run.
static READ: Mutex<BTreeMap<String, Map<String, Value>>> = Mutex::new(BTreeMap::new());

/// The mapping of a file. What Psych takes silently and is not meant, a key that is there twice, is refused.
pub fn read(text: &str) -> Result<Map<String, Value>> {
    let known = READ.lock().ok().and_then(|known| known.get(text).cloned());
    if let Some(known) = known {
        return Ok(known);
    }
    let map = by_psych(text)?;
    if let Ok(mut known) = READ.lock() {
        known.insert(text.to_owned(), map.clone());
    }
    Ok(map)
}

fn by_psych(text: &str) -> Result<Map<String, Value>> {
    serde_yaml::from_str::<serde_yaml::Value>(text).context("a reader of YAML 1.2 refuses it")?;
    let script = "require 'yaml'; require 'json'; puts JSON.generate(YAML.safe_load(STDIN.read, aliases: true))";
    let mut child = Command::new("ruby")
        .args(["-e", script])
        .env("LANG", "C.UTF-8")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("ruby is missing (tests/run.sh installs it)")?;
    child.stdin.take().context("it has an input")?.write_all(text.as_bytes())?;
    let output = child.wait_with_output()?;
    ensure!(output.status.success(), "Psych refuses it: {}", String::from_utf8_lossy(&output.stderr));
    match serde_json::from_slice(&output.stdout)? {
        Value::Object(map) => Ok(map),
        other => bail!("a pipeline is a mapping, not {other}"),
    }
}

/// A job with everything that it extends: mappings are merged, all else is replaced.
pub fn extended(top: &Map<String, Value>, name: &str, depth: usize) -> Result<Map<String, Value>> {
    ensure!(depth <= 11, "`{name}` extends more than 11 levels, or itself");
    let body = top.get(name).and_then(Value::as_object).with_context(|| format!("no job `{name}`"))?;
    let mut whole = Map::new();
    let bases: Vec<&str> = match body.get("extends") {
        None => Vec::new(),
        Some(Value::String(base)) => vec![base],
        Some(Value::Array(bases)) => bases.iter().filter_map(Value::as_str).collect(),
        Some(other) => bail!("`{name}` extends {other}"),
    };
    for base in bases {
        merge(&mut whole, &extended(top, base, depth + 1)?);
    }
    let own = body.iter().filter(|(key, _)| *key != "extends").map(|(key, value)| (key.clone(), value.clone()));
    merge(&mut whole, &own.collect());
    Ok(whole)
}

fn merge(into: &mut Map<String, Value>, from: &Map<String, Value>) {
    for (key, value) in from {
        match (into.get_mut(key), value) {
            (Some(Value::Object(inner)), Value::Object(more)) => merge(inner, more),
            _ => _ = into.insert(key.clone(), value.clone()),
        }
    }
}

/// A string, or nothing where there is none; anything else is refused.
pub fn text(body: &Map<String, Value>, key: &str) -> Result<Option<String>> {
    match body.get(key) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(other) => bail!("`{key}` is {other}, expected text"),
    }
}

/// Strings; an array in an array is laid out, as in scripts.
pub fn texts(value: Option<&Value>) -> Result<Vec<String>> {
    match value {
        None => Ok(Vec::new()),
        Some(Value::String(text)) => Ok(vec![text.clone()]),
        Some(Value::Array(items)) => items
            .iter()
            .map(|item| item.as_str().map(str::to_owned).with_context(|| format!("{item} is not text")))
            .collect(),
        Some(other) => bail!("{other} is not a list of texts"),
    }
}
