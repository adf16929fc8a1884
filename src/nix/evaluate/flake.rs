//! The flake that is evaluated: what a reference means.
//!
//! In: a flake reference as somebody typed it. Out: a [`Flake`], what `nix flake metadata` knows about it, or one clear error.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::inputs::{self, remedies};
use super::local_inputs::LocalInputs;
use super::reference::{PlainFolder, Reference, absolute, as_path};
use super::request::EvaluationRequest;
use super::{fingerprint, message};
use crate::git::Repository;
use crate::nix::command::Nix;
use crate::nix::machine_fault;
use crate::printable::printable;

/// Bytes of metadata that are read: a lock of tens of thousands of inputs.
const MAX_METADATA: usize = 64 << 20;

/// What Nix says where the lock does not cover all inputs.
pub const LOCK_CHANGES: &str = "not writing modified lock file";

/// What stands for a flake of this machine in a plan.
pub const LOCAL: &str = ".";

/// Bytes of the shortest text that stands for an input.
const SHORTEST_INPUT: usize = 5;

/// What identifies the flake in a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlakeInfo {
    /// The reference without the machine's paths and without passwords; `.` for a local flake.
    pub url: String,
    /// The commit; none for a tree with changes or without version control.
    pub revision: Option<String>,
}

/// A tree was edited while it was evaluated.
#[derive(Debug)]
pub struct Changed;

/// A resolved flake.
pub struct Flake {
    pub info: FlakeInfo,
    /// The reference that Nix is given from here on.
    pub reference: Reference,
    /// The folder on this machine that it is in, see [`Reference::folder`].
    pub root: Option<String>,
    /// Whether the lock file has to change before it covers all inputs.
    pub lock_is_incomplete: bool,
    /// Where the store has it; none where Nix was not asked.
    pub tree: Option<SourceTree>,
    /// What a message about one of its locked inputs mentions: addresses, commits, paths.
    pub inputs: Vec<String>,
    /// What it and its inputs hold, see [`fingerprint::of_flake`].
    pub fingerprint: Option<Value>,
    /// It is what is checked out in a folder of this machine, where anybody may edit it meanwhile.
    is_work_tree: bool,
}

/// A flake's source, in the store.
pub struct SourceTree {
    pub path: String,
    /// The folder in it that has the `flake.nix`.
    pub folder: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    #[serde(default)]
    resolved: Value,
    resolved_url: String,
    url: String,
    revision: Option<String>,
    #[serde(default)]
    path: String,
    #[serde(default)]
    locked: Value,
    #[serde(default)]
    locks: Value,
}

/// The reference that Nix is asked for, as far as it can be told from the text alone what somebody means by it.
pub fn asked(reference: &str) -> Result<String> {
    let shown = printable(reference);
    if reference.contains('#') {
        bail!("flake reference `{shown}` names an attribute (give the flake alone, and the attribute with `--select`)");
    }
    if reference.is_empty() || reference.starts_with('-') {
        bail!("`{shown}` is not a flake reference (give a folder with a `flake.nix`, or e.g. `github:owner/repo`)");
    }
    if reference.starts_with("path:") {
        // Nix 2.8 would leave it relative, and the wrapper would be its own input.
        return absolute(reference);
    }
    Ok(as_path(reference, Path::new(reference.split('?').next().unwrap_or(reference))))
}

impl Flake {
    /// A folder's flake without inputs, about which Nix has nothing to say that cannot be known without it.
    pub fn alone(plain: &PlainFolder) -> Result<Self> {
        let has_git = |folder: &&Path| folder.join(".git").exists();
        let repository = plain.folder.ancestors().find(has_git).filter(|_| !plain.is_path);
        let revision = repository.map_or(Ok(None), Repository::clean_commit)?;
        Ok(Self {
            info: FlakeInfo { url: LOCAL.to_owned(), revision },
            reference: plain.reference.clone(),
            root: repository.unwrap_or(&plain.folder).to_str().map(str::to_owned),
            lock_is_incomplete: false,
            tree: None,
            inputs: Vec::new(),
            fingerprint: None,
            is_work_tree: true,
        })
    }

    /// The commit that was evaluated, which ends now; an error where the tree is not what it was when that began.
    pub fn evaluated_revision(&self, nix: &Nix, request: &EvaluationRequest) -> Result<Option<String>, Changed> {
        let Some(revision) = self.info.revision.clone().filter(|_| self.is_work_tree) else {
            return Ok(self.info.revision.clone());
        };
        // Git answers at once. It counts more as a change than Nix does, and only Nix knows what Nix has taken.
        let seen_by_git = self.root.as_deref().map(|root| Repository::clean_commit(Path::new(root)));
        if !matches!(seen_by_git, Some(Ok(Some(commit))) if commit == revision) {
            let now = asked(&request.flake).and_then(|asked| Self::resolve(nix, request, &asked));
            if now.is_ok_and(|now| now.info.revision.as_ref() != Some(&revision)) {
                return Err(Changed);
            }
        }
        Ok(Some(revision))
    }

