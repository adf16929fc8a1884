//! What a package says about its own job: `passthru.ci`, `meta.ci`, `meta.timeout`. In: plain values from the evaluation, which nobody
//! trusts. Out: [`JobSettings`], and a sentence for each value that cannot be meant; the others count all the same.

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Map, Value};

use super::values::Duration;
use super::words::{ClassName, ContextName, Word};
use crate::fleet::executor::{self, Executor};
use crate::nearest::meant_or_known;
use crate::plan::rules::JobSettings;

/// What a package may say.
const KEYS: [&str; 5] = ["context", "disable", "executor", "resourceClass", "timeout"];

/// What a package says, as far as it makes sense.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// Where and how it is to be built.
    pub job_settings: JobSettings,
    /// It is not to be built as a target.
    pub disabled: bool,
    /// What is wrong, a sentence each.
    pub warnings: Vec<String>,
}

/// Reads what a package says; it may name these executors, and these contexts where there is a list.
pub fn read(says: &Map<String, Value>, executors: &[Executor], contexts: Option<&[String]>) -> Said {
    let mut said = Said::default();
    for (key, value) in says {
        if let Err(error) = take(&mut said, key, value, executors, contexts) {
            said.warnings.push(format!("{error:#}"));
        }
    }
    said
}

fn take(said: &mut Said, key: &str, value: &Value, executors: &[Executor], contexts: Option<&[String]>) -> Result<()> {
    match key {
        "resourceClass" => said.job_settings.resource_class = Some(ClassName::read(text(key, value)?)?.0),
        "timeout" => {
            let time = match value {
                Value::Number(number) => Duration::checked(number.as_u64().unwrap_or_default()),
                _ => Duration::read(text(key, value)?),
            };
            said.job_settings.timeout = Some(time.map_err(|error| error.context("`timeout`"))?.0);
        }
        "disable" => match value {
            Value::Bool(disabled) => said.disabled = *disabled,
            _ => bail!("`disable` is {}, expected true or false", shown(value)),
        },
        "executor" => {
            let name = text(key, value)?;
            executor::find(executors, name).context("`executor`")?;
            said.job_settings.executor = Some(name.to_owned());
        }
        "context" => {
            let names = match value {
                Value::Array(names) => names.iter().map(|name| text(key, name)).collect::<Result<Vec<_>>>()?,
                _ => vec![text(key, value)?],
            };
            let mut taken = Vec::new();
            for name in names {
                ensure!(
                    contexts.is_none_or(|allowed| allowed.iter().any(|allowed| allowed == name)),
                    "context `{}` is not among `contexts` of nixdag.yml",
                    name.escape_debug()
                );
                taken.push(ContextName::read(name)?.0);
            }
            said.job_settings.context = Some(taken);
        }
        "ci" => bail!("`ci` is {}, expected a set", shown(value)),
        "error" if value.get("wrong").is_some() => bail!("what it says about its job does not evaluate"),
        _ => {
            let shown = key.chars().take(60).collect::<String>();
            bail!("unknown key `{}` of `ci`{}", shown.escape_debug(), meant_or_known(key, KEYS));
        }
    }
    Ok(())
}

fn text<'v>(key: &str, value: &'v Value) -> Result<&'v str> {
    match value {
        Value::String(text) => Ok(text),
        _ => bail!("`{key}` is {}, expected a string", shown(value)),
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::Object(of) => match of.get("wrong").and_then(Value::as_str) {
            Some("lambda") => "a function".into(),
            Some(kind) => format!("a {kind}"),
            None => "a set".into(),
        },
        Value::String(_) => "a string".into(),
        Value::Array(_) => "a list".into(),
        other => format!("`{other}`"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::example;
    use serde_json::json;

    fn of(value: Value, contexts: Option<&[String]>) -> Said {
        read(value.as_object().unwrap(), &example::fleet().executors, contexts)
    }

    #[test]
    fn what_makes_sense_counts() {
        let said = of(
            json!({ "resourceClass": "xlarge", "executor": "arm", "timeout": "30m", "context": "a", "disable": true }),
            None,
        );
        assert_eq!(said.warnings, Vec::<String>::new());
        assert!(said.disabled);
        let job_settings = said.job_settings;
        assert_eq!(
            (job_settings.resource_class.as_deref(), job_settings.executor.as_deref()),
            (Some("xlarge"), Some("arm"))
        );
        assert_eq!((job_settings.timeout, job_settings.context), (Some(1800), Some(vec!["a".to_owned()])));
    }

    #[test]
    fn what_makes_none_is_a_sentence_and_hides_nothing_else() {
        for (value, words) in [
            (json!({ "resourceClass": 5 }), "`resourceClass` is `5`, expected a string"),
            (json!({ "resourceClass": "$(id)" }), "expected a resource class"),
            (json!({ "executor": "dokcer" }), "`executor`: no executor `dokcer` (did you mean `docker`?)"),
            (json!({ "timeout": -1 }), "`timeout`: 0 seconds, expected seconds"),
            (json!({ "timeout": "soon" }), "`timeout`: `soon`, expected seconds"),
            (json!({ "disable": "yes" }), "`disable` is a string, expected true or false"),
            (json!({ "context": [1] }), "`context` is `1`, expected a string"),
            (json!({ "context": "b" }), "context `b` is not among `contexts` of nixdag.yml"),
            (json!({ "resource_class": "x" }), "unknown key `resource_class` of `ci` (did you mean `resourceClass`?)"),
            (json!({ "executor": { "wrong": "lambda" } }), "`executor` is a function, expected a string"),
            (json!({ "ci": "large" }), "`ci` is a string, expected a set"),
            (json!({ "error": { "wrong": "error" } }), "does not evaluate"),
        ] {
            let said = of(value.clone(), Some(&["a".to_owned()]));
            assert!(said.warnings.len() == 1 && said.warnings[0].contains(words), "{value}: {:?}", said.warnings);
            assert_eq!(said.job_settings, JobSettings::default());
        }
        let said = of(json!({ "executor": "nope", "resourceClass": "small" }), None);
        assert_eq!((said.warnings.len(), said.job_settings.resource_class.as_deref()), (1, Some("small")));
    }
}
