//! Whether it is certain, by its files alone, that a flake has no input on this machine: evaluation may begin before Nix has said what the
//! inputs are. Evaluation can send what it reads elsewhere, so what is not certain is looked at first.
//!
//! In: the text of the `flake.nix` and the lock. Out: how the inputs are covered. An input is covered where Nix takes it and all of its inputs from the
//! lock, and each is on another machine. What is unusual is not certain.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::declared::{self, Declared};
use super::flake_text;

/// The versions of locks that Nix reads.
const VERSIONS: std::ops::RangeInclusive<u64> = 5..=7;

/// Digits of a commit.
const REVISIONS: [usize; 2] = [40, 64];

/// What a flake's inputs need beside the flake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Covered {
    /// It has none.
    ByNone,
    /// All are in its lock.
    ByLock,
}

/// None where it is not certain.
pub fn covered(text: &str, lock: &Value) -> Option<Covered> {
    let inputs = declared::inputs(&flake_text::bindings(text)?)?;
    if inputs.is_empty() {
        return Some(Covered::ByNone);
    }
    VERSIONS.contains(&lock.get("version")?.as_u64()?).then_some(())?;
    let nodes = lock.get("nodes")?.as_object()?;
    let root = nodes.get(lock.get("root")?.as_str()?)?.get("inputs")?;
    // Those whose own inputs come from the lock, whatever that says.
    let mut below = Vec::new();
    for (name, input) in inputs {
        let node = match (root.get(name)?, input.follows) {
            (Value::Array(_), Some(_)) if input.url.is_some() || !input.inner.is_empty() => return None,
            (Value::Array(path), Some(follows)) if is_path(path, follows) => continue,
            (Value::String(key), None) => nodes.get(key)?,
            _ => return None,
        };
        is_as_declared(name, &input, node).then_some(())?;
        let locked = node.get("inputs").map_or(Some(Map::new()), |inputs| inputs.as_object().cloned())?;
        // Nix fetches an input, and locks its inputs anew, where it does not declare what follows something.
        let are_paths = input
            .inner
            .iter()
            .all(|(inner, follows)| follows.is_some() && locked.get(*inner).is_some_and(Value::is_array));
        are_paths.then_some(())?;
        for (inner, to) in &locked {
            match to {
                Value::Array(path) if is_path(path, input.inner.get(&**inner).copied().flatten()?) => {}
                Value::String(key) => below.push(key.clone()),
                _ => return None,
            }
        }
    }
    let mut seen = BTreeSet::new();
    while let Some(key) = below.pop() {
        let node = nodes.get(&key)?;
        is_elsewhere(node).then_some(())?;
        if seen.insert(key) {
            let inputs = node.get("inputs").map_or(Some(Map::new()), |inputs| inputs.as_object().cloned())?;
            for to in inputs.values() {
                below.push(to.as_str()?.to_owned());
            }
        }
    }
    Some(Covered::ByLock)
}

/// True for the path of an input, as locks have it.
fn is_path(path: &[Value], follows: &str) -> bool {
    path.iter().map(Value::as_str).eq(follows.split('/').map(Some))
}

/// True for a node of the lock that Nix uses for an input.
fn is_as_declared(name: &str, input: &Declared, node: &Value) -> bool {
    let is_flake = node.get("flake").map_or(Some(true), Value::as_bool);
    is_flake == Some(input.is_flake.unwrap_or(true))
        && is_elsewhere(node)
        && reference(input.url.unwrap_or(name)).is_some_and(|wanted| node.get("original") == Some(&wanted))
}

/// True for a node that is on another machine.
fn is_elsewhere(node: &Value) -> bool {
    let text = |key: &str| node.get("locked").and_then(|locked| locked.get(key)?.as_str());
    let is_at = |schemes: &[&str]| text("url").is_some_and(|url| schemes.iter().any(|scheme| url.starts_with(scheme)));
    // Old locks have a part of it there.
    node.get("info").is_none()
        && match text("type") {
            Some("github" | "gitlab" | "sourcehut") => text("owner").is_some() && text("repo").is_some(),
            Some("git") => is_at(&["https://", "http://", "ssh://"]),
            Some("tarball" | "file") => is_at(&["https://", "http://"]),
            _ => false,
        }
}

