//! Records in the store that jobs hand on through, where a CI's own cache keeps none, and for machines that have no part in the CI.
//!
//! In: the store's URL, a [`Subject`]. Out: bytes that [`super::records`] reads. A store holds the logs of builds beside paths, by the names
//! of derivations, and any client of Nix can leave one there: `nix store copy-log`, from 2.8 on. Records go there as the log of a
//! derivation that nobody has, whose hash is that of the subject, packed with zstd. They are read over HTTP or from a folder by nixdag
//! itself, from a bucket by Nix. Whoever can write to the store can replace them.

use std::fs;
use std::io::Read;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use tempfile::TempDir;

use super::records::MAX_SIZE;
use crate::nix::binary_cache::netrc::Netrc;
use crate::nix::binary_cache::store_url::{Access, StoreUrl};
use crate::nix::binary_cache::stored_file::StoredFiles;
use crate::nix::binary_cache::through_nix::BOUNDS;
use crate::nix::binary_cache::{Origin, Substituter};
use crate::nix::command::Nix;
use crate::nix::hash::Sha256;
use crate::nix::store::{Store, complaint};
use crate::nix::store_path::HASH_LEN;
use crate::nix::unpack::unpack_buffered;
use crate::private_file::PrivateFile;
use crate::regular_file;

/// Longest packed file that is read, bytes: records of 100,000 builds take a tenth of it.
const MAX_PACKED: usize = 16 << 20;

/// Subjects that are asked for at once.
const AT_ONCE: usize = 8;

/// Longest subject, in bytes.
const MAX_SUBJECT: usize = 1024;

/// How long one answer may take.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Bytes of what Nix prints.
const MAX_ANSWER: usize = 64 << 10;

/// Level of compression: records of many builds repeat themselves.
const LEVEL: i32 = 6;

/// What records are of: the pipelines of a branch of a repository, `github.com/owner/name@branch`, or one job of these.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject(String);

impl Subject {
    /// A branch of a repository; none where nothing can be named after them. `address` is that of its remote.
    pub fn branch(address: &str, branch: &str) -> Option<Self> {
        Self::parse(&format!("{}@{branch}", repository(address)?)).ok()
    }

    /// Reads what [`Self::text`] gives.
    pub fn parse(text: &str) -> Result<Self> {
        // What begins with a dash would be a flag.
        let begins = text.starts_with(|first: char| first.is_ascii_alphanumeric() || first == '/');
        let is_plain = begins && text.len() <= MAX_SUBJECT && !text.contains(char::is_control);
        ensure!(is_plain && text.contains('@'), "expected `REPOSITORY@BRANCH`");
        Ok(Self(text.to_owned()))
    }

    /// A job of the same pipelines.
    #[must_use]
    pub fn job(&self, id: &str) -> Self {
        Self(format!("{}\n{id}", self.0))
    }

    /// As people read it.
    pub fn text(&self) -> &str {
        &self.0
    }

    /// The base name of the derivation whose log this is.
    fn base_name(&self) -> String {
        let hash = Sha256::of(format!("nixdag-records-1\n{}", self.0).as_bytes()).base32();
        format!("{}-nixdag-records.drv", &hash[..HASH_LEN])
    }
}

/// Host and path of a repository, however its remote is addressed: `git@host:a/b.git` and `https://host/a/b` are one.
fn repository(address: &str) -> Option<String> {
    let rest = address.split_once("://").map_or(address, |(_, rest)| rest);
    let (authority, path) = match (address.contains("://"), rest.split_once('/'), rest.split_once(':')) {
        (false, _, Some((host, path))) if !host.contains('/') => (host, path),
        (true, Some((authority, path)), _) => (authority, path),
        (true, None, _) => return None,
        _ => ("", rest),
    };
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let host = host.split(':').next().unwrap_or_default().to_ascii_lowercase();
    let path = path.trim_matches('/');
    let path = path.strip_suffix(".git").unwrap_or(path);
    (!path.is_empty() && !path.contains(char::is_control)).then(|| format!("{host}/{path}"))
}

/// Where the pipelines of a branch keep their records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptIn {
    /// The URL of a store, without user and password.
    pub url: String,
    /// The branch.
    pub of: Subject,
}

/// A store that keeps records.
#[derive(Debug)]
pub struct RecordStore {
    url: StoreUrl,
    /// None where only Nix can read it.
    files: Option<StoredFiles>,
    /// What Nix logs in with, where that is not its own file.
    netrc: Option<PrivateFile>,
}

