//! NARs in a registry of generic packages, as GitLab has it: what a job builds is a file of a package there, and jobs that need it fetch it.
//!
//! In: the address of one version of a package, and the job's token. Anybody who can run a job can put any file there, and the newest of a
//! name is given: so a file counts only if it has the digest that a narinfo names which came another way. The token goes to that address
//! alone, never to where it redirects.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use serde::Deserialize;
use serde_json::Value;
use tempfile::NamedTempFile;
use ureq::Agent;
use ureq::http::Uri;

use super::merge::HandOffs;
use super::realisation_files::files_in;
use crate::http::{self, RequestFailure, Requests};
use crate::nix::narinfo::NarInfo;
use crate::plural::counted;
use crate::printable::{printable, shortened};
use crate::secret::Secret;
use crate::version;

/// The header with a job's token, which every version of GitLab takes.
const HEADER: &str = "JOB-TOKEN";

/// How much is done for a transfer.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Longest time of one.
    timeout: Duration,
    /// Attempts after the first one: two jobs that make the same package at once are in each other's way for a moment.
    retries: u32,
}

/// Without what a job hands off others cannot go on.
pub const FOR_HAND_OFFS: Effort = Effort { timeout: Duration::from_secs(60 * 60), retries: 5 };

/// What earlier pipelines have left saves builds, and is not needed.
pub const FOR_REUSE: Effort = Effort { timeout: Duration::from_secs(60 * 60), retries: 2 };

/// Records are few bytes, and nobody waits for them.
pub const FOR_RECORDS: Effort = Effort { timeout: Duration::from_secs(20), retries: 2 };

/// The first wait between attempts, and the longest.
const WAITS: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(20));

/// Transfers at once.
const TRANSFERS: usize = 8;

/// Redirections that a download follows.
const REDIRECTS: usize = 5;

/// Longest answer that is read where no file is meant.
const MAX_ANSWER: u64 = 4 << 20;

/// Packages on a page of the registry's list, the most that GitLab gives.
const A_PAGE: usize = 100;

/// Pages of the list that are looked through: versions of GitLab before 16.6 list every version.
const MOST_PAGES: usize = 20;

/// Characters of what is wrong with an entry, which may quote it.
const LONGEST_REASON: usize = 200;

/// One version of a package.
#[derive(Debug)]
pub struct Registry {
    agent: Agent,
    /// Its address, without a slash at the end.
    url: String,
    token: Secret,
    effort: Effort,
}

/// A package as the registry lists it.
#[derive(Deserialize)]
struct Package {
    id: u64,
    name: String,
    version: Option<String>,
}

impl Registry {
    /// The version of a package at an address `…/packages/generic/NAME/VERSION`.
    pub fn new(url: &str, token: Secret, effort: Effort) -> Result<Self> {
        let url = url.trim_end_matches('/');
        http::address(url)?;
        let agent = http::agent(&Requests {
            connect_timeout: Duration::from_secs(30),
            timeout: effort.timeout,
            connections: TRANSFERS,
            redirects: 0,
            proxy: true,
        })?;
        Ok(Self { agent, url: url.to_owned(), token, effort })
    }

    /// Puts the NARs of a job's folder there.
    pub fn upload(&self, dir: &Path) -> Result<()> {
        let nars = nars(dir)?;
        each(&nars, |path| {
            let name = path.file_name().and_then(|name| name.to_str()).context("a NAR without a name")?;
            self.put(name, path).with_context(|| format!("cannot hand off `{name}` through the package registry"))
        })
        .into_iter()
        .collect()
    }

