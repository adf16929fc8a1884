//! What the machine's Nix is set up to do: `nix.conf`, `NIX_CONFIG` and the user's own file, as Nix itself has put them together.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::command::Nix;

/// Most bytes of settings that are read; 2.34 prints 130 kB.
const MAX_SIZE: usize = 8 << 20;

/// The subcommand that prints all settings, since 2.20.
pub(super) const NAME: [&str; 3] = ["config", "show", "--json"];

/// Its name before, which works in every version up to 2.34.
pub(super) const OLD_NAME: [&str; 2] = ["show-config", "--json"];

/// How the hook ends that Nix brings along for macOS: it finds system libraries.
const OWN_HOOK: &str = "/libexec/nix/resolve-system-dependencies";

/// What nixdag looks at of the settings.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Configuration {
    /// URLs of stores, in order.
    pub substituters: Vec<String>,
    /// Keys, `name:base64`.
    pub trusted_public_keys: Vec<String>,
    /// User names and passwords by host.
    pub netrc_file: Option<PathBuf>,
    /// Whether all builds run in a sandbox.
    pub has_sandbox: bool,
    /// Files and folders of the machine that all builds see in their sandboxes.
    pub sandbox_paths: Vec<PathBuf>,
    /// Files and folders of the machine that a derivation may ask to see in its sandbox (`__impureHostDeps`).
    pub allowed_host_paths: Vec<PathBuf>,
    /// A program that Nix asks before each build what else the builder is to see in its sandbox; none where it is not set, or is Nix's own.
    pub pre_build_hook: Option<PathBuf>,
    /// Whether the superuser's builds run as users of their own.
    pub has_build_users: bool,
    /// The store that is used where none is named: `auto`, `daemon`, a folder, …
    pub store: String,
    /// Whether the settings that a flake brings along count unasked.
    pub accepts_flake_config: bool,
}

impl Configuration {
    /// Asks Nix, unless what it said last time still holds.
    pub fn of(nix: &Nix) -> Result<Self> {
        let Some(sources) = nix.settings_digest() else { return Ok(Self::asked(nix)?.0) };
        let read = |text: &str| serde_json::from_str::<Self>(text);
        // An address with a user in it may hold a password.
        let is_open = |text: &str| !text.contains('@') && read(text).is_ok();
        let mut found = None;
        let ask = || {
            let (asked, folder) = Self::asked(nix)?;
            // Where it looks elsewhere, or somebody has just changed something, nobody knows what it has read.
            let is_known =
                folder.is_some_and(|folder| nix.is_settings_folder(&folder)) && nix.settings_digest() == Some(sources);
            let text = if is_known { serde_json::to_string(&asked)? } else { String::new() };
            found = Some(asked);
            Ok(text)
        };
        let text = nix.answer(&format!("settings {}", sources.base16()), is_open, ask)?;
        found.map_or_else(|| Ok(read(&text)?), Ok)
    }

    /// What Nix says, and the folder that it reads its own settings from.
    fn asked(nix: &Nix) -> Result<(Self, Option<PathBuf>)> {
        let what = "cannot ask Nix for its settings";
        let old = nix.nix(OLD_NAME, MAX_SIZE).context(what)?;
        let answer = if old.status.success() { old } else { nix.nix(NAME, MAX_SIZE).context(what)? };
        ensure!(answer.status.success(), "{what}: {}", answer.stderr.trim());
        Ok((Self::parse(&answer.stdout).context(what)?, own_folder(&answer.stdout)))
    }

    pub(super) fn parse(json: &[u8]) -> Result<Self> {
        #[derive(Deserialize)]
        struct Setting {
            #[serde(default)]
            value: Value,
        }
        let settings: std::collections::HashMap<String, Setting> = serde_json::from_slice(json)?;
        let list = |name: &str| -> Vec<String> {
            let items = settings.get(name).and_then(|setting| setting.value.as_array());
            items.into_iter().flatten().filter_map(|item| item.as_str().map(str::to_owned)).collect()
        };
        let netrc = settings.get("netrc-file").and_then(|setting| setting.value.as_str());
        let value = |name: &str| settings.get(name).map(|setting| &setting.value);
        let text = |name: &str| value(name).and_then(Value::as_str).unwrap_or_default();
        let is_on = |name: &str| value(name).is_some_and(|value| value == true || value == "true");
        Ok(Self {
            substituters: list("substituters"),
            trusted_public_keys: list("trusted-public-keys"),
            netrc_file: netrc.filter(|path| !path.is_empty()).map(PathBuf::from),
            // `relaxed` lets derivations choose.
            has_sandbox: is_on("sandbox"),
            sandbox_paths: value("sandbox-paths").map(sandbox_paths).unwrap_or_default(),
            allowed_host_paths: list("allowed-impure-host-deps").into_iter().map(PathBuf::from).collect(),
            pre_build_hook: Some(text("pre-build-hook"))
                .filter(|hook| !hook.is_empty() && !hook.ends_with(OWN_HOOK))
                .map(PathBuf::from),
            has_build_users: !text("build-users-group").is_empty() || is_on("auto-allocate-uids"),
            store: text("store").to_owned(),
            // Lix has a third value, so it may write text.
            accepts_flake_config: is_on("accept-flake-config"),
        })
    }
}

