//! What all processes that evaluate one flake share: how it is asked, and how far it has come.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use ring::rand::{SecureRandom, SystemRandom};

use super::budget::Budget;
use super::flake;
use super::message::{EvaluationFailure, FailureCause};
use super::outputs::Outputs;
use super::query::{Answer, Question};
use crate::attribute::AttributePath;
use crate::nix::command::Nix;
use crate::printable::printable;

/// Most names in the paths of all attributes: some hundred megabytes.
const MAX_NAMES: usize = 8_000_000;

/// How far evaluation has come, in attributes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// With a result.
    pub evaluated: usize,
    /// That do not evaluate.
    pub failed: usize,
    /// Still to come, as far as is known.
    pub left: usize,
}

/// What an evaluation and whoever waits for it tell each other.
#[derive(Default)]
pub struct Pace {
    /// Nobody waits for the result any more.
    pub stop: AtomicBool,
    /// Milliseconds of processor time that one of the processes has had so far.
    spent: AtomicU64,
}

impl Pace {
    /// Processor time that one of the processes has had so far: on a machine with other things to do evaluation takes longer than it is long.
    pub fn spent(&self) -> Duration {
        Duration::from_millis(self.spent.load(Ordering::Relaxed))
    }
}

/// One evaluation of a flake.
pub struct Session<'a> {
    /// Runs the processes.
    pub nix: &'a Nix,
    /// What they are asked about.
    pub outputs: &'a Outputs<'a>,
    /// What begins a line of answers, behind `nixdag-`; evaluated code does not know it.
    token: String,
    mark: String,
    /// For messages.
    flake: &'a str,
    /// Hears of progress often, from any thread.
    watch: &'a (dyn Fn(&Progress) + Sync),
    pace: &'a Pace,
    progress: Mutex<Progress>,
    incidental: AtomicBool,
    hides: AtomicBool,
    new_inputs: AtomicBool,
    enters_at_once: AtomicBool,
    /// Names in the paths of all attributes.
    names: AtomicUsize,
    /// Answers to questions that were not asked yet; none for what fails.
    known: Mutex<HashMap<Vec<String>, Option<Answer>>>,
    /// Paths where evaluated code has thrown an error.
    thrown: Mutex<HashSet<Vec<String>>>,
    /// Milliseconds of processor time that messages of failures that were known already have taken.
    words: AtomicU64,
}

impl<'a> Session<'a> {
    /// `flake` is its name in messages; once the pace says so, processes are ended and the rest is an error.
    pub fn new(
        nix: &'a Nix,
        outputs: &'a Outputs<'a>,
        flake: &'a str,
        watch: &'a (dyn Fn(&Progress) + Sync),
        pace: &'a Pace,
    ) -> Result<Self> {
        let mut random = [0; 16];
        SystemRandom::new().fill(&mut random).map_err(|_| anyhow!("this machine has no random numbers"))?;
        let token = format!("{:032x}", u128::from_le_bytes(random));
        let mark = format!("nixdag-{token}");
        Ok(Self {
            nix,
            outputs,
            token,
            mark,
            flake,
            watch,
            pace,
            progress: Mutex::default(),
            incidental: AtomicBool::new(false),
            hides: AtomicBool::new(false),
            new_inputs: AtomicBool::new(false),
            enters_at_once: AtomicBool::new(true),
            names: AtomicUsize::new(0),
            known: Mutex::default(),
            thrown: Mutex::default(),
            words: AtomicU64::new(0),
        })
    }

    /// What `query.nix` makes the mark of.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// What begins a line of answers.
    pub fn mark(&self) -> &str {
        &self.mark
    }

    /// Whether there are processes that outlive a failure: not where names of outputs hide what Nix defines.
    pub fn outlives_failures(&self) -> bool {
        self.outputs.is_wrapped() || !self.hides.load(Ordering::Relaxed)
    }

    /// Notes that they do.
    pub fn note_hiding(&self) {
        self.hides.store(true, Ordering::Relaxed);
    }

    /// Whether the process that meets a set which asks to be entered goes on with what is in it.
    pub fn enters_at_once(&self) -> bool {
        self.enters_at_once.load(Ordering::Relaxed)
    }

    /// Notes that there is too much in such sets for one process.
    pub fn note_large_sets(&self) {
        self.enters_at_once.store(false, Ordering::Relaxed);
    }

    /// Whether the flake has inputs that its lock does not cover, or other ones than it covers.
    pub fn has_new_inputs(&self) -> bool {
        self.new_inputs.load(Ordering::Relaxed)
    }

