//! `nixdag generate`

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::exit_code::ExitCode;
use super::say::{self, warning};
use super::stages::{self, Planned};
use crate::cli::GenerateArgs;
use crate::delivery::BundleReference;
use crate::difference;
use crate::exposure::planning_job;
use crate::graph::Graph;
use crate::handoff::bundle;
use crate::nearest::listed;
use crate::nix::store::Store;
use crate::nix::system;
use crate::output::{Output, read_input};
use crate::plan::worker_jobs;
use crate::plan::{Job, Plan};
use crate::plural::counted;
use crate::provider::Provider;
use crate::provider::job_setup::JobSetup;
use crate::provider::made::{self, Origin};
use crate::provider::shell;
use crate::removed_at_signal::RemovedAtSignal;
use crate::secret::{Secret, VariableName};
use crate::settings::{Settings, Source, downloads, workers};
use crate::version;

pub(super) fn run(args: &GenerateArgs) -> Result<ExitCode> {
    let output = Output::from(args.output.clone());
    if !args.check && !is_made_with_the_bundle(args)? {
        output.check()?;
    }
    let mut has_key = None;
    let take = |name: &VariableName| {
        let secret = Secret::take(name);
        has_key = secret.is_some().then(|| name.clone());
        secret
    };
    let (settings, delivery) = Settings::to_generate(&args.planning, &args.delivery, take)?;
    output.check_end(settings.provider.configuration_ends())?;
    let is_set = |name: &str| {
        has_key.as_ref().is_some_and(|key| key.as_str() == name)
            || env::var_os(name).is_some_and(|value| !value.is_empty())
    };
    if is_set(settings.provider.variable())
        && let Some(warning) = planning_job::check(settings.provider, &settings, &delivery, is_set)?
    {
        warning!("{warning}");
    }
    let additions = settings.additions(&args.additions)?;
    let writer = settings.provider.writer(&additions)?;
    let Planned { made, graph, .. } = stages::planned(&settings, &[])?;
    if let Source::Plan(path) = &settings.source {
        settings.check_plan(&made.plan).with_context(|| format!("cannot use `{}`", path.display()))?;
    }
    let plan = made.plan;
    // GitHub's workflow has places for workers; elsewhere each is one of the jobs that are written.
    let has_waves = settings.provider.limits().waves.is_some();
    let for_provider = if has_waves { None } else { worker_jobs::of(&plan) };
    if let Some(for_provider) = &for_provider {
        workers::check(&plan, settings.provider, delivery.handoff.kind())?;
        for warning in workers::without_sandbox(for_provider, &settings.fleet.executors) {
            warning!("{warning}");
        }
    }
    let bundle = match &args.bundle {
        Some(dir) if args.check => Some(
            would_be(&plan, graph, &settings)
                .with_context(|| format!("cannot find out what the bundle in `{}` should be", dir.display()))?,
        ),
        Some(dir) => Some(write_bundle(dir, &plan, graph, &settings)?),
        None => None,
    };
    let digest = bundle.as_ref().map(|bundle| bundle.manifest_sha256.clone());
    let setup = JobSetup {
        executors: settings.fleet.executors.clone(),
        bundle,
        delivery,
        default_branch: settings.change.default_branch.clone(),
        keeps_records: settings.provider.keeps_records(args.records.trust_branches),
        records_in: settings.records_in.clone(),
        nix: downloads::nix_release(&args.downloads)?,
        max_jobs: settings.planner.limits.jobs.and_then(|most| u32::try_from(most).ok()),
        downloads: downloads::nixdag(&args.downloads)?,
        comment: settings.comment()?,
    };
    if setup.comment.is_some() && !settings.provider.writes_comments() {
        warning!(
            "`comment` in nixdag.yml is for GitLab; how to comment from {}: {}",
            settings.provider.title(),
            version::page("report")
        );
    }
    let without = setup.systems_without_nixdag(&plan);
    if !without.is_empty() {
        warning!(
            "this nixdag does not run on {}: jobs there need it on PATH (or name a release that has it, with \
             `--release-url` and `--release-checksums`)",
            without.into_iter().collect::<Vec<_>>().join(", ")
        );
    }
    let plan = for_provider.unwrap_or(plan);
    let is_preview = setup.is_preview(&plan);
    let (config, warnings) = writer.write(&plan, setup)?;
    for warning in warnings {
        warning!("{warning}");
    }
    if is_preview && !args.check {
        warning!(
            "this is a preview, whose jobs have nothing to build from (`--bundle DIR` makes a configuration that runs)"
        );
    }
    // On GitHub the jobs that workers build are units of work, and the workers are jobs.
    let (units, workers) = match plan.workers.as_ref().filter(|_| has_waves) {
        Some(workers) => (workers.jobs().count(), workers.count()),
        None => (0, 0),
    };
    let jobs = counted((plan.all_jobs().count() - units + workers) as u64, "job");
    // Of those nobody knows how many a pipeline has: their workflows may be conditional.
    let merged: Vec<String> = additions.merge.iter().map(|path| path.display().to_string()).collect();
    let beside = if merged.is_empty() { String::new() } else { format!(" beside those of {}", listed(&merged)) };
    match (&args.output, &output) {
        (Some(path), _) if args.check => {
            check(path, &config, !is_preview)?;
            if let (Some(dir), Some(digest)) = (&args.bundle, &digest) {
                check_bundle(dir, digest)?;
            }
            say::done(format_args!("`{}` is up to date: {jobs}{beside}", path.display()));
        }
        (_, Output::File(path)) => {
            output.write(|out| out.write_all(config.as_bytes()))?;
            let next = match (&args.bundle, settings.provider.bundle_dir()) {
                (None, _) if is_preview => "; next, `--bundle DIR` for one that runs".to_owned(),
                (Some(dir), Some(expected)) if !is_in_place(dir, settings.provider) => {
                    format!("; next, bring the bundle to `{expected}`, where jobs look for it")
                }
                _ => settings.provider.after_generating(path),
            };
            say::done(format_args!(
                "wrote `{}`: {jobs} for {}{beside}{next}",
                path.display(),
                settings.provider.title()
            ));
        }
        (_, Output::Stdout) => output.write(|out| out.write_all(config.as_bytes()))?,
    }
    Ok(ExitCode::Done)
}

