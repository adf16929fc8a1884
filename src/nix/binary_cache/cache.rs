//! One cache: is it one, for this store directory, and does it have a path in a form that Nix would accept?

use std::collections::BTreeSet;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use super::acceptance::{self, Accepted};
use super::cache_info::{self, CacheInfo};
use super::found::PathSize;
use super::health::Health;
use super::netrc::Netrc;
use super::remote::{Client, Remote, Reply, Secret};
use super::store_url::Access;
use super::substituter::{Origin, Substituter};
use super::through_nix::ThroughNix;
use super::trouble::Trouble;
use crate::http;
use crate::nix::narinfo::{self, NarInfo};
use crate::nix::signature::PublicKeys;
use crate::nix::store_path::HASH_LEN;
use crate::regular_file;

/// The first wait before another attempt, and the longest.
const WAITS: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(2));

/// Questions that a cache gets at once which asks not to be flooded (`WantMassQuery: 0`).
const GENTLY: usize = 16;

/// What all caches are asked with.
#[derive(Debug)]
pub struct Asking {
    /// The store directory of the paths.
    pub store_dir: String,
    /// None where no cache is asked over HTTP.
    pub client: Option<Client>,
    /// Whose signatures count.
    pub keys: PublicKeys,
}

/// A cache that can be asked.
#[derive(Debug)]
pub struct Cache {
    /// What it was made from.
    pub substituter: Substituter,
    /// Smaller comes first.
    pub priority: u64,
    /// How it fares.
    pub health: Health,
    access: Reader,
    keys_used: Mutex<BTreeSet<String>>,
    gate: Option<Gate>,
}

#[derive(Debug)]
enum Reader {
    Remote(Remote),
    Folder(PathBuf),
    ThroughNix(Box<ThroughNix>),
}

/// A cache that is not asked at all.
#[derive(Debug)]
pub struct LeftOut {
    /// The cache.
    pub substituter: Substituter,
    /// Why.
    pub why: String,
    /// True where that will not pass: jobs need not try it either.
    pub for_good: bool,
}

impl Cache {
    /// Asks a store what it is; without a client HTTP caches are left out for the reason given instead.
    pub fn open(
        substituter: Substituter,
        client: Result<&Client, Option<&str>>,
        netrc: &Netrc,
        store_dir: &str,
    ) -> Result<Self, Box<LeftOut>> {
        let health = Health::default();
        let opened = match (&substituter.url.access, client) {
            (Access::Folder(dir), _) => open_folder(dir, substituter.origin),
            (Access::ThroughNix, _) => match ThroughNix::new(substituter.url.text()) {
                Ok(store) => Ok((Reader::ThroughNix(Box::new(store)), None)),
                Err(error) => Err((format!("{error:#}"), false)),
            },
            (Access::Http { address, .. }, Ok(client)) => {
                authorization(&substituter, netrc).map_err(|why| (why, false)).and_then(|authorization| {
                    let remote = Remote { address: address.clone(), authorization };
                    open_remote(remote, client, &health, substituter.origin)
                })
            }
            (Access::Http { .. }, Err(why)) => Err((why.unwrap_or("no HTTP").to_owned(), false)),
        };
        let (access, info) = match opened {
            Ok(opened) => opened,
            Err((why, for_good)) => return Err(Box::new(LeftOut { substituter, why, for_good })),
        };
        if let Some(info) = &info
            && info.store_dir != store_dir
        {
            let found: String = info.store_dir.chars().take(100).flat_map(char::escape_debug).collect();
            let why = format!("it is for the store directory `{found}`, not `{store_dir}`");
            return Err(Box::new(LeftOut { substituter, why, for_good: true }));
        }
        let own = info.as_ref().map_or(cache_info::DEFAULT_PRIORITY, |info| info.priority);
        Ok(Self {
            priority: substituter.url.priority.unwrap_or(own),
            gate: info.filter(|info| !info.wants_mass_query).map(|_| Gate::new(GENTLY)),
            substituter,
            health,
            access,
            keys_used: Mutex::default(),
        })
    }

    /// True for a store that Nix has to be run for.
    pub fn is_slow(&self) -> bool {
        matches!(self.access, Reader::ThroughNix(_))
    }

