//! A process that answers questions and outlives those that fail, however they fail.
//!
//! In: questions with their numbers. Out: a command that writes the same lines as `query.nix`, and Nix's message behind the line of
//! each question that fails. Evaluation is as pure as that of `nix eval`.
//! - Where the outputs are reached in place, `nix repl` reads a question a line. It has the names of the outputs in its scope, so
//!   questions below a name that cannot be written there are left out, and nothing may hide what Nix defines.
//! - `nix repl` of 2.8 is never pure. There `nix flake check --keep-going` goes through the jobs of a temporary flake, in any order:
//!   each job is a question.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io::{ErrorKind, PipeWriter, Write, pipe};
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;
use tempfile::TempDir;

use super::message_text::QUERY_FILE;
use super::query::{self, Asked, QUERY};
use super::reference::Reference;
use super::repl_text;
use super::wrapper::Wrapper;
use crate::nix::command::Nix;
use crate::private_file;
use crate::removed_at_signal::RemovedAtSignal;

/// The file with the questions of a temporary flake.
const QUESTIONS_FILE: &str = "questions.json";

/// The outputs of the temporary flake for jobs that the questions are made into by themselves.
const OWN_JOBS: &str = "{ hydraJobs = import ./nixdag-query.nix target.outputs (builtins.fromJSON (builtins.readFile ./questions.json)); }";

/// The outputs of the temporary flake: a set of jobs that are empty once their question is answered.
const JOBS: &str = "{ hydraJobs = builtins.listToAttrs (map (question: { name = \"q${toString question.at}\"; \
     value.answer = builtins.seq (import ./nixdag-query.nix target.outputs question) { }; }) \
     (builtins.fromJSON (builtins.readFile ./questions.json))); }";

/// What `nix flake check` says last.
const LAST_WORDS: &str = "error: some errors were encountered during the evaluation";

/// What it says before each failure.
const SURVIVED: &str = "error (ignored): error:";

/// The same before one that has no words: `throw ""`.
const SURVIVED_MUTE: &str = "error (ignored): \n";

/// What such a process needs, until it has ended.
pub struct Survivor {
    arguments: Vec<OsString>,
    mark: String,
    place: ErrorPlace,
}

enum ErrorPlace {
    /// The lines to read, and the folder that is the home of its history.
    Repl(Feed, TempDir, #[allow(dead_code, reason = "held")] RemovedAtSignal),
    Check(Wrapper),
}

/// Lines for `nix repl`, in parts. It gets the next once it has done one before. What a pipe does not take at once waits, as the process
/// may be writing and this program would not read.
#[derive(Default)]
struct Feed {
    parts: VecDeque<String>,
    /// Parts that it has, or gets next, and has not done.
    under_way: usize,
    /// The rest of the parts that it gets next.
    waiting: Vec<u8>,
    pipe: Option<PipeWriter>,
}

impl Feed {
    fn fill(&mut self) {
        while self.under_way < 2
            && let Some(part) = self.parts.pop_front()
        {
            self.under_way += 1;
            self.waiting.extend_from_slice(part.as_bytes());
        }
        self.write();
    }

    fn write(&mut self) {
        while let Some(pipe) = self.pipe.as_mut().filter(|_| !self.waiting.is_empty()) {
            match pipe.write(&self.waiting) {
                Ok(count) => drop(self.waiting.drain(..count)),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                // The process has ended, which is seen elsewhere.
                Err(_) => self.pipe = None,
            }
        }
    }
}

impl Survivor {
    /// With `nix repl`. `manner` are the arguments that say how to evaluate.
    pub fn repl(reference: &str, mark: &str, asked: Asked, impure: bool, manner: Vec<OsString>) -> Result<Self> {
        let home = private_file::temporary_folder().context("cannot make a temporary folder")?;
        let removed = RemovedAtSignal::new(home.path());
        let installable = format!("{reference}#.");
        let purity = if impure { "false" } else { "true" };
        let mut arguments: Vec<OsString> =
            ["repl", &installable, "--option", "pure-eval", purity].map(OsString::from).into();
        arguments.extend(manner);
        let feed = Feed { parts: repl_text::parts(mark, asked, true), ..Feed::default() };
        Ok(Self { arguments, mark: mark.to_owned(), place: ErrorPlace::Repl(feed, home, removed) })
    }

