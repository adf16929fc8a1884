//! A value that another thread finds out while this one goes on.

use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread::{self, JoinHandle};

use anyhow::{Result, anyhow};

/// A value, or the error that stands in its place. The thread goes on if nobody waits for it.
pub struct Later<T> {
    found: OnceLock<Result<T>>,
    thread: Mutex<Option<JoinHandle<Result<T>>>>,
}

impl<T: Send + 'static> Later<T> {
    /// Begins.
    pub fn begin(work: impl FnOnce() -> Result<T> + Send + 'static) -> Self {
        Self { found: OnceLock::new(), thread: Mutex::new(Some(thread::spawn(work))) }
    }

    /// Waits for the value; none where there is an error instead, which [`Self::into_inner`] gives.
    pub fn get(&self) -> Option<&T> {
        self.found.get_or_init(|| self.join()).as_ref().ok()
    }

    /// Waits for the value.
    pub fn into_inner(mut self) -> Result<T> {
        self.found.take().unwrap_or_else(|| self.join())
    }

    fn join(&self) -> Result<T> {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        let thread = thread.ok_or_else(|| anyhow!("what is waited for was taken already"))?;
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
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
}