    /// Names of the keys that made paths acceptable.
    pub fn keys_used(&self) -> BTreeSet<String> {
        self.keys_used.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How large a path is, given by its base name, if the cache has it and Nix would accept it.
    pub fn has(&self, base: &str, asking: &Asking) -> Option<PathSize> {
        self.info(base, asking).as_ref().map(PathSize::of)
    }

    /// What the cache says of a path, given by its base name, where Nix would accept it.
    pub fn info(&self, base: &str, asking: &Asking) -> Option<NarInfo> {
        if self.health.is_given_up() {
            self.health.unanswered(None);
            return None;
        }
        let _pass = self.gate.as_ref().map(Gate::enter);
        let path = format!("{}/{base}", asking.store_dir);
        let file = format!("{}.narinfo", &base[..HASH_LEN.min(base.len())]);
        match attempt(&self.health, || self.narinfo(&file, &path, asking.client.as_ref())) {
            Ok(info) => self.takes(info.as_ref(), &path, asking).then_some(info).flatten(),
            Err(trouble) => {
                self.health.unanswered(Some(trouble));
                None
            }
        }
    }

    /// The same for a store that Nix has to be run for, for many paths at once.
    pub fn has_all(&self, bases: &[String], asking: &Asking) -> Vec<Option<PathSize>> {
        self.infos(bases, asking).iter().map(|info| info.as_ref().map(PathSize::of)).collect()
    }

    /// The same with what the store says.
    pub fn infos(&self, bases: &[String], asking: &Asking) -> Vec<Option<NarInfo>> {
        let Reader::ThroughNix(store) = &self.access else { return vec![None; bases.len()] };
        let paths: Vec<String> = bases.iter().map(|base| format!("{}/{base}", asking.store_dir)).collect();
        let asked = if self.health.is_given_up() { None } else { Some(attempt(&self.health, || store.ask(&paths))) };
        match asked {
            Some(Ok(infos)) => {
                let taken = |(path, info): (&String, Option<NarInfo>)| {
                    if self.takes(info.as_ref(), path, asking) { info } else { None }
                };
                paths.iter().zip(infos).map(taken).collect()
            }
            other => {
                let trouble = other.and_then(Result::err);
                // It would take minutes to fail again.
                self.health.give_up();
                paths.iter().for_each(|_| self.health.unanswered(trouble.clone()));
                vec![None; bases.len()]
            }
        }
    }

    fn takes(&self, info: Option<&NarInfo>, path: &str, asking: &Asking) -> bool {
        let Some(info) = info else {
            self.health.answered(false);
            return false;
        };
        match acceptance::judge(info, self.substituter.url.trusted, &asking.keys) {
            Ok(accepted) => {
                self.health.answered(true);
                if let Accepted::Signed(key) = accepted {
                    self.keys_used.lock().unwrap_or_else(PoisonError::into_inner).insert(key);
                }
                true
            }
            Err(why) => {
                self.health.distrusted(why, path);
                false
            }
        }
    }

    /// One attempt to read the narinfo of a path.
    fn narinfo(&self, file: &str, path: &str, client: Option<&Client>) -> Result<Option<NarInfo>, Trouble> {
        let text = match (&self.access, client) {
            (Reader::Remote(remote), Some(client)) => match client.get(remote, file, narinfo::MAX_SIZE)? {
                Reply::Whole(text) => Some(text),
                Reply::Absent(_) => None,
            },
            (Reader::Folder(dir), _) => read(&dir.join(file), narinfo::MAX_SIZE)?,
            (Reader::ThroughNix(_) | Reader::Remote(_), _) => None,
        };
        let Some(text) = text else { return Ok(None) };
        let info = NarInfo::parse(&text).map_err(|_| Trouble::Garbage("it cannot be read"))?;
        if info.store_path != path {
            return Err(Trouble::Garbage("it is about another path"));
        }
        Ok(Some(info))
    }
}

/// Tries as often as the failures are worth it.
pub(super) fn attempt<T>(health: &Health, mut once: impl FnMut() -> Result<T, Trouble>) -> Result<T, Trouble> {
    let mut attempt = 1;
    loop {
        match once() {
            Ok(value) => {
                health.good();
                return Ok(value);
            }
            Err(trouble) => {
                health.bad();
                if attempt >= trouble.attempts() || health.is_given_up() {
                    return Err(trouble);
                }
                std::thread::sleep(http::backoff(WAITS.0, WAITS.1, attempt));
                attempt += 1;
            }
        }
    }
}

/// A reader and what the cache says about itself, or why there is none and whether that is for good.
type Opened = Result<(Reader, Option<CacheInfo>), (String, bool)>;

fn open_remote(remote: Remote, client: &Client, health: &Health, origin: Origin) -> Opened {
    let info = attempt(health, || match client.get(&remote, "nix-cache-info", cache_info::MAX_SIZE)? {
        Reply::Whole(text) => Ok(Ok(text)),
        Reply::Absent(status) => Ok(Err(status)),
    });
    match info {
        Ok(Ok(text)) => match CacheInfo::parse(&text) {
            Ok(info) => Ok((Reader::Remote(remote), Some(info))),
            Err(error) => Err((format!("{error:#}"), true)),
        },
        // Nobody has pushed to it yet.
        Ok(Err(404)) if origin == Origin::HandOff => Ok((Reader::Remote(remote), None)),
        Ok(Err(status @ 403)) => Err((format!("status {status} (does it want a password or a token?)"), false)),
        Ok(Err(status)) => {
            Err((format!("it has no `nix-cache-info` (status {status}): it is not a binary cache"), true))
        }
        Err(Trouble::Status(401)) => Err(("status 401 (it wants a password or a token)".to_owned(), false)),
        Err(trouble) => Err((trouble.to_string(), false)),
    }
}

fn open_folder(dir: &Path, origin: Origin) -> Opened {
    let may_come = origin == Origin::HandOff && !dir.exists();
    if !dir.is_dir() && !may_come {
        return Err(("there is no such folder".to_owned(), false));
    }
    match read(&dir.join("nix-cache-info"), cache_info::MAX_SIZE) {
        Ok(None) => Ok((Reader::Folder(dir.to_owned()), None)),
        Ok(Some(text)) => match CacheInfo::parse(&text) {
            Ok(info) => Ok((Reader::Folder(dir.to_owned()), Some(info))),
            Err(error) => Err((format!("{error:#}"), true)),
        },
        Err(trouble) => Err((trouble.to_string(), false)),
    }
}

/// Reads a file of at most `limit` bytes; none where there is no such file.
pub(super) fn read(path: &Path, limit: usize) -> Result<Option<Vec<u8>>, Trouble> {
    let file = match regular_file::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file.map_err(|error| Trouble::other(&error.to_string()))?,
    };
    let mut bytes = Vec::new();
    file.take(limit as u64 + 1).read_to_end(&mut bytes).map_err(|error| Trouble::other(&error.to_string()))?;
    if bytes.len() > limit { Err(Trouble::TooLong(limit)) } else { Ok(Some(bytes)) }
}