impl RecordStore {
    /// Readies a store; `token_variable` names the variable with the token that it wants to see, `netrc` is a file with passwords in place of
    /// Nix's own.
    pub fn new(url: StoreUrl, token_variable: Option<String>, netrc: Option<PrivateFile>) -> Result<Self> {
        let is_bucket = url.text().starts_with("s3://");
        ensure!(
            is_bucket || url.access != Access::ThroughNix,
            "`{url}` keeps no records: a store over HTTP, a bucket and a folder (`file://`) can"
        );
        let passwords = match (&netrc, &url.access) {
            (Some(file), _) => Netrc::read(file.path()),
            (None, Access::Http { .. }) => own_passwords(),
            (None, _) => Netrc::default(),
        };
        let store = Substituter { url: url.clone(), token_variable, origin: Origin::HandOff };
        let files = StoredFiles::open(&store, &passwords, AT_ONCE, TIMEOUT).map_err(|why| anyhow!("`{url}`: {why}"))?;
        Ok(Self { url, files, netrc })
    }

    /// What the store has of a subject, unpacked, at most [`MAX_SIZE`] bytes; none where it has nothing.
    pub fn get(&self, subject: &Subject) -> Result<Option<Vec<u8>>> {
        let file = format!("log/{}", subject.base_name());
        let packed = match &self.files {
            Some(files) => files.get(&file, MAX_PACKED).map_err(|trouble| anyhow!("{trouble}"))?,
            None => self.get_with_nix(subject, &file)?,
        };
        let Some(packed) = packed else { return Ok(None) };
        let mut bytes = Vec::new();
        unpack_buffered(packed.as_slice())
            .and_then(|reader| reader.take(MAX_SIZE + 1).read_to_end(&mut bytes))
            .context("damaged: it cannot be unpacked")?;
        ensure!(bytes.len() as u64 <= MAX_SIZE, "more than {MAX_SIZE} bytes");
        Ok(Some(bytes))
    }

    /// The same for many, in their order.
    pub fn get_all(&self, subjects: &[Subject]) -> Vec<Result<Option<Vec<u8>>>> {
        std::thread::scope(|scope| {
            let threads: Vec<_> = subjects.iter().map(|subject| scope.spawn(|| self.get(subject))).collect();
            let joined =
                threads.into_iter().map(|thread| thread.join().map_err(|_| anyhow!("the thread that asks died")));
            joined.map(|answer| answer.and_then(|answer| answer)).collect()
        })
    }

    /// Replaces what the store has of a subject.
    pub fn put(&self, subject: &Subject, bytes: &[u8]) -> Result<()> {
        let folder = TempDir::with_prefix("nixdag-records-")?;
        let here = folder_url(folder.path())?;
        let log = folder.path().join("log");
        fs::create_dir(&log)?;
        fs::write(log.join(subject.base_name()), zstd::encode_all(bytes, LEVEL)?)?;
        self.copy_log(&nix()?, [&here, self.url.text()], subject)
    }

    fn get_with_nix(&self, subject: &Subject, file: &str) -> Result<Option<Vec<u8>>> {
        let folder = TempDir::with_prefix("nixdag-records-")?;
        // Once Nix knows the store it takes a refused file for one that is not there; where it knows none it asks the store for what it is, and says
        // that this was refused.
        let nix = nix()?.with_cache_in(&folder.path().join("cache"));
        match self.copy_log(&nix, [self.url.text(), &folder_url(folder.path())?], subject) {
            Err(error) if error.to_string().contains("is not available") => return Ok(None),
            copied => copied?,
        }
        let mut bytes = Vec::new();
        regular_file::open(&folder.path().join(file))?.take(MAX_PACKED as u64 + 1).read_to_end(&mut bytes)?;
        ensure!(bytes.len() <= MAX_PACKED, "more than {MAX_PACKED} bytes");
        Ok(Some(bytes))
    }

    fn copy_log(&self, nix: &Nix, [from, to]: [&str; 2], subject: &Subject) -> Result<()> {
        // Nix looks for the store directory in what it copies from.
        let path = format!("/nix/store/{}", subject.base_name());
        let netrc =
            self.netrc.as_ref().and_then(|file| file.path().to_str()).map(|path| ["--option", "netrc-file", path]);
        let arguments = ["store", "copy-log", "--from", from, "--to", to];
        let arguments = arguments.into_iter().chain(BOUNDS).chain(netrc.into_iter().flatten()).chain([path.as_str()]);
        let answer = nix.nix(arguments, MAX_ANSWER)?;
        if !answer.status.success() {
            let why = complaint(answer.stderr.as_bytes());
            bail!("{}`nix store copy-log` failed: {why}", in_short(&why));
        }
        Ok(())
    }
}

