//! A process that answers questions and outlives those that fail, however they fail.
//!
//! In: questions with their numbers. Out: a command that writes the same lines as `query.nix`, and Nix's message behind the line of
//! each question that fails. Evaluation is as pure as that of `nix eval`.
//! - Where the outputs are reached in place, `nix repl` reads a question a line. It has the names of the outputs in its scope, so
//!   questions below a name that cannot be written there are left out, and nothing may hide what Nix defines.
//! - `nix repl` of 2.8 is never pure. There `nix flake check --keep-going` goes through the jobs of a temporary flake, in any order:
//!   each job is a question.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::File;
use std::io::{Seek, Write};
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;
use tempfile::TempDir;

use super::literal::{is_identifier, nix_string};
use super::message_text::QUERY_FILE;
use super::query::{self, OpenQuestion, Question};
use super::reference::Reference;
use super::wrapper::Wrapper;
use crate::nix::command::Nix;
use crate::private_file;
use crate::removed_at_signal::RemovedAtSignal;

/// The questions, as a function of the outputs.
pub const QUERY: &str = include_str!("query.nix");

/// The file with the questions of a temporary flake.
const QUESTIONS_FILE: &str = "questions.json";

/// The outputs of the temporary flake: a set of jobs that are empty once their question is answered.
const JOBS: &str = "{ hydraJobs = builtins.listToAttrs (map (question: { name = \"q${toString question.at}\"; \
     value.answer = builtins.seq (import ./nixdag-query.nix target.outputs question) { }; }) \
     (builtins.fromJSON (builtins.readFile ./questions.json))); }";

/// What `nix flake check` says last.
const LAST_WORDS: &str = "error: some errors were encountered during the evaluation";

/// What it says before each failure.
const SURVIVED: &str = "error (ignored): error:";

/// What such a process needs, until it has ended.
pub struct Survivor {
    arguments: Vec<OsString>,
    place: ErrorPlace,
}

enum ErrorPlace {
    /// The lines to read, and the folder that is the home of its history.
    Repl(File, TempDir, #[allow(dead_code, reason = "held")] RemovedAtSignal),
    Check(Wrapper),
}

impl Survivor {
    /// With `nix repl`. `manner` are the arguments that say how to evaluate.
    pub fn repl<'q>(
        reference: &str,
        mark: &str,
        questions: impl Iterator<Item = OpenQuestion<'q>>,
        impure: bool,
        manner: Vec<OsString>,
    ) -> Result<Self> {
        let questions: Vec<_> = questions.collect();
        let mut text = ReplText::new(mark, questions.iter().filter_map(|open| open.question.path().first()));
        for open in questions {
            text.ask(open);
        }
        let text = text.end();
        let what = "cannot write the questions to a temporary file";
        let mut file = tempfile::tempfile().context(what)?;
        file.write_all(text.as_bytes()).and_then(|()| file.rewind()).context(what)?;
        let home = private_file::temporary_folder().context("cannot make a temporary folder")?;
        let removed = RemovedAtSignal::new(home.path());
        let installable = format!("{reference}#.");
        let purity = if impure { "false" } else { "true" };
        let mut arguments: Vec<OsString> =
            ["repl", &installable, "--option", "pure-eval", purity].map(OsString::from).into();
        arguments.extend(manner);
        Ok(Self { arguments, place: ErrorPlace::Repl(file, home, removed) })
    }

    /// With `nix flake check`.
    pub fn check<'q>(
        reference: &Reference,
        mark: &str,
        questions: impl Iterator<Item = OpenQuestion<'q>>,
        manner: Vec<OsString>,
    ) -> Result<Self> {
        let questions = questions.map(|open| query::numbered(mark, open));
        let questions = Value::from_iter(questions).to_string();
        let wrapper = Wrapper::write(reference, JOBS, &[(QUERY_FILE, QUERY), (QUESTIONS_FILE, &questions)])?;
        let mut arguments: Vec<OsString> =
            ["flake", "check", "--keep-going", &wrapper.reference()].map(OsString::from).into();
        arguments.extend(manner);
        Ok(Self { arguments, place: ErrorPlace::Check(wrapper) })
    }

    /// The command, to be run once.
    pub fn command(&self, nix: &Nix) -> Result<Command> {
        let mut command = nix.command(&self.arguments);
        if let ErrorPlace::Repl(file, home, _) = &self.place {
            command.stdin(file.try_clone().context("cannot open the questions again")?);
            // The history of the user's own sessions is there otherwise.
            command.env("NIX_DATA_HOME", home.path()).env("NIX_STATE_HOME", home.path());
        }
        Ok(command)
    }

    /// What Nix said about a question, without what such a process adds.
    pub fn own_words(&self, said: &str) -> String {
        match &self.place {
            ErrorPlace::Repl(..) => said.to_owned(),
            ErrorPlace::Check(wrapper) => {
                let said = said.rsplit_once(LAST_WORDS).map_or(said, |(before, _)| before);
                wrapper.hide(said).replace(SURVIVED, "error:")
            }
        }
    }
}

/// What asks nothing.
const NOTHING: &str = "at = null; questions = [ ];";

/// Bytes of a line of the questions' function. `nix repl` reads what it has so far anew after each line, which takes most of its time if
/// there are many; errors quote lines, so none is long.
const LINE: usize = 400;

