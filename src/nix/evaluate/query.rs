//! Asks a flake questions, many in one process, and finds out which question a process died of.
//!
//! In: [`Question`]s. Out: one [`Answer`] a question, in order. What `tryEval` catches is answered by the process that met it; a
//! process that dies (abort, missing attribute, infinite recursion, out of memory) has its questions halved until the one at fault
//! is alone. Each question that fails is then asked alone, so that its message is Nix's own.

use std::collections::BTreeMap;
use std::ops::Range;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use anyhow::{Result, anyhow};
use serde::Deserialize;
use serde_json::{Value, json};

use super::outputs::Outputs;
use super::{flake, message};
use crate::nix::command::Nix;

/// Most questions in one process: what it evaluates stays in its memory.
const MAX_QUESTIONS: usize = 1000;

/// Most bytes of one process's questions; Linux takes no argument over 128 KiB, and quoting may add to them.
const MAX_BYTES: usize = 48 << 10;

/// Bytes of answers that are read from one process.
const MAX_ANSWER: usize = 128 << 20;

/// Most failed attributes of one round that are evaluated once more, alone, for the sake of their message.
const MAX_ALONE: usize = 500;

/// So many processes that die of one and the same failed download are no chance.
const FETCH_DEATHS: usize = 4;

/// A question about the outputs of the flake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// Which attributes are there at this path? A derivation is looked into only if `inside`.
    Names { path: Vec<String>, inside: bool },
    /// Which derivation is there at this path?
    Derivation { path: Vec<String> },
}

/// What the flake has at the path of a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    Names(Vec<String>),
    /// The path of the `.drv` file, unchecked.
    Derivation(String),
    /// Nothing has the name with this index in the path.
    Missing(usize),
    /// A value of another type, in Nix's words; `above` the end of the path or at it.
    Other {
        kind: String,
        above: bool,
    },
    /// It does not evaluate: Nix's message.
    Failed(String),
}

/// The answer as `query.nix` writes it.
#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Names {
        names: Vec<String>,
    },
    Derivation {
        drv: String,
    },
    Missing {
        missing: usize,
    },
    Other {
        kind: String,
        #[serde(default)]
        above: bool,
    },
    // Without it nothing would tell this answer from a wrong one.
    #[expect(dead_code, reason = "only its presence counts")]
    Failed {
        failed: bool,
    },
}

/// How a process ended: its answers, none for what it caught, or what it died of.
type Outcome = Result<Vec<Option<Answer>>, String>;

/// Asks one flake.
pub struct Asker<'a> {
    nix: &'a Nix,
    outputs: &'a Outputs,
    /// For messages.
    flake: &'a str,
    workers: usize,
    /// Whether the outputs themselves are known to evaluate.
    sound: AtomicBool,
}

impl<'a> Asker<'a> {
    /// `workers` is the number of processes that may run at the same time.
    pub fn new(nix: &'a Nix, outputs: &'a Outputs, flake: &'a str, workers: usize) -> Self {
        Self { nix, outputs, flake, workers: workers.max(1), sound: AtomicBool::new(false) }
    }

    /// Answers every question, or fails if the flake as a whole does not evaluate.
    pub fn ask(&self, questions: &[Question]) -> Result<Vec<Answer>> {
        let mut answers: BTreeMap<usize, Answer> = BTreeMap::new();
        let mut caught = Vec::new();
        let mut pending = chunks(questions);
        while !pending.is_empty() {
            let outcomes = self.all(&pending, |range| self.process(&questions[range.clone()], true))?;
            let shared = shared_fetch_failure(&outcomes);
            let mut next = Vec::new();
            for (range, outcome) in pending.into_iter().zip(outcomes) {
                match outcome {
                    Ok(given) => {
                        for (index, answer) in range.zip(given) {
                            match answer {
                                Some(answer) => drop(answers.insert(index, answer)),
                                None => caught.push(index),
                            }
                        }
                    }
                    Err(message) => {
                        self.check_outputs()?;
                        if range.len() == 1 || shared {
                            answers.extend(range.map(|index| (index, Answer::Failed(message.clone()))));
                        } else {
                            let middle = range.start + range.len() / 2;
                            next.extend([range.start..middle, middle..range.end]);
                        }
                    }
                }
            }
            pending = next;
        }
        if caught.len() == questions.len() && !caught.is_empty() {
            self.check_outputs()?;
        }
        let (alone, rest) = caught.split_at(caught.len().min(MAX_ALONE));
        let messages = self.all(alone, |index| self.process(&questions[*index..=*index], false))?;
        for (index, outcome) in alone.iter().zip(messages) {
            let answer = match outcome {
                Ok(given) => given.into_iter().next().flatten(),
                Err(message) => Some(Answer::Failed(message)),
            };
            answers.insert(*index, answer.unwrap_or_else(|| Answer::Failed("evaluation fails".to_owned())));
        }
        let many =
            format!("evaluation fails (more than {MAX_ALONE} attributes do; evaluate this one alone to see why)");
        answers.extend(rest.iter().map(|index| (*index, Answer::Failed(many.clone()))));
        Ok(answers.into_values().collect())
    }