/// The folder of Nix's own file, which builds of it may have anywhere: what it takes for `netrc-file` where nobody says so is in it.
fn own_folder(json: &[u8]) -> Option<PathBuf> {
    let settings: Value = serde_json::from_slice(json).ok()?;
    Some(Path::new(settings["netrc-file"]["defaultValue"].as_str()?).parent()?.to_owned())
}

/// The machine's side of each path: of `INSIDE=OUTSIDE?` in a list, or, since 2.34, of an object by what it is called inside.
fn sandbox_paths(value: &Value) -> Vec<PathBuf> {
    let of_word = |word: &str| {
        let outside = word.split_once('=').map_or(word, |(_, outside)| outside);
        PathBuf::from(outside.strip_suffix('?').unwrap_or(outside))
    };
    match value {
        Value::Array(words) => words.iter().filter_map(Value::as_str).map(of_word).collect(),
        Value::Object(paths) => {
            paths.iter().map(|(inside, path)| path["source"].as_str().unwrap_or(inside).into()).collect()
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_as_nix_prints_them() {
        let json = br#"{"substituters":{"aliases":[],"value":["https://cache.nixos.org/","file:///a"]},
            "trusted-public-keys":{"value":["k:AAAA"]},"netrc-file":{"value":"/etc/nix/netrc"},
            "accept-flake-config":{"value":true},"x":{"value":1},"y":{}}"#;
        let found = Configuration::parse(json).unwrap();
        assert_eq!(found.substituters, ["https://cache.nixos.org/", "file:///a"]);
        assert_eq!(found.trusted_public_keys, ["k:AAAA"]);
        assert_eq!(found.netrc_file, Some("/etc/nix/netrc".into()));
        assert!(found.accepts_flake_config);
        for other in ["false", "\"ask\"", "null"] {
            let json = format!(r#"{{"accept-flake-config":{{"value":{other}}},"sandbox":{{"value":{other}}}}}"#);
            assert!(!Configuration::parse(json.as_bytes()).unwrap().has_sandbox, "{other}");
            assert!(!Configuration::parse(json.as_bytes()).unwrap().accepts_flake_config, "{other}");
        }
        assert_eq!(Configuration::parse(b"{}").unwrap(), Configuration::default());
        assert!(Configuration::parse(b"substituters = x").is_err());
    }

    #[test]
    fn the_folder_of_its_own_file_is_where_it_looks_for_logins() {
        let json = br#"{"netrc-file":{"defaultValue":"/opt/x/etc/nix/netrc","value":"/home/u/.netrc"}}"#;
        assert_eq!(own_folder(json), Some("/opt/x/etc/nix".into()));
        assert_eq!(own_folder(br#"{"netrc-file":{"value":"/etc/nix/netrc"}}"#), None);
    }

    #[test]
    fn what_else_builders_may_see() {
        let of = |hook: &str| {
            let json = format!(
                r#"{{"allowed-impure-host-deps":{{"value":["/a","/b"]}},"pre-build-hook":{{"value":"{hook}"}}}}"#
            );
            Configuration::parse(json.as_bytes()).unwrap()
        };
        assert_eq!(of("").allowed_host_paths, ["/a", "/b"].map(PathBuf::from));
        assert_eq!(of("/etc/nix/hook").pre_build_hook, Some("/etc/nix/hook".into()));
        assert_eq!(of("").pre_build_hook, None);
        assert_eq!(of("/nix/store/x-nix/libexec/nix/resolve-system-dependencies").pre_build_hook, None);
    }

    #[test]
    fn paths_in_sandboxes_are_those_of_the_machine_in_either_form() {
        for json in [
            r#"["/a=/b?", "/bin/sh=/nix/store/x", "/c?"]"#,
            r#"{"/a": {"optional": true, "source": "/b"}, "/bin/sh": {"source": "/nix/store/x"}, "/c": {}}"#,
        ] {
            let found =
                Configuration::parse(format!(r#"{{"sandbox-paths": {{"value": {json}}}}}"#).as_bytes()).unwrap();
            assert_eq!(found.sandbox_paths, ["/b", "/nix/store/x", "/c"].map(PathBuf::from), "{json}");
        }
    }
}
