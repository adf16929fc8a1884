//! Classes of failures: what they are called, whether trying again can help, and what helps.

use serde::{Deserialize, Serialize};

use crate::history::needs::KILLED;

/// Classes of failures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// The builder failed, or Nix refused its output.
    Builder,
    /// A time limit was reached, of the build or of its silence.
    Timeout,
    /// A fixed output has another hash.
    HashMismatch,
    /// The disk is full.
    DiskFull,
    /// Killed, as the kernel does where memory runs out.
    Killed,
    /// A download failed, or a cache.
    Network,
    /// The daemon or a remote machine was lost.
    MachineLost,
    /// This machine cannot build it: another system, or a feature that it lacks.
    Unsupported,
    /// Nix itself ended.
    NixEnded,
}

impl Class {
    /// True where trying again may help though nothing has changed. Of what was killed only where others ran beside it.
    pub fn is_transient(self) -> bool {
        matches!(self, Class::Network | Class::MachineLost)
    }

    /// As in `report.json`, for JUnit.
    pub fn name(self) -> &'static str {
        match self {
            Class::Builder => "builder",
            Class::Timeout => "timeout",
            Class::HashMismatch => "hash-mismatch",
            Class::DiskFull => "disk-full",
            Class::Killed => KILLED,
            Class::Network => "network",
            Class::MachineLost => "machine-lost",
            Class::Unsupported => "unsupported",
            Class::NixEnded => "nix-ended",
        }
    }

    /// What helps, for people.
    pub fn next(self) -> &'static str {
        match self {
            Class::Builder => "fix the cause that its log names",
            Class::Timeout => "find out why it hangs, or allow it more with `timeout`",
            Class::HashMismatch => "if the content is right, put the hash that Nix got into the expression",
            Class::DiskFull => "give it a machine with a larger disk, or split the job",
            Class::Killed => "give it a larger `resource_class`, or fewer builds side by side (`--max-jobs`)",
            Class::Network => "rerun the job once the server answers",
            Class::MachineLost => "rerun the job, and look into the daemon's log if it happens again",
            Class::Unsupported => "give it an executor with its system and features",
            Class::NixEnded => "rerun the job, and report it to Nix if it happens again",
        }
    }

    /// For people.
    pub fn text(self) -> &'static str {
        match self {
            Class::Builder => "its build failed",
            Class::Timeout => "it took too long",
            Class::HashMismatch => "what it fetched does not have the stated hash",
            Class::DiskFull => "the disk is full",
            Class::Killed => "it was killed, probably because memory ran out",
            Class::Network => "a download failed on the way",
            Class::MachineLost => "the Nix daemon or a remote machine was lost",
            Class::Unsupported => "this machine cannot build it",
            Class::NixEnded => "Nix itself ended while it was built",
        }
    }
}
