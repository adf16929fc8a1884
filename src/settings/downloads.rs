//! What generated jobs download: flags and the files of checksums that they name go in, pinned files come out.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::option::options;
use crate::delivery::downloads::{self, Download, NixRelease};
use crate::output::read_input;

options! {
    /// What generated jobs download where their machine lacks it
    "Downloads of jobs": DownloadFlags, DownloadKeys, DownloadOptions {
        /// Folder of nixdag's releases, for machines that this nixdag does not run on
        release_url {
            flag Option<String> [value_name = "URL", requires = "release_checksums"];
            no key: "names a program that jobs run, which is pinned where the pipeline is set up";
            orb Own "base_url";
        }
        /// Checksums of this version's files: lines `<sha256>  nixdag-<version>-<target>`
        release_checksums {
            flag Option<PathBuf> [value_name = "FILE", requires = "release_url"];
            no key: "names a program that jobs run, which is pinned where the pipeline is set up";
            orb Own "checksums";
        }
        /// The release of Nix for machines that have none
        nix_version {
            flag Option<String> [value_name = "VERSION", requires = "nix_checksums"];
            no key: "names a program that jobs run, which is pinned where the pipeline is set up";
            unset: "the one that this nixdag knows the checksums of";
            orb Own "nix_version";
        }
        /// Folder of Nix's releases
        nix_url {
            flag Option<String> [value_name = "URL"];
            no key: "names a program that jobs run, which is pinned where the pipeline is set up";
            unset: "https://releases.nixos.org/nix";
            orb Own "nix_base_url";
        }
        /// Checksums of that release: lines `<sha256>  nix-<version>-<system>.tar.xz`
        nix_checksums {
            flag Option<PathBuf> [value_name = "FILE", requires = "nix_version"];
            no key: "names a program that jobs run, which is pinned where the pipeline is set up";
            orb Own "nix_checksums";
        }
    }
}

/// The Nix for machines that have none.
pub fn nix_release(flags: &DownloadFlags) -> Result<NixRelease> {
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
pub fn nixdag(flags: &DownloadFlags) -> Result<Vec<Download>> {
    let (Some(url), Some(path)) = (&flags.release_url, &flags.release_checksums) else { return Ok(Vec::new()) };
    downloads::nixdag(url, &read(path)?).with_context(|| cannot_use(path))
}

fn cannot_use(path: &Path) -> String {
    format!("cannot use the checksums in `{}`", path.display())
}

fn read(path: &Path) -> Result<String> {
    String::from_utf8(read_input(path)?).with_context(|| format!("`{}` is not UTF-8", path.display()))
}
