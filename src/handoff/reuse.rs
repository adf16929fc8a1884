//! What a job leaves for later runs of itself: a folder that the CI's own cache carries from pipeline to pipeline.
//!
//! In: the folder as it was restored, which any branch may have filled with anything. Out: the partial binary caches in it, less every
//! path that does not count, and a line for each of these; after the run, the folder with this run's results alone, as `complete`
//! or as `partial`, and the other one empty. A CI service saves each under a key of its own, or both under one.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result, ensure};

use super::merge::{self, Damaged, HandOffFolder, Origin};
use super::partial_cache;
use super::realisation_files::{self, REALISATIONS, TRACES};
use super::trusted_signature::check_signature;
use crate::nix::narinfo::NarInfo;
use crate::nix::signature::PublicKeys;

/// Holds the results of a job that has succeeded.
pub const COMPLETE: &str = "complete";

/// Holds what a job that failed had built.
pub const PARTIAL: &str = "partial";

/// Becomes one of these once it is whole.
const NEW: &str = ".new";

/// Most files of a kind that a folder may hold.
const MAX_FILES: usize = 1_000_000;

/// The folder, and what of it counts.
#[derive(Clone, Debug)]
pub struct ReuseFolder {
    /// The folder.
    pub dir: PathBuf,
    /// With keys, only paths that one of them has signed count, and only such paths are left for later runs. What stays is as good as if
    /// this job had built it: a store path is a function of its derivation, so a signed path of another job or an older pipeline is harmless.
    pub signed_by: Option<PublicKeys>,
}

/// What became of an earlier run's results.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Adopted {
    /// Paths that stay.
    pub paths: u64,
    /// Those that do not, by file name.
    pub refused: Vec<Damaged>,
}

impl ReuseFolder {
    /// The two partial binary caches, the better one first.
    pub fn caches(&self) -> [PathBuf; 2] {
        [self.dir.join(COMPLETE), self.dir.join(PARTIAL)]
    }

    /// The same as sources of a job.
    pub fn sources(&self) -> impl Iterator<Item = HandOffFolder> {
        self.caches().into_iter().map(|dir| HandOffFolder { origin: Origin::EarlierRun, dir })
    }

    /// Makes both caches where there are none, and removes from them what does not count.
    pub fn adopt(&self) -> Result<Adopted> {
        let mut adopted = Adopted::default();
        partial_cache::remove(&self.dir.join(NEW))?;
        for dir in self.caches() {
            for folder in [&self.dir, &dir, &dir.join("nar"), &dir.join(REALISATIONS), &dir.join(TRACES)] {
                remove_unless_folder(folder)?;
            }
            fs::create_dir_all(&dir).with_context(|| format!("cannot create `{}`", dir.display()))?;
            match self.adopt_cache(&dir) {
                Ok(one) => {
                    adopted.paths += one.paths;
                    adopted.refused.extend(one.refused);
                }
                // Not even its names can be read.
                Err(error) => {
                    partial_cache::remove(&dir)?;
                    fs::create_dir(&dir).with_context(|| format!("cannot create `{}`", dir.display()))?;
                    adopted.refused.push(Damaged { origin: Origin::EarlierRun, problem: format!("{error:#}") });
                }
            }
        }
        Ok(adopted)
    }

