//! Finds the revision that a change is compared with.
//!
//! In: a repository, the head, what somebody asked for, and hints from the CI. Out: a commit that is here whole, or the reason why
//! there is none. Whatever is in doubt means no base: then everything is built, which is never wrong.

use anyhow::Result;

use crate::git::{Depth, Repository};
use crate::printable::printable;

/// Which base somebody asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BaseChoice {
    /// Where the branch left the default branch; none on the default branch and for tags.
    Auto,
    /// This revision.
    Revision(String),
}

impl BaseChoice {
    /// Reads `auto`, `none` or a revision.
    pub fn read(text: &str) -> Option<Self> {
        match text {
            "none" => None,
            "auto" => Some(Self::Auto),
            revision => Some(Self::Revision(revision.to_owned())),
        }
    }
}

/// What the CI says of the commit that is checked out. It is believed only where the repository itself does not know.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hints {
    /// The branch.
    pub branch: Option<String>,
    /// The tag.
    pub tag: Option<String>,
    /// The commit that both are about.
    pub commit: Option<String>,
    /// The default branch.
    pub default_branch: Option<String>,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FoundBase {
    /// Compare with this one.
    Base {
        /// The commit, in full.
        revision: String,
        /// A sentence for people about what may not be as they think.
        note: Option<String>,
    },
    /// Compare with nothing.
    None {
        /// Why.
        why: String,
        /// It is in order like that, nothing has gone wrong.
        expected: bool,
    },
    /// There is no such revision, neither here nor at the remote.
    NoRevision {
        /// A sentence with its name, and with the reason where the remote has one.
        why: String,
    },
}

impl FoundBase {
    fn missing(why: impl Into<String>) -> Self {
        Self::None { why: why.into(), expected: false }
    }

    fn expected(why: impl Into<String>) -> Self {
        Self::None { why: why.into(), expected: true }
    }
}

/// What is compared with the base.
#[derive(Clone, Copy)]
pub struct Head<'a> {
    /// Where it is.
    pub repository: &'a Repository,
    /// The commit, in full.
    pub commit: &'a str,
    /// It is what is checked out, so that the branch says something about it.
    pub at_work_tree: bool,
}

/// Finds the base of `head`. `default_branch` is what the settings name.
pub fn find(head: Head, choice: &BaseChoice, default_branch: Option<&str>, hints: &Hints) -> Result<FoundBase> {
    let repository = head.repository;
    let found = match choice {
        BaseChoice::Revision(revision) => named(repository, revision)?,
        BaseChoice::Auto => {
            let search = BaseSearch { head, hints, remote: repository.remote()? };
            search.merge_base(default_branch)?
        }
    };
    if let FoundBase::Base { revision, .. } = &found
        && repository.is_partial()?
        && let Err(error) = repository.complete(revision)
    {
        return Ok(FoundBase::missing(format!(
            "the files of the base `{}` cannot be fetched: {error:#}",
            short(revision)
        )));
    }
    Ok(found)
}

/// A commit as people read it.
pub fn short(commit: &str) -> &str {
    commit.get(..12).unwrap_or(commit)
}

/// A revision that somebody named.
fn named(repository: &Repository, revision: &str) -> Result<FoundBase> {
    let shown = printable(revision);
    // What CI services write for the commit before the first one.
    if ["", "<nil>"].contains(&revision) || (revision.len() >= 40 && revision.bytes().all(|byte| byte == b'0')) {
        return Ok(FoundBase::missing(format!(
            "`{shown}` as the base names no revision, as a branch's first push has none"
        )));
    }
    let base = |revision| FoundBase::Base { revision, note: None };
    if let Some(commit) = repository.commit(revision)? {
        return Ok(base(commit));
    }
    let Some(remote) = repository.remote()? else {
        let why = format!("the base `{shown}` is not a revision of this repository, which has no remote");
        return Ok(FoundBase::NoRevision { why });
    };
    let fetched = if is_hash(revision) {
        let depth = if repository.is_shallow()? { Depth::One } else { Depth::Same };
        repository.fetch(&remote, &[], &[revision], depth).map(|()| revision.to_owned())
    } else {
        let branch = revision.strip_prefix(&format!("{remote}/")).unwrap_or(revision);
        if !repository.is_branch_name(branch)? {
            return Ok(FoundBase::NoRevision { why: format!("the base `{shown}` is not a revision") });
        }
        let tracking = format!("refs/remotes/{remote}/{branch}");
        match repository.commit(&tracking)? {
            Some(_) => Ok(tracking),
            None => fetch_branch(repository, &remote, branch).map(|()| tracking),
        }
    };
    let why = match fetched {
        Ok(name) => match repository.commit(&name)? {
            Some(commit) => return Ok(base(commit)),
            None => format!("`{remote}` does not have it"),
        },
        Err(error) => format!("{error:#}"),
    };
    let why = format!(
        "the base `{shown}` is not here and cannot be fetched: {why} (after a force-push the commit may be gone)"
    );
    Ok(FoundBase::NoRevision { why })
}

