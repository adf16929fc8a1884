//! Merges the hand-offs of a job's ancestors, and what an earlier run of the job left, into one partial binary cache that Nix reads as
//! a substituter.
//!
//! In: their folders, best first, and a rule that says what in them counts. Out: one folder of symlinks, a narinfo always with its own
//! NAR, the first whole copy of a path that counts winning, and a list of what cannot be used. A damaged copy counts as absent: Nix would
//! stop at it. Symlinks, since files of another owner cannot be hard-linked.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::partial_cache;
use super::realisation_files::{self, REALISATIONS, TRACES, files_in};
use crate::nix::fixed_output::FixedOutput;
use crate::nix::narinfo::NarInfo;
use crate::plural::counted;

/// Most copies that do not count which are named.
const MAX_NAMED: usize = 20;

/// Who has left a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The job of this id, in this pipeline.
    Job(String),
    /// An earlier run of the job that reads it.
    EarlierRun,
}

/// One folder.
#[derive(Clone, Debug)]
pub struct HandOffFolder {
    /// Who has left it.
    pub origin: Origin,
    /// The folder, which need not exist: a job may have nothing to hand off.
    pub dir: PathBuf,
}

/// Where other jobs' NARs are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nars {
    /// Beside their narinfo files.
    Here,
    /// They may have to be fetched.
    Elsewhere,
}

/// A file that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damaged {
    /// Who has left it.
    pub origin: Origin,
    /// What is wrong, the file named.
    pub problem: String,
}

impl Damaged {
    /// One line for people.
    pub fn text(&self) -> String {
        match &self.origin {
            Origin::Job(job) => format!("hand-off of job `{job}`: {}", self.problem),
            Origin::EarlierRun => format!("result of an earlier pipeline, not used: {}", self.problem),
        }
    }
}

/// Whether a copy of a store path counts.
#[derive(Clone, Debug)]
pub enum Ruling {
    /// It does.
    Counts,
    /// It does if it holds what its derivation says.
    CountsIf(FixedOutput),
    /// It does not; why, as the end of a sentence.
    Refused(String),
    /// It does not, and that is as it should be.
    Left,
    /// It does not, and nothing has to be said unless what counts refers to it.
    Unknown,
}

/// One copy of a store path.
#[derive(Clone, Debug)]
struct Copy {
    source: usize,
    info: NarInfo,
    /// What it has to hold.
    fixed: Option<FixedOutput>,
}

/// All folders that a job takes from, read but not yet linked.
#[derive(Clone, Debug)]
pub struct HandOffs {
    sources: Vec<HandOffFolder>,
    /// Copies of each store path, best first.
    copies: BTreeMap<String, Vec<Copy>>,
    /// Files that say which outputs content-addressed derivations have, by source, as paths below its folder.
    realisations: Vec<(usize, PathBuf)>,
    damaged: Vec<Damaged>,
}

impl HandOffs {
    /// Reads all narinfo files and looks at the sizes of their NARs; other jobs' may be elsewhere, where `nars` says so. Sources come
    /// best first.
    pub fn read(sources: Vec<HandOffFolder>, nars: Nars) -> Result<HandOffs> {
        let mut hand_offs = HandOffs {
            sources: Vec::with_capacity(sources.len()),
            copies: BTreeMap::new(),
            realisations: Vec::new(),
            damaged: Vec::new(),
        };
        sources.into_iter().try_for_each(|source| hand_offs.add(source, nars))?;
        Ok(hand_offs)
    }

    /// Reads one more folder, whose copies come behind those that are known.
    pub fn add(&mut self, source: HandOffFolder, nars: Nars) -> Result<()> {
        let index = self.sources.len();
        self.realisations.extend(realisation_files::of(&source.dir)?.into_iter().map(|path| (index, path)));
        for path in narinfo_files(&source.dir)? {
            let may_be_elsewhere = nars == Nars::Elsewhere && source.origin != Origin::EarlierRun;
            let checked = partial_cache::read_narinfo(&path).and_then(|info| {
                if !(may_be_elsewhere && is_absent(&source.dir.join(&info.url))) {
                    partial_cache::verify_size(&source.dir, &info)?;
                }
                Ok(info)
            });
            match checked {
                Ok(info) => {
                    let copy = Copy { source: index, info, fixed: None };
                    self.copies.entry(copy.info.store_path.clone()).or_default().push(copy);
                }
                Err(error) => {
                    self.damaged.push(Damaged { origin: source.origin.clone(), problem: format!("{error:#}") });
                }
            }
        }
        self.sources.push(source);
        Ok(())
    }

    /// Drops each realisation for which `counts` is false.
    pub fn keep_realisations(&mut self, mut counts: impl FnMut(&Origin, &Path) -> bool) {
        let sources = &self.sources;
        self.realisations.retain(|(source, path)| counts(&sources[*source].origin, &sources[*source].dir.join(path)));
    }

