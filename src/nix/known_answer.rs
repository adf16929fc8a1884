//! What a program of Nix answered last time, its version for example, so that a process is spared: a flake of a few attributes takes one.
//!
//! In: the program and the question. Out: the text, if this very file answered it. It stays in the user's cache folder, `nix-answers.json`:
//! whoever can write there could write to the user's settings of Nix as well. A script, which may run any Nix, is asked each time,
//! and so is a program that runs one by what it is called.

use std::env;
use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::output::Output;
use crate::{folder_owner, regular_file, user_folder};

/// The question what version it is.
pub const VERSION: &str = "version";

const FILE: &str = "nix-answers.json";

/// What the file is called that all commands of Nix are links to. Links to a program with another name are from a manager of versions, which runs the
/// one for the folder that it is called in.
const NAME: &str = "nix";

/// Everybody can write to the file.
const ANYBODY: u32 = 0o002;

/// Answers that are known, those given last.
const MAX_KNOWN: usize = 16;

/// Bytes of an answer that is kept.
const MAX_ANSWER: usize = 16 << 10;

/// Bytes that are read: so many answers, with paths of the longest kind.
const MAX_SIZE: u64 = 512 << 10;

/// A program, a question and the answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Known {
    program: PathBuf,
    /// Device, number, bytes, nanoseconds of its last change: another file has others.
    file: (u64, u64, u64, i128),
    asked: String,
    says: String,
}

/// What a program of Nix answers, from last time or as it is asked now. Only what `is_answer` counts and is kept.
pub fn of(
    program: &Path,
    asked: &str,
    is_answer: impl Fn(&str) -> bool,
    ask: impl FnOnce() -> Result<String>,
) -> Result<String> {
    let program = Program::new(program, asked);
    if let Some(text) = program.as_ref().and_then(Program::says).filter(|text| is_answer(text)) {
        return Ok(text);
    }
    let text = ask()?;
    if let Some(program) = program.filter(|_| text.len() <= MAX_ANSWER && is_answer(&text)) {
        program.remember(&text);
    }
    Ok(text)
}

/// A program of Nix that somebody has a question for.
#[derive(Debug)]
struct Program {
    store: PathBuf,
    known: Known,
}

impl Program {
    /// None where nothing can be known: a script, a manager of versions, no folder.
    fn new(program: &Path, asked: &str) -> Option<Self> {
        let folder = user_folder::of_cache(|name| env::var_os(name))?;
        folder_owner::check(&folder).ok()?;
        Self::at(program, asked, &folder)
    }

    fn at(program: &Path, asked: &str, folder: &Path) -> Option<Self> {
        let program = fs::canonicalize(program).ok()?;
        if program.file_name()? != NAME {
            return None;
        }
        let mut begin = [0; 2];
        let mut file = File::open(&program).ok()?;
        file.read_exact(&mut begin).ok()?;
        let file = identity(&file.metadata().ok()?);
        let known = Known { program, file, asked: asked.to_owned(), says: String::new() };
        (begin != *b"#!").then(|| Self { store: folder.join(FILE), known })
    }

    /// What it says.
    fn says(&self) -> Option<String> {
        let is_it = |known: &Known| self.is_asked(known) && known.file == self.known.file;
        read(&self.store).into_iter().find(is_it).map(|known| known.says)
    }

    fn is_asked(&self, known: &Known) -> bool {
        known.program == self.known.program && known.asked == self.known.asked
    }

    /// Keeps what it says. A folder that cannot be written to is no reason for a word.
    fn remember(mut self, says: &str) {
        says.clone_into(&mut self.known.says);
        let mut all = read(&self.store);
        all.retain(|known| !self.is_asked(known));
        all.push(self.known);
        all.drain(..all.len().saturating_sub(MAX_KNOWN));
        let _ = self.store.parent().map(fs::create_dir_all);
        let _ = Output::File(self.store).write(|out| Ok(serde_json::to_writer(out, &all)?));
    }
}

fn identity(data: &Metadata) -> (u64, u64, u64, i128) {
    // Nobody can set that time.
    let changed = i128::from(data.ctime()) * 1_000_000_000 + i128::from(data.ctime_nsec());
    (data.dev(), data.ino(), data.size(), changed)
}

/// Nothing of a file that another user owns or may write to: in root's containers folders are anybody's, and these answers hold keys that are trusted.
fn read(store: &Path) -> Vec<Known> {
    let text = |file: File| {
        let data = file.metadata()?;
        let is_own = data.uid() == rustix::process::geteuid().as_raw() && data.mode() & ANYBODY == 0;
        if is_own { io::read_to_string(file.take(MAX_SIZE)) } else { Ok(String::new()) }
    };
    let text = regular_file::open(store).and_then(text).unwrap_or_default();
    serde_json::from_str(&text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn another_file_has_to_be_asked_again() {
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("nix");
        let at = || Program::at(&program, VERSION, &dir.path().join("cache"));
        fs::write(&program, "\x7fELF one").unwrap();
        assert_eq!(at().unwrap().says(), None);
        at().unwrap().remember("nix (Nix) 2.8.0\n");
        assert_eq!(at().unwrap().says().as_deref(), Some("nix (Nix) 2.8.0\n"));
        let other = || Program::at(&program, "settings", &dir.path().join("cache"));
        assert_eq!(other().unwrap().says(), None, "that is another question");
        other().unwrap().remember("{}");
        assert_eq!(at().unwrap().says().as_deref(), Some("nix (Nix) 2.8.0\n"));
        let store = dir.path().join("cache").join(FILE);
        fs::set_permissions(&store, fs::Permissions::from_mode(0o666)).unwrap();
        assert_eq!(at().unwrap().says(), None, "anybody may have written that");
        fs::remove_file(&store).unwrap();
        at().unwrap().remember("nix (Nix) 2.8.0\n");
        assert_eq!(at().unwrap().says().as_deref(), Some("nix (Nix) 2.8.0\n"));
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(&store, Some(12345), None).unwrap();
            assert_eq!(at().unwrap().says(), None, "another user has written that");
            fs::remove_file(&store).unwrap();
            at().unwrap().remember("nix (Nix) 2.8.0\n");
        }
        for count in 0..2 * MAX_KNOWN {
            let other = dir.path().join(format!("other{count}/nix"));
            fs::create_dir(other.parent().unwrap()).unwrap();
            fs::write(&other, "\x7fELF other").unwrap();
            Program::at(&other, VERSION, &dir.path().join("cache")).unwrap().remember("x");
        }
        assert_eq!(at().unwrap().says(), None, "only so many are kept");
        at().unwrap().remember("nix (Nix) 2.8.0\n");
        fs::remove_file(&program).unwrap();
        fs::write(&program, "\x7fELF two").unwrap();
        assert_eq!(at().unwrap().says(), None);
        fs::write(&program, "#!/bin/sh\nexec nix \"$@\"\n").unwrap();
        assert!(at().is_none(), "a script may run any");
        let manager = dir.path().join("manager");
        fs::write(&manager, "\x7fELF manager").unwrap();
        fs::remove_file(&program).unwrap();
        std::os::unix::fs::symlink(&manager, &program).unwrap();
        assert!(at().is_none(), "it may run any as well");
        fs::remove_file(&program).unwrap();
        fs::write(dir.path().join("cache").join(FILE), "nonsense").unwrap();
        fs::write(&program, "\x7fELF two").unwrap();
        assert_eq!(at().unwrap().says(), None);
    }
}
