//! What a job takes over before it builds: the hand-offs of its inputs, and what an earlier run of the job itself left; and what it leaves
//! for later runs.
//!
//! In: the folders of the [`JobRequest`]. Out: [`HandOffs`] as a substituter of the store, and the reuse folder filled anew.

use std::cell::RefCell;
use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use tempfile::TempDir;

use super::record::Verdict;
use super::{HandOffPlace, JobRequest};
use crate::handoff::merge::{self, Damaged, HandOffFolder, HandOffs, Nars, Origin};
use crate::handoff::partial_cache;
use crate::handoff::reuse::ReuseFolder;
use crate::nix::store::Store;
use crate::plural::counted;

/// The merged cache in its temporary folder.
const CACHE: &str = "cache";

/// Removes from the reuse folder what does not count; gives a line for each path of these.
pub fn adopt_earlier_results(request: &JobRequest, say: &mut dyn FnMut(&str)) -> Result<Vec<String>> {
    match &request.reuse {
        Some(reuse) if request.signed_results.is_none() => adopt(reuse, say),
        _ => Ok(Vec::new()),
    }
}

/// Adds what earlier pipelines have signed of these paths, where a registry has it; gives a line for each path that does not count.
pub fn take_signed_results(
    request: &JobRequest,
    paths: &HashSet<String>,
    hand_offs: &mut HandOffs,
    say: &mut dyn FnMut(&str),
) -> Result<Vec<String>> {
    let (Some(reuse), Some(signed)) = (&request.reuse, &request.signed_results) else { return Ok(Vec::new()) };
    signed.fetch(paths, reuse, say)?;
    let refused = adopt(reuse, say)?;
    reuse.sources().try_for_each(|source| hand_offs.add(source, Nars::Here))?;
    Ok(refused)
}

fn adopt(reuse: &ReuseFolder, say: &mut dyn FnMut(&str)) -> Result<Vec<String>> {
    let adopted = reuse.adopt()?;
    let refused: Vec<String> = adopted.refused.iter().map(Damaged::text).collect();
    refused.iter().for_each(|problem| say(&format!("warning: {problem}")));
    if adopted.paths > 0 {
        let signed = if reuse.signed_by.is_some() { ", signed by a trusted key" } else { "" };
        say(&format!("{} of an earlier pipeline{signed}", counted(adopted.paths, "path")));
    }
    Ok(refused)
}

/// The folders that count for a job: what an earlier run of it left, then those of its inputs in the order of their ids. Its own folder in the
/// workspace, which any job before it may have written, is made anew.
pub fn read(request: &JobRequest) -> Result<HandOffs> {
    let kept = request.reuse.iter().filter(|_| request.signed_results.is_none());
    let mut sources: Vec<HandOffFolder> = kept.flat_map(ReuseFolder::sources).collect();
    if let HandOffPlace::Workspace(workspace) = &request.hand_off {
        let own = request.job();
        partial_cache::prepare(&workspace.join(&own.id), &request.plan.store_dir)?;
        let mut ids: Vec<&str> = own.inputs.iter().map(|input| request.plan.job(*input).id.as_str()).collect();
        ids.sort_unstable();
        let source = |id: &str| HandOffFolder { origin: Origin::Job(id.to_owned()), dir: workspace.join(id) };
        sources.extend(ids.into_iter().map(source));
    }
    HandOffs::read(sources, if request.registry.is_some() { Nars::Elsewhere } else { Nars::Here })
}

/// Fetches what paths need of the other jobs' NARs, where these are elsewhere, and holds everything that is needed against its digest.
pub fn verify<'a>(
    hand_offs: &mut HandOffs,
    request: &JobRequest,
    paths: impl IntoIterator<Item = &'a str> + Clone,
    say: &mut dyn FnMut(&str),
) {
    if let Some(registry) = &request.registry {
        registry.fetch(hand_offs, paths.clone()).iter().for_each(|line| say(line));
    }
    hand_offs.verify(paths);
}

/// Makes the hand-offs a substituter of the store, as long as the folder lives.
pub fn link(store: Store, hand_offs: &HandOffs, store_dir: &str) -> Result<(Store, Option<TempDir>)> {
    if hand_offs.is_empty() {
        return Ok((store, None));
    }
    let make = |parent: &Path| -> Result<(TempDir, String)> {
        // A daemon is another user.
        let permissions = fs::Permissions::from_mode(0o755);
        let merged = tempfile::Builder::new()
            .prefix("nixdag-substituter-")
            .permissions(permissions)
            .tempdir_in(parent)
            .with_context(|| format!("cannot make a folder in `{}`", parent.display()))?;
        let url = merge::substituter(&merged.path().join(CACHE))
            .with_context(|| format!("Nix cannot read a cache in `{}`: its path is unusual", parent.display()))?;
        Ok((merged, url))
    };
    let (merged, url) = make(&std::env::temp_dir()).or_else(|_| make(Path::new("/tmp")))?;
    hand_offs.link(&merged.path().join(CACHE), store_dir)?;
    Ok((store.with_option("extra-substituters", &url), Some(merged)))
}

/// The hand-offs as a substituter that is in use.
pub struct Substituter<'a> {
    hand_offs: RefCell<&'a mut HandOffs>,
    /// Its folder; none where nothing was handed off.
    dir: Option<PathBuf>,
    store_dir: &'a str,
}

impl<'a> Substituter<'a> {
    /// Takes hand-offs that are linked into a folder, see [`link`].
    pub fn new(hand_offs: &'a mut HandOffs, merged: Option<&TempDir>, store_dir: &'a str) -> Self {
        let dir = merged.map(|merged| merged.path().join(CACHE));
        Self { hand_offs: RefCell::new(hand_offs), dir, store_dir }
    }

    /// True where a path was handed off.
    pub fn has(&self, path: &str) -> bool {
        self.hand_offs.borrow().get(path).is_some()
    }

    /// Bytes of a path's NAR, where it was handed off.
    pub fn nar_size(&self, path: &str) -> Option<u64> {
        self.hand_offs.borrow().get(path).map(|info| info.nar_size)
    }

    /// What a path refers to, where it was handed off.
    pub fn references(&self, path: &str) -> Option<Vec<String>> {
        self.hand_offs.borrow().get(path).map(|info| merge::references(info).collect())
    }

    /// Drops the copies of paths, and of what they refer to, that Nix cannot take: what they unpack to is something else. Gives a line for each.
    pub fn drop_unusable(&self, paths: &[String]) -> Result<Vec<String>> {
        let Some(dir) = &self.dir else { return Ok(Vec::new()) };
        let mut hand_offs = self.hand_offs.borrow_mut();
        let dropped = hand_offs.verify_contents(paths.iter().map(String::as_str), dir, self.store_dir)?;
        let damaged = hand_offs.damaged();
        Ok(damaged[damaged.len() - dropped..].iter().map(Damaged::text).collect())
    }
}

/// Leaves what the job has handed off for later runs of it. Nothing else depends on that: a failure is said, and no more.
pub fn leave(request: &JobRequest, verdict: Verdict, say: &mut dyn FnMut(&str)) {
    let (Some(reuse), HandOffPlace::Workspace(workspace)) = (&request.reuse, &request.hand_off) else { return };
    let hand_off = workspace.join(&request.job().id);
    let left = match &request.signed_results {
        Some(signed) => signed.leave(&hand_off, reuse, say),
        None => reuse.leave(&hand_off, verdict == Verdict::Success),
    };
    if let Err(error) = left {
        say(&format!("warning: later pipelines cannot take these results: {error:#}"));
    }
}
