//! Where a binary cache says which outputs content-addressed derivations have: `realisations/<id>.doi` up to Nix 2.34, and from 2.35 on
//! `build-trace-v2/<derivation>/<output>.doi`.
//!
//! In: the folder of a cache. Out: its files of both kinds, as paths below that folder.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The folder up to 2.34.
pub const REALISATIONS: &str = "realisations";

/// The folder from 2.35 on, with a folder for each derivation.
pub const TRACES: &str = "build-trace-v2";

/// All files, in order. Nix would wait for a pipe, and a link to a folder may lead anywhere: those are left out.
pub fn of(cache: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::from(REALISATIONS)];
    for folder in files_in(&cache.join(TRACES))?.into_iter().filter(|path| path.is_dir() && !path.is_symlink()) {
        folders.extend(folder.file_name().map(|name| Path::new(TRACES).join(name)));
    }
    for folder in folders {
        let files = files_in(&cache.join(&folder))?.into_iter().filter(|path| path.is_file());
        found.extend(files.filter_map(|file| Some(folder.join(file.file_name()?))));
    }
    Ok(found)
}

/// The entries of a folder in the order of their names; none where it does not exist.
pub(super) fn files_in(dir: &Path) -> Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.with_context(|| format!("cannot read `{}`", dir.display()))?,
    };
    let mut files = entries
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<io::Result<Vec<_>>>()
        .with_context(|| format!("cannot read `{}`", dir.display()))?;
    files.sort_unstable();
    Ok(files)
}
