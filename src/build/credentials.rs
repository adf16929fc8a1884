//! Credentials of caches: tokens from the environment become a netrc file of this run's own, as Nix reads tokens from nothing else, and what
//! builds asks no cache that wants any.
//!
//! In: the caches of the plan, which name variables, and Nix's settings. Out: the file, gone with its handle, readable by nobody else; nothing
//! of it reaches an argument or a log.

use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result};

use crate::nix::binary_cache::Reliance;
use crate::nix::binary_cache::netrc::{MAX_SIZE, Netrc};
use crate::nix::binary_cache::store_url::StoreUrl;
use crate::nix::configuration::Configuration;
use crate::nix::store::Store;
use crate::private_file::PrivateFile;

/// Writes the file, with what the machine's own netrc file says behind it; none where no cache wants a token. A variable that is
/// not set, as in the pipeline of a fork, is told to `say`.
pub fn netrc(caches: &Reliance, say: &mut dyn FnMut(&str)) -> Result<Option<PrivateFile>> {
    let mut text = String::new();
    for store in &caches.substituters {
        let Some(name) = &store.token_variable else { continue };
        let url = StoreUrl::parse(&store.url)?;
        // Plain words in any netrc file.
        let is_plain = |token: &String| {
            !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~+/=:".contains(&byte))
        };
        match (std::env::var(name).ok().filter(is_plain), url.host()) {
            (Some(token), Some(host)) => text.push_str(&format!("machine {host} password {token}\n")),
            _ => say(&format!("cache `{url}` is queried without its token: the variable `{name}` holds no usable one")),
        }
    }
    if text.is_empty() {
        return Ok(None);
    }
    if let Some(own) = Store::find()?.configuration()?.netrc_file {
        text.push_str(&read(&own));
    }
    PrivateFile::new(&text).map(Some).context("cannot write a netrc file for Nix")
}

/// The substituters that can be asked without credentials; none where that is all of them.
pub fn open_substituters(configuration: &Configuration) -> Option<Vec<&str>> {
    let netrc = Netrc::parse(&configuration.netrc_file.as_deref().map(read).unwrap_or_default());
    let open = |text: &&str| StoreUrl::parse(text).is_ok_and(|url| !wants_credentials(&url, &netrc));
    let all = &configuration.substituters;
    let open: Vec<&str> = all.iter().map(String::as_str).filter(open).collect();
    (open.len() < all.len()).then_some(open)
}

/// True where Nix logs in: to a bucket, through SSH, with what the URL says, or with what a netrc file does.
fn wants_credentials(url: &StoreUrl, netrc: &Netrc) -> bool {
    let scheme = url.text().split("://").next().unwrap_or_default();
    matches!(scheme, "s3" | "ssh" | "ssh-ng")
        || url.has_user()
        || url.host().is_some_and(|host| netrc.authorization(host).is_some())
}

/// A file that is missing, or that this user may not read, is none.
fn read(path: &Path) -> String {
    let mut text = String::new();
    let read = std::fs::File::open(path).and_then(|file| file.take(MAX_SIZE).read_to_string(&mut text));
    if read.is_ok() { text } else { String::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stores_that_nix_logs_in_to_are_not_open() {
        let netrc = PrivateFile::new("machine private.example.org password x").unwrap();
        let substituters = [
            "https://cache.nixos.org/",
            "s3://bucket?region=x",
            "https://private.example.org/x",
            "https://user:password@h",
            "ssh-ng://builder",
            "file:///cache",
            "daemon",
            "/mnt",
        ];
        let mut configuration = Configuration {
            substituters: substituters.map(str::to_owned).to_vec(),
            netrc_file: Some(netrc.path().to_owned()),
            ..Configuration::default()
        };
        assert_eq!(
            open_substituters(&configuration).unwrap(),
            ["https://cache.nixos.org/", "file:///cache", "daemon", "/mnt"]
        );
        configuration.substituters.truncate(1);
        assert_eq!(open_substituters(&configuration), None);
    }
}
