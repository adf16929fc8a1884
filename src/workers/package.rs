//! What a worker leaves of a task as one file: the folder that the task's job hands off.
//!
//! In: a folder of files. Out: `SIZE NAME` on a line before the bytes of each, names in order, and a last line. And back, into a new folder; whoever can make names can make any bytes:
//! names lead nowhere else, and what is written is bounded.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use crate::regular_file;

/// The first line.
const BEGIN: &str = "nixdag-package-1";

/// The last line.
const END: &str = "end";

/// Longest line of a package, in bytes, and most files in it.
const MOST: (u64, usize) = (1024, 100_000);

/// Deepest file: a realisation in its folder, in the folder of all of them.
const DEPTH: usize = 3;

/// Writes what is in a folder into a new file.
pub fn pack(dir: &Path, file: &Path) -> Result<()> {
    let mut names = Vec::new();
    find(dir, Path::new(""), 1, &mut names)?;
    names.sort_unstable();
    let write = || -> io::Result<()> {
        let mut out = BufWriter::with_capacity(256 * 1024, File::create_new(file)?);
        writeln!(out, "{BEGIN}")?;
        for name in &names {
            let mut from = regular_file::open(&dir.join(name))?;
            let size = from.metadata()?.len();
            writeln!(out, "{size} {}", name.display())?;
            let copied = io::copy(&mut (&mut from).take(size), &mut out)?;
            if copied != size {
                return Err(io::Error::other(format!("`{}` has become shorter", name.display())));
            }
        }
        writeln!(out, "{END}")?;
        out.flush()
    };
    write().with_context(|| format!("cannot pack `{}` into `{}`", dir.display(), file.display()))
}

/// The files below a folder, those that are whole.
fn find(dir: &Path, below: &Path, depth: usize, names: &mut Vec<PathBuf>) -> Result<()> {
    let at = dir.join(below);
    let what = || format!("cannot read `{}`", at.display());
    for entry in fs::read_dir(&at).with_context(what)? {
        let entry = entry.with_context(what)?;
        let (kind, name) = (entry.file_type().with_context(what)?, below.join(entry.file_name()));
        if kind.is_dir() && depth < DEPTH {
            find(dir, &name, depth + 1, names)?;
        } else if kind.is_file() && name.to_str().is_some_and(is_name) {
            names.push(name);
        }
    }
    Ok(())
}

/// True for a file's name below the folder that leads nowhere else.
fn is_name(name: &str) -> bool {
    let is_part = |part: &str| !part.is_empty() && !part.starts_with('.');
    name.len() < 512 && name.bytes().all(|byte| byte.is_ascii_graphic()) && name.split('/').all(is_part)
}

/// Unpacks a file into a folder, which is made and must not be there.
pub fn unpack(file: &Path, dir: &Path) -> Result<()> {
    let unpacked = || -> Result<()> {
        let mut from = BufReader::with_capacity(256 * 1024, regular_file::open(file)?);
        ensure!(line(&mut from)? == BEGIN, "it does not begin like one");
        fs::create_dir(dir)?;
        for _ in 0..=MOST.1 {
            let line = line(&mut from)?;
            if line == END {
                return Ok(());
            }
            let (size, name) = line.split_once(' ').context("a line without a name")?;
            let size: u64 = size.parse().context("a size that is not a number")?;
            ensure!(
                is_name(name) && name.split('/').count() <= DEPTH,
                "a file cannot be called `{}`",
                name.escape_debug()
            );
            let path = dir.join(name);
            fs::create_dir_all(path.parent().unwrap_or(dir))?;
            let copied = io::copy(&mut (&mut from).take(size), &mut File::create_new(&path)?)?;
            ensure!(copied == size, "`{name}` is cut off");
        }
        bail!("it has more than {} files", MOST.1)
    };
    unpacked().with_context(|| format!("`{}` is not the package of a task", file.display()))
}

fn line(from: &mut impl BufRead) -> Result<String> {
    let mut line = String::new();
    from.take(MOST.0).read_line(&mut line)?;
    Ok(line.strip_suffix('\n').context("a line that does not end")?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_comes_back_as_it_was() {
        let root = tempfile::tempdir().unwrap();
        let (dir, file, back) = (root.path().join("dir"), root.path().join("file"), root.path().join("back"));
        for (name, text) in [("a.narinfo", "a\n"), ("nar/b.nar.zst", ""), ("build-trace-v2/c.drv/out.doi", "{}")] {
            fs::create_dir_all(dir.join(name).parent().unwrap()).unwrap();
            fs::write(dir.join(name), text).unwrap();
        }
        fs::write(dir.join(".tmp-1"), "not whole").unwrap();
        std::os::unix::fs::symlink("/etc/passwd", dir.join("link")).unwrap();
        pack(&dir, &file).unwrap();
        unpack(&file, &back).unwrap();
        assert_eq!(fs::read_to_string(back.join("a.narinfo")).unwrap(), "a\n");
        assert_eq!(fs::read(back.join("nar/b.nar.zst")).unwrap(), b"");
        assert!(back.join("build-trace-v2/c.drv/out.doi").is_file());
        assert!(!back.join(".tmp-1").exists() && !back.join("link").exists());
    }

    #[test]
    fn a_package_of_somebody_else_leads_nowhere() {
        let root = tempfile::tempdir().unwrap();
        for (at, text) in [
            "",
            "other\n",
            "nixdag-package-1\n",
            "nixdag-package-1\n1 ../x\naend\n",
            "nixdag-package-1\n1 /tmp/x\naend\n",
            "nixdag-package-1\n1 a/../../x\naend\n",
            "nixdag-package-1\n1 .hidden\naend\n",
            "nixdag-package-1\n1 a/b/c/d\naend\n",
            "nixdag-package-1\n9 x\naend\n",
            "nixdag-package-1\n-1 x\naend\n",
            "nixdag-package-1\n1 x\na1 x\nbend\n",
            "nixdag-package-1\n1\naend\n",
        ]
        .iter()
        .enumerate()
        {
            let file = root.path().join(format!("{at}"));
            fs::write(&file, text).unwrap();
            assert!(unpack(&file, &root.path().join(format!("dir{at}"))).is_err(), "{text}");
        }
        assert!(!root.path().join("x").exists());
    }
}