    /// Asks Nix about the flake of a request, `asked` as [`asked`] gives it.
    pub fn resolve(nix: &Nix, request: &EvaluationRequest, asked: &str) -> Result<Self> {
        let (reference, override_inputs) = (request.flake.as_str(), &request.override_inputs);
        let shown = printable(reference);
        let mut arguments: Vec<OsString> = ["flake", "metadata", "--json", "--no-write-lock-file", "--show-trace"]
            .into_iter()
            .map(OsString::from)
            .collect();
        for named in override_inputs {
            arguments.extend(["--override-input", &named.input, &*named.from_here()].map(OsString::from));
        }
        for (name, value) in &request.options {
            arguments.extend(["--option", name, value].map(OsString::from));
        }
        arguments.push(asked.into());
        let answer = nix.nix(&arguments, MAX_METADATA)?;
        if !answer.status.success() {
            nix.check_start()?;
            let said = message::from_stderr(&answer.stderr)
                .unwrap_or_else(|| format!("`nix flake metadata` ended with {}", answer.status));
            let error = foreign_repository(asked, &shown, &said)
                .or_else(|| untracked(asked, &shown))
                .or_else(|| inputs::unreadable(request, &answer.stderr, &shown, &said))
                .unwrap_or_else(|| explain(&shown, &said));
            let is_folder = !reference.starts_with(['.', '/']) && Path::new(reference).join("flake.nix").is_file();
            let is_name = reference.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
            let instead = match (is_folder, is_name && !reference.starts_with('.')) {
                (true, _) => format!("for the folder write `./{shown}`"),
                (false, true) => format!("for an attribute of the flake here write `.#{shown}`, or `--select {shown}`"),
                (false, false) => return Err(error),
            };
            return Err(error.context(format!("`{shown}` is read as a name in the flake registry ({instead})")));
        }
        let metadata: Metadata = serde_json::from_slice(&answer.stdout)
            .with_context(|| format!("cannot read the output of `nix flake metadata` for `{shown}`"))?;
        let is_local = is_local(&metadata);
        let reference = if is_local {
            // A local tree is taken as it is, as `nix build` would: a locked reference would make Nix fetch from it.
            Reference::new(asked, &metadata.resolved_url, &metadata.resolved)
        } else {
            Reference::new(asked, &metadata.url, &metadata.locked)
        };
        let below = metadata.resolved.get("dir").and_then(Value::as_str).unwrap_or_default();
        let (folder, root) = (format!("{}/{below}", metadata.path), reference.folder());
        LocalInputs::check_after(request, &folder, root.as_deref(), &metadata.locks)?;
        for named in override_inputs {
            inputs::check_replaced(named, &metadata.locks)?;
        }
        Ok(Self {
            tree: Some(SourceTree { folder, path: metadata.path.clone() }),
            inputs: locked_texts(&metadata.locks),
            fingerprint: fingerprint::of_flake(&metadata.path, &metadata.locked, &metadata.locks),
            info: FlakeInfo {
                url: if is_local { LOCAL.to_owned() } else { printable_url(&metadata.resolved_url) },
                revision: metadata.revision.clone(),
            },
            root,
            reference,
            is_work_tree: is_local && !["rev", "ref"].iter().any(|key| metadata.resolved.get(key).is_some()),
            lock_is_incomplete: override_inputs.is_empty() && answer.stderr.contains(LOCK_CHANGES),
        })
    }
}

/// What a message about a locked input mentions.
fn locked_texts(locks: &Value) -> Vec<String> {
    let nodes = locks.get("nodes").and_then(Value::as_object).into_iter().flat_map(|nodes| nodes.values());
    let references = nodes.flat_map(|node| [node.get("locked"), node.get("original")]).flatten();
    let texts = references.flat_map(|reference| {
        let text = |key: &str| reference.get(key).and_then(Value::as_str);
        let repository = text("owner").zip(text("repo")).map(|(owner, repo)| format!("{owner}/{repo}"));
        ["url", "rev", "path"].into_iter().filter_map(text).map(str::to_owned).chain(repository).collect::<Vec<_>>()
    });
    // What is shorter may be part of anything.
    texts.filter(|text| text.len() >= SHORTEST_INPUT).collect()
}

