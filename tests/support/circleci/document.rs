//! Reads YAML as CircleCI does, and checks keys.

use std::io::Write;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use serde_yaml::{Mapping, Value};

/// Reads a text that a reader of YAML 1.1 and one of YAML 1.2 understand alike.
pub fn read(text: &str) -> Result<Value> {
    ensure!(!text.contains('\t'), "a tab in YAML");
    let value: Value = serde_yaml::from_str(text).context("no YAML")?;
    no_merge_keys(&value)?;
    // PyYAML reads YAML 1.1, as CircleCI's compiler does; its part in C is the same in less time.
    let script = "import json, sys, yaml\n\
        def strict(v):\n \
         if isinstance(v, dict):\n  assert all(type(k) is str for k in v), 'a key that is not a string in YAML 1.1'\n  [strict(x) for x in v.values()]\n \
         elif isinstance(v, list): [strict(x) for x in v]\n\
        v = yaml.load(sys.stdin.buffer.read().decode(), getattr(yaml, 'CSafeLoader', yaml.SafeLoader))\n\
        strict(v)\n\
        json.dump(v, sys.stdout)";
    let mut child = Command::new("/usr/bin/python3")
        .args(["-c", script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("`/usr/bin/python3` with `yaml` is missing")?;
    let mut stdin = child.stdin.take().context("no pipe")?;
    let bytes = text.as_bytes().to_owned();
    let writer = std::thread::spawn(move || stdin.write_all(&bytes));
    let output = child.wait_with_output()?;
    ensure!(output.status.success(), "YAML 1.1: {}", String::from_utf8_lossy(&output.stderr));
    writer.join().ok().context("the writer died")??;
    let older: Value = serde_json::from_slice(&output.stdout)?;
    ensure!(older == value, "readers of YAML 1.1 and 1.2 disagree: quote strings like `on`, `1:30`, `012`");
    Ok(value)
}

fn no_merge_keys(value: &Value) -> Result<()> {
    match value {
        Value::Mapping(entries) => {
            for (key, value) in entries {
                ensure!(key.as_str().is_none_or(|key| key.trim() != "<<"), "a mapping key `<<`");
                no_merge_keys(value)?;
            }
        }
        Value::Sequence(items) => items.iter().try_for_each(no_merge_keys)?,
        Value::Tagged(_) => bail!("a YAML tag"),
        _ => {}
    }
    Ok(())
}

/// The value as a mapping that has no keys but these.
pub fn mapping<'a>(value: &'a Value, place: &str, keys: &[&str]) -> Result<&'a Mapping> {
    let map = value.as_mapping().with_context(|| format!("{place} is not a mapping"))?;
    for key in map.keys() {
        let key = key.as_str().with_context(|| format!("{place} has a key that is not a string"))?;
        ensure!(keys.contains(&key), "{place} has the unknown key `{key}`");
    }
    Ok(map)
}

/// The entries of the mapping under a key; none where it is absent.
pub fn entries<'a>(parent: &'a Mapping, key: &str) -> Result<Vec<(&'a str, &'a Value)>> {
    match parent.get(key) {
        None => Ok(Vec::new()),
        Some(value) => value
            .as_mapping()
            .with_context(|| format!("`{key}` is not a mapping"))?
            .iter()
            .map(|(name, value)| {
                Ok((name.as_str().with_context(|| format!("`{key}` has a key that is not a string"))?, value))
            })
            .collect(),
    }
}

/// The string under a key.
pub fn string(map: &Mapping, key: &str, place: &str) -> Result<String> {
    optional_string(map, key, place)?.with_context(|| format!("{place} lacks `{key}`"))
}

/// The string under a key, if it is there.
pub fn optional_string(map: &Mapping, key: &str, place: &str) -> Result<Option<String>> {
    match map.get(key) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => bail!("{place}: `{key}` is not a string"),
    }
}

/// A string or a list of strings under a key.
pub fn strings(map: &Mapping, key: &str, place: &str) -> Result<Vec<String>> {
    match map.get(key) {
        None => Ok(Vec::new()),
        Some(Value::String(text)) => Ok(vec![text.clone()]),
        Some(Value::Sequence(items)) => items
            .iter()
            .map(|item| {
                item.as_str().map(str::to_owned).with_context(|| format!("{place}: `{key}` is not a list of strings"))
            })
            .collect(),
        Some(_) => bail!("{place}: `{key}` is neither a string nor a list"),
    }
}
