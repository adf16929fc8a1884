//! Folders that the environment names: that of the user for what can be made anew, `$XDG_CACHE_HOME/nixdag`, and relative ones, which are not used.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Where programs are looked for.
const PATH: &str = "PATH";

/// Folders of the user and for temporary files, which Nix and git look for by these variables.
const FOLDERS: [&str; 5] = ["TMPDIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME"];

/// The folder; none in CI, where nothing stays (`CI` is set there), nor without a home. `variable` reads the environment.
pub fn of_cache(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let set = |name: &str| variable(name).filter(|value| !value.is_empty());
    if set("CI").is_some_and(|value| value != "false") {
        return None;
    }
    // The standard says that a relative path does not count.
    let named = set("XDG_CACHE_HOME").map(PathBuf::from).filter(|folder| folder.is_absolute());
    let folder = named.or_else(|| Some(Path::new(&set("HOME")?).join(".cache")))?;
    Some(folder.join("nixdag"))
}

/// Takes folders out of PATH, and variables out of the environment, that depend on where one is: in a checkout, whoever can push a branch has
/// written what is there. To be called while no other thread runs.
pub fn forget_relative_folders() {
    for name in FOLDERS {
        if env::var_os(name).is_some_and(|folder| !Path::new(&folder).is_absolute()) {
            // SAFETY: this is called before anything starts a thread.
            #[allow(unsafe_code)]
            unsafe {
                env::remove_var(name);
            }
        }
    }
    let Some(path) = env::var_os(PATH) else { return };
    let folders = env::split_paths(&path).filter(|folder| folder.is_absolute());
    // A folder with the separator in its name cannot come from a list.
    let Ok(absolute) = env::join_paths(folders) else { return };
    // SAFETY: this is called before anything starts a thread.
    #[allow(unsafe_code)]
    unsafe {
        env::set_var(PATH, absolute);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_is_that_of_the_standard_and_none_in_ci() {
        let of = |set: &[(&str, &str)]| {
            of_cache(|name| set.iter().find(|(known, _)| *known == name).map(|(_, value)| OsString::from(value)))
        };
        assert_eq!(of(&[("HOME", "/h")]), Some("/h/.cache/nixdag".into()));
        assert_eq!(of(&[("HOME", "/h"), ("XDG_CACHE_HOME", "rel"), ("CI", "")]), Some("/h/.cache/nixdag".into()));
        assert_eq!(of(&[("HOME", "/h"), ("XDG_CACHE_HOME", "/c"), ("CI", "false")]), Some("/c/nixdag".into()));
        assert_eq!(of(&[("HOME", "/h"), ("CI", "true")]), None);
        assert_eq!(of(&[]), None);
    }
}
