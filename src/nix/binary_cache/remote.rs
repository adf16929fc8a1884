//! One attempt to get a small file from a binary cache over HTTP, with everything about it bounded.

use std::io::Read;
use std::sync::{Mutex, PoisonError};

use lzma_rust2::XzReader;
use ureq::http::header::{ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, LOCATION};
use ureq::http::{Response, Uri};
use ureq::{Agent, Body};

use super::trouble::{MAX_REDIRECTS, Trouble};
use crate::nix::unpack::unpack_buffered;

/// Bodies up to this size, in bytes, are read side by side; larger ones one after the other, so that a hostile server fills
/// no memory.
const SMALL: usize = 64 << 10;

/// Bytes of the page behind a status that is worth reading: only then can the connection be used again.
const PAGE: u64 = 16 << 10;

/// KiB that unpacking xz may take: what `xz -9` needs.
const XZ_MEMORY: u32 = 65 << 10;

/// A body that is not compressed as its head says.
const NOT_COMPRESSED: Trouble = Trouble::Garbage("it cannot be decompressed");

/// Statuses that mean "not there". Amazon's S3 gives 403 for it to everybody who may not list the bucket.
const ABSENT: [u16; 3] = [403, 404, 410];

/// Statuses that redirect what is read.
const REDIRECTS: [u16; 5] = [301, 302, 303, 307, 308];

/// A binary cache over HTTP.
#[derive(Debug)]
pub struct Remote {
    /// Without a slash at its end.
    pub address: String,
    /// The value of the `Authorization` header.
    pub authorization: Option<Secret>,
}

