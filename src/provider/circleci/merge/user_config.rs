//! A configuration of the user's own: a file goes in, out comes what it adds to the generated one, and its jobs in the workflow
//! [`WORKFLOW`].

use std::path::Path;

use anyhow::{Context, Result, anyhow, bail, ensure};

use super::super::names::WORKFLOW;
use crate::nearest::meant;
use crate::printable::printable;
use crate::provider::additions;
use crate::provider::yaml::Yaml;
use crate::provider::yaml::read::{Entry, read};

/// Keys whose entries are put together, in the order of the result; `workflows` comes last.
pub(super) const SECTIONS: [&str; 7] =
    ["parameters", "orbs", "commands", "executors", "functions", "jobs", "job-groups"];

/// Keys that are taken as they are.
pub(super) const WHOLE: [&str; 2] = ["display", "experimental"];

/// A configuration of the user's own.
#[derive(Clone, Debug, PartialEq)]
pub struct UserConfig {
    /// What messages call it: the file as it was named.
    pub(super) name: String,
    /// Entries of its sections, `workflows` among them, without the workflow [`WORKFLOW`].
    pub(super) sections: Vec<(String, Vec<(String, Yaml)>)>,
    /// What it takes as it is.
    pub(super) whole: Vec<(String, Yaml)>,
    /// Its jobs in the workflow [`WORKFLOW`].
    pub(super) jobs: Vec<Invocation>,
    /// What else it says of the workflow [`WORKFLOW`].
    pub(super) workflow: Vec<(String, Yaml)>,
}

/// A job as a workflow invokes it.
#[derive(Clone, Debug, PartialEq)]
pub struct Invocation {
    /// The job's key.
    pub(super) key: String,
    /// Its settings.
    pub(super) arguments: Vec<(String, Yaml)>,
}

/// A job of [`Invocation::requires`], and how it has to end, as it was written.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Requirement {
    pub(super) name: String,
    pub(super) status: Option<Yaml>,
}

impl Requirement {
    /// True if the other job has to succeed.
    pub(super) fn is_success(&self) -> bool {
        match &self.status {
            None => true,
            Some(Yaml::List(statuses)) => statuses.iter().all(|status| status.as_text() == Some("success")),
            Some(status) => status.as_text() == Some("success"),
        }
    }
}

impl Invocation {
    pub(super) fn read(value: &Yaml) -> Result<Self> {
        match value {
            Yaml::Text(key) => Ok(Self { key: key.clone(), arguments: Vec::new() }),
            Yaml::Map(entries) => match entries.as_slice() {
                [(key, Yaml::Map(arguments))] => Ok(Self { key: key.clone(), arguments: arguments.clone() }),
                [(key, Yaml::Null)] => Ok(Self { key: key.clone(), arguments: Vec::new() }),
                _ => bail!("a job that is not one name with its settings (is something not indented enough?)"),
            },
            _ => bail!("a job that is neither a name nor a mapping"),
        }
    }

    pub(super) fn get(&self, key: &str) -> Option<&Yaml> {
        self.arguments.iter().find(|(known, _)| known == key).map(|(_, value)| value)
    }

    /// What `requires` calls it: with a matrix, its alias stands for all of its jobs.
    pub(super) fn name(&self) -> &str {
        let named = match self.get("matrix") {
            Some(matrix) => matrix.get("alias").and_then(Yaml::as_text),
            None => self.get("name").and_then(Yaml::as_text),
        };
        named.unwrap_or(&self.key)
    }

    pub(super) fn requires(&self) -> Result<Vec<Requirement>> {
        let items = match self.get("requires") {
            None | Some(Yaml::Null) => return Ok(Vec::new()),
            Some(Yaml::List(items)) => items,
            Some(_) => bail!("job `{}` has a `requires` that is not a list", printable(self.name())),
        };
        items
            .iter()
            .map(|item| match item {
                Yaml::Text(name) => Ok(Requirement { name: name.clone(), status: None }),
                Yaml::Map(entries) if entries.len() == 1 => {
                    Ok(Requirement { name: entries[0].0.clone(), status: Some(entries[0].1.clone()) })
                }
                _ => Err(anyhow!("job `{}` requires something that is not a job's name", printable(self.name()))),
            })
            .collect()
    }

