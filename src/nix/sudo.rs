//! Calls of Nix as the superuser: what of the environment goes along.
//!
//! In: a program, the environment of the call where it is not this process's, and names of variables that the call gets beside it. Out: the call,
//! to which arguments and those variables are added.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Variables that reach Nix through sudo, by how they begin.
const KEPT_VARIABLES: [&str; 6] = ["NIX_", "AWS_", "http_proxy", "https_proxy", "no_proxy", "SSL_CERT_FILE"];

/// A call of `sudo` that runs `program` and asks for no password.
pub fn command<'a>(
    program: &Path,
    environment: Option<&[(OsString, OsString)]>,
    variables: impl Iterator<Item = &'a str>,
) -> Command {
    let mut command = Command::new("sudo");
    let whole = environment.map_or_else(|| std::env::vars_os().collect(), <[_]>::to_vec);
    let mut names: Vec<String> = whole
        .iter()
        .filter_map(|(name, _)| name.to_str().map(str::to_owned))
        .filter(|name| environment.is_some() || KEPT_VARIABLES.iter().any(|start| name.starts_with(start)))
        .collect();
    names.extend(variables.map(str::to_owned));
    if environment.is_some() {
        // Those are the superuser's own.
        names.retain(|name| !["PATH", "HOME", "USER", "LOGNAME"].contains(&name.as_str()));
        command.env_clear().envs(whole);
    }
    // The superuser has another home: the user's own settings file has to be named.
    if std::env::var_os("NIX_USER_CONF_FILES").is_none()
        && let Some(file) = user_settings()
    {
        command.env("NIX_USER_CONF_FILES", file);
        names.push("NIX_USER_CONF_FILES".to_owned());
    }
    names.sort_unstable();
    names.dedup();
    command.arg("-n").arg(format!("--preserve-env={}", names.join(","))).arg(program);
    command
}

/// The user's own settings file, where there is one.
fn user_settings() -> Option<OsString> {
    let folder = std::env::var_os("XDG_CONFIG_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".config")))?;
    let file = folder.join("nix/nix.conf");
    file.is_file().then(|| file.into_os_string())
}
