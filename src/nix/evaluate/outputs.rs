//! The way to the outputs of a flake: which arguments make `nix eval` answer questions about them.
//!
//! In: a reference. Out: [`Outputs`]. Both ways keep evaluation pure, let the flake see the same `self` and give the derivations of
//! `nix build`, write no lock, and put attribute names into a question, never into an installable.
//! - Since 2.26 `FLAKE#.` is the set of outputs itself.
//! - Before, and with Lix, that would look into `packages` and `legacyPackages` first. There a temporary flake stands around the
//!   target, as its only input. Since 2.26 this would not do: a relative input of an input is then looked for in the wrong place.

use std::ffi::OsString;

use anyhow::Result;

use super::flake::{Flake, LOCK_CHANGES};
use super::flake_config::FlakeConfig;
use super::literal::nix_string;
use super::message::{self, EvaluationFailure, MessageEvidence};
use super::message_text::QUERY_FILE;
use super::query::{Asked, QUERY};
use super::reference::{Reference, absolute};
use super::request::EvaluationRequest;
use super::survivor::Survivor;
use super::trace;
use super::wrapper::Wrapper;
use crate::later::Later;
use crate::nix::command::{Nix, Version};

/// The setting that lets evaluation build.
const IMPORT_FROM_DERIVATION: &str = "allow-import-from-derivation";

/// The setting that makes Nix print traces.
const SHOW_TRACE: &str = "show-trace";

/// The outputs of a temporary flake that answers questions.
const QUERY_OUTPUTS: &str = "{ query = import ./nixdag-query.nix target.outputs; }";

/// The first version where `FLAKE#.` is known to mean the outputs.
const FIRST_IN_PLACE: Version = Version { major: 2, minor: 26 };

/// The outputs of a flake, as something to ask.
pub struct Outputs<'f> {
    /// The flake reference that Nix gets.
    reference: Reference,
    wrapper: Option<Wrapper>,
    override_inputs: Vec<(String, String)>,
    /// Settings of Nix, the last of a name counts.
    options: Vec<(String, String)>,
    impure: bool,
    may_build: bool,
    /// The flake's own settings count.
    pub accepts_flake_config: bool,
    /// What Nix knows about the flake, waited for where a message has to be read.
    flake: &'f Later<Flake>,
    /// Traces are wanted.
    traces: bool,
}

impl<'f> Outputs<'f> {
    /// Prepares for asking the flake with this reference; `config` are the flake's own settings, which count if the request accepts them.
    pub fn new(
        nix: &Nix,
        reference: &Reference,
        flake: &'f Later<Flake>,
        config: &FlakeConfig,
        request: &EvaluationRequest,
    ) -> Result<Self> {
        let is_in_place = nix.version() >= FIRST_IN_PLACE && !nix.is_lix();
        let wrap = || Wrapper::write(reference, QUERY_OUTPUTS, &[(QUERY_FILE, QUERY)]);
        let wrapper = if is_in_place { None } else { Some(wrap()?) };
        let prefix = if is_in_place { "" } else { "target/" };
        let override_inputs = request
            .override_inputs
            .iter()
            .map(|named| Ok((format!("{prefix}{}", named.input), absolute(&named.from_here())?)))
            .collect::<Result<_>>()?;
        let word = |yes: bool| if yes { "true" } else { "false" };
        let own = [
            // 2.8's cache forgets what went wrong.
            ("eval-cache", "false"),
            ("warn-dirty", "false"),
            ("accept-flake-config", word(request.accept_flake_config)),
            (IMPORT_FROM_DERIVATION, word(request.allow_import_from_derivation)),
        ];
        let mut options: Vec<_> = own.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        if request.accept_flake_config && wrapper.is_some() {
            // Nix itself looks for them in the outermost flake only.
            options.extend(config.options());
        }
        options.extend(request.options.iter().cloned());
        if request.show_trace {
            options.push((SHOW_TRACE.to_owned(), word(true).to_owned()));
        }
        let traces = options.iter().rfind(|(name, _)| name == SHOW_TRACE).is_some_and(|(_, value)| value == word(true));
        let import = options.iter().rfind(|(name, _)| name == IMPORT_FROM_DERIVATION);
        let may_build = request.accept_flake_config || import.is_some_and(|(_, value)| value == "true");
        let (impure, accepts_flake_config) = (request.impure, request.accept_flake_config);
        Ok(Self {
            reference: reference.clone(),
            wrapper,
            override_inputs,
            options,
            impure,
            may_build,
            accepts_flake_config,
            flake,
            traces,
        })
    }