/// What copies from one store to another.
fn nix() -> Result<Nix> {
    Ok(Nix::find()?.with_store_access())
}

/// What Nix's words come to, where they are for those who know its insides.
fn in_short(why: &str) -> &'static str {
    let says = |words: &[&str]| words.iter().any(|word| why.contains(word));
    if says(&["don't know how to open Nix store"]) {
        "this Nix was built without access to buckets: "
    } else if says(&["HTTP error 401", "HTTP error 403", "AccessDenied", "Access Denied"]) {
        "the store refuses what this job logs in with, or it logs in with nothing: "
    } else {
        ""
    }
}

/// What Nix logs in with by itself.
fn own_passwords() -> Netrc {
    let file = Store::find().ok().and_then(|store| store.configuration().ok()?.netrc_file);
    file.as_deref().map(Netrc::read).unwrap_or_default()
}

/// The URL of a folder that is a cache.
fn folder_url(dir: &Path) -> Result<String> {
    let is_plain = |path: &&str| path.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/._-".contains(&byte));
    let path = dir.to_str().filter(is_plain);
    Ok(format!("file://{}", path.with_context(|| format!("Nix cannot use `{}`: its path is unusual", dir.display()))?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repository_has_one_name_however_it_is_addressed() {
        for address in [
            "git@github.com:owner/name.git",
            "https://github.com/owner/name",
            "https://token:x@GitHub.com/owner/name.git/",
            "ssh://git@github.com:22/owner/name",
        ] {
            assert_eq!(Subject::branch(address, "main").unwrap().text(), "github.com/owner/name@main", "{address}");
        }
        assert_eq!(Subject::branch("/srv/git/a.git", "b").unwrap().text(), "/srv/git/a@b");
        assert_eq!(Subject::branch("https://github.com", "b"), None);
        for (address, branch) in [("", "b"), ("git@h:a", "b\nc"), ("-h:a", "b"), ("git@h:a", &"b".repeat(1024))] {
            assert_eq!(Subject::branch(address, branch), None, "{address} {branch}");
        }
    }

    #[test]
    fn subjects_have_names_of_their_own_that_a_store_can_have() {
        let main = Subject::parse("github.com/owner/name@main").unwrap();
        let names = [&main, &main.job("a"), &main.job("b"), &Subject::parse("github.com/owner/name@a").unwrap()]
            .map(Subject::base_name);
        for (at, name) in names.iter().enumerate() {
            assert!(crate::nix::store_path::split(&format!("/nix/store/{name}")).is_ok(), "{name}");
            assert!(!names[..at].contains(name), "{name}");
        }
        assert!(Subject::parse("main").is_err() && Subject::parse("a@b\nc").is_err());
    }

    #[test]
    fn only_stores_that_keep_files_are_asked() {
        let new = |text: &str| RecordStore::new(StoreUrl::parse(text).unwrap(), None, None);
        for text in ["ssh-ng://host", "daemon", "/mnt/store"] {
            assert!(new(text).unwrap_err().to_string().contains("keeps no records"), "{text}");
        }
        for text in ["s3://bucket?region=x", "https://cache.example.org", "file:///cache"] {
            assert!(new(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn what_is_large_or_damaged_in_a_store_is_an_error() {
        let dir = TempDir::new().unwrap();
        let store = RecordStore::new(StoreUrl::parse(&folder_url(dir.path()).unwrap()).unwrap(), None, None).unwrap();
        let subject = Subject::parse("a@b").unwrap();
        assert_eq!(store.get(&subject).unwrap(), None);
        fs::create_dir(dir.path().join("log")).unwrap();
        let small = zstd::encode_all(&b"{}"[..], 1).unwrap();
        for (bytes, words) in [
            (zstd::encode_all(std::io::repeat(b' ').take(MAX_SIZE + 1), 1).unwrap(), "more than 67108864 bytes"),
            (small[..small.len() - 3].to_vec(), "damaged"),
            (b"<html>".to_vec(), "damaged"),
            (vec![0; MAX_PACKED + 1], "16777216"),
        ] {
            fs::write(dir.path().join("log").join(subject.base_name()), bytes).unwrap();
            let error = format!("{:#}", store.get(&subject).unwrap_err());
            assert!(error.contains(words), "{words}: {error}");
        }
        fs::write(dir.path().join("log").join(subject.base_name()), small).unwrap();
        assert_eq!(store.get(&subject).unwrap().unwrap(), b"{}");
    }
}
