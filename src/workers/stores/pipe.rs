//! A program at the other end of a pipe as a store of names: GitHub's action, which has the token for a run's artifacts and passes on what it is asked.
//!
//! In: one JSON object a line, `{"id":N,"ok":"made"|"taken"|"lost"|"again"}` for a name that was to be made, `{"id":N,"names":[…]}`, `{"id":N,"ok":"fetched"|"absent"|"unusable","bytes":N,"why":"text"}`, or
//! `{"id":N,"error":"text"}`. Out: `{"id":N,"do":"create","name":…,"files":[…]}`, `{"id":N,"do":"list"}`, `{"id":N,"do":"fetch","name":…,"to":…,"limit":N}`. Answers may come in any order. The end of
//! what is written says that the worker has left.

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Error, Result, bail, ensure};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Gone, MOST_NAMES, Made, NameStore};
use crate::build::interrupt;
use crate::printable::printable;

/// Longest answer, in bytes: all names.
const MAX_ANSWER: u64 = 64 << 20;

/// Most artifacts of a job on GitHub, less those that the action makes by itself.
const MOST_ARTIFACTS: u32 = 500 - 4;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(30 * 60);

/// How often signals are looked for meanwhile.
const TICK: Duration = Duration::from_millis(100);

/// An answer.
#[derive(Deserialize)]
struct Answer {
    id: u64,
    #[serde(default)]
    ok: Option<String>,
    #[serde(default)]
    names: Option<Vec<String>>,
    #[serde(default)]
    error: Option<String>,
    /// Why something is there and cannot be used.
    #[serde(default)]
    why: Option<String>,
}

/// Who waits for which answer; none once no more can come.
type Waiting = Arc<Mutex<Option<HashMap<u64, Sender<Answer>>>>>;

/// The other end of a pipe.
pub struct PipeStore {
    /// What comes before each name.
    prefix: String,
    output: Mutex<Box<dyn Write + Send>>,
    waiting: Waiting,
    next: AtomicU64,
}

fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl PipeStore {
    /// A store for a run; a thread reads answers until their end.
    pub fn new(run: &str, mut input: Box<dyn BufRead + Send>, output: Box<dyn Write + Send>) -> Self {
        let waiting = Waiting::new(Mutex::new(Some(HashMap::new())));
        let heard = Arc::clone(&waiting);
        std::thread::spawn(move || {
            while let Some(answer) = read(&mut *input) {
                let asker = lock(&heard).as_mut().and_then(|waiting| waiting.remove(&answer.id));
                // Who has given up waiting does not hear it.
                asker.map(|asker| asker.send(answer));
            }
            *lock(&heard) = None;
        });
        Self { prefix: format!("nixdag-{run}-"), output: Mutex::new(output), waiting, next: AtomicU64::new(0) }
    }

    fn ask(&self, mut request: Value) -> Result<Answer> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let (sender, receiver) = mpsc::channel();
        lock(&self.waiting).as_mut().context(Gone)?.insert(id, sender);
        request["id"] = id.into();
        {
            let mut output = lock(&self.output);
            writeln!(output, "{request}").and_then(|()| output.flush()).context(Gone)?;
        }
        let start = Instant::now();
        let answer = loop {
            match receiver.recv_timeout(TICK) {
                Ok(answer) => break answer,
                Err(RecvTimeoutError::Disconnected) => bail!(Gone),
                Err(RecvTimeoutError::Timeout) => {}
            }
            if let Some(signal) = interrupt::received() {
                bail!("stopped by {signal}");
            }
            ensure!(start.elapsed() < PATIENCE, "the other end of the pipe does not answer");
        };
        match answer.error {
            Some(error) => bail!("{}", printable(&error)),
            None => Ok(answer),
        }
    }

    /// Fetches a name into a folder of its own, and does something with that, or with why it is of no use.
    fn fetched<T>(
        &self,
        name: &str,
        beside: &Path,
        limit: u64,
        take: impl Fn(Result<&Path, String>) -> Result<Option<T>>,
    ) -> Result<Option<T>> {
        let folder = tempfile::tempdir_in(beside).context("cannot make a folder")?;
        let name = format!("{}{name}", self.prefix);
        let answer = self.ask(json!({"do": "fetch", "name": name, "to": folder.path(), "limit": limit}))?;
        match answer.ok.as_deref() {
            Some("absent") => Ok(None),
            Some("fetched") => take(Ok(folder.path())).with_context(|| format!("`{name}`")),
            Some("unusable") => take(Err(printable(&answer.why.unwrap_or_default()))),
            other => bail!("the other end of the pipe answers {other:?} to `fetch`"),
        }
    }
}

