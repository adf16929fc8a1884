//! Recorded evaluations: which attribute is which derivation, as a file. In: its text. Out: targets, sorted by attribute.

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde_json::Value;

use crate::attribute::AttributePath;
use crate::nix::store_path;
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
                    format!("entry {} is no pair of an attribute path and a derivation path", index + 1)
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
            bail!("attribute `{}` stands there twice", pair[0].attribute);
        }
    }
    Ok(targets)
}

fn drv_path(value: &Value, attribute: &dyn std::fmt::Display) -> Result<String> {
    let Value::String(path) = value else {
        bail!("attribute `{attribute}`: expected a derivation path, found `{value}`")
    };
    store_path::split(path).with_context(|| format!("attribute `{attribute}`"))?;
    if !path.ends_with(".drv") {
        bail!("attribute `{attribute}`: `{path}` is no derivation (its name does not end in `.drv`)");
    }
    Ok(path.clone())
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
        assert!(message(r#"{"a": "/etc/passwd"}"#).contains("`/etc/passwd` is no store path"));
        assert!(message(&format!(r#"{{"a": "{}"}}"#, PATH.trim_end_matches(".drv"))).contains("is no derivation"));
        assert!(message(&format!(r#"[["a", "{PATH}"], [["a"], "{PATH}"]]"#)).contains("twice"));
        assert!(message("3").contains("object"));
    }
}
