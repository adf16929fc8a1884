//! Requests that are watched: each in a thread of its own, which is left alone when it moves too little or a signal has come.
//!
//! In: a request with what it sends and how much is read of the answer. Out: the answer, whole. A thread that is left alone ends with the next byte that it moves, or at the time limit of its agent.

use std::fs::File;
use std::io::{self, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use ureq::http::Response;
use ureq::{Body, SendBody};

use crate::build::interrupt;

/// How long a request may take that moves few bytes, and one that moves many until it has moved the next [`LEAST`].
const TIME: Duration = Duration::from_secs(60);

/// Bytes.
const LEAST: u64 = 64 << 10;

/// How often is looked for a signal.
const LOOK: Duration = Duration::from_millis(50);

/// Most bytes that are read of an answer that is an error.
const MAX_ERROR: u64 = 64 << 10;

/// An answer.
#[derive(Debug, Default)]
pub struct Answer {
    pub status: u16,
    /// Its body, where that does not go into a file.
    pub body: Vec<u8>,
    /// Bytes of the body.
    pub size: u64,
}

/// What becomes of the body of an answer with status 200; any other one is kept as far as it is short.
#[derive(Debug)]
pub enum Keep {
    /// It is not read.
    Nothing,
    /// It is kept, and has at most so many bytes.
    Memory(u64),
    /// It is kept as far as it has no more bytes; where it has more, `size` is above that.
    Beginning(u64),
    /// It goes into a file, and has at most so many bytes.
    File(File, u64),
}

/// What a thread has moved, and whether somebody waits for it.
#[derive(Debug, Default)]
struct Moved {
    bytes: AtomicU64,
    is_left: AtomicBool,
}

/// A reader that is counted.
struct Counted<R> {
    inner: R,
    moved: Arc<Moved>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.moved.is_left.load(Ordering::Relaxed) {
            return Err(io::Error::other("nobody waits for this request"));
        }
        let count = self.inner.read(into)?;
        self.moved.bytes.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

/// A request without what it sends: a thread makes it.
pub type Call = Box<dyn FnOnce(SendBody<'static>) -> Result<Response<Body>, ureq::Error> + Send>;

/// What a request sends, and how many bytes that is.
pub type Content = (Box<dyn Read + Send>, u64);

/// How requests are watched.
#[derive(Clone, Copy, Debug)]
pub struct Watch {
    /// See [`TIME`].
    pub time: Duration,
    /// The signal that came, if one did.
    pub stopped: fn() -> Option<&'static str>,
}

impl Default for Watch {
    fn default() -> Self {
        Self { time: TIME, stopped: interrupt::received }
    }
}

impl Watch {
    /// Makes a request. An error that is not a [`ureq::Error`] leaves open whether it was carried out.
    pub fn ask(&self, content: Option<Content>, keep: Keep, call: Call) -> Result<Answer> {
        let is_large = content.as_ref().is_some_and(|(_, size)| *size > LEAST) || matches!(keep, Keep::File(..));
        let moved = Arc::new(Moved::default());
        let own = moved.clone();
        let (sender, receiver) = mpsc::sync_channel(1);
        let work = move || {
            // Nobody hears it where it was left alone.
            let _ = sender.send(exchange(content, keep, call, &own));
        };
        self.check(&moved)?;
        std::thread::Builder::new().name("request".into()).spawn(work).context("cannot start a thread")?;
        let (mut since, mut before) = (Instant::now(), 0);
        loop {
            match receiver.recv_timeout(LOOK.min(self.time)) {
                Ok(answer) => return answer,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => bail!("a request has ended without an answer"),
            }
            self.check(&moved)?;
            if since.elapsed() > self.time {
                let bytes = moved.bytes.load(Ordering::Relaxed);
                if !is_large || bytes - before < LEAST {
                    moved.is_left.store(true, Ordering::Relaxed);
                    bail!("no answer in {} s", self.time.as_secs());
                }
                (since, before) = (Instant::now(), bytes);
            }
        }
    }

    fn check(&self, moved: &Moved) -> Result<()> {
        let Some(signal) = (self.stopped)() else { return Ok(()) };
        moved.is_left.store(true, Ordering::Relaxed);
        bail!("stopped by {signal}")
    }
}

/// Sends, and reads the answer.
fn exchange(content: Option<Content>, mut keep: Keep, call: Call, moved: &Arc<Moved>) -> Result<Answer> {
    let content = match content {
        Some((inner, _)) => SendBody::from_owned_reader(Counted { inner, moved: moved.clone() }),
        None => SendBody::none(),
    };
    let mut response = call(content)?;
    let status = response.status().as_u16();
    let mut body = Counted { inner: response.body_mut().as_reader(), moved: moved.clone() };
    let mut answer = Answer { status, ..Answer::default() };
    if status != 200 {
        // What it says beyond its number is for people.
        let _ = body.take(MAX_ERROR).read_to_end(&mut answer.body);
        return Ok(answer);
    }
    let (limit, target): (u64, &mut dyn Write) = match &mut keep {
        Keep::Nothing => return Ok(answer),
        Keep::Memory(limit) | Keep::Beginning(limit) => (*limit, &mut answer.body),
        Keep::File(file, limit) => (*limit, file),
    };
    answer.size = io::copy(&mut body.by_ref().take(limit.saturating_add(1)), target)?;
    if answer.size > limit && !matches!(keep, Keep::Beginning(_)) {
        bail!("the answer has more than {limit} bytes");
    }
    Ok(answer)
}
