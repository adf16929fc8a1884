//! Recorded evaluations: which attribute is which derivation, as a file. In: its text, and patterns. Out: targets, sorted by attribute.

use std::sync::Arc;

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde_json::Value;

use crate::attribute::AttributePath;
use crate::nearest::meant;
use crate::nix::store_path;
use crate::pattern::{Pattern, Segment};
use crate::printable::printable;
use crate::target::Target;

/// Reads a recorded evaluation: a JSON object from attribute to derivation path, or, for names that an attribute string
/// cannot carry comfortably, a list of pairs `[["packages", "x86_64-linux", "a"], "/nix/store/….drv"]`. Sorted by attribute.
pub fn read(text: &[u8]) -> Result<Vec<Target>> {
    let value: Value = serde_json::from_slice(text).context("not JSON")?;
    let mut targets = Vec::new();
    match value {
        Value::Object(entries) => {
            for (key, path) in entries {
                targets.push(Target { attribute: AttributePath::parse(&key)?, drv_path: drv_path(&path, &key)? });
            }
        }
        Value::Array(entries) => {
            for (index, entry) in entries.into_iter().enumerate() {
                let (attribute, path) = <(Value, Value)>::deserialize(entry).with_context(|| {
                    format!("entry {} is not a pair of an attribute path and a derivation path", index + 1)
                })?;
                let attribute = match attribute {
                    Value::String(text) => AttributePath::parse(&text)?,
                    list => AttributePath::deserialize(list)
                        .with_context(|| format!("entry {}: an attribute path is a list of names", index + 1))?,
                };
                let path = drv_path(&path, &attribute)?;
                targets.push(Target { attribute, drv_path: path });
            }
        }
        _ => bail!("expected an object from attribute to derivation path"),
    }
    targets.sort();
    for pair in targets.windows(2) {
        if pair[0].attribute == pair[1].attribute {
            bail!("attribute `{}` is given twice", pair[0].attribute);
        }
    }
    Ok(targets)
}

/// What is taken of a recorded evaluation.
#[derive(Clone, Debug)]
pub struct Selection<'s> {
    /// A target is one that a pattern means; none for all.
    pub select: Option<Vec<Pattern>>,
    /// Patterns that somebody has typed: what they name has to be there.
    named: &'s [Pattern],
    exclude: &'s [Pattern],
}

/// The targets of a selection, and the attributes that it leaves out on purpose.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selected {
    pub targets: Vec<Target>,
    pub excluded: Vec<AttributePath>,
}

impl<'s> Selection<'s> {
    /// What `select` and `also` mean, less what `exclude` does. An empty `select` takes everything.
    pub fn new(select: &'s [Pattern], also: Vec<Pattern>, exclude: &'s [Pattern]) -> Self {
        let selected = (!select.is_empty()).then(|| select.iter().cloned().chain(also).collect());
        Self { select: selected, named: select, exclude }
    }

    /// Selects. Nothing at all, and a name without an attribute, are errors.
    pub fn of(&self, targets: Vec<Target>) -> Result<Selected> {
        for pattern in self.named {
            check_literals(pattern, &targets)?;
        }
        let matches = |patterns: &[Pattern], target: &Target| {
            patterns.iter().any(|pattern| pattern.matches_at_or_above(target.attribute.names()))
        };
        let total = targets.len();
        let mut selected = Selected::default();
        for target in targets {
            if !self.select.as_ref().is_none_or(|select| matches(select, &target)) {
                continue;
            }
            if matches(self.exclude, &target) {
                selected.excluded.push(target.attribute);
            } else {
                selected.targets.push(target);
            }
        }
        if selected.targets.is_empty() && selected.excluded.is_empty() {
            let why = if self.select.is_some() { ", and no `--select` pattern matches one of them" } else { "" };
            bail!("nothing is selected: it holds {total} attributes{why}");
        }
        Ok(selected)
    }
}

/// A pattern without globs names an attribute, which must be there.
fn check_literals(pattern: &Pattern, targets: &[Target]) -> Result<()> {
    for alternative in pattern.alternatives() {
        let literal: Option<AttributePath> = alternative
            .iter()
            .map(|segment| match segment {
                Segment::Literal(name) => Some(name.clone()),
                Segment::Glob(_) | Segment::Levels => None,
            })
            .collect::<Option<Vec<String>>>()
            .map(AttributePath::new);
        let Some(literal) = literal else { continue };
        if targets.iter().any(|target| target.attribute == literal) {
            continue;
        }
        let names: Vec<String> = targets.iter().map(|target| target.attribute.to_string()).collect();
        let literal = literal.to_string();
        let hint = meant(&literal, names.iter().map(String::as_str));
        bail!("it has no attribute `{}`{hint}", printable(&literal));
    }
    Ok(())
}

fn drv_path(value: &Value, attribute: &dyn std::fmt::Display) -> Result<Arc<str>> {
    let Value::String(path) = value else {
        bail!("attribute `{attribute}`: expected a derivation path, found `{value}`")
    };
    store_path::split(path).with_context(|| format!("attribute `{attribute}`"))?;
    if !path.ends_with(".drv") {
        bail!("attribute `{attribute}`: `{path}` is not a derivation (its name does not end in `.drv`)");
    }
    Ok(path.as_str().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATH: &str = "/nix/store/004ldcwhncm4f629h5cdaa9zyn40ak37-a.drv";

    #[test]
    fn both_forms_say_the_same() {
        let object = format!(r#"{{"packages.x.\"a.b\"": "{PATH}"}}"#);
        let list = format!(r#"[[["packages", "x", "a.b"], "{PATH}"]]"#);
        assert_eq!(read(object.as_bytes()).unwrap(), read(list.as_bytes()).unwrap());
    }

    #[test]
    fn what_is_no_derivation_is_named() {
        let message = |text: &str| format!("{:#}", read(text.as_bytes()).unwrap_err());
        assert!(message(r#"{"a": 1}"#).contains("`a`"));
        assert!(message(r#"{"a": "/etc/passwd"}"#).contains("`/etc/passwd` is not a store path"));
        assert!(message(&format!(r#"{{"a": "{}"}}"#, PATH.trim_end_matches(".drv"))).contains("is not a derivation"));
        assert!(message(&format!(r#"[["a", "{PATH}"], [["a"], "{PATH}"]]"#)).contains("twice"));
        assert!(message("3").contains("object"));
    }
}
