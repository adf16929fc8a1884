//! Which systems a flake's attributes are taken of. In: what somebody has asked for. Out: the names, where not all are meant.

use crate::nix::system;

/// The systems that a globbed system name in `packages.*.*` and its like stands for. A system that is written out is always taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Systems {
    /// That of this machine.
    #[default]
    Current,
    Listed(Vec<String>),
    /// Every system that the flake has.
    All,
}

impl Systems {
    /// Their names; none for all that there are.
    pub fn listed(&self) -> Option<Vec<String>> {
        match self {
            Self::Current => Some(vec![system::current()]),
            Self::Listed(listed) => Some(listed.clone()),
            Self::All => None,
        }
    }
}
