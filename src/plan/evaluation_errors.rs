//! What people read about attributes that do not evaluate.
//!
//! In: the errors of an evaluation. Out: sentences: one for each kind of package that nixpkgs refuses, with a count and a few names; one
//! for each other message, as far as there are not too many of them; Nix's trace behind them where it was asked for.

use std::collections::BTreeMap;

use super::failures::{Cause, subject};
use crate::attribute::AttributePath;
use crate::nix::evaluate::EvalError;

/// How many messages are most in full.
const MAX_MESSAGES: usize = 20;

/// What every refusal of nixpkgs says.
const REFUSAL: &str = "refusing to evaluate";

/// A kind of package that nixpkgs refuses to evaluate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Refused {
    /// `unfree`
    Unfree,
    /// `broken`
    Broken,
    /// `insecure`
    Insecure,
    /// `unsupported`
    Unsupported,
}

impl Refused {
    /// The kind that the message of an error is about.
    pub fn of(message: &str) -> Option<Self> {
        let message = message.to_lowercase();
        let says = |words: &str| message.contains(words);
        match () {
            () if !says(REFUSAL) => None,
            () if says("unfree") => Some(Self::Unfree),
            () if says("marked as broken") => Some(Self::Broken),
            () if says("insecure") => Some(Self::Insecure),
            () if says("not available on") || says("not supported") || says("unsupported") => Some(Self::Unsupported),
            () => None,
        }
    }

    /// The kind with this name.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "unfree" => Some(Self::Unfree),
            "broken" => Some(Self::Broken),
            "insecure" => Some(Self::Insecure),
            "unsupported" => Some(Self::Unsupported),
            _ => None,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Unfree => "unfree",
            Self::Broken => "broken",
            Self::Insecure => "insecure",
            Self::Unsupported => "unsupported on this system",
        }
    }

    /// The variable that nixpkgs reads.
    fn variable(self) -> &'static str {
        match self {
            Self::Unfree => "NIXPKGS_ALLOW_UNFREE",
            Self::Broken => "NIXPKGS_ALLOW_BROKEN",
            Self::Insecure => "NIXPKGS_ALLOW_INSECURE",
            Self::Unsupported => "NIXPKGS_ALLOW_UNSUPPORTED_SYSTEM",
        }
    }
}

/// The sentences. `hidden` gives the flags that let a variable through to evaluation, if it is set but not seen there.
pub fn sentences<'a>(
    errors: impl IntoIterator<Item = &'a EvalError>,
    hidden: impl Fn(&str) -> Option<String>,
) -> Vec<String> {
    let mut refused: BTreeMap<Refused, Vec<&EvalError>> = BTreeMap::new();
    let mut others: Vec<Vec<&EvalError>> = Vec::new();
    let mut positions: BTreeMap<&str, usize> = BTreeMap::new();
    for error in errors {
        if let Some(kind) = Refused::of(&error.message) {
            refused.entry(kind).or_default().push(error);
            continue;
        }
        let at = *positions.entry(&error.message).or_insert_with(|| {
            others.push(Vec::new());
            others.len() - 1
        });
        others[at].push(error);
    }
    let most = if others.len() > MAX_MESSAGES { MAX_MESSAGES - 1 } else { others.len() };
    let rest: Vec<&EvalError> = others.split_off(most).concat();
    let mut sentences: Vec<String> = others.iter().filter_map(|errors| sentence(errors, None, "")).collect();
    if !rest.is_empty() {
        let why = "each for a reason of its own (`nixdag plan --format json` lists them)";
        sentences.push(format!("{}: {why}", attributes(&rest)));
    }
    for (kind, errors) in refused {
        let variable = kind.variable();
        let hint = hidden(variable)
            .map(|flags| format!(" (`{variable}` is set, but evaluation does not see it: add `{flags}`)"))
            .unwrap_or_default();
        sentences.extend(sentence(&errors, Some(kind), &hint));
    }
    sentences
}

