//! Small files that a store keeps beside its paths, read over HTTP or from a folder.
//!
//! In: the store's URL, what there is to log in with. Out: a file's bytes, at most as many as the caller allows.

use std::path::PathBuf;
use std::time::Duration;

use super::cache::{attempt, authorization, read};
use super::health::Health;
use super::netrc::Netrc;
use super::remote::{Client, Remote, Reply};
use super::store_url::Access;
use super::substituter::Substituter;
use super::trouble::Trouble;

/// A store whose files can be read without Nix.
#[derive(Debug)]
pub struct StoredFiles {
    place: Place,
    health: Health,
}

#[derive(Debug)]
enum Place {
    Remote(Remote, Client),
    Folder(PathBuf),
}

impl StoredFiles {
    /// Readies a store to be asked by so many at once, each request within the time; none where only Nix can reach it. An error says why
    /// it cannot be asked.
    pub fn open(
        substituter: &Substituter,
        netrc: &Netrc,
        connections: usize,
        timeout: Duration,
    ) -> Result<Option<Self>, String> {
        let place = match &substituter.url.access {
            Access::ThroughNix => return Ok(None),
            Access::Folder(dir) => Place::Folder(dir.clone()),
            Access::Http { address, .. } => {
                let authorization = authorization(substituter, netrc)?;
                let client = super::client(connections, timeout).map_err(|error| format!("{error:#}"))?;
                Place::Remote(Remote { address: address.clone(), authorization }, client)
            }
        };
        Ok(Some(Self { place, health: Health::default() }))
    }

    /// A file's bytes, at most `limit`; none where it is not there.
    pub fn get(&self, file: &str, limit: usize) -> Result<Option<Vec<u8>>, Trouble> {
        match &self.place {
            Place::Folder(dir) => read(&dir.join(file), limit),
            Place::Remote(remote, client) => attempt(&self.health, || {
                Ok(match client.get(remote, file, limit)? {
                    Reply::Whole(bytes) => Some(bytes),
                    Reply::Absent(_) => None,
                })
            }),
        }
    }
}
