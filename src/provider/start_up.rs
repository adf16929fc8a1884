//! How a repository begins with a provider: the file that starts pipelines. In: the repository as it is. Out: files to write, and what is left
//! for people to do; nothing is written here.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};

use crate::checkout::Checkout;
use crate::fleet::executor::Executor;
use crate::plan::Plan;
use crate::printable::printable;
use crate::regular_file;
use crate::version;

/// Longest file of a repository that is read, in bytes.
const MAX_SIZE: u64 = 3 << 20;

/// A repository.
#[derive(Clone, Debug)]
pub struct Repository {
    /// Its root.
    pub top: PathBuf,
    /// The flake's folder below it; empty for the root itself.
    pub flake: String,
    /// The branch that pipelines are compared with.
    pub default_branch: String,
}

impl Repository {
    /// Where a file below the root is. A branch may have made it, or a folder above it, a link out of the repository, which is an error.
    pub fn place(&self, path: &str) -> Result<PathBuf> {
        let place = self.top.join(path);
        let is_inside = Checkout::around(&self.top).is_ok_and(|checkout| checkout.holds(&place));
        ensure!(is_inside, "`{path}` leads out of the repository: it is neither read nor written");
        Ok(place)
    }

    /// The text of a file below the root; none if there is none.
    pub fn read(&self, path: &str) -> Result<Option<String>> {
        use std::io::Read;
        let place = self.place(path)?;
        let what = || format!("cannot read `{}`", place.display());
        let file = match regular_file::open(&place) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            file => file.with_context(what)?,
        };
        let mut text = String::new();
        file.take(MAX_SIZE + 1).read_to_string(&mut text).with_context(what)?;
        ensure!(text.len() as u64 <= MAX_SIZE, "`{path}` has more than {MAX_SIZE} bytes");
        Ok(Some(text))
    }

    /// The flake as a reference from the root; none where it is there. A name without `./` would be looked up in the flake registry.
    pub fn reference(&self) -> Option<String> {
        (!self.flake.is_empty()).then(|| format!("./{}", self.flake))
    }

    /// What there is to be said where the file `name` runs nixdag with these parameters already, and what is left to do: nothing where the
    /// flake is planned there, or may be.
    pub fn planned_already(&self, name: &str, setups: &[BTreeMap<String, String>]) -> (String, Option<String>) {
        let folders: Vec<Option<String>> = setups.iter().map(planned_folder).collect();
        let other = match folders.as_slice() {
            [Some(first), ..] if !folders.contains(&None) && !folders.contains(&Some(self.flake.clone())) => first,
            _ => return (format!("`{name}` runs nixdag already, and is kept"), None),
        };
        let other = if other.is_empty() { "at the root".to_owned() } else { format!("in `{}`", printable(other)) };
        let (flake, new) = match self.reference() {
            Some(reference) => (format!("in `{}`", printable(&self.flake)), printable(&reference)),
            None => ("at the root".to_owned(), ".".to_owned()),
        };
        (
            format!("`{name}` is kept: it plans the flake {other}, not the one {flake}"),
            Some(format!(
                "a pipeline plans one flake: in `{name}`, set `flake` to `{new}`, or have the flake {other} take over the outputs of the one {flake} \
                 ({})",
                version::page("select")
            )),
        )
    }

    /// True if there is something of this name.
    pub fn has(&self, path: &str) -> bool {
        self.top.join(path).symlink_metadata().is_ok()
    }
}

/// What the flake of a repository would be planned as, to try whether what is there fits it.
#[derive(Clone, Debug)]
pub struct Draft {
    /// The plan.
    pub plan: Plan,
    /// The machines that its jobs may name.
    pub executors: Vec<Executor>,
}

/// What a repository gets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StartUp {
    /// Files to write, by their paths from the root. They do not exist, except for `moved`.
    pub files: Vec<(String, String)>,
    /// The file whose text goes into the first of `files`, so that another one may take its place.
    pub moved: Option<String>,
    /// What there is to be said, a sentence each.
    pub notes: Vec<String>,
    /// Lines to add to a file that stays as it is, under a sentence that says where.
    pub add: Option<(String, String)>,
    /// What is left to do in the repository, in order.
    pub here: Vec<String>,
    /// What is left to do on the provider's pages, in order.
    pub steps: Vec<String>,
}

/// The folder of the flake that a setup job plans, by its parameters and from the repository's root; none where it cannot be told.
pub fn planned_folder(parameters: &BTreeMap<String, String>) -> Option<String> {
    let flake = parameters.get("flake").map_or(".", String::as_str);
    let (path, query) = flake.split_once('?').unwrap_or((flake, ""));
    let folder = match query.strip_prefix("dir=") {
        Some(below) if path == "." => below,
        _ if query.is_empty() => path,
        _ => return None,
    };
    let is_unknown = folder.starts_with('/') || folder.contains(['$', '<', ':', '#', '&']);
    let parts = folder.split('/').filter(|part| !part.is_empty() && *part != ".");
    let parts: Vec<&str> = parts.collect();
    (!is_unknown && !parts.contains(&"..")).then(|| parts.join("/"))
}

/// The step that has the gate required; other checks stay as they are where the repository has pipelines of its own.
pub fn require_gate(has_others: bool, place: &str) -> String {
    let others = if has_others { "beside those that are required now" } else { "the only one" };
    format!("make the job `gate` a required check, {others}: {place}")
}

/// Text as YAML, in double quotes.
pub fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// The release's name in `org/nixdag@…`, which takes later releases that are compatible: `1` for 1.2.3, `0.1` for 0.1.0.
pub fn series() -> String {
    let mut numbers = version::NUMBER.split('.');
    match (numbers.next(), numbers.next()) {
        (Some("0"), Some(minor)) => format!("0.{minor}"),
        (Some(major), _) => major.to_owned(),
        (None, _) => version::NUMBER.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_of_the_flake_that_a_file_plans_is_known_however_it_is_written() {
        let of = |flake: &str| planned_folder(&BTreeMap::from([("flake".to_owned(), flake.to_owned())]));
        for (flake, folder) in [
            (".", Some("")),
            ("./", Some("")),
            ("nix", Some("nix")),
            ("./nix/", Some("nix")),
            ("./services/api", Some("services/api")),
            (".?dir=services/api", Some("services/api")),
            ("github:a/b", None),
            ("<< pipeline.parameters.flake >>", None),
            ("$FLAKE", None),
            ("../b", None),
        ] {
            assert_eq!(of(flake).as_deref(), folder, "{flake}");
        }
        assert_eq!(planned_folder(&BTreeMap::new()).as_deref(), Some(""));
    }
}
