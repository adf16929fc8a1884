//! The records of jobs in a folder of artifacts. In: the folder. Out: the paths of the files that [`super::record::Record::read`] reads.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::record::REPORT;

/// Folders of artifacts are a few levels deep.
const MAX_DEPTH: usize = 8;

/// Adds all records below a folder, in the order of their paths. Links are left out: they may lead anywhere.
pub fn find(dir: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    find_below(dir, 0, files)
}

fn find_below(dir: &Path, depth: usize, files: &mut Vec<PathBuf>) -> Result<()> {
    let mut entries = fs::read_dir(dir)
        .and_then(|entries| entries.map(|entry| entry.map(|entry| entry.path())).collect::<std::io::Result<Vec<_>>>())
        .with_context(|| format!("cannot read `{}`", dir.display()))?;
    entries.sort_unstable();
    for entry in entries {
        if entry.is_symlink() {
            continue;
        }
        if entry.is_dir() && depth < MAX_DEPTH {
            find_below(&entry, depth + 1, files)?;
        } else if entry.file_name().is_some_and(|name| name == REPORT) {
            files.push(entry);
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
        let mut files = Vec::new();
        find(&dir, &mut files).unwrap();
        assert_eq!(files, [dir.join("own").join(REPORT)]);
    }
}
