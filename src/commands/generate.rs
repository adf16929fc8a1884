//! `nixdag generate`

use std::path::Path;

use anyhow::{Context, Result, bail};

use super::{ExitCode, stages};
use crate::cli::GenerateArgs;
use crate::handoff::bundle;
use crate::nix::store::Store;
use crate::nix::system;
use crate::output::{Output, read_input};
use crate::plan::Plan;
use crate::provider::circleci::BundleReference;
use crate::provider::{Provider, circleci};
use crate::settings::Settings;

pub(super) fn run(args: &GenerateArgs) -> Result<ExitCode> {
    let settings = Settings::new(&args.planning)?;
    let plan = stages::plan(&settings)?;
    let bundle = args.bundle.as_ref().map(|dir| bundle(dir, &plan, &settings)).transpose()?;
    let options = circleci::Options { executors: settings.executors.clone(), bundle, ..circleci::Options::default() };
    let config = Provider::CircleCi.generate(&plan, &options)?;
    match &args.output {
        Some(path) if args.check => {
            if read_input(path)? != config.as_bytes() {
                bail!("`{}` is not what the plan says (write it anew without `--check`)", path.display());
            }
        }
        output => Output::from(output.clone()).write(|out| out.write_all(config.as_bytes()))?,
    }
    Ok(ExitCode::Done)
}

/// Writes the bundle.
fn bundle(dir: &Path, plan: &Plan, settings: &Settings) -> Result<BundleReference> {
    let derivations = plan.jobs.iter().flat_map(|job| job.derivations.iter().chain(&job.co_located));
    let graph = stages::load(derivations.map(|path| &**path), settings)?;
    let drv_dir = settings.drv_dir.as_deref().unwrap_or(Path::new(&plan.store_dir));
    let store = Store::find();
    let program = std::env::current_exe().context("cannot find this program's own file")?;
    let summary = bundle::write(dir, plan, &graph, drv_dir, store.as_ref(), &program)?;
    eprintln!(
        "bundle: {} derivations, {} sources, {} bytes in `{}`",
        summary.derivations,
        summary.sources,
        summary.bytes,
        dir.display()
    );
    if let Some(first) = summary.absent_sources.first() {
        eprintln!(
            "warning: {} sources are not in this machine's store, jobs have to find them in a substituter (`{first}` …)",
            summary.absent_sources.len(),
        );
    }
    Ok(BundleReference { manifest_sha256: summary.sha256.base16(), system: system::current() })
}
