//! HTTP, set up once: an agent with the machine's proxies and certificates, bodies with a bound, and the waits between attempts.
//! In: how long a request may take. Out: an agent that reports every status as an answer, and what to make of its failures.
//!
//! Certificates come from where Nix takes them: `NIX_SSL_CERT_FILE`, then `SSL_CERT_FILE` and the machine's own; where none of
//! these has any, from Mozilla's list as of the build.

use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use ring::rand::{SecureRandom, SystemRandom};
use ureq::config::{AutoHeaderValue, Config, RedirectAuthHeaders};
use ureq::http::Uri;
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::{Agent, Proxy};

use crate::printable::printable_url;

/// Names a file of trusted certificates, as Nix knows it.
const NIX_CERTIFICATES: &str = "NIX_SSL_CERT_FILE";

/// Bytes of a connection's buffers: many small answers come over hundreds of connections.
const BUFFER: usize = 16 << 10;

/// Longest head of an answer, in bytes.
const MAX_HEAD: usize = 16 << 10;

/// How requests are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Requests {
    /// Until there is a connection, names looked up and TLS agreed on.
    pub connect_timeout: Duration,
    /// Until the whole answer is there.
    pub timeout: Duration,
    /// Idle connections that are kept, in all and for each host.
    pub connections: usize,
    /// Redirects that are followed; with 0 an answer that redirects is an answer like any other.
    pub redirects: u32,
    /// Whether the proxies of the environment (`HTTPS_PROXY`, `ALL_PROXY`, `NO_PROXY`, …) are asked.
    pub proxy: bool,
}

/// An agent that makes such requests. No status is an error of its own. A password follows a redirection only to the same host,
/// and over TLS.
pub fn agent(requests: &Requests) -> Result<Agent> {
    let config = Config::builder()
        .http_status_as_error(false)
        .max_redirects(requests.redirects)
        .redirect_auth_headers(RedirectAuthHeaders::SameHost)
        .input_buffer_size(BUFFER)
        .output_buffer_size(BUFFER)
        .max_response_header_size(MAX_HEAD)
        .timeout_connect(Some(requests.connect_timeout))
        .timeout_global(Some(requests.timeout))
        .max_idle_connections(requests.connections)
        .max_idle_connections_per_host(requests.connections)
        .user_agent(AutoHeaderValue::from(concat!("nixdag/", env!("CARGO_PKG_VERSION"))))
        .tls_config(TlsConfig::builder().root_certs(roots()?).build());
    let config = if requests.proxy { config.proxy(Proxy::try_from_env()) } else { config.proxy(None) };
    Ok(config.build().new_agent())
}

/// The certificates that are trusted.
fn roots() -> Result<RootCerts> {
    let found = match std::env::var_os(NIX_CERTIFICATES).filter(|path| !path.is_empty()) {
        Some(path) => {
            let found = rustls_native_certs::load_certs_from_paths(Some(Path::new(&path)), None);
            if found.certs.is_empty() {
                let reason = found.errors.first().map(|error| format!(": {error}")).unwrap_or_default();
                bail!(
                    "`{NIX_CERTIFICATES}` names `{}`, which holds no certificate{reason}",
                    Path::new(&path).display()
                );
            }
            found
        }
        None => rustls_native_certs::load_native_certs(),
    };
    if found.certs.is_empty() {
        return Ok(RootCerts::WebPki);
    }
    let certificates = found.certs.iter().map(|certificate| Certificate::from_der(certificate).to_owned());
    Ok(RootCerts::Specific(Arc::new(certificates.collect())))
}

/// True for an address on this very machine, which nobody can listen in on.
pub fn is_loopback(address: &Uri) -> bool {
    let host = address.host().unwrap_or_default();
    let literal = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    host.eq_ignore_ascii_case("localhost")
        || literal.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Reads a body that may be at most `limit` bytes long, after decompression; a longer one is an error.
pub fn read_body(body: &mut ureq::Body, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    body.as_reader().take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("the answer has more than {limit} bytes")));
    }
    Ok(bytes)
}

/// True for an answer that may be another one in a moment: the server is busy or broken.
pub fn is_passing(status: u16) -> bool {
    matches!(status, 408 | 425 | 429 | 500..=599)
}

/// What a failure without an answer tells about the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestFailure {
    /// It cannot have been received: there was no connection. Another attempt may do better.
    NotSent,
    /// It may have been received and carried out, only the answer is lost. Another attempt may do better.
    AnswerLost,
    /// It is of no use to try again: certificates, addresses, protocols.
    Final,
}

