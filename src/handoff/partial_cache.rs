//! Writer of partial binary caches: a folder with a narinfo and a NAR for some store paths and not for what they refer to.
//!
//! In: what the store knows of the paths. Out: `<hash>.narinfo` and `nar/<file hash>.nar.zst`, readable by any Nix as
//! `file://…?trusted=1`. `nix copy` refuses to write such a cache, it wants the whole closure.
//! A NAR is hashed on the way and held against the store's digest; nothing has its valid name before it is whole, and the
//! narinfo comes after its NAR. Memory does not grow with the paths.

use std::ffi::OsString;
use std::fs::{self, Permissions};
use std::io::{self, BufWriter, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result, anyhow, bail, ensure};
use tempfile::NamedTempFile;

use super::free_space;
use crate::nix::fixed_output::FixedOutput;
use crate::nix::hash::{self, HashingWriter};
use crate::nix::nar;
use crate::nix::narinfo::{self, NarInfo};
use crate::nix::path_info::PathInfo;
use crate::nix::signature::SecretKey;
use crate::nix::unpack::unpack;
use crate::regular_file;

/// How NARs are compressed; 3 is zstd's own default and about as fast as the disk.
const LEVEL: i32 = 3;

/// From this size on, in bytes, a NAR is compressed on all cores, one NAR at a time; smaller ones go side by side.
const LARGE: u64 = 32 << 20;

/// Begins the name of every file that is not whole yet.
const TEMPORARY: &str = ".tmp-";

/// What was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Paths in the folder.
    pub paths: u64,
    /// Of these, paths whose NAR an earlier run of the job had made.
    pub kept: u64,
    /// Paths that got a signature which they did not have.
    pub signed: u64,
    /// Bytes of all NARs, not compressed.
    pub nar_bytes: u64,
    /// Bytes of all NARs, compressed.
    pub file_bytes: u64,
}

/// Makes `dir` a cache without any path; whatever is there goes, since a job vouches for all that its folder holds. A job's folder is
/// there even if the job fails at once: CI services refuse to pass on what does not exist.
pub fn prepare(dir: &Path, store_dir: &str) -> Result<()> {
    let explain = |error: io::Error| {
        let text = free_space::explain(&error, "the hand-off", 4096, dir);
        anyhow::Error::new(error).context(text)
    };
    remove(dir)?;
    fs::create_dir_all(dir.join("nar")).map_err(explain)?;
    let mut file = temporary(dir).map_err(explain)?;
    file.write_all(cache_info(store_dir).as_bytes()).map_err(explain)?;
    file.persist(dir.join("nix-cache-info")).map_err(|error| explain(error.error))?;
    Ok(())
}

/// What a cache says about itself: it is asked before all others, and about many paths at once.
pub fn cache_info(store_dir: &str) -> String {
    format!("StoreDir: {store_dir}\nWantMassQuery: 1\nPriority: 1\n")
}

/// Writes paths into `dir`, which [`prepare`] has made a cache. A NAR that one of the caches `earlier` has, whole, is taken from there.
/// With `key` every path is signed.
pub fn write(dir: &Path, paths: &[PathInfo], earlier: &[PathBuf], key: Option<&SecretKey>) -> Result<Written> {
    let threads = std::thread::available_parallelism().map_or(1, |cores| cores.get());
    let total = Mutex::new(Written::default());
    let done = |one: Written| {
        // A thread that panicked while it held the lock ends the whole program anyway.
        if let Ok(mut total) = total.lock() {
            total.paths += one.paths;
            total.kept += one.kept;
            total.signed += one.signed;
            total.nar_bytes += one.nar_bytes;
            total.file_bytes += one.file_bytes;
        }
    };
    let (large, mut small): (Vec<&PathInfo>, Vec<&PathInfo>) = paths.iter().partition(|info| info.nar_size >= LARGE);
    for info in large {
        done(write_path(dir, info, earlier, key, threads)?);
    }
    // The largest first, so that no thread begins it when the others are done.
    small.sort_by_key(|info| std::cmp::Reverse(info.nar_size));
    let next = AtomicUsize::new(0);
    let failed = Mutex::new(None);
    std::thread::scope(|scope| {
        for _ in 0..threads.min(small.len()) {
            scope.spawn(|| {
                while let Some(info) = small.get(next.fetch_add(1, Ordering::Relaxed)) {
                    match write_path(dir, info, earlier, key, 0) {
                        Ok(one) => done(one),
                        Err(error) => {
                            next.store(small.len(), Ordering::Relaxed);
                            if let Ok(mut failed) = failed.lock() {
                                failed.get_or_insert(error);
                            }
                            return;
                        }
                    }
                }
            });
        }
    });
    if let Some(error) = failed.into_inner().unwrap_or_default() {
        return Err(error);
    }
    Ok(total.into_inner().unwrap_or_default())
}

