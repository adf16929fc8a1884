//! What generated jobs download: flags and the files of checksums that they name go in, pinned files come out.

use std::path::Path;

use anyhow::{Context, Result};

use crate::cli::DownloadArgs;
use crate::delivery::downloads::{self, Download, NixRelease};
use crate::output::read_input;

/// The Nix for machines that have none.
pub fn nix_release(flags: &DownloadArgs) -> Result<NixRelease> {
    let mut release = NixRelease::default();
    if let Some(url) = &flags.nix_url {
        release.url = url.trim_end_matches('/').to_owned();
    }
    if let (Some(version), Some(path)) = (&flags.nix_version, &flags.nix_checksums) {
        release = downloads::nix(version, &release.url, &read(path)?).with_context(|| cannot_use(path))?;
    }
    Ok(release)
}

/// The nixdag for machines that this one does not run on.
pub fn nixdag(flags: &DownloadArgs) -> Result<Vec<Download>> {
    let (Some(url), Some(path)) = (&flags.release_url, &flags.release_checksums) else { return Ok(Vec::new()) };
    downloads::nixdag(url, &read(path)?).with_context(|| cannot_use(path))
}

fn cannot_use(path: &Path) -> String {
    format!("cannot use the checksums in `{}`", path.display())
}

fn read(path: &Path) -> Result<String> {
    String::from_utf8(read_input(path)?).with_context(|| format!("`{}` is not UTF-8", path.display()))
}