    /// Makes sure, once, that a failure is not that of the whole flake.
    fn check_outputs(&self) -> Result<()> {
        if self.sound.swap(true, Ordering::Relaxed) {
            return Ok(());
        }
        match self.process(&[Question::Names { path: Vec::new(), inside: true }], false)? {
            Ok(_) => Ok(()),
            Err(message) if message::is_fetch_failure(&message) => Err(flake::cannot_fetch(self.flake, &message)),
            Err(message) => Err(anyhow!("the outputs of flake `{}` do not evaluate: {message}", self.flake)),
        }
    }

    /// Does the same with every item, on several threads.
    fn all<T: Sync>(&self, items: &[T], work: impl Fn(&T) -> Result<Outcome> + Sync) -> Result<Vec<Outcome>> {
        let done = Mutex::new(BTreeMap::new());
        let next = AtomicUsize::new(0);
        let worker = || {
            while let Some((index, item)) = {
                let index = next.fetch_add(1, Ordering::Relaxed);
                items.get(index).map(|item| (index, item))
            } {
                let result = work(item);
                // A poisoned lock means that another thread panicked, which `scope` passes on.
                let Ok(mut done) = done.lock() else { return };
                done.insert(index, result);
            }
        };
        match self.workers.min(items.len()) {
            0 | 1 => worker(),
            workers => thread::scope(|scope| (0..workers).for_each(|_| drop(scope.spawn(worker)))),
        }
        done.into_inner().unwrap_or_default().into_values().collect()
    }

    /// Asks in one process.
    fn process(&self, questions: &[Question], guarded: bool) -> Result<Outcome> {
        let text = json!({ "guarded": guarded, "questions": written(questions) }).to_string();
        let finished = match self.nix.nix(self.outputs.arguments(&text), MAX_ANSWER) {
            Ok(finished) => finished,
            Err(error) => return Err(error.context("cannot evaluate the flake")),
        };
        if !finished.status.success() {
            let said = message::from_stderr(&finished.stderr).unwrap_or_else(|| died(finished.status));
            return Ok(Err(self.outputs.hide(&said)));
        }
        let answers: Vec<Written> = match serde_json::from_slice(&finished.stdout) {
            Ok(answers) => answers,
            Err(error) => return Ok(Err(format!("Nix's answer cannot be read: {error}"))),
        };
        if answers.len() != questions.len() {
            return Ok(Err(format!("Nix gave {} answers to {} questions", answers.len(), questions.len())));
        }
        Ok(Ok(answers.into_iter().map(Written::read).collect()))
    }
}

impl Written {
    /// The answer, or none where evaluation failed.
    fn read(self) -> Option<Answer> {
        Some(match self {
            Self::Names { names } => Answer::Names(names),
            Self::Derivation { drv } => Answer::Derivation(drv),
            Self::Missing { missing } => Answer::Missing(missing),
            Self::Other { kind, above } => Answer::Other { kind, above },
            Self::Failed { .. } => return None,
        })
    }
}

