//! Store URLs as Nix has them: where a substituter is, and what its parameters say.

use std::collections::HashSet;
use std::fmt;
use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::percent_decode_str;

use super::store_url_error::{SCHEMES, has_late_at_sign, meant, wrong_character};
use crate::nix::signature::is_key;
use crate::printable::printable_url;

/// Longest URL that is taken, in bytes.
const MAX_LENGTH: usize = 2048;

/// How a store is asked.
#[derive(Clone, PartialEq, Eq)]
pub enum Access {
    /// A binary cache over HTTP: its address without a slash at its end.
    Http {
        /// Without parameters, user and password.
        address: String,
        /// The value of an `Authorization` header that the URL itself asks for.
        authorization: Option<String>,
    },
    /// A folder of narinfo files.
    Folder(PathBuf),
    /// Any other store: Nix knows how.
    ThroughNix,
}

/// The URL of a store.
#[derive(Clone, PartialEq, Eq)]
pub struct StoreUrl {
    text: String,
    /// How it is asked.
    pub access: Access,
    /// `priority`: smaller comes first.
    pub priority: Option<u64>,
    /// `trusted`: paths count without a signature.
    pub trusted: bool,
}

impl StoreUrl {
    /// Reads a URL: `https://…`, `file:///…`, `s3://…`, `ssh-ng://…`, `daemon`, a folder with a store of its own, …
    pub fn parse(text: &str) -> Result<Self> {
        ensure!(text.len() <= MAX_LENGTH, "a store URL of {} bytes, {MAX_LENGTH} are allowed", text.len());
        ensure!(!text.is_empty(), "a store URL that is empty");
        ensure!(
            !is_key(text),
            "a key where a store URL belongs (a public key belongs to `--trusted-public-key`, or `public_key` in nixdag.yml)"
        );
        let shown = printable_url(text);
        if let Some(wrong) = wrong_character(text) {
            bail!("`{shown}` is not a store URL: {wrong}");
        }
        ensure!(
            !has_late_at_sign(text),
            "`{shown}` has an `@` after its host (write `%40` there; in a password, `/` is `%2F` and `?` is `%3F`)"
        );
        let (address, query) = text.split_once('?').unwrap_or((text, ""));
        let access = match address.split_once("://") {
            Some(("http" | "https", rest)) => http(address, rest).with_context(|| format!("store URL `{shown}`"))?,
            Some(("file", path)) => {
                ensure!(path.starts_with('/'), "`{shown}`: the folder of a `file://` store is an absolute path");
                Access::Folder(decoded(path)?.into())
            }
            Some(("s3", "")) => bail!("`{shown}` names no bucket (expected `s3://BUCKET`)"),
            Some((scheme, _)) if SCHEMES.contains(&scheme) => Access::ThroughNix,
            None if address.starts_with('/') || ["auto", "daemon", "local"].contains(&address) => Access::ThroughNix,
            _ => bail!("`{shown}` is not a store URL ({})", meant(&shown)),
        };
        let mut url = Self { text: text.to_owned(), access, priority: None, trusted: false };
        let mut keys = HashSet::new();
        for (key, value) in query.split('&').filter_map(|parameter| parameter.split_once('=')) {
            // What is read here has to be what Nix reads, which decodes names and takes the first of two.
            let is_plain = key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
            ensure!(is_plain, "`{shown}`: a parameter's name has letters, digits, `-` and `_` only");
            ensure!(keys.insert(key), "`{shown}` has the parameter `{key}` twice");
            match key {
                "priority" => {
                    let number = value.parse().ok();
                    url.priority = Some(number.with_context(|| format!("`{shown}`: `priority` is a whole number"))?);
                }
                "trusted" => url.trusted = matches!(value, "1" | "true" | "yes"),
                _ => {}
            }
        }
        Ok(url)
    }

    /// Reads a URL that others will see: in a plan, a configuration, a log.
    pub fn public(text: &str) -> Result<Self> {
        let url = Self::parse(text)?;
        ensure!(
            !url.has_user(),
            "`{url}` comes with a user: put name and password into Nix's `netrc-file`, or name the variable with a token: \
             `--cache-token HOST=VARIABLE`"
        );
        Ok(url)
    }

    /// The URL for Nix, password included.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The URL for Nix, without user and password.
    pub fn public_text(&self) -> String {
        without_user(&self.text)
    }

    /// Where the store is: the URL without user and parameters.
    pub fn place(&self) -> String {
        let text = self.public_text();
        text.split('?').next().unwrap_or_default().trim_end_matches('/').to_owned()
    }

    /// True if the URL names a user, perhaps with a password.
    pub fn has_user(&self) -> bool {
        self.public_text() != self.text
    }

    /// The host of an HTTP cache.
    pub fn host(&self) -> Option<&str> {
        let Access::Http { address, .. } = &self.access else { return None };
        let authority = address.split_once("://")?.1.split('/').next()?;
        let host = match authority.strip_prefix('[') {
            Some(rest) => rest.split_once(']')?.0,
            None => authority.split(':').next()?,
        };
        Some(host)
    }

