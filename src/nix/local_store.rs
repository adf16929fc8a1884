//! This machine's store: which paths in it are whole and registered.

use std::collections::HashSet;

use anyhow::{Result, ensure};

use super::command::Nix;

/// Most paths asked for at once: the kernel bounds a command's arguments.
const BATCH: usize = 4000;

/// Those of the paths that are not valid in the store: absent, or left half-built.
pub fn invalid_paths(nix: &Nix, paths: &[String]) -> Result<HashSet<String>> {
    let mut invalid = HashSet::new();
    for batch in paths.chunks(BATCH) {
        let arguments = ["--check-validity", "--print-invalid"].into_iter().chain(batch.iter().map(String::as_str));
        let answer = nix.nix_store(arguments, 8 << 20)?;
        ensure!(
            answer.status.success(),
            "cannot ask this machine's store which paths are valid: {}",
            answer.stderr.trim()
        );
        invalid.extend(String::from_utf8_lossy(&answer.stdout).lines().map(str::to_owned));
    }
    Ok(invalid)
}
