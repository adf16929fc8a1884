//! The drv bundle: everything that a job needs to build without evaluating. The derivations with the sources that they name,
//! the plan, and this program, from the planning machine to every job.
//!
//! A bundle is a folder of five files:
//! - `manifest`: one line `<sha256>  <file>` for each of the others, so that `sha256sum -c manifest` checks them in a shell before
//!   anything is run. The digest of this file is the bundle's name; it stands in the generated configuration.
//! - `plan.json`: the plan.
//! - `nixdag`: this program.
//! - `install.sh`: the orb's script that installs Nix, and nixdag where this program does not run.
//! - `paths.zst`: see [`super::path_archive`]. What evaluation itself has built is there as well. One file and no process a path, so that a job reads it in one go and imports only
//!   the closure of its own derivations.
//!
//! The same inputs give the same bytes.

use std::collections::BTreeMap;
use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail, ensure};

use super::path_archive::{self, Contents};
use super::{drv_closure, free_space};
use crate::graph::Graph;
use crate::nix::hash::{self, Sha256};
use crate::nix::store::Store;
use crate::plan::{Job, Plan};
use crate::regular_file;

/// What a job without a usable bundle has to be told.
const START_ANEW: &str = "start a new pipeline, which makes a new bundle (a rerun of this one looks for the old one)";

const MANIFEST: &str = "manifest";
const PLAN: &str = "plan.json";
/// This program in the bundle.
pub const PROGRAM: &str = "nixdag";
/// The script in the bundle that sets a machine up.
pub const INSTALLER: &str = "install.sh";
const PATHS: &str = "paths.zst";

/// Longest manifest that is read, in bytes.
const MAX_MANIFEST: u64 = 64 << 10;

/// What a bundle holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Digest of the manifest, which covers all else.
    pub sha256: Sha256,
    /// Number of derivations.
    pub derivations: u64,
    /// Number of other store paths: sources, what evaluation has built, and what these refer to.
    pub sources: u64,
    /// Sources that this machine's store does not have: jobs must find them in their substituters.
    pub absent_sources: Vec<String>,
    /// Bytes of all files.
    pub bytes: u64,
}

/// What a bundle is made of.
pub struct Parts<'a> {
    pub plan: &'a Plan,
    /// The plan's derivations and their inputs.
    pub graph: &'a Graph,
    /// Their files, by base name.
    pub drv_dir: &'a Path,
    /// Asked for the sources that derivations name; it may be missing where none does.
    pub store: Result<&'a Store, &'a anyhow::Error>,
    /// The nixdag that jobs run.
    pub program: &'a Path,
}

/// Writes a bundle into `dir`, which is created; what is there already is replaced file by file.
pub fn write(dir: &Path, Parts { plan, graph, drv_dir, store, program }: Parts) -> Result<Summary> {
    fs::create_dir_all(dir).with_context(|| format!("cannot create `{}`", dir.display()))?;
    // Where a fetch fails, another one of the same file is built in its place.
    let others = plan.same_as.keys().map(|drv| &**drv);
    let needed = plan.all_jobs().flat_map(Job::builds).chain(others);
    let built = plan.all_jobs().flat_map(|job| plan.built_before(job)).collect();
    let (entries, absent_sources) = drv_closure::entries(needed, &built, graph, drv_dir, store)?;
    let derivations = entries.iter().filter(|entry| matches!(entry.contents, Contents::File(_))).count() as u64;
    let sources = entries.iter().filter(|entry| matches!(entry.contents, Contents::Tree(..))).count() as u64;

    let mut text = Vec::new();
    crate::plan::json::write(plan, &mut text)?;
    let needed = entries.iter().map(|entry| entry.nar_size).sum::<u64>() + text.len() as u64;
    let mut digests = BTreeMap::new();
    let mut put = |name: &'static str, mode: u32, fill: &mut dyn FnMut(&mut dyn Write) -> Result<()>| -> Result<u64> {
        let (digest, size) = write_whole(dir, name, mode, fill).map_err(|error| {
            match error.chain().find_map(|cause| cause.downcast_ref::<io::Error>()) {
                Some(cause) => {
                    let text = free_space::explain(cause, &format!("`{name}` of the bundle"), needed, dir);
                    error.context(text)
                }
                None => error,
            }
        })?;
        digests.insert(name, digest);
        Ok(size)
    };
    let mut bytes = put(PATHS, 0o644, &mut |out| path_archive::write(&entries, out))?;
    bytes += put(PLAN, 0o644, &mut |out| Ok(out.write_all(&text)?))?;
    bytes += put(PROGRAM, 0o755, &mut |out| {
        let mut file = File::open(program).with_context(|| format!("cannot read `{}`", program.display()))?;
        io::copy(&mut file, out)?;
        Ok(())
    })?;
    let installer = include_bytes!("../../orb/src/scripts/install.sh");
    bytes += put(INSTALLER, 0o644, &mut |out| Ok(out.write_all(installer)?))?;
    let manifest: String = digests.iter().map(|(name, digest)| format!("{}  {name}\n", digest.base16())).collect();
    let (sha256, size) = write_whole(dir, MANIFEST, 0o644, &mut |out| Ok(out.write_all(manifest.as_bytes())?))?;
    Ok(Summary { sha256, derivations, sources, absent_sources, bytes: bytes + size })
}

