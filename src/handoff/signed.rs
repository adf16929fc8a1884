//! Entries of the CI's own cache, which any branch can write: only what a trusted key vouches for stays.
//!
//! In: a folder that came from outside, and keys. Out: the same folder, less every path whose narinfo no trusted key has signed
//! or whose NAR is not what the signature is about, and a line for each of these. What stays is as good as if this job had
//! built it: a store path is a function of its derivation, so a signed path of another job or an older pipeline is harmless.

use std::fs;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result, bail, ensure};

use super::{merge, partial_cache};
use crate::nix::hash::{self, shortened};
use crate::nix::narinfo::NarInfo;
use crate::nix::signature::PublicKeys;

/// What became of an entry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Adopted {
    /// Paths that stay.
    pub paths: u64,
    /// One line for each path that does not, by file name.
    pub refused: Vec<String>,
}

/// Removes from `dir` what no key vouches for. A folder that does not exist holds nothing.
pub fn adopt(dir: &Path, keys: &PublicKeys) -> Result<Adopted> {
    partial_cache::remove_unless_folder(dir)?;
    partial_cache::remove_unless_folder(&dir.join("nar"))?;
    // Which output a content-addressed derivation has is not signed.
    remove(&dir.join("realisations"))?;
    let files = merge::narinfo_files(dir)?;
    let next = AtomicUsize::new(0);
    let refused = Mutex::new(Vec::new());
    let threads = std::thread::available_parallelism().map_or(1, |cores| cores.get());
    std::thread::scope(|scope| {
        for _ in 0..threads.min(files.len()) {
            scope.spawn(|| {
                while let Some(file) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if let Err(error) = check(dir, file, keys) {
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
        remove(file)?;
    }
    Ok(Adopted {
        paths: (files.len() - refused.len()) as u64,
        refused: refused
            .into_iter()
            .map(|(_, problem)| format!("result of an earlier pipeline, not used: {problem}"))
            .collect(),
    })
}

/// Holds a narinfo against the keys, and its NAR against it.
fn check(dir: &Path, file: &Path, keys: &PublicKeys) -> Result<()> {
    ensure!(fs::symlink_metadata(file)?.is_file(), "`{}` is no regular file", file.display());
    let info = partial_cache::read_narinfo(file)?;
    if keys.verify(&info.fingerprint(), &info.signatures).is_none() {
        bail!("`{}` {}", info.store_path, distrust(&info, keys));
    }
    // The file's own digest is not signed, only that of what it unpacks to.
    let nar = dir.join(&info.url);
    let metadata = fs::symlink_metadata(&nar).with_context(|| format!("cannot read `{}`", nar.display()))?;
    ensure!(metadata.is_file(), "`{}` is no regular file", nar.display());
    partial_cache::verify(dir, &info)?;
    let unpacked = || {
        let file = fs::File::open(&nar)?;
        hash::of_reader(zstd::Decoder::new(file)?.take(info.nar_size.saturating_add(1)))
    };
    let (digest, size) = unpacked().with_context(|| format!("damaged NAR `{}`", nar.display()))?;
    ensure!(
        digest == info.nar_hash && size == info.nar_size,
        "`{}` has other contents than its signature is about",
        info.store_path
    );
    Ok(())
}

/// Why no key vouches for a path.
fn distrust(info: &NarInfo, keys: &PublicKeys) -> String {
    let mut names: Vec<&str> =
        info.signatures.iter().filter_map(|signature| Some(signature.split_once(':')?.0)).collect();
    names.sort_unstable();
    names.dedup();
    let known = names.iter().find(|name| keys.iter().any(|key| key.name() == **name));
    match (known, names.first()) {
        (Some(name), _) => format!("has a wrong signature of key `{}`", shortened(name)),
        (None, Some(name)) => format!("is signed with key `{}`, which is not trusted here", shortened(name)),
        (None, None) => "is not signed".to_owned(),
    }
}

fn remove(path: &Path) -> Result<()> {
    let removed = match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path),
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
    fn refused(dir: &Path, keys: &PublicKeys, why: &str) {
        let adopted = adopt(dir, keys).unwrap();
        assert_eq!((adopted.paths, adopted.refused.len()), (0, 1), "{adopted:?}");
        assert!(adopted.refused[0].contains(why), "{adopted:?}");
        assert!(merge::narinfo_files(dir).unwrap().is_empty());
    }

    #[test]
    fn what_a_trusted_key_has_signed_stays() {
        let dir = tempfile::tempdir().unwrap();
        let key = secret("ours-1");
        let mut info = entry(dir.path());
        info.signatures = vec![secret("theirs-1").sign(&info.fingerprint()), key.sign(&info.fingerprint())];
        put(dir.path(), &info);
        let keys: PublicKeys = [key.public()].into_iter().collect();
        assert_eq!(adopt(dir.path(), &keys).unwrap(), Adopted { paths: 1, refused: Vec::new() });
        assert_eq!(adopt(&dir.path().join("absent"), &keys).unwrap(), Adopted::default());
    }

    #[test]
    fn missing_foreign_and_wrong_signatures_are_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        let key = secret("ours-1");
        let keys: PublicKeys = [key.public()].into_iter().collect();
        let mut info = entry(dir.path());
        put(dir.path(), &info);
        refused(dir.path(), &keys, "is not signed");
        info.signatures = vec![secret("theirs-1").sign(&info.fingerprint())];
        put(dir.path(), &info);
        refused(dir.path(), &keys, "signed with key `theirs-1`, which is not trusted here");
        // A stranger's key under our name, and our signature of something else.
        for signature in [secret("ours-1").sign(&info.fingerprint()), key.sign("1;something else")] {
            info.signatures = vec![signature];
            put(dir.path(), &info);
            refused(dir.path(), &keys, "wrong signature of key `ours-1`");
        }
        // Ours, but about fewer references than the file names.
        info.signatures = vec![key.sign(&info.fingerprint())];
        info.references = vec!["l5msvycnq9qhsag73mg5j9wbm40pnc78-us".into()];
        put(dir.path(), &info);
        refused(dir.path(), &keys, "wrong signature");
    }

    #[test]
    fn other_contents_under_a_right_signature_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let key = secret("ours-1");
        let keys: PublicKeys = [key.public()].into_iter().collect();
        let mut info = entry(dir.path());
        info.signatures = vec![key.sign(&info.fingerprint())];
        // The file's digest and size are those of the new file: only the signed digest of the NAR tells. One is far too long.
        for nar in [vec![8u8; 100_000], vec![7u8; 99_999], vec![7u8; 50_000_000], Vec::new()] {
            let file = zstd::encode_all(&nar[..], 3).unwrap();
            let digest = Sha256::of(&file);
            info.url = format!("nar/{}.nar.zst", digest.base32());
            (info.file_hash, info.file_size) = (Some(digest), Some(file.len() as u64));
            fs::write(dir.path().join(&info.url), &file).unwrap();
            put(dir.path(), &info);
            refused(dir.path(), &keys, "other contents than its signature is about");
        }
        // What is no zstd at all.
        let digest = Sha256::of(b"garbage");
        info.url = format!("nar/{}.nar.zst", digest.base32());
        (info.file_hash, info.file_size) = (Some(digest), Some(7));
        fs::write(dir.path().join(&info.url), b"garbage").unwrap();
        put(dir.path(), &info);
        refused(dir.path(), &keys, "damaged NAR");
    }

    #[test]
    fn links_lead_nowhere_and_realisations_go() {
        let dir = tempfile::tempdir().unwrap();
        let outside = dir.path().join("outside");
        fs::create_dir_all(outside.join("nar")).unwrap();
        fs::write(outside.join("nar/file"), "kept").unwrap();
        let own = dir.path().join("own");
        fs::create_dir_all(own.join("realisations")).unwrap();
        fs::write(own.join("realisations/x.doi"), "{}").unwrap();
        std::os::unix::fs::symlink(outside.join("nar"), own.join("nar")).unwrap();
        adopt(&own, &PublicKeys::default()).unwrap();
        assert!(!own.join("nar").exists() && !own.join("realisations").exists());
        let linked = dir.path().join("linked");
        std::os::unix::fs::symlink(&outside, &linked).unwrap();
        adopt(&linked, &PublicKeys::default()).unwrap();
        assert!(!linked.exists() && outside.join("nar/file").exists());
    }
}
