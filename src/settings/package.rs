//! What a package says about its own job: `passthru.ci`, `meta.ci`, `meta.timeout`. In: plain values from the evaluation, which nobody
//! trusts. Out: [`JobSettings`], and a sentence for each value that cannot be meant; the others count all the same.

use std::collections::{BTreeMap, HashMap};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Map, Value};

use super::grants::Grants;
use super::values::Duration;
use super::words::{ClassName, ContextName, Word};
use crate::attribute::AttributePath;
use crate::fleet::Fleet;
use crate::nearest::meant_or_known;
use crate::plan::rules::JobSettings;
use crate::printable::printable;

/// What a package may say.
const KEYS: [&str; 5] = ["context", "disable", "executor", "resourceClass", "timeout"];

/// Most contexts that a package may name.
const MAX_CONTEXTS: usize = 100;

/// How much is said about one package.
const MAX_WARNINGS: usize = 5;

/// How many packages are named that have the same thing wrong.
const MAX_NAMED: usize = 5;

/// What a package says, as far as it makes sense.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PackageSettings {
    /// Where and how it is to be built.
    pub job_settings: JobSettings,
    /// It is not to be built as a target.
    pub disabled: bool,
    /// What is wrong, a sentence each.
    pub warnings: Vec<String>,
}

/// What packages say about their own jobs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Packages {
    /// Where and how they are to be built.
    pub job_settings: BTreeMap<AttributePath, JobSettings>,
    /// Those that are not to be targets.
    pub disabled: Vec<AttributePath>,
    /// What is wrong, in sentences.
    pub warnings: Vec<String>,
}

impl Packages {
    /// Reads what packages say, by attribute; each may choose what is granted.
    pub fn read(of_packages: &[(AttributePath, Map<String, Value>)], fleet: &Fleet, grants: &Grants) -> Self {
        let mut packages = Packages::default();
        let mut wrong: Vec<(String, Vec<&AttributePath>)> = Vec::new();
        let mut positions: HashMap<String, usize> = HashMap::new();
        for (attribute, settings) in of_packages {
            let said = read(settings, fleet, grants);
            for warning in said.warnings {
                let at = *positions.entry(warning).or_insert_with_key(|warning| {
                    wrong.push((warning.clone(), Vec::new()));
                    wrong.len() - 1
                });
                wrong[at].1.push(attribute);
            }
            if said.disabled {
                packages.disabled.push(attribute.clone());
            }
            if !said.job_settings.is_empty() {
                packages.job_settings.insert(attribute.clone(), said.job_settings);
            }
        }
        packages.warnings.extend(wrong.iter().map(|(warning, attributes)| format!("{}: {warning}", named(attributes))));
        packages
    }
}

/// The attributes that a sentence is about, a few of them by name.
fn named(attributes: &[&AttributePath]) -> String {
    let names: Vec<String> =
        attributes.iter().take(MAX_NAMED).map(|name| format!("`{}`", printable(&name.to_string()))).collect();
    let more = match attributes.len() - names.len() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let noun = if attributes.len() == 1 { "attribute" } else { "attributes" };
    format!("{noun} {}{more}", names.join(", "))
}

/// Reads what a package says; it may choose what is granted.
pub fn read(settings: &Map<String, Value>, fleet: &Fleet, grants: &Grants) -> PackageSettings {
    let mut said = PackageSettings::default();
    let mut wrong = Vec::new();
    for (key, value) in settings {
        if let Err(error) = take(&mut said, key, value, fleet, grants) {
            wrong.push(error);
        }
    }
    said.warnings.extend(wrong.iter().take(MAX_WARNINGS).map(|error| format!("{error:#}")));
    if let Some(more) = wrong.len().checked_sub(MAX_WARNINGS).filter(|more| *more > 0) {
        said.warnings.push(format!("{more} more of the settings for its job are not valid"));
    }
    said
}

