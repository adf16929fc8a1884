//! What counts as available, and whether what jobs hand on would.

use std::path::PathBuf;

use anyhow::{Result, bail};

use super::caches::CacheSettings;
use crate::delivery::{Delivery, HandOff};

/// What counts as available.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Available {
    /// Nothing: everything is to be built.
    Nothing,
    /// The store paths in this file; `-` is standard input.
    File(PathBuf),
    /// What is valid in this machine's store.
    LocalStore,
    /// What binary caches have.
    Caches(CacheSettings),
}

/// Refuses a hand-off whose results no other job would take.
pub(super) fn check_signed(delivery: &Delivery, available: &Available) -> Result<()> {
    let HandOff::Cache(url) = &delivery.handoff else { return Ok(()) };
    let has_key = matches!(available, Available::Caches(caches) if caches.has_key_for(url));
    if url.trusted || has_key || !delivery.signing.public_keys.is_empty() {
        return Ok(());
    }
    bail!(
        "jobs cannot hand on through `{url}` without a key: what has no signature by a key that counts is taken by no other job, which \
         builds it again. Make a key with `nix key generate-secret --key-name NAME`, put it into the variable `{}` of the jobs, and its \
         public half under `signing_public_keys` in nixdag.yml (or `--signing-public-key`). A cache that signs what it gets: name its \
         key with `--trusted-public-key`. A cache that everybody who can write to is trusted with: add `trusted=true` to its URL",
        delivery.signing.variable
    )
}
