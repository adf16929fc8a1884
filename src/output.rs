//! Results: to standard output, or to a file that is written whole or not at all.

use std::fs;
use std::io::{self, BufWriter, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};

use crate::choice::Choice;
use crate::printable::printable;
use crate::removed_at_signal::RemovedAtSignal;
use crate::usage::usage;

/// A choice of formats, one of which is the usual one.
pub trait Format: Choice + Default {
    /// What the names of files in it end with, without the dot; nothing where no end is usual.
    fn ends(self) -> &'static [&'static str];

    /// What makes a file whose name ends like that, where this choice has no such format.
    fn instead(_end: &str) -> Option<String> {
        None
    }
}

/// Ends of names that say what a file holds.
const KNOWN_ENDS: [&str; 12] = ["yml", "yaml", "json", "html", "htm", "txt", "md", "csv", "svg", "dot", "mmd", "trace"];

/// Where a result goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Standard output.
    Stdout,
    /// A file.
    File(PathBuf),
}

impl From<Option<PathBuf>> for Output {
    /// None and `-` are standard output.
    fn from(path: Option<PathBuf>) -> Self {
        path.filter(|path| path.as_os_str() != "-").map_or(Self::Stdout, Self::File)
    }
}

impl Output {
    /// The format to write in: the one that is asked for, else as the file's name ends, else the usual one.
    ///
    /// An error where the name ends as those of another format do, or, where no format is asked for, as those of none. Standard output and
    /// devices have no name to go by.
    pub fn format<F: Format>(&self, asked: Option<F>) -> Result<F> {
        let Self::File(path) = self else { return Ok(asked.unwrap_or_default()) };
        if path.exists() && !path.is_file() {
            return Ok(asked.unwrap_or_default());
        }
        let shown = printable(&path.to_string_lossy());
        let end = path.extension().map(|end| end.to_string_lossy().to_lowercase()).unwrap_or_default();
        let all = || F::ALL.iter().map(|(_, _, format)| *format);
        let by_name = all().find(|format| format.ends().contains(&&*end));
        match (asked, by_name) {
            (Some(asked), Some(other)) if !asked.ends().contains(&&*end) => Err(anyhow!(usage(format!(
                "`--format {}` does not fit the file `{shown}`, whose name ends as those of {} do",
                asked.name(),
                other.name()
            )))),
            (Some(asked), _) => Ok(asked),
            (None, Some(found)) => Ok(found),
            (None, None) => {
                let ends: Vec<String> =
                    all().flat_map(|format| format.ends().first()).map(|end| format!("`.{end}`")).collect();
                let instead = F::instead(&end).map(|instead| format!("; {instead}")).unwrap_or_default();
                Err(anyhow!(usage(format!(
                    "the name of the file `{shown}` does not say its format: end it with {}, or choose with `--format`{instead}",
                    ends.join(", ")
                ))))
            }
        }
    }

    /// Refuses a file whose name ends as those of other formats do; `ends` are those of the only one that there is. Other names say nothing.
    pub fn check_end(&self, ends: &[&str]) -> Result<()> {
        let Self::File(path) = self else { return Ok(()) };
        let end = path.extension().map(|end| end.to_string_lossy().to_lowercase()).unwrap_or_default();
        if !KNOWN_ENDS.contains(&&*end) || ends.contains(&&*end) || (path.exists() && !path.is_file()) {
            return Ok(());
        }
        let ends: Vec<String> = ends.iter().map(|end| format!("`.{end}`")).collect();
        let (last, others) = ends.split_last().context("nothing ends a name")?;
        let others = if others.is_empty() { String::new() } else { format!("{} or ", others.join(", ")) };
        Err(anyhow!(usage(format!(
            "`{}` is named like a file of another format: end it with {others}{last}",
            printable(&path.to_string_lossy())
        ))))
    }

    /// Refuses a file that cannot be written, before the work that fills it is done.
    pub fn check(&self) -> Result<()> {
        let Self::File(path) = self else { return Ok(()) };
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        if path.is_dir() {
            return Err(anyhow!(usage(format!("cannot write `{}`: it is a directory", path.display()))));
        }
        if !folder.is_dir() {
            return Err(anyhow!(usage(format!(
                "cannot write `{}`: there is no folder `{}`",
                path.display(),
                folder.display()
            ))));
        }
        Ok(())
    }

    /// Hands a buffered writer to `write` and makes the result visible only once it is complete.
    ///
    /// A reader of standard output that has gone away, as `head` does, is no error.
    pub fn write(&self, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<()> {
        match self {
            Self::Stdout => {
                let mut out = BufWriter::with_capacity(1 << 16, io::stdout().lock());
                match write(&mut out).and_then(|()| out.flush()) {
                    Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
                    result => result.context("cannot write to standard output"),
                }
            }
            Self::File(path) => write_whole(path, write).with_context(|| format!("cannot write `{}`", path.display())),
        }
    }
}

/// Writes a file beside its final place and moves it there.
fn write_whole(path: &Path, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<()> {
    // Through a symbolic link to the file that it means, so that the link stays one.
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    if path.is_dir() {
        return Err(anyhow!("it is a directory"));
    }
    if path.exists() && !path.is_file() {
        // A device or a pipe cannot be replaced, only written to.
        let mut out = BufWriter::new(fs::File::options().write(true).open(&path)?);
        write(&mut out)?;
        return Ok(out.flush()?);
    }
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(dir)?;
    let _removed = RemovedAtSignal::new(file.path());
    let mut out = BufWriter::with_capacity(1 << 16, file.as_file_mut());
    write(&mut out)?;
    out.flush()?;
    drop(out);
    let permissions = fs::metadata(&path).map(|metadata| metadata.permissions());
    file.as_file().set_permissions(permissions.unwrap_or_else(|_| fs::Permissions::from_mode(0o644)))?;
    file.persist(&path)?;
    Ok(())
}

/// Most bytes that are read of any input file.
const MAX_INPUT: u64 = 1 << 30;

/// Reads an input file; `-` is standard input.
pub fn read_input(path: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = |bytes: &mut Vec<u8>| -> io::Result<u64> {
        if path.as_os_str() == "-" {
            io::stdin().lock().take(MAX_INPUT + 1).read_to_end(bytes).map(|read| read as u64)
        } else {
            fs::File::open(path)?.take(MAX_INPUT + 1).read_to_end(bytes).map(|read| read as u64)
        }
    };
    let length = read(&mut bytes).with_context(|| format!("cannot read `{}`", path.display()))?;
    if length > MAX_INPUT {
        return Err(anyhow!("`{}` has more than {MAX_INPUT} bytes", path.display()));
    }
    Ok(bytes)
}
