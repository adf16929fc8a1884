//! A flake in a git repository: where it is, which commit it is taken from, and the reference of the same flake at another commit.
//!
//! In: a flake reference as somebody typed it. Out: a [`RepositoryFlake`], or the reason why it has no history here.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};

use super::base::{Head, short};
use crate::git::Repository;
use crate::nearest::listed;
use crate::nix::evaluate::{URL_PATH, url_escaped};
use crate::plural::counted;
use crate::printable::printable;

/// Changed files that are named.
const MAX_NAMED: usize = 8;

/// A flake in a git repository on this machine.
#[derive(Clone, Debug)]
pub struct RepositoryFlake {
    /// The repository.
    pub repository: Repository,
    /// The commit that it is taken from, in full; with changes on top where `at_work_tree` is true.
    pub commit: String,
    /// It is what is checked out.
    pub at_work_tree: bool,
    /// The flake's folder from the root; empty for the root itself.
    dir: String,
    /// Other parameters of the reference, as they stand there.
    parameters: Vec<String>,
}

impl RepositoryFlake {
    /// Finds the repository of a reference.
    pub fn find(reference: &str) -> Result<Self> {
        let (address, query) = reference.split_once('?').unwrap_or((reference, ""));
        let folder = match address.strip_prefix("git+file:") {
            Some(path) => path.strip_prefix("//").unwrap_or(path),
            None if address.starts_with("path:") => {
                bail!("a `path:` flake is taken without its history (write it without `path:`)")
            }
            None => address,
        };
        let folder = if folder.is_empty() { Path::new(".") } else { Path::new(folder) };
        if address.contains(':') && !address.starts_with("git+file:") || !folder.is_dir() {
            bail!("`{}` is not a folder on this machine", printable(reference));
        }
        let repository =
            Repository::around(folder).map_err(|error| anyhow!("there is no git repository: {error:#}"))?;

        let mut parameters: Vec<String> = query.split('&').filter(|part| !part.is_empty()).map(str::to_owned).collect();
        let mut take = |key: &str| {
            let at = parameters.iter().position(|part| part.split('=').next() == Some(key))?;
            parameters.remove(at).split_once('=').map(|(_, value)| value.to_owned())
        };
        let (revision, reference, dir) = (take("rev"), take("ref"), take("dir"));
        let named = revision.or(reference);
        let head = match repository.commit(named.as_deref().unwrap_or("HEAD"))? {
            Some(head) => head,
            None if named.is_none() => bail!("the repository has no commit yet"),
            None => bail!("the repository has no `{}`", printable(&named.unwrap_or_default())),
        };
        let dir = match dir {
            // As Nix wants it escaped, so it stands there.
            Some(dir) => dir.trim_matches('/').to_owned(),
            None => flake_folder(folder, repository.top())?,
        };
        let at_work_tree = named.is_none();
        Ok(Self { repository, commit: head, at_work_tree, dir, parameters })
    }

    /// The same flake at another commit.
    pub fn at(&self, commit: &str) -> Result<String> {
        let top = self.repository.top().to_str().context("the repository's folder has a name that is not text")?;
        let mut parameters = self.parameters.clone();
        if !self.dir.is_empty() {
            parameters.push(format!("dir={}", self.dir));
        }
        // Nix refuses a shallow clone otherwise. It makes no difference to what is evaluated, but that there is no `revCount`.
        if self.repository.is_shallow()? && !parameters.iter().any(|part| part.starts_with("shallow=")) {
            parameters.push("shallow=1".to_owned());
        }
        parameters.push(format!("rev={commit}"));
        Ok(format!("git+file://{}?{}", url_escaped(top, URL_PATH), parameters.join("&")))
    }

    /// What is compared with the base.
    pub fn head(&self) -> Head<'_> {
        Head { repository: &self.repository, commit: &self.commit, at_work_tree: self.at_work_tree }
    }

    /// True for a file that git tracks, by its path from the repository's root.
    pub fn tracks(&self, path: &Path) -> Result<bool> {
        Repository::tracks(self.repository.top(), path)
    }

    /// True where the work tree is taken, and tracked files in it differ from the head.
    pub fn is_dirty(&self) -> Result<bool> {
        Ok(self.at_work_tree && self.repository.is_dirty()?)
    }

    /// Files that differ between a commit and the flake's source, from the repository's root. Fails where Nix may see changes that git does not.
    pub fn changed_files(&self, base: &str) -> Result<Vec<Vec<u8>>> {
        if self.at_work_tree
            && let Some(file) = self.repository.unwatched_file()?
        {
            bail!(
                "git ignores changes of `{}` (`assume-unchanged` or `skip-worktree`), and Nix may see them",
                printable(&String::from_utf8_lossy(&file))
            );
        }
        self.repository.changed_files(base, if self.at_work_tree { None } else { Some(&self.commit) })
    }

    /// The same in words, safe to print; none where nothing differs.
    pub fn changes_since(&self, base: &str) -> Result<Option<String>> {
        let files = self.changed_files(base)?;
        let shown: Vec<String> =
            files.iter().take(MAX_NAMED).map(|file| printable(&String::from_utf8_lossy(file))).collect();
        let more = files.len() - shown.len();
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let change =
            |names| format!("{} since the base `{}`: {names}{more}", counted(files.len(), "changed file"), short(base));
        Ok((!files.is_empty()).then(|| change(listed(&shown))))
    }
}

/// The folder from the root, escaped: the nearest one at or above `folder` with a `flake.nix`, as Nix looks for it.
fn flake_folder(folder: &Path, top: &Path) -> Result<String> {
    let what = || format!("cannot find the folder `{}`", folder.display());
    let folder = folder.canonicalize().with_context(what)?;
    let top = top.canonicalize().with_context(what)?;
    let with_flake =
        folder.ancestors().take_while(|above| above.starts_with(&top)).find(|above| above.join("flake.nix").exists());
    let below: PathBuf = with_flake.unwrap_or(&folder).strip_prefix(&top).with_context(what)?.to_owned();
    let below = below.to_str().context("the flake's folder has a name that is not text")?;
    Ok(url_escaped(below, URL_PATH))
}