/// A text that is never printed.
pub struct Secret(pub String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

/// What came back.
#[derive(Debug)]
pub enum Reply {
    /// The whole file.
    Whole(Vec<u8>),
    /// There is no such file, with the status that says so.
    Absent(u16),
}

/// What all requests have in common.
#[derive(Debug)]
pub struct Client {
    agent: Agent,
    large: Mutex<()>,
}

impl Client {
    /// Makes requests with this agent.
    pub fn new(agent: Agent) -> Self {
        Self { agent, large: Mutex::new(()) }
    }

    /// Gets a file of at most `limit` bytes.
    pub fn get(&self, cache: &Remote, file: &str, limit: usize) -> Result<Reply, Trouble> {
        let mut response = self.follow(cache, format!("{}/{file}", cache.address))?;
        let status = response.status().as_u16();
        if status != 200 {
            // What cannot be read costs a connection, no more.
            let _ = std::io::copy(&mut response.body_mut().as_reader().take(PAGE), &mut std::io::sink());
            return if ABSENT.contains(&status) { Ok(Reply::Absent(status)) } else { Err(Trouble::Status(status)) };
        }
        let encoding =
            response.headers().get(CONTENT_ENCODING).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let bytes = self.read(&mut response.body_mut().as_reader(), limit)?;
        match encoding.as_deref() {
            // The HTTP library has undone these.
            None | Some("identity" | "gzip" | "br") => Ok(Reply::Whole(bytes)),
            Some("zstd") => match unpack_buffered(bytes.as_slice()) {
                Ok(decoder) => self.unpack(decoder, limit).map(Reply::Whole),
                Err(_) => Err(NOT_COMPRESSED),
            },
            // Nobody asks for it, but a store that has compressed the file so serves it so.
            Some("xz") => {
                self.unpack(XzReader::new_mem_limit(bytes.as_slice(), true, XZ_MEMORY), limit).map(Reply::Whole)
            }
            Some(other) => {
                Err(Trouble::other(&format!("an answer compressed as `{other}`, which nixdag does not read")))
            }
        }
    }

    /// The answer behind redirections. The token goes to the cache's own host, port and scheme, and no further.
    fn follow(&self, cache: &Remote, address: String) -> Result<Response<Body>, Trouble> {
        let wrong = |_| Trouble::Garbage("it redirects to something that is not an address");
        let own: Uri = address.parse().map_err(|_| Trouble::Garbage("its address is malformed"))?;
        let mut target = own.clone();
        for _ in 0..=MAX_REDIRECTS {
            let mut request = self.agent.get(target.clone()).header(ACCEPT_ENCODING, "zstd, br, gzip");
            if let Some(Secret(value)) = cache.authorization.as_ref().filter(|_| is_same_server(&own, &target)) {
                request = request.header(AUTHORIZATION, value);
            }
            let response = request.call().map_err(|error| Trouble::of(&error))?;
            let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
            let (true, Some(location)) = (REDIRECTS.contains(&response.status().as_u16()), location) else {
                return Ok(response);
            };
            target = join(&target, location).parse().map_err(wrong)?;
            if !["http", "https"].contains(&target.scheme_str().unwrap_or_default()) {
                return Err(Trouble::Garbage("it redirects to another scheme"));
            }
        }
        Err(Trouble::Redirects)
    }

    fn read(&self, body: &mut impl Read, limit: usize) -> Result<Vec<u8>, Trouble> {
        let mut bytes = Vec::new();
        let failed = |error| Trouble::of_body(&error);
        body.take(SMALL.min(limit) as u64 + 1).read_to_end(&mut bytes).map_err(failed)?;
        if bytes.len() > SMALL && bytes.len() <= limit {
            let _turn = self.large.lock().unwrap_or_else(PoisonError::into_inner);
            body.take((limit + 1 - bytes.len()) as u64).read_to_end(&mut bytes).map_err(failed)?;
        }
        if bytes.len() > limit { Err(Trouble::TooLong(limit)) } else { Ok(bytes) }
    }

    fn unpack(&self, decoder: impl Read, limit: usize) -> Result<Vec<u8>, Trouble> {
        let mut unpacked = Vec::new();
        let _turn = self.large.lock().unwrap_or_else(PoisonError::into_inner);
        decoder.take(limit as u64 + 1).read_to_end(&mut unpacked).map_err(|_| NOT_COMPRESSED)?;
        if unpacked.len() > limit { Err(Trouble::TooLong(limit)) } else { Ok(unpacked) }
    }
}

/// True where two addresses have scheme, host and port in common.
fn is_same_server(a: &Uri, b: &Uri) -> bool {
    let port = |uri: &Uri| uri.port_u16().unwrap_or(if uri.scheme_str() == Some("https") { 443 } else { 80 });
    let is_same_host = a.host().unwrap_or_default().eq_ignore_ascii_case(b.host().unwrap_or_default());
    a.scheme_str() == b.scheme_str() && is_same_host && port(a) == port(b)
}

/// The address that `location` means in the answer of `base`.
fn join(base: &Uri, location: &str) -> String {
    let (scheme, authority) = (base.scheme_str().unwrap_or_default(), base.authority().map_or("", |all| all.as_str()));
    match location {
        _ if location.contains("://") => location.to_owned(),
        _ if location.starts_with("//") => format!("{scheme}:{location}"),
        _ if location.starts_with('/') => format!("{scheme}://{authority}{location}"),
        _ => {
            let folder = base.path().rsplit_once('/').map_or("", |(folder, _)| folder);
            format!("{scheme}://{authority}{folder}/{location}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_stays_with_scheme_host_and_port() {
        let own: Uri = "https://h/x/a.narinfo".parse().unwrap();
        for (location, is_own) in [
            ("/y", true),
            ("y", true),
            ("https://H:443/y", true),
            ("https://h:8443/y", false),
            ("http://h/y", false),
            ("//h/y", true),
            ("//evil/y", false),
            ("https://h@evil/y", false),
        ] {
            let target = join(&own, location).parse().unwrap();
            assert_eq!(is_same_server(&own, &target), is_own, "{location}");
        }
        assert_eq!(join(&own, "y"), "https://h/x/y");
    }
}