fn is_hash(text: &str) -> bool {
    [40, 64].contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Its newest commit alone in a shallow clone, else all of it.
fn fetch_branch(repository: &Repository, remote: &str, branch: &str) -> Result<()> {
    let depth = if repository.is_shallow()? { Depth::One } else { Depth::Same };
    repository.fetch(remote, &[branch], &[], depth)
}

struct BaseSearch<'a> {
    head: Head<'a>,
    hints: &'a Hints,
    remote: Option<String>,
}

impl BaseSearch<'_> {
    /// Where the branch left the default branch.
    fn merge_base(&self, named: Option<&str>) -> Result<FoundBase> {
        let branch = match self.branch()? {
            Ok(branch) => branch,
            Err(found) => return Ok(found),
        };
        let default = match self.default_branch(named)? {
            Ok(default) => default,
            Err(found) => return Ok(found),
        };
        if branch.as_deref() == Some(&*default) {
            return Ok(FoundBase::expected(format!("this is the default branch, `{}`", printable(&default))));
        }
        let shown = printable(&default);
        let Some(tip) = self.tip(&default)? else {
            return Ok(FoundBase::missing(format!(
                "there is no commit of the default branch `{shown}` to compare with"
            )));
        };
        let mut bases = self.head.repository.merge_bases(self.head.commit, &tip)?;
        if bases.is_empty() && self.head.repository.is_shallow()? {
            match self.deepen(&default) {
                Ok(found) => bases = found,
                Err(error) => {
                    return Ok(FoundBase::missing(format!(
                        "this clone is shallow, and more of its history cannot be fetched: {error:#}"
                    )));
                }
            }
        }
        let Some(first) = bases.first() else {
            return Ok(FoundBase::missing(format!(
                "this branch has no commit in common with the default branch `{shown}`"
            )));
        };
        if branch.is_none() && first == self.head.commit {
            return Ok(FoundBase::expected(format!("the commit is one of the default branch, `{shown}`")));
        }
        let note = if bases.len() > 1 {
            Some(format!("{} commits are where this branch left `{shown}`: the first one is taken", bases.len()))
        } else if first == self.head.commit {
            Some(format!("all commits of this branch are in `{shown}`"))
        } else {
            None
        };
        Ok(FoundBase::Base { revision: first.clone(), note })
    }

    /// The branch of the head; none where the head is a revision that the flake reference names.
    fn branch(&self) -> Result<Result<Option<String>, FoundBase>> {
        if !self.head.at_work_tree {
            return Ok(Ok(None));
        }
        if let Some(branch) = self.head.repository.branch()? {
            return Ok(Ok(Some(branch)));
        }
        let hints = self.hints;
        let about_head = hints.commit.as_deref().is_none_or(|commit| commit == self.head.commit);
        Ok(match (&hints.tag, &hints.branch) {
            (Some(tag), _) if about_head => Err(FoundBase::expected(format!("this is the tag `{}`", printable(tag)))),
            (None, Some(branch)) if about_head => Ok(Some(branch.clone())),
            _ => Err(FoundBase::missing(
                "HEAD is detached, and nothing says which branch it is on (name a revision with `--base`)",
            )),
        })
    }

    fn default_branch(&self, named: Option<&str>) -> Result<Result<String, FoundBase>> {
        let found = match (named, &self.remote) {
            (Some(named), _) => Some(named.to_owned()),
            (None, Some(remote)) => self.head.repository.remote_default_branch(remote)?,
            (None, None) => None,
        };
        // Jobs may not be let into the repository again.
        Ok(match found.or_else(|| self.hints.default_branch.clone()) {
            Some(name) if self.head.repository.is_branch_name(&name)? => Ok(name),
            Some(name) => Err(FoundBase::missing(format!("`{}` cannot be the name of a branch", printable(&name)))),
            None => Err(FoundBase::missing(
                "the default branch is not known (set `default_branch` in nixdag.yml, or run `git remote set-head origin --auto`)",
            )),
        })
    }

    /// The newest commit of the default branch: the remote's, else the local one, else what a fetch brings.
    fn tip(&self, branch: &str) -> Result<Option<String>> {
        let tracking = self.remote.as_ref().map(|remote| format!("refs/remotes/{remote}/{branch}"));
        if let Some(tracking) = &tracking
            && let Some(commit) = self.head.repository.commit(tracking)?
        {
            return Ok(Some(commit));
        }
        if let Some(commit) = self.head.repository.commit(&format!("refs/heads/{branch}"))? {
            return Ok(Some(commit));
        }
        match (&self.remote, tracking) {
            // What fails here is said by the caller: there is no such commit.
            (Some(remote), Some(tracking)) if fetch_branch(self.head.repository, remote, branch).is_ok() => {
                self.head.repository.commit(&tracking)
            }
            _ => Ok(None),
        }
    }

    /// The merge bases that more history shows.
    fn deepen(&self, branch: &str) -> Result<Vec<String>> {
        let Some(remote) = &self.remote else { return Ok(Vec::new()) };
        let found = self.head.repository.deepen(remote, branch, self.head.commit, || {
            let Some(tip) = self.tip(branch)? else { return Ok(None) };
            let bases = self.head.repository.merge_bases(self.head.commit, &tip)?;
            Ok(if bases.is_empty() { None } else { Some(bases) })
        })?;
        Ok(found.unwrap_or_default())
    }
}
