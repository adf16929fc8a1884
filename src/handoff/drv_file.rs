//! Derivations' files in a folder, by their base names: the closure of some of them, and how a store that lacks it gets it.
//!
//! In: derivations, a folder. Out: a [`DrvClosure`]. A derivation can also be a source of another one, which then reads its file and not
//! its outputs (`builtins.unsafeDiscardOutputDependency`); its own closure of files belongs to the source.

use std::collections::{BTreeSet, HashSet};
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::nix::derivation::Derivation;
use crate::nix::{nar, store_path};

/// One derivation's file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DrvFile {
    /// The derivation's store path.
    pub path: String,
    /// The file.
    pub file: PathBuf,
    /// Everything that it refers to.
    pub references: Vec<String>,
    /// Bytes of the file.
    pub size: u64,
}

/// Derivations with all derivations that they refer to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DrvClosure {
    /// References before referrers.
    pub files: Vec<DrvFile>,
    /// Everything else that they refer to: the sources, among them derivations that are not in the folder.
    pub sources: BTreeSet<String>,
}

/// Whether a derivation's file has to be there.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Need {
    /// It is asked for, or an input.
    Input,
    /// It is a source, which a store may have.
    Source,
}

/// A file whose references are being visited.
struct Open {
    file: DrvFile,
    inputs: usize,
    next: usize,
}

/// The closure of these derivations, whose files are in `dir`.
pub fn closure<'a>(derivations: impl IntoIterator<Item = &'a str>, dir: &Path) -> Result<DrvClosure> {
    let mut walk = ClosureWalk { dir, seen: HashSet::new(), stack: Vec::new(), found: DrvClosure::default() };
    for root in derivations {
        walk.visit(root, Need::Input)?;
        // Without recursion: chains of derivations are thousands long.
        while let Some(open) = walk.stack.last_mut() {
            let Some(reference) = open.file.references.get(open.next).cloned() else {
                walk.found.files.extend(walk.stack.pop().map(|open| open.file));
                continue;
            };
            let need = if open.next < open.inputs { Need::Input } else { Need::Source };
            open.next += 1;
            walk.visit(&reference, need)?;
        }
    }
    Ok(walk.found)
}

/// A walk through a closure.
struct ClosureWalk<'a> {
    dir: &'a Path,
    seen: HashSet<String>,
    stack: Vec<Open>,
    found: DrvClosure,
}

impl ClosureWalk<'_> {
    /// Puts a path that has not been seen on the stack, or among the sources.
    fn visit(&mut self, path: &str, need: Need) -> Result<()> {
        if self.seen.contains(path) {
            return Ok(());
        }
        let (_, base) = store_path::split(path)?;
        let is_derivation = need == Need::Input || path.ends_with(".drv");
        match if is_derivation { read(path, self.dir.join(base), need)? } else { None } {
            Some(open) => self.stack.push(open),
            None => drop(self.found.sources.insert(path.to_owned())),
        }
        self.seen.insert(path.to_owned());
        Ok(())
    }
}

/// Reads a derivation's file; none where it is not there and need not be.
fn read(path: &str, file: PathBuf, need: Need) -> Result<Option<Open>> {
    let bytes = match fs::read(&file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && need == Need::Source => return Ok(None),
        bytes => bytes.with_context(|| format!("cannot read derivation `{}`", file.display()))?,
    };
    let what = || format!("`{}` is not a derivation", file.display());
    let drv = Derivation::parse(&bytes).with_context(what)?;
    let inputs = drv.inputs.len();
    let references = drv.inputs.iter().map(|input| input.path).chain(drv.sources.iter().copied());
    let references = references
        .map(|path| String::from_utf8(path.bytes().into_owned()).context("a reference is not UTF-8"))
        .collect::<Result<Vec<_>>>()
        .with_context(what)?;
    let file = DrvFile { path: path.to_owned(), references, size: bytes.len() as u64, file };
    Ok(Some(Open { file, inputs, next: 0 }))
}

/// Writes derivations in the format of `nix-store --export`. Sources are not written: they have to be in the store, or come from a
/// substituter.
pub fn export(files: &[DrvFile], out: &mut dyn Write) -> Result<()> {
    let mut out = out;
    for drv in files {
        let bytes = fs::read(&drv.file).with_context(|| format!("cannot read `{}`", drv.file.display()))?;
        nar::export_begin(&mut out)?;
        nar::write_file(&bytes, &mut out)?;
        // A source that is an input as well is one reference.
        let references: BTreeSet<&str> = drv.references.iter().map(String::as_str).collect();
        nar::export_describe(&mut out, &drv.path, references.into_iter())?;
    }
    Ok(nar::export_end(&mut out)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(name: &str) -> String {
        format!("/nix/store/{}-{name}", "a".repeat(32))
    }

    fn write(dir: &Path, name: &str, inputs: &[&str], sources: &[&str]) {
        let inputs: Vec<String> = inputs.iter().map(|name| format!("(\"{}\",[\"out\"])", path(name))).collect();
        let sources: Vec<String> = sources.iter().map(|name| format!("\"{}\"", path(name))).collect();
        let out = path(name.strip_suffix(".drv").unwrap());
        let text = format!(
            "Derive([(\"out\",\"{out}\",\"\",\"\")],[{}],[{}],\"x86_64-linux\",\"/bin/sh\",[],[(\"out\",\"{out}\")])",
            inputs.join(","),
            sources.join(",")
        );
        fs::write(dir.join(store_path::split(&path(name)).unwrap().1), text).unwrap();
    }

    #[test]
    fn a_derivation_that_is_a_source_brings_its_closure_of_files() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), "leaf.drv", &[], &["leaf-src"]);
        write(dir.path(), "inner.drv", &["leaf.drv"], &[]);
        write(dir.path(), "top.drv", &["leaf.drv"], &["inner.drv", "elsewhere.drv", "src"]);
        let found = closure([path("top.drv").as_str()], dir.path()).unwrap();
        let names: Vec<&str> = found.files.iter().map(|drv| store_path::split(&drv.path).unwrap().1).collect();
        assert!(names.iter().map(|base| &base[33..]).eq(["leaf.drv", "inner.drv", "top.drv"]), "{names:?}");
        assert_eq!(found.sources, ["elsewhere.drv", "leaf-src", "src"].map(path).into());
        // An input that is not there cannot be built by anybody.
        write(dir.path(), "bad.drv", &["absent.drv"], &[]);
        let error = closure([path("bad.drv").as_str()], dir.path()).unwrap_err();
        assert!(format!("{error:#}").contains("absent.drv"), "{error:#}");
    }
}
