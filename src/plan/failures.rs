//! What of a selection fails before anything is built: attributes that do not evaluate, and targets that no executor builds.
//! In: a plan. Out: its [`Failure`]s, which a job of their own reports in a pipeline, and sentences for people.

use std::collections::BTreeMap;

use anyhow::Error;
use serde::{Deserialize, Serialize};

use super::{EvaluationError, Plan, SkipReason, Skipped};
use crate::attribute::AttributePath;
use crate::plural::counted;
use crate::printable::{printable, shortened};
use crate::target::Target;

/// Id and name of the job that reports them. A configuration has it only where there are any.
pub const JOB: &str = "evaluation";

/// Longest message in a report, in characters.
const MAX_MESSAGE: usize = 4_000;

/// How many attributes a sentence names.
const MAX_NAMED: usize = 5;

/// Why an attribute that was selected fails, other than by its build.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// It does not evaluate to a derivation.
    Evaluation,
    /// No executor builds it, or something that it needs.
    NoExecutor,
    /// Its closure is larger than `size_limits` allows, or of unknown size where that may not be.
    Size,
}

/// An attribute that was selected and that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The attribute.
    pub target: AttributePath,
    /// What kind of failure it is.
    pub cause: Cause,
    /// Why, bounded and safe to print.
    pub message: String,
    /// The command that shows it on somebody's own machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// Whether it is none at the base; none where that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new: Option<bool>,
}

/// Targets whose derivations cannot be read: an input may call anything its `drvPath`. `unreadable` are derivations, each with what is wrong.
pub fn unreadable(targets: &[Target], unreadable: &[(&str, Error)]) -> Vec<EvaluationError> {
    let why: BTreeMap<&str, String> = unreadable.iter().map(|(root, error)| (*root, format!("{error:#}"))).collect();
    let failure = |target: &Target| {
        let message = format!("its derivation cannot be read: {}", why.get(&*target.drv_path)?);
        Some(EvaluationError { target: target.attribute.clone(), message, new: None })
    };
    targets.iter().filter_map(failure).collect()
}

/// All failures of a plan, by cause and attribute.
pub fn of(plan: &Plan) -> Vec<Failure> {
    let failure = |target: &AttributePath, cause, message: &str, new| Failure {
        target: target.clone(),
        cause,
        message: shortened(message, MAX_MESSAGE).lines().map(printable).collect::<Vec<_>>().join("\n"),
        command: plan
            .flake
            .as_ref()
            .filter(|_| cause == Cause::Evaluation)
            .and_then(|flake| flake.evaluate_command(&printable(&target.to_string()))),
        new,
    };
    let errors = plan.errors.iter().filter(|error| !plan.may_fail(&error.target));
    let errors = errors.map(|error| failure(&error.target, Cause::Evaluation, &error.message, error.new));
    let lacking = lacking(plan).map(|skipped| {
        failure(&skipped.target, Cause::NoExecutor, skipped.place.as_deref().unwrap_or("no executor builds it"), None)
    });
    errors.chain(lacking).collect()
}

/// True where a plan has failures.
pub fn are_in(plan: &Plan) -> bool {
    plan.errors.iter().any(|error| !plan.may_fail(&error.target)) || lacking(plan).next().is_some()
}

/// Targets that no executor builds and that may not fail.
fn lacking(plan: &Plan) -> impl Iterator<Item = &Skipped> {
    let lacking = plan.skipped.iter().filter(|skipped| skipped.reason == SkipReason::NoExecutor);
    lacking.filter(|skipped| !plan.may_fail(&skipped.target))
}