/// Writes one path; with 0 threads the caller's own compresses.
fn write_path(
    dir: &Path,
    info: &PathInfo,
    earlier: &[PathBuf],
    key: Option<&SecretKey>,
    threads: usize,
) -> Result<Written> {
    let name = base_name(&info.path)?;
    let mut narinfo = NarInfo {
        store_path: info.path.clone(),
        url: String::new(),
        compression: "zstd".to_owned(),
        file_hash: None,
        file_size: None,
        nar_hash: info.nar_hash,
        nar_size: info.nar_size,
        references: info.references.iter().map(|path| base_name(path)).collect::<Result<_>>()?,
        deriver: info.deriver.as_deref().map(base_name).transpose()?,
        signatures: Vec::new(),
        content_address: None,
    };
    if let Some((from, known, file_bytes)) = earlier.iter().find_map(|from| whole(from, &narinfo)) {
        narinfo = known;
        copy(from, dir, &narinfo.url)?;
        let signed = sign(&mut narinfo, key);
        write_narinfo(dir, &narinfo)?;
        let written = Written { paths: 1, kept: 1, signed: signed.into(), nar_bytes: info.nar_size, file_bytes };
        return Ok(written);
    }

    let explain = |error: io::Error| {
        let text = free_space::explain(&error, &format!("the hand-off of `{name}`"), info.nar_size, dir);
        anyhow::Error::new(error).context(text)
    };
    let nar_dir = dir.join("nar");
    let file = temporary(&nar_dir).map_err(explain)?;
    let output = HashingWriter::new(BufWriter::with_capacity(256 * 1024, file));
    let mut encoder = zstd::Encoder::new(output, LEVEL).map_err(explain)?;
    if threads > 1 {
        encoder.multithread(threads as u32).map_err(explain)?;
    }
    let mut hashing = HashingWriter::new(encoder);
    nar::write(Path::new(&info.path), &mut hashing).map_err(explain)?;
    let (encoder, nar_hash, nar_size) = hashing.finish();
    ensure!(
        nar_hash == info.nar_hash && nar_size == info.nar_size,
        "`{}` is damaged: the store knows it with {} bytes and {:?}, on disk it has {nar_size} bytes and {nar_hash:?} \
         (`nix-store --verify-path` shows more)",
        info.path,
        info.nar_size,
        info.nar_hash,
    );
    let (output, file_hash, file_size) = encoder.finish().map_err(explain)?.finish();
    let file = output.into_inner().map_err(|error| explain(error.into_error()))?;
    narinfo.url = format!("nar/{}.nar.zst", file_hash.base32());
    narinfo.file_hash = Some(file_hash);
    narinfo.file_size = Some(file_size);
    file.persist(dir.join(&narinfo.url)).map_err(|error| explain(error.error))?;
    let signed = sign(&mut narinfo, key);
    write_narinfo(dir, &narinfo)?;
    Ok(Written { paths: 1, kept: 0, signed: signed.into(), nar_bytes: nar_size, file_bytes: file_size })
}

