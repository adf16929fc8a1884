//! A temporary flake around the flake that is evaluated, its only input.
//!
//! In: a reference, the text of the outputs as a function of the target's, files beside it. Out: a folder that is gone when it is
//! dropped.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, anyhow};
use tempfile::TempDir;

use super::reference::{Reference, URL_PATH, url_escaped};
use crate::private_file;
use crate::removed_at_signal::RemovedAtSignal;

/// What messages call it.
const SHOWN: &str = "nixdag's own flake";

/// The folder of the temporary flake.
pub struct Wrapper {
    /// Removed when this is.
    _directory: TempDir,
    _removed: RemovedAtSignal,
    /// Where it is, without symbolic links: some versions refuse those in a `path:` reference.
    path: String,
}

impl Wrapper {
    /// Writes it. `outputs` is an expression in which `target` is the flake.
    pub fn write(reference: &Reference, outputs: &str, files: &[(&str, &str)]) -> Result<Self> {
        let directory = private_file::temporary_folder().context("cannot make a temporary folder")?;
        let removed = RemovedAtSignal::new(directory.path());
        let path = fs::canonicalize(directory.path()).context("cannot find the temporary folder")?;
        let path = path
            .into_os_string()
            .into_string()
            .map_err(|_| anyhow!("the temporary folder has a name that is not text (set TMPDIR to another)"))?;
        let text =
            format!("{{\n  inputs.target = {};\n  outputs = {{ self, target }}: {outputs};\n}}\n", reference.input());
        for (name, text) in [("flake.nix", text.as_str())].iter().chain(files) {
            fs::write(Path::new(&path).join(name), text).context("cannot write to the temporary folder")?;
        }
        Ok(Self { _directory: directory, _removed: removed, path })
    }

    /// As a flake reference.
    pub fn reference(&self) -> String {
        format!("path:{}", url_escaped(&self.path, URL_PATH))
    }

    /// A message without its path.
    pub fn hide(&self, message: &str) -> String {
        message.replace(&self.path, SHOWN)
    }
}
