//! The environment of Nix where it runs code from elsewhere: evaluation, and builders, to which Nix hands variables that a fetch names.
//!
//! In: this process's environment. Out: what Nix, git, curl and ssh need of it; none of the CI's secrets. What is not known to be needed
//! is left out.

use std::env;
use std::ffi::{OsStr, OsString};

use super::binary_cache::store_url::StoreUrl;

/// Nix's settings as text. It may hold tokens for the hosts that sources come from, which only evaluation needs.
const SETTINGS: &str = "NIX_CONFIG";

/// Whoever finds it may log in with the user's keys: evaluation fetches sources so, builders do not.
const SSH_AGENT: &str = "SSH_AUTH_SOCK";

/// How the names of settings end that hold such tokens.
const TOKENS: &str = "access-tokens";

/// Names of variables that Nix, git, curl and ssh need.
const ALLOWED: [&str; 29] = [
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "TMPDIR",
    "TMP",
    "TEMP",
    "TZDIR",
    "LOCALE_ARCHIVE",
    "LD_LIBRARY_PATH",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "CURL_CA_BUNDLE",
    SSH_AGENT,
    "GIT_SSH",
    "GIT_SSH_COMMAND",
    "GIT_EXEC_PATH",
    "http_proxy",
    "https_proxy",
    "ftp_proxy",
    "all_proxy",
    "no_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "FTP_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "GIT_PROXY_COMMAND",
    "SOCKS_SERVER",
];

/// Names of Nix's own variables without `NIX_`, and of folders of the user without `XDG_`. Not all that begin so: people call their secrets
/// `NIX_CACHE_PASS`, too.
const ALLOWED_OF_NIX: [&str; 29] = [
    "BIN_DIR",
    "BUILD_CORES",
    "BUILD_HOOK",
    "CACHE_HOME",
    "CONFIG",
    "CONFIG_HOME",
    "CONF_DIR",
    "COUNT_CALLS",
    "CURL_FLAGS",
    "DAEMON_SOCKET_PATH",
    "DATA_DIR",
    "DATA_HOME",
    "IGNORE_SYMLINK_STORE",
    "LD",
    "LD_LIBRARY_PATH",
    "LIBEXEC_DIR",
    "LOCALSTATE_DIR",
    "LOG_DIR",
    "PATH",
    "PROFILES",
    "REMOTE",
    "SHOW_STATS",
    "SSHOPTS",
    "SSL_CERT_FILE",
    "STATE_DIR",
    "STATE_HOME",
    "STORE",
    "STORE_DIR",
    "USER_CONF_FILES",
];
const ALLOWED_FOLDERS: [&str; 7] =
    ["CACHE_HOME", "CONFIG_HOME", "CONFIG_DIRS", "DATA_HOME", "DATA_DIRS", "RUNTIME_DIR", "STATE_HOME"];

/// With this variable git fetches nothing that a repository lacks, which would run what the repository's settings name.
pub(crate) const NO_LAZY_FETCH: &str = "GIT_NO_LAZY_FETCH";

/// Certificates that git believes in or shows.
const ALLOWED_OF_GIT: [&str; 5] = ["CAINFO", "CAPATH", "CERT", "KEY", "NO_VERIFY"];

/// The environment for evaluation.
pub(crate) fn allowed() -> Vec<(OsString, OsString)> {
    env::vars_os().filter(|(name, _)| is_allowed(name)).chain(fixed()).collect()
}

/// The environment for calls that build: the same without Nix's settings, which [`settings`] gives as options.
pub(super) fn for_builders() -> Vec<(OsString, OsString)> {
    let mut variables = allowed();
    variables.retain(|(name, _)| is_for_builders(name));
    let includes: Vec<String> = lines(&env::var(SETTINGS).unwrap_or_default()).filter_map(|line| line.err()).collect();
    if !includes.is_empty() {
        variables.push((SETTINGS.into(), includes.join("\n").into()));
    }
    variables
}

/// False for what only fetching the inputs of a flake needs. Settings of git may hold a login.
fn is_for_builders(name: &OsStr) -> bool {
    name != SETTINGS && name != SSH_AGENT && !name.to_string_lossy().starts_with("GIT_CONFIG_")
}

