//! The evaluation cache: what a flake evaluated to, and the derivations, so that the same tree is evaluated once, on any machine.
//!
//! In: a folder, a request. Out: an [`Evaluation`]. The folder holds a folder for each result, named after the digest of all that
//! the result depends on (see [`Resolved::fingerprint`]), with three files:
//! - `manifest`: one line `<sha256>  <file>` for each of the others. What does not fit it is made anew.
//! - `evaluation.json`: the result.
//! - `paths.zst`: the closure of the derivations with their sources, see [`path_archive`]; read only by a store without them. The
//!   cache of a user has none: there the store is the one of last time, or the tree is evaluated again.
//!
//! Beside a folder that travels, `<folder>.key` holds a digest of which results there are: a CI cache is saved under it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use crate::graph::Graph;
use crate::handoff::{drv_closure, path_archive};
use crate::nix::command::Nix;
use crate::nix::evaluate::{self, Evaluation, EvaluationRequest, Progress, Resolved};
use crate::nix::hash::{self, HashingWriter, Sha256};
use crate::nix::store::Store;
use crate::nix::store_path;
use crate::output::Output;
use crate::plural::counted;
use crate::printable::{printable, shortened};
use crate::removed_at_signal::RemovedAtSignal;
use crate::target::Target;
use crate::{folder_owner, regular_file, user_folder};

const MANIFEST: &str = "manifest";
const EVALUATION: &str = "evaluation.json";
const PATHS: &str = "paths.zst";

/// How many results are kept where they travel, those used last: some branches with a base each.
const MAX_RESULTS: usize = 8;

/// The same where they stay: some flakes.
const MAX_LOCAL_RESULTS: usize = 64;

/// Longest manifest that is read, in bytes.
const MAX_MANIFEST: u64 = 4 << 10;

/// Longest result that is read, in bytes: a hundred thousand attributes have some 20 MB.
const MAX_EVALUATION: u64 = 256 << 20;

/// Characters of what is wrong with a result, which may quote what is in it.
const LONGEST_REASON: usize = 300;

/// Where results are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EvaluationCache {
    /// A folder that goes from machine to machine, with the derivations.
    Travels(PathBuf),
    /// A folder of this machine, beside its store.
    Stays(PathBuf),
}

impl EvaluationCache {
    /// The folder of the user, `$XDG_CACHE_HOME/nixdag/evaluations`; none in CI, where nothing stays (`CI` is set there), nor without a home.
    pub fn of_user(variable: impl Fn(&str) -> Option<OsString>) -> Option<Self> {
        Some(Self::Stays(user_folder::of_cache(variable)?.join("evaluations")))
    }

    fn dir(&self) -> &Path {
        match self {
            Self::Travels(dir) | Self::Stays(dir) => dir,
        }
    }

    /// Whether others may write to it, on the way from machine to machine.
    pub fn travels(&self) -> bool {
        matches!(self, Self::Travels(_))
    }

    /// The files of a result, besides its manifest.
    fn files(&self) -> &'static [&'static str] {
        if self.travels() { &[EVALUATION, PATHS] } else { &[EVALUATION] }
    }

    fn most_results(&self) -> usize {
        if self.travels() { MAX_RESULTS } else { MAX_LOCAL_RESULTS }
    }
}

/// What stands in `evaluation.json`.
#[derive(Deserialize)]
struct Recorded {
    /// The name of the folder, which a copy under another name does not have.
    fingerprint: String,
    evaluation: Evaluation,
}

#[derive(Serialize)]
struct Recording<'e> {
    fingerprint: &'e str,
    evaluation: &'e Evaluation,
}

/// What there is to be said about an evaluation and the cache, a line each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CacheNote {
    /// It is from the cache: nothing was evaluated.
    Taken(String),
    /// What is not as it may seem.
    Warning(String),
}