/// True for a commit in full.
pub fn is_revision(text: &str) -> bool {
    REVISIONS.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// A plain reference as locks have it as the original; none where versions of Nix may write it in different ways.
pub fn reference(url: &str) -> Option<Value> {
    let (address, query) = url.split_once('?').map_or((url, None), |(address, query)| (address, Some(query)));
    let is_plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_./:@+".contains(&byte));
    (is_plain(address) && !address.split('/').any(|part| part == "..")).then_some(())?;
    let mut found = match address.split_once(':') {
        None | Some(("flake", _)) => {
            let mut parts = address.strip_prefix("flake:").unwrap_or(address).splitn(2, '/');
            let id = parts.next().filter(|id| flake_text::is_flake_id(id) && query.is_none())?;
            with_branch(json!({ "type": "indirect", "id": id }), parts.next())?
        }
        Some((kind @ ("github" | "gitlab" | "sourcehut"), path)) => {
            let mut parts = path.splitn(3, '/');
            let named = json!({ "type": kind, "owner": parts.next()?, "repo": parts.next()? });
            with_branch(named, parts.next())?
        }
        Some(("http" | "https", path)) => {
            (path.ends_with(".tar.gz") && query.is_none()).then_some(())?;
            json!({ "type": "tarball", "url": address })
        }
        Some(("git+https" | "git+http" | "git+ssh" | "git+file", path)) => {
            path.starts_with("//").then_some(())?;
            json!({ "type": "git", "url": address.strip_prefix("git+")? })
        }
        _ => return None,
    };
    let is_git = found.get("type")? == "git";
    for (name, value) in
        query.into_iter().flat_map(|query| query.split('&')).map(|pair| pair.split_once('=')).map(Option::unzip)
    {
        let (name, value) = name.zip(value)?;
        is_plain(value).then_some(())?;
        let value = match name {
            "dir" if !is_git => json!(value),
            "ref" if is_git => json!(value),
            "rev" if is_git && is_revision(value) => json!(value),
            "submodules" | "shallow" | "allRefs" if address.starts_with("git+file:") => json!(value == "1"),
            _ => return None,
        };
        found.as_object_mut()?.insert(name.to_owned(), value).is_none().then_some(())?;
    }
    Some(found)
}

/// Adds a branch, or a commit.
fn with_branch(mut named: Value, branch: Option<&str>) -> Option<Value> {
    if let Some(branch) = branch {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        let begins = branch.bytes().next()?.is_ascii_alphanumeric();
        (begins && branch.bytes().all(is_plain)).then_some(())?;
        let key = match branch.len() {
            // Old versions know no such commits.
            64 if is_revision(branch) => return None,
            _ if is_revision(branch) => "rev",
            _ => "ref",
        };
        named.as_object_mut()?.insert(key.to_owned(), json!(branch));
    }
    Some(named)
}

#[cfg(test)]
mod tests {
    use super::*;

    const REVISION: &str = "0123456789012345678901234567890123456789";

    fn github(name: &str) -> Value {
        let locked = json!({ "type": "github", "owner": "o", "repo": name, "rev": REVISION });
        json!({ "locked": locked, "original": { "type": "github", "owner": "o", "repo": name } })
    }

    /// A lock with the inputs `a` and `b`; `a` has `b` as `c`, and `d`.
    fn lock() -> Value {
        let mut a = github("a");
        a["inputs"] = json!({ "c": ["b"], "d": "d" });
        let root = json!({ "inputs": { "a": "a", "b": "b_2" } });
        json!({ "nodes": { "root": root, "a": a, "b_2": github("b"), "d": github("d") }, "root": "root", "version": 7 })
    }

    const TEXT: &str = "{ inputs.a = { url = \"github:o/a\"; inputs.c.follows = \"b\"; }; inputs.b.url = \"github:o/b\"; \
                        outputs = { self, a, b }: { }; }";

    #[test]
    fn a_lock_covers_what_it_was_made_for() {
        assert_eq!(covered(TEXT, &lock()), Some(Covered::ByLock));
        assert_eq!(covered("{ outputs = { self }: { }; }", &Value::Null), Some(Covered::ByNone));
        let mut registry = lock();
        registry["nodes"]["b_2"]["original"] = json!({ "type": "indirect", "id": "b" });
        assert_eq!(covered(&TEXT.replace("inputs.b.url = \"github:o/b\";", ""), &registry), Some(Covered::ByLock));
    }

    #[test]
    fn what_nix_would_look_for_anew_or_on_this_machine_is_not_covered() {
        for (of, to) in [
            ("github:o/b", "github:o/x"),
            ("github:o/b", "path:./b"),
            ("inputs.c.follows = \"b\";", ""),
            ("inputs.c.follows = \"b\";", "flake = false; inputs.c.follows = \"b\";"),
            ("follows = \"b\"", "follows = \"a\""),
            ("inputs.c.follows", "inputs.d.follows"),
            ("self, a, b", "self, a, b, e"),
            ("inputs.b.url", "inputs.e.url"),
        ] {
            assert!(TEXT.contains(of) && covered(&TEXT.replace(of, to), &lock()).is_none(), "{to}");
        }
        let local = json!({ "type": "path", "path": "/x", "narHash": "sha256-x" });
        let git = json!({ "type": "git", "url": "file:///x", "rev": REVISION });
        for (at, value) in [
            ("/version", json!(8)),
            ("/nodes/a/info", local.clone()),
            ("/nodes/d/info", local.clone()),
            ("/nodes/d/locked", local),
            ("/nodes/b_2/locked", git),
            ("/nodes/d/inputs", json!({ "e": ["b"] })),
            ("/nodes/d/inputs", json!({ "e": "missing" })),
            ("/nodes/root/inputs/b", json!(["a"])),
            ("/nodes/root/inputs", json!({})),
        ] {
            let mut lock = lock();
            let (folder, name) = at.rsplit_once('/').unwrap();
            lock.pointer_mut(folder).unwrap()[name] = value;
            assert_eq!(covered(TEXT, &lock), None, "{at}");
        }
        assert_eq!(covered(TEXT, &Value::Null), None);
        assert_eq!(covered("{ outputs = { self, private }: { }; }", &Value::Null), None);
    }

    #[test]
    fn plain_references_are_read_as_nix_reads_them() {
        for (url, found) in [
            ("nixpkgs", json!({ "type": "indirect", "id": "nixpkgs" })),
            ("flake:nixpkgs/nixos-22.05", json!({ "type": "indirect", "id": "nixpkgs", "ref": "nixos-22.05" })),
            ("github:o/r/x?dir=y", json!({ "type": "github", "owner": "o", "repo": "r", "ref": "x", "dir": "y" })),
            ("git+file:///x?ref=y", json!({ "type": "git", "url": "file:///x", "ref": "y" })),
            ("git+file:///x?submodules=1", json!({ "type": "git", "url": "file:///x", "submodules": true })),
            ("https://h/x.tar.gz", json!({ "type": "tarball", "url": "https://h/x.tar.gz" })),
        ] {
            assert_eq!(reference(url), Some(found), "{url}");
        }
        for url in [
            "path:./x",
            "./x",
            "1/x",
            "x?a",
            "github:o",
            "github:o/r/x/y",
            "git+file:../x",
            "git+https://h/a%20b",
            "git+https://h/x?submodules=1",
            "https://h/x",
        ] {
            assert_eq!(reference(url), None, "{url}");
        }
    }
}