    /// With `nix flake check`. Without `words` it does not say more of an error that evaluated code throws.
    pub fn check(reference: &Reference, mark: &str, asked: Asked, words: bool, manner: Vec<OsString>) -> Result<Self> {
        let (outputs, questions) = match asked {
            Asked::Why(open) => (JOBS, Value::from_iter(open.iter().map(|open| query::numbered(mark, *open, words)))),
            Asked::All(questions) => (OWN_JOBS, query::jobs(mark, questions, words)),
        };
        let files = [(QUERY_FILE, QUERY), (QUESTIONS_FILE, &questions.to_string())];
        let wrapper = Wrapper::write(reference, outputs, &files)?;
        let mut arguments: Vec<OsString> =
            ["flake", "check", "--keep-going", &wrapper.reference()].map(OsString::from).into();
        arguments.extend(manner);
        Ok(Self { arguments, mark: mark.to_owned(), place: ErrorPlace::Check(wrapper) })
    }

    /// The command, to be run once.
    pub fn command(&mut self, nix: &Nix) -> Result<Command> {
        let mut command = nix.command(&self.arguments);
        if let ErrorPlace::Repl(feed, home, _) = &mut self.place {
            let (reader, writer) = pipe().context("cannot make a pipe")?;
            command.stdin(reader);
            rustix::io::ioctl_fionbio(&writer, true).context("cannot prepare a pipe")?;
            feed.pipe = Some(writer);
            feed.fill();
            // The history of the user's own sessions is there otherwise.
            command.env("NIX_DATA_HOME", home.path()).env("NIX_STATE_HOME", home.path());
        }
        Ok(command)
    }

    /// Gives the process what it did not take before.
    pub fn write(&mut self) {
        if let ErrorPlace::Repl(feed, ..) = &mut self.place {
            feed.write();
        }
    }

    /// The process has done a part. True where it has nothing left to do and waits for [more](Self::ask).
    pub fn next_part(&mut self) -> bool {
        let ErrorPlace::Repl(feed, ..) = &mut self.place else { return false };
        feed.under_way = feed.under_way.saturating_sub(1);
        feed.fill();
        feed.under_way == 0
    }

    /// Asks the process, which has nothing left to do, for more, or lets it end.
    pub fn ask(&mut self, asked: Option<Asked>) {
        let ErrorPlace::Repl(feed, ..) = &mut self.place else { return };
        let Some(asked) = asked else {
            feed.pipe = None;
            return;
        };
        feed.parts = repl_text::parts(&self.mark, asked, false);
        feed.fill();
        // It would wait for ever where nothing could be written.
        if feed.under_way == 0 {
            feed.pipe = None;
        }
    }

    /// Whether what fails is to be asked for its reason, behind everything else.
    pub fn is_asked_why(&self) -> bool {
        matches!(self.place, ErrorPlace::Repl(..))
    }

    /// What Nix said about a question, without what such a process adds.
    pub fn own_words(&self, said: &str) -> String {
        match &self.place {
            ErrorPlace::Repl(..) => said.to_owned(),
            ErrorPlace::Check(wrapper) => {
                let said = said.rsplit_once(LAST_WORDS).map_or(said, |(before, _)| before);
                wrapper.hide(said).replace(SURVIVED, "error:").replace(SURVIVED_MUTE, "error:\n")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::query::{OpenQuestion, Question};
    use super::*;

    #[test]
    fn a_name_that_is_no_variable_is_left_to_others() {
        let at = |name: &str| Question::Derivation { path: vec![name.to_owned()], every: false, enter: 0 };
        let questions = [at("packages"), at("with space"), at("or"), at("x'-1"), at("q"), at("")];
        let open = questions.iter().enumerate().map(|(index, question)| OpenQuestion { index, question, thrown: true });
        let open: Vec<OpenQuestion> = open.collect();
        let survivor = Survivor::repl("path:/x", "00", Asked::Why(&open), false, Vec::new()).unwrap();
        let ErrorPlace::Repl(feed, ..) = &survivor.place else { panic!() };
        let text: String = feed.parts.iter().map(String::as_str).collect();
        let about = text.lines().filter(|line| line.contains("q = at:"));
        let named: Vec<_> = about.filter_map(|line| line.split("inherit ").nth(1)?.split(';').next()).collect();
        assert_eq!(named, ["packages", "x'-1", "q"]);
        assert!(text.contains("\nqq 4 true \"q\"\n"), "an output has the short name");
        assert!(!text.contains("nixdag-00"), "errors quote these lines");
    }

    #[test]
    fn what_the_process_adds_is_not_part_of_the_message() {
        let wrapper = Wrapper::write(&Reference::new("x", "path:/x", &Value::Null), JOBS, &[]).unwrap();
        let survivor = Survivor { arguments: Vec::new(), mark: String::new(), place: ErrorPlace::Check(wrapper) };
        let said = format!("{SURVIVED} thrown\n\n   at x\n{LAST_WORDS}\n");
        assert_eq!(survivor.own_words(&said), "error: thrown\n\n   at x\n");
        assert_eq!(survivor.own_words(&format!("{SURVIVED_MUTE}{LAST_WORDS}\n")), "error:\n");
    }
}
