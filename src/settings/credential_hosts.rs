//! Where secrets may go: hosts that flags name, or parameters of the orb. A store that only `nixdag.yml` names, or a flake, gets none, as a branch
//! could send any secret to any host.
//!
//! In: `--cache-token`, `--credential-host`, and the stores. Out: the stores that get a token with the variable that holds it, or an error
//! with the flag that is missing.

use anyhow::{Context, Result, bail, ensure};

use crate::nix::binary_cache::Substituter;
use crate::nix::binary_cache::store_url::StoreUrl;
use crate::secret::VariableName;
use crate::usage::usage;

/// The port of a host that is named without one: nothing is sent in the clear unasked.
const TLS_PORT: u16 = 443;

/// A host and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Server {
    host: String,
    port: u16,
}

impl Server {
    /// Reads `HOST`, `HOST:PORT` or `[IPv6]:PORT`.
    fn parse(text: &str) -> Result<Self> {
        let wrong = || format!("`{}` is not a host, or a host and a port", text.escape_debug());
        let (host, port) = match text.strip_prefix('[').map(|rest| rest.split_once(']')) {
            Some(Some((host, rest))) => (host, rest.strip_prefix(':')),
            Some(None) => bail!(wrong()),
            None => text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
        };
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-._:".contains(c);
        ensure!(!host.is_empty() && host.chars().all(is_plain), wrong());
        let port = port.map(|port| port.parse().with_context(wrong)).transpose()?.unwrap_or(TLS_PORT);
        Ok(Self { host: host.to_owned(), port })
    }

    fn is(&self, host: &str, port: u16) -> bool {
        self.host.eq_ignore_ascii_case(host) && self.port == port
    }

    /// As people name it.
    fn text(host: &str, port: u16) -> String {
        let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        if port == TLS_PORT { host } else { format!("{host}:{port}") }
    }
}

/// Hosts that get a token, and the variables with their tokens.
pub struct CacheTokens(Vec<(Server, VariableName)>);

impl CacheTokens {
    /// Reads `HOST=VARIABLE` and `HOST:PORT=VARIABLE`.
    pub fn parse(texts: &[String]) -> Result<Self> {
        let pair = |text: &String| {
            let (server, variable) = text
                .rsplit_once('=')
                .context("expected a host and the name of a variable, such as `cache.example.org=CACHE_TOKEN`")?;
            Ok((Server::parse(server)?, VariableName::parse(variable)?))
        };
        texts.iter().map(pair).collect::<Result<_>>().map(Self)
    }

    /// Caches on these hosts get their tokens. A token that only nixdag.yml sends somewhere is an error.
    pub fn apply(&self, substituters: &mut [Substituter]) -> Result<()> {
        for substituter in &mut *substituters {
            let Some((host, port)) = substituter.url.origin() else { continue };
            let found = self.0.iter().find(|(named, variable)| {
                let wanted = substituter.token_variable.as_deref().is_none_or(|wanted| wanted == variable.as_str());
                named.is(host, port) && wanted
            });
            match (found, &substituter.token_variable) {
                (Some((_, variable)), _) => substituter.token_variable = Some(variable.to_string()),
                (None, Some(variable)) => {
                    let server = Server::text(host, port);
                    bail!(
                        "cache `{}`: nixdag.yml alone cannot send the variable `{variable}` to `{server}`; if that is right, add \
                         `--cache-token {server}={variable}` (in the orb, `cache_tokens: {server}={variable}`)",
                        substituter.url
                    )
                }
                (None, None) => {}
            }
        }
        self.keep_apart(substituters)
    }

    /// Refuses a cache without a token beside one with it on the same host: the file that Nix reads logins from knows neither port nor scheme.
    fn keep_apart(&self, substituters: &[Substituter]) -> Result<()> {
        let host = |substituter: &Substituter| substituter.url.host().map(str::to_ascii_lowercase);
        let origin = |substituter: &Substituter| substituter.url.origin().map(|(_, port)| port);
        for with_token in substituters.iter().filter(|substituter| substituter.token_variable.is_some()) {
            let beside = substituters
                .iter()
                .find(|other| host(other) == host(with_token) && origin(other) != origin(with_token));
            if let Some(beside) = beside {
                bail!(
                    "cache `{}` would get the token of `{}` as well: Nix does not distinguish caches of one host by port (give them names of their own)",
                    beside.url,
                    with_token.url
                );
            }
        }
        Ok(())
    }
}

/// Parameters of stores that anybody may set who can change nixdag.yml.
const HARMLESS: [&str; 18] = [
    "addressing-style",
    "buffer-size",
    "compression",
    "compression-level",
    "endpoint",
    "log-compression",
    "ls-compression",
    "max-connections",
    "multipart-upload",
    "narinfo-compression",
    "parallel-compression",
    "priority",
    "profile",
    "region",
    "scheme",
    "store",
    "trusted",
    "want-mass-query",
];

/// Hosts that Nix may log in to where a store that nixdag.yml names is there: by SSH, or as the endpoint of a bucket.
pub struct CredentialHosts(Vec<Server>);

