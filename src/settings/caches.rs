//! Which caches planning asks: from flags and `nixdag.yml`. The Nix settings of the machine come later, as only a flake needs Nix.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

use super::credential_hosts::{CacheTokens, CredentialHosts, ensure_elsewhere};
use super::option::options;
use super::schema::Schema;
use super::values::Number;
use super::words::{One, Words};
use super::yaml::{Expected, List, mapping, text_or_mapping};
use crate::nix::binary_cache::store_url::StoreUrl;
use crate::nix::binary_cache::{DEFAULT_CONNECTIONS, DEFAULT_TIMEOUT, Origin, Substituter};
use crate::nix::signature::{PublicKey, PublicKeys};
use crate::secret::VariableName;
use crate::usage::usage;
use crate::whole_number::whole;

options! {
    /// What exists already and is not built
    "Availability": AvailabilityFlags, AvailabilityKeys, AvailabilityOptions {
        /// Count exactly these store paths as available, one per line; `-` for standard input
        available {
            flag Option<PathBuf> [value_name = "FILE", conflicts_with = "local_store"];
            no key: "says what exists at this moment";
            no orb: "`extra_arguments` passes it on";
        }
        /// Count what is in this machine's store as available
        local_store {
            flag bool;
            no key: "is about the machine that plans";
            no orb: "the setup job's store is not that of the jobs";
        }
        /// Count what this store has as available, e.g. `https://cache.example.org`
        substituter {
            flag Vec<String> [value_name = "URL", conflicts_with_all = ["available", "local_store"]];
            key "caches": List<CacheEntry>;
            orb List "substituters";
        }
        /// Trust this key, in addition to those of Nix's settings
        trusted_public_key {
            flag Vec<String> [value_name = "KEY"];
            no key: "belongs beside its cache in nixdag.yml, as `public_key`";
            orb List "trusted_public_keys";
        }
        /// Send the token in this variable to caches on this host, over TLS or to the port that is named; `token_variable` in nixdag.yml counts only for such a host
        cache_token {
            flag Vec<String> [value_name = "HOST[:PORT]=VARIABLE"];
            no key: "sends a secret to a host, and whoever changes nixdag.yml could name any variable and any host";
            orb List "cache_tokens";
        }
        /// Log in to this host for a store that nixdag.yml names: over SSH (`ssh://`, `ssh-ng://`), or as the `endpoint` of a bucket
        credential_host {
            flag Vec<String> [value_name = "HOST[:PORT]"];
            no key: "sends credentials to a host, and whoever changes nixdag.yml could name any host";
            orb List "credential_hosts";
        }
        /// Do not ask the substituters of the planning machine's Nix settings
        no_machine_substituters {
            flag bool;
            key "no_machine_substituters": bool;
            default bool = false;
            no orb: "nixdag.yml has it";
        }
        /// Fail if a cache cannot be asked
        require_caches {
            flag Option<bool> [value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true"];
            key "require_caches": bool;
            default bool = false;
            orb Switch "require_caches";
        }
        /// Most connections to all caches together
        cache_connections {
            flag Option<u32> [value_name = "N", value_parser = whole::<u32>(1, 4096)];
            key "cache_connections": Number<1, 4096>;
            default u32 = DEFAULT_CONNECTIONS as u32;
            no orb: "nixdag.yml has it";
        }
        /// Time limit of a query to a cache, in seconds
        cache_timeout {
            flag Option<u32> [value_name = "SECONDS", value_parser = whole::<u32>(1, 3600)];
            key "cache_timeout": Number<1, 3600>;
            default u32 = DEFAULT_TIMEOUT.as_secs() as u32;
            no orb: "nixdag.yml has it";
        }
    }
}

/// What planning knows about caches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheSettings {
    /// The stores that are named, in order.
    pub substituters: Vec<Substituter>,
    /// The keys that are named.
    pub keys: PublicKeys,
    /// Those of them that are named for one store.
    pub keys_of_stores: Vec<(StoreUrl, PublicKey)>,
    /// There is a flake, which may name caches of its own.
    pub evaluates: bool,
    /// The caches that the flake names are asked too, and its keys are trusted.
    pub accepts_flake: bool,
    /// The substituters of the machine's Nix settings are asked too.
    pub machine: bool,
    /// A cache that cannot be asked is fatal.
    pub required: bool,
    /// Most connections to all caches together.
    pub connections: usize,
    /// How long a cache may take for an answer.
    pub timeout: Duration,
}

impl CacheSettings {
    /// What a job asks, beside what its machine's Nix does: nothing yet but the store that results travel through.
    pub fn of_job(hand_off: Option<Substituter>, keys: PublicKeys) -> Self {
        Self {
            substituters: hand_off.into_iter().collect(),
            keys,
            keys_of_stores: Vec::new(),
            evaluates: false,
            accepts_flake: false,
            machine: true,
            required: false,
            connections: DEFAULT_CONNECTIONS,
            timeout: DEFAULT_TIMEOUT,
        }
    }