/// What a cache gets to see: a token from the environment, else what its URL says, else what the netrc file has for its host.
pub(super) fn authorization(substituter: &Substituter, netrc: &Netrc) -> Result<Option<Secret>, String> {
    if let Some(name) = &substituter.token_variable {
        let is_private = |address: &str| {
            address.starts_with("https://") || address.parse().is_ok_and(|address| http::is_loopback(&address))
        };
        if matches!(&substituter.url.access, Access::Http { address, .. } if !is_private(address)) {
            return Err("its token would cross the network for all to see: use `https://`".to_owned());
        }
        return match std::env::var(name) {
            Ok(token) if !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic()) => {
                Ok(Some(Secret(format!("Bearer {token}"))))
            }
            Ok(token) if !token.is_empty() => Err(format!("the variable `{name}` holds no token")),
            _ => Err(format!("the variable `{name}`, which should hold its token, is not set")),
        };
    }
    let own = match &substituter.url.access {
        Access::Http { authorization, .. } => authorization.clone(),
        Access::Folder(_) | Access::ThroughNix => None,
    };
    Ok(own.or_else(|| netrc.authorization(substituter.url.host()?)).map(Secret))
}

/// Lets only so many in at once.
#[derive(Debug)]
struct Gate {
    free: Mutex<usize>,
    left: Condvar,
}

impl Gate {
    fn new(places: usize) -> Self {
        Self { free: Mutex::new(places), left: Condvar::new() }
    }

    fn enter(&self) -> Pass<'_> {
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let mut free = self.left.wait_while(free, |free| *free == 0).unwrap_or_else(PoisonError::into_inner);
        *free -= 1;
        Pass(self)
    }
}

/// A place that is given back at the end.
struct Pass<'a>(&'a Gate);

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        *self.0.free.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.0.left.notify_one();
    }
}