fn is_local(metadata: &Metadata) -> bool {
    let kind = metadata.resolved.get("type").and_then(Value::as_str);
    let url = metadata.resolved.get("url").and_then(Value::as_str).unwrap_or_default();
    kind == Some("path")
        || url.starts_with("file:")
        || url.starts_with('/')
        || metadata.resolved_url.contains("file://")
}

/// Without user and password.
fn printable_url(url: &str) -> String {
    let shown = match url.split_once("://") {
        Some((scheme, rest)) => {
            let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
            let host = match authority.rsplit_once('@') {
                // `git@host` is no secret, and part of every ssh address.
                Some((user, host)) if user.contains(':') || scheme.contains("http") => host,
                _ => authority,
            };
            format!("{scheme}://{host}{path}")
        }
        None => url.to_owned(),
    };
    printable(&shown)
}

/// Says what to do about a repository that belongs to another user: 2.8 says nothing of it, newer versions not what helps.
fn foreign_repository(asked: &str, flake: &str, said: &str) -> Option<anyhow::Error> {
    if !["program 'git' failed", "not owned by current user"].iter().any(|words| said.contains(words)) {
        return None;
    }
    let error = Repository::around(folder_of(asked)).err().map(|error| error.to_string());
    let error = error.filter(|error| error.contains(crate::git::SAFE_DIRECTORY))?;
    Some(anyhow!("the repository of flake `{flake}` belongs to another user: {error}"))
}

/// Says what to do about a `flake.nix` that git does not know, and therefore Nix does not see.
fn untracked(asked: &str, flake: &str) -> Option<anyhow::Error> {
    let file = folder_of(asked).canonicalize().ok()?.join("flake.nix");
    let repository = Repository::around(file.parent()?).ok().filter(|_| file.is_file())?;
    let within = file.strip_prefix(repository.top().canonicalize().ok()?).ok()?;
    let is_new = repository.untracked_files().ok()?.iter().any(|path| path == within.as_os_str().as_bytes());
    let shown = printable(&within.to_string_lossy());
    is_new
        .then(|| anyhow!("git does not track the `flake.nix` of `{flake}`, so Nix does not see it: `git add {shown}`"))
}

/// The folder that a local reference names.
fn folder_of(asked: &str) -> &Path {
    let path = asked.strip_prefix("git+file:").map_or(asked, |path| path.strip_prefix("//").unwrap_or(path));
    Path::new(path.split('?').next().unwrap_or(path))
}

/// Says what to do about a flake that Nix cannot read.
fn explain(flake: &str, said: &str) -> anyhow::Error {
    let has = |words: &[&str]| words.iter().any(|word| said.contains(word));
    if let Some((what, remedy)) = machine_fault::explain(said) {
        anyhow!("{what}: {said} ({remedy})")
    } else if has(&[
        "syntax error",
        "unexpected",
        "undefined variable",
        "expected a",
        "must be an attribute set",
        "unsupported attribute",
    ]) {
        anyhow!("the `flake.nix` of `{flake}` is not valid: {said}")
    } else if has(&["executing 'git'", "executing \"git\""]) {
        anyhow!("flake `{flake}` needs `git`, which is not on PATH: {said} (install git)")
    } else if has(&["shallow"]) {
        anyhow!("flake `{flake}` is a shallow clone: {said} (fetch the whole history, or use `git+file:.?shallow=1`)")
    } else if has(&[
        "flake.nix",
        "not a flake",
        "is not part of a flake",
        "unable to find a flake",
        "No such file",
        "does not exist",
    ]) {
        anyhow!(
            "no flake at `{flake}`: {said} (give a folder with a `flake.nix`, in a git repository one that `git add` has added, \
             or a reference such as `github:owner/repo`)"
        )
    } else if message::is_fetch_failure(said) {
        cannot_fetch(flake, said)
    } else {
        anyhow!("flake `{flake}` cannot be read: {said}")
    }
}

/// The error for a flake or an input that cannot be downloaded.
pub fn cannot_fetch(flake: &str, said: &str) -> anyhow::Error {
    anyhow!("flake `{flake}` or one of its inputs cannot be fetched: {said} ({})", remedies(said))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_printed_address_has_no_password() {
        for (url, shown) in [
            ("https://user:secret@host/x?y=1", "https://host/x?y=1"),
            ("git+https://token@host/x", "git+https://host/x"),
            ("git+ssh://git@host/x", "git+ssh://git@host/x"),
            ("github:owner/repo", "github:owner/repo"),
            ("https://host/a@b", "https://host/a@b"),
        ] {
            assert_eq!(printable_url(url), shown);
        }
    }
}
