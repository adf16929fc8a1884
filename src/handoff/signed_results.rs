//! Signed results in a registry of packages, where pipelines of all branches find them: a narinfo and a NAR for each store path, by their names
//! in a binary cache, in one version of a package.
//!
//! In: the paths that a job would build. Out: a [`ReuseFolder`] with those that a trusted key has signed, fetched. Anybody who can run a job can
//! put any file there: names and sizes are held against what was asked for, signatures and contents by [`ReuseFolder::adopt`].

use std::collections::HashSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::merge;
use super::partial_cache;
use super::registry::Registry;
use super::reuse::ReuseFolder;
use crate::nix::narinfo::{self, NarInfo};
use crate::nix::store_path;
use crate::plural::counted;
use crate::printable::printable;

/// Bytes by which a NAR that cannot be compressed grows, beside the 256th part of its size.
const GROWTH: u64 = 4096;

/// Narinfos that are asked for and in memory at once, each of which may be as large as one may be.
const AT_ONCE: usize = 16;

/// So many paths that do not count are named, the others are counted.
const MOST_NAMED: usize = 20;

/// A version of a package with signed results.
#[derive(Debug)]
pub struct SignedResults {
    registry: Registry,
}

impl SignedResults {
    /// In this version.
    pub fn new(registry: Registry) -> Self {
        Self { registry }
    }

    /// Makes the folder anew, with what the registry has of these paths. A registry that does not answer costs a warning: the paths are
    /// built again.
    pub fn fetch(&self, paths: &HashSet<String>, into: &ReuseFolder, say: &mut dyn FnMut(&str)) -> Result<()> {
        let [dir, _] = into.caches();
        partial_cache::remove(&into.dir)?;
        fs::create_dir_all(&dir).with_context(|| format!("cannot create `{}`", dir.display()))?;
        let mut paths: Vec<&str> = paths.iter().map(String::as_str).collect();
        paths.sort_unstable();
        let names: Vec<String> = paths.iter().filter_map(|path| file_name(path)).collect();
        let mut nars = Vec::new();
        let mut refused = Vec::new();
        for names in names.chunks(AT_ONCE) {
            let answers = self.registry.get_all(names, narinfo::MAX_SIZE as u64 + 1);
            let is_silent = answers.iter().all(Result::is_err);
            for (name, answer) in names.iter().zip(answers) {
                match answer.and_then(|text| text.map(|text| narinfo_of(&dir, name, &text, into)).transpose()) {
                    Ok(info) => nars.extend(info.map(|info| (dir.clone(), info))),
                    Err(error) => refused.push(format!("{error:#}")),
                }
            }
            // The others cannot be had either, and each attempt takes its time.
            if is_silent {
                break;
            }
        }
        for why in refused.iter().take(MOST_NAMED) {
            say(&format!("warning: a result of an earlier pipeline is not used: {}", printable(why)));
        }
        if refused.len() > MOST_NAMED {
            say(&format!("warning: {} more are not used", refused.len() - MOST_NAMED));
        }
        self.registry.fetch_nars(&nars).iter().for_each(|line| say(&format!("warning: {line}")));
        Ok(())
    }

    /// Leaves what a job hands off and a trusted key has signed, less what was there before.
    pub fn leave(&self, hand_off: &Path, before: &ReuseFolder, say: &mut dyn FnMut(&str)) -> Result<()> {
        let [known, _] = before.caches();
        let mut left = 0;
        for file in merge::narinfo_files(hand_off)? {
            let info = partial_cache::read_narinfo(&file)?;
            if !before.is_signed(&info) || known.join(info.file_name()).exists() {
                continue;
            }
            // Whoever finds the one finds the other.
            let nar = info.url.rsplit('/').next().unwrap_or_default();
            self.registry.put(nar, &hand_off.join(&info.url))?;
            self.registry.put_bytes(&info.file_name(), info.to_text().as_bytes())?;
            left += 1;
        }
        if left > 0 {
            say(&format!("{} left for later pipelines, signed", counted(left, "path")));
        }
        Ok(())
    }
}

/// Reads what the registry has under the name of a narinfo, and keeps it where it is one that counts.
fn narinfo_of(dir: &Path, name: &str, text: &[u8], folder: &ReuseFolder) -> Result<NarInfo> {
    let path = dir.join(name);
    fs::write(&path, text).with_context(|| format!("cannot write `{}`", path.display()))?;
    let read = || {
        let info = partial_cache::read_narinfo(&path)?;
        folder.check_signature(&info)?;
        // The size of the file is not signed, that of what it unpacks to is.
        let most = info.nar_size.saturating_add(info.nar_size / 256).saturating_add(GROWTH);
        ensure!(
            info.file_size.is_some_and(|size| size <= most),
            "`{}` is said to take more bytes than what it unpacks to",
            info.store_path
        );
        Ok(info)
    };
    let info = read();
    if info.is_err() {
        partial_cache::remove(&path)?;
    }
    info
}

/// The name of a path's narinfo.
fn file_name(path: &str) -> Option<String> {
    let (_, base) = store_path::split(path).ok()?;
    Some(format!("{}.narinfo", base.get(..store_path::HASH_LEN)?))
}
