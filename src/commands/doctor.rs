//! `nixdag doctor`

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;

use anyhow::{Result, bail, ensure};
use clap::Parser;

use super::exit_code::ExitCode;
use super::say::{self, note};
use crate::checkout::Checkout;
use crate::choice::Choice;
use crate::cli::{Cli, Command, DoctorArgs, TextFormat};
use crate::delivery::Delivery;
use crate::exposure;
use crate::exposure::line::{Attacker, Finding};
use crate::exposure::situation::Situation;
use crate::output::Output;
use crate::provider::{Provider, start_up};
use crate::settings::file::SettingsFile;
use crate::settings::{Settings, orb_arguments, repository_file};
use crate::version::page;

pub(super) fn run(args: &DoctorArgs) -> Result<ExitCode> {
    let output = Output::from(args.output.clone());
    output.check()?;
    let format = output.format(args.format)?;
    ensure!(args.folder.is_dir(), "`{}` is not a folder", args.folder.display());
    let (settings, _) = resolved(args, &BTreeMap::new(), &args.generate)?;
    let provider = settings.provider;
    let checkout = Checkout::around(&args.folder)?;
    let found = args.folder.canonicalize()?;
    // CI systems have their files at the root.
    let root = if found == checkout.root() { args.folder.clone() } else { checkout.root().to_owned() };
    let default = root.join(provider.configuration());
    let config = args.config.as_ref().unwrap_or(&default);
    repository_file::check_named(config, &args.folder)?;
    let mut setups = provider.setup_jobs(config)?;
    let below = found.strip_prefix(checkout.root()).ok().and_then(Path::to_str).map(str::to_owned);
    let is_own = |parameters: &BTreeMap<String, String>| start_up::planned_folder(parameters) == below;
    if setups.iter().any(is_own) {
        setups.retain(is_own);
    }
    if setups.is_empty() {
        if args.generate.is_empty() && !config.exists() {
            let (folder, name) = (root.display(), provider.configuration());
            ensure!(
                SettingsFile::find(&args.folder).is_some(),
                "there is nothing to examine in `{folder}`: it has neither nixdag.yml nor a CI's file that runs nixdag (`nixdag init` writes \
                 them, `--config` names a file that is elsewhere)"
            );
            note!(
                "there is no `{name}` in `{folder}`, so only nixdag.yml is examined: if your pipeline calls `nixdag generate` itself, give its \
                 flags behind `--`"
            );
        } else if args.generate.is_empty() {
            note!(
                "`{}` uses {}: if your pipeline calls `nixdag generate` itself, give its flags behind `--`",
                config.display(),
                provider.lacks_planning()
            );
        }
        setups.push(BTreeMap::new());
    }
    let mut findings: Vec<Finding> = Vec::new();
    for parameters in &setups {
        let more = of_setup(args, parameters)?;
        findings.extend(more.into_iter().filter(|finding| !findings.contains(finding)).collect::<Vec<_>>());
    }
    let defaults = of_defaults(args, provider)?;
    for finding in &mut findings {
        finding.by_default = defaults.contains(finding);
    }
    output.write(|out| match format {
        TextFormat::Text => print(provider, &findings, out),
        TextFormat::Json => {
            serde_json::to_writer_pretty(
                &mut *out,
                &serde_json::json!({ "version": 1, "provider": provider.name(), "findings": findings }),
            )?;
            writeln!(out)
        }
    })?;
    say::wrote(&output, "");
    let is_closed = findings.iter().all(|finding| finding.setting.is_none() || finding.by_default);
    Ok(if is_closed { ExitCode::Done } else { ExitCode::Failed })
}

/// What is open where these parameters are given.
fn of_setup(args: &DoctorArgs, parameters: &BTreeMap<String, String>) -> Result<Vec<Finding>> {
    let (settings, delivery) = resolved(args, parameters, &args.generate)?;
    Ok(exposure::find(&Situation { settings: &settings, delivery: &delivery, parameters }))
}

/// What is open where nothing is set, as `nixdag init` leaves it.
fn of_defaults(args: &DoctorArgs, provider: Provider) -> Result<Vec<Finding>> {
    let flags = ["--provider", provider.name(), "--settings", "/dev/null"].map(str::to_owned);
    let (settings, delivery) = resolved(args, &BTreeMap::new(), &flags)?;
    Ok(exposure::find(&Situation { settings: &settings, delivery: &delivery, parameters: &BTreeMap::new() }))
}

/// The settings that `nixdag generate` would have.
fn resolved(
    args: &DoctorArgs,
    parameters: &BTreeMap<String, String>,
    flags: &[String],
) -> Result<(Settings, Delivery)> {
    // Without `./` it would be a name in the flake registry.
    let folder = Path::new(".").join(&args.folder).display().to_string();
    let given = orb_arguments::of(parameters);
    let command =
        ["nixdag", "generate", &folder].map(str::to_owned).into_iter().chain(given).chain(flags.iter().cloned());
    let generate = match Cli::try_parse_from(command) {
        Ok(Cli { command: Command::Generate(generate), .. }) => generate,
        Ok(_) => bail!("no `nixdag generate`"),
        Err(error) => {
            let text = error.to_string();
            let first = text.lines().next().unwrap_or_default().trim_start_matches("error: ");
            bail!("`nixdag generate` does not take these flags: {first}")
        }
    };
    // No key is needed to see who could reach it.
    Settings::to_generate(&generate.planning, &generate.delivery, |_| None)
}

fn print(provider: Provider, findings: &[Finding], out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "for {}", provider.title())?;
    for attacker in Attacker::ALL {
        let of: Vec<&Finding> = findings.iter().filter(|finding| finding.attacker == attacker).collect();
        writeln!(out, "{}:", attacker.text())?;
        if of.is_empty() {
            writeln!(out, "  nothing that these settings leave open")?;
        }
        for finding in of {
            writeln!(out, "  {}: {}", finding.asset.text(), finding.reach)?;
            if let Some(remedy) = finding.remedy() {
                writeln!(out, "    {remedy}")?;
            }
        }
    }
    let settings = findings.iter().filter(|finding| finding.setting.is_some()).count();
    let by_default = findings.iter().filter(|finding| finding.setting.is_some() && finding.by_default).count();
    let defaults = if by_default > 0 { format!(" ({by_default} of them open by default)") } else { String::new() };
    writeln!(
        out,
        "\nopen: {settings} that a setting closes{defaults}, {} that only others can close; attacks that are stopped: {}",
        findings.len() - settings,
        page("security")
    )
}