/// The settings of the environment by name, without tokens, and without URLs that name a user: they become arguments, which all can read.
pub(super) fn settings() -> Vec<(String, String)> {
    let text = env::var(SETTINGS).unwrap_or_default();
    let open = |(name, value): (String, String)| {
        let has_user = |word: &str| StoreUrl::parse(word).is_ok_and(|url| url.has_user());
        match value.split_whitespace().any(has_user) {
            true => (name, value.split_whitespace().filter(|word| !has_user(word)).collect::<Vec<_>>().join(" ")),
            false => (name, value),
        }
    };
    lines(&text).filter_map(Result::ok).filter(|(name, _)| !name.ends_with(TOKENS)).map(open).collect()
}

/// Each line as name and value, or, where it names a file, as it is.
fn lines(text: &str) -> impl Iterator<Item = Result<(String, String), String>> {
    text.lines().filter_map(|line| {
        let line = line.split('#').next().unwrap_or_default().trim();
        match line.split_once('=') {
            Some((name, value)) => Some(Ok((name.trim().to_owned(), value.trim().to_owned()))),
            None if line.is_empty() => None,
            None => Some(Err(line.to_owned())),
        }
    })
}

fn is_allowed(name: &OsStr) -> bool {
    let Some(name) = name.to_str() else { return false };
    if ALLOWED.contains(&name) {
        return true;
    }
    let lists: [(&str, &[&str]); 3] =
        [("NIX_", &ALLOWED_OF_NIX), ("XDG_", &ALLOWED_FOLDERS), ("GIT_SSL_", &ALLOWED_OF_GIT)];
    let is_listed =
        |(prefix, list): &(&str, &[&str])| name.strip_prefix(prefix).is_some_and(|rest| list.contains(&rest));
    name.starts_with("GIT_CONFIG_") || lists.iter().any(is_listed)
}

/// Messages in one language and without colours, and no git that waits for a password.
fn fixed() -> impl Iterator<Item = (OsString, OsString)> {
    [("LC_ALL", "C"), ("NO_COLOR", "1"), ("TERM", "dumb"), ("GIT_TERMINAL_PROMPT", "0"), (NO_LAZY_FETCH, "1")]
        .into_iter()
        .map(|(name, value)| (name.into(), value.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_stay_out_of_the_environment() {
        for name in ["PATH", "NIX_CONFIG", "NIX_SSL_CERT_FILE", "XDG_CACHE_HOME", "GIT_CONFIG_KEY_0", "https_proxy"] {
            assert!(is_allowed(OsStr::new(name)), "{name}");
        }
        for name in [
            "CIRCLE_TOKEN",
            "CIRCLE_CONTINUATION_KEY",
            "CACHIX_AUTH_TOKEN",
            "NIX_SIGNING_KEY",
            "NIX_CACHE_TOKEN",
            "NIX_CACHE_PASS",
            "NIX_PAT",
            "XDG_GITHUB_PAT",
            "AWS_SECRET_ACCESS_KEY",
            "CI",
        ] {
            assert!(!is_allowed(OsStr::new(name)), "{name}");
        }
    }

    #[test]
    fn builders_get_no_login_of_git_or_ssh() {
        for name in ["NIX_CONFIG", "SSH_AUTH_SOCK", "GIT_CONFIG_VALUE_0", "GIT_CONFIG_GLOBAL"] {
            assert!(is_allowed(OsStr::new(name)) && !is_for_builders(OsStr::new(name)), "{name}");
        }
        assert!(is_for_builders(OsStr::new("https_proxy")));
    }

    #[test]
    fn settings_are_told_from_names_of_files() {
        let found: Vec<_> =
            lines("# one\nsandbox = false # off\n\n!include /run/x\nextra-access-tokens = h=t\nx = a b=c\n").collect();
        let setting = |name: &str, value: &str| Ok((name.to_owned(), value.to_owned()));
        assert_eq!(
            found,
            [
                setting("sandbox", "false"),
                Err("!include /run/x".to_owned()),
                setting("extra-access-tokens", "h=t"),
                setting("x", "a b=c"),
            ]
        );
    }
}
