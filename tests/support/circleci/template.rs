//! `<< … >>`: parameters and their expansion.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};
use serde_yaml::{Mapping, Value};

use super::Facts;
use super::document::mapping;

/// What templates can name at some place.
pub struct Scope<'a> {
    /// The pipeline's values.
    pub pipeline: &'a Facts,
    /// Declared pipeline parameters with their values.
    pub pipeline_parameters: &'a BTreeMap<String, Value>,
    /// Parameters of the job, the command or the executor; none in a workflow.
    pub parameters: Option<BTreeMap<String, Value>>,
    /// The place is in an orb, where the pipeline's parameters do not exist.
    pub in_orb: bool,
}

impl Scope<'_> {
    /// The same pipeline with other parameters.
    pub fn with(&self, parameters: BTreeMap<String, Value>) -> Scope<'_> {
        Scope { parameters: Some(parameters), ..*self }
    }

    /// The same in a component that may be an orb's.
    pub fn inside(&self, in_orb: bool, parameters: BTreeMap<String, Value>) -> Scope<'_> {
        Scope { parameters: Some(parameters), in_orb, ..*self }
    }

    /// Expands all templates of a value; `\<<` stays for [`finish`].
    pub fn expand(&self, value: &Value) -> Result<Value> {
        Ok(match value {
            Value::String(text) => self.expand_text(text)?,
            Value::Sequence(items) => {
                Value::Sequence(items.iter().map(|item| self.expand(item)).collect::<Result<_>>()?)
            }
            Value::Mapping(map) => {
                let expanded: Mapping = map
                    .iter()
                    .map(|(key, value)| Ok((self.expand(key)?, self.expand(value)?)))
                    .collect::<Result<_>>()?;
                ensure!(expanded.len() == map.len(), "two keys are the same once expanded");
                Value::Mapping(expanded)
            }
            other => other.clone(),
        })
    }

    fn expand_text(&self, text: &str) -> Result<Value> {
        let mut out = String::new();
        let mut rest = text;
        while let Some(at) = rest.find("<<") {
            if backslashes_at_end(&rest[..at]) % 2 == 1 {
                out.push_str(&rest[..at + 2]);
                rest = &rest[at + 2..];
                continue;
            }
            let end = rest[at..].find(">>").with_context(|| format!("Unclosed '<<' tag in string: {text:?}"))? + at;
            let value = self.lookup(rest[at + 2..end].trim())?;
            if at == 0 && end + 2 == rest.len() && out.is_empty() {
                return Ok(value);
            }
            out.push_str(&rest[..at]);
            out.push_str(&scalar(&value).with_context(|| format!("a list or mapping in the middle of {text:?}"))?);
            rest = &rest[end + 2..];
        }
        out.push_str(rest);
        Ok(Value::String(out))
    }

    fn lookup(&self, name: &str) -> Result<Value> {
        let facts = self.pipeline;
        if let Some(parameter) = name.strip_prefix("parameters.") {
            let parameters =
                self.parameters.as_ref().with_context(|| format!("`{name}` where there are no parameters"))?;
            return parameters
                .get(parameter)
                .cloned()
                .with_context(|| format!("the parameter `{parameter}` is not declared"));
        }
        if let Some(parameter) = name.strip_prefix("pipeline.parameters.") {
            ensure!(!self.in_orb, "the pipeline parameter `{parameter}` in an orb, where there are none");
            let value = self.pipeline_parameters.get(parameter);
            return value.cloned().with_context(|| format!("the pipeline parameter `{parameter}` is not declared"));
        }
        Ok(match name {
            "pipeline.id" => facts.id.clone().into(),
            "pipeline.number" => facts.number.into(),
            "pipeline.git.branch" => facts.branch.clone().into(),
            "pipeline.git.tag" => facts.tag.clone().into(),
            "pipeline.git.revision" => facts.revision.clone().into(),
            _ => bail!("`<< {name} >>` is nothing that this pipeline knows"),
        })
    }
}

