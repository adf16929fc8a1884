//! What a file's jobs come to: `extends` first, then `!reference`, then what `default` and global `variables` add, in the order in which GitLab
//! does it. In: the file's entries. Out: jobs without any of these.
//!
//! What is repeated counts each time, so that a small file cannot stand for more than a pipeline may hold.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};

use crate::nearest::meant;
use crate::printable::printable;
use crate::provider::yaml::Yaml;
use crate::provider::yaml::read::weight;
use crate::yaml::MAX_WEIGHT;

type Entries = Vec<(String, Yaml)>;

/// Most levels of `extends`.
const MAX_LEVELS: usize = 11;

/// Most references that lead to one another.
const MAX_REFERENCES: usize = 10;

/// Keys in which GitLab lays out lists in lists.
const LAID_OUT: [&str; 4] = ["script", "before_script", "after_script", "rules"];

/// Resolves the jobs of a file.
pub struct Resolver<'a> {
    top: &'a [(String, Yaml)],
    extended: BTreeMap<String, Entries>,
    weight: usize,
}

impl<'a> Resolver<'a> {
    /// For a file's entries.
    pub fn new(top: &'a [(String, Yaml)]) -> Self {
        Self { top, extended: BTreeMap::new(), weight: 0 }
    }

    /// A job with everything that it says.
    pub fn job(&mut self, name: &str, defaults: &Entries, variables: &Entries) -> Result<Entries> {
        let mut body = self.extended(name, 1)?;
        for (key, value) in &mut body {
            *value = self.replaced(value)?;
            if LAID_OUT.contains(&&**key) {
                lay_out(value);
            }
        }
        let inherit = take(&mut body, "inherit").unwrap_or(Yaml::Null);
        if !body.iter().any(|(key, _)| key == "trigger") {
            for (key, value) in defaults {
                if inherits(&inherit, "default", key) && !body.iter().any(|(known, _)| known == key) {
                    self.spend(weight(value))?;
                    body.push((key.clone(), value.clone()));
                }
            }
        }
        let own = entries("variables", take(&mut body, "variables").unwrap_or(Yaml::Null))?;
        let is_new = |key: &String| !own.iter().any(|(known, _)| known == key) && inherits(&inherit, "variables", key);
        let mut all: Entries = Vec::new();
        for (key, value) in variables.iter().filter(|(key, _)| is_new(key)) {
            self.spend(weight(value))?;
            all.extend(plain(value).map(|value| (key.clone(), value)));
        }
        all.extend(own);
        if !all.is_empty() {
            body.push(("variables".to_owned(), Yaml::Map(all)));
        }
        if !body.iter().any(|(key, _)| key == "stage") {
            body.insert(0, ("stage".to_owned(), Yaml::text("test")));
        }
        Ok(body)
    }

    /// A value without references.
    pub fn replaced(&mut self, value: &Yaml) -> Result<Yaml> {
        self.replace(value, 0)
    }

    fn replace(&mut self, value: &Yaml, followed: usize) -> Result<Yaml> {
        Ok(match value {
            Yaml::Reference(keys) => {
                let shown = printable(&keys.join(", "));
                ensure!(followed < MAX_REFERENCES, "`!reference [{shown}]` leads to too many others, or to itself");
                let (first, rest) = keys.split_first().context("a reference to nothing")?;
                let top = self.top;
                let start = top.iter().find(|(key, _)| key == first).map(|(_, value)| value);
                let mut found = match start {
                    Some(Yaml::Map(_)) => Yaml::Map(self.extended(first, 1)?),
                    Some(other) => other.clone(),
                    None => Yaml::Null,
                };
                for key in rest {
                    found = take_from(found, key).unwrap_or(Yaml::Null);
                }
                ensure!(found != Yaml::Null, "`!reference [{shown}]` is not in this file");
                self.spend(weight(&found))?;
                self.replace(&found, followed + 1)?
            }
            Yaml::List(items) => {
                Yaml::List(items.iter().map(|item| self.replace(item, followed)).collect::<Result<_>>()?)
            }
            Yaml::Map(entries) => Yaml::Map(
                entries
                    .iter()
                    .map(|(key, value)| Ok((key.clone(), self.replace(value, followed)?)))
                    .collect::<Result<_>>()?,
            ),
            other => other.clone(),
        })
    }

