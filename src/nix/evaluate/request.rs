//! What is asked of a flake's evaluation.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use super::budget::BudgetRequest;
use super::reference;
use super::systems::Systems;
use crate::pattern::Pattern;

/// What is built when nobody says what.
pub const DEFAULT_PATTERNS: [&str; 2] = ["packages.*.*", "checks.*.*"];

/// How many sets are entered on the way to an attribute when nobody says more.
pub const DEFAULT_DEPTH: u32 = 8;

/// Another flake that is taken for an input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputOverride {
    /// The input: `a`, or `a/b` for an input of `a`.
    pub input: String,
    /// A flake reference.
    pub reference: String,
    /// What a path is relative to; empty for the working directory.
    pub folder: PathBuf,
    /// A flag names it, not a file of the repository: it may be anywhere on this machine.
    pub by_flag: bool,
}

impl InputOverride {
    /// The same reference where a path is relative to the working directory.
    pub fn from_here(&self) -> Cow<'_, str> {
        let (prefix, path) =
            self.reference.strip_prefix("path:").map_or(("", &*self.reference), |path| ("path:", path));
        let is_here = self.folder.as_os_str().is_empty() || self.folder == Path::new(".");
        if is_here || !path.starts_with('.') {
            return Cow::Borrowed(&self.reference);
        }
        if let Ok(found) = reference::absolute_from(&self.reference, &self.folder) {
            return Cow::Owned(found);
        }
        let folder = self.folder.to_string_lossy();
        let begin = if folder.starts_with(['.', '/']) { "" } else { "./" };
        Cow::Owned(format!("{prefix}{begin}{folder}/{path}"))
    }
}

/// What to evaluate, and how.
#[derive(Clone, Debug, Default)]
pub struct EvaluationRequest {
    /// Any flake reference, without an attribute: `.`, a path, `git+file:…`, `github:owner/repo`, a registry name.
    pub flake: String,
    /// Which attributes; none for [`DEFAULT_PATTERNS`].
    pub select: Vec<Pattern>,
    /// Attributes that are selected too.
    pub also: Vec<Pattern>,
    /// Which of these not, nor anything below them.
    pub exclude: Vec<Pattern>,
    pub systems: Systems,
    /// How many sets are entered on the way to an attribute; none for [`DEFAULT_DEPTH`].
    pub depth: Option<u32>,
    /// Inputs to replace, each once.
    pub override_inputs: Vec<InputOverride>,
    /// Whether evaluation may build.
    pub allow_import_from_derivation: bool,
    /// Whether evaluation may read the machine: files, the environment, inputs that are not locked.
    pub impure: bool,
    /// Whether Nix's traces are wanted with the errors.
    pub show_trace: bool,
    /// Settings of Nix; they win over those that nixdag makes.
    pub options: Vec<(String, String)>,
    /// Whether the settings of Nix that the flake brings along count.
    pub accept_flake_config: bool,
    /// What it may take.
    pub budget: BudgetRequest,
}

impl EvaluationRequest {
    /// True where evaluation depends on nothing but the flake and its inputs.
    pub fn is_pure(&self) -> bool {
        let pure = |(name, value): &(String, String)| name != "pure-eval" || value == "true";
        !self.impure && self.options.iter().all(pure)
    }

    /// How many sets are entered on the way to an attribute.
    pub fn depth(&self) -> usize {
        self.depth.unwrap_or(DEFAULT_DEPTH) as usize
    }
}
