//! The flake that a plan was made from, and the commands by which people evaluate and build of it on their own machine.

use serde::{Deserialize, Serialize};

/// The flake that was evaluated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlakeSource {
    /// The flake reference; a local path prints as `.`.
    pub url: String,
    /// The commit, where there is one and the tree is clean.
    pub revision: Option<String>,
}

impl FlakeSource {
    /// The command that builds an attribute on somebody's own machine; none where Nix or a shell could not take its name.
    pub fn build_command(&self, attribute: &str) -> Option<String> {
        self.is_plain(attribute).then(|| format!("nix build --print-build-logs '{}#{attribute}'", self.url))
    }

    /// The same for one that evaluates it.
    pub fn evaluate_command(&self, attribute: &str) -> Option<String> {
        self.is_plain(attribute).then(|| format!("nix eval --raw '{}#{attribute}.drvPath'", self.url))
    }

    /// The same for one that evaluates everything.
    pub fn plan_command(&self) -> Option<String> {
        self.is_plain("").then(|| format!("nixdag plan '{}' >/dev/null", self.url))
    }

    fn is_plain(&self, attribute: &str) -> bool {
        // Nix takes no quotes in an attribute's name, and a shell no `'` within quotes.
        !attribute.contains(['\'', '"', '\\', '\n']) && !self.url.contains(['\'', '\n'])
    }
}