    /// Resolves flags and file. `evaluates`: there is a flake, and so a Nix with settings of its own.
    ///
    /// That the flake's own caches count is no setting of the file's, as whoever changes the one can change the other.
    pub fn new(
        flags: &AvailabilityFlags,
        file: &AvailabilityKeys,
        evaluates: bool,
        accepts_flake: bool,
    ) -> Result<Self> {
        let resolved = AvailabilityOptions::new(flags, file);
        let by_flag = keys(&flags.trusted_public_key).context(usage("`--trusted-public-key`"))?;
        let mut keys = by_flag.clone();
        let hosts = CredentialHosts::parse(&flags.credential_host)?;
        let (mut substituters, mut keys_of_stores) = (Vec::new(), Vec::new());
        let named_by_file = file.substituter.iter().filter(|_| flags.substituter.is_empty());
        for entry in named_by_file.flat_map(|list| &list.0) {
            hosts.check(&entry.substituter.url).context("`caches` in nixdag.yml")?;
        }
        for entry in file.substituter.iter().flat_map(|list| &list.0) {
            keys.extend(entry.keys.iter().cloned());
            // What a flag names too is of no store.
            let own = entry.keys.iter().filter(|key| !by_flag.contains(key));
            keys_of_stores.extend(own.map(|key| (entry.substituter.url.clone(), key.clone())));
            substituters.push(entry.substituter.clone());
        }
        if !flags.substituter.is_empty() {
            let named = flags.substituter.iter().map(|url| named(url).context(usage("`--substituter`")));
            substituters = named.collect::<Result<_>>()?;
        }
        CacheTokens::parse(&flags.cache_token).context(usage("`--cache-token`"))?.apply(&mut substituters)?;
        Ok(Self {
            substituters,
            keys: keys.into_iter().collect(),
            keys_of_stores,
            evaluates,
            accepts_flake,
            machine: evaluates && !resolved.no_machine_substituters,
            required: resolved.require_caches,
            timeout: Duration::from_secs(resolved.cache_timeout.into()),
            connections: resolved.cache_connections as usize,
        })
    }

    /// Has the store asked that jobs hand on through, and no other such store: where they push to, there their results are, signed with
    /// these keys. Without a flake nobody but those who are named is asked.
    pub fn ask_hand_off(&mut self, url: &StoreUrl, keys: &PublicKeys) {
        if self.evaluates {
            self.substituters.retain(|substituter| substituter.origin != Origin::HandOff);
            self.substituters.push(Substituter { url: url.clone(), token_variable: None, origin: Origin::HandOff });
            self.keys = self.keys.iter().chain(keys.iter()).cloned().collect();
        }
    }

    /// True where a key is named that this store may sign with: its own, or one that is of no store.
    pub fn has_key_for(&self, url: &StoreUrl) -> bool {
        let is_elsewhere = |key: &PublicKey| {
            let mut of = self.keys_of_stores.iter().filter(|(_, known)| known == key).peekable();
            of.peek().is_some() && of.all(|(store, _)| store.place() != url.place())
        };
        self.keys.iter().any(|key| !is_elsewhere(key))
    }

    /// True where nobody is to be asked.
    pub fn is_empty(&self) -> bool {
        self.substituters.is_empty() && !self.evaluates
    }
}

fn keys(texts: &[String]) -> Result<Vec<PublicKey>> {
    texts.iter().map(|text| PublicKey::parse(text)).collect()
}

/// A store that a file of the repository names, or a flake.
pub(super) fn named_by_file(text: &str) -> Result<Substituter> {
    let named = named(text)?;
    ensure_elsewhere(&named.url)?;
    Ok(named)
}

/// A store that somebody names where others can read it.
pub(super) fn named(text: &str) -> Result<Substituter> {
    let url = StoreUrl::public(text)?;
    Ok(Substituter { url, token_variable: None, origin: Origin::Named })
}

/// An entry under `caches`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheEntry {
    substituter: Substituter,
    keys: Vec<PublicKey>,
}

impl Schema for CacheEntry {
    fn schema() -> Value {
        json!({ "anyOf": [{ "type": "string" }, CacheMapping::schema()] })
    }
}

impl Expected for CacheEntry {
    const PLURAL: &'static str = "caches";
}

/// An entry with more than a URL.
#[derive(Default)]
struct CacheMapping {
    url: Option<String>,
    public_key: Option<Words<PublicKey>>,
    trusted: Option<bool>,
    priority: Option<Number<0, { u32::MAX }>>,
    token_variable: Option<One<VariableName>>,
}

mapping!(CacheMapping, "a mapping with `url`", {
    "url" => url: "Where the cache is",
    "public_key" => public_key: "Keys whose signatures count, name:base64",
    "trusted" => trusted: "Whether its paths count without a signature",
    "priority" => priority: "Which cache is asked first: the lowest number",
    "token_variable" => token_variable: "The variable with the token for it, which `--cache-token` names too",
});

impl CacheMapping {
    fn entry(self) -> Result<CacheEntry> {
        let Some(url) = self.url else { bail!("a cache has no `url`") };
        let mut substituter = named_by_file(&url)?;
        let parameters = [
            ("trusted", self.trusted.map(|trusted| trusted.to_string())),
            ("priority", self.priority.map(|number| number.0.to_string())),
        ];
        for (key, value) in parameters {
            let Some(value) = value else { continue };
            ensure!(
                !url.contains(&format!("?{key}=")) && !url.contains(&format!("&{key}=")),
                "cache `{}` has `{key}` in its URL too",
                substituter.url
            );
            substituter.url = StoreUrl::parse(&substituter.url.with(key, &value))?;
        }
        if self.token_variable.is_some() {
            ensure!(
                substituter.url.host().is_some(),
                "cache `{}`: only caches over HTTP take a token",
                substituter.url
            );
        }
        substituter.token_variable = self.token_variable.map(|name| name.0.to_string());
        Ok(CacheEntry { substituter, keys: self.public_key.map(|keys| keys.0).unwrap_or_default() })
    }
}

impl<'de> Deserialize<'de> for CacheEntry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let of_url = |url: &str| Ok(Self { substituter: named_by_file(url)?, keys: Vec::new() });
        text_or_mapping(deserializer, "the URL of a cache, or a mapping with `url`", of_url, CacheMapping::entry)
    }
}
