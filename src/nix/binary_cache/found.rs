//! What a cache says of a path that it has.

use crate::nix::narinfo::NarInfo;

/// How large a path is in a cache, bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PathSize {
    /// Its NAR: about what it takes in a store.
    pub nar: u64,
    /// What is fetched of it, where the cache says so.
    pub file: Option<u64>,
}

impl PathSize {
    /// What a narinfo says.
    pub fn of(info: &NarInfo) -> Self {
        Self { nar: info.nar_size, file: info.file_size }
    }

    /// Both together; what is fetched is known where it is of both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let file = self.file.zip(other.file).map(|(one, other)| one.saturating_add(other));
        Self { nar: self.nar.saturating_add(other.nar), file }
    }
}

/// A path, found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// The number of the cache that has it.
    pub cache: usize,
    /// How large it is there.
    pub size: PathSize,
}
