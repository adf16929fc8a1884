//! Which revision a change is compared with: each state that a clone can be in, with real repositories, and the files that changed.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nixdag::affected::base::{BaseChoice, FoundBase, Head, Hints, find};
use nixdag::affected::ignore::IgnoreList;
use nixdag::affected::repository_flake::RepositoryFlake;
use nixdag::git::Repository;
use tempfile::TempDir;

fn git(dir: &Path, arguments: &[&str]) -> String {
    let output = Command::new("git")
        .current_dir(dir)
        .args(["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "protocol.file.allow=always"])
        .args(arguments)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .output()
        .unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// A server's repository with the branches `main` (three commits) and `feature` (two more, from the second one on).
struct Server {
    dir: TempDir,
    /// Where `feature` left `main`.
    fork: String,
    feature: String,
    main: String,
}

impl Server {
    fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let top = dir.path().join("server");
        fs::create_dir(&top).unwrap();
        git(&top, &["init", "-q", "-b", "main"]);
        git(&top, &["config", "uploadpack.allowFilter", "true"]);
        commit(&top, "one");
        let fork = commit(&top, "two");
        git(&top, &["checkout", "-q", "-b", "feature"]);
        commit(&top, "three");
        let feature = commit(&top, "four");
        git(&top, &["checkout", "-q", "main"]);
        let main = commit(&top, "five");
        Self { dir, fork, feature, main }
    }

    fn top(&self) -> PathBuf {
        self.dir.path().join("server")
    }

    /// Clones as a CI does, through the protocol.
    fn clone(&self, arguments: &[&str]) -> PathBuf {
        let name = format!("clone-{}", fs::read_dir(self.dir.path()).unwrap().count());
        let url = format!("file://{}", self.top().display());
        let fixed = ["clone", "-q", "--branch", "feature"];
        git(self.dir.path(), &[&fixed, arguments, &[&url, &name]].concat());
        self.dir.path().join(name)
    }
}

/// Commits a file of that name and returns the commit.
fn commit(dir: &Path, name: &str) -> String {
    fs::write(dir.join(name), name).unwrap();
    git(dir, &["add", "-A"]);
    git(dir, &["commit", "-q", "--allow-empty", "-m", name]);
    git(dir, &["rev-parse", "HEAD"])
}

fn auto(dir: &Path, default_branch: Option<&str>, hints: &Hints) -> FoundBase {
    let repository = Repository::around(dir).unwrap();
    let head = repository.commit("HEAD").unwrap().unwrap();
    let head = Head { repository: &repository, commit: &head, at_work_tree: true };
    find(head, &BaseChoice::Auto, default_branch, hints).unwrap()
}

fn named(dir: &Path, revision: &str) -> FoundBase {
    let repository = Repository::around(dir).unwrap();
    let head = repository.commit("HEAD").unwrap().unwrap();
    let head = Head { repository: &repository, commit: &head, at_work_tree: true };
    find(head, &BaseChoice::Revision(revision.to_owned()), None, &Hints::default()).unwrap()
}

#[track_caller]
fn is_base(found: FoundBase, expected: &str) {
    let FoundBase::Base { revision, .. } = found else { panic!("{found:?}") };
    assert_eq!(revision, expected);
}

#[track_caller]
fn is_none(found: FoundBase, words: &str, in_order: bool) {
    let (why, expected) = match found {
        FoundBase::None { why, expected } => (why, expected),
        FoundBase::NoRevision { why } => (why, false),
        FoundBase::Base { .. } => panic!("{found:?}"),
    };
    assert!(why.contains(words), "{why}");
    assert_eq!(expected, in_order, "{why}");
}

#[test]
fn a_branch_is_compared_with_where_it_left_the_default_branch() {
    let server = Server::new();
    let clone = server.clone(&[]);
    is_base(auto(&clone, None, &Hints::default()), &server.fork);
    is_base(auto(&clone, Some("main"), &Hints::default()), &server.fork);
    // Merged with the default branch since: what came from there is no part of the change.
    git(&clone, &["merge", "-q", "-m", "merge", "origin/main"]);
    is_base(auto(&clone, None, &Hints::default()), &server.main);
    // A clone that does not remember the remote's HEAD asks for it.
    git(&clone, &["remote", "set-head", "origin", "--delete"]);
    is_base(auto(&clone, None, &Hints::default()), &server.main);
}

#[test]
fn the_default_branch_tags_and_what_nobody_knows_have_no_base() {
    let server = Server::new();
    let clone = server.clone(&[]);
    is_none(auto(&clone, Some("feature"), &Hints::default()), "the default branch, `feature`", true);
    git(&clone, &["checkout", "-q", "main"]);
    is_none(auto(&clone, None, &Hints::default()), "the default branch, `main`", true);

    git(&clone, &["checkout", "-q", "--detach", "feature"]);
    is_none(auto(&clone, None, &Hints::default()), "detached", false);
    let hints = |branch: Option<&str>, tag: Option<&str>, commit: &str| Hints {
        branch: branch.map(str::to_owned),
        tag: tag.map(str::to_owned),
        commit: Some(commit.to_owned()),
        default_branch: None,
    };
    is_base(auto(&clone, None, &hints(Some("feature"), None, &server.feature)), &server.fork);
    is_none(auto(&clone, None, &hints(Some("main"), None, &server.feature)), "the default branch", true);
    is_none(auto(&clone, None, &hints(None, Some("v1"), &server.feature)), "the tag `v1`", true);
    is_none(auto(&clone, None, &hints(Some("feature"), None, &server.main)), "detached", false);
    // On a branch the repository knows better than the environment.
    git(&clone, &["checkout", "-q", "feature"]);
    is_base(auto(&clone, None, &hints(Some("main"), Some("v1"), &server.feature)), &server.fork);

    git(&clone, &["checkout", "-q", "--orphan", "new"]);
    commit(&clone, "unrelated");
    is_none(auto(&clone, None, &Hints::default()), "no commit in common", false);
    is_none(auto(&clone, Some("nowhere"), &Hints::default()), "no commit of the default branch `nowhere`", false);
    is_none(auto(&clone, Some("x:refs/heads/y"), &Hints::default()), "cannot be the name of a branch", false);
    // What the CI says counts where the remote does not answer.
    git(&clone, &["checkout", "-q", "feature"]);
    git(&clone, &["remote", "set-head", "origin", "--delete"]);
    git(&clone, &["remote", "set-url", "origin", "/nowhere"]);
    is_none(auto(&clone, None, &Hints::default()), "the default branch is not known", false);
    let said = |branch: &str| Hints { default_branch: Some(branch.into()), ..Hints::default() };
    is_base(auto(&clone, None, &said("main")), &server.fork);
    is_none(auto(&clone, None, &said("x:y")), "cannot be the name of a branch", false);
    git(&clone, &["checkout", "-q", "new"]);
    git(&clone, &["remote", "remove", "origin"]);
    is_none(auto(&clone, None, &Hints::default()), "the default branch is not known", false);
}

#[test]
fn a_shallow_clone_is_made_deeper_until_both_branches_meet() {
    let server = Server::new();
    for arguments in [&["--depth=1"][..], &["--depth=1", "--no-single-branch"]] {
        let clone = server.clone(arguments);
        is_base(auto(&clone, Some("main"), &Hints::default()), &server.fork);
    }
    // `main` is not among what a clone of one branch fetches; its HEAD is asked for.
    is_base(auto(&server.clone(&["--depth=1"]), None, &Hints::default()), &server.fork);

    let clone = server.clone(&["--depth=1", "--no-single-branch"]);
    git(&clone, &["remote", "set-url", "origin", "file:///nowhere/at/all"]);
    is_none(auto(&clone, Some("main"), &Hints::default()), "shallow", false);
    is_none(named(&clone, &server.fork), "not here and cannot be fetched", false);
}

#[test]
fn a_named_revision_is_taken_or_fetched_or_said_to_be_missing() {
    let server = Server::new();
    let clone = server.clone(&[]);
    is_base(named(&clone, "HEAD~2"), &server.fork);
    is_base(named(&clone, "HEAD"), &server.feature);
    is_base(named(&clone, "main"), &server.main);
    is_base(named(&clone, "origin/main"), &server.main);
    is_base(named(&server.clone(&["--depth=1"]), &server.fork), &server.fork);
    is_base(named(&server.clone(&["--depth=1"]), "main"), &server.main);
    // A force-push took the commit off the branch; the server has it still.
    let clone = server.clone(&["--single-branch"]);
    git(&server.top(), &["checkout", "-q", "feature"]);
    let gone = commit(&server.top(), "gone");
    git(&server.top(), &["reset", "-q", "--hard", &server.feature]);
    is_base(named(&clone, &gone), &gone);
    is_none(named(&clone, &"1".repeat(40)), "after a force-push", false);

    for nothing in ["", "<nil>", &"0".repeat(40)] {
        is_none(named(&clone, nothing), "names no revision", false);
    }
    for hostile in ["--upload-pack=/bin/true", "a..b", "@{99}", "x y", ":/x", "HEAD~99", "-h", "\u{1b}[31m"] {
        let FoundBase::NoRevision { why } = named(&clone, hostile) else { panic!("{hostile}") };
        assert!(!why.contains('\u{1b}'), "{why:?}");
    }
    // The first commit has nothing before it.
    let first = TempDir::new().unwrap();
    git(first.path(), &["init", "-q", "-b", "main"]);
    commit(first.path(), "one");
    is_none(named(first.path(), "HEAD~1"), "no remote", false);
}

#[test]
fn a_partial_clone_gets_the_files_of_the_base_at_once() {
    let server = Server::new();
    git(&server.top(), &["checkout", "-q", "feature"]);
    fs::write(server.top().join("two"), "changed").unwrap();
    git(&server.top(), &["commit", "-q", "-a", "-m", "changed"]);
    let clone = server.clone(&["--filter=blob:none"]);
    let missing = |clone: &Path| {
        git(clone, &["rev-list", "--objects", "--missing=print", "--no-walk", &format!("{}:", server.fork)])
    };
    assert!(missing(&clone).contains('?'), "{}", missing(&clone));
    let status = git(&clone, &["status", "--porcelain"]);
    is_base(auto(&clone, Some("main"), &Hints::default()), &server.fork);
    assert!(!missing(&clone).contains('?'), "{}", missing(&clone));
    assert_eq!((git(&clone, &["status", "--porcelain"]), status), (String::new(), String::new()));
}

#[test]
fn of_several_merge_bases_one_is_taken_and_it_is_said() {
    let dir = TempDir::new().unwrap();
    let top = dir.path();
    git(top, &["init", "-q", "-b", "main"]);
    commit(top, "root");
    git(top, &["checkout", "-q", "-b", "feature"]);
    let one = commit(top, "on-feature");
    git(top, &["checkout", "-q", "main"]);
    let other = commit(top, "on-main");
    git(top, &["merge", "-q", "-m", "x", &one]);
    commit(top, "more-main");
    git(top, &["checkout", "-q", "feature"]);
    git(top, &["merge", "-q", "-m", "y", &other]);
    commit(top, "more-feature");
    let FoundBase::Base { revision, note } = auto(top, Some("main"), &Hints::default()) else { panic!("no base") };
    assert!(revision == one || revision == other);
    assert!(note.is_some_and(|note| note.starts_with("2 commits")));
}

#[test]
fn a_branch_without_commits_of_its_own_is_its_own_base() {
    let server = Server::new();
    let clone = server.clone(&[]);
    git(&clone, &["checkout", "-q", "-b", "fresh", "origin/main"]);
    let FoundBase::Base { revision, note } = auto(&clone, None, &Hints::default()) else { panic!("no base") };
    assert_eq!(revision, server.main);
    assert!(note.is_some_and(|note| note.contains("all commits of this branch are in `main`")));
    // For a revision of the default branch that the reference names, nobody says that it is a branch of its own.
    let repository = Repository::around(&clone).unwrap();
    let head = Head { repository: &repository, commit: &server.main, at_work_tree: false };
    let found = find(head, &BaseChoice::Auto, None, &Hints::default()).unwrap();
    is_none(found, "one of the default branch", true);
}

#[test]
fn only_a_flake_in_a_repository_has_a_history() {
    let server = Server::new();
    let clone = server.clone(&[]);
    let below = clone.join("sub dir/deeper");
    fs::create_dir_all(&below).unwrap();
    fs::write(clone.join("sub dir/flake.nix"), "{}").unwrap();
    let shown = |path: &Path| path.to_str().unwrap().to_owned();
    let flake = RepositoryFlake::find(&shown(&below)).unwrap();
    assert!(flake.at("abc").unwrap().ends_with("?dir=sub%20dir&rev=abc"), "{}", flake.at("abc").unwrap());
    let flake =
        RepositoryFlake::find(&format!("git+file://{}?submodules=1&rev={}", shown(&clone), server.fork)).unwrap();
    assert_eq!((&flake.commit, flake.at_work_tree), (&server.fork, false));
    assert!(flake.at("abc").unwrap().ends_with("?submodules=1&rev=abc"));
    let shallow = RepositoryFlake::find(&shown(&server.clone(&["--depth=1"]))).unwrap();
    assert!(shallow.at("abc").unwrap().ends_with("?shallow=1&rev=abc"));

    let empty = TempDir::new().unwrap();
    let unborn = TempDir::new().unwrap();
    git(unborn.path(), &["init", "-q"]);
    for (reference, words) in [
        (shown(empty.path()), "no git repository"),
        (shown(unborn.path()), "no commit yet"),
        (format!("path:{}", shown(&clone)), "without `path:`"),
        ("github:owner/repo".to_owned(), "not a folder on this machine"),
        ("/nowhere/at/all".to_owned(), "not a folder on this machine"),
        (format!("git+file://{}?ref=nope", shown(&clone)), "has no `nope`"),
    ] {
        let error = format!("{:#}", RepositoryFlake::find(&reference).unwrap_err());
        assert!(error.contains(words), "{reference}: {error}");
    }
}

#[test]
fn changed_files_are_bytes_and_a_rename_is_two() {
    let dir = TempDir::new().unwrap();
    let top = dir.path();
    git(top, &["init", "-q", "-b", "main"]);
    fs::write(top.join("old"), "a long enough text to be found again\n".repeat(9)).unwrap();
    let first = commit(top, "kept");
    git(top, &["mv", "old", "new"]);
    let odd = OsStr::from_bytes(b"-odd\n\"\\ \xff");
    fs::write(top.join(odd), "x").unwrap();
    let second = commit(top, "kept");
    let repository = Repository::around(top).unwrap();
    let mut changed = repository.changed_files(&first, None).unwrap();
    changed.sort();
    assert_eq!(changed, [odd.as_bytes(), b"new", b"old"]);
    assert!(!repository.is_dirty().unwrap() && repository.changed_files(&second, None).unwrap().is_empty());

    // Tracked files count as they are, staged or not; others are no part of the flake.
    fs::write(top.join("new"), "y").unwrap();
    fs::write(top.join("untracked"), "y").unwrap();
    assert_eq!(repository.changed_files(&second, None).unwrap(), [b"new"]);
    assert!(repository.is_dirty().unwrap());
    git(top, &["add", "untracked"]);
    assert_eq!(repository.changed_files(&second, None).unwrap(), [&b"new"[..], b"untracked"]);
    assert_eq!(repository.changed_files(&first, Some(&second)).unwrap().len(), 3);
    // The user's own settings of git change nothing.
    git(top, &["config", "diff.renames", "copies"]);
    git(top, &["config", "diff.external", "/bin/false"]);
    git(top, &["config", "diff.relative", "true"]);
    assert_eq!(repository.changed_files(&first, Some(&second)).unwrap().len(), 3);
}

/// Git itself is the judge, wherever no `!` is involved.
#[test]
fn patterns_mean_what_they_mean_in_a_gitignore() {
    let dir = TempDir::new().unwrap();
    let top = dir.path();
    git(top, &["init", "-q"]);
    let patterns = [
        "*.md",
        "docs",
        "docs/",
        "/docs",
        "/docs/",
        "a/b",
        "a/*",
        "a/**",
        "**/b",
        "a/**/b",
        "*",
        "?",
        "[ab]",
        "[!ab]*",
        "a*b",
        "**",
        "a**",
        "*/b",
        "**/*.md",
        "a/b/",
        r"\*",
        r"a\b",
        "[]a]",
        "[a-c]/d",
        ".*",
        "docs/*.md",
        "**/docs/**",
        "a/**/**/b",
        "b/**/",
    ];
    let paths = [
        "a",
        "b",
        "ab",
        "a/b",
        "a/b/c",
        "a/x/b",
        "a/x/y/b",
        "docs",
        "docs/x",
        "docs/x.md",
        "x/docs",
        "x/docs/y",
        "x.md",
        "a/x.md",
        ".hidden",
        "a/.hidden/b",
        "*",
        "]",
        "c/d",
        "b/d/e",
        "acb",
        "a/cb",
        "docs/a/x.md",
        "b/b/b",
    ];
    for pattern in patterns {
        fs::write(top.join(".gitignore"), format!("{pattern}\n")).unwrap();
        let mut check = Command::new("git");
        check.current_dir(top).args(["check-ignore", "--no-index", "-z", "--stdin"]);
        let mut child = check.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), paths.join("\0").as_bytes()).unwrap();
        let said = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
        let by_git: Vec<&str> = said.split('\0').filter(|path| !path.is_empty()).collect();
        let list = IgnoreList::parse([pattern]).unwrap();
        let by_us: Vec<&str> = paths.into_iter().filter(|path| list.ignores(path.as_bytes())).collect();
        assert_eq!(by_us, by_git, "{pattern}");
    }
}