    /// The entries of a job or hidden job, with those that it extends: mappings are merged, all else is replaced.
    fn extended(&mut self, name: &str, level: usize) -> Result<Entries> {
        if let Some(known) = self.extended.get(name).cloned() {
            self.spend(known.iter().map(|(_, value)| weight(value)).sum())?;
            return Ok(known);
        }
        ensure!(level <= MAX_LEVELS, "`{}` extends more than {MAX_LEVELS} levels, or itself", printable(name));
        let Some((_, Yaml::Map(own))) = self.top.iter().find(|(key, _)| key == name) else {
            let known = self.top.iter().map(|(key, _)| key.as_str());
            bail!("it extends `{}`, which is not in this file{}", printable(name), meant(name, known));
        };
        let bases = match own.iter().find(|(key, _)| key == "extends").map(|(_, value)| value) {
            None | Some(Yaml::Null) => Vec::new(),
            Some(Yaml::List(items)) => items.clone(),
            Some(one) => vec![one.clone()],
        };
        let mut whole = Entries::new();
        for base in &bases {
            let base = base.as_text().context("`extends` holds something that is not a name")?;
            merge(&mut whole, self.extended(base, level + 1)?);
        }
        merge(&mut whole, own.iter().filter(|(key, _)| key != "extends").cloned().collect());
        self.spend(whole.iter().map(|(_, value)| weight(value)).sum())?;
        self.extended.insert(name.to_owned(), whole.clone());
        Ok(whole)
    }

    fn spend(&mut self, weight: usize) -> Result<()> {
        self.weight += weight;
        ensure!(
            self.weight <= MAX_WEIGHT,
            "with everything that `extends` and `!reference` repeat, the file comes to more than {} MB",
            MAX_WEIGHT >> 20
        );
        Ok(())
    }
}

/// The entries of a mapping; none of nothing.
pub fn entries(key: &str, value: Yaml) -> Result<Entries> {
    match value {
        Yaml::Map(entries) => Ok(entries),
        Yaml::Null => Ok(Vec::new()),
        _ => bail!("`{key}` is not a mapping"),
    }
}

fn merge(into: &mut Entries, from: Entries) {
    for (key, value) in from {
        match (into.iter_mut().find(|(known, _)| *known == key), value) {
            (Some((_, Yaml::Map(inner))), Yaml::Map(more)) => merge(inner, more),
            (Some((_, old)), value) => *old = value,
            (None, value) => into.push((key, value)),
        }
    }
}

fn take(entries: &mut Entries, key: &str) -> Option<Yaml> {
    let at = entries.iter().position(|(known, _)| known == key)?;
    Some(entries.remove(at).1)
}

fn take_from(value: Yaml, key: &str) -> Option<Yaml> {
    let Yaml::Map(mut entries) = value else { return None };
    take(&mut entries, key)
}

/// Whether a job takes what `default` or the global variables say about a key.
fn inherits(inherit: &Yaml, of: &str, key: &str) -> bool {
    match inherit.get(of) {
        None | Some(Yaml::Null) => true,
        Some(Yaml::List(keys)) => keys.iter().any(|known| known.as_text() == Some(key)),
        Some(value) => *value == Yaml::Bool(true),
    }
}

/// A global variable as a job's: what only the form for manual pipelines shows is left out.
fn plain(value: &Yaml) -> Option<Yaml> {
    let Yaml::Map(entries) = value else { return Some(value.clone()) };
    let value = value.get("value")?.clone();
    let expand = entries.iter().find(|(key, _)| key == "expand").cloned();
    Some(match expand {
        Some(expand) => Yaml::Map(vec![("value".to_owned(), value), expand]),
        None => value,
    })
}

/// Lists in a list become part of it.
fn lay_out(value: &mut Yaml) {
    let Yaml::List(items) = value else { return };
    let mut flat = Vec::with_capacity(items.len());
    for mut item in items.drain(..) {
        lay_out(&mut item);
        match item {
            Yaml::List(inner) => flat.extend(inner),
            other => flat.push(other),
        }
    }
    *items = flat;
}
