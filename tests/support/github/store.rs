//! Artifacts of a run, and caches of a repository.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use anyhow::{Context, Result, ensure};

use crate::support::machine::copy_into;

/// Most artifacts of a job.
const PER_JOB: usize = 500;

/// The artifacts of a run, all its attempts.
#[derive(Clone, Debug)]
pub struct Artifacts {
    dir: PathBuf,
}

impl Artifacts {
    pub fn new(dir: PathBuf) -> Self {
        Self { dir }
    }

    /// The folder of an artifact, where there is one.
    pub fn get(&self, name: &str) -> Option<PathBuf> {
        Some(self.dir.join(name)).filter(|folder| folder.is_dir())
    }

    /// The names that a pattern means: one `*` at the end, or one brace.
    pub fn matching(&self, pattern: &str) -> Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.dir).into_iter().flatten() {
            names.push(entry?.file_name().to_string_lossy().into_owned());
        }
        names.sort();
        if let Some((prefix, rest)) = pattern.split_once('{') {
            let inner = rest.strip_suffix('}').context("a brace that is not closed")?;
            ensure!(inner.contains(','), "a brace with one alternative means itself");
            ensure!(!pattern.contains('*'), "a pattern with both");
            names.retain(|name| name.strip_prefix(prefix).is_some_and(|name| inner.split(',').any(|one| one == name)));
        } else if let Some(prefix) = pattern.strip_suffix('*') {
            names.retain(|name| name.starts_with(prefix));
        } else {
            names.retain(|name| name == pattern);
        }
        Ok(names)
    }

    /// Uploads what is in a folder, without mode bits.
    pub fn upload(&self, name: &str, from: &Path, overwrite: bool) -> Result<()> {
        let plain = |c: char| !"\":<>|*?\r\n\\/".contains(c);
        ensure!(!name.is_empty() && name.chars().all(plain), "the artifact's name `{}`", name.escape_debug());
        let folder = self.dir.join(name);
        if folder.exists() {
            ensure!(overwrite, "Conflict: an artifact with this name already exists on the workflow run ({name})");
            fs::remove_dir_all(&folder)?;
        }
        let others = fs::read_dir(&self.dir).into_iter().flatten().count();
        ensure!(others < PER_JOB * 4, "{others} artifacts");
        copy_into(from, &folder)?;
        plain_modes(&folder)
    }
}

fn plain_modes(folder: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            plain_modes(&entry.path())?;
        } else if entry.file_type()?.is_file() {
            fs::set_permissions(entry.path(), fs::Permissions::from_mode(0o644))?;
        }
    }
    Ok(())
}

/// The caches of a repository: immutable, each in the scope of the reference that wrote it.
#[derive(Clone, Debug)]
pub struct Caches {
    dir: PathBuf,
    /// The number of the folder of each.
    entries: Arc<Mutex<BTreeMap<(String, String), usize>>>,
}

impl Caches {
    pub fn new(dir: PathBuf) -> Self {
        Self { dir, entries: Arc::default() }
    }

    /// The folder under a key, in the own scope or that of the default branch.
    pub fn get(&self, reference: &str, key: &str) -> Option<PathBuf> {
        let entries = self.entries.lock().ok()?;
        let found = [reference, "refs/heads/main"].iter().find_map(|scope| entries.get(&((*scope).into(), key.into())));
        found.map(|number| self.dir.join(number.to_string()))
    }

    /// The newest folder under a key that begins so, in the own scope, else in that of the default branch.
    pub fn newest(&self, reference: &str, prefix: &str) -> Option<PathBuf> {
        let entries = self.entries.lock().ok()?;
        let found = [reference, "refs/heads/main"].iter().find_map(|own| {
            let known = entries.iter().filter(|((scope, key), _)| scope == own && key.starts_with(prefix));
            known.map(|(_, number)| *number).max()
        });
        found.map(|number| self.dir.join(number.to_string()))
    }

    /// Saves a folder; gives false where the key is there already.
    pub fn save(&self, reference: &str, key: &str, from: &Path) -> Result<bool> {
        ensure!((1..=512).contains(&key.len()) && !key.contains(','), "the key `{key}`");
        let mut entries = self.entries.lock().ok().context("a test has failed")?;
        let number = entries.len();
        let place = (reference.to_owned(), key.to_owned());
        if entries.contains_key(&place) {
            return Ok(false);
        }
        copy_into(from, &self.dir.join(number.to_string()))?;
        entries.insert(place, number);
        Ok(true)
    }
}