/// The one file in a folder, of so many bytes at most.
fn file_in(folder: &Path, limit: u64) -> Result<PathBuf> {
    let entries: Vec<_> = fs::read_dir(folder)?.take(2).collect::<std::io::Result<_>>()?;
    let [entry] = entries.as_slice() else { bail!("it is not one file") };
    let found = fs::symlink_metadata(entry.path())?;
    ensure!(found.is_file(), "it is not a file");
    ensure!(found.len() <= limit, "it has more than {limit} bytes");
    Ok(entry.path())
}

/// The next answer that can be read; none at the end, or where a line has no end.
fn read(input: &mut (dyn BufRead + Send)) -> Option<Answer> {
    loop {
        let mut line = Vec::new();
        input.take(MAX_ANSWER).read_until(b'\n', &mut line).ok()?;
        if line.pop() != Some(b'\n') {
            return None;
        }
        if let Ok(answer) = serde_json::from_slice(&line) {
            return Some(answer);
        }
    }
}

impl NameStore for PipeStore {
    fn most_names(&self) -> Option<u32> {
        Some(MOST_ARTIFACTS)
    }

    fn create(&self, name: &str, file: &Path) -> Result<Made> {
        let name = format!("{}{name}", self.prefix);
        let answer = self.ask(json!({"do": "create", "name": name, "files": [file]}))?;
        match answer.ok.as_deref() {
            Some("made") => Ok(Made::Made),
            Some("taken") => Ok(Made::Taken),
            Some("lost") => Ok(Made::Lost),
            Some("again") => Ok(Made::AskAgain),
            other => bail!("the other end of the pipe answers {other:?} to `create`"),
        }
    }

    fn list(&self) -> Result<Vec<String>> {
        let names = self.ask(json!({"do": "list"}))?.names.context("the other end of the pipe lists nothing")?;
        ensure!(names.len() <= MOST_NAMES, "the store has more than {MOST_NAMES} names");
        Ok(names.iter().filter_map(|name| Some(name.strip_prefix(&self.prefix)?.to_owned())).collect())
    }

    fn read(&self, name: &str, limit: u64) -> Result<Option<Vec<u8>>> {
        self.fetched(name, &std::env::temp_dir(), limit, |folder| {
            let file = folder.ok().and_then(|folder| file_in(folder, limit).ok());
            Ok(file.map(fs::read).transpose()?)
        })
    }