    /// The arguments of a `nix` that answers the questions, given as JSON.
    pub fn arguments(&self, questions: &str) -> Vec<OsString> {
        let questions = nix_string(questions);
        let (installable, function) = match &self.wrapper {
            Some(wrapper) => {
                (format!("{}#query", wrapper.reference()), format!("query: query (builtins.fromJSON {questions})"))
            }
            None => (
                format!("{}#.", self.reference.url()),
                format!("outputs: (\n{QUERY}\n) outputs (builtins.fromJSON {questions})"),
            ),
        };
        let mut arguments: Vec<OsString> = ["eval", &installable, "--apply", &function].map(OsString::from).into();
        arguments.extend(self.manner());
        arguments
    }

    /// The arguments that say how to evaluate.
    fn manner(&self) -> Vec<OsString> {
        let mut arguments: Vec<OsString> = vec!["--no-write-lock-file".into()];
        if self.impure {
            arguments.push("--impure".into());
        }
        for (option, value) in &self.options {
            arguments.extend(["--option", option, value].map(OsString::from));
        }
        for (input, replacement) in &self.override_inputs {
            arguments.extend(["--override-input", input, replacement].map(OsString::from));
        }
        arguments
    }

    /// A process that answers what it is asked and outlives what fails.
    pub fn survivor(&self, mark: &str, asked: Asked, words: bool) -> Result<Survivor> {
        if self.wrapper.is_some() {
            Survivor::check(&self.reference, mark, asked, words, self.manner())
        } else {
            Survivor::repl(self.reference.url(), mark, asked, self.impure, self.manner())
        }
    }

    /// Whether a process that said this before it had the outputs found inputs that the flake's lock does not cover.
    pub fn tells_new_inputs(&self, said: &[u8]) -> bool {
        // A temporary flake has no lock, so all inputs are new to it.
        let words = if self.is_wrapped() { "input 'target/" } else { LOCK_CHANGES };
        memchr::memmem::find(said, words.as_bytes()).is_some()
    }

    /// Whether a temporary flake stands around the target.
    pub fn is_wrapped(&self) -> bool {
        self.wrapper.is_some()
    }

    /// Whether evaluation may run builders.
    pub fn may_build(&self) -> bool {
        self.may_build
    }

    /// What went wrong, by what a process of [`Self::arguments`] said; `place` and `thrown` as in [`MessageEvidence`].
    pub fn failure(&self, said: &str, place: Option<&str>, thrown: bool) -> Option<EvaluationFailure> {
        let said = self.wrapper.as_ref().map_or_else(|| said.to_owned(), |wrapper| wrapper.hide(said));
        message::failure(&said, &self.evidence(place, thrown))
    }

    /// Where in the flake's own files an error comes from, by what a process said that was asked for a trace.
    pub fn place(&self, said: &str) -> Option<String> {
        trace::nearest_place(said, self.evidence(None, false).root)
    }

    /// What is known about a failure.
    pub fn evidence<'e>(&'e self, place: Option<&'e str>, thrown: bool) -> MessageEvidence<'e> {
        let flake = self.flake.get();
        let root = flake.and_then(|flake| flake.root.as_deref());
        let inputs = flake.map_or(&[][..], |flake| &flake.inputs);
        MessageEvidence { root, inputs, place, thrown, trace: self.traces }
    }
}