    /// All realisations.
    pub fn realisations(&self) -> impl Iterator<Item = (&Origin, PathBuf)> {
        let source = |(source, path): &(usize, PathBuf)| (&self.sources[*source], path.clone());
        self.realisations.iter().map(source).map(|(source, path)| (&source.origin, source.dir.join(path)))
    }

    /// True where there is no realisation.
    pub fn has_realisations(&self) -> bool {
        !self.realisations.is_empty()
    }

    /// Drops each copy that does not count. Those that somebody may wonder about are named, a bounded number of them.
    pub fn restrict(&mut self, rule: impl Fn(&Origin, &NarInfo) -> Ruling) {
        let mut refused: Vec<(usize, String, String)> = Vec::new();
        let mut unknown: HashSet<(usize, String)> = HashSet::new();
        for (path, copies) in &mut self.copies {
            copies.retain_mut(|copy| match rule(&self.sources[copy.source].origin, &copy.info) {
                Ruling::Counts => true,
                Ruling::CountsIf(fixed) => {
                    copy.fixed = Some(fixed);
                    true
                }
                Ruling::Refused(why) => {
                    refused.push((copy.source, path.clone(), why));
                    false
                }
                Ruling::Left => false,
                Ruling::Unknown => {
                    unknown.insert((copy.source, path.clone()));
                    false
                }
            });
        }
        self.copies.retain(|_, copies| !copies.is_empty());
        if !unknown.is_empty() {
            for copy in self.copies.values().flatten() {
                let dropped = references(&copy.info).filter(|path| unknown.remove(&(copy.source, path.clone())));
                let why =
                    |path| (copy.source, path, "no derivation that it was to build has such an output".to_owned());
                refused.extend(dropped.map(why));
            }
        }
        refused.sort_unstable();
        let more = refused.len().saturating_sub(MAX_NAMED);
        refused.truncate(MAX_NAMED);
        for (index, (source, path, why)) in refused.iter().enumerate() {
            let rest = if more > 0 && index + 1 == MAX_NAMED {
                format!(" (and {})", counted(more, "more path"))
            } else {
                String::new()
            };
            let problem = format!("`{path}` is ignored: {why}{rest}");
            self.damaged.push(Damaged { origin: self.sources[*source].origin.clone(), problem });
        }
    }