/// One sentence about attributes that fail for the same reason, and the trace of the first of them.
fn sentence(errors: &[&EvalError], kind: Option<Refused>, hint: &str) -> Option<String> {
    let first = errors.first()?;
    let is_same = errors.iter().all(|error| error.message == first.message);
    let why = match kind {
        Some(kind) if !is_same => format!("nixpkgs says that they are {}", kind.word()),
        _ => first.message.clone(),
    };
    let mut text = format!("{}: {why}{hint}", attributes(errors));
    for line in &first.trace {
        text.push_str("\n  ");
        text.push_str(line);
    }
    Some(text)
}

fn attributes(errors: &[&EvalError]) -> String {
    let targets: Vec<&AttributePath> = errors.iter().map(|error| &error.attribute).collect();
    subject(Cause::Evaluation, &targets)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(name: &str, message: &str) -> EvalError {
        let attribute = ["packages", name].into_iter().collect();
        EvalError { attribute, message: message.to_owned(), trace: Vec::new(), build: None }
    }

    #[test]
    fn equal_messages_are_one_sentence() {
        let mut errors: Vec<_> = (0..7).map(|n| error(&format!("a{n}"), "same")).collect();
        errors.insert(3, EvalError { trace: vec!["… x".to_owned(), "  at y".to_owned()], ..error("b", "other") });
        assert_eq!(
            sentences(&errors, |_| None),
            [
                "7 attributes do not evaluate (`packages.a0`, `packages.a1`, `packages.a2`, `packages.a3`, `packages.a4` and 2 more): same",
                "attribute `packages.b` does not evaluate: other\n  … x\n    at y"
            ]
        );
    }

    #[test]
    fn what_nixpkgs_refuses_is_one_sentence_a_kind() {
        let refusal = |n: usize, words: &str| {
            error(&format!("p{n}"), &format!("Package ‘p{n}’ in x.nix:1 {words}, refusing to evaluate."))
        };
        let mut errors: Vec<_> = (0..300).map(|n| refusal(n, "has an unfree license (‘unfree’)")).collect();
        errors.extend((300..310).map(|n| refusal(n, "is marked as broken")));
        errors.extend((310..311).map(|n| refusal(n, "is marked as insecure")));
        errors.extend((311..315).map(|n| refusal(n, "is not available on the requested hostPlatform")));
        errors.push(error("z", "Package ‘z’ is renamed"));
        let flags = |name: &str| (name == "NIXPKGS_ALLOW_UNFREE").then(|| "--eval-env NIXPKGS_ALLOW_UNFREE".to_owned());
        let most = sentences(&errors, flags);
        assert_eq!(most.len(), 5, "{most:#?}");
        assert_eq!(most[0], "attribute `packages.z` does not evaluate: Package ‘z’ is renamed");
        assert!(most[1].starts_with("300 attributes do not evaluate (`packages.p0`, "), "{}", most[1]);
        assert!(
            most[1].contains(": nixpkgs says that they are unfree (`")
                && most[1].ends_with("add `--eval-env NIXPKGS_ALLOW_UNFREE`)"),
            "{}",
            most[1]
        );
        assert!(most[2].starts_with("10 attributes") && most[2].ends_with("they are broken"), "{}", most[2]);
        assert!(most[3].starts_with("attribute `packages.p310` does not evaluate: Package ‘p310’"), "{}", most[3]);
        assert!(most[4].ends_with("they are unsupported on this system"), "{}", most[4]);
    }

    #[test]
    fn of_hundreds_of_messages_only_the_first_are_told() {
        let errors: Vec<_> = (0..900).map(|n| error(&format!("a{n}"), &format!("message {n}"))).collect();
        let most = sentences(&errors, |_| None);
        assert_eq!(most.len(), MAX_MESSAGES);
        assert!(most[MAX_MESSAGES - 1].starts_with("881 attributes do not evaluate (`packages.a19`, "), "{}", most[19]);
    }
}
