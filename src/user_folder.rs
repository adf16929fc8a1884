//! The folder of the user for what can be made anew, `$XDG_CACHE_HOME/nixdag`.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

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
