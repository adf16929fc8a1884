//! Flags for what generated jobs download.

use std::path::PathBuf;

use clap::Args;

/// What generated jobs download where their machine lacks it.
#[derive(Debug, Args)]
#[command(next_help_heading = "Downloads of jobs")]
pub struct DownloadArgs {
    /// Folder of nixdag's releases, for machines that this nixdag does not run on
    #[arg(long, value_name = "URL", requires = "release_checksums")]
    pub release_url: Option<String>,
    /// Checksums of this version's files: lines `<sha256>  nixdag-<version>-<target>`
    #[arg(long, value_name = "FILE", requires = "release_url")]
    pub release_checksums: Option<PathBuf>,
    /// The release of Nix for machines that have none
    #[arg(long, value_name = "VERSION", requires = "nix_checksums")]
    pub nix_version: Option<String>,
    /// Folder of Nix's releases [default: https://releases.nixos.org/nix]
    #[arg(long, value_name = "URL")]
    pub nix_url: Option<String>,
    /// Checksums of that release: lines `<sha256>  nix-<version>-<system>.tar.xz`
    #[arg(long, value_name = "FILE", requires = "nix_version")]
    pub nix_checksums: Option<PathBuf>,
}
