//! The orb's setup job in a repository's own configuration. In: the file. Out: the parameters that it is given, once for each time that it is
//! used, as text.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::super::yaml::Yaml;
use super::super::yaml::read::{Entry, read as read_yaml};
use crate::regular_file;

/// Longest file that is read, in bytes: CircleCI takes no more.
const MAX_SIZE: u64 = 3 << 20;

/// What of the orb plans and continues.
const PLANNING: [&str; 2] = ["setup", "generate"];

/// Reads the file; nothing where there is none.
pub fn read(path: &Path) -> Result<Vec<BTreeMap<String, String>>> {
    let what = || format!("cannot read `{}`", path.display());
    let file: File = match regular_file::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        file => file.with_context(what)?,
    };
    let mut text = String::new();
    file.take(MAX_SIZE + 1).read_to_string(&mut text).with_context(what)?;
    ensure!(text.len() as u64 <= MAX_SIZE, "`{}` has more than {MAX_SIZE} bytes", path.display());
    parse(&text).with_context(what)
}

/// The same of its text.
pub fn parse(text: &str) -> Result<Vec<BTreeMap<String, String>>> {
    let entries = read_yaml(text)?;
    let names: Vec<String> = orbs(&entries).flat_map(|orb| PLANNING.map(|part| format!("{orb}/{part}"))).collect();
    let mut found = Vec::new();
    entries.iter().for_each(|entry| uses(&entry.value, &names, &mut found));
    Ok(found)
}

/// What the configuration calls nixdag's orb.
fn orbs(entries: &[Entry]) -> impl Iterator<Item = &str> {
    let orbs = entries.iter().filter(|entry| entry.key == "orbs").filter_map(|entry| match &entry.value {
        Yaml::Map(orbs) => Some(orbs),
        _ => None,
    });
    orbs.flatten().filter(|(_, source)| source.as_text().is_some_and(is_ours)).map(|(name, _)| name.as_str())
}

/// True for the address of nixdag's orb.
pub fn is_ours(source: &str) -> bool {
    source.split('@').next().is_some_and(|name| name == "nixdag" || name.ends_with("/nixdag"))
}

fn uses(value: &Yaml, names: &[String], found: &mut Vec<BTreeMap<String, String>>) {
    match value {
        Yaml::Text(text) if names.contains(text) => found.push(BTreeMap::new()),
        Yaml::List(items) => items.iter().for_each(|item| uses(item, names, found)),
        Yaml::Map(entries) => {
            for (key, value) in entries {
                match value {
                    Yaml::Map(given) if names.contains(key) => {
                        found.push(
                            given.iter().filter_map(|(name, value)| Some((name.clone(), text(value)?))).collect(),
                        );
                    }
                    Yaml::Null if names.contains(key) => found.push(BTreeMap::new()),
                    _ => uses(value, names, found),
                }
            }
        }
        _ => {}
    }
}

/// The value of a parameter.
fn text(value: &Yaml) -> Option<String> {
    match value {
        Yaml::Text(text) | Yaml::Script(text) | Yaml::Float(text) => Some(text.clone()),
        Yaml::Bool(on) => Some(on.to_string()),
        Yaml::Integer(number) => Some(number.to_string()),
        Yaml::Map(_) | Yaml::List(_) | Yaml::Null | Yaml::Reference(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_of_the_orbs_setup_are_found_under_any_name() {
        let text = "version: 2.1\nsetup: true\norbs:\n  nd: acme/nixdag@1\n  other: acme/nixdag-more@1\n\
                    workflows:\n  a:\n    jobs:\n      - nd/setup: {allow_ifd: true, systems: all, max_jobs: 3}\n      - other/setup: {impure: true}\n      - nd/setup\n";
        let found = parse(text).unwrap();
        let first: Vec<_> = found[0].iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(first, ["allow_ifd=true", "max_jobs=3", "systems=all"]);
        assert_eq!((found.len(), found[1].len()), (2, 0));
        assert!(parse("orbs: {x: acme/other@1}\n").unwrap().is_empty() && parse("").unwrap().is_empty());
    }
}