fn take(said: &mut PackageSettings, key: &str, value: &Value, fleet: &Fleet, grants: &Grants) -> Result<()> {
    match key {
        "resourceClass" => {
            let class = ClassName::read(text(key, value)?)?.0;
            grants.class(fleet, &class).context("`resourceClass`")?;
            said.job_settings.resource_class = Some(class);
        }
        "timeout" => {
            // Packages do not know this CI: nixpkgs gives some of them two days.
            let seconds = match value {
                Value::Number(number) => Ok(number.as_u64().unwrap_or_default()),
                _ => Duration::seconds(text(key, value)?),
            };
            said.job_settings.timeout = Some(seconds.and_then(Duration::at_most).context("`timeout`")?.0);
        }
        "disable" => match value {
            Value::Bool(disabled) => said.disabled = *disabled,
            _ => bail!("`disable` is {}, expected true or false", shown(value)),
        },
        "executor" => {
            let name = text(key, value)?;
            grants.executor(&fleet.executors, name).context("`executor`")?;
            said.job_settings.executor = Some(name.to_owned());
        }
        "context" => {
            let names = match value {
                Value::Array(names) => names.iter().map(|name| text(key, name)).collect::<Result<Vec<_>>>()?,
                _ => vec![text(key, value)?],
            };
            ensure!(names.len() <= MAX_CONTEXTS, "`context` has {} names, {MAX_CONTEXTS} are allowed", names.len());
            let mut taken = Vec::new();
            for name in names {
                grants.context(name)?;
                taken.push(ContextName::read(name)?.0);
            }
            said.job_settings.context = Some(taken);
        }
        "ci" => bail!("`ci` is {}, expected a set", shown(value)),
        "error" if value.get("wrong").is_some_and(|wrong| wrong == "size") => {
            bail!("its settings for its job are longer than 64 KiB")
        }
        "error" if value.get("wrong").is_some() => bail!("its settings for its job do not evaluate"),
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

    fn of(value: Value) -> PackageSettings {
        let grants = Grants {
            classes: ["xlarge".to_owned(), "small".to_owned()].into(),
            contexts: ["a".to_owned()].into(),
            ..Grants::default()
        };
        read(value.as_object().unwrap(), &example::fleet(), &grants)
    }

    #[test]
    fn what_makes_sense_counts() {
        let said = of(
            json!({ "resourceClass": "xlarge", "executor": "arm", "timeout": "30m", "context": "a", "disable": true }),
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
    fn more_time_than_there_is_means_the_longest_that_is_possible() {
        for value in [json!(172_800), json!("48h"), json!(86_400)] {
            let said = of(json!({ "timeout": value }));
            assert_eq!((said.job_settings.timeout, said.warnings), (Some(86_400), Vec::new()));
        }
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
            (
                json!({ "resourceClass": "acme/production-deployer" }),
                "nor among `package_resource_classes` of nixdag.yml",
            ),
            (json!({ "resourceClass": "gpu.nvidia.small" }), "nor among `package_resource_classes` of nixdag.yml"),
            (json!({ "context": "b" }), "context `b` is not among `contexts` of nixdag.yml"),
            (json!({ "resource_class": "x" }), "unknown key `resource_class` of `ci` (did you mean `resourceClass`?)"),
            (json!({ "executor": { "wrong": "lambda" } }), "`executor` is a function, expected a string"),
            (json!({ "ci": "large" }), "`ci` is a string, expected a set"),
            (json!({ "error": { "wrong": "error" } }), "do not evaluate"),
        ] {
            let said = of(value.clone());
            assert!(said.warnings.len() == 1 && said.warnings[0].contains(words), "{value}: {:?}", said.warnings);
            assert_eq!(said.job_settings, JobSettings::default());
        }
        let said = of(json!({ "executor": "nope", "resourceClass": "small" }));
        assert_eq!((said.warnings.len(), said.job_settings.resource_class.as_deref()), (1, Some("small")));
    }

    #[test]
    fn packages_with_the_same_thing_wrong_share_a_sentence() {
        let says: Vec<(AttributePath, Map<String, Value>)> = (0..8)
            .map(|number| {
                let timeout = if number == 3 { json!("soon") } else { json!({ "wrong": "lambda" }) };
                let attribute = AttributePath::parse(&format!("packages.s.p{number}")).unwrap();
                (attribute, json!({ "timeout": timeout }).as_object().unwrap().clone())
            })
            .collect();
        let packages = Packages::read(&says, &example::fleet(), &Grants::default());
        assert_eq!(packages.warnings.len(), 2, "{:#?}", packages.warnings);
        assert_eq!(
            packages.warnings[0],
            "attributes `packages.s.p0`, `packages.s.p1`, `packages.s.p2`, `packages.s.p4`, `packages.s.p5` and 2 more: `timeout` is a \
             function, expected a string"
        );
        assert!(packages.warnings[1].starts_with("attribute `packages.s.p3`: "), "{}", packages.warnings[1]);
    }
}
