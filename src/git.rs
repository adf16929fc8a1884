//! The one place that runs git.
//!
//! In: a folder. Out: what the repository around it knows: commits, branches, merge bases, changed files. Nothing here writes to
//! the work tree or the index; a fetch adds objects and remote-tracking branches. File names are bytes.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, anyhow, bail, ensure};

use crate::checkout::GIT;
use crate::nix::environment::{self, NO_LAZY_FETCH};
use crate::printable::printable;
use crate::private_file;
use crate::program::{self, TimeLimits};
use crate::removed_at_signal::RemovedAtSignal;

/// Variables that would turn git to another repository than the one of the folder, as git's own hooks have them.
const OTHER_REPOSITORY: [&str; 12] = [
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_COMMON_DIR",
    "GIT_INDEX_FILE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_PREFIX",
    "GIT_NAMESPACE",
    "GIT_SHALLOW_FILE",
    "GIT_GRAFT_FILE",
    "GIT_REPLACE_REF_BASE",
    "GIT_EXTERNAL_DIFF",
];

/// Messages in one language, no questions, no lock that another git waits for.
const ENVIRONMENT: [(&str, &str); 4] =
    [("LC_ALL", "C"), ("GIT_TERMINAL_PROMPT", "0"), ("GIT_OPTIONAL_LOCKS", "0"), ("GIT_LITERAL_PATHSPECS", "1")];

/// No program that the repository's settings name; and a server that sends nothing for a minute has gone away.
const SETTINGS: [&str; 4] =
    ["core.fsmonitor=false", "safe.bareRepository=explicit", "http.lowSpeedLimit=1", "http.lowSpeedTime=60"];

/// How long one call of git may take.
const PATIENCE: TimeLimits = TimeLimits::seconds(5 * 60, 60 * 60);

/// Bytes of memory that one process of git may have, beside the packs that it maps.
const MEMORY: u64 = 4 << 30;

/// The setting with which git reads a repository of another user.
pub const SAFE_DIRECTORY: &str = "safe.directory";

/// How many commits a shallow clone is first made deeper by.
const DEEPEN: u32 = 100;

/// A repository with a work tree.
#[derive(Clone, Debug)]
pub struct Repository {
    /// Root of the work tree.
    top: PathBuf,
}

impl Repository {
    /// The repository around a folder; an error says why there is none.
    ///
    /// It is looked for by its `.git`, which no commit can bring along. Git itself takes any folder with the files of a repository for one,
    /// and these are files like others: whoever can push a branch would have git run what the settings among them name.
    pub fn around(folder: &Path) -> Result<Self> {
        let found =
            folder.canonicalize().with_context(|| format!("no folder `{}`", printable(&folder.to_string_lossy())))?;
        let top = found.ancestors().find(|folder| folder.join(GIT).exists());
        let here = Self { top: top.context("neither the folder nor one above it has a `.git`")?.to_owned() };
        let top = here.line(["rev-parse", "--show-toplevel"])?;
        Ok(Self { top: PathBuf::from(top) })
    }

    /// Root of the work tree.
    pub fn top(&self) -> &Path {
        &self.top
    }

    /// The commit that a revision names, in full; none if it names none that is here.
    pub fn commit(&self, revision: &str) -> Result<Option<String>> {
        if revision.contains('\0') {
            bail!("revision `{}` holds a NUL", printable(revision));
        }
        let commit = format!("{revision}^{{commit}}");
        self.optional(["rev-parse", "--verify", "--quiet", "--end-of-options", &commit])
    }

    /// The branch that is checked out; none for a detached HEAD.
    pub fn branch(&self) -> Result<Option<String>> {
        let reference = self.optional(["symbolic-ref", "--quiet", "HEAD"])?;
        Ok(reference.and_then(|name| name.strip_prefix("refs/heads/").map(str::to_owned)))
    }

    /// The remote that counts: `origin`, else the only one.
    pub fn remote(&self) -> Result<Option<String>> {
        let remotes = self.text(["remote"])?;
        let remotes: Vec<&str> = remotes.lines().collect();
        let origin = remotes.iter().find(|name| **name == "origin");
        Ok(origin.or(if remotes.len() == 1 { remotes.first() } else { None }).map(|name| (*name).to_owned()))
    }