/// Takes an evaluation from the cache, or evaluates and puts it there.
pub fn evaluate(
    nix: &Nix,
    request: &EvaluationRequest,
    cache: &EvaluationCache,
    watch: &(dyn Fn(&Progress) + Sync),
    say: &mut dyn FnMut(CacheNote),
) -> Result<Evaluation> {
    match (folder_owner::check(cache.dir()), cache.travels()) {
        (Ok(()), _) => {}
        (Err(error), true) => return Err(error),
        // Nobody has asked for it.
        (Err(_), false) => return evaluate::evaluate(nix, request, watch),
    }
    let resolved = Resolved::new(nix, request)?;
    // On a machine that has the derivations it is quick to find out that nothing has changed; elsewhere there is more to a result.
    let resolved = if cache.travels() { resolved.known()? } else { resolved };
    let (mut name, mut taken, mut said) = (None, false, None);
    let evaluation = resolved.evaluate_unless(watch, |fingerprint| {
        let found = name.insert(fingerprint?.base16());
        let entry = cache.dir().join(&*found);
        match take(&entry, found, cache) {
            Ok(evaluation) => {
                taken = evaluation.is_some();
                evaluation
            }
            Err(error) => {
                let why = shortened(&printable(&format!("{error:#}")), LONGEST_REASON);
                let entry = entry.display();
                said = Some(CacheNote::Warning(format!(
                    "the cached evaluation `{entry}` is unusable, evaluating again: {why}"
                )));
                None
            }
        }
    });
    said.into_iter().for_each(&mut *say);
    let evaluation = evaluation?;
    let Some(name) = name else {
        // Nobody has asked for the user's own.
        if cache.travels() {
            say(not_cached("it is impure, or an input is not locked"));
            settle(cache, say);
        }
        return Ok(evaluation);
    };
    if taken {
        let shown = cache.dir().display();
        let targets = counted(evaluation.targets.len() as u64, "target");
        say(CacheNote::Taken(format!("evaluation: {targets} from the cache in `{shown}`")));
        settle(cache, say);
        return Ok(evaluation);
    }
    if evaluation.is_incidental {
        say(not_cached("some of its failures may not happen again"));
    } else if !evaluate::is_still(nix, request, &evaluation.flake, &name) {
        // What was evaluated may be neither of both.
        say(not_cached("files changed while it was made"));
    } else if let Some(gone) = without_file(&evaluation).filter(|_| cache.travels()) {
        say(not_cached(&format!("`{}` has a derivation that does not exist", printable(&gone.attribute.to_string()))));
    } else if let Err(error) = put(cache, &name, &evaluation) {
        if !cache.travels() {
            // A home that cannot be written to is no reason for a warning each time.
            return Ok(evaluation);
        }
        say(CacheNote::Warning(format!("the evaluation cannot be cached: {error:#}")));
    }
    settle(cache, say);
    Ok(evaluation)
}

fn not_cached(why: &str) -> CacheNote {
    CacheNote::Warning(format!("this evaluation is not cached: {why}"))
}

/// A target without a file for its derivation: evaluated code may call any path its `drvPath`.
fn without_file(evaluation: &Evaluation) -> Option<&Target> {
    evaluation.targets.iter().find(|target| fs::symlink_metadata(&*target.drv_path).is_err())
}

/// A cached result whose derivations are in the store by then.
fn take(entry: &Path, name: &str, cache: &EvaluationCache) -> Result<Option<Evaluation>> {
    let Some(evaluation) = read(entry, name, cache)? else { return Ok(None) };
    let roots: Vec<&str> = evaluation.targets.iter().map(|target| &*target.drv_path).collect();
    let absent = absent(&roots)?;
    if !absent.is_empty() && !cache.travels() {
        return Ok(None);
    }
    restore(&entry.join(PATHS), &absent)?;
    // So that it is not among those that go first.
    File::options().append(true).open(entry.join(MANIFEST))?.set_modified(SystemTime::now())?;
    Ok(Some(evaluation))
}

