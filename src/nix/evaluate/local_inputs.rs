//! Inputs that are read from the machine itself. A branch that names `path:/proc/1/environ`, or any file of the user, as an input would have it
//! copied into the store, where derivations can use it: Nix allows that in pure evaluation, as nothing locks such an input yet.
//!
//! In: what nixdag.yml and `flake.nix` name, and the lock. Out: an error for the first input that leads out of the checkout, unless a flag names
//! it. What a lock of the checkout names by a commit may be in another repository of the machine.
//!
//! It is looked at twice: before Nix is asked for the first time, as that copies, and behind that, when the inputs of inputs are known.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Component, Path, PathBuf};

use anyhow::{Result, ensure};
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};

use super::reference::absolute;
use super::request::{EvaluationRequest, InputOverride};
use super::written;
use crate::checkout::{Checkout, GIT};
use crate::nix::command::Nix;
use crate::nix::store_path;
use crate::printable::printable;

/// How many inputs of inputs are followed.
const MAX_DEPTH: usize = 64;

/// Something on this machine that an input is read from.
#[derive(Debug, PartialEq, Eq)]
struct Place {
    /// Only what is committed there is read.
    is_repository: bool,
    /// As it is written, without escapes.
    path: String,
}

impl Place {
    /// That of a flake reference in the form of an address.
    fn of_url(url: &str) -> Option<Self> {
        let address = url.split(['?', '#']).next().unwrap_or(url);
        let (scheme, path) = match address.split_once(':') {
            Some((scheme, path)) if !scheme.contains('/') => (scheme.to_ascii_lowercase(), path),
            _ => (String::new(), address),
        };
        let (kind, transport) = scheme.rsplit_once('+').unwrap_or(("", &scheme));
        match transport {
            // Without a scheme, only what begins so is a path: the rest are names in the registry.
            "" if !path.starts_with(['/', '.', '~']) => return None,
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
    fn of_attributes(attributes: &Map<String, Value>) -> Option<Self> {
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
    fn ensure_own_repository(&self) -> Result<()> {
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
    fn is_relative_path(&self) -> bool {
        !self.is_repository && !self.path.starts_with('/')
    }

    /// How many folders a relative path leads up.
    fn climbs(&self) -> usize {
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

    /// True where it is in the checkout, in the store, or not there at all.
    fn is_harmless(&self, checkout: Option<&Checkout>) -> bool {
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

/// What an evaluation may read.
pub(super) struct LocalInputs<'r> {
    /// The inputs that are not as the flake has them, and need no look.
    replaced: BTreeSet<&'r str>,
    checkout: Option<Checkout>,
    /// The commits that the lock in the checkout names: inputs as attributes.
    committed: Vec<Map<String, Value>>,
    /// How many folders a relative path may lead up from the flake's own, where Nix does not see to that: 2.8 takes a path without `path:`
    /// from the flake's folder in the store on.
    most_up: Option<usize>,
}

impl<'r> LocalInputs<'r> {
    /// `folder` is the flake's on this machine, if it is one; `lock` is its lock, empty where there is none.
    fn new(replaced: impl Iterator<Item = &'r InputOverride>, folder: Option<&Path>, lock: &Value) -> Self {
        let nodes = lock.get("nodes").and_then(Value::as_object).into_iter().flat_map(Map::values);
        let locked = nodes.filter_map(|node| node.get("locked")?.as_object());
        let committed = locked.filter(|locked| locked.get("rev").is_some_and(Value::is_string)).cloned().collect();
        let replaced = replaced.map(|named| &*named.input).collect();
        Self { replaced, checkout: folder.and_then(|folder| Checkout::around(folder).ok()), committed, most_up: None }
    }

    /// Checks what can be known before Nix copies anything: what nixdag.yml names, and the inputs and the lock of a flake in a folder.
    pub(super) fn check_before(nix: &Nix, request: &'r EvaluationRequest, asked: &str) -> Result<()> {
        if let Some(place) = Place::of_url(asked).filter(|place| place.is_repository) {
            place.ensure_own_repository()?;
        }
        if !request.is_pure() {
            return Ok(());
        }
        let found = folder(asked);
        let folder = found.as_deref();
        let lock = folder.map_or(Value::Null, written::lock);
        let mut inputs = Self::new(request.override_inputs.iter(), folder, &lock);
        for named in request.override_inputs.iter().filter(|named| !named.by_flag) {
            // A path that Nix does not find either.
            let Ok(reference) = absolute(&named.reference) else { continue };
            if let Some(place) = Place::of_url(&reference).filter(|place| !place.is_harmless(inputs.checkout.as_ref()))
            {
                return Err(inputs.refuse(&named.input, &place).context("`override_inputs` in nixdag.yml"));
            }
        }
        let Some(folder) = folder else { return Ok(()) };
        inputs.check_lock(&lock)?;
        let root = inputs.checkout.as_ref().filter(|_| !asked.starts_with("path:")).map(Checkout::root);
        let below = root.and_then(|root| folder.strip_prefix(root).ok());
        inputs.most_up = Some(below.map_or(0, |below| below.components().count()));
        inputs.check_written(&written::inputs(nix, folder), &mut Vec::new())
    }

    /// Checks the lock that Nix has made. `source` is the flake's folder in the store, `root` that on this machine, if it has one.
    pub(super) fn check_after(
        request: &'r EvaluationRequest,
        source: &str,
        root: Option<&str>,
        lock: &Value,
    ) -> Result<()> {
        if !request.is_pure() {
            return Ok(());
        }
        let by_flag = request.override_inputs.iter().filter(|named| named.by_flag);
        Self::new(by_flag, root.map(Path::new), &written::lock(Path::new(source))).check_lock(lock)
    }

    /// Checks all inputs of a lock, each by its shortest path from the root.
    fn check_lock(&self, lock: &Value) -> Result<()> {
        let Some(nodes) = lock.get("nodes").and_then(Value::as_object) else { return Ok(()) };
        let root = lock.get("root").and_then(Value::as_str).unwrap_or_default();
        let (mut names, mut seen) = (BTreeMap::new(), BTreeSet::from([root]));
        let mut level = vec![(String::new(), root)];
        while !level.is_empty() {
            let mut next = Vec::new();
            for (path, node) in level {
                let inputs = nodes.get(node).and_then(|node| node.get("inputs")?.as_object());
                // What follows another input is a list.
                for (name, to) in inputs.into_iter().flatten().filter_map(|(name, to)| Some((name, to.as_str()?))) {
                    let path = if path.is_empty() { name.clone() } else { format!("{path}/{name}") };
                    if self.replaced.contains(&*path) {
                        seen.insert(to);
                    } else if seen.insert(to) {
                        names.insert(to, path.clone());
                    } else {
                        continue;
                    }
                    next.push((path, to));
                }
            }
            level = next;
        }
        for (node, path) in names {
            let locked = nodes.get(node).and_then(|node| node.get("locked")?.as_object());
            locked.map_or(Ok(()), |locked| self.check_attributes(&path, locked))?;
        }
        Ok(())
    }

    /// Checks inputs as a `flake.nix` has them.
    fn check_written(&self, inputs: &Value, above: &mut Vec<String>) -> Result<()> {
        for (name, input) in inputs.as_object().into_iter().flatten() {
            let Some(attributes) = input.as_object() else { continue };
            above.push(name.clone());
            let path = above.join("/");
            if !self.replaced.contains(&*path) {
                self.check_attributes(&path, attributes)?;
            }
            if let Some(inputs) = attributes.get("inputs").filter(|_| above.len() < MAX_DEPTH) {
                self.check_written(inputs, above)?;
            }
            above.pop();
        }
        Ok(())
    }

    fn check_attributes(&self, input: &str, attributes: &Map<String, Value>) -> Result<()> {
        let Some(place) = Place::of_attributes(attributes) else { return Ok(()) };
        let is_fine = if place.is_relative_path() {
            self.most_up.is_none_or(|most| place.climbs() <= most)
        } else {
            place.is_harmless(self.checkout.as_ref()) || self.is_committed(&place, attributes)
        };
        if is_fine {
            return Ok(());
        }
        Err(self.refuse(input, &place))
    }

    /// True where the lock of the checkout names a commit of that repository, and this is the commit, or no lock yet.
    fn is_committed(&self, place: &Place, attributes: &Map<String, Value>) -> bool {
        let rev = attributes.get("rev");
        let mut known =
            self.committed.iter().filter(|known| Place::of_attributes(known).is_some_and(|at| at == *place));
        place.is_repository && known.any(|known| rev.is_none() || rev == known.get("rev"))
    }

    fn refuse(&self, input: &str, place: &Place) -> anyhow::Error {
        let (input, path) = (printable(input), printable(&place.path));
        let (what, scheme) = if place.is_repository { ("lock it, ", "git+file") } else { ("", "path") };
        anyhow::anyhow!(
            "input `{input}` would be read from this machine, outside of the repository: `{path}` ({what}use a path such as \
             `path:./folder` for what is in the flake's own source, or name it on the command line: `--override-input {input} {scheme}:{path}`)"
        )
    }
}

/// The folder with the `flake.nix` that a reference means, if that is in a folder of this machine as it is now.
fn folder(asked: &str) -> Option<PathBuf> {
    let (address, query) = asked.split_once('?').unwrap_or((asked, ""));
    let place = Place::of_url(address).unwrap_or(Place { is_repository: false, path: address.to_owned() });
    let given = |name: &str| query.split('&').find_map(|part| part.strip_prefix(name)?.strip_prefix('='));
    if given("rev").is_some() || given("ref").is_some() {
        return None;
    }
    let below = given("dir").map(|dir| percent_decode_str(dir).decode_utf8_lossy().into_owned()).unwrap_or_default();
    let folder = Path::new(&place.path).join(below.trim_start_matches('/')).canonicalize().ok()?;
    // Nix looks for it upwards.
    folder.ancestors().find(|folder| folder.join("flake.nix").is_file()).map(Path::to_owned)
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
        ] {
            assert_eq!(Place::of_url(url), Some(Place { is_repository, path: path.to_owned() }), "{url}");
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
            assert_eq!(Place::of_url(url), None, "{url}");
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
            let place = Place::of_attributes(attributes.as_object().unwrap());
            assert_eq!(place.as_ref().map(|place| &*place.path), path, "{attributes}");
        }
    }

    #[test]
    fn what_leads_out_of_the_checkout_is_refused_unless_a_flag_or_a_lock_names_it() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
        for folder in ["repository/.git", "repository/below", "other", "repository/nested/.git"] {
            std::fs::create_dir_all(dir.path().join(folder)).unwrap();
        }
        std::os::unix::fs::symlink(dir.path().join("other"), dir.path().join("repository/link")).unwrap();
        let lock = json!({
            "nodes": { "a": { "locked": { "type": "git", "url": format!("file://{}", at("other")), "rev": "1" } } }
        });
        let replaced = InputOverride { input: "a/c".into(), reference: "path:/x".into(), by_flag: true };
        let error = |replaced: &[InputOverride], input: Value| {
            let inputs = LocalInputs::new(replaced.iter(), Some(&dir.path().join("repository")), &lock);
            let made = json!({
                "nodes": { "root": { "inputs": { "a": "b", "f": ["a"] } }, "b": { "inputs": { "c": "c" } }, "c": { "locked": input } },
                "root": "root"
            });
            inputs.check_lock(&made).err().map(|error| error.to_string())
        };
        let path = |path: &str| json!({ "type": "path", "path": path, "narHash": "sha256-x" });
        let git = |path: &str, rev: &str| json!({ "type": "git", "url": format!("file://{path}"), "rev": rev });
        let fine = [
            path("./anything"),
            path(&at("repository/below")),
            path(&at("missing")),
            git(&at("repository"), "2"),
            git(&at("other"), "1"),
            json!({ "type": "github", "owner": "a" }),
        ];
        for input in fine {
            assert_eq!(error(&[], input.clone()), None, "{input}");
        }
        let wrong = [
            path(&at("other")),
            path(&at("repository")),
            path(&at("repository/nested")),
            path(&at("repository/.git")),
            path(&at("repository/link")),
            path(&at("repository/link/../below")),
            path("/proc/self/environ"),
            path("/nix"),
            git(&at("other"), "2"),
            git(&at("repository/.git"), "2"),
            json!({ "type": "file", "url": "file:///proc/self/environ", "narHash": "sha256-x" }),
        ];
        for input in &wrong {
            let said = error(&[], input.clone()).unwrap_or_else(|| panic!("{input}"));
            assert!(said.contains("input `a/c`") && said.contains("--override-input a/c"), "{said}");
        }
        assert_eq!(error(&[replaced], wrong[0].clone()), None);
    }
}
