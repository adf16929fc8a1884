//! What people read about attributes that do not evaluate.
//!
//! In: the errors of an evaluation. Out: groups, one for each kind of package that nixpkgs refuses and one for each other message, and
//! sentences about them with a count and a few names, as far as there are not too many; Nix's trace behind them where it was asked for.

use std::cmp::Reverse;
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

/// Errors for the same reason.
pub struct Group<'e, E> {
    /// What nixpkgs refuses, where it does.
    kind: Option<Refused>,
    /// In the order in which they came; at least one.
    pub errors: Vec<&'e E>,
}

impl<E> Group<'_, E> {
    /// The reason: the message that all have, or what is common to them.
    pub fn why<'m>(&'m self, message: impl Fn(&'m E) -> &'m str) -> String {
        let mut messages = self.errors.iter().map(|error| message(error));
        let first = messages.next().unwrap_or_default();
        match self.kind {
            Some(kind) if !messages.all(|other| other == first) => {
                format!("nixpkgs says that they are {}", kind.word())
            }
            _ => first.to_owned(),
        }
    }
}

/// Puts errors together, the largest groups first, and behind all others what nixpkgs refuses.
pub fn groups<'e, E>(errors: impl IntoIterator<Item = &'e E>, message: impl Fn(&'e E) -> &'e str) -> Vec<Group<'e, E>> {
    let mut refused: BTreeMap<Refused, Vec<&E>> = BTreeMap::new();
    let mut others: Vec<Group<E>> = Vec::new();
    let mut positions: BTreeMap<&str, usize> = BTreeMap::new();
    for error in errors {
        if let Some(kind) = Refused::of(message(error)) {
            refused.entry(kind).or_default().push(error);
            continue;
        }
        let at = *positions.entry(message(error)).or_insert_with(|| {
            others.push(Group { kind: None, errors: Vec::new() });
            others.len() - 1
        });
        others[at].errors.push(error);
    }
    others.sort_by_key(|group| Reverse(group.errors.len()));
    others.extend(refused.into_iter().map(|(kind, errors)| Group { kind: Some(kind), errors }));
    others
}

/// The sentences, only those that have more to them than names and a reason if `is_listed` elsewhere. `hidden` gives the flags that let a variable through to evaluation, if it is set but not seen there.
pub fn sentences<'a>(
    errors: impl IntoIterator<Item = &'a EvalError>,
    is_listed: bool,
    hidden: impl Fn(&str) -> Option<String>,
) -> Vec<String> {
    let (refused, mut others): (Vec<_>, Vec<_>) =
        groups(errors, |error| error.message.as_str()).into_iter().partition(|group| group.kind.is_some());
    let most = if others.len() > MAX_MESSAGES { MAX_MESSAGES - 1 } else { others.len() };
    let rest: Vec<&EvalError> = others.split_off(most).into_iter().flat_map(|group| group.errors).collect();
    let mut sentences: Vec<String> = others.iter().filter_map(|group| sentence(group, is_listed, "")).collect();
    if !rest.is_empty() && !is_listed {
        let why = "for other reasons (`nixdag plan --format json` lists them)";
        sentences.push(format!("{}: {why}", attributes(&rest)));
    }
    for group in refused {
        let hint = group.kind.map(Refused::variable).and_then(|variable| Some((variable, hidden(variable)?)));
        let hint = hint
            .map(|(variable, flags)| format!(" (`{variable}` is set, but evaluation does not see it: add `{flags}`)"));
        sentences.extend(sentence(&group, is_listed, &hint.unwrap_or_default()));
    }
    sentences
}

/// One sentence about attributes that fail for the same reason, and the trace of the first of them.
fn sentence(group: &Group<EvalError>, is_listed: bool, hint: &str) -> Option<String> {
    let first = group.errors.first()?;
    if is_listed && hint.is_empty() && first.trace.is_empty() {
        return None;
    }
    let mut text = format!("{}: {}{hint}", attributes(&group.errors), group.why(|error| error.message.as_str()));
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
        errors.insert(0, EvalError { trace: vec!["… x".to_owned(), "  at y".to_owned()], ..error("b", "other") });
        assert_eq!(
            sentences(&errors, false, |_| None),
            [
                "7 attributes do not evaluate (`packages.a0`, `packages.a1`, `packages.a2`, `packages.a3`, `packages.a4` and 2 more): same",
                "attribute `packages.b` does not evaluate: other\n  … x\n    at y"
            ]
        );
        // The other one is in a list of all.
        assert_eq!(
            sentences(&errors, true, |_| None),
            ["attribute `packages.b` does not evaluate: other\n  … x\n    at y"]
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
        let most = sentences(&errors, false, flags);
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
        assert_eq!(sentences(&errors, true, flags), [most[1].as_str()]);
    }

    #[test]
    fn of_hundreds_of_messages_only_the_first_are_told() {
        let errors: Vec<_> = (0..900).map(|n| error(&format!("a{n}"), &format!("message {n}"))).collect();
        let most = sentences(&errors, false, |_| None);
        assert_eq!(most.len(), MAX_MESSAGES);
        assert!(most[MAX_MESSAGES - 1].starts_with("881 attributes do not evaluate (`packages.a19`, "), "{}", most[19]);
    }
}
