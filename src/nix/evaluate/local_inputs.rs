//! Inputs that are read from the machine itself. A branch that names `path:/proc/1/environ`, or any file of the user, as an input would have it
//! copied into the store, where derivations can use it: Nix allows that in pure evaluation, as nothing locks such an input yet.
//!
//! In: what nixdag.yml and `flake.nix` name, and the lock. Out: an error for the first input that leads out of the checkout, unless a flag names
//! it. What a lock of the checkout names by a commit may be in another repository of the machine.
//!
//! It is looked at twice: before Nix is asked for the first time, as that copies, and behind that, when the inputs of inputs are known.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::Result;
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};

use super::covered::{self, is_revision};
use super::place::InputPlace;
use super::reference::absolute;
use super::request::{EvaluationRequest, InputOverride};
use super::written;
use crate::checkout::Checkout;
use crate::nix::command::Nix;
use crate::printable::printable;

/// Attributes of an input that do not say where it is.
const ABOUT: [&str; 3] = ["flake", "inputs", "follows"];

/// How many inputs of inputs are followed.
const MAX_DEPTH: usize = 64;

/// What a node of a lock is locked to; old locks have a part of it in `info`.
fn locked(node: &Value) -> Option<Map<String, Value>> {
    let mut locked = node.get("locked")?.as_object()?.clone();
    locked.extend(node.get("info").and_then(Value::as_object).cloned().unwrap_or_default());
    Some(locked)
}

fn has_revision(locked: &Map<String, Value>) -> bool {
    locked.get("rev").and_then(Value::as_str).is_some_and(is_revision)
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
    /// The flake's folder on this machine, and its lock, before Nix has made one.
    written: Option<(&'r Path, &'r Value)>,
}

impl<'r> LocalInputs<'r> {
    /// Checks what can be known before Nix copies anything: what nixdag.yml names, and the inputs and the lock of a flake in a folder.
    pub(super) fn check_before(nix: &Nix, request: &EvaluationRequest, asked: &str) -> Result<()> {
        if let Some(place) = InputPlace::of_url(asked).filter(|place| place.is_repository) {
            place.ensure_own_repository()?;
        }
        if !request.is_pure() {
            return Ok(());
        }
        let found = folder(asked);
        let lock = found.as_deref().map_or(Value::Null, written::lock);
        let inputs = LocalInputs::new(request.override_inputs.iter(), found.as_deref(), &lock);
        inputs.check_named(request)?;
        let Some(folder) = found.as_deref() else { return Ok(()) };
        inputs.check_lock(&lock)?;
        let root = inputs.checkout.as_ref().filter(|_| !asked.starts_with("path:")).map(Checkout::root);
        let below = root.and_then(|root| folder.strip_prefix(root).ok());
        let most_up = Some(below.map_or(0, |below| below.components().count()));
        let inputs = LocalInputs { most_up, written: Some((folder, &lock)), ..inputs };
        inputs.check_written(&written::inputs(nix, folder), &mut Vec::new())
    }

    /// `folder` is the flake's on this machine, if it is one; `lock` is its lock, empty where there is none.
    fn new(replaced: impl Iterator<Item = &'r InputOverride>, folder: Option<&Path>, lock: &Value) -> Self {
        let nodes = lock.get("nodes").and_then(Value::as_object).into_iter().flat_map(Map::values);
        let committed = nodes.filter_map(locked).filter(has_revision).collect();
        let replaced = replaced.map(|named| &*named.input).collect();
        Self {
            replaced,
            checkout: folder.and_then(|folder| Checkout::around(folder).ok()),
            committed,
            most_up: None,
            written: None,
        }
    }

