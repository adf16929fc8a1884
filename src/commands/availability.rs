//! Where planning finds out what exists, as the settings say; and what there is to be said about the caches afterwards.

use anyhow::{Context, Result, bail};

use super::say::{note, warning};
use crate::availability::AvailabilitySource;
use crate::later::Later;
use crate::nix::binary_cache::{Caches, Reliance};
use crate::nix::command::Nix;
use crate::nix::configuration::Configuration;
use crate::nix::evaluate::FlakeCaches;
use crate::output::read_input;
use crate::settings::Available;
use crate::settings::cache_request::{self, CacheRequest};

/// Begins to ask Nix how this machine is set up, if the settings want to know: it takes as long as a small flake's evaluation.
pub(super) fn machine(available: &Available) -> Option<Later<Configuration>> {
    match available {
        Available::Caches(settings) if settings.machine => Some(Later::begin(|| Configuration::of(&Nix::find()?))),
        _ => None,
    }
}

/// The source that the settings ask for. Caches are opened: those that they name, `machine`'s and the flake's.
pub(super) fn source(
    available: &Available,
    machine: Option<Later<Configuration>>,
    flake: &FlakeCaches,
    store_dir: &str,
) -> Result<AvailabilitySource> {
    match available {
        Available::Nothing => Ok(AvailabilitySource::Nothing),
        Available::File(path) => {
            let name = path.display().to_string();
            let bytes = read_input(path)?;
            let text = std::str::from_utf8(&bytes).with_context(|| format!("`{name}` is not UTF-8"))?;
            AvailabilitySource::from_list(text, &name)
        }
        Available::LocalStore => Ok(AvailabilitySource::LocalStore),
        Available::Caches(settings) => {
            let machine = machine.map(Later::into_inner).transpose()?.unwrap_or_default();
            let CacheRequest { request, warnings, note } = cache_request::resolve(settings, &machine, flake);
            for warning in warnings {
                warning!("{warning}");
            }
            let caches = Caches::open(request, store_dir);
            for note in note.into_iter().chain(caches.notes()) {
                note!("{note}");
            }
            Ok(AvailabilitySource::Caches(Box::new(caches)))
        }
    }
}

/// Says what went wrong with caches, after they were asked; gives those that the plan counts on.
pub(super) fn check(source: &AvailabilitySource, available: &Available) -> Result<Reliance> {
    let AvailabilitySource::Caches(caches) = source else { return Ok(Reliance::default()) };
    for warning in caches.warnings() {
        warning!("{warning}");
    }
    let failed = caches.failed();
    if matches!(available, Available::Caches(settings) if settings.required) && !failed.is_empty() {
        bail!("could not ask {} (plan without them by leaving out `--require-caches`)", failed.join(", "));
    }
    Ok(caches.reliance())
}