/// A sentence about what fails and may, if there is any.
pub fn allowed(plan: &Plan) -> Option<String> {
    let lacking = plan.skipped.iter().filter(|skipped| skipped.reason == SkipReason::NoExecutor);
    let all = plan.errors.iter().map(|error| &error.target).chain(lacking.map(|skipped| &skipped.target));
    let named: Vec<String> = all
        .filter(|target| plan.may_fail(target))
        .map(|target| format!("`{}`", printable(&target.to_string())))
        .collect();
    let more = named.len().checked_sub(MAX_NAMED + 1).map(|more| format!(" and {} more", more + 1)).unwrap_or_default();
    let list = named.iter().take(MAX_NAMED).cloned().collect::<Vec<_>>().join(", ");
    (!named.is_empty()).then(|| format!("not built, which `allow_failure` allows: {list}{more}"))
}

impl Cause {
    /// As in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Cause::Evaluation => "evaluation",
            Cause::NoExecutor => "no-executor",
            Cause::Size => "size",
        }
    }
}

impl Failure {
    /// `` (new: the base has it) ``, behind the message, where that is so.
    pub fn remark(&self) -> &'static str {
        if self.new == Some(true) { " (new: not so at the base)" } else { "" }
    }
}

/// `2 attributes do not evaluate, 1 target has no executor`.
pub fn counts(failures: &[Failure]) -> String {
    let count = |cause| failures.iter().filter(|failure| failure.cause == cause).count();
    let mut parts = Vec::new();
    match count(Cause::Evaluation) {
        0 => {}
        1 => parts.push("1 attribute does not evaluate".to_owned()),
        count => parts.push(format!("{count} attributes do not evaluate")),
    }
    match count(Cause::NoExecutor) {
        0 => {}
        1 => parts.push("1 target has no executor".to_owned()),
        count => parts.push(format!("{count} targets have no executor")),
    }
    match count(Cause::Size) {
        0 => {}
        1 => parts.push("1 target is too large".to_owned()),
        count => parts.push(format!("{count} targets are too large")),
    }
    match failures.iter().filter(|failure| failure.new == Some(true)).count() {
        0 => {}
        count => parts.push(format!("{count} of these are new")),
    }
    parts.join(", ")
}

/// One sentence for each cause and message, in the order of the first attribute that has it. Messages that differ in their place alone
/// are one, with the first place.
pub fn sentences<'a>(failures: impl Iterator<Item = (&'a AttributePath, Cause, &'a str)>) -> Vec<String> {
    let mut groups: Vec<Group> = Vec::new();
    let mut positions: BTreeMap<(Cause, &str), usize> = BTreeMap::new();
    for (target, cause, message) in failures {
        let (text, place) = split_place(message);
        let at = *positions.entry((cause, text)).or_insert_with(|| {
            groups.push(Group { cause, text, place, elsewhere: false, targets: Vec::new() });
            groups.len() - 1
        });
        groups[at].elsewhere |= groups[at].place != place;
        groups[at].targets.push(target);
    }
    groups.iter().map(Group::sentence).collect()
}

/// Attributes that fail with the same words.
struct Group<'a> {
    cause: Cause,
    text: &'a str,
    place: Option<&'a str>,
    /// True where one of them fails at another place than the first.
    elsewhere: bool,
    targets: Vec<&'a AttributePath>,
}

impl Group<'_> {
    fn sentence(&self) -> String {
        let subject = subject(self.cause, &self.targets);
        let place = match (self.place, self.elsewhere) {
            (Some(place), true) => format!(" (at {place} and elsewhere)"),
            (Some(place), false) => format!(" (at {place})"),
            (None, _) => String::new(),
        };
        format!("{subject}: {}{place}", self.text)
    }
}

/// A message and the place at its end: `… (at flake.nix:57:11)`.
fn split_place(message: &str) -> (&str, Option<&str>) {
    let split = message.strip_suffix(')').and_then(|text| text.rsplit_once(" (at "));
    match split {
        Some((text, place)) if !place.contains(['(', ')', '\n']) => (text, Some(place)),
        _ => (message, None),
    }
}