    /// The host and port that are asked over HTTP; the port is the scheme's own where none is named.
    pub fn origin(&self) -> Option<(&str, u16)> {
        let Access::Http { address, .. } = &self.access else { return None };
        let (scheme, rest) = address.split_once("://")?;
        let authority = rest.split('/').next()?;
        let port = authority.rsplit_once(':').and_then(|(_, port)| port.parse().ok());
        Some((self.host()?, port.unwrap_or(if scheme == "https" { 443 } else { 80 })))
    }

    /// The server that Nix logs in to instead of the one that the scheme stands for: `endpoint` of a bucket.
    pub fn endpoint(&self) -> Option<&str> {
        let (_, query) = self.text.split_once('?')?;
        let endpoint = query.split('&').filter_map(|parameter| parameter.strip_prefix("endpoint=")).next_back()?;
        Some(endpoint.split_once("://").map_or(endpoint, |(_, rest)| rest).trim_end_matches('/'))
    }

    /// Host and port of a store that is logged in to by SSH.
    pub fn ssh_host(&self) -> Option<&str> {
        let (scheme, rest) = self.text.split_once("://")?;
        let authority = rest.split(['/', '?']).next()?;
        ["ssh", "ssh-ng"].contains(&scheme).then(|| authority.rsplit_once('@').map_or(authority, |(_, host)| host))
    }

    /// Names of the parameters.
    pub fn parameters(&self) -> impl Iterator<Item = &str> {
        let query = self.text.split_once('?').map_or("", |(_, query)| query);
        query.split('&').filter_map(|parameter| Some(parameter.split_once('=')?.0))
    }

    /// True for a store on the machine itself, which Nix would make where there is none.
    pub fn is_local_store(&self) -> bool {
        let scheme = self.text.split("://").next().unwrap_or_default();
        self.access == Access::ThroughNix && !["s3", "ssh", "ssh-ng"].contains(&scheme)
    }

    /// Adds a parameter that the URL does not have yet.
    #[must_use]
    pub fn with(&self, key: &str, value: &str) -> String {
        let text = self.public_text();
        let joint = if text.contains('?') { '&' } else { '?' };
        format!("{text}{joint}{key}={value}")
    }
}

/// As people see it: no password, and no parameters where the rest tells enough.
impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.public_text();
        if self.access == Access::ThroughNix {
            return f.write_str(&text);
        }
        f.write_str(text.split('?').next().unwrap_or_default().trim_end_matches('/'))
    }
}

impl fmt::Debug for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StoreUrl({})", self.public_text())
    }
}

/// A valid URL without user and password.
fn without_user(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    match rest[..end].rfind('@') {
        // A user alone is no secret, and ssh needs it.
        Some(at) if scheme.starts_with("http") || rest[..at].contains(':') => format!("{scheme}://{}", &rest[at + 1..]),
        _ => text.to_owned(),
    }
}

fn http(address: &str, rest: &str) -> Result<Access> {
    let scheme = &address[..address.len() - rest.len()];
    let end = rest.find('/').unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let (user, host) = match authority.rsplit_once('@') {
        Some((user, host)) => (Some(user), host),
        None => (None, authority),
    };
    ensure!(!host.is_empty(), "it has no host");
    let authorization = user
        .map(|user| -> Result<String> {
            let (name, password) = user.split_once(':').unwrap_or((user, ""));
            Ok(basic(&decoded(name)?, &decoded(password)?))
        })
        .transpose()?;
    ensure!(!rest.contains('#'), "a `#` means nothing in it (in a folder's name it is `%23`)");
    let address = format!("{scheme}{host}{}", path.trim_end_matches('/'));
    let uri: ureq::http::Uri = address.parse().ok().context("it is malformed")?;
    let has_port = host.len() > uri.host().map_or(0, str::len);
    ensure!(!has_port || uri.port_u16().is_some_and(|port| port > 0), "its port is not a number from 1 to 65535");
    Ok(Access::Http { address, authorization })
}

/// The `Authorization` header of a user and a password.
pub fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

