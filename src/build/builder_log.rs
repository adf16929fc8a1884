//! What one builder prints: the end is kept for messages, the beginning goes to a file. Neither grows without bound.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::nix::store_path;
use crate::printable::shortened;

/// Most that is kept of one log in memory, in lines and in bytes.
const TAIL_LINES: usize = 100;
const TAIL_BYTES: usize = 64 << 10;

/// Bytes of one log that go to its file before it is cut; the kept lines are added at the end.
const FILE_BYTES: u64 = 8 << 20;

/// Lines of a log that a report of a pipeline shows, and characters of each.
const LAST_LINES: usize = 15;
const MAX_LINE: usize = 400;

/// The end of a log as a record has it, which may be any text: as much as people read in a report.
pub fn last_lines(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    let last = lines[lines.len().saturating_sub(LAST_LINES)..].iter();
    last.map(|line| shortened(line, MAX_LINE)).collect::<Vec<_>>().join("\n")
}

/// The log of a build that is going on.
pub struct BuilderLog {
    tail: VecDeque<String>,
    tail_bytes: usize,
    bytes: u64,
    /// Where the file goes once there is a line.
    path: Option<PathBuf>,
    file: Option<BufWriter<File>>,
}

impl BuilderLog {
    /// A log that also goes to a file, where one is named.
    pub fn new(path: Option<PathBuf>) -> Self {
        BuilderLog { tail: VecDeque::new(), tail_bytes: 0, bytes: 0, path, file: None }
    }

    /// Takes a line. A file that cannot be written is done without: the build goes on.
    pub fn push(&mut self, line: String) {
        self.bytes += line.len() as u64 + 1;
        if let Some(path) = self.path.take() {
            self.file = create(&path).map(BufWriter::new).ok();
        }
        if self.bytes <= FILE_BYTES
            && let Some(file) = &mut self.file
            && writeln!(file, "{line}").is_err()
        {
            self.file = None;
        }
        let line = readable(line);
        self.tail_bytes += line.len() + 1;
        self.tail.push_back(line);
        while self.tail.len() > TAIL_LINES || self.tail_bytes > TAIL_BYTES {
            match self.tail.pop_front() {
                Some(first) => self.tail_bytes -= first.len() + 1,
                None => break,
            }
        }
    }

    /// Ends the log; gives the last lines.
    pub fn close(mut self) -> String {
        let tail = self.tail.into_iter().collect::<Vec<_>>().join("\n");
        if let Some(file) = &mut self.file {
            // As in `push`.
            if self.bytes > FILE_BYTES {
                let _ = writeln!(file, "[cut here: the log has {} bytes; its last lines follow]\n{tail}", self.bytes);
            }
            let _ = file.flush();
        }
        tail
    }
}

/// A line without what is not text: Nix 2.8 wraps what it could not do before the builder began into bytes of its own.
fn readable(line: String) -> String {
    const NOT_TEXT: [char; 2] = ['\0', char::REPLACEMENT_CHARACTER];
    if line.contains(NOT_TEXT) { line.replace(NOT_TEXT, "") } else { line }
}

fn create(path: &Path) -> io::Result<File> {
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir)?;
    }
    File::create(path)
}

/// The file of a derivation's log in a folder of logs.
pub fn log_file(logs: &Path, drv: &str) -> PathBuf {
    // Whatever Nix calls a derivation, a log's name is no path.
    let name = match store_path::split(drv) {
        Ok((_, base)) => base.strip_suffix(".drv").unwrap_or(base),
        Err(_) => "unknown",
    };
    logs.join(format!("{name}.log"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_long_log_the_beginning_and_the_end_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = log_file(&dir.path().join("logs"), "/nix/store/jkpdjnvj0ydp06sf2hnc0xajiib0dc7b-a.drv");
        let mut log = BuilderLog::new(Some(path.clone()));
        for number in 0..3 * FILE_BYTES / 3000 {
            log.push(format!("line {number} {}", "y".repeat(3000)));
        }
        log.push("last".into());
        let tail = log.close();
        assert!(tail.ends_with("\nlast") && tail.len() <= TAIL_BYTES);
        let text = fs::read_to_string(path).unwrap();
        assert!(text.starts_with("line 0 ") && text.ends_with("last\n"));
        assert!((text.len() as u64) < FILE_BYTES + 2 * TAIL_BYTES as u64);
    }

    #[test]
    fn what_is_not_text_is_left_out_of_the_last_lines() {
        let mut log = BuilderLog::new(None);
        log.push("\u{fffd}\0\0\0Error\0\u{fffd}executing '/bin/sh': No such file or directory".into());
        assert_eq!(log.close(), "Errorexecuting '/bin/sh': No such file or directory");
    }

    #[test]
    fn a_log_stays_in_its_folder() {
        assert_eq!(log_file(Path::new("logs"), "/../../etc/passwd"), Path::new("logs/unknown.log"));
    }
}