    fn adopt_cache(&self, dir: &Path) -> Result<Adopted> {
        let mut folders = vec![dir.to_owned(), dir.join("nar"), dir.join(REALISATIONS), dir.join(TRACES)];
        check_number(&folders[3])?;
        let traced = realisation_files::files_in(&folders[3])?;
        traced.iter().try_for_each(|folder| remove_unless_folder(folder))?;
        folders.extend(traced.into_iter().filter(|folder| folder.is_dir()));
        folders.iter().try_for_each(|folder| check_number(folder))?;
        let mut files = realisation_files::files_in(&folders[2])?;
        for folder in &folders[4..] {
            files.extend(realisation_files::files_in(folder)?);
        }
        for file in files {
            // Which output a content-addressed derivation has is not signed.
            if self.signed_by.is_some() || !fs::symlink_metadata(&file)?.is_file() {
                partial_cache::remove(&file)?;
            }
        }
        let files = merge::narinfo_files(dir)?;
        let next = AtomicUsize::new(0);
        let refused = Mutex::new(Vec::new());
        let threads = std::thread::available_parallelism().map_or(1, |cores| cores.get());
        std::thread::scope(|scope| {
            for _ in 0..threads.min(files.len()) {
                scope.spawn(|| {
                    while let Some(file) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
                        if let Err(error) = self.counts(dir, file) {
                            // A thread that panicked while it held the lock ends the whole program anyway.
                            if let Ok(mut refused) = refused.lock() {
                                refused.push((file, format!("{error:#}")));
                            }
                        }
                    }
                });
            }
        });
        let mut refused = refused.into_inner().unwrap_or_default();
        refused.sort_unstable();
        for (file, _) in &refused {
            partial_cache::remove(file)?;
        }
        let paths = (files.len() - refused.len()) as u64;
        let damaged = |(_, problem)| Damaged { origin: Origin::EarlierRun, problem };
        Ok(Adopted { paths, refused: refused.into_iter().map(damaged).collect() })
    }

    /// Says why a path that an earlier run has left does not count; the one place that decides. What an unsigned NAR holds is looked at
    /// when it is needed, as in hand-offs.
    fn counts(&self, dir: &Path, file: &Path) -> Result<()> {
        ensure!(fs::symlink_metadata(file)?.is_file(), "`{}` is not a regular file", file.display());
        let info = partial_cache::read_narinfo(file)?;
        let Some(keys) = &self.signed_by else {
            let nar = dir.join(&info.url);
            let metadata = fs::symlink_metadata(&nar).with_context(|| format!("cannot read `{}`", nar.display()))?;
            ensure!(metadata.is_file(), "damaged NAR `{}`: not a regular file", nar.display());
            return partial_cache::verify_size(dir, &info).map(drop);
        };
        check_signature(&info, keys)?;
        // The file's own digest is not signed, only that of what it unpacks to.
        partial_cache::verify_contents(dir, &info).map(drop)
    }

    /// Fails for a path that no trusted key vouches for.
    pub fn check_signature(&self, info: &NarInfo) -> Result<()> {
        self.signed_by.as_ref().map_or(Ok(()), |keys| check_signature(info, keys))
    }

    /// True for a path that a trusted key has signed.
    pub fn is_signed(&self, info: &NarInfo) -> bool {
        self.signed_by.as_ref().is_some_and(|keys| check_signature(info, keys).is_ok())
    }

    /// Leaves what a job has handed off for later runs, in the place of what was there.
    pub fn leave(&self, hand_off: &Path, is_complete: bool) -> Result<()> {
        let into = &self.dir.join(NEW);
        partial_cache::remove(into)?;
        let make =
            |folder: &Path| fs::create_dir_all(folder).with_context(|| format!("cannot create `{}`", folder.display()));
        make(&into.join("nar"))?;
        for file in merge::narinfo_files(hand_off)? {
            let info = partial_cache::read_narinfo(&file)?;
            if self.signed_by.is_none() || self.is_signed(&info) {
                partial_cache::copy(hand_off, into, &info.url)?;
                partial_cache::copy(hand_off, into, &info.file_name())?;
            }
        }
        for file in realisation_files::of(hand_off)?.iter().filter(|_| self.signed_by.is_none()) {
            let (Some(folder), Some(name)) = (file.parent(), file.file_name()) else { continue };
            make(&into.join(folder))?;
            partial_cache::copy(&hand_off.join(folder), &into.join(folder), &name.to_string_lossy())?;
        }
        let [complete, partial] = self.caches();
        let (filled, empty) = if is_complete { (complete, partial) } else { (partial, complete) };
        partial_cache::remove(&empty)?;
        partial_cache::remove(&filled)?;
        fs::rename(into, &filled).with_context(|| format!("cannot write `{}`", filled.display()))?;
        make(&empty)
    }
}

/// Refuses a folder of more files than any job leaves, before their names are held in memory.
fn check_number(dir: &Path) -> Result<()> {
    let number = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
        entries => entries.with_context(|| format!("cannot read `{}`", dir.display()))?.take(MAX_FILES + 1).count(),
    };
    ensure!(number <= MAX_FILES, "`{}` holds more than {MAX_FILES} files", dir.display());
    Ok(())
}

