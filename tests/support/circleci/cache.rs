//! Caches: immutable, shared by all branches and pipelines, found by the beginning of their keys, the newest first.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use anyhow::{Context, Result, bail, ensure};

use super::machine::{Machine, copy_into};

/// A folder with one folder an entry, numbered in the order of saving: `key`, and `data` with absolute paths.
pub struct Caches(PathBuf);

impl Caches {
    pub fn new(folder: PathBuf) -> Self {
        Self(folder)
    }

    /// Entries with their keys, oldest first.
    fn entries(&self) -> Result<BTreeMap<u64, String>> {
        let mut found = BTreeMap::new();
        for entry in fs::read_dir(&self.0).into_iter().flatten() {
            let entry = entry?;
            if let Some(number) = entry.file_name().to_str().and_then(|name| name.parse().ok()) {
                found.insert(number, fs::read_to_string(entry.path().join("key"))?);
            }
        }
        Ok(found)
    }

    /// Saves paths under a key, unless the key is there already. Says what it did.
    pub fn save(&self, key: &str, paths: &[String], machine: &Machine) -> Result<String> {
        // Jobs run side by side, and entries have numbers.
        static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
        let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let entries = self.entries()?;
        if entries.values().any(|other| other == key) {
            return Ok(format!("Skipping cache generation, cache already exists for key: {key}"));
        }
        fs::create_dir_all(&self.0)?;
        let entry = tempfile::Builder::new().prefix("new-").tempdir_in(&self.0)?;
        for path in paths {
            let inside = machine.absolute(path)?;
            let source = machine.outside(&inside)?;
            ensure!(source.exists(), "`{path}` is not there");
            copy_into(&source, &entry.path().join("data").join(inside.strip_prefix("/")?))?;
        }
        fs::write(entry.path().join("key"), key)?;
        let number = entries.last_key_value().map_or(1, |(last, _)| last + 1);
        fs::rename(entry.keep(), self.0.join(number.to_string()))?;
        Ok(format!("Stored cache to {key}"))
    }

    /// Restores the newest entry that begins with the first key that has one. Says what it did.
    pub fn restore(&self, keys: &[String], machine: &Machine) -> Result<String> {
        let entries = self.entries()?;
        for key in keys {
            let Some((number, found)) = entries.iter().rev().find(|(_, found)| found.starts_with(key)) else {
                continue;
            };
            let data = self.0.join(number.to_string()).join("data");
            for top in machine.mounted() {
                let source = data.join(Path::new(top).strip_prefix("/")?);
                if source.exists() {
                    copy_into(&source, &machine.outside(Path::new(top))?)?;
                }
            }
            return Ok(format!("Found a cache at {found}"));
        }
        Ok(format!("No cache is found for key: {}", keys.join(", ")))
    }
}

/// What `{{ … }}` in keys can name.
pub struct KeyScope<'a> {
    pub branch: &'a str,
    pub revision: &'a str,
    pub number: u64,
    /// CircleCI's own and contexts' variables.
    pub environment: &'a BTreeMap<String, String>,
    pub machine: &'a Machine,
}

/// Expands the templates of a key.
pub fn key(template: &str, scope: &KeyScope) -> Result<String> {
    let mut out = String::new();
    let mut rest = template;
    while let Some(at) = rest.find("{{") {
        let end =
            rest[at..].find("}}").with_context(|| format!("a template that does not end in the key `{template}`"))?
                + at;
        out.push_str(&rest[..at]);
        let inner = rest[at + 2..end].trim();
        match inner.split_once(' ') {
            Some(("checksum", file)) => {
                let file = file
                    .trim()
                    .strip_prefix('"')
                    .and_then(|file| file.strip_suffix('"'))
                    .context("`checksum` without a file")?;
                let path = scope.machine.outside(&scope.machine.absolute(file)?)?;
                let bytes = fs::read(&path).with_context(|| format!("cannot compute the checksum of `{file}`"))?;
                let digest = ring::digest::digest(&ring::digest::SHA256, &bytes);
                // CircleCI encodes it otherwise; nothing may depend on how.
                digest.as_ref().iter().for_each(|byte| out.push_str(&format!("{byte:02X}")));
            }
            None if inner == ".Branch" => out.push_str(scope.branch),
            None if inner == ".Revision" => out.push_str(scope.revision),
            None if inner == ".BuildNum" => out.push_str(&scope.number.to_string()),
            None if inner == "arch" => out.push_str("linux-amd64"),
            None if inner.starts_with(".Environment.") => {
                let name = &inner[".Environment.".len()..];
                out.push_str(scope.environment.get(name).map_or("", |value| value));
            }
            _ => bail!("`{{{{ {inner} }}}}` in the key `{template}`"),
        }
        rest = &rest[end + 2..];
    }
    out.push_str(rest);
    ensure!(out.chars().count() <= 900, "a cache key of more than 900 characters");
    ensure!(!out.is_empty(), "an empty cache key");
    Ok(out)
}
