//! One attempt to get a small file from a binary cache over HTTP, with everything about it bounded.

use std::io::Read;
use std::sync::{Mutex, PoisonError};

use lzma_rust2::XzReader;
use ureq::Agent;
use ureq::http::header::{ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING};

use super::trouble::Trouble;

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
        let mut request = self.agent.get(format!("{}/{file}", cache.address)).header(ACCEPT_ENCODING, "zstd, br, gzip");
        if let Some(Secret(value)) = &cache.authorization {
            request = request.header(AUTHORIZATION, value);
        }
        let mut response = request.call().map_err(|error| Trouble::of(&error))?;
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
            Some("zstd") => match zstd::Decoder::with_buffer(bytes.as_slice()) {
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