/// The digest of the bundle in a folder, by its manifest alone; none where there is no bundle.
pub fn digest(dir: &Path) -> Result<Option<Sha256>> {
    if !dir.join(MANIFEST).exists() {
        return Ok(None);
    }
    Ok(Some(Sha256::of(read_manifest(dir)?.as_bytes())))
}

/// Writes a file under a temporary name first; gives its digest and size.
fn write_whole(
    dir: &Path,
    name: &str,
    mode: u32,
    fill: &mut dyn FnMut(&mut dyn Write) -> Result<()>,
) -> Result<(Sha256, u64)> {
    let file = tempfile::Builder::new().permissions(Permissions::from_mode(mode)).tempfile_in(dir)?;
    let mut out = hash::HashingWriter::new(io::BufWriter::with_capacity(256 * 1024, file));
    fill(&mut out)?;
    let (out, digest, size) = out.finish();
    out.into_inner().map_err(io::IntoInnerError::into_error)?.persist(dir.join(name)).map_err(|error| error.error)?;
    Ok((digest, size))
}

/// A bundle whose every byte has been checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bundle {
    dir: PathBuf,
    store_dir: String,
}

impl Bundle {
    /// Opens and checks a bundle; gives the plan that it was made for, too. With `expected`, its digest has to be that one.
    pub fn open(dir: &Path, expected: Option<Sha256>) -> Result<(Bundle, Plan)> {
        let manifest = read_manifest(dir)?;
        if let Some(expected) = expected
            && Sha256::of(manifest.as_bytes()) != expected
        {
            bail!(
                "`{}` is another bundle: it has sha256 {}, expected {}: {START_ANEW}",
                dir.display(),
                Sha256::of(manifest.as_bytes()).base16(),
                expected.base16()
            );
        }
        let digests = parse_manifest(&manifest).with_context(|| unusable(dir))?;
        for (name, digest) in &digests {
            let path = dir.join(name);
            let (found, _) = regular_file::open(&path).and_then(hash::of_reader).with_context(|| unusable(&path))?;
            ensure!(
                found == *digest,
                "{}: its sha256 is {}, expected {}",
                unusable(&path),
                found.base16(),
                digest.base16()
            );
        }
        let text = fs::read(dir.join(PLAN)).with_context(|| unusable(dir))?;
        let plan = crate::plan::json::read(&text).with_context(|| unusable(&dir.join(PLAN)))?;
        Ok((Bundle { dir: dir.to_owned(), store_dir: plan.store_dir.clone() }, plan))
    }

    /// Reads the part of the bundle that these paths need; see [`path_archive::BundledClosure`].
    pub fn closure(&self, paths: &[&str]) -> Result<path_archive::BundledClosure> {
        let path = self.dir.join(PATHS);
        let file = regular_file::open(&path).with_context(|| unusable(&path))?;
        path_archive::BundledClosure::read(file, &self.store_dir, paths).with_context(|| unusable(&path))
    }
}

fn unusable(path: &Path) -> String {
    format!("`{}` of the bundle cannot be used: {START_ANEW}", path.display())
}

fn read_manifest(dir: &Path) -> Result<String> {
    use std::io::Read;
    let path = dir.join(MANIFEST);
    match regular_file::open(&path) {
        Ok(file) => {
            let mut text = String::new();
            file.take(MAX_MANIFEST).read_to_string(&mut text).with_context(|| unusable(&path))?;
            Ok(text)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(anyhow!("no bundle in `{}`: {START_ANEW}", dir.display()))
        }
        Err(error) => Err(error).with_context(|| unusable(&path)),
    }
}

/// Reads a manifest: exactly the files that a bundle consists of.
fn parse_manifest(text: &str) -> Result<BTreeMap<&str, Sha256>> {
    let mut digests = BTreeMap::new();
    for (index, line) in text.lines().enumerate() {
        let (digest, name) =
            line.split_once("  ").with_context(|| format!("manifest line {} is not `<sha256>  <file>`", index + 1))?;
        digests.insert(name, Sha256::parse(digest).with_context(|| format!("manifest line {}", index + 1))?);
    }
    ensure!(
        digests.keys().copied().eq([INSTALLER, PROGRAM, PATHS, PLAN]),
        "its manifest names {:?}, expected {INSTALLER}, {PROGRAM}, {PATHS}, {PLAN}",
        digests.keys().map(|name| hash::shortened(name)).collect::<Vec<_>>()
    );
    Ok(digests)
}
