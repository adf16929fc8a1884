//! What a flake reference names on this machine, and whether it leads out of the checkout.

use std::io;
use std::path::{Component, Path};

use anyhow::{Result, ensure};
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};

use super::flake_text;
use crate::checkout::{Checkout, GIT};
use crate::nix::store_path;
use crate::printable::printable;

/// Something on this machine that an input is read from.
#[derive(Debug, PartialEq, Eq)]
pub struct InputPlace {
    /// Only what is committed there is read.
    pub is_repository: bool,
    /// As it is written, without escapes.
    pub path: String,
}

impl InputPlace {
    /// That of a flake reference in the form of an address.
    pub fn of_url(url: &str) -> Option<Self> {
        let address = url.split(['?', '#']).next().unwrap_or(url);
        let (scheme, path) = match address.split_once(':') {
            Some((scheme, path)) if !scheme.contains('/') => (scheme.to_ascii_lowercase(), path),
            _ => (String::new(), address),
        };
        let (kind, transport) = scheme.rsplit_once('+').unwrap_or(("", &scheme));
        match transport {
            // All but names in the registry is a path to 2.8.
            "" if flake_text::is_in_registry(url) => return None,
            "" | "path" | "file" => {}
            _ => return None,
        }
        // An address may name the host: this one.
        let path = match path.strip_prefix("//") {
            Some(rest) if transport == "file" => &rest[rest.find('/').unwrap_or(rest.len())..],
            _ => path,
        };
        let path = percent_decode_str(path).decode_utf8_lossy().into_owned();
        Some(Self { is_repository: matches!(kind, "git" | "hg"), path })
    }

    /// That of a flake reference in the form of attributes, as locks have it.
    pub fn of_attributes(attributes: &Map<String, Value>) -> Option<Self> {
        let text = |key: &str| attributes.get(key).and_then(Value::as_str);
        let kind = text("type").unwrap_or_default();
        if kind == "path" {
            return Some(Self { is_repository: false, path: text("path")?.to_owned() });
        }
        let url = text("url")?;
        let is_repository = matches!(kind, "git" | "hg");
        // `git@host:path` has no scheme either.
        let place = Self::of_url(url).or_else(|| {
            let is_path = is_repository && !url.contains(':');
            is_path.then(|| Self { is_repository, path: url.to_owned() })
        })?;
        Some(Self { is_repository: is_repository || place.is_repository, ..place })
    }

    /// Refuses a repository without `.git` inside of another one: its files, and the programs that its settings name, are a branch's.
    pub fn ensure_own_repository(&self) -> Result<()> {
        let path = Path::new(&self.path);
        let is_inside = path.is_dir()
            && !path.join(GIT).exists()
            && path.canonicalize()?.ancestors().any(|folder| folder.join(GIT).exists());
        ensure!(
            !is_inside,
            "`{}` is a folder of a repository, not a repository itself (name it without `git+file:`, or name the repository, and the folder \
             with `?dir=`)",
            printable(&self.path)
        );
        Ok(())
    }

    /// True for a path that belongs to the source that names it.
    pub fn is_relative_path(&self) -> bool {
        !self.is_repository && !self.path.starts_with('/')
    }

    /// How many folders a relative path leads up.
    pub fn climbs(&self) -> usize {
        let (mut up, mut down) = (0, 0);
        for part in Path::new(&self.path).components() {
            match part {
                Component::ParentDir if down == 0 => up += 1,
                Component::ParentDir => down -= 1,
                Component::Normal(_) => down += 1,
                _ => {}
            }
        }
        up
    }

    /// True for a relative path that leads out of the checkout by links, seen from a folder. Nix follows them from a copy of it on, so one that
    /// leads nowhere here may lead somewhere there.
    pub fn leads_out(&self, folder: &Path, checkout: Option<&Checkout>) -> bool {
        let mut at = folder.to_owned();
        let mut has_link = false;
        for part in Path::new(&self.path).components() {
            match part {
                Component::ParentDir => drop(at.pop()),
                Component::Normal(name) => at.push(name),
                _ => {}
            }
            has_link |= at != folder && at.is_symlink();
        }
        has_link && !(at.exists() && checkout.is_some_and(|checkout| checkout.holds(&at)))
    }

