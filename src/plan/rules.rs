//! Rules: where derivations are built, and how, as the settings say. In: what is known of one derivation. Out: the [`JobSettings`] of
//! the first rule that matches it.

use std::collections::BTreeMap;

use super::problem::Millis;
use crate::attribute::AttributePath;
use crate::pattern::Pattern;

/// One entry under `rules`: what it is for, and what it says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rule {
    /// Which derivations it is for.
    pub condition: Condition,
    /// What happens with them.
    pub settings: JobSettings,
}

/// What a derivation has to be; everything that is given has to hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Condition {
    /// It is a target under an attribute that one of these patterns means.
    pub attribute: Option<Vec<Pattern>>,
    /// One of these globs matches its name, e.g. `hello-2.10`.
    pub name: Option<Vec<Pattern>>,
    /// It is built on one of these systems.
    pub system: Option<Vec<String>>,
    /// It requires all of these features.
    pub features: Vec<String>,
    /// Building it is expected to take at least this long.
    pub least: Option<Millis>,
    /// Building it is expected to take at most this long.
    pub most: Option<Millis>,
}

/// Where and how something is to be built; what is not given is as it would be anyway.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct JobSettings {
    /// Name of the executor.
    pub executor: Option<String>,
    /// Size of the machine, or `auto`.
    pub resource_class: Option<String>,
    /// What the machine starts from.
    pub image: Option<String>,
    /// Seconds after which a build is ended.
    pub timeout: Option<u32>,
    /// Contexts of the job; none where nothing is said, which is not the same as an empty list.
    pub context: Option<Vec<String>>,
    /// How often a job that fails is tried again.
    pub retries: Option<u32>,
    /// Variables of the job.
    pub environment: BTreeMap<String, String>,
    /// It shares its job with nothing that another job could build.
    pub never_group: bool,
}

/// What is known of one derivation.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The attributes that it is a target under.
    pub attributes: &'a [&'a AttributePath],
    /// Its name.
    pub name: &'a str,
    /// Its system.
    pub system: &'a str,
    /// What it requires of its machine.
    pub features: &'a [String],
    /// How long building it is expected to take.
    pub duration: Millis,
}

impl Condition {
    /// True for a derivation that the rule is for.
    pub fn holds(&self, subject: &Subject) -> bool {
        let any = |patterns: &Option<Vec<Pattern>>, matches: &dyn Fn(&Pattern) -> bool| {
            patterns.as_ref().is_none_or(|patterns| patterns.iter().any(matches))
        };
        any(&self.attribute, &|pattern| subject.attributes.iter().any(|path| pattern.matches_at_or_above(path.names())))
            && any(&self.name, &|pattern| pattern.matches_name(subject.name))
            && self.system.as_ref().is_none_or(|systems| systems.iter().any(|system| system == subject.system))
            && self.features.iter().all(|feature| subject.features.contains(feature))
            && self.least.is_none_or(|least| subject.duration >= least)
            && self.most.is_none_or(|most| subject.duration <= most)
    }

    /// True where it asks for a name or a feature: what it means is then no bystander.
    pub fn is_specific(&self) -> bool {
        self.name.is_some() || !self.features.is_empty()
    }
}

impl JobSettings {
    /// These settings, and those of others where these leave something open.
    pub fn or(mut self, others: &Self) -> Self {
        self.executor = self.executor.or_else(|| others.executor.clone());
        self.resource_class = self.resource_class.or_else(|| others.resource_class.clone());
        self.image = self.image.or_else(|| others.image.clone());
        self.timeout = self.timeout.or(others.timeout);
        self.context = self.context.or_else(|| others.context.clone());
        self.retries = self.retries.or(others.retries);
        for (name, value) in &others.environment {
            self.environment.entry(name.clone()).or_insert_with(|| value.clone());
        }
        self.never_group |= others.never_group;
        self
    }

    /// True where they say nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What is passed on to derivations that nothing else needs: the machine, but neither secrets nor solitude.
    pub fn inherited(&self) -> Self {
        Self { context: None, never_group: false, ..self.clone() }
    }
}

/// The first rule that is for a derivation, with its position.
pub fn first<'r>(rules: &'r [Rule], subject: &Subject) -> Option<(usize, &'r Rule)> {
    rules.iter().enumerate().find(|(_, rule)| rule.condition.holds(subject))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_rule_that_holds_in_every_part_wins() {
        let patterns = |texts: &[&str]| Some(texts.iter().map(|text| Pattern::parse(text).unwrap()).collect());
        let rule = |condition| Rule { condition, settings: JobSettings::default() };
        let rules = [
            rule(Condition { name: patterns(&["linux-*"]), least: Some(600_000), ..Condition::default() }),
            rule(Condition { attribute: patterns(&["packages.*.{a,b}"]), ..Condition::default() }),
            rule(Condition { features: vec!["kvm".into()], system: Some(vec!["x".into()]), ..Condition::default() }),
            rule(Condition { most: Some(1000), ..Condition::default() }),
        ];
        let path: AttributePath = ["packages", "x", "a"].into_iter().collect();
        let kvm = ["kvm".to_owned()];
        let subject = Subject { attributes: &[], name: "linux-6", system: "x", features: &[], duration: 600_000 };
        let of = |subject: Subject| first(&rules, &subject).map(|(at, _)| at);
        assert_eq!(of(subject), Some(0));
        assert_eq!(of(Subject { duration: 599_999, attributes: &[&path], ..subject }), Some(1));
        assert_eq!(of(Subject { name: "y", features: &kvm, ..subject }), Some(2));
        assert_eq!(of(Subject { name: "y", features: &kvm, system: "z", ..subject }), None);
        assert_eq!(of(Subject { name: "y", duration: 1000, ..subject }), Some(3));
    }

    #[test]
    fn wishes_are_filled_up_and_secrets_are_not_inherited() {
        let ours = JobSettings { executor: Some("big".into()), context: Some(Vec::new()), ..JobSettings::default() };
        let theirs = JobSettings {
            executor: Some("small".into()),
            timeout: Some(5),
            context: Some(vec!["secrets".into()]),
            never_group: true,
            ..JobSettings::default()
        };
        let both = ours.or(&theirs);
        assert_eq!(
            (both.executor.as_deref(), both.timeout, both.context.clone()),
            (Some("big"), Some(5), Some(Vec::new()))
        );
        let passed = theirs.inherited();
        assert_eq!((passed.context, passed.never_group, passed.timeout), (None, false, Some(5)));
    }
}