impl CredentialHosts {
    /// Reads hosts, with or without a port.
    pub fn parse(texts: &[String]) -> Result<Self> {
        texts
            .iter()
            .map(|text| Server::parse(text))
            .collect::<Result<_>>()
            .context(usage("`--credential-host`"))
            .map(Self)
    }

    /// Refuses a store with another endpoint, one that SSH logs in to, and parameters that make Nix run a program, write into a folder, or use a key.
    pub fn check(&self, url: &StoreUrl) -> Result<()> {
        if let Some(parameter) = url.parameters().find(|parameter| !HARMLESS.contains(parameter)) {
            bail!("store `{url}`: nixdag.yml alone cannot set `{parameter}`, only a flag can name such a store");
        }
        let Some(host) = url.ssh_host().or_else(|| url.endpoint()) else { return Ok(()) };
        let what = if url.ssh_host().is_some() { "host" } else { "`endpoint`" };
        let server = Server::parse(host).with_context(|| format!("{what} of store `{url}`"))?;
        let name = Server::text(&server.host, server.port);
        ensure!(
            self.0.contains(&server),
            "store `{url}`: nixdag.yml alone cannot have Nix log in to `{name}`; if that is right, add `--credential-host {name}` \
             (in the orb, `credential_hosts: {name}`)"
        );
        Ok(())
    }
}

/// Refuses a store on the machine itself: Nix makes one where there is none.
pub fn ensure_elsewhere(url: &StoreUrl) -> Result<()> {
    ensure!(
        !url.is_local_store(),
        "`{url}` is a store on the machine itself, which only a flag can name (`--substituter {url}`)"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nix::binary_cache::Origin;

    fn applied(token: &str, url: &str) -> Option<String> {
        let url = StoreUrl::parse(url).unwrap();
        let mut all = [Substituter { url, token_variable: None, origin: Origin::Named }];
        CacheTokens::parse(&[token.to_owned()]).unwrap().apply(&mut all).unwrap();
        all[0].token_variable.clone()
    }

    #[test]
    fn a_token_goes_to_one_host_and_port() {
        for (token, url, is_sent) in [
            ("h=T", "https://h", true),
            ("h=T", "https://h:443/x", true),
            ("H=T", "https://h", true),
            ("h=T", "https://h:8443", false),
            ("h=T", "http://h", false),
            ("h:80=T", "http://h", true),
            ("h:8443=T", "https://h:8443", true),
            ("h:8443=T", "https://h", false),
            ("[::1]:80=T", "http://[::1]", true),
            ("h=T", "https://h.evil", false),
        ] {
            assert_eq!(applied(token, url).is_some(), is_sent, "{token} {url}");
        }
        for wrong in ["h", "=T", "h/x=T", "h:x=T", "h=a b", "[::1=T"] {
            assert!(CacheTokens::parse(&[wrong.to_owned()]).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_bucket_on_a_host_that_nobody_has_named_is_refused() {
        let hosts = CredentialHosts::parse(&["minio.example.org:9000".to_owned()]).unwrap();
        let check = |url: &str| StoreUrl::parse(url).and_then(|url| hosts.check(&url));
        for fine in [
            "ssh-ng://ci@minio.example.org:9000",
            "s3://b",
            "s3://b?region=x",
            "s3://b?endpoint=minio.example.org:9000",
            "https://h",
        ] {
            check(fine).unwrap();
        }
        for wrong in [
            "s3://b?endpoint=evil.example.org",
            "s3://b?endpoint=minio.example.org",
            "s3://b?region=x&endpoint=https://evil.example.org/",
            "s3://b?endpoint=minio.example.org:9000&endpoint=evil.example.org",
            "s3://b?endpoint=minio.example.org:9000%2F@evil",
            "s3://b?endpoint=",
            "s3://b?%65ndpoint=evil.example.org",
            "s3://b?endpoint=evil.example.org&endpoint=minio.example.org:9000",
            "ssh-ng://evil.example.org",
            "ssh://ci@minio.example.org",
            "ssh-ng://minio.example.org:9000?remote-program=./evil.sh",
            "https://h?local-nar-cache=/home",
            "file:///cache?secret-key=/key",
        ] {
            assert!(check(wrong).is_err(), "{wrong}");
        }
        let error = check("s3://b?endpoint=evil.example.org").unwrap_err().to_string();
        assert!(error.contains("add `--credential-host evil.example.org`"), "{error}");
    }

    #[test]
    fn a_store_that_nix_would_make_is_named_by_a_flag_only() {
        for local in ["/tmp/store", "local", "daemon", "auto", "local?root=/tmp/x", "unix:///x", "local://?root=/x"] {
            assert!(ensure_elsewhere(&StoreUrl::parse(local).unwrap()).is_err(), "{local}");
        }
        for remote in ["https://h", "s3://b", "ssh-ng://h", "file:///cache"] {
            ensure_elsewhere(&StoreUrl::parse(remote).unwrap()).unwrap();
        }
    }
}