/// Code without comments and with few lines, but for the last ones, which most errors quote.
fn wrapped(code: &str) -> String {
    let lines: Vec<&str> =
        code.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    let (body, end) = lines.split_at(lines.len().saturating_sub(2));
    let mut text = String::with_capacity(code.len());
    let mut length = 0;
    for line in body {
        text.push(if length + line.len() > LINE { '\n' } else { ' ' });
        length = if length + line.len() > LINE { line.len() } else { length + line.len() };
        text.push_str(line);
    }
    end.iter().for_each(|line| text.extend(["\n", line]));
    text
}

/// The lines for `nix repl`. It reads byte by byte, and each error quotes the lines that it went through: so they are few and short.
struct ReplText {
    text: String,
    /// The name of the function that answers. Not the mark, as errors quote the line that they are in.
    query: String,
    /// The name of the function that asks about one derivation: short, and not that of an output.
    ask: String,
    mark: String,
    /// The output, the set and whether it is entered that `ask` is about at the moment.
    about: Option<(String, Vec<String>, bool)>,
}

impl ReplText {
    fn new<'q>(mark: &str, outputs: impl Iterator<Item = &'q String>) -> Self {
        let query = format!("nixdag_{mark}");
        let outputs: BTreeSet<&String> = outputs.collect();
        let mut ask = "q".to_owned();
        while outputs.contains(&ask) {
            ask.push('q');
        }
        // It goes on until it is complete, which a definition does not do in newer versions.
        let text = format!(":a {{ {query} =\n{}\n; }}\n", wrapped(QUERY));
        Self { text, query, ask, mark: mark.to_owned(), about: None }
    }

    /// A question below a name that cannot be written in the scope is left out.
    fn ask(&mut self, open: OpenQuestion) {
        let OpenQuestion { index, question, thrown } = open;
        let Some(first) = question.path().first().filter(|name| is_identifier(name)) else { return };
        match question {
            Question::Derivation { path, every, .. } => {
                let Some((name, below)) = path.split_last() else { return };
                let about = (first.clone(), below.to_vec(), *every);
                if self.about.as_ref() != Some(&about) {
                    self.part(first);
                    let below: Vec<String> = below.iter().map(|name| nix_string(name)).collect();
                    let questions =
                        format!("[ {{ below = [ {} ]; names = [ name ]; every = {every}; }} ]", below.join(" "));
                    self.line(&format!(
                        "{} = at: thrown: name: {}",
                        self.ask,
                        self.call(first, &format!("inherit at thrown; questions = {questions};"))
                    ));
                    self.about = Some(about);
                }
                self.line(&format!("{} {index} {thrown} {}", self.ask, nix_string(name)));
            }
            Question::Names { .. } | Question::Same { .. } => {
                self.part(first);
                let asked = query::numbered(&self.mark, open);
                self.line(&format!(
                    "{} {{ inherit {first}; }} (builtins.fromJSON {})",
                    self.query,
                    nix_string(&asked.to_string())
                ));
                self.about = None;
            }
        }
    }

    /// Where there is no such output what follows cannot be read: that is no message for the question before.
    fn part(&mut self, first: &str) {
        if self.about.as_ref().is_none_or(|(last, ..)| last != first) {
            self.line(&self.call("", NOTHING));
            // Else it would go on to be about another output.
            self.line(&format!("{} = null", self.ask));
        }
    }

    fn call(&self, first: &str, asked: &str) -> String {
        let outputs = if first.is_empty() { String::new() } else { format!("inherit {first};") };
        format!("{} {{ {outputs} }} {{ mark = {}; guarded = false; {asked} }}", self.query, nix_string(&self.mark))
    }

    fn line(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }

    fn end(mut self) -> String {
        self.line(&self.call("", NOTHING));
        self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_no_variable_is_left_to_others() {
        let at = |name: &str| Question::Derivation { path: vec![name.to_owned()], every: false, enter: 0 };
        let questions = [at("packages"), at("with space"), at("or"), at("x'-1"), at("q"), at("")];
        let open = questions.iter().enumerate().map(|(index, question)| OpenQuestion { index, question, thrown: true });
        let survivor = Survivor::repl("path:/x", "00", open, false, Vec::new()).unwrap();
        let ErrorPlace::Repl(file, ..) = &survivor.place else { panic!() };
        let text = std::io::read_to_string(file).unwrap();
        let about = text.lines().filter(|line| line.contains("q = at:"));
        let named: Vec<_> = about.filter_map(|line| line.split("inherit ").nth(1)?.split(';').next()).collect();
        assert_eq!(named, ["packages", "x'-1", "q"]);
        assert!(text.contains("\nqq 4 true \"q\"\n"), "an output has the short name");
        assert!(!text.contains("nixdag-00"), "errors quote these lines");
    }

    #[test]
    fn what_the_process_adds_is_not_part_of_the_message() {
        let wrapper = Wrapper::write(&Reference::new("x", "path:/x", &Value::Null), JOBS, &[]).unwrap();
        let survivor = Survivor { arguments: Vec::new(), place: ErrorPlace::Check(wrapper) };
        let said = format!("{SURVIVED} thrown\n\n   at x\n{LAST_WORDS}\n");
        assert_eq!(survivor.own_words(&said), "error: thrown\n\n   at x\n");
    }
}