/// Replaces `%20` and the like.
fn decoded(text: &str) -> Result<String> {
    let are_digits = |rest: &str| rest.as_bytes().get(..2).is_some_and(|two| two.iter().all(u8::is_ascii_hexdigit));
    ensure!(text.split('%').skip(1).all(are_digits), "a `%` without two hexadecimal digits behind it");
    let decoded = percent_decode_str(text).decode_utf8().ok().filter(|decoded| !decoded.contains('\0'));
    Ok(decoded.context("its percent-encoding is not text")?.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> StoreUrl {
        StoreUrl::parse(text).unwrap()
    }

    #[test]
    fn an_apostrophe_does_not_make_a_user() {
        let text = "s3://bucket?profile=it's";
        assert!(!url(text).has_user());
        assert_eq!(url(text).public_text(), text);
    }

    #[test]
    fn kinds_of_stores() {
        let http = |text: &str| match url(text).access {
            Access::Http { address, authorization } => (address, authorization),
            _ => panic!("{text}"),
        };
        assert_eq!(http("https://cache.nixos.org/").0, "https://cache.nixos.org");
        assert_eq!(http("http://127.0.0.1:8080/a/b//?priority=3").0, "http://127.0.0.1:8080/a/b");
        assert_eq!(
            http("https://user:p%40ss@h/x"),
            ("https://h/x".into(), Some(format!("Basic {}", STANDARD.encode("user:p@ss"))))
        );
        for (text, folder) in [("file:///a%20b/c", "/a b/c"), ("file:///%C3%a9%2541", "/é%41"), ("file:///a+b", "/a+b")]
        {
            assert!(url(text).access == Access::Folder(folder.into()), "{text}");
        }
        for other in ["s3://bucket?region=x", "ssh-ng://u@host", "daemon", "local?root=/x", "/mnt/store", "unix:///x"] {
            assert!(url(other).access == Access::ThroughNix, "{other}");
        }
        for (text, host) in [("http://a.b:1/c", "a.b"), ("http://[::1]:80/", "::1"), ("https://u:p@h", "h")] {
            assert_eq!(url(text).host(), Some(host), "{text}");
        }
    }

    #[test]
    fn parameters() {
        let all = url("https://h?trusted=1&priority=7&compression=zstd");
        assert_eq!((all.priority, all.trusted), (Some(7), true));
        let none = url("https://h?trusted=false&want-mass-query=true&x");
        assert_eq!((none.priority, none.trusted), (None, false));
        assert_eq!(all.with("a", "1"), "https://h?trusted=1&priority=7&compression=zstd&a=1");
        assert_eq!(url("https://h").with("a", "1"), "https://h?a=1");
    }

    #[test]
    fn a_password_is_never_shown() {
        for text in ["https://user:secret@h/x?y=1", "http://secret@h", "s3://a:secret@b", "https://a:secret@b@h/"] {
            let url = url(text);
            let all = format!("{url} {url:?} {} {}", url.public_text(), url.with("a", "b"));
            assert!(url.has_user() && !all.contains("secret"), "{all}");
        }
        assert_eq!(url("ssh-ng://builder@host").to_string(), "ssh-ng://builder@host");
        for text in [
            "https://user:secret@h x",
            "https://user:secret@",
            "https://user:%secret@h",
            "https://user:secret/b==@h",
            "https://user:80/secret@h",
            "https:/user:secret@h",
            "https://user:secret",
            "ssh-ng://user:secret/x@h",
            "s3://b?endpoint=https://user:secret@h",
            "//user:secret@h",
            "/user:80/secret@h",
            "/user:secret@h?x=y://z",
        ] {
            let error = format!("{:#}", StoreUrl::parse(text).unwrap_err());
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn what_is_no_store_is_refused() {
        let long = format!("https://h/{}", "x".repeat(5000));
        for text in [
            "",
            "hello",
            "https://",
            "file://relative",
            "file://",
            "https://h/a b",
            "https://h\n",
            "https://h/é",
            "://x",
            "https://h?priority=high",
            "file:///%zz",
            "file:///%+f",
            "file:///a%2",
            "file:///%",
            "file:///%%41",
            "file:///%ff",
            "file:///a%00",
            &long,
            "1x://y",
            "ftp://h",
            "ssh+ng://h",
            "cachix://name",
            "https://h:99999",
            "https://h:0",
            "https://h:$PORT/x",
            "https://h:",
            "https://[::1",
            "https://[::1]:x",
            "https://h/x#y",
            "s3://",
            "HTTPS://h",
        ] {
            assert!(StoreUrl::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_no_store_is_told_with_what_to_write() {
        for (text, words) in [
            ("", "a store URL that is empty"),
            ("https://a https://b", "give each URL by itself"),
            (" https://a", "it has spaces"),
            ("https://käse.example", "`xn--…`"),
            ("https://a\"b", "`%22`"),
            ("HTTPS://h", "the scheme in lower case: `https`"),
            ("example.cachix.org", "did you mean `https://example.cachix.org`?"),
            ("h.example/x", "did you mean `https://h.example/x`?"),
            ("cachix:example", "it is `https://example.cachix.org`"),
            ("cachix:../x", "expected `https://…`"),
            ("attic:a:b", "expected `https://…`"),
            ("..", "expected `https://…`"),
            ("https://h:99999", "its port is not a number from 1 to 65535"),
            ("s3://?region=x", "names no bucket"),
        ] {
            let error = format!("{:#}", StoreUrl::parse(text).unwrap_err());
            assert!(error.contains(words), "{text}: {error}");
        }
    }

    #[test]
    fn a_key_in_the_place_of_a_url_is_not_shown() {
        for bytes in [32, 64] {
            let key = STANDARD.encode(vec![7; bytes]);
            let error = StoreUrl::parse(&format!("test-1:{key}")).unwrap_err().to_string();
            assert!(error.contains("`--trusted-public-key`") && !error.contains(&key[..10]), "{error}");
        }
    }
}
