//! Which CI system a file is for. In: its path or its text. Out: the provider, where it looks like that of one.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

use super::Provider;

impl Provider {
    /// The one that a file belongs to, by its folders and its name.
    pub fn of_file(path: &Path) -> Option<Self> {
        let is_in = |provider: &Self| path.components().any(|part| part.as_os_str() == provider.folder());
        let names_gitlab = path.file_name().is_some_and(|name| name.to_string_lossy().contains("gitlab"));
        Self::all().find(is_in).or_else(|| names_gitlab.then_some(Self::GitLab))
    }

    /// The provider whose configuration a text looks like, by the keys at its top; none where they fit none.
    pub fn of_text(text: &str) -> Option<Self> {
        let keys: BTreeSet<&str> = text
            .lines()
            .filter(|line| line.starts_with(|c: char| c.is_ascii_alphabetic() || c == '"'))
            .filter_map(|line| Some(line.split_once(':')?.0.trim_end().trim_matches('"')))
            .collect();
        let has = |names: &[&str]| names.iter().any(|name| keys.contains(name));
        if has(&["version", "orbs", "workflows", "executors", "setup"]) {
            return Some(Self::CircleCi);
        }
        if has(&["on"]) && has(&["jobs"]) {
            return Some(Self::GitHub);
        }
        has(&["stages", "include", "default", "before_script", "spec"]).then_some(Self::GitLab)
    }

    /// True for what GitHub's planning job puts out, which is for nixdag's called workflow and not one itself.
    pub fn is_output_of_planning(text: &str) -> bool {
        let Ok(Value::Object(all)) = serde_json::from_str(text) else { return false };
        ["manifest", "scripts", "waves"].iter().all(|key| all.contains_key(*key))
    }
}