/// `` attribute `a` does not evaluate `` or `` 7 attributes do not evaluate (`a`, `b` and 5 more) ``.
pub fn subject(cause: Cause, targets: &[&AttributePath]) -> String {
    let shown = |target: &&AttributePath| format!("`{}`", printable(&target.to_string()));
    let (one, verb, many, verbs) = match cause {
        Cause::Evaluation => ("attribute", "does not evaluate", "attributes", "do not evaluate"),
        Cause::NoExecutor => ("target", "has no executor", "targets", "have no executor"),
        Cause::Size => ("target", "is too large", "targets", "are too large"),
    };
    if let [target] = targets {
        return format!("{one} {} {verb}", shown(target));
    }
    let named: Vec<String> = targets.iter().take(MAX_NAMED).map(shown).collect();
    let more = match targets.len() - named.len() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("{} {many} {verbs} ({}{more})", targets.len(), named.join(", "))
}

/// A sentence about the targets that no executor builds, if there are any: a configuration does not list them.
pub fn without_executor(plan: &Plan) -> Option<String> {
    let mut lacking = lacking(plan);
    let first = lacking.next()?;
    let said = first.place.as_ref().map(|place| format!(": {place}")).unwrap_or_default();
    let more = match lacking.count() {
        0 => String::new(),
        more => format!(" (and {}: `nixdag plan` says why)", counted(more, "more target")),
    };
    Some(printable(&format!("no executor builds target `{}`{said}{more}", first.target)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::EvaluationError;

    fn attribute(name: &str) -> AttributePath {
        ["packages", name].into_iter().collect()
    }

    #[test]
    fn equal_messages_are_one_sentence() {
        let mut errors: Vec<_> = (0..7).map(|n| (attribute(&format!("a{n}")), "same")).collect();
        errors.insert(3, (attribute("b"), "other"));
        assert_eq!(
            sentences(errors.iter().map(|(target, message)| (target, Cause::Evaluation, *message))),
            [
                "7 attributes do not evaluate (`packages.a0`, `packages.a1`, `packages.a2`, `packages.a3`, `packages.a4` and 2 more): same",
                "attribute `packages.b` does not evaluate: other"
            ]
        );
    }

    #[test]
    fn messages_that_differ_in_their_place_alone_are_one_sentence() {
        let said = |messages: [&str; 2]| {
            let targets = [attribute("a"), attribute("b")];
            sentences(targets.iter().zip(messages).map(|(target, message)| (target, Cause::Evaluation, message)))
        };
        let both = "2 attributes do not evaluate (`packages.a`, `packages.b`): broken";
        assert_eq!(said(["broken (at f.nix:1:2)"; 2]), [format!("{both} (at f.nix:1:2)")]);
        let elsewhere = format!("{both} (at f.nix:1:2 and elsewhere)");
        assert_eq!(said(["broken (at f.nix:1:2)", "broken (at f.nix:3:4)"]), [elsewhere]);
        assert_eq!(said(["broken (at f.nix:1:2)", "other (at f.nix:1:2)"]).len(), 2);
        let quoted = "broken (at home) (again)";
        assert_eq!(said([quoted; 2]), [format!("{both} (at home) (again)")]);
    }

    #[test]
    fn what_does_not_evaluate_and_what_has_no_executor_fails_with_a_bounded_message() {
        let skipped = |name, reason| Skipped { target: attribute(name), derivation: None, reason, place: None };
        let error =
            |name, message: &str, new| EvaluationError { target: attribute(name), message: message.into(), new };
        let plan = Plan {
            errors: vec![error("a", &"x".repeat(10_000), Some(true)), error("b", "two\nlines\u{1b}", None)],
            skipped: vec![skipped("c", SkipReason::NoExecutor), skipped("d", SkipReason::Available)],
            ..Plan::default()
        };
        let failures = of(&plan);
        assert!(are_in(&plan) && !are_in(&Plan::default()));
        let messages: Vec<usize> = failures.iter().map(|failure| failure.message.chars().count()).collect();
        assert_eq!(messages, [MAX_MESSAGE + 1, 15, 21], "{failures:?}");
        assert_eq!(counts(&failures), "2 attributes do not evaluate, 1 target has no executor, 1 of these are new");
    }
}
