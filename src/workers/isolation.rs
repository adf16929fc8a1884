//! Whether builds on this machine are kept apart. A worker builds one derivation after another in one store, and whoever claims a task is believed what it leaves of it: so no builder may reach
//! the store, the worker, or what another builder leaves.
//!
//! In: how Nix is set up, and what no builder may see. Out: an error that says what is missing.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail, ensure};
use rustix::fs::Access;

use crate::nix::configuration::Configuration;
use crate::nix::store::Store;

/// Where Nix keeps its state, and within it the daemon's socket.
const STATE: &str = "/nix/var/nix";
const SOCKET: &str = "daemon-socket/socket";

/// Settings by which builds fail that would run without a sandbox, whatever the daemon's own settings say.
pub const OPTIONS: [(&str, &str); 2] = [("sandbox", "true"), ("sandbox-fallback", "false")];

/// Who builds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Builder {
    /// The superuser's Nix, here or as a daemon.
    Superuser,
    /// A daemon of another user, with settings of its own.
    Daemon,
    /// This user's own Nix.
    Own,
}

/// Refuses a machine on which builds are not in a sandbox as another user, or see one of the worker's own files or folders in it.
pub fn check(store: &Store, own: &[PathBuf]) -> Result<()> {
    // As the machine is set up, whatever this job adds.
    let configuration = store.clone().without_options(&OPTIONS.map(|(name, _)| name)).configuration()?;
    judge(&configuration, builder(&configuration, store.uses_sudo()), own)
}

fn judge<'a>(configuration: &'a Configuration, builder: Builder, own: &[PathBuf]) -> Result<()> {
    const WHY: &str = "workers cannot run here, where builds are not kept apart from each other and from the worker";
    ensure!(configuration.has_sandbox, "{WHY}: `sandbox` is not `true` in nix.conf (set it, or use `mode: jobs`)");
    ensure!(
        builder != Builder::Own,
        "{WHY}: Nix builds as this user (install Nix with its daemon, or use `mode: jobs`)"
    );
    ensure!(
        builder != Builder::Superuser || configuration.has_build_users,
        "{WHY}: Nix builds as the superuser (set `build-users-group` or `auto-allocate-uids` in nix.conf, or use `mode: jobs`)"
    );
    // A path that is not there is taken as it is written.
    let real = |path: &PathBuf| path.canonicalize().unwrap_or_else(|_| path.clone());
    let own: Vec<PathBuf> = own.iter().map(real).collect();
    let all = |paths: &'static str, list: &'a [PathBuf]| list.iter().map(move |path| (paths, path));
    let of_all = all("sandbox-paths", &configuration.sandbox_paths);
    for (setting, path) in of_all.chain(all("allowed-impure-host-deps", &configuration.allowed_host_paths)) {
        let shown = real(path);
        if let Some(own) = own.iter().find(|own| own.starts_with(&shown) || shown.starts_with(own)) {
            bail!(
                "{WHY}: builders could see `{}`, since `{}` is among `{setting}` (take it out of nix.conf)",
                own.display(),
                path.display()
            );
        }
    }
    if let Some(hook) = &configuration.pre_build_hook {
        bail!(
            "{WHY}: `pre-build-hook` in nix.conf is `{}`, which can show a builder any folder (take it out of nix.conf)",
            hook.display()
        );
    }
    Ok(())
}

fn builder(configuration: &Configuration, uses_sudo: bool) -> Builder {
    let own = rustix::process::geteuid();
    if own.is_root() || uses_sudo {
        return Builder::Superuser;
    }
    let is_named =
        |name: &str| configuration.store == name || std::env::var("NIX_REMOTE").is_ok_and(|remote| remote == name);
    let may_write = rustix::fs::access(STATE, Access::READ_OK | Access::WRITE_OK).is_ok();
    let uses_daemon = is_named("daemon") || (configuration.store == "auto" && !may_write);
    let socket = std::env::var_os("NIX_DAEMON_SOCKET_PATH").map(PathBuf::from);
    let socket = socket.unwrap_or_else(|| Path::new(STATE).join(SOCKET));
    let is_anothers = std::fs::metadata(socket).is_ok_and(|found| found.uid() != own.as_raw());
    if uses_daemon && is_anothers { Builder::Daemon } else { Builder::Own }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn builds_have_to_be_in_a_sandbox_as_another_user() {
        let apart = Configuration { has_sandbox: true, has_build_users: true, ..Configuration::default() };
        let no_sandbox = Configuration { has_sandbox: false, ..apart.clone() };
        let no_users = Configuration { has_build_users: false, ..apart.clone() };
        for (configuration, builder, lacks) in [
            (&apart, Builder::Superuser, None),
            (&apart, Builder::Daemon, None),
            // A daemon's own settings say which users it has.
            (&no_users, Builder::Daemon, None),
            (&apart, Builder::Own, Some("builds as this user")),
            (&no_users, Builder::Superuser, Some("builds as the superuser")),
            (&no_sandbox, Builder::Daemon, Some("`sandbox` is not `true`")),
        ] {
            let said = judge(configuration, builder, &[]).err().map(|error| error.to_string()).unwrap_or_default();
            assert!(lacks.map_or(said.is_empty(), |lacks| said.contains(lacks)), "{builder:?}: {said}");
        }
    }

    #[test]
    fn no_builder_sees_what_is_the_workers() {
        let dir = tempfile::tempdir().unwrap();
        let own = dir.path().join("names/run");
        std::fs::create_dir_all(&own).unwrap();
        std::os::unix::fs::symlink("names", dir.path().join("link")).unwrap();
        let said = |path: &Path| {
            let sandbox_paths = vec!["/bin/sh".into(), path.to_owned()];
            let has_users = Configuration { has_sandbox: true, has_build_users: true, ..Configuration::default() };
            let configuration = Configuration { sandbox_paths, ..has_users };
            let judged = judge(&configuration, Builder::Superuser, std::slice::from_ref(&own));
            judged.err().map(|error| error.to_string()).unwrap_or_default()
        };
        for name in ["", "names", "link", "link/run", "names/run/claim-0-0"] {
            assert!(said(&dir.path().join(name)).contains("is among `sandbox-paths`"), "{name}");
        }
        assert!(said(Path::new("/")).contains("is among `sandbox-paths`"));
        for name in ["built", "names/run-2", "names/other"] {
            assert_eq!(said(&dir.path().join(name)), "", "{name}");
        }
        let apart = Configuration { has_sandbox: true, has_build_users: true, ..Configuration::default() };
        let asked_for = Configuration { allowed_host_paths: vec![dir.path().to_owned()], ..apart.clone() };
        let hooked = Configuration { pre_build_hook: Some("/hook".into()), ..apart };
        for (configuration, why) in [(asked_for, "is among `allowed-impure-host-deps`"), (hooked, "`pre-build-hook`")] {
            let judged = judge(&configuration, Builder::Daemon, std::slice::from_ref(&own));
            assert!(judged.unwrap_err().to_string().contains(why), "{why}");
        }
    }
}
