//! Somewhere to push to, as people write it: any store that Nix can write to, Cachix, or Attic.

use std::fmt;

use anyhow::{Result, anyhow, bail, ensure};

use crate::nix::binary_cache::store_url::StoreUrl;
use crate::printable::printable_url;

/// Somewhere to push to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// A store, by its URL.
    Store(String),
    /// A cache of Cachix, by its name.
    Cachix(String),
    /// A cache of Attic.
    Attic {
        /// The server's name.
        server: String,
        /// The cache's name.
        cache: String,
    },
}

impl Destination {
    /// Reads a store's URL, `cachix:NAME` or `attic:SERVER:CACHE`.
    pub fn parse(text: &str) -> Result<Self> {
        let shown = || printable_url(&text.chars().take(200).collect::<String>());
        let is_name = |name: &str| {
            name.starts_with(|c: char| c.is_ascii_alphanumeric())
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.+".contains(&byte))
        };
        if let Some(name) = text.strip_prefix("cachix:") {
            ensure!(is_name(name), "`{}` names no cache of Cachix (expected `cachix:NAME`)", shown());
            return Ok(Self::Cachix(name.to_owned()));
        }
        if let Some(name) = text.strip_prefix("attic:") {
            let (server, cache) = name
                .split_once(':')
                .filter(|(server, cache)| is_name(server) && is_name(cache))
                .ok_or_else(|| anyhow!("`{}` names no cache of Attic (expected `attic:SERVER:CACHE`)", shown()))?;
            return Ok(Self::Attic { server: server.to_owned(), cache: cache.to_owned() });
        }
        if !text.contains("://") {
            bail!(
                "`{}` is not a store to push to (expected a URL such as `s3://bucket`, `cachix:NAME` or `attic:SERVER:CACHE`)",
                shown()
            );
        }
        StoreUrl::public(text)?;
        Ok(Self::Store(text.to_owned()))
    }
    /// Reads the URL of a store that jobs hand on through: what they push to they fetch from.
    pub fn parse_store(text: &str) -> Result<Self> {
        let destination = Self::parse(text)?;
        ensure!(
            matches!(destination, Self::Store(_)),
            "`{destination}`: jobs fetch from a store, so give its URL, and push with `--push {destination}`"
        );
        Ok(destination)
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store(url) => f.write_str(url),
            Self::Cachix(name) => write!(f, "cachix:{name}"),
            Self::Attic { server, cache } => write!(f, "attic:{server}:{cache}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn destinations_are_read_and_odd_ones_refused() {
        for good in
            ["s3://bucket?region=eu-west-1", "file:///cache", "ssh-ng://user@host", "cachix:my-cache", "attic:ci:main"]
        {
            assert_eq!(Destination::parse(good).unwrap().to_string(), good);
        }
        for bad in [
            "",
            "bucket",
            "cachix:",
            "cachix:-v",
            "attic:main",
            "attic:a:b:c",
            "s3://a b",
            "://x",
            "-x://y",
            "a\n://b",
            "file://x",
            "https://käse",
        ] {
            assert!(Destination::parse(bad).is_err(), "{bad}");
        }
        let error = Destination::parse("https://user:hunter2@cache.example.org/x").unwrap_err().to_string();
        assert!(error.contains("netrc") && !error.contains("hunter2"), "{error}");
        for text in ["https:/user:hunter2@h", "cachix:user:hunter2@h", "https://user:hunter2/=@h"] {
            let error = format!("{:#}", Destination::parse(text).unwrap_err());
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