/// Reads the result of this name from its folder, which anybody may have filled; none where there is no such folder.
pub fn read(entry: &Path, name: &str, cache: &EvaluationCache) -> Result<Option<Evaluation>> {
    let manifest = match read_manifest(entry) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && !entry.exists() => return Ok(None),
        manifest => manifest.context("cannot read its manifest")?,
    };
    let (mut text, file) = (Vec::new(), || format!("cannot read its `{EVALUATION}`"));
    let evaluation = regular_file::open(&entry.join(EVALUATION)).with_context(file)?;
    evaluation.take(MAX_EVALUATION + 1).read_to_end(&mut text).with_context(file)?;
    ensure!(text.len() as u64 <= MAX_EVALUATION, "its `{EVALUATION}` has more than {MAX_EVALUATION} bytes");
    for file in cache.files() {
        let digest = match *file {
            EVALUATION => Sha256::of(&text),
            _ => {
                let digest = regular_file::open(&entry.join(file)).and_then(hash::of_reader);
                digest.with_context(|| format!("cannot read its `{file}`"))?.0
            }
        };
        let line = manifest_line(file, digest);
        ensure!(manifest.lines().any(|known| known == line), "its `{file}` is not what it was");
    }
    let recorded: Recorded = serde_json::from_slice(&text).context("cannot read it")?;
    ensure!(recorded.fingerprint == name, "it is that of another tree");
    Ok(Some(recorded.evaluation))
}

/// Those of the derivations that the store does not have.
fn absent(roots: &[&str]) -> Result<Vec<String>> {
    if roots.is_empty() {
        return Ok(Vec::new());
    }
    Store::find()?.invalid(roots)
}

/// Brings derivations into a store that does not have them.
fn restore(archive: &Path, absent: &[String]) -> Result<()> {
    let Some(first) = absent.first() else { return Ok(()) };
    let (store_dir, _) = store_path::split(first)?;
    let roots: Vec<&str> = absent.iter().map(String::as_str).collect();
    let mut closure = path_archive::BundledClosure::read(regular_file::open(archive)?, store_dir, &roots)?;
    // Anything else, an output say, would pass for what evaluation has built here, and every job would take it for that.
    closure.expect_addresses();
    Store::find()?.import(|out| closure.export(out)).context("cannot bring its derivations into the store")
}

/// Puts a result into the cache, whole or not at all.
fn put(cache: &EvaluationCache, name: &str, evaluation: &Evaluation) -> Result<()> {
    let dir = cache.dir();
    fs::create_dir_all(dir).with_context(|| format!("cannot create `{}`", dir.display()))?;
    let new = tempfile::Builder::new().prefix(".new-").tempdir_in(dir)?;
    let _removed = RemovedAtSignal::new(new.path());
    let recording = serde_json::to_vec(&Recording { fingerprint: name, evaluation })?;
    let mut manifest = String::new();
    for file in cache.files() {
        let out = BufWriter::with_capacity(256 * 1024, File::create(new.path().join(file))?);
        let mut out = HashingWriter::new(out);
        match *file {
            EVALUATION => out.write_all(&recording)?,
            _ => path_archive::write(&closure(evaluation)?, &mut out)?,
        }
        let (mut out, digest, _) = out.finish();
        out.flush()?;
        manifest.push_str(&manifest_line(file, digest));
        manifest.push('\n');
    }
    fs::write(new.path().join(MANIFEST), manifest)?;
    if cache.travels() {
        // Whoever restores it on another machine may be another user.
        fs::set_permissions(new.path(), fs::Permissions::from_mode(0o755))?;
    }
    let entry = dir.join(name);
    if entry.exists() {
        fs::remove_dir_all(&entry).with_context(|| format!("cannot replace `{}`", entry.display()))?;
    }
    fs::rename(new.keep(), &entry).with_context(|| format!("cannot write `{}`", entry.display()))
}

/// The closure of the targets' derivations.
fn closure(evaluation: &Evaluation) -> Result<Vec<path_archive::ArchiveEntry>> {
    let roots = || evaluation.targets.iter().map(|target| &*target.drv_path);
    let Some(first) = roots().next() else { return Ok(Vec::new()) };
    let (store_dir, _) = store_path::split(first)?;
    let graph = Graph::load(roots(), Path::new(store_dir), store_dir)?;
    let (entries, _) =
        drv_closure::entries(roots(), &BTreeMap::new(), &graph, Path::new(store_dir), Store::find().as_ref())?;
    Ok(entries)
}

fn manifest_line(file: &str, digest: Sha256) -> String {
    format!("{}  {file}", digest.base16())
}