    /// The address of a remote, as the repository's settings have it.
    pub fn remote_address(&self, remote: &str) -> Result<Option<String>> {
        self.optional(["config", "--get", &format!("remote.{remote}.url")])
    }

    /// The branch that the remote's HEAD means, as this clone remembers it.
    pub fn known_default_branch(&self, remote: &str) -> Result<Option<String>> {
        let prefix = format!("refs/remotes/{remote}/");
        let known = self.optional(["symbolic-ref", "--quiet", &format!("{prefix}HEAD")])?;
        Ok(known.as_deref().and_then(|name| name.strip_prefix(&prefix)).map(str::to_owned))
    }

    /// The same, else as the remote says.
    pub fn remote_default_branch(&self, remote: &str) -> Result<Option<String>> {
        if let Some(branch) = self.known_default_branch(remote)? {
            return Ok(Some(branch));
        }
        let answer = limited(&mut self.fetching(["ls-remote", "--symref", "--", remote, "HEAD"]))?;
        let text = String::from_utf8_lossy(&answer.stdout).into_owned();
        let line = text.lines().find_map(|line| line.strip_prefix("ref: refs/heads/"));
        Ok(line.and_then(|line| line.split('\t').next()).map(str::to_owned).filter(|_| answer.status.success()))
    }

    /// True for a name that a branch can have.
    pub fn is_branch_name(&self, name: &str) -> Result<bool> {
        Ok(!name.contains('\0') && self.run(["check-ref-format", &format!("refs/heads/{name}")])?.status.success())
    }

    /// The best common ancestors of two commits, the one that git prefers first.
    pub fn merge_bases(&self, one: &str, other: &str) -> Result<Vec<String>> {
        let answer = self.run(["merge-base", "--all", one, other])?;
        match answer.status.code() {
            Some(0) => Ok(String::from_utf8_lossy(&answer.stdout).lines().map(str::to_owned).collect()),
            Some(1) => Ok(Vec::new()),
            _ => Err(said("merge-base", &answer)),
        }
    }

    /// True where history ends before the first commit.
    pub fn is_shallow(&self) -> Result<bool> {
        Ok(self.line(["rev-parse", "--is-shallow-repository"])? == "true")
    }

    /// True where files are fetched only when they are needed.
    pub fn is_partial(&self) -> Result<bool> {
        Ok(self.optional(["config", "--get-regexp", r"^remote\..*\.(promisor|partialclonefilter)$"])?.is_some())
    }

    /// True if a tracked file differs from the commit that is checked out.
    pub fn is_dirty(&self) -> Result<bool> {
        Ok(!self.changed_files("HEAD", None)?.is_empty())
    }

    /// The commit that is checked out where no tracked file differs from it, by one call of git.
    pub fn clean_commit(folder: &Path) -> Result<Option<String>> {
        let here = Self { top: folder.to_owned() };
        let text =
            here.text(["status", "--porcelain=v2", "--branch", "--untracked-files=no", "--ignore-submodules=none"])?;
        let is_dirty = text.lines().any(|line| !line.starts_with("# "));
        let commit = text.lines().find_map(|line| line.strip_prefix("# branch.oid ")).filter(|oid| *oid != "(initial)");
        Ok(commit.filter(|_| !is_dirty).map(str::to_owned))
    }

    /// True for a file that is in the index of the repository with this root, by its path from there.
    pub fn tracks(root: &Path, file: &Path) -> Result<bool> {
        let here = Self { top: root.to_owned() };
        let arguments = ["--literal-pathspecs", "ls-files", "-z", "--"].map(OsStr::new);
        Ok(!here.succeed(arguments.into_iter().chain([file.as_os_str()]))?.stdout.is_empty())
    }

    /// A file whose changes in the work tree git is told not to see (`assume-unchanged`, `skip-worktree`), by its path from the root.
    pub fn unwatched_file(&self) -> Result<Option<Vec<u8>>> {
        let listed = self.succeed(["ls-files", "-v", "-z"])?.stdout;
        // The letter before its name is small, or an `S`.
        let is_unwatched = |entry: &&[u8]| entry.first().is_some_and(|tag| tag.is_ascii_lowercase() || *tag == b'S');
        let found = listed.split(|&byte| byte == 0).find(is_unwatched);
        Ok(found.map(|entry| entry.get(2..).unwrap_or_default().to_vec()))
    }

