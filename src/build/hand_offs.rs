//! What a job takes over before it builds: the hand-offs of its inputs, and what an earlier run of the job itself left; and what it leaves
//! for later runs.
//!
//! In: the folders of the [`JobRequest`]. Out: [`HandOffs`] as a substituter of the store, and the reuse folder filled anew.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result};
use tempfile::TempDir;

use super::record::Verdict;
use super::{HandOffPlace, JobRequest};
use crate::handoff::merge::{self, Damaged, HandOffFolder, HandOffs, Nars, Origin};
use crate::handoff::partial_cache;
use crate::handoff::reuse::ReuseFolder;
use crate::nix::store::Store;

/// Removes from the reuse folder what does not count; gives a line for each path of these.
pub fn adopt_earlier_results(request: &JobRequest, say: &mut dyn FnMut(&str)) -> Result<Vec<String>> {
    let Some(reuse) = &request.reuse else { return Ok(Vec::new()) };
    let adopted = reuse.adopt()?;
    let refused: Vec<String> = adopted.refused.iter().map(Damaged::text).collect();
    refused.iter().for_each(|problem| say(&format!("warning: {problem}")));
    if adopted.paths > 0 {
        let signed = if reuse.signed_by.is_some() { ", signed by a trusted key" } else { "" };
        say(&format!("{} paths of an earlier pipeline{signed}", adopted.paths));
    }
    Ok(refused)
}

/// The folders that count for a job: what an earlier run of it left, then those of its inputs in the order of their ids. Its own folder in the
/// workspace, which any job before it may have written, is made anew.
pub fn read(request: &JobRequest) -> Result<HandOffs> {
    let mut sources: Vec<HandOffFolder> = request.reuse.iter().flat_map(ReuseFolder::sources).collect();
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
pub fn verify(hand_offs: &mut HandOffs, request: &JobRequest, paths: &[String], say: &mut dyn FnMut(&str)) {
    if let Some(registry) = &request.registry {
        let lines = registry.fetch(hand_offs, paths.iter().map(String::as_str));
        lines.iter().for_each(|line| say(line));
    }
    hand_offs.verify(paths.iter().map(String::as_str));
    if request.registry.is_some() {
        hand_offs.keep_present();
    }
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
        let url = merge::substituter(&merged.path().join("cache"))
            .with_context(|| format!("Nix cannot read a cache in `{}`: its path is unusual", parent.display()))?;
        Ok((merged, url))
    };
    let (merged, url) = make(&std::env::temp_dir()).or_else(|_| make(Path::new("/tmp")))?;
    hand_offs.link(&merged.path().join("cache"), store_dir)?;
    Ok((store.with_option("extra-substituters", &url), Some(merged)))
}

/// Leaves what the job has handed off for later runs of it. Nothing else depends on that: a failure is said, and no more.
pub fn leave(request: &JobRequest, verdict: Verdict, say: &mut dyn FnMut(&str)) {
    let (Some(reuse), HandOffPlace::Workspace(workspace)) = (&request.reuse, &request.hand_off) else { return };
    let left = reuse.leave(&workspace.join(&request.job().id), verdict == Verdict::Success);
    if let Err(error) = left {
        say(&format!("warning: later pipelines cannot take these results: {error:#}"));
    }
}
