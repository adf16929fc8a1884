//! Configurations of the user's own, put together with the generated one: their jobs, workflows, orbs, executors, commands and
//! parameters. In: files, and the entries of the generated configuration. Out: the entries of both; what two of them define
//! differently is an error that names both.
//!
//! Jobs of their workflow [`WORKFLOW`] join the generated one, where `requires` may name attributes; see [`requires`].

mod gate;
pub mod requires;

use std::path::Path;

use anyhow::{Context, Result, anyhow, bail, ensure};

use super::{GATE, WORKFLOW, pipeline_parameters};
use crate::nearest::meant;
use crate::output::read_input;
use crate::printable::printable;
use crate::provider::yaml::Yaml;
use crate::provider::yaml::read::{Entry, read};

/// Largest file that is read, in bytes.
const MAX_SIZE: usize = 2 << 20;

/// Keys whose entries are put together, in the order of the result; `workflows` comes last.
const SECTIONS: [&str; 7] = ["parameters", "orbs", "commands", "executors", "functions", "jobs", "job-groups"];

/// Keys that are taken as they are.
const WHOLE: [&str; 2] = ["display", "experimental"];

/// What messages call the generated configuration.
const GENERATED: &str = "the generated configuration";

/// A configuration of the user's own.
#[derive(Clone, Debug, PartialEq)]
pub struct UserConfig {
    /// What messages call it: the file as it was named.
    name: String,
    /// Entries of its sections, `workflows` among them, without the workflow [`WORKFLOW`].
    sections: Vec<(String, Vec<(String, Yaml)>)>,
    /// What it takes as it is.
    whole: Vec<(String, Yaml)>,
    /// Its jobs in the workflow [`WORKFLOW`].
    jobs: Vec<Invocation>,
    /// What else it says of the workflow [`WORKFLOW`].
    workflow: Vec<(String, Yaml)>,
}

/// A job as a workflow invokes it.
#[derive(Clone, Debug, PartialEq)]
pub struct Invocation {
    /// The job's key.
    key: String,
    /// What it is told.
    arguments: Vec<(String, Yaml)>,
}

/// A job of [`Invocation::requires`], and how it has to end, as it was written.
#[derive(Clone, Debug, PartialEq)]
struct Requirement {
    name: String,
    status: Option<Yaml>,
}

impl Requirement {
    /// True if the other job has to succeed.
    fn is_success(&self) -> bool {
        match &self.status {
            None => true,
            Some(Yaml::List(statuses)) => statuses.iter().all(|status| status.as_text() == Some("success")),
            Some(status) => status.as_text() == Some("success"),
        }
    }
}

