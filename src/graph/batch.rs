//! Reads `.drv` files of one share of the graph: what one thread does.
//!
//! In: base names and the directory that holds the files. Out: a [`Batch`] of nodes and of edges that do not have numbers yet.
//! Missing, truncated and foreign files are errors that name the file.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, anyhow, ensure};

use super::{Node, Output, OutputPaths};
use crate::nix::aterm::Text;
use crate::nix::derivation::Derivation;
use crate::nix::store_path;
use crate::regular_file::NO_WAITING;

/// Bytes of the first read: more than almost any `.drv` file has.
const FIRST_READ: usize = 64 << 10;

/// Largest `.drv` file that is read, in bytes; the largest one seen in nixpkgs has 3 MB.
const MAX_FILE_SIZE: u64 = 256 << 20;

/// What is known before a share is read.
#[derive(Clone, Copy)]
pub struct Known<'a> {
    /// The numbers of the derivations found so far, by base name.
    pub numbers: &'a HashMap<Arc<str>, u32>,
    pub store_dir: &'a str,
}

/// An edge before all derivations have numbers.
pub struct RawInput {
    /// Number of the derivation where it was known when the file was read, else an index into the batch's new names.
    pub drv: Result<u32, u32>,
    /// Index into the batch's sets of output names.
    pub outputs: u32,
}

/// What one thread has read.
#[derive(Default)]
pub struct Batch {
    pub nodes: Vec<Node>,
    /// Edges a node.
    pub counts: Vec<u32>,
    pub inputs: Vec<RawInput>,
    /// Base names that were not known yet.
    pub new: Vec<Arc<str>>,
    /// Distinct sets of output names.
    pub sets: Vec<Box<[Box<str>]>>,
}

/// Strings that repeat by the thousand, kept once a batch.
#[derive(Default)]
struct Shared {
    words: HashMap<Vec<u8>, Arc<str>>,
    features: HashMap<Vec<String>, Arc<[String]>>,
    sources: HashMap<Vec<u8>, Arc<[Box<str>]>>,
    new: HashMap<Arc<str>, u32>,
    sets: HashMap<Vec<u8>, u32>,
}

/// Reads these derivations from `dir`.
pub fn read_batch(bases: &[Arc<str>], known: Known, dir: &Path) -> Result<Batch> {
    let mut batch = Batch::default();
    let mut shared = Shared::default();
    let mut buffer = Vec::new();
    for base in bases {
        let path = dir.join(&**base);
        let bytes =
            read_file(&path, &mut buffer).with_context(|| format!("cannot read derivation `{}`", path.display()))?;
        let drv = Derivation::parse(bytes).with_context(|| format!("`{}` is not a derivation", path.display()))?;
        batch
            .add(base, &drv, known, &mut shared)
            .with_context(|| format!("`{}` is not a derivation", path.display()))?;
    }
    Ok(batch)
}

/// Reads one derivation's file for its outputs alone.
pub fn read_outputs(file: &Path) -> Result<OutputPaths> {
    let mut buffer = Vec::new();
    let bytes = read_file(file, &mut buffer).with_context(|| format!("cannot read derivation `{}`", file.display()))?;
    let drv = Derivation::parse(bytes).with_context(|| format!("`{}` is not a derivation", file.display()))?;
    drv.outputs
        .iter()
        .map(|output| {
            let path = Some(utf8(output.path, "an output's path")?).filter(|path| !path.is_empty());
            path.as_deref().map(store_path::split).transpose()?;
            Ok((utf8(output.name, "an output's name")?, path))
        })
        .collect()
}

/// Reads a regular file into a buffer that is used again and again; gives the part that it fills.
///
/// Most files take one call: a read that does not fill the buffer and ends as a derivation does has reached the end, whatever was opened.
fn read_file<'a>(path: &Path, buffer: &'a mut Vec<u8>) -> Result<&'a [u8]> {
    // Without waiting: a hostile directory may hold a pipe where a file should be.
    let mut file = File::options().read(true).custom_flags(NO_WAITING).open(path)?;
    buffer.resize(buffer.len().max(FIRST_READ), 0);
    let first = file.read(buffer);
    if let Ok(length) = first
        && length < buffer.len()
        && buffer[..length].ends_with(b")")
    {
        return Ok(&buffer[..length]);
    }
    let metadata = file.metadata()?;
    ensure!(metadata.is_file(), "it is not a regular file");
    ensure!(
        metadata.len() <= MAX_FILE_SIZE,
        "it has {} bytes, the most that is read is {MAX_FILE_SIZE}",
        metadata.len()
    );
    buffer.truncate(first?);
    Read::by_ref(&mut file).take(MAX_FILE_SIZE).read_to_end(buffer)?;
    Ok(buffer)
}

