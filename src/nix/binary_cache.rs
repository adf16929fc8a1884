//! Binary caches and other substituters, asked for thousands of paths at once.
//!
//! In: the substituters, the keys that are trusted, what there is to log in with. Out: for each store path the first cache, by
//! priority, that has it in a form that Nix would accept; and one sentence for each cache that could not be asked or that was not
//! believed. A cache that is down, slow, or lies makes fewer paths available, and nothing else.

pub mod acceptance;
mod cache;
pub mod cache_info;
mod found;
pub mod health;
pub mod netrc;
mod pool;
mod reliance;
pub mod remote;
pub mod store_url;
mod store_url_error;
pub mod stored_file;
mod substituter;
pub mod through_nix;
pub mod trouble;

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Result;

use self::cache::{Asking, Cache, LeftOut};
pub use self::found::{Found, PathSize};
use self::netrc::Netrc;
use self::pool::Pool;
pub use self::pool::Question;
pub use self::reliance::{Reliance, ReliedStore};
use self::remote::Client;
use self::store_url::Access;
pub use self::substituter::{Origin, Substituter};
use super::narinfo::NarInfo;
use super::signature::{PublicKey, PublicKeys};
use crate::http;

/// The key that every Nix trusts from the start.
pub const NIXOS_KEY: &str = "cache.nixos.org-1:6NCHdD59X431o0gWypbMrAURkbJ16ZPMQFGspcDShjY=";

/// The host of the cache that every Nix asks from the start.
const NIXOS_HOST: &str = "cache.nixos.org";

/// Most connections to all caches together, where nothing else is said: 10,000 answers that take 100 ms each are there in 4 s.
pub const DEFAULT_CONNECTIONS: usize = 256;

/// Caches that are asked at once what they are: a thread each.
const OPENED_AT_ONCE: usize = 64;

/// Threads that read what a cache says of paths.
const MOST_THREADS: usize = 32;

/// Longest wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Longest wait for an answer, where nothing else is said.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

/// What to ask, and whom to believe.
#[derive(Clone, Debug)]
pub struct CachesRequest {
    /// The stores, in the order in which they are named.
    pub substituters: Vec<Substituter>,
    /// Keys that flags and `nixdag.yml` name.
    pub named_keys: PublicKeys,
    /// Keys that the machine trusts besides.
    pub machine_keys: PublicKeys,
    /// Names and passwords by host.
    pub netrc: Netrc,
    /// Most connections to all caches together.
    pub connections: usize,
    /// How long a cache may take for an answer.
    pub timeout: Duration,
}

/// Caches that can be asked.
#[derive(Debug)]
pub struct Caches {
    /// By priority.
    caches: Vec<Cache>,
    left_out: Vec<LeftOut>,
    asking: Asking,
    named_keys: PublicKeys,
    connections: usize,
}

impl Caches {
    /// Finds out which of the substituters can be asked, many at once, and in which order.
    pub fn open(request: CachesRequest, store_dir: &str) -> Self {
        let CachesRequest { substituters, named_keys, machine_keys, netrc, connections, timeout } = request;
        let connections = connections.max(1);
        let is_http = |substituter: &Substituter| matches!(substituter.url.access, Access::Http { .. });
        let (client, no_client) = match substituters.iter().any(is_http).then(|| client(connections, timeout)) {
            None => (None, None),
            Some(Ok(client)) => (Some(client), None),
            Some(Err(error)) => (None, Some(format!("{error:#}"))),
        };
        let keys = named_keys.iter().chain(machine_keys.iter()).cloned().chain(PublicKey::parse(NIXOS_KEY)).collect();
        let mut names = HashSet::new();
        let mut found = substituters;
        found.retain(|substituter| names.insert(substituter.url.to_string()));
        let open =
            |substituter| Cache::open(substituter, client.as_ref().ok_or(no_client.as_deref()), &netrc, store_dir);
        let (mut caches, mut left_out) = (Vec::new(), Vec::new());
        while !found.is_empty() {
            let rest = found.split_off(OPENED_AT_ONCE.min(found.len()));
            let opened: Vec<Result<Cache, Box<LeftOut>>> = std::thread::scope(|scope| {
                let threads: Vec<_> = found.into_iter().map(|substituter| scope.spawn(|| open(substituter))).collect();
                threads
                    .into_iter()
                    .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
                    .collect()
            });
            for one in opened {
                match one {
                    Ok(cache) => caches.push(cache),
                    Err(why) => left_out.push(*why),
                }
            }
            found = rest;
        }
        caches.sort_by_key(|cache| cache.priority);
        let asking = Asking { store_dir: store_dir.to_owned(), client, keys };
        Self { caches, left_out, asking, named_keys, connections }
    }