    /// Reads the NARs of these paths, and of what they refer to as far as it was handed off, and drops each copy whose file
    /// is not what its narinfo says.
    pub fn verify<'a>(&mut self, paths: impl IntoIterator<Item = &'a str>) {
        self.verify_by(paths, partial_cache::verify);
    }

    /// The same for what the NARs unpack to, which Nix looks at as well: this is for paths that it could not fetch. Gives the number of copies
    /// that are dropped; the merged cache `into` is made anew without them.
    pub fn verify_contents<'a>(
        &mut self,
        paths: impl IntoIterator<Item = &'a str>,
        into: &Path,
        store_dir: &str,
    ) -> Result<usize> {
        let before = self.damaged.len();
        self.verify_by(paths, partial_cache::verify_contents);
        let dropped = self.damaged.len() - before;
        if dropped > 0 {
            self.link(into, store_dir)?;
        }
        Ok(dropped)
    }

    fn verify_by<'a>(&mut self, paths: impl IntoIterator<Item = &'a str>, check: fn(&Path, &NarInfo) -> Result<u64>) {
        let reached = self.closure(paths);
        let (copies, sources, damaged) = (&mut self.copies, &self.sources, &mut self.damaged);
        let work: Vec<(&String, &mut Vec<Copy>)> =
            copies.iter_mut().filter(|(path, _)| reached.contains(path.as_str())).collect();
        let threads = std::thread::available_parallelism().map_or(1, |cores| cores.get());
        let share = work.len().div_ceil(threads).max(1);
        let mut work = work.into_iter().peekable();
        let found: Vec<Damaged> = std::thread::scope(|scope| {
            let mut workers = Vec::new();
            while work.peek().is_some() {
                let part: Vec<_> = work.by_ref().take(share).collect();
                workers.push(scope.spawn(move || {
                    let mut found = Vec::new();
                    for (_, copies) in part {
                        // Only the copy that will be used has to be whole.
                        while let Some(first) = copies.first() {
                            let source = &sources[first.source];
                            let whole = check(&source.dir, &first.info);
                            let right = whole.and_then(|_| match &first.fixed {
                                Some(fixed) => partial_cache::verify_fixed(&source.dir, &first.info, fixed),
                                None => Ok(()),
                            });
                            let Err(error) = right else { break };
                            found.push(Damaged { origin: source.origin.clone(), problem: format!("{error:#}") });
                            copies.remove(0);
                        }
                    }
                    found
                }));
            }
            workers
                .into_iter()
                .flat_map(|worker| worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
                .collect()
        });
        damaged.extend(found);
        copies.retain(|_, copies| !copies.is_empty());
    }

    /// The copies of these paths, and of what they refer to, whose NARs are not here: the folders that they belong into.
    pub fn absent<'a>(&self, paths: impl IntoIterator<Item = &'a str>) -> Vec<(PathBuf, NarInfo)> {
        let reached = self.closure(paths);
        let first =
            self.copies.iter().filter(|(path, _)| reached.contains(*path)).filter_map(|(_, copies)| copies.first());
        let with_dir = first.map(|copy| (self.sources[copy.source].dir.clone(), copy.info.clone()));
        with_dir.filter(|(dir, info)| is_absent(&dir.join(&info.url))).collect()
    }

    /// Drops each copy whose NAR is not here: Nix would stop at it.
    pub fn keep_present(&mut self) {
        let sources = &self.sources;
        for copies in self.copies.values_mut() {
            copies.retain(|copy| !is_absent(&sources[copy.source].dir.join(&copy.info.url)));
        }
        self.copies.retain(|_, copies| !copies.is_empty());
    }

    /// The paths and all that they refer to, as far as it was handed off.
    fn closure<'a>(&self, paths: impl IntoIterator<Item = &'a str>) -> HashSet<String> {
        let mut reached: HashSet<String> = HashSet::new();
        let mut open: Vec<String> = paths.into_iter().map(str::to_owned).collect();
        while let Some(path) = open.pop() {
            if let Some(info) = self.get(&path)
                && !reached.contains(&path)
            {
                open.extend(references(info));
                reached.insert(path);
            }
        }
        reached
    }

    /// The copy of a store path that is used, where there is one.
    pub fn get(&self, path: &str) -> Option<&NarInfo> {
        self.copies.get(path).and_then(|copies| copies.first()).map(|copy| &copy.info)
    }

    /// Number of store paths.
    pub fn len(&self) -> usize {
        self.copies.len()
    }

    /// True where nothing was handed off.
    pub fn is_empty(&self) -> bool {
        self.copies.is_empty()
    }

    /// What cannot be used, by source.
    pub fn damaged(&self) -> &[Damaged] {
        &self.damaged
    }

    /// Writes the merged cache. `into` is made anew.
    pub fn link(&self, into: &Path, store_dir: &str) -> Result<()> {
        match fs::remove_dir_all(into) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("cannot remove `{}`", into.display()));
            }
            _ => {}
        }
        // All of these, since Nix cannot make them in a cache that it may not write to, and 2.8 ignores one without them.
        for name in ["nar", "log", REALISATIONS, TRACES] {
            let dir = into.join(name);
            fs::create_dir_all(&dir).with_context(|| format!("cannot create `{}`", dir.display()))?;
        }
        let info = into.join("nix-cache-info");
        fs::write(&info, partial_cache::cache_info(store_dir))
            .with_context(|| format!("cannot write `{}`", info.display()))?;
        for copy in self.copies.values().filter_map(|copies| copies.first()) {
            let dir = std::path::absolute(&self.sources[copy.source].dir)?;
            for name in [&copy.info.url, &copy.info.file_name()] {
                match symlink(dir.join(name), into.join(name)) {
                    // Two paths with the same contents share a NAR.
                    Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                        return Err(error).with_context(|| format!("cannot link `{name}` into `{}`", into.display()));
                    }
                    _ => {}
                }
            }
        }
        // A job hands off few realisations; the first one of a name wins here too.
        for (source, path) in &self.realisations {
            if let Some(folder) = path.parent() {
                let dir = into.join(folder);
                fs::create_dir_all(&dir).with_context(|| format!("cannot create `{}`", dir.display()))?;
            }
            match symlink(std::path::absolute(self.sources[*source].dir.join(path))?, into.join(path)) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                    return Err(error).with_context(|| format!("cannot link `{}`", path.display()));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// True where there is nothing of this name.
fn is_absent(path: &Path) -> bool {
    fs::symlink_metadata(path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
}

/// The whole store paths that a path refers to, itself left out.
pub fn references(info: &NarInfo) -> impl Iterator<Item = String> + '_ {
    let dir = info.store_path.rsplit_once('/').map_or("", |(dir, _)| dir);
    info.references.iter().map(move |base| format!("{dir}/{base}")).filter(|path| *path != info.store_path)
}

/// The narinfo files of a folder in the order of their names; none where it does not exist.
pub fn narinfo_files(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut files = files_in(dir)?;
    files.retain(|path| path.extension().is_some_and(|extension| extension == "narinfo"));
    Ok(files)
}

/// A cache in a folder as a substituter that needs no signature and is asked before all others. None for a path with other
/// characters than letters, digits and `/._-`: Nix 2.8 does not decode them, and spaces end a setting.
pub fn substituter(dir: &Path) -> Option<String> {
    let path =
        dir.to_str().filter(|path| path.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/._-".contains(&byte)))?;
    Some(format!("file://{path}?trusted=1&priority=1"))
}
