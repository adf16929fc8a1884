//! The lock and the inputs that the files of a flake name, read before Nix is asked anything that copies.

use std::io::Read;
use std::path::Path;

use anyhow::{Result, bail};
use serde_json::Value;

use super::flake_text;
use super::literal::nix_string;
use crate::nix::command::Nix;
use crate::regular_file;

/// Bytes of a lock, or of the inputs of a `flake.nix`, that are read.
const MAX_SIZE: u64 = 64 << 20;

/// The lock in a folder; null where there is none that can be read: Nix will say so.
pub(super) fn lock(folder: &Path) -> Value {
    let mut text = Vec::new();
    let read =
        regular_file::open(&folder.join("flake.lock")).and_then(|file| file.take(MAX_SIZE).read_to_end(&mut text));
    read.ok().and_then(|_| serde_json::from_slice(&text).ok()).unwrap_or_default()
}

/// The inputs that the `flake.nix` in a folder names; null where it names none on the machine, or Nix will refuse it.
pub(super) fn inputs(nix: &Nix, folder: &Path) -> Value {
    let read = || -> Result<Value> {
        let file = folder.join("flake.nix").canonicalize()?;
        let mut bytes = Vec::new();
        regular_file::open(&file)?.take(MAX_SIZE).read_to_end(&mut bytes)?;
        // Of a long file more may follow.
        let is_whole = (bytes.len() as u64) < MAX_SIZE;
        // A process less, and evaluation begins at once.
        if is_whole && str::from_utf8(&bytes).is_ok_and(|text| !flake_text::may_name_local_inputs(text)) {
            return Ok(Value::Null);
        }
        let Some(file) = file.to_str() else { bail!("its name is not text") };
        // Nothing but this file can have a part in it: no variable, no other file.
        let visible = format!("flake={file}");
        let expression = format!("(import {}).inputs or {{ }}", nix_string(file));
        let arguments =
            ["eval", "--json", "--impure", "--option", "restrict-eval", "true", "-I", &visible, "--expr", &expression];
        Ok(serde_json::from_slice(&nix.nix(arguments, MAX_SIZE as usize)?.stdout)?)
    };
    read().unwrap_or_default()
}
