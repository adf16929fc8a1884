//! What a pipeline may be continued with: a configuration and values of parameters, checked before they are handed over, since
//! CircleCI says that all is well first and compiles later.
//!
//! nixdag's own configurations are put through all of [`check`]; of others nothing is demanded but what holds for every
//! continuation.

use anyhow::{Context, Result, anyhow, bail, ensure};
use serde_json::{Map, Value as Json};
use serde_yaml::Value;

use super::check;
use super::limits::{COMPILED_BYTES, LIMITS};
use super::names::{PREVIEW, WORKFLOW};
use crate::nearest::meant;
use crate::provider::checked::Checked;
use crate::provider::yaml::read::read;
use crate::provider::yaml::{self, Yaml};
use crate::yaml::{MAX_BRACKETS, check_nesting};

/// CircleCI's most parameters in one pipeline, most characters of a name, most characters of a value.
const MAX_PARAMETERS: (usize, usize, usize) = (100, 128, 512);

/// Says what CircleCI would find wrong with a configuration, as far as can be known.
pub fn check_configuration(text: &str) -> Result<Value> {
    ensure!(text.len() as u64 <= COMPILED_BYTES, "it has {} bytes, CircleCI takes {COMPILED_BYTES}", text.len());
    ensure!(
        text.lines().next() != Some(PREVIEW),
        "it is a preview, whose jobs have nothing to build from (`nixdag generate --bundle DIR` makes one that runs)"
    );
    check_nesting(text, MAX_BRACKETS)?;
    let config: Value = serde_yaml::from_str(text).map_err(|error| anyhow!("it is not YAML: {error}"))?;
    let top = config.as_mapping().context("it is not a mapping with `version`, `jobs` and `workflows`")?;
    let workflows = top.get("workflows").and_then(Value::as_mapping);
    if workflows.is_some_and(|workflows| workflows.contains_key(WORKFLOW)) {
        let problems = check::check(&config, &LIMITS);
        ensure!(problems.is_empty(), "CircleCI would refuse it:\n  {}", problems.join("\n  "));
        return Ok(config);
    }
    if top.get("setup").is_some_and(|setup| !is_false(setup)) {
        bail!(
            "it has `setup: true`, and a pipeline in setup cannot be continued with another setup (is it the generated one?)"
        );
    }
    let version = top.get("version").map(|version| match version {
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.clone(),
        _ => String::new(),
    });
    match version.as_deref() {
        Some("2.1" | "2" | "2.0") => {}
        Some(other) => bail!("it has `version: {}`, 2.1 is expected", other.escape_debug()),
        None => bail!("it lacks `version: 2.1`: is it a CircleCI configuration?"),
    }
    ensure!(workflows.is_some(), "it has no `workflows`, so nothing would run");
    Ok(config)
}

/// What CircleCI would find wrong with a configuration of anybody's, a sentence each. An error is text that is not YAML, or that readers of
/// YAML understand differently.
pub fn problems(text: &str) -> Result<Checked> {
    ensure!(text.len() as u64 <= COMPILED_BYTES, "it has {} bytes, CircleCI takes {COMPILED_BYTES}", text.len());
    let entries = read(text).context("it is not YAML that all readers understand alike")?;
    // What people keep under a key of their own, to repeat it, has been repeated by now.
    let entries = entries.into_iter().filter(|entry| !entry.has_anchor || check::is_key(&entry.key));
    let resolved = yaml::to_string(&Yaml::map(entries.map(|entry| (entry.key, entry.value))));
    let config: Value = serde_yaml::from_str(&resolved).context("its aliases cannot be resolved")?;
    Ok(Checked { problems: check::check_any(&config, &LIMITS), unseen: check::unseen(&config) })
}

/// As readers of YAML 1.1 understand it.
fn is_false(value: &Value) -> bool {
    match value {
        Value::Bool(truth) => !truth,
        Value::String(text) => ["false", "no", "off", "n"].iter().any(|word| text.eq_ignore_ascii_case(word)),
        _ => false,
    }
}