/// True if writing the bundle makes the folder that the output goes into.
fn is_made_with_the_bundle(args: &GenerateArgs) -> Result<bool> {
    let (Some(bundle), Some(folder)) = (&args.bundle, args.output.as_deref().and_then(Path::parent)) else {
        return Ok(false);
    };
    Ok(!folder.as_os_str().is_empty() && std::path::absolute(bundle)?.starts_with(std::path::absolute(folder)?))
}

/// Fails where the file is not what would be written now, and shows how it differs.
fn check(path: &Path, config: &str, has_bundle: bool) -> Result<()> {
    let found = read_input(path)?;
    if found == config.as_bytes() {
        return Ok(());
    }
    let found = String::from_utf8_lossy(&found);
    match made::origin(&found) {
        Origin::Other => bail!(
            "`{}` was not written by `nixdag generate`, so there is nothing to compare: name the file that `nixdag generate -o` has written",
            path.display()
        ),
        // What would be written without one is a preview, whose jobs fail.
        Origin::Bundle if !has_bundle => bail!(
            "`{}` was made with a bundle and can only be compared with one: add `--bundle DIR`, as when it was written",
            path.display()
        ),
        Origin::Bundle | Origin::Preview => {}
    }
    let difference = difference::unified(&found, config);
    bail!(
        "`{}` is out of date (`{}` rewrites it); `-` is in the file, `+` is in the plan:\n{difference}",
        path.display(),
        rewrite()?,
    )
}

/// Fails where there is another bundle than would be written. Where there is none, another machine has it.
fn check_bundle(dir: &Path, digest: &str) -> Result<()> {
    match bundle::digest(dir)? {
        Some(found) if found.base16() != digest => {
            bail!("the bundle in `{}` is out of date (`{}` rewrites it)", dir.display(), rewrite()?)
        }
        _ => Ok(()),
    }
}

/// This command line, less `--check`.
fn rewrite() -> Result<String> {
    let arguments = env::args().skip(1).filter(|argument| argument != "--check");
    let quoted: Vec<String> = arguments.map(|argument| shell::quote(&argument)).collect::<Result<_>>()?;
    Ok(format!("nixdag {}", quoted.join(" ")))
}

/// True for the folder in which the jobs of a provider look for the bundle.
fn is_in_place(dir: &Path, provider: Provider) -> bool {
    let absolute = |path: &Path| std::path::absolute(path).ok();
    provider.bundle_dir().is_none_or(|expected| absolute(Path::new(expected)) == absolute(dir))
}

/// The bundle that would be written, made in a folder that goes away: its digest is that of what it holds.
fn would_be(plan: &Plan, graph: Option<Graph>, settings: &Settings) -> Result<BundleReference> {
    let folder = tempfile::tempdir()?;
    let _removed = RemovedAtSignal::new(folder.path());
    let summary = fill_bundle(folder.path(), plan, graph, settings)?;
    Ok(BundleReference { manifest_sha256: summary.sha256.base16(), system: system::current() })
}

/// Writes the bundle, and its digest into a file beside it: CI caches are keyed by the checksum of a file.
fn write_bundle(dir: &Path, plan: &Plan, graph: Option<Graph>, settings: &Settings) -> Result<BundleReference> {
    let summary = fill_bundle(dir, plan, graph, settings)?;
    if let Some(expected) = settings.provider.bundle_dir().filter(|_| !is_in_place(dir, settings.provider)) {
        warning!(
            "the jobs look for the bundle in `{expected}`: it has to come from there, not from `{}`",
            dir.display()
        );
    }
    let digest = summary.sha256.base16();
    let mut beside = dir.as_os_str().to_owned();
    beside.push(".sha256");
    Output::File(beside.into()).write(|out| writeln!(out, "{digest}"))?;
    Ok(BundleReference { manifest_sha256: digest, system: system::current() })
}

/// Writes what a bundle holds into a folder.
fn fill_bundle(dir: &Path, plan: &Plan, graph: Option<Graph>, settings: &Settings) -> Result<bundle::Summary> {
    let graph = match graph {
        Some(graph) => graph,
        None => {
            let derivations: Vec<&str> = plan.all_jobs().flat_map(Job::builds).collect();
            settings.derivation_files().load(&derivations)?
        }
    };
    let drv_dir = settings.drv_dir.clone().unwrap_or_else(|| PathBuf::from(&plan.store_dir));
    let program = std::env::current_exe().context("cannot find the running program, which goes into the bundle")?;
    let store = Store::find();
    let parts = bundle::Parts { plan, graph: &graph, drv_dir: &drv_dir, store: store.as_ref(), program: &program };
    let summary = bundle::write(dir, parts)?;
    if let Some(first) = summary.absent_sources.first() {
        warning!(
            "not in this machine's store, so jobs have to find them in a substituter: {} (`{first}` …)",
            counted(summary.absent_sources.len() as u64, "source"),
        );
    }
    Ok(summary)
}
