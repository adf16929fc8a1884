//! Files of records: named, or found in folders that a CI's cache has filled.
//!
//! Records are hints, so a file that is none is a warning and stops nothing; a path that does not exist was mistyped.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::records::{FILE, Keep, MAX_SIZE, Records};
use crate::plural::counted;
use crate::printable::{printable, shortened};
use crate::regular_file;

/// Folders of artifacts are a few levels deep.
const MAX_DEPTH: usize = 8;

/// Files that are read at most: jobs leave one each.
const MAX_FILES: usize = 20_000;

/// Characters of a warning's reason, which may quote what a file holds.
const LONGEST: usize = 300;

/// Bytes of all files together, so that what is in memory at once is bounded.
const MAX_BYTES: u64 = 4 * MAX_SIZE;

/// Reads all files, and all files called `records.json` in folders. Gives what they come to, pruned, and a warning for each file that
/// could not be used. `now` in seconds since 1970.
pub fn read(paths: &[PathBuf], keep: Keep, now: u64) -> Result<(Records, Vec<String>)> {
    let (mut files, mut warnings) = (Vec::new(), Vec::new());
    for path in paths {
        let what = || format!("cannot read `{}`", path.display());
        if fs::metadata(path).with_context(what)?.is_dir() {
            find(path, MAX_DEPTH, &mut files, &mut warnings).with_context(what)?;
        } else {
            files.push(path.clone());
        }
    }
    if files.len() > MAX_FILES {
        warnings.push(format!("of {} files of records {MAX_FILES} are read", files.len()));
        files.truncate(MAX_FILES);
    }
    let (mut all, mut bytes) = (Records::default(), 0);
    for path in files {
        match read_file(&path, MAX_BYTES - bytes, now) {
            Ok((records, length)) => {
                bytes += length;
                warnings.extend(records.remarks().iter().map(|remark| format!("`{}`: {remark}", shown(&path))));
                all.merge(records);
                if all.builds.len() > 2 * keep.in_all || all.jobs.len() > keep.in_all {
                    all.prune(keep, now);
                }
            }
            Err(error) => warnings.push(format!(
                "`{}` is left out: {}",
                shown(&path),
                shortened(&printable(&format!("{error:#}")), LONGEST)
            )),
        }
    }
    let builds = all.builds.len();
    all.prune(keep, now);
    if builds > 0 && all.builds.is_empty() {
        let recorded = counted(builds as u64, "recorded build");
        warnings.push(format!("{recorded} left out: none is of the last {} days", keep.age / 86_400));
    }
    Ok((all, warnings))
}

fn shown(path: &Path) -> String {
    printable(&path.display().to_string())
}

/// The file's records and length; at most `left` bytes are read.
fn read_file(path: &Path, left: u64, now: u64) -> Result<(Records, u64)> {
    let most = left.min(MAX_SIZE);
    let mut text = Vec::new();
    regular_file::open(path)?.take(most + 1).read_to_end(&mut text)?;
    let length = text.len() as u64;
    if length > most {
        bail!("more than {MAX_SIZE} bytes in a file, or {MAX_BYTES} in all");
    }
    Ok((Records::read(&text, now)?, length))
}

/// The files of records in a folder, in order, with a warning for what only has the name of one. Links are not followed.
fn find(dir: &Path, depth: usize, files: &mut Vec<PathBuf>, warnings: &mut Vec<String>) -> Result<()> {
    let mut entries = fs::read_dir(dir)?.collect::<std::io::Result<Vec<_>>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let kind = entry.file_type()?;
        if kind.is_dir() && depth > 0 {
            find(&entry.path(), depth - 1, files, warnings)?;
        } else if entry.file_name() == FILE {
            let path = entry.path();
            match (kind.is_file(), kind.is_symlink()) {
                (true, _) => files.push(path),
                (_, true) => warnings.push(format!("`{}` is left out: it is a link", shown(&path))),
                _ => warnings.push(format!("`{}` is left out: it is not a regular file", shown(&path))),
            }
        }
        if files.len() + warnings.len() > MAX_FILES {
            break;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_file_of_records_is_said_and_hides_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, text).unwrap();
        };
        let path = format!("/nix/store/{}-a-1.drv", "0".repeat(32));
        let build = format!(
            r#"{{"name":"a-1","system":"x","derivation":"{path}","at":5,"job":"j","seconds":1,"ending":"built","attempts":1}}"#
        );
        file("job-a/records.json", &format!(r#"{{"version":2,"builds":[{build}]}}"#));
        file("job-b/records.json", r#"{"version":2,"builds":["#);
        file("job-c/records.json", r#"{"version":1,"timings":[]}"#);
        file("job-d/other.json", "no records");
        std::os::unix::fs::symlink("/dev/zero", dir.path().join("records.json")).unwrap();
        let (records, warnings) = read(&[dir.path().to_owned()], Keep::default(), 9).unwrap();
        assert_eq!((records.builds.len(), warnings.len()), (1, 3), "{warnings:?}");
        assert!(warnings[0].contains("records.json` is left out: it is a link"), "{warnings:?}");
        assert!(warnings[2].contains("job-c/records.json` is left out: version 1 of records"), "{warnings:?}");
        let zero = read(&["/dev/zero".into()], Keep::default(), 9).unwrap();
        assert!(zero.1[0].contains("it is not a regular file"), "{zero:?}");
        assert!(read(&["/nowhere".into()], Keep::default(), 9).is_err());
    }
}
