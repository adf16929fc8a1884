//! The records of jobs in a folder of artifacts. In: the folder. Out: the paths of the files that [`super::record::Record::read`]
//! reads, and of the links that are left out.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::record::REPORT;
use crate::printable::printable;

/// Folders of artifacts are a few levels deep.
const MAX_DEPTH: usize = 8;

/// Most links that are named.
const MOST_NAMED: usize = 3;

/// What there is below a folder.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// The records, in the order of their paths.
    pub files: Vec<PathBuf>,
    /// Links to records or to folders, which are left out: they may lead anywhere.
    pub links: Vec<PathBuf>,
}

impl Found {
    /// A sentence about the links, where there are any.
    pub fn left_out(&self) -> Option<String> {
        let names = self.links.iter().take(MOST_NAMED).map(|link| format!("`{}`", printable(&link.to_string_lossy())));
        let names = names.collect::<Vec<_>>().join(", ");
        match (self.links.len(), self.links.len().saturating_sub(MOST_NAMED)) {
            (0, _) => None,
            (1, _) => Some(format!("{names} is left out: it is a link")),
            (_, 0) => Some(format!("{names} are left out: they are links")),
            (_, more) => Some(format!("{names} and {more} more are left out: they are links")),
        }
    }
}

/// Adds what is below a folder.
pub fn find(dir: &Path, found: &mut Found) -> Result<()> {
    find_below(dir, 0, found)
}

fn find_below(dir: &Path, depth: usize, found: &mut Found) -> Result<()> {
    let mut entries = fs::read_dir(dir)
        .and_then(|entries| entries.map(|entry| entry.map(|entry| entry.path())).collect::<std::io::Result<Vec<_>>>())
        .with_context(|| format!("cannot read `{}`", dir.display()))?;
    entries.sort_unstable();
    for entry in entries {
        let is_record = entry.file_name().is_some_and(|name| name == REPORT);
        if entry.is_symlink() {
            if is_record || entry.is_dir() {
                found.links.push(entry);
            }
        } else if entry.is_dir() && depth < MAX_DEPTH {
            find_below(&entry, depth + 1, found)?;
        } else if is_record {
            found.files.push(entry);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_out_of_a_folder_are_not_followed() {
        let root = tempfile::tempdir().unwrap();
        let (outside, dir) = (root.path().join("outside"), root.path().join("dir"));
        for folder in [outside.clone(), dir.join("own"), dir.join("linked")] {
            fs::create_dir_all(folder).unwrap();
        }
        fs::write(outside.join(REPORT), "{}").unwrap();
        fs::write(dir.join("own").join(REPORT), "{}").unwrap();
        symlink(&outside, dir.join("other")).unwrap();
        symlink(outside.join(REPORT), dir.join("linked").join(REPORT)).unwrap();
        symlink("report.json", dir.join("own/another.json")).unwrap();
        let mut found = Found::default();
        find(&dir, &mut found).unwrap();
        assert_eq!(found.files, [dir.join("own").join(REPORT)]);
        assert_eq!(found.links, [dir.join("linked").join(REPORT), dir.join("other")]);
        assert!(found.left_out().unwrap().ends_with("/other` are left out: they are links"));
        assert_eq!(Found::default().left_out(), None);
        let many = Found { links: vec!["a".into(); 5], ..Found::default() };
        assert_eq!(many.left_out().unwrap(), "`a`, `a`, `a` and 2 more are left out: they are links");
    }
}
