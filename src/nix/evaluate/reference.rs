//! How Nix is told which flake to take, so that it takes the very same one each time.
//!
//! In: a reference as somebody typed it, and what Nix made of it. Out: a [`Reference`]. What Nix prints as an address does not always say
//! everything: 2.8 leaves out `submodules`, newer versions `allRefs`. The attributes say everything, and so does what was typed.

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::{Map, Value, json};

use super::covered::{Covered, covered};
use super::literal::{is_identifier, nix_string};
use super::written;
use crate::checkout::GIT;
use crate::git::Repository;
use crate::printable::printable;
use crate::regular_file;

/// The bytes of a path that are no letters or digits and need no escape in an address.
pub const URL_PATH: &[u8] = b"/-_.~";

/// The bytes of an address that may stand in it as they are; 2.8 prints addresses that it does not take back.
const URL: &[u8] = b"/-_.~:?&=+@!$'()*,;%";

/// Attributes that an address says in its path, that follow from others, or that check them.
const IN_PATH: [&str; 12] =
    ["type", "url", "owner", "repo", "host", "id", "path", "rev", "ref", "lastModified", "revCount", "narHash"];

/// The attribute of `flake.nix` with settings of Nix.
pub const SETTINGS: &str = "nixConfig";

/// What attributes of git have in their names that change the text of files.
const CHANGING: [&str; 3] = ["export", "encoding", "filter"];

/// Bytes of a `flake.nix` that are searched.
const MAX_SEARCHED: u64 = 1 << 20;

/// What refers to a flake.
#[derive(Clone, Debug)]
pub struct Reference {
    /// For the command line.
    url: String,
    /// For an input of another flake.
    attributes: Map<String, Value>,
}

impl Reference {
    /// `typed` is what was asked for, `printed` and `attributes` are what Nix made of it.
    pub fn new(typed: &str, printed: &str, attributes: &Value) -> Self {
        let attributes = attributes.as_object().cloned().unwrap_or_default();
        let text = |key: &str| attributes.get(key).and_then(Value::as_str);
        let url = match (text("type"), text("path")) {
            (Some("path"), Some(path)) => {
                let dir = text("dir").map(|dir| format!("?dir={}", url_escaped(dir, URL_PATH)));
                format!("path:{}{}", url_escaped(path, URL_PATH), dir.unwrap_or_default())
            }
            _ if says_all(printed, &attributes) => url_escaped(printed, URL),
            _ => typed.to_owned(),
        };
        Self { url, attributes }
    }

    /// The folder on this machine that it names, if it does: the root of a repository, or what has no version control.
    pub fn folder(&self) -> Option<String> {
        let text = |key: &str| self.attributes.get(key).and_then(Value::as_str);
        if let (Some("path"), Some(path)) = (text("type"), text("path")) {
            return Some(path.to_owned());
        }
        let path = text("url")?.strip_prefix("file:")?;
        let path = path.strip_prefix("//").unwrap_or(path);
        let path = path.split('?').next().unwrap_or(path);
        Some(percent_encoding::percent_decode_str(path).decode_utf8_lossy().trim_end_matches('/').to_owned())
    }

    /// As an argument of Nix.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// As the input of a flake: a Nix expression.
    pub fn input(&self) -> String {
        let mut input = String::from("{ ");
        for (name, value) in self.attributes.iter().filter(|(name, _)| is_identifier(name)) {
            let value = match value {
                Value::String(text) => nix_string(text),
                Value::Bool(_) | Value::Number(_) => value.to_string(),
                Value::Null | Value::Array(_) | Value::Object(_) => continue,
            };
            // Writing to a string cannot fail.
            let _ = write!(input, "{name} = {value}; ");
        }
        input.push('}');
        input
    }
}

/// A folder with a flake that Nix takes in the same way before it has said what is there: so evaluation need not wait for that.
#[derive(Clone, Debug)]
pub struct PlainFolder {
    pub reference: Reference,
    /// Without symbolic links.
    pub folder: PathBuf,
    /// Version control does not count.
    pub is_path: bool,
    /// It has no inputs, and no lock.
    pub is_alone: bool,
}

impl PlainFolder {
    /// None where evaluation has to wait, or should: an input may be on this machine, Nix may have to fetch what locks, or the flake has
    /// settings of Nix.
    pub fn of(asked: &str) -> Option<Self> {
        let (is_path, folder) = asked.strip_prefix("path:").map_or((false, asked), |path| (true, path));
        let folder = Path::new(folder);
        let is_plain = |path: &Path| {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || URL_PATH.contains(&byte) && byte != b'~';
            path.to_str().is_some_and(|text| text.bytes().all(plain))
        };
        if !(folder.is_absolute() || folder.starts_with(".") || folder.starts_with("..")) || !is_plain(folder) {
            return None;
        }
        let found = fs::canonicalize(folder).ok().filter(|found| is_plain(found))?;
        let file = regular_file::open(&found.join("flake.nix")).ok()?;
        let text = io::read_to_string(file.take(MAX_SEARCHED)).ok()?;
        if text.len() as u64 == MAX_SEARCHED || text.contains(SETTINGS) {
            return None;
        }
        let covered = covered(&text, &written::lock(&found))?;
        if !is_path && !is_seen_by_nix(&found, covered) {
            return None;
        }
        let path = json!(found.to_str()?);
        let is_alone = covered == Covered::ByNone && !found.join("flake.lock").exists();
        let attributes = if is_path { json!({ "type": "path", "path": path }) } else { json!({ "url": path }) };
        let reference = Reference { url: asked.to_owned(), attributes: attributes.as_object()?.clone() };
        Some(Self { reference, folder: found, is_path, is_alone })
    }
}

