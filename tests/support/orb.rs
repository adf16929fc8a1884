//! Packs the orb as CircleCI's command line does: the files of `commands`, `jobs`, `executors` and `examples` become components named after
//! them, and a scalar `<<include(file)>>` becomes the file's text with each `<<` escaped.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use serde_yaml::{Mapping, Value};

/// Kinds of components, in the order of their folders' names.
pub const KINDS: [&str; 4] = ["commands", "examples", "executors", "jobs"];

/// The orb's source.
pub fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("orb/src")
}

/// The packed orb.
pub fn pack(source: &Path) -> Result<Value> {
    let mut orb: Mapping = read(&source.join("@orb.yml"))?;
    for kind in KINDS {
        let mut components = Mapping::new();
        for (name, path) in files(source, kind) {
            let mut component = Value::Mapping(read(&path)?);
            if kind != "examples" {
                include(&mut component, source).with_context(|| format!("`{}`", path.display()))?;
            }
            components.insert(name.into(), component);
        }
        orb.insert(kind.into(), Value::Mapping(components));
    }
    Ok(Value::Mapping(orb))
}

/// Name and path of each component of a kind, sorted.
pub fn files(source: &Path, kind: &str) -> Vec<(String, PathBuf)> {
    let entries = fs::read_dir(source.join(kind)).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut files: Vec<_> = entries
        .filter(|path| path.extension().is_some_and(|extension| extension == "yml"))
        .map(|path| (path.file_stem().unwrap_or_default().to_string_lossy().into_owned(), path))
        .collect();
    files.sort();
    files
}

/// A file of the source as YAML.
pub fn read(path: &Path) -> Result<Mapping> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read `{}`", path.display()))?;
    serde_yaml::from_str(&text).with_context(|| format!("`{}` is not YAML mapping", path.display()))
}

fn include(value: &mut Value, source: &Path) -> Result<()> {
    match value {
        Value::String(text) => {
            if let Some(file) = included(text)? {
                let path = source.join(file);
                let found =
                    fs::read_to_string(&path).with_context(|| format!("could not open `{}`", path.display()))?;
                *text = found.replace("<<", "\\<<");
            }
        }
        Value::Sequence(items) => items.iter_mut().try_for_each(|item| include(item, source))?,
        Value::Mapping(map) => map.iter_mut().try_for_each(|(_, value)| include(value, source))?,
        _ => {}
    }
    Ok(())
}

/// The file that a scalar includes; a scalar that includes has to be nothing else.
pub fn included(text: &str) -> Result<Option<&str>> {
    let Some(at) = text.find("include(") else { return Ok(None) };
    if !text[..at].trim_end().ends_with("<<") {
        return Ok(None);
    }
    let rest = text.trim().strip_prefix("<<").map(str::trim_start).and_then(|rest| rest.strip_prefix("include("));
    let file = rest.and_then(|rest| rest.strip_suffix(">>")).and_then(|rest| rest.trim_end().strip_suffix(')'));
    let Some(file) = file else { bail!("entire string must be include statement: `{text}`") };
    ensure!(text == text.trim() && !file.contains("<<"), "entire string must be include statement: `{text}`");
    Ok(Some(file))
}