/// Sorts failures.
pub fn failure(error: &ureq::Error) -> RequestFailure {
    use ureq::{Error, Timeout};
    match error {
        Error::HostNotFound | Error::ConnectionFailed | Error::ConnectProxyFailed(_) => RequestFailure::NotSent,
        Error::Timeout(Timeout::Resolve | Timeout::Connect) => RequestFailure::NotSent,
        // The standard library has no kind for a name that cannot be looked up.
        Error::Io(error) if error.to_string().starts_with("failed to lookup address") => RequestFailure::NotSent,
        Error::Io(error) => match error.kind() {
            io::ErrorKind::ConnectionRefused
            | io::ErrorKind::AddrNotAvailable
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable => RequestFailure::NotSent,
            // What rustls has to say about certificates arrives like this.
            io::ErrorKind::InvalidData => RequestFailure::Final,
            _ => RequestFailure::AnswerLost,
        },
        Error::Timeout(_) | Error::Protocol(_) => RequestFailure::AnswerLost,
        _ => RequestFailure::Final,
    }
}

/// The wait before attempt `attempt` (from 1 for the second one): doubled each time, at most `most`, a random half of it left out
/// so that many machines that failed at once do not come back at once.
pub fn backoff(first: Duration, most: Duration, attempt: u32) -> Duration {
    let whole = first.saturating_mul(1u32.checked_shl(attempt.saturating_sub(1)).unwrap_or(u32::MAX)).min(most);
    let mut random = [0; 2];
    // Without randomness the wait is the whole one.
    let share = match SystemRandom::new().fill(&mut random) {
        Ok(()) => f64::from(u16::from_be_bytes(random)) / f64::from(u16::MAX),
        Err(_) => 1.0,
    };
    whole.mul_f64(0.5 + share / 2.0)
}

/// The wait that an answer asks for (`Retry-After` in seconds), where that is at most `most`.
pub fn retry_after(headers: &ureq::http::HeaderMap, most: Duration) -> Option<Duration> {
    let seconds = headers.get("retry-after")?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds)).filter(|wait| *wait <= most)
}

/// An address that is to be asked, read strictly: `http` or `https`, a host, no user, no blanks.
pub fn address(text: &str) -> Result<Uri> {
    let shown = printable_url(text);
    let uri: Uri = text.parse().with_context(|| format!("`{shown}` is not an address"))?;
    match uri.scheme_str() {
        Some("https" | "http") => {}
        _ => bail!("`{shown}` is not an address that begins with `https://`"),
    }
    if text.contains('@') || uri.host().is_none_or(str::is_empty) {
        bail!("`{shown}` has to name a host, and no user");
    }
    Ok(uri)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_loopback() {
        for host in ["localhost", "LOCALHOST:80", "127.0.0.1", "127.9.9.9:8080", "[::1]:80"] {
            assert!(is_loopback(&address(&format!("http://{host}/x")).unwrap()), "{host}");
        }
        for host in ["localhost.example.org", "127.0.0.1.example.org", "128.0.0.1", "[::2]", "0.0.0.0"] {
            assert!(!is_loopback(&address(&format!("http://{host}/x")).unwrap()), "{host}");
        }
    }

    #[test]
    fn addresses_name_a_host_and_no_user() {
        for text in [
            "",
            "example.org",
            "ftp://example.org",
            "http://",
            "https://127.0.0.1@example.org",
            "https://a b",
            "file:///x",
        ] {
            assert!(address(text).is_err(), "{text}");
        }
        for text in ["https://me:secret@example.org", "https://me:secret/x@example.org", "https:/me:secret@example.org"]
        {
            let error = format!("{:#}", address(text).unwrap_err());
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn waits_double_up_to_a_bound() {
        let (first, most) = (Duration::from_millis(500), Duration::from_secs(8));
        for (attempt, whole) in
            [(1, 500), (2, 1_000), (3, 2_000), (5, 8_000), (6, 8_000), (40, 8_000), (u32::MAX, 8_000)]
        {
            let wait = backoff(first, most, attempt);
            assert!(
                wait >= Duration::from_millis(whole / 2) && wait <= Duration::from_millis(whole),
                "{attempt}: {wait:?}"
            );
        }
    }

    #[test]
    fn a_server_may_ask_for_a_wait_that_is_not_too_long() {
        let asked = |value: &str| {
            let mut headers = ureq::http::HeaderMap::new();
            headers.insert("retry-after", value.parse().unwrap());
            retry_after(&headers, Duration::from_secs(60))
        };
        assert_eq!(asked("7"), Some(Duration::from_secs(7)));
        for value in ["61", "99999999999999999999", "-1", "soon", ""] {
            assert_eq!(asked(value), None, "{value}");
        }
    }
}
