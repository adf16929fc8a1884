//! The way to the outputs of a flake: which arguments make `nix eval` answer questions about them.
//!
//! In: a [`Flake`]. Out: [`Outputs`]. Both ways keep evaluation pure, let the flake see the same `self` and give the derivations of
//! `nix build`, write no lock, and put attribute names into a question, never into an installable.
//! - Since 2.26 `FLAKE#.` is the set of outputs itself.
//! - Before, and with Lix, that would look into `packages` and `legacyPackages` first. There a temporary flake stands around the
//!   target, as its only input. Since 2.26 this would not do: a relative input of an input is then looked for in the wrong place.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use tempfile::TempDir;

use super::flake::{self, Flake};
use super::message;
use crate::nix::command::{Nix, Version};

/// The questions, as a function of the outputs.
const QUERY: &str = include_str!("query.nix");

/// The first version where `FLAKE#.` is known to mean the outputs.
const FIRST_IN_PLACE: Version = Version { major: 2, minor: 26 };

/// The outputs of a flake, as something to ask.
pub struct Outputs {
    /// The flake reference that Nix gets.
    reference: String,
    wrapper: Option<Wrapper>,
    override_inputs: Vec<(String, String)>,
    allow_import_from_derivation: bool,
}

/// A temporary flake around the target.
struct Wrapper {
    /// Removed when this is.
    directory: TempDir,
    /// Where it is, without symbolic links: some versions refuse those in a `path:` reference.
    path: PathBuf,
}

impl Outputs {
    /// Prepares for asking; inputs are overridden as `(input, reference)`.
    pub fn new(
        nix: &Nix,
        flake: &Flake,
        override_inputs: &[(String, String)],
        allow_import_from_derivation: bool,
    ) -> Result<Self> {
        let is_in_place = nix.version() >= FIRST_IN_PLACE && !nix.is_lix();
        let wrapper = if is_in_place { None } else { Some(Wrapper::write(&flake.reference)?) };
        let prefix = if is_in_place { "" } else { "target/" };
        let override_inputs = override_inputs
            .iter()
            .map(|(input, replacement)| Ok((format!("{prefix}{input}"), flake::absolute(replacement)?)))
            .collect::<Result<_>>()?;
        Ok(Self { reference: flake.reference.clone(), wrapper, override_inputs, allow_import_from_derivation })
    }

    /// The arguments of a `nix` that answers the questions, given as JSON.
    pub fn arguments(&self, questions: &str) -> Vec<OsString> {
        let questions = nix_string(questions);
        let (installable, function) = match &self.wrapper {
            Some(wrapper) => {
                (format!("{}#query", wrapper.url()), format!("query: query (builtins.fromJSON {questions})"))
            }
            None => (
                format!("{}#.", self.reference),
                format!("outputs: (\n{QUERY}\n) outputs (builtins.fromJSON {questions})"),
            ),
        };
        let import = if self.allow_import_from_derivation { "true" } else { "false" };
        let mut arguments: Vec<OsString> =
            ["eval", &installable, "--apply", &function, "--json", "--no-write-lock-file"].map(OsString::from).into();
        for (option, value) in [
            // 2.8's cache forgets what went wrong.
            ("eval-cache", "false"),
            ("warn-dirty", "false"),
            ("accept-flake-config", "false"),
            ("allow-import-from-derivation", import),
        ] {
            arguments.extend(["--option", option, value].map(OsString::from));
        }
        for (input, replacement) in &self.override_inputs {
            arguments.extend(["--override-input", input, replacement].map(OsString::from));
        }
        arguments
    }

    /// A message without the path of the wrapper.
    pub fn hide(&self, message: &str) -> String {
        let Some(wrapper) = &self.wrapper else { return message.to_owned() };
        [wrapper.path.as_path(), wrapper.directory.path()]
            .iter()
            .filter_map(|path| path.to_str())
            .fold(message.to_owned(), |message, path| message.replace(path, "nixdag's own flake"))
    }
}

impl Wrapper {
    fn write(reference: &str) -> Result<Self> {
        let directory = TempDir::with_prefix("nixdag-").context("cannot make a temporary folder")?;
        let path = fs::canonicalize(directory.path()).context("cannot find the temporary folder")?;
        let text = format!(
            "{{\n  inputs.target.url = {};\n  outputs = {{ self, target }}: {{ query = import ./{} target.outputs; }};\n}}\n",
            nix_string(reference),
            message::QUERY_FILE
        );
        for (name, text) in [("flake.nix", text.as_str()), (message::QUERY_FILE, QUERY)] {
            fs::write(path.join(name), text).context("cannot write to the temporary folder")?;
        }
        Ok(Self { directory, path })
    }

    fn url(&self) -> String {
        let mut url = String::from("path:");
        for byte in self.path.as_os_str().as_encoded_bytes() {
            if byte.is_ascii_alphanumeric() || b"/-_.".contains(byte) {
                url.push(char::from(*byte));
            } else {
                // Writing to a string cannot fail.
                let _ = write!(url, "%{byte:02X}");
            }
        }
        url
    }
}

/// Text as a Nix string literal.
fn nix_string(text: &str) -> String {
    let mut literal = String::with_capacity(text.len() + 2);
    literal.push('"');
    for c in text.chars() {
        if matches!(c, '"' | '\\' | '$') {
            literal.push('\\');
        }
        literal.push(c);
    }
    literal.push('"');
    literal
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_becomes_a_nix_string() {
        assert_eq!(nix_string(r#"a"b\c${d}"#), r#""a\"b\\c\${d}""#);
    }
}