/// Adds the key's signature; true where it was not there.
fn sign(narinfo: &mut NarInfo, key: Option<&SecretKey>) -> bool {
    let Some(signature) = key.map(|key| key.sign(&narinfo.fingerprint())) else { return false };
    let new = !narinfo.signatures.contains(&signature);
    if new {
        narinfo.signatures.push(signature);
    }
    new
}

fn write_narinfo(dir: &Path, narinfo: &NarInfo) -> Result<()> {
    let text = narinfo.to_text();
    let explain = |error: io::Error| {
        let what = format!("the narinfo of `{}`", narinfo.store_path);
        let text = free_space::explain(&error, &what, text.len() as u64, dir);
        anyhow::Error::new(error).context(text)
    };
    let mut file = temporary(dir).map_err(explain)?;
    file.write_all(text.as_bytes()).map_err(explain)?;
    file.persist(dir.join(narinfo.file_name())).map_err(|error| explain(error.error))?;
    Ok(())
}

/// A file that goes away with its handle and that others may read: a daemon is another user.
fn temporary(dir: &Path) -> io::Result<NamedTempFile> {
    tempfile::Builder::new().prefix(TEMPORARY).permissions(Permissions::from_mode(0o644)).tempfile_in(dir)
}

fn base_name(path: &str) -> Result<String> {
    Ok(crate::nix::store_path::split(path)?.1.to_owned())
}

/// What a cache has of this very path, and the size of the NAR file, where that is whole.
fn whole<'a>(dir: &'a Path, narinfo: &NarInfo) -> Option<(&'a Path, NarInfo, u64)> {
    let known = read_narinfo(&dir.join(narinfo.file_name())).ok()?;
    let expected = NarInfo {
        url: known.url.clone(),
        file_hash: known.file_hash,
        file_size: known.file_size,
        signatures: known.signatures.clone(),
        ..narinfo.clone()
    };
    let size = if known == expected { verify_contents(dir, &known).ok()? } else { return None };
    Some((dir, known, size))
}

/// Brings a file of one cache into another, by a hard link where that is possible. A file that is there already, which has the same
/// contents by its name, stays.
pub(super) fn copy(from: &Path, into: &Path, name: &str) -> Result<()> {
    let (source, target) = (from.join(name), into.join(name));
    let explain = |error: io::Error| {
        let size = fs::metadata(&source).map_or(0, |metadata| metadata.len());
        let text = free_space::explain(&error, &format!("a copy of `{}`", source.display()), size, into);
        anyhow::Error::new(error).context(text)
    };
    match fs::hard_link(&source, &target) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
        Ok(()) => return Ok(()),
        // Another file system, or a file of another user.
        Err(_) => {}
    }
    let mut file = temporary(target.parent().unwrap_or(into)).map_err(explain)?;
    io::copy(&mut regular_file::open(&source).map_err(explain)?, &mut file).map_err(explain)?;
    file.persist(&target).map_err(|error| explain(error.error))?;
    Ok(())
}

/// Reads a narinfo file of a hand-off: one that names its NAR as nixdag does.
pub fn read_narinfo(path: &Path) -> Result<NarInfo> {
    let file = regular_file::open(path).with_context(|| format!("cannot read `{}`", path.display()))?;
    let mut text = Vec::new();
    file.take(narinfo::MAX_SIZE as u64 + 1)
        .read_to_end(&mut text)
        .with_context(|| format!("cannot read `{}`", path.display()))?;
    let check = || {
        let info = NarInfo::parse(&text)?;
        let digest = info.file_hash.context("narinfo without `FileHash`")?;
        ensure!(
            info.url == format!("nar/{}.nar.zst", digest.base32()) && info.compression == "zstd",
            "its URL is `{}`, expected `nar/<FileHash>.nar.zst`",
            hash::shortened(&info.url)
        );
        info.file_size.context("narinfo without `FileSize`")?;
        let expected = info.file_name();
        ensure!(
            path.file_name().is_some_and(|name| name.as_encoded_bytes() == expected.as_bytes()),
            "it describes `{}`",
            info.store_path
        );
        Ok(info)
    };
    check().map_err(|error: anyhow::Error| error.context(format!("damaged narinfo `{}`", path.display())))
}

