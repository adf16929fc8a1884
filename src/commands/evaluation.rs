//! Evaluation of a flake as every planning command does it, with its progress and its warnings on standard error.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal, Write};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::attribute::AttributePath;
use crate::evaluation_cache;
use crate::nix::command::Nix;
use crate::nix::evaluate::{EvalError, Evaluation, Progress, Request, evaluate};
use crate::pattern::Pattern;
use crate::printable::printable;
use crate::settings::Settings;

/// Time between two lines of progress where they stay.
const LINE: Duration = Duration::from_secs(20);

/// Time between two states of the line on a terminal.
const FRAME: Duration = Duration::from_millis(100);

/// How many attributes a warning names.
const MAX_NAMED: usize = 5;

/// Evaluates what is selected of a flake, and `also` these. Warnings go to standard error.
pub(super) fn run(flake: &str, also: Vec<Pattern>, settings: &Settings) -> Result<Evaluation> {
    let evaluation = quietly(flake, also, settings)?;
    for warning in &evaluation.warnings {
        eprintln!("warning: {warning}");
    }
    for line in grouped(&evaluation.errors) {
        eprintln!("warning: {line}");
    }
    Ok(evaluation)
}

/// The same without a word but for progress.
pub(super) fn quietly(flake: &str, also: Vec<Pattern>, settings: &Settings) -> Result<Evaluation> {
    let how = &settings.evaluation;
    let nix = Nix::find()?.with_variables(&how.variables)?;
    let request = Request {
        flake: flake.into(),
        select: settings.select.clone(),
        also,
        exclude: settings.exclude.clone(),
        systems: settings.systems.clone(),
        override_inputs: how.override_inputs.clone(),
        allow_import_from_derivation: how.allow_import_from_derivation,
        impure: how.impure,
        options: how.options.clone(),
        accept_flake_config: how.accept_flake_config,
        budget: how.budget,
    };
    let printer = Printer::new();
    let watch = |progress: &Progress| printer.show(progress);
    let evaluation = match &how.cache {
        Some(dir) => evaluation_cache::evaluate(&nix, &request, dir, &watch, &mut |line| eprintln!("{line}")),
        None => evaluate(&nix, &request, &watch),
    };
    printer.finish();
    evaluation
}

/// One sentence for each message, in the order of the first attribute that has it.
fn grouped(errors: &[EvalError]) -> Vec<String> {
    let mut groups: Vec<(&str, Vec<&AttributePath>)> = Vec::new();
    let mut positions: BTreeMap<&str, usize> = BTreeMap::new();
    for error in errors {
        let at = *positions.entry(&error.message).or_insert_with(|| {
            groups.push((&error.message, Vec::new()));
            groups.len() - 1
        });
        groups[at].1.push(&error.attribute);
    }
    groups.iter().map(|(message, attributes)| format!("{}: {message}", failing(attributes))).collect()
}

/// `` attribute `a` does not evaluate `` or `` 7 attributes do not evaluate (`a`, `b` and 5 more) ``.
fn failing(attributes: &[&AttributePath]) -> String {
    let shown = |attribute: &&AttributePath| format!("`{}`", printable(&attribute.to_string()));
    if let [attribute] = attributes {
        return format!("attribute {} does not evaluate", shown(attribute));
    }
    let named: Vec<String> = attributes.iter().take(MAX_NAMED).map(shown).collect();
    let more = match attributes.len() - named.len() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("{} attributes do not evaluate ({}{more})", attributes.len(), named.join(", "))
}

/// Progress: one line that changes on a terminal, a line now and then elsewhere.
struct Printer {
    began: Instant,
    is_terminal: bool,
    /// When something was shown last, and what is known; nothing before evaluation has begun.
    last: Mutex<(Instant, Option<Progress>)>,
}

impl Printer {
    fn new() -> Self {
        let began = Instant::now();
        let is_terminal = io::stderr().is_terminal();
        Self { began, is_terminal, last: Mutex::new((began, None)) }
    }

    fn show(&self, progress: &Progress) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.1 = Some(*progress);
        if last.0.elapsed() > if self.is_terminal { FRAME } else { LINE } {
            last.0 = Instant::now();
            self.print(&self.line(progress), !self.is_terminal);
        }
    }

    /// The last word: nothing for an evaluation that was over at once.
    fn finish(&self) {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(progress) = last.1.filter(|_| self.is_terminal || self.began.elapsed() > FRAME) {
            self.print(&self.line(&progress), true);
        }
    }

    fn line(&self, progress: &Progress) -> String {
        let Progress { evaluated, failed, left } = progress;
        let bar = if self.is_terminal { bar(progress) } else { String::new() };
        format!(
            "evaluation: {bar}{evaluated} evaluated, {failed} failed, {left} left, {} s",
            self.began.elapsed().as_secs()
        )
    }

    fn print(&self, line: &str, stays: bool) {
        let (before, after) = (if self.is_terminal { "\r\x1b[K" } else { "" }, if stays { "\n" } else { "" });
        // Nobody to tell is no reason to fail.
        let _ = io::stderr().write_all(format!("{before}{line}{after}").as_bytes());
    }
}

/// `[####------] `
fn bar(progress: &Progress) -> String {
    const WIDTH: usize = 24;
    let done = progress.evaluated + progress.failed;
    let filled = (WIDTH * done).checked_div(done + progress.left).unwrap_or(0);
    format!("[{}{}] ", "#".repeat(filled), "-".repeat(WIDTH - filled))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_messages_are_one_sentence() {
        let error = |name: &str, message: &str| EvalError {
            attribute: ["packages", name].into_iter().collect(),
            message: message.to_owned(),
        };
        let mut errors: Vec<_> = (0..7).map(|n| error(&format!("a{n}"), "same")).collect();
        errors.insert(3, error("b", "other"));
        assert_eq!(
            grouped(&errors),
            [
                "7 attributes do not evaluate (`packages.a0`, `packages.a1`, `packages.a2`, `packages.a3`, `packages.a4` and 2 more): same",
                "attribute `packages.b` does not evaluate: other"
            ]
        );
    }

    #[test]
    fn the_bar_fills() {
        let progress = |evaluated, left| Progress { evaluated, failed: 0, left };
        assert_eq!(bar(&progress(0, 0)), "[------------------------] ");
        assert_eq!(bar(&progress(1, 1)), "[############------------] ");
        assert_eq!(bar(&progress(7, 0)), "[########################] ");
    }
}