fn read_manifest(entry: &Path) -> io::Result<String> {
    let mut text = String::new();
    regular_file::open(&entry.join(MANIFEST))?.take(MAX_MANIFEST).read_to_string(&mut text)?;
    Ok(text)
}

/// Removes what was used longest ago, and writes the key beside the folder: a CI service that saves both wants to find them.
fn settle(cache: &EvaluationCache, say: &mut dyn FnMut(CacheNote)) {
    let dir = cache.dir();
    let settled = fs::create_dir_all(dir).context("cannot create it").and_then(|()| prune(dir, cache.most_results()));
    let settled = settled.and_then(|names| if cache.travels() { write_key(dir, &names) } else { Ok(()) });
    if let Err(error) = settled {
        say(CacheNote::Warning(format!(
            "the evaluation cache in `{}` cannot be kept in order: {error:#}",
            dir.display()
        )));
    }
}

/// The names of the results that stay, in order.
fn prune(dir: &Path, most: usize) -> Result<Vec<String>> {
    let mut results: Vec<(SystemTime, String, PathBuf)> = Vec::new();
    for found in fs::read_dir(dir)? {
        let path = found?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        // Nothing else is anybody's to remove.
        if Sha256::parse(&name).is_ok_and(|digest| digest.base16() == name) {
            let used = fs::metadata(path.join(MANIFEST)).and_then(|data| data.modified());
            results.push((used.unwrap_or(SystemTime::UNIX_EPOCH), name, path));
        }
    }
    results.sort_by(|a, b| b.cmp(a));
    for (_, _, path) in results.drain(results.len().min(most)..) {
        fs::remove_dir_all(&path).with_context(|| format!("cannot remove `{}`", path.display()))?;
    }
    let mut names: Vec<String> = results.into_iter().map(|(_, name, _)| name).collect();
    names.sort_unstable();
    Ok(names)
}

fn write_key(dir: &Path, names: &[String]) -> Result<()> {
    let mut beside = dir.components().as_path().as_os_str().to_owned();
    beside.push(".key");
    let digest = Sha256::of(names.join("\n").as_bytes()).base16();
    Output::File(beside.into()).write(|out| writeln!(out, "{digest}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_results_used_last_stay_and_the_key_says_which() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("cache");
        let key = || fs::read_to_string(root.path().join("cache.key")).unwrap();
        let cache = EvaluationCache::Travels(dir.clone());
        let settle = || settle(&cache, &mut |said| panic!("{said:?}"));
        settle();
        let empty = key();
        for number in 0..MAX_RESULTS + 3 {
            let entry = dir.join(Sha256::of(&[number as u8]).base16());
            fs::create_dir_all(&entry).unwrap();
            let manifest = File::create(entry.join(MANIFEST)).unwrap();
            manifest.set_modified(SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(number as u64)).unwrap();
        }
        fs::create_dir(dir.join("somebody's own")).unwrap();
        settle();
        assert_eq!(fs::read_dir(&dir).unwrap().count(), MAX_RESULTS + 1);
        assert!(!dir.join(Sha256::of(&[2]).base16()).exists() && dir.join(Sha256::of(&[3]).base16()).exists());
        let full = key();
        assert!(full != empty && full.trim().len() == 64);
        settle();
        assert_eq!(key(), full);
    }

    #[test]
    fn a_pipe_or_a_device_in_an_entry_is_an_error_at_once() {
        let root = tempfile::tempdir().unwrap();
        let cache = EvaluationCache::Travels(root.path().to_owned());
        let take = || take(root.path(), "x", &cache);
        assert!(std::process::Command::new("mkfifo").arg(root.path().join(MANIFEST)).status().unwrap().success());
        assert!(format!("{:#}", take().unwrap_err()).contains("not a regular file"));
        fs::remove_file(root.path().join(MANIFEST)).unwrap();
        fs::write(root.path().join(MANIFEST), "").unwrap();
        std::os::unix::fs::symlink("/dev/zero", root.path().join(EVALUATION)).unwrap();
        assert!(format!("{:#}", take().unwrap_err()).contains("not a regular file"));
    }
}