    /// Files that git neither tracks nor ignores, by their paths from the root: Nix does not see them.
    pub fn untracked_files(&self) -> Result<Vec<Vec<u8>>> {
        let listed = self.succeed(["ls-files", "--others", "--exclude-standard", "-z"])?.stdout;
        Ok(listed.split(|&byte| byte == 0).filter(|path| !path.is_empty()).map(<[u8]>::to_vec).collect())
    }

    /// Files that differ between a commit and another one, or the work tree, by their paths from the root; both names of a
    /// file that was renamed. Files that git does not track are no part of a flake.
    pub fn changed_files(&self, from: &str, to: Option<&str>) -> Result<Vec<Vec<u8>>> {
        let fixed = ["diff", "--name-only", "-z", "--no-renames", "--no-ext-diff", "--no-textconv", "--no-relative"];
        let more = ["--ignore-submodules=none", "--end-of-options", from];
        let answer = self.succeed(fixed.into_iter().chain(more).chain(to).chain(["--"]))?;
        let names = answer.stdout.split(|&byte| byte == 0).filter(|name| !name.is_empty());
        Ok(names.map(<[u8]>::to_vec).collect())
    }

    /// A file of a commit, by its path from the root, none if it has no such file. Neither a link nor a file of more than `most` bytes is read.
    pub fn file_at(&self, commit: &str, path: &Path, most: u64) -> Result<Option<Vec<u8>>> {
        let tree = ["ls-tree", "-l", "-z", "--full-tree", commit, "--"].map(OsStr::new);
        let listed = self.succeed(tree.into_iter().chain([path.as_os_str()]))?.stdout;
        let Some(entry) = listed.split(|&byte| byte == 0).next().filter(|entry| !entry.is_empty()) else {
            return Ok(None);
        };
        let fields = entry.split(|&byte| byte == b'\t').next().unwrap_or_default();
        let fields = String::from_utf8_lossy(fields).into_owned();
        let [mode, "blob", object, size] = fields.split_ascii_whitespace().collect::<Vec<_>>()[..] else {
            bail!("it is not a file")
        };
        ensure!(mode.starts_with("100"), "it is not a regular file");
        ensure!(size.parse().is_ok_and(|size: u64| size <= most), "it has more than {most} bytes");
        Ok(Some(self.succeed(["cat-file", "blob", object])?.stdout))
    }

    /// Fetches branches of a remote into its remote-tracking branches, and commits.
    pub fn fetch(&self, remote: &str, branches: &[&str], commits: &[&str], depth: Depth) -> Result<()> {
        let mut arguments: Vec<String> =
            ["fetch", "--quiet", "--no-tags", "--no-recurse-submodules", "--no-write-fetch-head"]
                .map(String::from)
                .into();
        match depth {
            Depth::Same => {}
            Depth::One => arguments.push("--depth=1".into()),
            Depth::Deeper(count) => arguments.push(format!("--deepen={count}")),
            Depth::Whole => arguments.push("--unshallow".into()),
        }
        arguments.extend(["--".to_owned(), remote.to_owned()]);
        arguments.extend(branches.iter().map(|branch| format!("+refs/heads/{branch}:refs/remotes/{remote}/{branch}")));
        arguments.extend(commits.iter().map(|commit| (*commit).to_owned()));
        let answer = limited(&mut self.fetching(arguments)).context("cannot use `git` (is it installed?)")?;
        if answer.status.success() { Ok(()) } else { Err(said("fetch", &answer)) }
    }

