//! Stores of names: where workers say to each other what they have begun and built. `docs/workers.md` has what is assumed of them.
//!
//! In: names of the protocol, files. Out: what the store says of them. A store repeats no request by itself, and has one namespace for each run of a plan.

pub mod aws;
pub mod bucket;
pub mod folder;
pub mod pipe;
pub mod place;
pub mod s3;
pub mod sigv4;
mod watch;

use std::error::Error;
use std::fmt;
use std::path::Path;

use anyhow::Result;

/// What became of a request to make a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Made {
    /// It was made now, with these contents.
    Made,
    /// It was there before.
    Taken,
    /// Nobody knows: a time limit, a connection that broke.
    Lost,
    /// Nothing was made, and the name may or may not be there.
    AskAgain,
}

/// A store that can say "taken". Errors are those of one request: another one may do better, but for [`Gone`].
pub trait NameStore: Sync {
    /// Makes a name with the contents of a file, if it is not there. An error says that nothing was made.
    fn create(&self, name: &str, file: &Path) -> Result<Made>;

    /// All names of the run, in any order; those that were made lately may be missing.
    fn list(&self) -> Result<Vec<String>>;

    /// The contents of a name, where it is there and they have at most `limit` bytes. None for what has more or cannot be read, and will not be: whoever can make names may have made it.
    fn read(&self, name: &str, limit: u64) -> Result<Option<Vec<u8>>>;

    /// Writes the contents of a name into a new file; gives their size, or none where the name is not there. More than `limit` bytes are an error.
    fn fetch(&self, name: &str, to: &Path, limit: u64) -> Result<Option<u64>>;

    /// How many names this worker can make; none where nothing bounds that.
    fn most_names(&self) -> Option<u32> {
        None
    }

    /// The folder with the names, where they are in one of this machine.
    fn folder(&self) -> Option<&Path> {
        None
    }
}

/// The other end of a store has gone, and no request will have an answer.
#[derive(Debug, PartialEq, Eq)]
pub struct Gone;

impl fmt::Display for Gone {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the other end of the pipe has gone")
    }
}

impl Error for Gone {}

/// Most names that a listing has; more are an error.
pub const MOST_NAMES: usize = 500_000;

/// More characters than any name of the protocol has: longer ones are somebody else's.
pub const LONGEST_NAME: usize = 200;
