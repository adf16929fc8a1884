//! Counts what builders ran, wherever: each writes its name into one file that all machines of a test see.

use std::fs;

use tempfile::TempDir;

/// The derivations of the flake in `tests/fixtures/import-from-derivation`.
pub const OF_IMPORT_FROM_DERIVATION: [&str; 8] =
    ["first", "fourth", "lib", "linked", "second", "source", "third", "tool"];

/// The derivations of the flake in `tests/fixtures/content-addressed`.
pub const CONTENT_ADDRESSED: [&str; 4] = ["lower", "other", "plain", "upper"];

/// The settings of Nix that it wants.
pub const CONTENT_ADDRESSED_CONF: &str = "sandbox = false\nextra-experimental-features = ca-derivations\n";

/// What its command prints, but for a hash.
pub const FOUND: &str = "found lower, dev and other in /nix/store/";

/// The file.
pub struct Built(TempDir);

impl Built {
    /// An empty one, outside of what a machine has for itself.
    pub fn new() -> Self {
        Self(TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap())
    }

    /// Where it is.
    pub fn path(&self) -> String {
        self.0.path().join("built").to_str().unwrap().to_owned()
    }

    /// The names so far, sorted, each as often as it was built.
    pub fn sorted(&self) -> Vec<String> {
        let mut names: Vec<String> =
            fs::read_to_string(self.path()).unwrap_or_default().lines().map(str::to_owned).collect();
        names.sort();
        names
    }
}