    /// Notes what a process said before it had the outputs.
    pub fn note_beginning(&self, said: &[u8]) {
        if self.outputs.tells_new_inputs(said) {
            self.new_inputs.store(true, Ordering::Relaxed);
        }
    }

    /// Whether nobody waits for the result any more.
    pub fn is_stopped(&self) -> bool {
        self.pace.stop.load(Ordering::Relaxed)
    }

    /// A process goes on, which has had so much processor time.
    pub fn goes_on(&self, spent: Duration) {
        self.pace.spent.fetch_max(u64::try_from(spent.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
        self.count(|_| {});
    }

    /// Whether some failure may not happen again.
    pub fn is_incidental(&self) -> bool {
        self.incidental.load(Ordering::Relaxed)
    }

    /// Notes that a failure may not happen again.
    pub fn note_incident(&self) {
        self.incidental.store(true, Ordering::Relaxed);
    }

    /// Counts what is in the set at a path, each attribute with all names on the way to it; too much is an error, before it fills the memory.
    pub fn hold(&self, path: &[String], answer: &Answer) -> Result<()> {
        let (Answer::Names(names) | Answer::Set { names, .. }) = answer else { return Ok(()) };
        let more = names.len() * (path.len() + 1);
        if self.names.fetch_add(more, Ordering::Relaxed) + more > MAX_NAMES {
            bail!(
                "the attributes that the patterns lead to have more than {MAX_NAMES} names in their paths, as far as `{}` (select less, or leave \
                 out sets that lead in circles with `--exclude`)",
                printable(&AttributePath::new(path).to_string())
            );
        }
        Ok(())
    }

    /// Notes that evaluated code has thrown an error at a path.
    pub fn note_thrown(&self, path: Vec<String>) {
        self.thrown.lock().unwrap_or_else(PoisonError::into_inner).insert(path);
    }

    /// Whether that is known.
    pub fn has_thrown(&self, path: &[String]) -> bool {
        self.thrown.lock().unwrap_or_else(PoisonError::into_inner).contains(path)
    }

    /// Notes how much processor time the message of a failure that was known already has taken.
    pub fn note_words(&self, spent: Duration) {
        self.words.fetch_add(u64::try_from(spent.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Whether such messages have taken all the time that they may: 2.8 reads the source file for each, a byte at a time.
    pub fn is_out_of_words(&self, budget: &Budget) -> bool {
        self.outputs.is_wrapped() && Duration::from_millis(self.words.load(Ordering::Relaxed)) >= budget.words
    }

    /// Notes what the derivation at a path is, before anybody asks; none if evaluated code has thrown an error there.
    pub fn know(&self, path: Vec<String>, answer: Option<Answer>) {
        match &answer {
            None => self.note_thrown(path.clone()),
            Some(Answer::Failed(_)) => self.count(|progress| progress.failed += 1),
            Some(_) => self.count(|progress| progress.evaluated += 1),
        }
        self.known.lock().unwrap_or_else(PoisonError::into_inner).insert(path, answer);
    }

    /// Takes what was noted for a question.
    pub fn known(&self, question: &Question) -> Option<Option<Answer>> {
        let Question::Derivation { path, every: false, .. } = question else { return None };
        self.known.lock().unwrap_or_else(PoisonError::into_inner).remove(path)
    }

    /// Counts a question as answered.
    pub fn count_answer(&self, question: &Question, sound: bool) {
        if question.is_derivation() {
            self.count(|progress| {
                progress.left = progress.left.saturating_sub(1);
                *if sound { &mut progress.evaluated } else { &mut progress.failed } += 1;
            });
        }
    }

    /// Tells how far it has come, after a change.
    pub fn count(&self, change: impl FnOnce(&mut Progress)) {
        let mut progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut progress);
        let now = *progress;
        drop(progress);
        (self.watch)(&now);
    }

    /// The error for a flake whose outputs do not evaluate.
    pub fn flake_failure(&self, EvaluationFailure { message, cause, .. }: &EvaluationFailure) -> anyhow::Error {
        if *cause == FailureCause::Input {
            return flake::cannot_fetch(self.flake, message);
        }
        // Newer versions read the URLs of the flake's substituters before anything is evaluated.
        let hint = if self.outputs.accepts_flake_config && message.contains("Nix store") {
            " (fix the flake's `nixConfig`, or leave out `--accept-flake-config`)"
        } else if *cause == FailureCause::Download {
            " (the flake's own code downloads it: check the address and the network)"
        } else {
            ""
        };
        anyhow!("the outputs of flake `{}` do not evaluate: {message}{hint}", self.flake)
    }
}
