//! Which caches are asked, and how: what the settings name, then the flake, then this machine.
//!
//! In: the settings, and what the machine's Nix and the flake name. Out: a [`CachesRequest`], and what there is to be said about it.

use std::path::Path;

use super::caches::CacheSettings;
use super::nix_settings::{Named, not_accepted};
use crate::nix::binary_cache::netrc::Netrc;
use crate::nix::binary_cache::{CachesRequest, Substituter};
use crate::nix::configuration::Configuration;
use crate::nix::evaluate::FlakeCaches;

/// Nix's own default.
const NETRC: &str = "/etc/nix/netrc";

/// A request to caches.
#[derive(Debug)]
pub struct CacheRequest {
    pub request: CachesRequest,
    /// What could not be read of what the machine and the flake name.
    pub warnings: Vec<String>,
    /// Caches of the flake that nobody has accepted.
    pub note: Option<String>,
}

/// The request that the settings ask for.
pub fn resolve(settings: &CacheSettings, machine: &Configuration, flake: &FlakeCaches) -> CacheRequest {
    let by_machine = Named::by_machine(machine);
    let is_accepted = settings.accepts_flake || machine.accepts_flake_config;
    let by_flake = if is_accepted { Named::by_flake(flake) } else { Named::default() };
    let warnings = by_machine.warnings.into_iter().chain(by_flake.warnings).collect();
    let substituters: Vec<Substituter> =
        settings.substituters.iter().cloned().chain(by_flake.substituters).chain(by_machine.substituters).collect();
    let note = if is_accepted { None } else { not_accepted(flake, &substituters) };
    let request = CachesRequest {
        substituters,
        named_keys: settings.keys.iter().cloned().chain(by_flake.keys).collect(),
        machine_keys: by_machine.keys.into_iter().collect(),
        netrc: Netrc::read(machine.netrc_file.as_deref().unwrap_or(Path::new(NETRC))),
        connections: settings.connections,
        timeout: settings.timeout,
    };
    CacheRequest { request, warnings, note }
}