    /// Fetches the NARs that paths need and that are not here. What cannot be had is missing later; why, in lines for people.
    pub fn fetch<'a>(&self, hand_offs: &HandOffs, paths: impl IntoIterator<Item = &'a str>) -> Vec<String> {
        self.fetch_nars(&hand_offs.absent(paths))
    }

    /// Fetches NARs into the folders of their caches. Why some cannot be had, in lines for people.
    pub fn fetch_nars(&self, nars: &[(PathBuf, NarInfo)]) -> Vec<String> {
        let fetched = each(nars, |(dir, info)| self.get(dir, info));
        let failed = fetched.into_iter().zip(nars).filter_map(|(fetched, (_, info))| Some((fetched.err()?, info)));
        failed.map(|(error, info)| format!("`{}` cannot be fetched: {error:#}", info.store_path)).collect()
    }

    /// Puts a file there.
    pub fn put(&self, name: &str, path: &Path) -> Result<()> {
        let url = format!("{}/{name}", self.url);
        self.again(|| {
            let file = File::open(path).with_context(|| format!("cannot read `{}`", path.display()))?;
            let size = file.metadata()?.len();
            let request = self.agent.put(&url).header(HEADER, self.token.reveal());
            Ok(request.header("content-length", size).send(&file))
        })
        .map(|_| ())
    }

    /// Puts a small file there.
    pub fn put_bytes(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let url = format!("{}/{name}", self.url);
        self.again(|| Ok(self.agent.put(&url).header(HEADER, self.token.reveal()).send(bytes))).map(|_| ())
    }

    /// The bytes of files, in their order, at most `most` of each; none where a file is not there.
    pub fn get_all(&self, names: &[String], most: u64) -> Vec<Result<Option<Vec<u8>>>> {
        each(names, |name| {
            let mut is_absent = false;
            let answer = self.again(|| {
                let answer = self.download(&format!("{}/{name}", self.url));
                is_absent = answer.as_ref().is_ok_and(|answer| answer.status().as_u16() == 404);
                Ok(answer)
            });
            match answer {
                Ok(mut answer) => Ok(Some(http::read_body(answer.body_mut(), most)?)),
                Err(_) if is_absent => Ok(None),
                Err(error) => Err(error),
            }
        })
    }

    fn get(&self, dir: &Path, info: &NarInfo) -> Result<()> {
        let name = info.url.rsplit('/').next().unwrap_or_default();
        let size = info.file_size.context("its narinfo has no size")?;
        let mut answer = self.again(|| Ok(self.download(&format!("{}/{name}", self.url))))?;
        let target = dir.join(&info.url);
        let folder = target.parent().context("a NAR is in a folder")?;
        std::fs::create_dir_all(folder).with_context(|| format!("cannot create `{}`", folder.display()))?;
        // The job that has left it may have left a link, and this job's user may write where that one's may not.
        for made in [dir, folder] {
            let is_folder = std::fs::symlink_metadata(made).is_ok_and(|metadata| metadata.is_dir());
            ensure!(is_folder, "`{}` is a link, and nothing is written there", made.display());
        }
        let mut file =
            NamedTempFile::new_in(folder).with_context(|| format!("cannot write to `{}`", folder.display()))?;
        // What is longer than it should be is not read to its end; digests are compared later.
        let mut body = io::Read::take(answer.body_mut().as_reader(), size + 1);
        io::copy(&mut body, &mut file).context("the transfer ended early")?;
        file.persist(&target).with_context(|| format!("cannot write `{}`", target.display()))?;
        Ok(())
    }

    /// A download, to where the registry keeps its files; the token is for the registry alone.
    fn download(&self, url: &str) -> Result<ureq::http::Response<ureq::Body>, ureq::Error> {
        let mut answer = self.agent.get(url).header(HEADER, self.token.reveal()).call()?;
        for _ in 0..REDIRECTS {
            let location = answer.headers().get("location").and_then(|location| location.to_str().ok());
            let Some(location) = location.filter(|_| answer.status().is_redirection()) else { break };
            let target: Uri = location.parse().map_err(|_| ureq::Error::BadUri(printable(location)))?;
            answer = self.agent.get(target).call()?;
        }
        Ok(answer)
    }

    /// Tries until the registry takes a request, a bounded number of times.
    fn again(
        &self,
        mut request: impl FnMut() -> Result<Result<ureq::http::Response<ureq::Body>, ureq::Error>>,
    ) -> Result<ureq::http::Response<ureq::Body>> {
        for attempt in 1.. {
            let error = match request()? {
                Ok(answer) if answer.status().is_success() => return Ok(answer),
                Ok(mut answer) => {
                    let status = answer.status().as_u16();
                    let error = refused(status, &mut answer);
                    // Two jobs that make the package at once may get either of these.
                    if !http::is_passing(status) && !matches!(status, 400 | 409) {
                        return Err(error);
                    }
                    error
                }
                Err(error) if http::failure(&error) == RequestFailure::Final => return Err(error.into()),
                Err(error) => anyhow!(error),
            };
            if attempt > self.effort.retries {
                return Err(error);
            }
            std::thread::sleep(http::backoff(WAITS.0, WAITS.1, attempt));
        }
        bail!("no attempt was made")
    }

    /// Removes the version with all its files. Gives lines for people: an entry of the registry's list that cannot be read is named, and the
    /// others count; so does a version that stays.
    pub fn remove(&self) -> Result<Vec<String>> {
        let (project, name, version) = self.parts()?;
        let (mut lines, mut unreadable) = (Vec::new(), Vec::new());
        for page in 1..=MOST_PAGES {
            let list = format!(
                "{project}/packages?package_type=generic&package_name={name}&package_version={version}&order_by=created_at&sort=desc\
                 &per_page={A_PAGE}&page={page}"
            );
            let mut answer = self.again(|| Ok(self.agent.get(&list).header(HEADER, self.token.reveal()).call()))?;
            let body = http::read_body(answer.body_mut(), MAX_ANSWER)?;
            let entries: Vec<Value> = serde_json::from_slice(&body).context("the answer is not a list of packages")?;
            let is_last = entries.len() < A_PAGE;
            for entry in entries {
                match serde_json::from_value::<Package>(entry) {
                    Ok(package) if package.name == name && package.version.as_deref() == Some(version) => {
                        lines.push(self.remove_one(project, &package).unwrap_or_else(|error| {
                            let why = printable(&format!("{error:#}"));
                            format!("warning: package `{name}` {version} stays in the registry: {why}")
                        }));
                    }
                    Ok(_) => {}
                    Err(error) => unreadable.push(error.to_string()),
                }
            }
            if !lines.is_empty() || is_last {
                break;
            }
        }
        if lines.is_empty() {
            lines.push("nothing was put into the registry".into());
        }
        if let Some(first) = unreadable.first() {
            lines.push(format!(
                "warning: {} of the registry's list cannot be read: {}",
                counted(unreadable.len() as u64, "package"),
                shortened(&printable(first), LONGEST_REASON)
            ));
        }
        Ok(lines)
    }

    /// Removes a package; a line that says whether it went.
    fn remove_one(&self, project: &str, package: &Package) -> Result<String> {
        let (name, version) = (&package.name, package.version.as_deref().unwrap_or_default());
        let one = format!("{project}/packages/{}", package.id);
        let answer = self.agent.delete(&one).header(HEADER, self.token.reveal()).call()?;
        Ok(match answer.status().as_u16() {
            200..=299 => format!("package `{name}` {version} is removed"),
            status => format!(
                "package `{name}` {version} stays in the registry: the job's token may not remove it ({status}). Whoever starts the pipeline \
                 needs the Maintainer role; {} has a scheduled job that cleans up",
                version::page("gitlab")
            ),
        })
    }

    /// The project's address, and the package's name and version.
    fn parts(&self) -> Result<(&str, &str, &str)> {
        let split = || {
            let (rest, version) = self.url.rsplit_once('/')?;
            let (project, name) = rest.split_once("/packages/generic/")?;
            Some((project, name, version)).filter(|_| !name.is_empty() && !name.contains('/'))
        };
        split().with_context(|| format!("`{}` is not `…/packages/generic/NAME/VERSION`", printable(&self.url)))
    }
}