/// Removes what stands where a folder should be, a link to one included: nothing is to be written or removed through it.
fn remove_unless_folder(path: &Path) -> Result<()> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => Ok(()),
        _ => partial_cache::remove(path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nix::hash::Sha256;
    use crate::nix::signature::SecretKey;

    const PATH: &str = "/nix/store/ifjvyksv78awiwky6qkr4dnjsj9qps42-a";

    fn secret(name: &str) -> SecretKey {
        SecretKey::generated(name).unwrap()
    }

    /// An entry with one path that is not signed.
    fn entry(dir: &Path) -> NarInfo {
        let nar = vec![7u8; 100_000];
        let file = zstd::encode_all(&nar[..], 3).unwrap();
        let digest = Sha256::of(&file);
        let info = NarInfo {
            store_path: PATH.into(),
            url: format!("nar/{}.nar.zst", digest.base32()),
            compression: "zstd".into(),
            file_hash: Some(digest),
            file_size: Some(file.len() as u64),
            nar_hash: Sha256::of(&nar),
            nar_size: nar.len() as u64,
            references: Vec::new(),
            deriver: None,
            signatures: Vec::new(),
            content_address: None,
        };
        fs::create_dir_all(dir.join("nar")).unwrap();
        fs::write(dir.join(&info.url), file).unwrap();
        info
    }

    fn put(dir: &Path, info: &NarInfo) {
        fs::write(dir.join(info.file_name()), info.to_text()).unwrap();
    }

    #[track_caller]
    fn refused(reuse: &ReuseFolder, why: &str) {
        let adopted = reuse.adopt().unwrap();
        assert_eq!((adopted.paths, adopted.refused.len()), (0, 1), "{adopted:?}");
        assert!(adopted.refused[0].text().contains(why), "{adopted:?}");
        assert!(merge::narinfo_files(&reuse.caches()[0]).unwrap().is_empty());
    }

    /// A folder of which what the key has signed counts, or without one everything.
    fn folder(dir: &Path, key: Option<&SecretKey>) -> (ReuseFolder, PathBuf) {
        let signed_by = key.map(|key| [key.public()].into_iter().collect());
        let reuse = ReuseFolder { dir: dir.join("reuse"), signed_by };
        let [complete, _] = reuse.caches();
        (reuse, complete)
    }

    #[test]
    fn what_a_trusted_key_has_signed_stays() {
        let dir = tempfile::tempdir().unwrap();
        let key = secret("ours-1");
        let (reuse, complete) = folder(dir.path(), Some(&key));
        assert_eq!(reuse.adopt().unwrap(), Adopted::default());
        let mut info = entry(&complete);
        info.signatures = vec![secret("theirs-1").sign(&info.fingerprint()), key.sign(&info.fingerprint())];
        put(&complete, &info);
        assert_eq!(reuse.adopt().unwrap(), Adopted { paths: 1, refused: Vec::new() });
    }

    #[test]
    fn missing_foreign_and_wrong_signatures_are_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        let key = secret("ours-1");
        let (reuse, complete) = folder(dir.path(), Some(&key));
        let mut info = entry(&complete);
        put(&complete, &info);
        refused(&reuse, "is not signed");
        info.signatures = vec![secret("theirs-1").sign(&info.fingerprint())];
        put(&complete, &info);
        refused(&reuse, "signed with key `theirs-1`, which is not trusted here");
        // A stranger's key under our name, and our signature of something else.
        for signature in [secret("ours-1").sign(&info.fingerprint()), key.sign("1;something else")] {
            info.signatures = vec![signature];
            put(&complete, &info);
            refused(&reuse, "wrong signature of key `ours-1`");
        }
        // Ours, but about fewer references than the file names.
        info.signatures = vec![key.sign(&info.fingerprint())];
        info.references = vec!["l5msvycnq9qhsag73mg5j9wbm40pnc78-us".into()];
        put(&complete, &info);
        refused(&reuse, "wrong signature");
    }

    #[test]
    fn other_contents_under_a_right_signature_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let key = secret("ours-1");
        let (reuse, complete) = folder(dir.path(), Some(&key));
        let mut info = entry(&complete);
        info.signatures = vec![key.sign(&info.fingerprint())];
        // The file's digest and size are those of the new file: only the signed digest of the NAR tells. One is far too long.
        for nar in [vec![8u8; 100_000], vec![7u8; 99_999], vec![7u8; 50_000_000], Vec::new()] {
            let file = zstd::encode_all(&nar[..], 3).unwrap();
            let digest = Sha256::of(&file);
            info.url = format!("nar/{}.nar.zst", digest.base32());
            (info.file_hash, info.file_size) = (Some(digest), Some(file.len() as u64));
            fs::write(complete.join(&info.url), &file).unwrap();
            put(&complete, &info);
            refused(&reuse, "unpacks to other contents");
        }
        // What is no zstd at all.
        let digest = Sha256::of(b"garbage");
        info.url = format!("nar/{}.nar.zst", digest.base32());
        (info.file_hash, info.file_size) = (Some(digest), Some(7));
        fs::write(complete.join(&info.url), b"garbage").unwrap();
        put(&complete, &info);
        refused(&reuse, "damaged NAR");
    }

    #[test]
    fn links_lead_nowhere_and_unsigned_realisations_go() {
        let dir = tempfile::tempdir().unwrap();
        let key = secret("ours-1");
        let outside = dir.path().join("outside");
        fs::create_dir_all(outside.join("nar")).unwrap();
        fs::write(outside.join("nar/file"), "kept").unwrap();
        let (reuse, complete) = folder(dir.path(), Some(&key));
        let realisation = complete.join("realisations/x.doi");
        fs::create_dir_all(complete.join("realisations")).unwrap();
        fs::write(&realisation, "{}").unwrap();
        std::os::unix::fs::symlink(outside.join("nar"), complete.join("nar")).unwrap();
        let (unsigned, _) = folder(dir.path(), None);
        unsigned.adopt().unwrap();
        assert!(!complete.join("nar").exists() && realisation.exists());
        reuse.adopt().unwrap();
        assert!(!realisation.exists());
        // A link in the place of each folder, then of files in them.
        for link in [&reuse.dir, &complete] {
            partial_cache::remove(link).unwrap();
            std::os::unix::fs::symlink(&outside, link).unwrap();
            reuse.adopt().unwrap();
            assert!(!link.is_symlink() && outside.join("nar/file").exists());
        }
        let info = entry(&complete);
        put(&outside, &info);
        std::os::unix::fs::symlink(outside.join(info.file_name()), complete.join(info.file_name())).unwrap();
        refused(&unsigned, "is not a regular file");
        put(&complete, &info);
        fs::rename(complete.join(&info.url), outside.join("nar.zst")).unwrap();
        std::os::unix::fs::symlink(outside.join("nar.zst"), complete.join(&info.url)).unwrap();
        refused(&unsigned, "not a regular file");
    }

    #[test]
    fn what_is_left_is_found_again_and_only_where_it_counts() {
        let dir = tempfile::tempdir().unwrap();
        let key = secret("ours-1");
        let hand_off = dir.path().join("job");
        let mut info = entry(&hand_off);
        put(&hand_off, &info);
        let (unsigned, complete) = folder(dir.path(), None);
        let (signed, _) = folder(dir.path(), Some(&key));
        let names = |dir: &Path| merge::narinfo_files(dir).unwrap().len();
        let partial = unsigned.dir.join(PARTIAL);
        unsigned.adopt().unwrap();
        for (reuse, is_complete, expected) in
            [(&unsigned, false, (0, 1)), (&unsigned, true, (1, 0)), (&signed, true, (0, 0))]
        {
            reuse.leave(&hand_off, is_complete).unwrap();
            assert_eq!((names(&complete), names(&partial)), expected);
            assert!(complete.is_dir() && partial.is_dir() && !reuse.dir.join(NEW).exists());
            assert_eq!(reuse.adopt().unwrap().paths, expected.0 as u64 + expected.1 as u64);
        }
        info.signatures = vec![key.sign(&info.fingerprint())];
        put(&hand_off, &info);
        signed.leave(&hand_off, true).unwrap();
        assert_eq!(signed.adopt().unwrap(), Adopted { paths: 1, refused: Vec::new() });
    }
}
