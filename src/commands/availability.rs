//! Where planning finds out what exists, as the settings say; and what there is to be said about the caches afterwards.

use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::availability::Source;
use crate::nix::binary_cache::netrc::{self, Netrc};
use crate::nix::binary_cache::{Caches, Reliance, Request, Substituter};
use crate::nix::command::Nix;
use crate::nix::configuration::Configuration;
use crate::nix::evaluate::FlakeCaches;
use crate::output::read_input;
use crate::settings::Available;
use crate::settings::caches::CacheSettings;
use crate::settings::nix_settings::{Named, not_accepted};

/// Nix's own default.
const NETRC: &str = "/etc/nix/netrc";

/// The source that the settings ask for. Caches are opened; `flake` are those that the flake names.
pub(super) fn source(available: &Available, flake: &FlakeCaches, store_dir: &str) -> Result<Source> {
    match available {
        Available::Nothing => Ok(Source::Nothing),
        Available::File(path) => {
            let name = path.display().to_string();
            let bytes = read_input(path)?;
            let text = std::str::from_utf8(&bytes).with_context(|| format!("`{name}` is not UTF-8"))?;
            Source::from_list(text, &name)
        }
        Available::LocalStore => Ok(Source::LocalStore),
        Available::Caches(settings) => {
            let caches = Caches::open(request(settings, flake)?, store_dir);
            for note in caches.notes() {
                eprintln!("note: {note}");
            }
            Ok(Source::Caches(Box::new(caches)))
        }
    }
}

/// Says what went wrong with caches, after they were asked; gives those that the plan counts on.
pub(super) fn check(source: &Source, available: &Available) -> Result<Reliance> {
    let Source::Caches(caches) = source else { return Ok(Reliance::default()) };
    for warning in caches.warnings() {
        eprintln!("warning: {warning}");
    }
    let failed = caches.failed();
    if matches!(available, Available::Caches(settings) if settings.required) && !failed.is_empty() {
        bail!("could not ask {} (plan without them by leaving out `--require-caches`)", failed.join(", "));
    }
    Ok(caches.reliance())
}

fn request(settings: &CacheSettings, flake: &FlakeCaches) -> Result<Request> {
    let machine = if settings.machine { Configuration::of(&Nix::find()?)? } else { Configuration::default() };
    let by_machine = Named::by_machine(&machine);
    let is_accepted = settings.accepts_flake || machine.accepts_flake_config;
    let by_flake = if is_accepted { Named::by_flake(flake) } else { Named::default() };
    for warning in by_machine.warnings.iter().chain(&by_flake.warnings) {
        eprintln!("warning: {warning}");
    }
    let substituters: Vec<Substituter> =
        settings.substituters.iter().cloned().chain(by_flake.substituters).chain(by_machine.substituters).collect();
    if !is_accepted && let Some(note) = not_accepted(flake, &substituters) {
        eprintln!("note: {note}");
    }
    Ok(Request {
        substituters,
        named_keys: settings.keys.iter().cloned().chain(by_flake.keys).collect(),
        machine_keys: by_machine.keys.into_iter().collect(),
        netrc: read_netrc(machine.netrc_file.as_deref().unwrap_or(Path::new(NETRC))),
        connections: settings.connections,
        timeout: settings.timeout,
    })
}

/// A file that is missing or that this user may not read is none: so it is for Nix.
fn read_netrc(path: &Path) -> Netrc {
    use std::io::Read;
    let mut text = String::new();
    let read = std::fs::File::open(path).and_then(|file| file.take(netrc::MAX_SIZE).read_to_string(&mut text));
    read.map(|_| Netrc::parse(&text)).unwrap_or_default()
}
