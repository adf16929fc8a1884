//! A store to ask, and who names it.

use super::store_url::StoreUrl;

/// A store to ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Substituter {
    /// Its URL.
    pub url: StoreUrl,
    /// The environment variable with a token that it wants to see.
    pub token_variable: Option<String>,
    /// Who names it.
    pub origin: Origin,
}

/// Who names a substituter or a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A flag or `nixdag.yml`: it is meant for the jobs too.
    Named,
    /// The same; jobs push to it what they hand on, so that it may be no cache yet.
    HandOff,
    /// The Nix configuration of this machine, which the machines of the jobs do not have.
    Machine,
}
