//! What this program is: its version, and the revision that it was built from. The build script beside records it.

/// `0.1.0 (0123456789ab 2026-11-22)`: the version, and where it is known the commit and the day of the commit.
pub const VERSION: &str = env!("NIXDAG_VERSION");

/// `0.1.0`: the version alone.
pub const NUMBER: &str = env!("CARGO_PKG_VERSION");

/// The address of one of this version's pages in `docs/`, by its name without the `.md`.
pub fn page(name: &str) -> String {
    format!("https://github.com/org/nixdag/blob/v{NUMBER}/docs/{name}.md")
}