    /// Checks what nixdag.yml names.
    fn check_named(&self, request: &EvaluationRequest) -> Result<()> {
        for named in request.override_inputs.iter().filter(|named| !named.by_flag) {
            // A path that Nix does not find either.
            let Ok(reference) = absolute(&named.from_here()) else { continue };
            if let Some(place) =
                InputPlace::of_url(&reference).filter(|place| !place.is_harmless(self.checkout.as_ref()))
            {
                return Err(self.refuse(&named.input, &place).context("`override_inputs` in nixdag.yml"));
            }
        }
        Ok(())
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
            let Some(locked) = nodes.get(node).and_then(locked) else { continue };
            self.check_attributes(&path, &locked, |place| self.is_committed(place, &locked))?;
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
                self.check_attributes(&path, attributes, |place| self.is_locked(above, place, attributes))?;
            }
            if let Some(inputs) = attributes.get("inputs").filter(|_| above.len() < MAX_DEPTH) {
                self.check_written(inputs, above)?;
            }
            above.pop();
        }
        Ok(())
    }

    fn check_attributes(
        &self,
        input: &str,
        attributes: &Map<String, Value>,
        is_committed: impl Fn(&InputPlace) -> bool,
    ) -> Result<()> {
        let Some(place) = InputPlace::of_attributes(attributes) else { return Ok(()) };
        let is_fine = if place.is_relative_path() {
            self.most_up.is_none_or(|most| place.climbs() <= most)
                && self.written.is_none_or(|(folder, _)| !place.leads_out(folder, self.checkout.as_ref()))
        } else {
            place.is_harmless(self.checkout.as_ref()) || is_committed(&place)
        };
        if is_fine {
            return Ok(());
        }
        Err(self.refuse(input, &place))
    }

    /// True where the lock of the checkout names this commit of that repository.
    fn is_committed(&self, place: &InputPlace, attributes: &Map<String, Value>) -> bool {
        let is_same = |known: &&Map<String, Value>| {
            InputPlace::of_attributes(known).is_some_and(|at| at == *place) && known.get("rev") == attributes.get("rev")
        };
        place.is_repository && self.committed.iter().any(|known| is_same(&known))
    }

    /// True where Nix will take an input, given by the names on its path, from the lock of the checkout: that names a commit of that
    /// repository, and was made for what is written.
    fn is_locked(&self, path: &[String], place: &InputPlace, attributes: &Map<String, Value>) -> bool {
        let Some((_, lock)) = self.written else { return false };
        let node = path.iter().try_fold(lock.get("root").and_then(Value::as_str).unwrap_or_default(), |at, name| {
            lock.get("nodes")?.get(at)?.get("inputs")?.get(name)?.as_str()
        });
        let node = node.and_then(|node| lock.get("nodes")?.get(node));
        let wanted = match (attributes.get("type"), attributes.get("url").and_then(Value::as_str)) {
            (None, Some(url)) => covered::reference(url),
            _ => Some(
                attributes
                    .iter()
                    .filter(|(name, _)| !ABOUT.contains(&name.as_str()))
                    .map(|(name, value)| (name.clone(), value.clone()))
                    .collect(),
            ),
        };
        node.is_some_and(|node| {
            let locked = locked(node).filter(has_revision);
            wanted.is_some()
                && node.get("original") == wanted.as_ref()
                && locked.is_some_and(|locked| self.is_committed(place, &locked))
        })
    }

    fn refuse(&self, input: &str, place: &InputPlace) -> anyhow::Error {
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
    let place = InputPlace::of_url(address).unwrap_or(InputPlace { is_repository: false, path: address.to_owned() });
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
    fn what_leads_out_of_the_checkout_is_refused_unless_a_flag_or_a_lock_names_it() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
        for folder in ["repository/.git", "repository/below", "other", "repository/nested/.git"] {
            std::fs::create_dir_all(dir.path().join(folder)).unwrap();
        }
        std::os::unix::fs::symlink(dir.path().join("other"), dir.path().join("repository/link")).unwrap();
        let lock = json!({
            "nodes": { "a": { "locked": { "type": "git", "url": format!("file://{}", at("other")), "rev": "1".repeat(40) } } }
        });
        let replaced =
            InputOverride { input: "a/c".into(), reference: "path:/x".into(), folder: PathBuf::new(), by_flag: true };
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
            git(&at("other"), &"1".repeat(40)),
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
            json!({ "type": "git", "url": format!("file://{}", at("other")), "narHash": "sha256-x" }),
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
