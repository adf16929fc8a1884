//! What a pipeline includes. In: its text, and where it is. Out: the pipeline as one mapping, as far as what it includes is at hand: files of its
//! own repository, and nixdag's component, which this program has.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_yaml::{Deserializer, Mapping, Value};

use super::super::component;
use crate::provider::declared;
use crate::provider::parameters::documents;
use crate::provider::yaml::lenient::{map, text};

/// nixdag's component.
const COMPONENT: &str = include_str!("../../../../gitlab/templates/nixdag/template.yml");

/// Most files that GitLab includes.
const MAX_FILES: usize = 150;

/// The group that `nixdag init` leaves to be filled in.
pub const OWNER: &str = "/OWNER/";

/// What inputs look like where they are used.
const OPENS: &str = "$[[";

/// And where it ends.
const CLOSES: &str = "]]";

/// A pipeline with what it includes.
#[derive(Debug, Default)]
pub struct Whole {
    /// All of it.
    pub top: Mapping,
    /// What it refers to and is not at hand.
    pub unseen: Vec<String>,
    /// What is wrong with the way it includes.
    pub problems: Vec<String>,
    root: PathBuf,
    files: BTreeSet<String>,
}

impl Whole {
    /// Reads a pipeline; `file` is where it is.
    pub fn read(pipeline: &str, file: &Path) -> Result<Self> {
        let documents = Deserializer::from_str(pipeline).map(Value::deserialize).collect::<Result<Vec<_>, _>>();
        let documents = documents.context("the pipeline is not YAML")?;
        let mut whole = Self { root: root(file), ..Self::default() };
        let (header, body) = split(documents);
        if !header.is_empty() {
            whole.unseen.push("values of its own inputs".to_owned());
        }
        match body {
            Value::Mapping(body) => whole.top = whole.with_included(body),
            _ => whole.problems.push("the pipeline is not a mapping".to_owned()),
        }
        Ok(whole)
    }

    /// What a mapping includes, and then the mapping itself, which counts.
    fn with_included(&mut self, mut body: Mapping) -> Mapping {
        let mut all = Mapping::new();
        let entries = match body.remove("include") {
            Some(Value::Sequence(entries)) => entries,
            Some(Value::Null) | None => Vec::new(),
            Some(entry) => vec![entry],
        };
        for entry in entries {
            if let Some(part) = self.part(&entry) {
                merge(&mut all, part);
            }
        }
        merge(&mut all, body);
        all
    }

    /// What an entry of `include` brings; none where that is not at hand.
    fn part(&mut self, entry: &Value) -> Option<Mapping> {
        let of = |key: &str| entry.get(key).and_then(Value::as_str);
        let local = of("local").or_else(|| entry.as_str().filter(|entry| !entry.contains("://")));
        let (name, documents) = match (of("component"), local) {
            (Some(address), _) if component::is_ours(entry) => {
                if address.contains(OWNER) {
                    self.unseen.push(format!("whether there is `{address}`: `OWNER` stands for your group"));
                }
                let documents = Deserializer::from_str(COMPONENT).filter_map(|part| Value::deserialize(part).ok());
                ("the component `nixdag`".to_owned(), documents.collect())
            }
            (None, Some(path)) if !path.contains(['*', '$']) => (format!("`{path}`"), self.local(path)?),
            (Some(other), _) | (None, Some(other)) => {
                self.unseen.push(format!("`{other}`, which it includes"));
                return None;
            }
            (None, None) => {
                let name = ["remote", "template", "project"].into_iter().find_map(of).or(entry.as_str());
                match name {
                    Some(name) => self.unseen.push(format!("`{name}`, which it includes")),
                    None => self.problems.push("an entry of `include` does not say what it includes".to_owned()),
                }
                return None;
            }
        };
        let (header, body) = split(documents);
        let (declared, given) = (map(map(&header, "spec"), "inputs"), inputs(entry));
        self.problems.extend(declared::problems(&name, declared, &given, "$"));
        let value = |name: &str| given.get(name).or_else(|| declared.get(name)?.get("default")).cloned();
        match filled(body, &value) {
            Value::Mapping(body) => Some(self.with_included(body)),
            _ => {
                self.problems.push(format!("{name} is not a mapping"));
                None
            }
        }
    }

    /// The documents of a file of the repository; none where they were read before, or cannot be.
    fn local(&mut self, path: &str) -> Option<Vec<Value>> {
        let relative = Path::new(path.trim_start_matches('/'));
        let is_inside = relative.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
        if !is_inside || !self.root.join(relative).exists() {
            self.problems.push(format!("it includes `{path}`, which the repository does not have"));
            return None;
        }
        if !self.files.insert(path.to_owned()) {
            return None;
        }
        if self.files.len() > MAX_FILES {
            self.unseen.push(format!("`{path}`, which it includes behind {MAX_FILES} others"));
            return None;
        }
        documents(&self.root.join(relative)).map_err(|error| self.problems.push(format!("{error:#}"))).ok()
    }
}

/// The folder of the repository that a file is in; its own where it is in none.
fn root(file: &Path) -> PathBuf {
    let own = file.parent().unwrap_or(Path::new("."));
    own.ancestors().find(|folder| folder.join(".git").exists()).unwrap_or(own).to_owned()
}

/// The header of a file that takes inputs, and what is behind it.
fn split(mut documents: Vec<Value>) -> (Mapping, Value) {
    let body = documents.pop().unwrap_or_default();
    let header = documents.into_iter().next().and_then(|header| header.as_mapping().cloned());
    (header.unwrap_or_default(), body)
}

fn inputs(entry: &Value) -> Mapping {
    entry.get("inputs").and_then(Value::as_mapping).cloned().unwrap_or_default()
}

/// As GitLab merges what is included: mappings key by key, anything else as a whole.
fn merge(into: &mut Mapping, from: Mapping) {
    for (key, value) in from {
        match (into.get_mut(&key), value) {
            (Some(Value::Mapping(old)), Value::Mapping(new)) => merge(old, new),
            (_, value) => drop(into.insert(key, value)),
        }
    }
}

/// With inputs put in: as they are where they are all of a string, else as text.
fn filled(value: Value, input: &dyn Fn(&str) -> Option<Value>) -> Value {
    match value {
        Value::String(string) => in_text(&string, input),
        Value::Sequence(items) => Value::Sequence(items.into_iter().map(|item| filled(item, input)).collect()),
        Value::Mapping(entries) => {
            Value::Mapping(entries.into_iter().map(|(key, value)| (filled(key, input), filled(value, input))).collect())
        }
        other => other,
    }
}

fn in_text(string: &str, input: &dyn Fn(&str) -> Option<Value>) -> Value {
    let named = |inside: &str| input(inside.split('|').next()?.trim().strip_prefix("inputs.")?);
    let whole = string.strip_prefix(OPENS).and_then(|rest| rest.strip_suffix(CLOSES));
    if let Some(value) = whole.filter(|inside| !inside.contains(OPENS)).and_then(named) {
        return value;
    }
    let (mut done, mut rest) = (String::new(), string);
    while let Some((before, (inside, after))) =
        rest.split_once(OPENS).and_then(|(before, behind)| Some((before, behind.split_once(CLOSES)?)))
    {
        done.push_str(before);
        match named(inside) {
            Some(value) => done.push_str(&text(&value)),
            None => done.push_str(&format!("{OPENS}{inside}{CLOSES}")),
        }
        rest = after;
    }
    Value::String(done + rest)
}
