//! Where the plan and the derivations of a job or a worker come from.

use std::path::PathBuf;

use clap::Args;

/// A bundle, or a plan with derivations beside it.
#[derive(Clone, Debug, Default, Args)]
pub struct SourceFlags {
    /// The bundle that `nixdag generate --bundle` wrote: plan, derivations and sources
    #[arg(long, value_name = "DIR")]
    pub bundle: Option<PathBuf>,
    /// The bundle's digest as the configuration has it; another bundle is refused
    #[arg(long, value_name = "HEX", requires = "bundle")]
    pub bundle_sha256: Option<String>,
    /// The plan that `nixdag plan --format json` printed; derivations come from the store or from `--drv-dir`
    #[arg(long, value_name = "FILE")]
    pub plan: Option<PathBuf>,
    /// Import `.drv` files from this folder
    #[arg(long, value_name = "DIR", conflicts_with = "bundle")]
    pub drv_dir: Option<PathBuf>,
}
