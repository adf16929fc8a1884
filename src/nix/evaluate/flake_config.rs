//! The settings of Nix that a flake brings along: its `nixConfig`.
//!
//! In: a [`Flake`]. Out: its settings, and the caches that they name. Whoever can change the flake has written them: what they say
//! counts only where somebody else accepts it, and nobody has checked it yet. Nix has seen to it by then that they are plain values.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::flake::{Flake, SourceTree};
use super::literal::nix_string;
use super::message;
use super::reference::SETTINGS;
use crate::nix::command::Nix;

/// Bytes of settings that are read.
const MAX_SIZE: usize = 1 << 20;

/// Bytes of a `flake.nix` that are searched before Nix is asked.
const MAX_SEARCHED: u64 = 1 << 20;

/// Settings of Nix by name, as a flake has them.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct FlakeConfig(BTreeMap<String, Value>);

/// The caches that a flake names, unchecked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlakeCaches {
    /// URLs of stores, in order.
    pub substituters: Vec<String>,
    /// Keys, `name:base64`.
    pub trusted_public_keys: Vec<String>,
}

impl FlakeConfig {
    /// Reads the settings. Nothing but the flake itself can have a part in them: no variable, no other file.
    pub fn read(nix: &Nix, flake: &Flake) -> Result<Self> {
        let Some(tree) = flake.tree.as_ref().filter(|tree| mentions_settings(tree)) else {
            return Ok(Self::default());
        };
        let file = nix_string(&format!("{}/flake.nix", tree.folder));
        let expression = format!("(import {file}).{SETTINGS} or {{ }}");
        let visible = format!("flake={}", tree.path);
        let arguments =
            ["eval", "--json", "--impure", "--option", "restrict-eval", "true", "-I", &visible, "--expr", &expression];
        let what = "cannot read the `nixConfig` of the flake";
        let answer = nix.nix(arguments, MAX_SIZE).context(what)?;
        if !answer.status.success() {
            bail!("{what}: {}", message::from_stderr(&answer.stderr).unwrap_or_default());
        }
        Ok(Self(serde_json::from_slice(&answer.stdout).context(what)?))
    }

    /// The settings as options of Nix.
    pub fn options(&self) -> impl Iterator<Item = (String, String)> + '_ {
        self.0.iter().map(|(name, value)| (name.clone(), setting(value)))
    }

    /// The caches that they name. What would take the place of the machine's caches stands beside them: the machines of the jobs have
    /// theirs as well.
    pub fn caches(&self) -> FlakeCaches {
        FlakeCaches { substituters: self.words("substituters"), trusted_public_keys: self.words("trusted-public-keys") }
    }

    /// The words of a list and of what is added to it, each once.
    fn words(&self, name: &str) -> Vec<String> {
        let mut words: Vec<String> = Vec::new();
        for name in [name.to_owned(), format!("extra-{name}")] {
            let text = self.0.get(&name).map(setting).unwrap_or_default();
            words.extend(text.split_ascii_whitespace().map(str::to_owned));
        }
        let mut seen = std::collections::HashSet::new();
        words.retain(|word| seen.insert(word.clone()));
        words
    }
}

/// False where Nix need not be asked. Who hides the attribute from this search has settings that do not count.
fn mentions_settings(tree: &SourceTree) -> bool {
    let mut text = Vec::new();
    let read = File::open(format!("{}/flake.nix", tree.folder))
        .and_then(|file| file.take(MAX_SEARCHED).read_to_end(&mut text));
    match read {
        Ok(_) => text.len() as u64 == MAX_SEARCHED || memchr::memmem::find(&text, SETTINGS.as_bytes()).is_some(),
        // Where the store is elsewhere, Nix knows where.
        Err(_) => true,
    }
}

/// A setting as it stands in `nix.conf`: lists with spaces between.
fn setting(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(values) => values.iter().map(setting).collect::<Vec<_>>().join(" "),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(json: &str) -> FlakeConfig {
        FlakeConfig(serde_json::from_str(json).unwrap())
    }

    #[test]
    fn caches_in_all_the_forms_that_nix_takes() {
        let caches = config(
            r#"{"extra-substituters": ["https://a", "https://b  https://c\n", ""], "substituters": "https://c https://d",
                "extra-trusted-public-keys": "k-1:AA k-2:BB", "trusted-substituters": ["https://e"], "x": 1}"#,
        )
        .caches();
        assert_eq!(caches.substituters, ["https://c", "https://d", "https://a", "https://b"]);
        assert_eq!(caches.trusted_public_keys, ["k-1:AA", "k-2:BB"]);
        assert_eq!(config("{}").caches(), FlakeCaches::default());
    }

    #[test]
    fn settings_become_options() {
        let config = config(r#"{"a": ["b", "c"], "d": true, "e": 5, "f": "g h"}"#);
        let options: Vec<_> = config.options().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(options, ["a=b c", "d=true", "e=5", "f=g h"]);
    }
}
