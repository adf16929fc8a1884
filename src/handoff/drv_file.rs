//! Derivations' files in a folder, by their base names: what they refer to, and how a store that lacks them gets them.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};

use crate::nix::derivation::Derivation;
use crate::nix::{nar, store_path};

/// Everything that a derivation's file refers to, and the file's size.
pub fn references_of(file: &Path) -> Result<(Vec<String>, u64)> {
    let bytes = fs::read(file).with_context(|| format!("cannot read derivation `{}`", file.display()))?;
    let drv = Derivation::parse(&bytes).with_context(|| format!("`{}` is no derivation", file.display()))?;
    let paths = drv.inputs.iter().map(|input| input.path).chain(drv.sources.iter().copied());
    let references = paths
        .map(|path| String::from_utf8(path.bytes().into_owned()).context("a reference that is not UTF-8"))
        .collect::<Result<_>>()
        .with_context(|| format!("`{}` is no derivation", file.display()))?;
    Ok((references, bytes.len() as u64))
}

/// The sources that derivations name, whose files are in `dir` by base name; ascending.
pub fn sources(paths: &[String], dir: &Path) -> Result<Vec<String>> {
    let mut found = BTreeSet::new();
    for path in paths {
        let (references, _) = references_of(&dir.join(store_path::split(path)?.1))?;
        found.extend(references.into_iter().filter(|reference| !reference.ends_with(".drv")));
    }
    Ok(found.into_iter().collect())
}

/// Writes the closure of some derivations, whose files are in `dir` by base name, in the format of `nix-store --export`.
/// Sources are not written: they have to be in the store, or come from a substituter.
pub fn export_files(paths: &[String], dir: &Path, out: &mut dyn Write) -> Result<()> {
    let mut out = out;
    for path in paths {
        let (_, base) = store_path::split(path)?;
        let file = dir.join(base);
        let (references, _) = references_of(&file)?;
        let bytes = fs::read(&file).with_context(|| format!("cannot read `{}`", file.display()))?;
        nar::export_begin(&mut out)?;
        nar::write_file(&bytes, &mut out)?;
        nar::export_describe(&mut out, path, references.iter().map(String::as_str))?;
    }
    Ok(nar::export_end(&mut out)?)
}
