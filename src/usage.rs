//! What is wrong with the command line, where only later stages can know. An error with this in its chain ends the program with exit code 2.

use std::error::Error;
use std::fmt;

/// The flag at fault, or a whole sentence about it.
#[derive(Debug)]
pub struct Usage(String);

/// Names what is wrong: `` `--select` `` as the context of an error, or a sentence.
pub fn usage(what: impl Into<String>) -> Usage {
    Usage(what.into())
}

impl fmt::Display for Usage {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl Error for Usage {}