/// Text for the middle of a string.
fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(truth) => Some(truth.to_string()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

fn backslashes_at_end(text: &str) -> usize {
    text.len() - text.trim_end_matches('\\').len()
}

/// `\<<` stands for `<<`, and each two backslashes before it for one.
pub fn unescaped(text: &str) -> String {
    let mut plain = String::new();
    let mut parts = text.split("<<").peekable();
    while let Some(part) = parts.next() {
        let dropped = if parts.peek().is_some() { backslashes_at_end(part).div_ceil(2) } else { 0 };
        plain.push_str(&part[..part.len() - dropped]);
        if parts.peek().is_some() {
            plain.push_str("<<");
        }
    }
    plain
}

/// Takes the escapes out of a compiled value.
pub fn finish(value: &Value) -> Value {
    match value {
        Value::String(text) => Value::String(unescaped(text)),
        Value::Sequence(items) => Value::Sequence(items.iter().map(finish).collect()),
        Value::Mapping(map) => Value::Mapping(map.iter().map(|(key, value)| (finish(key), finish(value))).collect()),
        other => other.clone(),
    }
}

/// The values that a component's parameters have when it gets these arguments.
pub fn bind(
    declared: Option<&Value>,
    arguments: &Mapping,
    place: &str,
    types: &[&str],
) -> Result<BTreeMap<String, Value>> {
    let nothing = Value::Mapping(Mapping::new());
    let declared =
        declared.unwrap_or(&nothing).as_mapping().with_context(|| format!("{place}: `parameters` is not a mapping"))?;
    for argument in arguments.keys() {
        ensure!(declared.contains_key(argument), "{place}: Unexpected argument(s): {argument:?}");
    }
    let mut values = BTreeMap::new();
    for (name, declaration) in declared {
        let name = name.as_str().with_context(|| format!("{place} has a parameter whose name is not a string"))?;
        let what = format!("{place}: parameter `{name}`");
        let declaration = mapping(declaration, &what, &["type", "description", "default", "enum"])?;
        let kind = declaration.get("type").and_then(Value::as_str).with_context(|| format!("{what} has no type"))?;
        ensure!(types.contains(&kind), "{what} has the unknown type `{kind}`");
        let choices = declaration.get("enum").and_then(Value::as_sequence);
        ensure!((kind == "enum") == choices.is_some(), "{what}: `enum` goes with the type `enum`");
        let default = declaration.get("default");
        if let Some(default) = default {
            ensure!(fits(default, kind, choices), "{what}: the default is no {kind}");
        }
        let value = arguments.get(name).or(default).with_context(|| format!("{what} is missing"))?;
        ensure!(fits(value, kind, choices), "Type error for argument {name}: expected type: {kind}, {place}");
        values.insert(name.to_owned(), value.clone());
    }
    Ok(values)
}

fn fits(value: &Value, kind: &str, choices: Option<&Vec<Value>>) -> bool {
    match kind {
        "string" | "env_var_name" => value.is_string(),
        "boolean" => value.is_bool(),
        "integer" => value.is_i64() || value.is_u64(),
        "steps" => value.is_sequence(),
        "executor" => value.is_string() || value.is_mapping(),
        "enum" => choices.is_some_and(|choices| choices.contains(value)),
        _ => false,
    }
}

/// True as logic statements see it.
pub fn truth(condition: &Value) -> Result<bool> {
    Ok(match condition {
        Value::Null => false,
        Value::Bool(truth) => *truth,
        Value::Number(number) => number.as_f64().is_some_and(|number| number != 0.0),
        Value::String(text) => !text.is_empty(),
        Value::Mapping(map) if map.len() == 1 => {
            let (operator, operand) = map.iter().next().context("it has one entry")?;
            let list = || operand.as_sequence().context("an operator without a list");
            match operator.as_str() {
                Some("and") => list()?.iter().map(truth).collect::<Result<Vec<_>>>()?.into_iter().all(|truth| truth),
                Some("or") => list()?.iter().map(truth).collect::<Result<Vec<_>>>()?.into_iter().any(|truth| truth),
                Some("not") => !truth(operand)?,
                Some("equal") => list()?.windows(2).all(|pair| pair[0] == pair[1]),
                _ => bail!("`{operator:?}` is no operator"),
            }
        }
        _ => bail!("{condition:?} is no condition"),
    })
}
