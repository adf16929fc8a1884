//! Store paths that no garbage collection takes as long as this process lives.
//!
//! Nix knows temporary roots: paths that a running process of Nix has named. They end with that process, so nothing is left behind whatever
//! happens, they hold what a path refers to, and they may be named before the path exists. `nix-store --serve --write` (the other end of
//! the `ssh://` store) names those that it is asked about with a lock, in every version, with a daemon and without.
//!
//! In: store paths. Out: which of them are valid, from now on held. Protocol: `serve-protocol.hh` of Nix; numbers have 8 bytes, little
//! endian, strings their length before them and zeros up to a multiple of 8.

use std::collections::{BTreeSet, HashSet};
use std::io::{BufReader, BufWriter, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;

use super::command::end_with_parent;
use super::store::{QUESTION, Store};
use crate::program::{self, TimeLimits};

/// What each side says first.
const HELLO: u64 = 0x390c_9deb;
const ANSWER: u64 = 0x5452_eecb;

/// Version 2.1 of the protocol: every Nix since 2011 speaks it.
const PROTOCOL: u64 = 0x201;

/// The command that asks for valid paths.
const QUERY_VALID_PATHS: u64 = 1;

/// Longest path that is read.
const MAX_PATH: u64 = 4096;

/// Paths in one question: both sides write without reading for that long.
const MAX_PATHS: usize = 1000;

/// How long its end may take.
const GRACE: TimeLimits = TimeLimits::seconds(60, 60);

/// Paths that are held.
pub struct TemporaryRoots {
    store: Store,
    holder: Mutex<Holder>,
}

/// A process that holds paths.
struct Holder {
    /// What it was asked to hold.
    paths: BTreeSet<String>,
    child: Child,
    pipes: Option<(BufWriter<ChildStdin>, BufReader<ChildStdout>)>,
}

impl TemporaryRoots {
    /// Holds nothing yet.
    pub fn open(store: &Store) -> Result<Self> {
        Ok(Self { holder: Mutex::new(Holder::start(store)?), store: store.clone() })
    }

    /// Holds these paths, and what they refer to, whether they exist already or later; gives those that are valid now.
    pub fn hold<'a>(&self, paths: impl IntoIterator<Item = &'a str>) -> Result<HashSet<String>> {
        let paths: Vec<&str> = paths.into_iter().collect();
        let mut holder = self.holder.lock().unwrap_or_else(PoisonError::into_inner);
        holder.hold(paths.iter().copied()).or_else(|_| {
            // It was killed, for memory perhaps: another one holds the same.
            let mut other = Holder::start(&self.store)?;
            other.hold(holder.paths.iter().map(String::as_str))?;
            *holder = other;
            holder.hold(paths.iter().copied())
        })
    }

    /// From now on holds these paths only.
    pub fn narrow<'a>(&self, paths: impl IntoIterator<Item = &'a str>) -> Result<()> {
        let mut narrower = Holder::start(&self.store)?;
        narrower.hold(paths)?;
        *self.holder.lock().unwrap_or_else(PoisonError::into_inner) = narrower;
        Ok(())
    }
}

impl Holder {
    fn start(store: &Store) -> Result<Self> {
        // It lives beside builders, which may read its environment where nothing keeps them apart.
        let mut command = store.clone().for_building([]).command(&["--serve", "--write"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        end_with_parent(&mut command, Signal::TERM);
        let mut child = command.spawn().context("cannot run `nix-store --serve`")?;
        let pipes = child.stdin.take().map(BufWriter::new).zip(child.stdout.take().map(BufReader::new));
        let mut holder = Holder { paths: BTreeSet::new(), child, pipes };
        holder.talk(|write, read| {
            number(write, HELLO)?;
            number(write, PROTOCOL)?;
            write.flush()?;
            ensure!(read_number(read)? == ANSWER, "it speaks another protocol");
            read_number(read).map(drop)
        })?;
        Ok(holder)
    }

    fn hold<'a>(&mut self, paths: impl IntoIterator<Item = &'a str>) -> Result<HashSet<String>> {
        let paths: Vec<&str> = paths.into_iter().collect();
        self.paths.extend(paths.iter().map(|&path| path.to_owned()));
        let mut valid = HashSet::new();
        for share in paths.chunks(MAX_PATHS) {
            self.talk(|write, read| {
                for value in [QUERY_VALID_PATHS, u64::from(true), u64::from(false), share.len() as u64] {
                    number(write, value)?;
                }
                for path in share {
                    number(write, path.len() as u64)?;
                    write.write_all(path.as_bytes())?;
                    write.write_all(&[0; 8][..path.len().next_multiple_of(8) - path.len()])?;
                }
                write.flush()?;
                let count = read_number(read)?;
                ensure!(count <= share.len() as u64, "it answers with more paths than it was asked about");
                for _ in 0..count {
                    valid.insert(read_path(read)?);
                }
                Ok(())
            })?;
        }
        Ok(valid)
    }

    fn talk(
        &mut self,
        speak: impl FnOnce(&mut BufWriter<ChildStdin>, &mut BufReader<ChildStdout>) -> Result<()>,
    ) -> Result<()> {
        let (write, read) = self.pipes.as_mut().context("`nix-store --serve` has no pipes")?;
        program::watched(&mut self.child, "nix-store --serve", QUESTION, |_, _| speak(write, read))?
            .context("cannot hold store paths against garbage collection: `nix-store --serve` does not answer")
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        // The end of its input ends it, also where sudo stands between.
        drop(self.pipes.take());
        let _ = program::within(&mut self.child, "nix-store --serve", GRACE, |_, _| ());
    }
}

fn number(write: &mut impl Write, number: u64) -> Result<()> {
    Ok(write.write_all(&number.to_le_bytes())?)
}

fn read_number(read: &mut impl Read) -> Result<u64> {
    let mut bytes = [0; 8];
    read.read_exact(&mut bytes)?;
    Ok(u64::from_le_bytes(bytes))
}

fn read_path(read: &mut impl Read) -> Result<String> {
    let length = read_number(read)?;
    ensure!(length <= MAX_PATH, "its answer is not a store path");
    let mut bytes = vec![0; (length as usize).next_multiple_of(8)];
    read.read_exact(&mut bytes)?;
    bytes.truncate(length as usize);
    String::from_utf8(bytes).context("its answer is not a store path")
}
