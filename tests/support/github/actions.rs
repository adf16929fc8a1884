//! GitHub's own actions, as far as they are used.

use std::fs;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Map, Value, json};

use super::job::Steps;
use crate::support::machine::copy_into;

/// The actions, with the inputs that they have here.
const KNOWN: [(&str, &[&str]); 5] = [
    ("actions/checkout", &["fetch-depth", "persist-credentials"]),
    (
        "actions/upload-artifact",
        &[
            "name",
            "path",
            "include-hidden-files",
            "compression-level",
            "retention-days",
            "overwrite",
            "if-no-files-found",
        ],
    ),
    ("actions/download-artifact", &["name", "path", "pattern"]),
    ("actions/cache/restore", &["path", "key", "restore-keys"]),
    ("actions/cache/save", &["path", "key"]),
];

/// Runs one of them.
pub fn run(steps: &mut Steps, uses: &str, given: &Map<String, Value>) -> Result<(bool, Map<String, Value>)> {
    let (action, _) = uses.split_once('@').context("a commit")?;
    let (_, inputs) = KNOWN.iter().find(|(known, _)| *known == action).with_context(|| format!("`{action}`"))?;
    for name in given.keys() {
        ensure!(inputs.contains(&name.as_str()), "`{action}` has no input `{name}`");
    }
    let text = |name: &str| given.get(name).and_then(Value::as_str).unwrap_or_default();
    let mut outputs = Map::new();
    match action {
        "actions/checkout" => {
            ensure!(text("persist-credentials") == "false", "the token would stay in the checkout");
            steps.machine.checkout()?;
        }
        "actions/upload-artifact" => {
            let (name, path) = (text("name"), text("path"));
            let folder = steps.outside(path)?;
            let is_hidden = path.split('/').any(|part| part.starts_with('.') && part.len() > 1);
            ensure!(!is_hidden || text("include-hidden-files") == "true", "hidden files are left out: {path}");
            let is_empty = fs::read_dir(&folder).map_or(true, |mut entries| entries.next().is_none());
            if is_empty {
                if text("if-no-files-found") != "ignore" {
                    steps.say(&format!("nothing to upload in {path}"))?;
                }
                return Ok((text("if-no-files-found") != "error", outputs));
            }
            let overwrite = text("overwrite") == "true";
            if let Err(error) = steps.run.artifacts.upload(name, &folder, overwrite) {
                steps.say(&format!("{error:#}"))?;
                return Ok((false, outputs));
            }
        }
        "actions/download-artifact" => {
            let to = steps.outside(text("path"))?;
            fs::create_dir_all(&to)?;
            match (text("name"), text("pattern")) {
                ("", "") => bail!("neither a name nor a pattern"),
                (name, "") => match steps.run.artifacts.get(name) {
                    Some(folder) => copy_into(&folder, &to)?,
                    None => {
                        steps.say(&format!("Unable to download artifact(s): Artifact not found for name: {name}"))?;
                        return Ok((false, outputs));
                    }
                },
                ("", pattern) => {
                    for name in steps.run.artifacts.matching(pattern)? {
                        let folder = steps.run.artifacts.get(&name).context("an artifact")?;
                        copy_into(&folder, &to.join(&name))?;
                    }
                }
                _ => bail!("a name and a pattern"),
            }
        }
        "actions/cache/restore" => {
            let caches = &steps.run.github.caches;
            let reference = &steps.run.github.reference;
            let exact = caches.get(reference, text("key"));
            let prefixes = text("restore-keys").lines().map(str::trim).filter(|prefix| !prefix.is_empty());
            let found =
                exact.clone().or_else(|| prefixes.into_iter().find_map(|prefix| caches.newest(reference, prefix)));
            if let Some(folder) = &found {
                copy_into(folder, &steps.outside(text("path"))?)?;
                steps.say(&format!("restored {}", text("key")))?;
            }
            outputs.insert("cache-hit".into(), json!(if exact.is_some() { "true" } else { "" }));
        }
        _ => {
            let folder = steps.outside(text("path"))?;
            if folder.is_dir() {
                let reference = steps.run.github.reference.clone();
                let saved = steps.run.github.caches.save(&reference, text("key"), &folder)?;
                steps.say(if saved { "saved" } else { "it is there already" })?;
            }
        }
    }
    steps.machine.settle()?;
    Ok((true, outputs))
}
