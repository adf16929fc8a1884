//! A value that another thread finds out while this one goes on, or that nobody finds out before it is wanted.

use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread::{self, JoinHandle};

use anyhow::{Result, anyhow};

/// A value, or the error that stands in its place. The thread goes on if nobody waits for it.
pub struct Later<T> {
    found: OnceLock<Result<T>>,
    work: Mutex<Option<Work<T>>>,
}

enum Work<T> {
    Begun(JoinHandle<Result<T>>),
    Waiting(Box<dyn FnOnce() -> Result<T> + Send>),
}

impl<T: Send + 'static> Later<T> {
    /// Begins.
    pub fn begin(work: impl FnOnce() -> Result<T> + Send + 'static) -> Self {
        Self::of(Work::Begun(thread::spawn(work)))
    }

    /// Begins when the value is wanted for the first time, if ever.
    pub fn when_wanted(work: impl FnOnce() -> Result<T> + Send + 'static) -> Self {
        Self::of(Work::Waiting(Box::new(work)))
    }

    fn of(work: Work<T>) -> Self {
        Self { found: OnceLock::new(), work: Mutex::new(Some(work)) }
    }

    /// Waits for the value; none where there is an error instead, which [`Self::into_inner`] gives.
    pub fn get(&self) -> Option<&T> {
        self.found.get_or_init(|| self.finish()).as_ref().ok()
    }

    /// Waits for the value.
    pub fn into_inner(mut self) -> Result<T> {
        self.found.take().unwrap_or_else(|| self.finish())
    }

    fn finish(&self) -> Result<T> {
        let work = self.work.lock().unwrap_or_else(PoisonError::into_inner).take();
        match work.ok_or_else(|| anyhow!("what is waited for was taken already"))? {
            Work::Begun(thread) => thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
            Work::Waiting(work) => work(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_another_thread_finds_is_there_as_often_as_it_is_wanted() {
        let later = Later::begin(|| Ok(7));
        assert_eq!((later.get(), later.get()), (Some(&7), Some(&7)));
        assert_eq!(later.into_inner().unwrap(), 7);
        let failed: Later<i32> = Later::begin(|| Err(anyhow!("no")));
        assert_eq!(failed.get(), None);
        assert_eq!(failed.into_inner().unwrap_err().to_string(), "no");
    }

    #[test]
    fn what_nobody_wants_is_not_begun() {
        let (begun, count) = std::sync::mpsc::channel();
        let later = || {
            let begun = begun.clone();
            Later::when_wanted(move || Ok(begun.send(())?))
        };
        drop(later());
        assert!(count.try_recv().is_err());
        let later = later();
        assert_eq!((later.get(), later.get()), (Some(&()), Some(&())));
        assert_eq!(count.try_iter().count(), 1);
    }
}