    /// True where it is in the checkout, in the store, or not there at all.
    pub fn is_harmless(&self, checkout: Option<&Checkout>) -> bool {
        let path = Path::new(&self.path);
        // Nix takes `..` back without looking at links.
        let mut parts = path.components().skip_while(|part| !matches!(part, Component::Normal(_)));
        if parts.any(|part| part == Component::ParentDir) {
            return false;
        }
        match path.canonicalize() {
            Err(error) if error.kind() == io::ErrorKind::NotFound && !path.is_symlink() => return true,
            Err(_) => return false,
            Ok(found) if is_in_store(&found) => return true,
            Ok(_) => {}
        }
        // A repository without `.git` is one of files that a branch has brought along, settings that name programs among them.
        let is_whole = if self.is_repository { path.join(GIT).exists() } else { !path.join(GIT).exists() };
        is_whole && checkout.is_some_and(|checkout| checkout.holds(path))
    }
}

/// True for a path in the store: whoever knows its name knows what is in it.
fn is_in_store(path: &Path) -> bool {
    let inside = path.strip_prefix(store_path::DEFAULT_STORE_DIR).ok();
    let base = inside.and_then(|inside| inside.components().next());
    base.is_some_and(|base| store_path::is_base_name(base.as_os_str().as_encoded_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_on_the_machine_is_told_from_what_is_elsewhere() {
        for (url, is_repository, path) in [
            ("path:/proc/1/environ", false, "/proc/1/environ"),
            ("path:%2Fproc/1/environ?dir=x", false, "/proc/1/environ"),
            ("path:///proc", false, "///proc"),
            ("file:///proc/1/environ", false, "/proc/1/environ"),
            ("file://localhost/proc/1/environ", false, "/proc/1/environ"),
            ("FILE:/proc", false, "/proc"),
            ("file+file:///proc/1/environ", false, "/proc/1/environ"),
            ("tarball+file:///srv/x.tar.gz", false, "/srv/x.tar.gz"),
            ("git+file:///srv/x?ref=main", true, "/srv/x"),
            ("git+file:../x", true, "../x"),
            ("/srv/x", false, "/srv/x"),
            ("./x", false, "./x"),
            ("a.b/../x", false, "a.b/../x"),
            ("1/../x", false, "1/../x"),
            ("x/../y", false, "x/../y"),
            ("x?a", false, "x"),
        ] {
            assert_eq!(InputPlace::of_url(url), Some(InputPlace { is_repository, path: path.to_owned() }), "{url}");
        }
        for url in [
            "github:a/b",
            "nixpkgs",
            "nixpkgs/master",
            "https://h/x",
            "git+ssh://git@h/x",
            "git+https://h/file:/x",
            "self",
        ] {
            assert_eq!(InputPlace::of_url(url), None, "{url}");
        }
        for (attributes, path) in [
            (json!({ "type": "path", "path": "/proc/1/environ" }), Some("/proc/1/environ")),
            (json!({ "type": "git", "url": "file:///srv/x" }), Some("/srv/x")),
            (json!({ "type": "git", "url": "/srv/x" }), Some("/srv/x")),
            (json!({ "type": "git", "url": "srv/x" }), Some("srv/x")),
            (json!({ "type": "file", "url": "file:///x" }), Some("/x")),
            (json!({ "url": "path:/x", "flake": false }), Some("/x")),
            (json!({ "type": "git", "url": "git@h:x" }), None),
            (json!({ "type": "github", "owner": "a", "repo": "b" }), None),
            (json!({ "type": "tarball", "url": "https://h/x" }), None),
        ] {
            let place = InputPlace::of_attributes(attributes.as_object().unwrap());
            assert_eq!(place.as_ref().map(|place| &*place.path), path, "{attributes}");
        }
    }
}