/// True where the files that say what the inputs are, in a folder of a repository, are the same for Nix as here.
fn is_seen_by_nix(folder: &Path, covered: Covered) -> bool {
    let files: &[&str] = if covered == Covered::ByNone { &["flake.nix"] } else { &["flake.nix", "flake.lock"] };
    let is_file = |name: &&str| folder.join(name).symlink_metadata().is_ok_and(|found| found.is_file());
    let Some(root) = folder.ancestors().find(|folder| folder.join(GIT).exists()) else { return true };
    let below = folder.ancestors().take_while(|above| above.starts_with(root));
    if !files.iter().all(is_file) || below.clone().any(changes_files) {
        return false;
    }
    let lock = folder.strip_prefix(root).map(|below| below.join("flake.lock"));
    // What git does not know Nix does not see.
    covered == Covered::ByNone || lock.is_ok_and(|lock| Repository::tracks(root, &lock).unwrap_or(false))
}

/// True for a folder whose attributes of git can make files other ones in an archive, or in a commit.
fn changes_files(folder: &Path) -> bool {
    let file = folder.join(".gitattributes");
    let read = || -> io::Result<Vec<u8>> {
        let mut text = Vec::new();
        regular_file::open(&file)?.take(MAX_SEARCHED).read_to_end(&mut text)?;
        Ok(text)
    };
    file.symlink_metadata().is_ok()
        && read().map_or(true, |text| {
            let has = |word: &&str| memchr::memmem::find(&text, word.as_bytes()).is_some();
            text.len() as u64 == MAX_SEARCHED || CHANGING.iter().any(has)
        })
}

/// True where an address says all that the attributes do.
fn says_all(url: &str, attributes: &Map<String, Value>) -> bool {
    let query = url.split_once('?').map_or("", |(_, query)| query);
    let said = |name: &str| query.split('&').any(|part| part.split('=').next() == Some(name));
    let is_off = |value: &Value| matches!(value, Value::Bool(false));
    attributes.iter().all(|(name, value)| IN_PATH.contains(&name.as_str()) || is_off(value) || said(name))
}

/// Percent-encodes every byte but letters, digits and those in `plain`.
pub fn url_escaped(text: &str, plain: &[u8]) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || plain.contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(escaped, "%{byte:02X}");
        }
    }
    escaped
}

/// Gives `examples/hermetic` the `./` without which Nix takes it for the registry entry `examples`.
pub fn as_path(reference: &str, path: &Path) -> String {
    let is_bare =
        reference.contains('/') && !reference.contains(':') && path.is_relative() && !reference.starts_with('.');
    if is_bare && path.join("flake.nix").is_file() { format!("./{reference}") } else { reference.to_owned() }
}

/// A relative path, with or without `path:`, from the root: it is relative to the working directory, not to the wrapper.
pub fn absolute(reference: &str) -> Result<String> {
    absolute_from(reference, Path::new(""))
}

/// The same, relative to a folder.
pub fn absolute_from(reference: &str, folder: &Path) -> Result<String> {
    let (prefix, path) = reference.strip_prefix("path:").map_or(("", reference), |path| ("path:", path));
    if !path.starts_with('.') {
        return Ok(reference.to_owned());
    }
    let (path, query) = path.split_at(path.find('?').unwrap_or(path.len()));
    let here = env::current_dir().context("cannot find the working directory")?.join(folder);
    let raw = fs::canonicalize(here.join(path));
    // An address may have escapes, a path has none.
    let is_escaped = raw.is_err() && !prefix.is_empty();
    let decoded = || fs::canonicalize(here.join(&*percent_encoding::percent_decode_str(path).decode_utf8_lossy()));
    let found = if is_escaped { decoded() } else { raw };
    let found = found.with_context(|| format!("no folder `{}` in the working directory", printable(path)))?;
    let found =
        found.to_str().with_context(|| format!("the folder `{}` has a name that is not text", path.escape_debug()))?;
    let found = if is_escaped { url_escaped(found, URL_PATH) } else { found.to_owned() };
    Ok(format!("{prefix}{found}{query}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_address_leaves_out_is_not_lost() {
        let git = |more: Value| {
            let mut all = json!({ "type": "git", "url": "file:///x" });
            all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            all
        };
        let url = |printed: &str, attributes: &Value| Reference::new("typed", printed, attributes).url;
        assert_eq!(url("git+file:///x", &git(json!({}))), "git+file:///x");
        assert_eq!(url("git+file:///x", &git(json!({ "submodules": false }))), "git+file:///x");
        assert_eq!(url("git+file:///x", &git(json!({ "submodules": true }))), "typed");
        assert_eq!(
            url("git+file:///x?submodules=1", &git(json!({ "submodules": true }))),
            "git+file:///x?submodules=1"
        );
        assert_eq!(url("git+file:///x?rev=1", &git(json!({ "allRefs": true, "rev": "1" }))), "typed");
        assert_eq!(url("path:x", &json!({ "type": "path", "path": "/a b", "dir": "c" })), "path:/a%20b?dir=c");
        let reference = Reference::new(
            "typed",
            "x",
            &git(json!({ "submodules": true, "revCount": 2, "x\"": "y", "dir": "a${b}" })),
        );
        for part in [r#" dir = "a\${b}"; "#, " revCount = 2; ", " submodules = true; ", r#" url = "file:///x"; "#] {
            assert!(reference.input().contains(part), "{}", reference.input());
        }
        assert!(!reference.input().contains("= \"y\""));
        assert_eq!(reference.folder().unwrap(), "/x");
    }
}