/// Reads values of parameters, a JSON object, and compares them with what the configuration declares.
pub fn read_parameters(text: &str, config: &Value) -> Result<Map<String, Json>> {
    let given: Json = serde_json::from_str(text).context("not JSON")?;
    let Json::Object(given) = given else { bail!("not a JSON object from names to values") };
    let (most, longest_name, longest_value) = MAX_PARAMETERS;
    ensure!(given.len() <= most, "{} parameters, CircleCI takes {most}", given.len());
    let declared = config.get("parameters").and_then(Value::as_mapping);
    let declared: Vec<(&str, &Value)> =
        declared.into_iter().flatten().filter_map(|(name, declaration)| Some((name.as_str()?, declaration))).collect();
    for (name, value) in &given {
        let shown = name.escape_debug();
        ensure!(name.chars().count() <= longest_name, "a parameter has a name of more than {longest_name} characters");
        let Some((_, declaration)) = declared.iter().find(|(known, _)| known == name) else {
            let hint = meant(name, declared.iter().map(|(name, _)| *name));
            bail!("the configuration does not declare the parameter `{shown}`, so CircleCI would refuse it{hint}");
        };
        let kind = declaration.get("type").and_then(Value::as_str).unwrap_or("string");
        let fits = match value {
            Json::String(text) => {
                ensure!(
                    text.chars().count() <= longest_value,
                    "the parameter `{shown}` has a value of more than {longest_value} characters"
                );
                let values = declaration.get("enum").and_then(Value::as_sequence);
                let known = |values: &Vec<Value>| values.iter().any(|known| known.as_str() == Some(text));
                kind == "string" || (kind == "enum" && values.is_none_or(known))
            }
            Json::Bool(_) => kind == "boolean",
            Json::Number(number) => kind == "integer" && (number.is_i64() || number.is_u64()),
            _ => false,
        };
        ensure!(fits, "the parameter `{shown}` is declared with `type: {kind}`, which `{value}` does not fit");
    }
    Ok(given)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FOREIGN: &str = "version: 2.1\njobs: {}\nworkflows: {version: 2}\n";

    #[test]
    fn what_cannot_continue_a_pipeline_is_refused() {
        check_configuration(FOREIGN).unwrap();
        check_configuration(&format!("setup: false\n{FOREIGN}")).unwrap();
        check_configuration(&format!("setup: no\n{FOREIGN}")).unwrap();
        check_configuration(r#"{"version": 2, "jobs": {}, "workflows": {"version": 2}}"#).unwrap();
        for (text, said) in [
            (format!("setup: true\n{FOREIGN}"), "setup: true"),
            (format!("setup: yes\n{FOREIGN}"), "setup: true"),
            (format!("{PREVIEW}\n{FOREIGN}"), "it is a preview"),
            ("".into(), "not a mapping"),
            ("[]".into(), "not a mapping"),
            ("a: [".into(), "not YAML"),
            ("workflows: {}".into(), "lacks `version: 2.1`"),
            ("version: 3\nworkflows: {}".into(), "`version: 3`"),
            ("version: 2.1\n".into(), "no `workflows`"),
            ("version: 2.1\nworkflows: {nixdag: {jobs: [a]}}".into(), "CircleCI would refuse it"),
            (format!("{FOREIGN}#{}", "x".repeat(8_000_000)), "CircleCI takes 8000000"),
            (format!("a: {}", "[".repeat(100_000)), "brackets are open"),
        ] {
            let error = format!("{:#}", check_configuration(&text).unwrap_err());
            assert!(error.contains(said), "{said}: {error}");
        }
    }

    #[test]
    fn parameters_fit_their_declarations() {
        let config: Value = serde_yaml::from_str(
            "parameters: {deploy: {type: boolean}, note: {type: string}, count: {type: integer}, mode: {type: enum, enum: [a, b]}}",
        )
        .unwrap();
        let read = |text: &str| read_parameters(text, &config);
        assert_eq!(read("{}").unwrap().len(), 0);
        assert_eq!(read(r#"{"deploy": true, "note": "x", "count": 3, "mode": "b"}"#).unwrap().len(), 4);
        for (text, said) in [
            ("", "not JSON"),
            ("[]", "not a JSON object"),
            (r#"{"deplyo": true}"#, "did you mean `deploy`?"),
            (r#"{"deploy": "true"}"#, "type: boolean"),
            (r#"{"note": 1}"#, "type: string"),
            (r#"{"count": 1.5}"#, "type: integer"),
            (r#"{"mode": "c"}"#, "type: enum"),
            (r#"{"note": null}"#, "type: string"),
        ] {
            let error = format!("{:#}", read(text).unwrap_err());
            assert!(error.contains(said), "{text}: {error}");
        }
        let long = format!(r#"{{"note": "{}"}}"#, "x".repeat(513));
        assert!(read(&long).is_err());
    }
}