/// Says how a process ended that had nothing to say itself.
fn died(status: ExitStatus) -> String {
    match status.signal() {
        Some(libc::SIGKILL) => "the evaluator was killed (is there enough memory?)".to_owned(),
        Some(libc::SIGSEGV) => "the evaluator crashed (infinite recursion?)".to_owned(),
        Some(signal) => format!("the evaluator was ended by signal {signal}"),
        None => format!("the evaluator failed without a message ({status})"),
    }
}

/// True if at least [`FETCH_DEATHS`] processes died, all of them of the same failed download.
fn shared_fetch_failure(outcomes: &[Outcome]) -> bool {
    let first = outcomes.first().and_then(|outcome| outcome.as_ref().err());
    first.is_some_and(|message| message::is_fetch_failure(message))
        && outcomes.len() >= FETCH_DEATHS
        && outcomes.iter().all(|outcome| outcome.as_ref().err() == first)
}

/// Cuts the questions into pieces that one process each can take.
fn chunks(questions: &[Question]) -> Vec<Range<usize>> {
    let mut ranges = Vec::new();
    let mut start = 0;
    let mut bytes = 0;
    for (index, question) in questions.iter().enumerate() {
        // A byte may be written as `\u001f`, and each name has quotes and a comma.
        let path = question.path();
        let size: usize = path.iter().map(|name| json!(name).to_string().len() + 1).sum::<usize>() + 32;
        if index > start && (bytes + size > MAX_BYTES || index - start == MAX_QUESTIONS) {
            ranges.push(start..index);
            start = index;
            bytes = 0;
        }
        bytes += size;
    }
    if start < questions.len() {
        ranges.push(start..questions.len());
    }
    ranges
}

/// The questions as `query.nix` reads them: derivations side by side share the path of their parent.
fn written(questions: &[Question]) -> Vec<Value> {
    let parent = |question: &Question| match question {
        Question::Derivation { path } => path.split_last().map(|(_, parent)| parent.to_vec()),
        Question::Names { .. } => None,
    };
    questions
        .chunk_by(|a, b| parent(a).is_some() && parent(a) == parent(b))
        .map(|group| match (&group[0], parent(&group[0])) {
            (Question::Names { path, inside }, _) => json!({ "names": path, "inside": inside }),
            (_, below) => {
                let names: Vec<_> = group.iter().filter_map(|question| question.path().last()).collect();
                json!({ "below": below.unwrap_or_default(), "names": names })
            }
        })
        .collect()
}

impl Question {
    fn path(&self) -> &[String] {
        match self {
            Self::Names { path, .. } | Self::Derivation { path } => path,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn derivation(names: &[&str]) -> Question {
        Question::Derivation { path: names.iter().map(ToString::to_string).collect() }
    }

    #[test]
    fn siblings_share_their_parent() {
        let questions = [
            derivation(&["packages", "a"]),
            derivation(&["packages", "b"]),
            Question::Names { path: vec!["lib".to_owned()], inside: true },
            derivation(&["checks", "a"]),
        ];
        assert_eq!(
            Value::from(written(&questions)),
            json!([
                { "below": ["packages"], "names": ["a", "b"] },
                { "names": ["lib"], "inside": true },
                { "below": ["checks"], "names": ["a"] },
            ])
        );
    }

    #[test]
    fn chunks_are_bounded_and_lose_nothing() {
        let long = "\u{1}".repeat(1000);
        let questions: Vec<_> = (0..2500).map(|n| derivation(&["x", if n < 50 { &long } else { "y" }])).collect();
        let ranges = chunks(&questions);
        assert_eq!(ranges.iter().cloned().flatten().collect::<Vec<_>>(), (0..2500).collect::<Vec<_>>());
        for range in ranges {
            assert!(range.len() <= MAX_QUESTIONS);
            assert!(Value::from(written(&questions[range])).to_string().len() < 100 << 10);
        }
        assert!(chunks(&[]).is_empty());
    }

    #[test]
    fn only_many_equal_downloads_count_as_one() {
        let failed = || Err::<Vec<Option<Answer>>, _>("unable to download 'x'".to_owned());
        assert!(shared_fetch_failure(&[failed(), failed(), failed(), failed()]));
        assert!(!shared_fetch_failure(&[failed(), failed()]));
        assert!(!shared_fetch_failure(&[failed(), failed(), failed(), Ok(Vec::new())]));
    }
}