/// Holds a NAR file against what its narinfo says; gives its size in bytes.
pub fn verify(dir: &Path, info: &NarInfo) -> Result<u64> {
    let path = dir.join(&info.url);
    let size = verify_size(dir, info)?;
    let file = regular_file::open(&path).with_context(|| format!("cannot read `{}`", path.display()))?;
    let (digest, _) = hash::of_reader(file).with_context(|| format!("cannot read `{}`", path.display()))?;
    ensure!(info.file_hash == Some(digest), "damaged NAR `{}`: its contents have {digest:?}", path.display());
    Ok(size)
}

/// Holds a NAR file and what it unpacks to against what its narinfo says; gives its size in bytes. A link is not a NAR file.
pub(super) fn verify_contents(dir: &Path, info: &NarInfo) -> Result<u64> {
    let path = dir.join(&info.url);
    let is_file = fs::symlink_metadata(&path).with_context(|| format!("cannot read `{}`", path.display()))?.is_file();
    ensure!(is_file, "damaged NAR `{}`: not a regular file", path.display());
    let size = verify(dir, info)?;
    let unpacked = || {
        let file = regular_file::open(&path)?;
        hash::of_reader(unpack(file)?.take(info.nar_size.saturating_add(1)))
    };
    let (digest, nar_size) = unpacked().with_context(|| format!("damaged NAR `{}`", path.display()))?;
    ensure!(
        digest == info.nar_hash && nar_size == info.nar_size,
        "damaged NAR `{}`: it unpacks to other contents than its narinfo says",
        path.display()
    );
    Ok(size)
}

/// Holds what a NAR file unpacks to against what the derivation says that its output is.
pub(super) fn verify_fixed(dir: &Path, info: &NarInfo, fixed: &FixedOutput) -> Result<()> {
    let path = dir.join(&info.url);
    // Nix holds the NAR against its digest.
    let is_right = fixed.is_nar(&info.nar_hash) || {
        let unpacked = || fixed.matches(unpack(regular_file::open(&path)?)?.take(info.nar_size));
        unpacked().with_context(|| format!("damaged NAR `{}`", path.display()))?
    };
    ensure!(
        is_right,
        "`{}` does not hold what its derivation says: the fixed output has another hash",
        info.store_path
    );
    Ok(())
}

/// Holds only a NAR file's size against what its narinfo says; gives it.
pub fn verify_size(dir: &Path, info: &NarInfo) -> Result<u64> {
    let path = dir.join(&info.url);
    let metadata = fs::metadata(&path).with_context(|| format!("cannot read `{}`", path.display()))?;
    ensure!(metadata.is_file(), "damaged NAR `{}`: not a regular file", path.display());
    match info.file_size {
        Some(size) if size == metadata.len() => Ok(size),
        Some(size) => bail!("damaged NAR `{}`: {} bytes of {size}", path.display(), metadata.len()),
        None => Err(anyhow!("narinfo of `{}` without `FileSize`", info.store_path)),
    }
}

/// Removes a folder under a name that nobody reads: whoever is killed meanwhile leaves no part of it where a whole one was.
fn remove_folder(path: &Path) -> io::Result<()> {
    let Some(name) = path.file_name() else { return fs::remove_dir_all(path) };
    let mut hidden = OsString::from(".removed-");
    hidden.push(name);
    let aside = path.with_file_name(hidden);
    match fs::remove_dir_all(&aside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    // What is mounted cannot be renamed.
    if fs::rename(path, &aside).is_err() { fs::remove_dir_all(path) } else { fs::remove_dir_all(&aside) }
}

/// Removes a file, a link or a folder with all that is in it; nothing need be there.
pub fn remove(path: &Path) -> Result<()> {
    let removed = match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => remove_folder(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove `{}`", path.display()))
        }
        _ => Ok(()),
    }
}
