//! Tokens of caches, from the environment to Nix: a netrc file of this run's own, as Nix reads tokens from nothing else.
//!
//! In: the caches of the plan, which name variables. Out: the file, gone with its handle, readable by nobody else; nothing of it
//! reaches an argument or a log.

use std::io::{Read, Write};
use std::path::Path;

use anyhow::{Context, Result};
use tempfile::NamedTempFile;

use crate::nix::binary_cache::Reliance;
use crate::nix::binary_cache::netrc::MAX_SIZE;
use crate::nix::binary_cache::store_url::StoreUrl;
use crate::nix::command::Nix;
use crate::nix::configuration::Configuration;

/// Writes the file, with what the machine's own netrc file says behind it; none where no cache wants a token. A variable that is
/// not set, as in the pipeline of a fork, is told to `say`.
pub fn netrc(caches: &Reliance, say: &mut dyn FnMut(&str)) -> Result<Option<NamedTempFile>> {
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
            _ => say(&format!("cache `{url}` is asked without its token: the variable `{name}` holds none")),
        }
    }
    if text.is_empty() {
        return Ok(None);
    }
    if let Some(own) = Configuration::of(&Nix::find()?)?.netrc_file {
        text.push_str(&read(&own));
    }
    let write = || -> Result<NamedTempFile> {
        let mut file = tempfile::Builder::new().prefix("nixdag-netrc-").tempfile()?;
        file.write_all(text.as_bytes())?;
        Ok(file)
    };
    write().map(Some).context("cannot write a netrc file for Nix")
}

/// A file that is missing, or that this user may not read, is none.
fn read(path: &Path) -> String {
    let mut text = String::new();
    let read = std::fs::File::open(path).and_then(|file| file.take(MAX_SIZE).read_to_string(&mut text));
    if read.is_ok() { text } else { String::new() }
}