impl Invocation {
    fn read(value: &Yaml) -> Result<Self> {
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

    fn get(&self, key: &str) -> Option<&Yaml> {
        self.arguments.iter().find(|(known, _)| known == key).map(|(_, value)| value)
    }

    /// What `requires` calls it: with a matrix, its alias stands for all of its jobs.
    fn name(&self) -> &str {
        let named = match self.get("matrix") {
            Some(matrix) => matrix.get("alias").and_then(Yaml::as_text),
            None => self.get("name").and_then(Yaml::as_text),
        };
        named.unwrap_or(&self.key)
    }

    fn requires(&self) -> Result<Vec<Requirement>> {
        let items = match self.get("requires") {
            None | Some(Yaml::Null) => return Ok(Vec::new()),
            Some(Yaml::List(items)) => items,
            Some(_) => bail!("job `{}` has a `requires` that is no list", printable(self.name())),
        };
        items
            .iter()
            .map(|item| match item {
                Yaml::Text(name) => Ok(Requirement { name: name.clone(), status: None }),
                Yaml::Map(entries) if entries.len() == 1 => {
                    Ok(Requirement { name: entries[0].0.clone(), status: Some(entries[0].1.clone()) })
                }
                _ => Err(anyhow!("job `{}` requires something that is no job's name", printable(self.name()))),
            })
            .collect()
    }

    fn set_requires(&mut self, requirements: Vec<Requirement>) {
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

    fn to_yaml(&self) -> Yaml {
        if self.arguments.is_empty() {
            return Yaml::text(&self.key);
        }
        Yaml::entry(&self.key, Yaml::Map(self.arguments.clone()))
    }
}

impl UserConfig {
    /// Reads a file.
    pub fn read(path: &Path) -> Result<Self> {
        let bytes = read_input(path)?;
        let name = path.display().to_string();
        let what = || format!("cannot merge `{name}`");
        ensure!(bytes.len() <= MAX_SIZE, "cannot merge `{name}`: it has more than {} MB", MAX_SIZE >> 20);
        let text = String::from_utf8(bytes).map_err(|_| anyhow!("it is not UTF-8")).with_context(what)?;
        Self::parse(&name, &text).with_context(what)
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
                    bail!("`{}` is no key of a configuration{}", printable(other), meant(other, known));
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
                ("jobs", _) => bail!("`jobs` of workflow `{WORKFLOW}` is no list"),
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
fn entries(section: &str, value: Yaml) -> Result<Vec<(String, Yaml)>> {
    match value {
        Yaml::Map(entries) => Ok(entries),
        Yaml::Null => Ok(Vec::new()),
        _ => bail!("`{section}` is no mapping"),
    }
}

/// Names of the users' jobs in the workflow that they share with the generated ones.
pub(super) fn job_names(users: &[UserConfig]) -> impl Iterator<Item = &str> {
    users.iter().flat_map(|user| user.jobs.iter().map(Invocation::name))
}

/// `, with `a.yml` merged into it`, where anything is.
pub(super) fn named(users: &[UserConfig]) -> String {
    let names: Vec<String> = users.iter().map(|user| format!("`{}`", user.name)).collect();
    if names.is_empty() { String::new() } else { format!(", with {} merged into it", names.join(", ")) }
}

/// The generated configuration's entries, in order, with those of the users; `parameters` come from settings, which a file may
/// repeat.
pub(super) fn merge(generated: Vec<(String, Yaml)>, users: &[UserConfig]) -> Result<Vec<(String, Yaml)>> {
    if users.is_empty() {
        return Ok(generated);
    }
    let take = |section: &str| generated.iter().find(|(key, _)| key == section).map(|(_, value)| value.clone());
    let mut merged = Vec::new();
    for section in SECTIONS {
        let own = entries(section, take(section).unwrap_or(Yaml::Null))?;
        let all = put_together(section, own, users)?;
        if !all.is_empty() {
            merged.push((section.to_owned(), Yaml::Map(all)));
        }
    }
    for key in WHOLE {
        let mut values =
            users.iter().filter_map(|user| Some((user, &user.whole.iter().find(|(known, _)| known == key)?.1)));
        let Some((first, value)) = values.next() else { continue };
        if let Some((other, _)) = values.find(|(_, other)| *other != value) {
            bail!("`{}` and `{}` both have `{key}`, and not the same", first.name, other.name);
        }
        merged.push((key.to_owned(), value.clone()));
    }
    let workflows = entries("workflows", take("workflows").unwrap_or(Yaml::Null))?;
    let mut all = Vec::new();
    for (name, workflow) in put_together("workflows", workflows, users)? {
        all.push((name.clone(), if name == WORKFLOW { joined(workflow, users)? } else { workflow }));
    }
    merged.push(("workflows".to_owned(), Yaml::Map(all)));
    Ok(merged)
}

/// The entries of one section of all configurations, each name once.
fn put_together(section: &str, own: Vec<(String, Yaml)>, users: &[UserConfig]) -> Result<Vec<(String, Yaml)>> {
    let mut all: Vec<(&str, String, Yaml)> = own.into_iter().map(|(name, value)| (GENERATED, name, value)).collect();
    for user in users {
        let entries = user.sections.iter().filter(|(key, _)| key == section).flat_map(|(_, entries)| entries);
        for (name, value) in entries {
            match all.iter().find(|(_, known, _)| known.eq_ignore_ascii_case(name)) {
                None => all.push((&user.name, name.clone(), value.clone())),
                Some((_, known, other)) if known == name && is_same(section, value, other) => {}
                Some((place, known, _)) => bail!(
                    "`{section}.{}` of `{}` and `{section}.{}` of {} are in each other's way: give one of them another name",
                    printable(name),
                    user.name,
                    printable(known),
                    if *place == GENERATED { GENERATED.to_owned() } else { format!("`{place}`") }
                ),
            }
        }
    }
    Ok(all.into_iter().map(|(_, name, value)| (name, value)).collect())
}

/// What two files say alike is no conflict, nor is a parameter with another description.
fn is_same(section: &str, one: &Yaml, other: &Yaml) -> bool {
    let parameter = |value: &Yaml| pipeline_parameters::default(value).ok();
    one == other || (section == "parameters" && parameter(one).is_some_and(|one| Some(one) == parameter(other)))
}

/// The generated workflow with the users' jobs, the gate behind them all.
fn joined(workflow: Yaml, users: &[UserConfig]) -> Result<Yaml> {
    let mut entries = entries(WORKFLOW, workflow)?;
    let Some((_, Yaml::List(jobs))) = entries.iter_mut().find(|(key, _)| key == "jobs") else {
        bail!("the generated workflow has no jobs");
    };
    let mut names: Vec<(&str, String)> = Vec::new();
    for job in jobs.iter() {
        names.push((GENERATED, Invocation::read(job)?.name().to_owned()));
    }
    for user in users {
        for job in &user.jobs {
            let name = job.name();
            if let Some((place, known)) = names.iter().find(|(_, known)| known.to_lowercase() == name.to_lowercase()) {
                bail!(
                    "job `{}` of workflow `{WORKFLOW}` in `{}` and job `{known}` in {} have one name: give yours another one with `name`",
                    printable(name),
                    user.name,
                    if *place == GENERATED { GENERATED.to_owned() } else { format!("`{place}`") }
                );
            }
            names.push((&user.name, name.to_owned()));
        }
    }
    let waited_for = gate::waits_for(users)?;
    if let Some(gate) = jobs.iter_mut().find(|job| Invocation::read(job).is_ok_and(|job| job.key == GATE)) {
        let mut invocation = Invocation::read(gate)?;
        gate::add(&mut invocation, waited_for)?;
        *gate = invocation.to_yaml();
    }
    jobs.extend(users.iter().flat_map(|user| user.jobs.iter().map(Invocation::to_yaml)));
    for user in users {
        for (key, value) in &user.workflow {
            match entries.iter().find(|(known, _)| known == key) {
                None => entries.push((key.clone(), value.clone())),
                Some((_, other)) if other == value => {}
                Some(_) => {
                    bail!("`{}` and another file both have `workflows.{WORKFLOW}.{key}`, and not the same", user.name)
                }
            }
        }
    }
    Ok(Yaml::Map(entries))
}