    pub(super) fn set_requires(&mut self, requirements: Vec<Requirement>) {
        let items: Vec<Yaml> = requirements
            .into_iter()
            .map(|requirement| match requirement.status {
                None => Yaml::Text(requirement.name),
                Some(status) => Yaml::entry(requirement.name, status),
            })
            .collect();
        self.arguments.retain(|(key, _)| key != "requires" || !items.is_empty());
        if let Some((_, value)) = self.arguments.iter_mut().find(|(key, _)| key == "requires") {
            *value = Yaml::List(items);
        }
    }

    pub(super) fn to_yaml(&self) -> Yaml {
        if self.arguments.is_empty() {
            return Yaml::text(&self.key);
        }
        Yaml::entry(&self.key, Yaml::Map(self.arguments.clone()))
    }
}

impl UserConfig {
    /// Reads a file.
    pub fn read(path: &Path) -> Result<Self> {
        let (name, text) = additions::read_file(path)?;
        Self::parse(&name, &text).with_context(|| format!("cannot merge `{name}`"))
    }

    /// Reads a file's text; messages call it `name`.
    pub fn parse(name: &str, text: &str) -> Result<Self> {
        let mut config = Self {
            name: name.to_owned(),
            sections: Vec::new(),
            whole: Vec::new(),
            jobs: Vec::new(),
            workflow: Vec::new(),
        };
        for Entry { key, value, has_anchor } in read(text)? {
            match key.as_str() {
                "version" => ensure!(is_version(&value), "its `version` is not 2.1"),
                "setup" => ensure!(
                    value == Yaml::Bool(false),
                    "it has `setup: true`: what continues a pipeline cannot be in setup itself (is it the setup configuration?)"
                ),
                "workflows" => {
                    let mut workflows = entries(&key, value)?;
                    // Configurations for 2.0 say `version: 2` here.
                    workflows.retain(|(name, _)| name != "version");
                    if let Some(at) = workflows.iter().position(|(name, _)| name == WORKFLOW) {
                        let (_, ours) = workflows.remove(at);
                        config.join(ours)?;
                    }
                    config.sections.push((key, workflows));
                }
                section if SECTIONS.contains(&section) => {
                    let entries = entries(section, value)?;
                    config.sections.push((key, entries));
                }
                whole if WHOLE.contains(&whole) => config.whole.push((key, value)),
                // Where people keep what they repeat: it has been repeated by now.
                other if other.starts_with("x-") || has_anchor => {}
                other => {
                    let known = SECTIONS.into_iter().chain(WHOLE).chain(["workflows", "version"]);
                    bail!("`{}` is not a key of a configuration{}", printable(other), meant(other, known));
                }
            }
        }
        Ok(config)
    }

    /// Takes what the file says of the workflow that it shares with the generated configuration.
    fn join(&mut self, workflow: Yaml) -> Result<()> {
        for (key, value) in entries(WORKFLOW, workflow)? {
            match (key.as_str(), value) {
                ("jobs", Yaml::List(items)) => {
                    self.jobs = items
                        .iter()
                        .map(Invocation::read)
                        .collect::<Result<_>>()
                        .with_context(|| format!("workflow `{WORKFLOW}` has"))?;
                }
                ("jobs", _) => bail!("`jobs` of workflow `{WORKFLOW}` is not a list"),
                ("max_auto_reruns", value) => self.workflow.push((key, value)),
                _ => bail!(
                    "workflow `{WORKFLOW}` has `{}`, which would hold for all generated jobs too: put it on a workflow of another name",
                    printable(&key)
                ),
            }
        }
        Ok(())
    }
}

fn is_version(value: &Yaml) -> bool {
    matches!(value, Yaml::Float(text) | Yaml::Text(text) if text == "2.1")
}

/// The entries of a section.
pub(super) fn entries(section: &str, value: Yaml) -> Result<Vec<(String, Yaml)>> {
    match value {
        Yaml::Map(entries) => Ok(entries),
        Yaml::Null => Ok(Vec::new()),
        _ => bail!("`{section}` is not a mapping"),
    }
}