    /// Makes a shallow clone deeper until `done`: first by little, then more, at last to the beginning.
    pub fn deepen<T>(
        &self,
        remote: &str,
        branch: &str,
        head: &str,
        mut done: impl FnMut() -> Result<Option<T>>,
    ) -> Result<Option<T>> {
        for depth in [Depth::Deeper(DEEPEN), Depth::Deeper(20 * DEEPEN), Depth::Whole] {
            if !self.is_shallow()? {
                break;
            }
            self.fetch(remote, &[branch], &[head], depth)?;
            if let Some(found) = done()? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// Fetches the files of a commit that a partial clone lacks, all at once: what reads the repository without git cannot.
    pub fn complete(&self, commit: &str) -> Result<()> {
        let scratch = private_file::temporary_folder().context("cannot make a temporary folder")?;
        let _removed = RemovedAtSignal::new(scratch.path());
        let tree = scratch.path().join("tree");
        fs::create_dir(&tree).context("cannot make a temporary folder")?;
        let mut command = self.fetching(["read-tree", "-u", "--reset", commit]);
        command.env("GIT_WORK_TREE", &tree).env("GIT_INDEX_FILE", scratch.path().join("index"));
        let answer = limited(command.env("GIT_LFS_SKIP_SMUDGE", "1"))?;
        if answer.status.success() { Ok(()) } else { Err(said("read-tree", &answer)) }
    }

    /// A call that asks no server, and sees no secret.
    fn command<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Command {
        let mut command = self.fetching(arguments);
        command.env_clear().envs(environment::allowed()).envs(ENVIRONMENT).env(NO_LAZY_FETCH, "1");
        for name in OTHER_REPOSITORY {
            command.env_remove(name);
        }
        command
    }

    /// A call that may log in to a server, with whatever helpers the settings of git name.
    fn fetching<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Command {
        let mut command = Command::new("git");
        command.arg("-C").arg(&self.top).args(SETTINGS.iter().flat_map(|setting| ["-c", setting])).args(arguments);
        command.stdin(Stdio::null()).envs(ENVIRONMENT);
        for name in OTHER_REPOSITORY {
            command.env_remove(name);
        }
        command
    }

    fn run<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Result<Output> {
        limited(&mut self.command(arguments)).context("cannot use `git` (is it installed?)")
    }

    fn succeed<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Result<Output> {
        let arguments: Vec<OsString> = arguments.into_iter().map(|argument| argument.as_ref().to_owned()).collect();
        let answer = self.run(&arguments)?;
        if answer.status.success() {
            return Ok(answer);
        }
        Err(said(&arguments.first().map(|name| name.to_string_lossy()).unwrap_or_default(), &answer))
    }

    fn text<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Result<String> {
        String::from_utf8(self.succeed(arguments)?.stdout).context("the output of git is not UTF-8")
    }

    /// The output without the newline at its end.
    fn line<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Result<String> {
        let text = self.text(arguments)?;
        Ok(text.strip_suffix('\n').unwrap_or(&text).to_owned())
    }

    /// The same, or none where git ends with 1: there is no such thing.
    fn optional<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Result<Option<String>> {
        let answer = self.run(arguments)?;
        match answer.status.code() {
            Some(0) => {
                let text = String::from_utf8(answer.stdout).context("the output of git is not UTF-8")?;
                Ok(Some(text.strip_suffix('\n').unwrap_or(&text).to_owned()))
            }
            // 128 is what a broken revision such as `a..b` or `@{99}` gives.
            _ => Ok(None),
        }
    }
}

/// How much history a fetch brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// Everything that is missing; in a shallow clone down to where it ends now.
    Same,
    /// The commit alone.
    One,
    /// So many commits more than a shallow clone has.
    Deeper(u32),
    /// All of it.
    Whole,
}

/// Runs git to its end, within limits.
fn limited(command: &mut Command) -> Result<Output> {
    program::bound_memory(command, MEMORY);
    program::output(command, Vec::new(), PATIENCE, false, || None)
}

/// Git's own last words as an error.
fn said(what: &str, answer: &Output) -> anyhow::Error {
    let text = String::from_utf8_lossy(&answer.stderr);
    let fatal = text.lines().find_map(|line| line.strip_prefix("fatal: ").or(line.strip_prefix("error: ")));
    let message = fatal.or(text.lines().rfind(|line| !line.trim().is_empty())).unwrap_or("it says nothing");
    // Its advice is whole only with the folder that it names.
    let advice =
        text.lines().map(str::trim).find(|line| line.starts_with("git config ") && line.contains(SAFE_DIRECTORY));
    let advice = advice.map(|advice| format!(" (if you trust it, run `{}`)", printable(advice))).unwrap_or_default();
    anyhow!("`git {what}` failed: {}{advice}", printable(message))
}
