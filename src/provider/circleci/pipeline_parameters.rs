//! Pipeline parameters that people name: as `NAME=TYPE:DEFAULT`, or as a configuration declares them. Out: what the generated
//! configuration declares again.

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

use crate::output::read_input;
use crate::provider::yaml::Yaml;
use crate::provider::yaml::read::read;
use crate::usage::usage;

/// A pipeline parameter that is passed through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PipelineParameter {
    /// As the setup configuration declares it.
    pub name: String,
    /// Type and default.
    pub default: ParameterDefault,
}

/// The default of a pipeline parameter, which says its type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ParameterDefault {
    /// `type: string`.
    String(String),
    /// `type: boolean`.
    Boolean(bool),
    /// `type: integer`.
    Integer(i64),
    /// `type: enum`, with all values.
    Enum {
        /// What the parameter may be.
        values: Vec<String>,
        /// One of them.
        default: String,
    },
}

impl PipelineParameter {
    /// Refuses a name that CircleCI would.
    pub fn check(&self) -> Result<()> {
        let name = &self.name;
        ensure!(
            name.len() <= 128
                && name.bytes().next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
                && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-'),
            "`{}` cannot be a pipeline parameter (a letter, then letters, digits, `_` and `-`, 128 at most)",
            name.escape_debug()
        );
        Ok(())
    }
}

/// Separates the values of an enum in `NAME=enum:a|b`.
const OR: char = '|';

/// Reads `NAME=TYPE:DEFAULT`; the values of `enum` are separated by `|`, the first one is the default.
pub fn parse(text: &str) -> Result<PipelineParameter> {
    let shown = text.escape_debug();
    let expected = || format!("`{shown}` is not `NAME=TYPE:DEFAULT`, e.g. `deploy=boolean:false`");
    let (name, rest) = text.split_once('=').with_context(expected)?;
    let (kind, default) = rest.split_once(':').with_context(expected)?;
    let default = match kind {
        "string" => ParameterDefault::String(default.to_owned()),
        "boolean" => match default {
            "true" => ParameterDefault::Boolean(true),
            "false" => ParameterDefault::Boolean(false),
            _ => bail!("`{shown}`: a boolean is `true` or `false`"),
        },
        "integer" => {
            ParameterDefault::Integer(default.parse().with_context(|| format!("`{shown}`: not a whole number"))?)
        }
        "enum" => {
            let values: Vec<String> = default.split(OR).map(str::to_owned).collect();
            ParameterDefault::Enum { default: values[0].clone(), values }
        }
        _ => bail!("`{shown}`: the type is `string`, `boolean`, `integer` or `enum`"),
    };
    Ok(PipelineParameter { name: name.to_owned(), default })
}

/// The pipeline parameters that a configuration declares.
pub fn declared(text: &str) -> Result<Vec<PipelineParameter>> {
    match read(text)?.into_iter().find(|entry| entry.key == "parameters").map(|entry| entry.value) {
        None | Some(Yaml::Null) => Ok(Vec::new()),
        Some(Yaml::Map(entries)) => entries
            .iter()
            .map(|(name, declaration)| {
                let default = default(declaration).with_context(|| format!("parameter `{}`", name.escape_debug()))?;
                Ok(PipelineParameter { name: name.clone(), default })
            })
            .collect(),
        Some(_) => bail!("`parameters` is not a mapping"),
    }
}

/// Type and default of a declaration.
pub fn default(declaration: &Yaml) -> Result<ParameterDefault> {
    let kind = declaration.get("type").and_then(Yaml::as_text).context("it has no `type`")?;
    let default = declaration.get("default").context("it has no `default`")?;
    Ok(match (kind, default) {
        ("string", Yaml::Text(text) | Yaml::Script(text)) => ParameterDefault::String(text.clone()),
        ("boolean", Yaml::Bool(truth)) => ParameterDefault::Boolean(*truth),
        ("integer", Yaml::Integer(number)) => ParameterDefault::Integer(*number),
        ("enum", Yaml::Text(default)) => {
            let Some(Yaml::List(values)) = declaration.get("enum") else { bail!("it has no list `enum`") };
            let values: Option<Vec<String>> = values.iter().map(|value| value.as_text().map(str::to_owned)).collect();
            let values = values.context("its `enum` holds something else than strings (put them in quotes)")?;
            ensure!(values.contains(default), "its default is not in its `enum`");
            ParameterDefault::Enum { values, default: default.clone() }
        }
        ("string" | "boolean" | "integer" | "enum", _) => {
            bail!("its default does not fit `type: {kind}` (put strings that look like something else in quotes)")
        }
        _ => bail!("its type is not one of `string`, `boolean`, `integer`, `enum`"),
    })
}

/// All pipeline parameters: those that are named, with the place where they are, and those of a setup configuration's file. One that is
/// named wins.
pub fn collect((named, place): (&[String], &'static str), setup: Option<&Path>) -> Result<Vec<PipelineParameter>> {
    let named = named.iter().map(|text| parse(text)).collect::<Result<_>>();
    // A key of the file is not the command line's fault.
    let named = if place.starts_with("`--") { named.context(usage(place)) } else { named.context(place) }?;
    let declared = match setup {
        None => Vec::new(),
        Some(path) => {
            let what = || format!("cannot take the pipeline parameters of `{}`", path.display());
            let text = String::from_utf8(read_input(path)?).context("it is not UTF-8").with_context(what)?;
            declared(&text).with_context(what)?
        }
    };
    Ok(first_of([named, declared]))
}

/// Puts parameters together: of two with one name the one in the earlier list counts.
fn first_of(lists: impl IntoIterator<Item = Vec<PipelineParameter>>) -> Vec<PipelineParameter> {
    let mut all: Vec<PipelineParameter> = Vec::new();
    for parameter in lists.into_iter().flatten() {
        if !all.iter().any(|known| known.name == parameter.name) {
            all.push(parameter);
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_read_from_words_and_from_configurations() {
        let words =
            ["deploy=boolean:false", "note=string:a=b:c", "count=integer:-3", "mode=enum:on|off", "empty=string:"];
        let config = "version: 2.1\nsetup: true\nparameters:\n  deploy: {type: boolean, default: off}\n  note:\n    type: string\n    \
            description: x\n    default: a=b:c\n  count: {type: integer, default: -3}\n  mode: {type: enum, enum: ['on', 'off'], \
            default: 'on'}\n  empty: {type: string, default: ''}\n";
        let words: Vec<_> = words.iter().map(|text| parse(text).unwrap()).collect();
        assert_eq!(declared(config).unwrap(), words);
        assert_eq!(declared("version: 2.1").unwrap(), []);
    }

    #[test]
    fn what_fits_nothing_is_refused() {
        for text in ["deploy", "deploy=true", "deploy=boolean:yes", "count=integer:x", "a=steps:[]", "=string"] {
            assert!(parse(text).is_err(), "{text}");
        }
        for declaration in
            ["{}", "{type: string}", "{type: string, default: 1}", "{type: enum, enum: [a], default: b}", "1"]
        {
            assert!(declared(&format!("parameters: {{a: {declaration}}}")).is_err(), "{declaration}");
        }
    }

    #[test]
    fn the_first_of_a_name_counts() {
        let one = |text| vec![parse(text).unwrap()];
        let all = first_of([one("a=string:1"), one("b=string:2"), one("a=string:3")]);
        assert_eq!(all, [one("a=string:1"), one("b=string:2")].concat());
    }
}