    fn fetch(&self, name: &str, to: &Path, limit: u64) -> Result<Option<u64>> {
        let beside = to.parent().context("a file in no folder")?;
        self.fetched(name, beside, limit, |folder| {
            let file = file_in(folder.map_err(Error::msg)?, limit)?;
            ensure!(fs::symlink_metadata(to).is_err(), "`{}` is there already", to.display());
            let size = fs::metadata(&file)?.len();
            fs::rename(file, to)?;
            Ok(Some(size))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufReader, pipe};

    use super::*;

    /// A store whose other end keeps names in memory and answers each request as it says.
    fn store(answer: impl Fn(&Value) -> String + Send + 'static) -> PipeStore {
        let ((requests, out), (answers, mut back)) = (pipe().unwrap(), pipe().unwrap());
        std::thread::spawn(move || {
            for line in BufReader::new(requests).lines() {
                let request: Value = serde_json::from_str(&line.unwrap()).unwrap();
                if write!(back, "{}", answer(&request)).is_err() {
                    return;
                }
            }
        });
        PipeStore::new("run", Box::new(BufReader::new(answers)), Box::new(out))
    }

    #[test]
    fn requests_and_answers_are_as_the_other_end_has_them() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("claim");
        fs::write(&file, "worker 1").unwrap();
        let claim = file.clone();
        let store = store(move |request| {
            let id = &request["id"];
            match request["do"].as_str().unwrap() {
                "create" => {
                    assert_eq!(
                        (&request["name"], &request["files"]),
                        (&json!("nixdag-run-claim-0-0"), &json!([claim]))
                    );
                    format!("not JSON\n{{\"id\":99,\"ok\":\"made\"}}\n{{\"id\":{id},\"ok\":\"taken\"}}\n")
                }
                "list" => format!("{{\"id\":{id},\"names\":[\"nixdag-run-a\",\"nixdag-other-b\",\"c\"]}}\n"),
                "fetch" if request["name"] == "nixdag-run-none" => format!("{{\"id\":{id},\"ok\":\"absent\"}}\n"),
                "fetch" if request["name"] == "nixdag-run-large" => {
                    format!("{{\"id\":{id},\"ok\":\"unusable\",\"why\":\"it has 9 \\u001b[1mbytes\"}}\n")
                }
                "fetch" if request["name"] == "nixdag-run-refused" => {
                    format!("{{\"id\":{id},\"error\":\"no \\u001b[1maccess\"}}\n")
                }
                "fetch" => {
                    fs::copy(&claim, Path::new(request["to"].as_str().unwrap()).join("claim")).unwrap();
                    format!("{{\"id\":{id},\"ok\":\"fetched\",\"bytes\":8}}\n")
                }
                other => panic!("{other}"),
            }
        });
        assert_eq!(store.create("claim-0-0", &file).unwrap(), Made::Taken);
        assert_eq!(store.list().unwrap(), ["a"]);
        assert_eq!(store.read("claim-0-0", 8).unwrap().unwrap(), b"worker 1");
        assert_eq!(store.read("claim-0-0", 7).unwrap(), None, "the limit is not left to the other end");
        assert!(store.fetch("claim-0-0", &root.path().join("long"), 7).is_err());
        assert_eq!(store.read("none", 8).unwrap(), None);
        let to = root.path().join("to");
        assert_eq!(store.fetch("claim-0-0", &to, 8).unwrap(), Some(8));
        assert_eq!(fs::read(&to).unwrap(), b"worker 1");
        assert!(store.fetch("claim-0-0", &to, 8).is_err(), "nothing is overwritten");
        assert_eq!(store.read("large", 8).unwrap(), None, "whoever can make names may have made it");
        let large = store.fetch("large", &root.path().join("large"), 8).unwrap_err().to_string();
        assert!(large.contains("bytes") && !large.contains('\u{1b}'), "{large}");
        let refused = store.read("refused", 8).unwrap_err().to_string();
        assert!(refused.contains("access") && !refused.contains('\u{1b}'), "{refused}");
    }

    #[test]
    fn where_the_other_end_goes_away_nobody_waits() {
        let (answers, back) = pipe().unwrap();
        let (requests, out) = pipe().unwrap();
        let store = PipeStore::new("run", Box::new(BufReader::new(answers)), Box::new(out));
        std::thread::scope(|scope| {
            let listed = scope.spawn(|| store.list());
            let mut line = String::new();
            BufReader::new(&requests).read_line(&mut line).unwrap();
            drop(back);
            assert!(listed.join().unwrap().unwrap_err().to_string().contains("has gone"));
        });
        assert!(store.list().is_err());
    }
}