impl Batch {
    fn add(&mut self, base: &Arc<str>, drv: &Derivation, known: Known, shared: &mut Shared) -> Result<()> {
        let mut outputs = Vec::with_capacity(drv.outputs.len());
        for output in &drv.outputs {
            let name = shared.word(output.name, "an output's name")?;
            ensure!(
                !outputs.iter().any(|earlier: &Output| earlier.name == name),
                "it has the output `{}` twice",
                name.escape_debug()
            );
            let base = match &*output.path.bytes() {
                [] => None,
                path => Some(base_in(path, known.store_dir)?.into()),
            };
            outputs.push(Output { name, base });
        }
        for input in &drv.inputs {
            let input = RawInput {
                drv: self.number(&input.path.bytes(), known, shared)?,
                outputs: self.set(drv.outputs_of(input), shared)?,
            };
            self.inputs.push(input);
        }
        self.counts.push(drv.inputs.len() as u32);
        let attributes = drv.attributes();
        self.nodes.push(Node {
            base: base.clone(),
            system: shared.word(drv.system, "its system")?,
            outputs: outputs.into(),
            fixed_output: drv.is_fixed_output(),
            impure: drv.is_impure(),
            prefer_local_build: attributes.prefer_local_build,
            allow_substitutes: attributes.allow_substitutes,
            required_system_features: shared.features(attributes.required_system_features),
            sources: shared.sources(&drv.sources, known.store_dir)?,
        });
        Ok(())
    }

    /// The number of a derivation by its path, as [`RawInput::drv`] has it.
    fn number(&mut self, path: &[u8], known: Known, shared: &mut Shared) -> Result<Result<u32, u32>> {
        let base = base_in(path, known.store_dir)?;
        ensure!(base.ends_with(".drv"), "its input `{base}` is not a derivation");
        if let Some(&number) = known.numbers.get(base) {
            return Ok(Ok(number));
        }
        if let Some(&number) = shared.new.get(base) {
            return Ok(Err(number));
        }
        let base: Arc<str> = base.into();
        let number = self.new.len() as u32;
        self.new.push(base.clone());
        shared.new.insert(base, number);
        Ok(Err(number))
    }

    /// The index of a set of output names.
    fn set(&mut self, names: &[Text], shared: &mut Shared) -> Result<u32> {
        let mut key = Vec::new();
        for name in names {
            key.extend_from_slice(&name.bytes());
            key.push(0);
        }
        if let Some(&set) = shared.sets.get(&key) {
            return Ok(set);
        }
        let names = names.iter().map(|&name| Ok(utf8(name, "an output's name")?.into())).collect::<Result<_>>()?;
        let number = self.sets.len() as u32;
        self.sets.push(names);
        shared.sets.insert(key, number);
        Ok(number)
    }
}

impl Shared {
    /// A system, or the name of an output.
    fn word(&mut self, text: Text, what: &str) -> Result<Arc<str>> {
        let bytes = text.bytes();
        if let Some(word) = self.words.get(&*bytes) {
            return Ok(word.clone());
        }
        let word: Arc<str> = utf8(text, what)?.into();
        self.words.insert(bytes.into_owned(), word.clone());
        Ok(word)
    }

    fn features(&mut self, features: Vec<String>) -> Arc<[String]> {
        self.features.entry(features).or_insert_with_key(|features| features.as_slice().into()).clone()
    }

    /// Base names, ascending: most derivations name the same few sources.
    fn sources(&mut self, paths: &[Text], store_dir: &str) -> Result<Arc<[Box<str>]>> {
        let mut key = Vec::new();
        for path in paths {
            key.extend_from_slice(&path.bytes());
            key.push(0);
        }
        if let Some(sources) = self.sources.get(&key) {
            return Ok(sources.clone());
        }
        let base = |path: &Text| Ok(base_in(&path.bytes(), store_dir)?.into());
        let mut sources = paths.iter().map(base).collect::<Result<Vec<Box<str>>>>()?;
        sources.sort_unstable();
        let sources: Arc<[Box<str>]> = sources.into();
        self.sources.insert(key, sources.clone());
        Ok(sources)
    }
}

fn utf8(text: Text<'_>, what: &str) -> Result<String> {
    String::from_utf8(text.bytes().into_owned()).map_err(|_| anyhow!("{what} is not UTF-8"))
}

/// The base name of a path that must lie directly in the store directory.
fn base_in<'a>(path: &'a [u8], store_dir: &str) -> Result<&'a str> {
    path.strip_prefix(store_dir.as_bytes())
        .and_then(|rest| rest.strip_prefix(b"/"))
        .filter(|base| store_path::is_base_name(base))
        .and_then(|base| std::str::from_utf8(base).ok())
        .ok_or_else(|| anyhow!("`{}` is not a path in the store directory `{store_dir}`", path.escape_ascii()))
}
