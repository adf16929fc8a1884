//! Where a plan comes from: a flake, a recorded evaluation, or a file with the plan.

use std::iter;
use std::path::{Path, PathBuf};

use crate::checkout::GIT;

/// Where the plan comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A flake to evaluate.
    Flake(String),
    /// A recorded evaluation.
    Roots(PathBuf),
    /// A plan.
    Plan(PathBuf),
}

impl Source {
    /// The folder that the settings file is looked for in.
    pub fn folder(&self) -> PathBuf {
        match self {
            Self::Flake(flake) => flake_folder(flake).unwrap_or_default(),
            Self::Roots(_) | Self::Plan(_) => PathBuf::new(),
        }
    }
}

/// Takes `FLAKE#ATTRIBUTE` apart, as Nix users write it; no flake is that of the working directory.
pub fn split_installable(text: &str) -> (&str, Option<&str>) {
    match text.split_once('#') {
        Some((flake, attribute)) => (if flake.is_empty() { "." } else { flake }, Some(attribute)),
        None => (text, None),
    }
}

/// The folder of a flake that is a local path.
fn flake_folder(reference: &str) -> Option<PathBuf> {
    let (address, query) = reference.split_once('?').unwrap_or((reference, ""));
    let path = ["path:", "git+file://", "git+file:"].iter().find_map(|scheme| address.strip_prefix(scheme));
    let folder = PathBuf::from(path.unwrap_or(address));
    let below = query.split('&').find_map(|part| part.strip_prefix("dir="));
    let folder = match below {
        Some(below) => folder.join(below.trim_start_matches('/')),
        None if path.is_none() => with_flake(&folder).unwrap_or(folder),
        None => folder,
    };
    folder.is_dir().then_some(folder)
}

/// The nearest folder at or above this one with a `flake.nix`, as Nix looks for it: no further than the repository.
fn with_flake(folder: &Path) -> Option<PathBuf> {
    let real = folder.canonicalize().ok()?;
    for (up, above) in real.ancestors().enumerate() {
        if above.join("flake.nix").exists() {
            let ups = iter::repeat_n("..", up).collect::<PathBuf>();
            return Some(match up {
                0 => folder.to_owned(),
                _ if folder.is_absolute() => above.to_owned(),
                _ if folder == Path::new(".") => ups,
                _ => folder.join(ups),
            });
        }
        if above.join(GIT).exists() {
            return None;
        }
    }
    None
}