/// The NAR files of a cache, in the order of their names.
fn nars(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut files = files_in(&dir.join("nar"))?;
    files.retain(|path| path.extension().is_some_and(|extension| extension == "zst") && path.is_file());
    Ok(files)
}

/// Why the registry refuses.
fn refused(status: u16, answer: &mut ureq::http::Response<ureq::Body>) -> anyhow::Error {
    let said = http::read_body(answer.body_mut(), 4096).unwrap_or_default();
    let said = printable(String::from_utf8_lossy(&said).trim());
    let hint = match status {
        401 | 403 => " (is the package registry switched on in the project's settings, and may job tokens use it?)",
        404 => " (it is not there, or the package registry is switched off)",
        413 => " (the server allows no package of this size)",
        _ => "",
    };
    anyhow!("the registry answers {status} {said}{hint}")
}

/// Does something with each item, several at once; the answers are in the order of the items.
fn each<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::with_capacity(items.len()));
    std::thread::scope(|scope| {
        for _ in 0..TRANSFERS.min(items.len()) {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(item) = items.get(at) else { return };
                    let result = work(item);
                    if let Ok(mut done) = done.lock() {
                        done.push((at, result));
                    }
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap_or_default();
    done.sort_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_names_project_package_and_version() {
        let of = |url: &str| Registry::new(url, Secret::of_test("t"), FOR_HAND_OFFS);
        let registry = of("https://gitlab.example.org/api/v4/projects/42/packages/generic/nixdag/7/").unwrap();
        assert_eq!(registry.parts().unwrap(), ("https://gitlab.example.org/api/v4/projects/42", "nixdag", "7"));
        for url in ["https://gitlab.example.org/x/y", "https://h/packages/generic/a"] {
            assert!(of(url).unwrap().parts().is_err(), "{url}");
        }
        for url in ["", "s3://bucket", "https://me@h/packages/generic/a/1"] {
            assert!(of(url).is_err(), "{url}");
        }
        assert!(!format!("{registry:?}").contains("\"t\""));
    }
}
