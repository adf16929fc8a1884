//! Many questions at once: threads that each ask the caches about one path after the other, and raise new questions meanwhile.
//!
//! A thread is started when a question would wait for one, so a small plan has few connections and a large one all. Stores that
//! need Nix get what no other cache has, in batches.

use std::collections::VecDeque;
use std::sync::mpsc::{self, Sender};
use std::sync::{Condvar, Mutex, PoisonError};
use std::thread::{self, Scope};

use anyhow::{Context, Result};

use super::cache::{Asking, Cache};
use super::found::Found;

/// Bytes of a thread's stack: TLS needs some, hundreds of threads should not need much.
const STACK: usize = 512 << 10;

/// Most paths that one run of Nix is asked about: the kernel bounds a command's arguments.
const BATCH: usize = 2000;

/// A store path to look for.
#[derive(Clone, Debug)]
pub struct Question<T> {
    /// What the answer is about.
    pub about: T,
    /// Base name of the store path.
    pub base: String,
}

/// The answer to one question: the cache that has it.
type Answer<T> = (T, Option<Found>);

/// Questions that wait for a thread.
struct Queue<T> {
    state: Mutex<QueueState<T>>,
    changed: Condvar,
}

struct QueueState<T> {
    waiting: VecDeque<Question<T>>,
    idle: usize,
    ended: bool,
}

impl<T> Queue<T> {
    fn new() -> Self {
        let state = QueueState { waiting: VecDeque::new(), idle: 0, ended: false };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    /// Adds questions; gives the number of those that no idle thread will take.
    fn push(&self, questions: impl IntoIterator<Item = Question<T>>) -> usize {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let before = state.waiting.len();
        state.waiting.extend(questions);
        if state.waiting.len() - before > 1 {
            self.changed.notify_all()
        } else {
            self.changed.notify_one()
        }
        state.waiting.len().saturating_sub(state.idle)
    }

    /// Takes up to `most` questions, waiting for the first; none at the end.
    fn take(&self, most: usize) -> Vec<Question<T>> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.idle += 1;
        let is_waiting = |state: &mut QueueState<T>| state.waiting.is_empty() && !state.ended;
        let mut state = self.changed.wait_while(state, is_waiting).unwrap_or_else(PoisonError::into_inner);
        state.idle -= 1;
        let count = most.min(state.waiting.len());
        state.waiting.drain(..count).collect()
    }

    fn end(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).ended = true;
        self.changed.notify_all();
    }
}

/// Ends the queues however the walk ends: threads that wait would wait for ever.
struct End<'a, T>(&'a Pool<'a, T>);

impl<T> Drop for End<'_, T> {
    fn drop(&mut self) {
        self.0.quick.end();
        self.0.slow.end();
    }
}

/// Threads and what they share.
pub struct Pool<'a, T> {
    caches: &'a [Cache],
    asking: &'a Asking,
    quick: Queue<T>,
    slow: Queue<T>,
    has_slow: bool,
    most: usize,
}

impl<'a, T: Send> Pool<'a, T> {
    /// A pool without threads: `caches` by priority; at most `most` threads ask them.
    pub fn new(caches: &'a [Cache], asking: &'a Asking, most: usize) -> Self {
        let has_slow = caches.iter().any(|cache| cache.is_slow());
        Self { caches, asking, quick: Queue::new(), slow: Queue::new(), has_slow, most }
    }

    /// See [`super::Caches::follow`].
    pub fn follow(
        &self,
        first: Vec<Question<T>>,
        answered: &mut dyn FnMut(T, Option<Found>) -> Vec<Question<T>>,
    ) -> Result<()> {
        let (sender, receiver) = mpsc::channel();
        thread::scope(|scope| {
            let _end = End(self);
            let mut threads = 0;
            let mut open = first.len();
            self.ask(first, scope, &sender, &mut threads)?;
            if self.has_slow && open > 0 {
                let sender = sender.clone();
                start(scope, move || self.ask_nix(&sender))?;
            }
            while open > 0 {
                // Each thread holds a sender, and so does this one.
                let (about, place) = receiver.recv().context("all threads have ended")?;
                let more = answered(about, place);
                open = open - 1 + more.len();
                self.ask(more, scope, &sender, &mut threads)?;
            }
            Ok(())
        })
    }

    fn ask<'scope>(
        &'scope self,
        questions: Vec<Question<T>>,
        scope: &'scope Scope<'scope, '_>,
        sender: &Sender<Answer<T>>,
        threads: &mut usize,
    ) -> Result<()>
    where
        T: 'scope,
    {
        if questions.is_empty() {
            return Ok(());
        }
        let left = self.quick.push(questions);
        for _ in 0..left.min(self.most - *threads) {
            let sender = sender.clone();
            match start(scope, move || self.ask_one_by_one(&sender)) {
                Ok(()) => *threads += 1,
                // Fewer threads take longer.
                Err(_) if *threads > 0 => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn ask_one_by_one(&self, sender: &Sender<Answer<T>>) {
        while let Some(question) = self.quick.take(1).pop() {
            let quick = self.caches.iter().enumerate().filter(|(_, cache)| !cache.is_slow());
            let place = quick.into_iter().find_map(|(number, cache)| {
                Some(Found { cache: number, size: cache.has(&question.base, self.asking)? })
            });
            match place {
                None if self.has_slow => {
                    self.slow.push([question]);
                }
                // The receiver ends only after the last answer.
                place => drop(sender.send((question.about, place))),
            }
        }
    }

    fn ask_nix(&self, sender: &Sender<Answer<T>>) {
        loop {
            let mut questions = self.slow.take(BATCH);
            if questions.is_empty() {
                return;
            }
            for (number, cache) in self.caches.iter().enumerate().filter(|(_, cache)| cache.is_slow()) {
                let bases: Vec<String> = questions.iter().map(|question| question.base.clone()).collect();
                let found = cache.has_all(&bases, self.asking);
                let mut left = Vec::new();
                for (question, found) in questions.into_iter().zip(found) {
                    match found {
                        Some(size) => drop(sender.send((question.about, Some(Found { cache: number, size })))),
                        None => left.push(question),
                    }
                }
                questions = left;
            }
            for question in questions {
                drop(sender.send((question.about, None)));
            }
        }
    }
}

fn start<'scope>(scope: &'scope Scope<'scope, '_>, run: impl FnOnce() + Send + 'scope) -> Result<()> {
    let thread = thread::Builder::new().stack_size(STACK).spawn_scoped(scope, run);
    thread.context("cannot start a thread to ask caches")?;
    Ok(())
}