    /// Answers questions until there are none: `answered` gets each with the cache that has the path, in any
    /// order, and gives the questions that follow from it.
    pub fn follow<T: Send>(
        &self,
        first: Vec<Question<T>>,
        answered: &mut dyn FnMut(T, Option<Found>) -> Vec<Question<T>>,
    ) -> Result<()> {
        Pool::new(&self.caches, &self.asking, self.connections).follow(first, answered)
    }

    /// What the first cache that has it says of each path, by base name and in their order.
    pub fn infos(&self, bases: &[String]) -> Vec<Option<NarInfo>> {
        let mut found: Vec<Option<NarInfo>> = vec![None; bases.len()];
        for cache in &self.caches {
            let open: Vec<usize> = (0..bases.len()).filter(|&at| found[at].is_none()).collect();
            if cache.is_slow() {
                let asked: Vec<String> = open.iter().map(|&at| bases[at].clone()).collect();
                let infos = cache.infos(&asked, &self.asking);
                open.into_iter().zip(infos).for_each(|(at, info)| found[at] = info);
                continue;
            }
            let (next, threads) = (AtomicUsize::new(0), self.connections.min(MOST_THREADS).min(open.len()));
            let ask = || {
                let numbers = std::iter::from_fn(|| open.get(next.fetch_add(1, Ordering::Relaxed)));
                numbers.filter_map(|&at| Some((at, cache.info(&bases[at], &self.asking)?))).collect::<Vec<_>>()
            };
            let answers: Vec<(usize, NarInfo)> = std::thread::scope(|scope| {
                let threads: Vec<_> = (0..threads).map(|_| scope.spawn(ask)).collect();
                let answers = threads
                    .into_iter()
                    .flat_map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
                answers.collect()
            });
            answers.into_iter().for_each(|(at, info)| found[at] = Some(info));
        }
        found
    }

    /// True where there is nobody to ask.
    pub fn is_empty(&self) -> bool {
        self.caches.is_empty()
    }

    /// A cache as people see it.
    pub fn name(&self, number: usize) -> String {
        self.caches[number].substituter.url.to_string()
    }

    /// What is to be said before anything is asked: stores that take longer.
    pub fn notes(&self) -> Vec<String> {
        let slow = self.caches.iter().filter(|cache| cache.is_slow());
        slow.map(|cache| format!("cache `{}` is queried through Nix, which is slower", cache.substituter.url)).collect()
    }

    /// One sentence for each cache that could not be asked, or was not believed.
    pub fn warnings(&self) -> Vec<String> {
        let left_out =
            self.left_out.iter().map(|left| format!("cache `{}` is left out: {}", left.substituter.url, left.why));
        let others = self.caches.iter().filter_map(|cache| cache.health.sentence(&cache.substituter.url.to_string()));
        left_out.chain(others).collect()
    }

    /// Names of the caches that did not answer, or not everything.
    pub fn failed(&self) -> Vec<String> {
        let failed = self.caches.iter().filter(|cache| cache.health.unanswered_count() > 0);
        let left_out = self.left_out.iter().map(|left| &left.substituter);
        left_out.chain(failed.map(|cache| &cache.substituter)).map(|substituter| substituter.url.to_string()).collect()
    }

    /// What jobs have to be told: the caches that were named, and those that the plan counts on although only this machine
    /// knows of them; their keys. What every Nix knows from the start is left out.
    pub fn reliance(&self) -> Reliance {
        let mut reliance = Reliance::default();
        let mut keys: Vec<&PublicKey> = self.named_keys.iter().collect();
        let opened =
            self.caches.iter().filter(|cache| cache.substituter.origin != Origin::Machine || cache.health.found() > 0);
        for cache in opened.clone() {
            let used = cache.keys_used();
            keys.extend(self.asking.keys.iter().filter(|key| used.contains(key.name())));
        }
        let down = self.left_out.iter().filter(|left| left.substituter.origin != Origin::Machine && !left.for_good);
        for substituter in opened.map(|cache| &cache.substituter).chain(down.map(|left| &left.substituter)) {
            let is_standard = substituter.url.host() == Some(NIXOS_HOST) && substituter.token_variable.is_none();
            if !is_standard {
                let token_variable = substituter.token_variable.clone();
                reliance.substituters.push(ReliedStore { url: substituter.url.public_text(), token_variable });
            }
        }
        for key in keys {
            let text = key.to_string();
            if text != NIXOS_KEY && !reliance.trusted_public_keys.contains(&text) {
                reliance.trusted_public_keys.push(text);
            }
        }
        reliance
    }
}

fn client(connections: usize, timeout: Duration) -> Result<Client> {
    let requests = http::Requests {
        connect_timeout: CONNECT_TIMEOUT.min(timeout),
        timeout,
        connections,
        redirects: 0,
        proxy: true,
    };
    Ok(Client::new(http::agent(&requests)?))
}
