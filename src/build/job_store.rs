//! Opens the store for a job: with the settings that its plan asks for, as a user who may use them, and with the job's derivations in it.
//!
//! In: a [`JobRequest`] and what was handed off. Out: a [`Store`], and what holds the derivations as long as the job runs.

use std::path::Path;

use anyhow::{Result, ensure};

use super::work::strs;
use super::{Derivations, HandOffPlace, JobRequest, trust};
use crate::handoff::drv_file;
use crate::handoff::merge::HandOffs;
use crate::nix::signature::PublicKey;
use crate::nix::store::{self, Store};
use crate::nix::temporary_roots::TemporaryRoots;
use crate::plural::counted;

/// What a store is opened for.
pub struct JobStore<'a> {
    /// The job.
    pub request: &'a JobRequest,
    /// Store paths of the derivations that it builds, restores or delivers.
    pub derivations: &'a [&'a str],
    /// What other jobs have left.
    pub hand_offs: &'a HandOffs,
    /// Credentials for caches, where there are some.
    pub netrc: Option<&'a Path>,
}

impl JobStore<'_> {
    /// The same store with the job's derivations, where this user may do what the job needs.
    pub fn open(&self, mut store: Store, say: &mut dyn FnMut(&str)) -> Result<(Store, TemporaryRoots)> {
        let request = self.request;
        let built: Vec<&str> = match request.derivations {
            Derivations::Bundle(_) => request.plan.built_before(request.job()).map(|(path, _)| path).collect(),
            Derivations::Folder(_) | Derivations::Store => Vec::new(),
        };
        let here = &[self.derivations, &built].concat();
        for (name, value) in &request.options {
            store = store.with_option(name, value);
        }
        let held = TemporaryRoots::open(&store)?;
        let valid = held.hold(here.iter().copied())?;
        let import =
            !matches!(request.derivations, Derivations::Store) && here.iter().any(|&path| !valid.contains(path));
        let caches = request.plan.caches.options();
        if import
            || !self.hand_offs.is_empty()
            || request.signed_results.is_some()
            || !caches.is_empty()
            || matches!(request.hand_off, HandOffPlace::Cache(_))
        {
            store = trust::establish(store)?;
            if store.uses_sudo() {
                say("the Nix daemon does not trust this user: going through sudo");
            }
        }
        for (name, value) in &caches {
            store = store.with_option(name, value);
        }
        if let Some(path) = self.netrc {
            store = store.with_option("netrc-file", &path.to_string_lossy());
        }
        if let HandOffPlace::Cache(url) = &request.hand_off {
            // A path that was asked for before it was pushed would stay missing.
            store = store.with_option("narinfo-cache-negative-ttl", "0").with_option("extra-substituters", url);
            let keys: Vec<String> = request.signing.trusted.iter().map(PublicKey::to_string).collect();
            if !keys.is_empty() {
                store = store.with_option("extra-trusted-public-keys", &keys.join(" "));
            }
        }
        if import {
            import_derivations(request, here, &store, say)?;
        }
        Ok((store, held))
    }
}

/// Brings derivations of the job, with all that they name, into the store.
pub fn import_derivations(request: &JobRequest, here: &[&str], store: &Store, say: &mut dyn FnMut(&str)) -> Result<()> {
    match &request.derivations {
        Derivations::Bundle(bundle) => {
            let mut closure = bundle.closure(here)?;
            closure.expect(request.plan.built_before(request.job()));
            let (paths, bytes) = closure.size();
            say(&format!("importing {} of derivations and sources ({bytes} bytes)", counted(paths, "path")));
            let built = request.plan.built_before(request.job()).count();
            if built > 0 {
                let outputs = counted(built as u64, "output");
                say(&format!("among them {outputs} that evaluation has built, and that no job builds again"));
            }
            fetch_sources(store, &closure.absent())?;
            store.import(|out| closure.export(out))
        }
        Derivations::Folder(dir) => {
            let closure = drv_file::closure(here.iter().copied(), dir)?;
            say(&format!("importing {}", counted(closure.files.len() as u64, "derivation")));
            fetch_sources(store, &closure.sources.iter().map(String::as_str).collect::<Vec<_>>())?;
            store.import(|out| drv_file::export(&closure.files, out))
        }
        Derivations::Store => Ok(()),
    }
}

/// Sources that did not come with the derivations: where the store lacks them too, only a substituter can help.
fn fetch_sources(store: &Store, paths: &[&str]) -> Result<()> {
    let absent = if paths.is_empty() { Vec::new() } else { store.invalid(paths)? };
    if absent.is_empty() {
        return Ok(());
    }
    for share in store::shares(&strs(&absent)) {
        let mut command = store.command(&["--realise"]);
        command.args(share);
        let output = store::run(&mut command)?;
        ensure!(
            output.status.success(),
            "sources that derivations name cannot be fetched: {} (a bundle made on a machine whose store has them brings them)",
            store::complaint(&output.stderr)
        );
    }
    Ok(())
}
