//! `rules` of `nixdag.yml`. In: the mappings, the executors. Out: [`Rule`]s whose names all mean something.

use anyhow::{Context, Result, bail, ensure};

use super::values::{Duration, Number, Variables};
use super::words::{
    AttributePattern, ClassName, ContextName, ExecutorName, Feature, ImageName, NameGlob, One, SystemName, Words,
};
use super::yaml::{Expected, mapping};
use crate::fleet::Fleet;
use crate::fleet::executor::{self, AUTO, COMMON_FEATURES};
use crate::nearest::meant;
use crate::plan::options::MAX_RETRIES;
use crate::plan::rules::{Condition, JobSettings, Rule};

/// An entry under `rules`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuleEntry {
    /// `match`
    pub condition: Option<ConditionEntry>,
    /// `executor`
    pub executor: Option<One<ExecutorName>>,
    /// `resource_class`
    pub resource_class: Option<One<ClassName>>,
    /// `image`
    pub image: Option<One<ImageName>>,
    /// `timeout`
    pub timeout: Option<Duration>,
    /// `context`
    pub context: Option<Words<ContextName>>,
    /// `retries`
    pub retries: Option<Number<0, MAX_RETRIES>>,
    /// `environment`
    pub environment: Option<Variables>,
    /// `never_group`
    pub never_group: Option<bool>,
}

mapping!(RuleEntry, "a mapping with `match` and what is to happen", {
    "match" => condition: "Which derivations the rule applies to: all given conditions must match; without any, it applies to all",
    "executor" => executor: "The executor to build on",
    "resource_class" => resource_class: "Size of the machine; auto for the size that fits what is built",
    "image" => image: "Docker image, VM image or Xcode version",
    "timeout" => timeout: "Seconds, or a time such as 30m, after which a build is ended",
    "context" => context: "Contexts whose variables the job gets",
    "retries" => retries: "How often what failed for a reason that may go away (network, lost daemon, killed beside others) is tried again",
    "environment" => environment: "Variables of the job",
    "never_group" => never_group: "Whether a target shares its job with nothing that another job can build",
}, schema {
    "minProperties": 1,
    "not": { "required": ["match"], "maxProperties": 1 },
    "if": { "required": ["match"], "properties": { "match": { "required": ["seconds"] } } },
    "then": { "propertyNames": { "enum": ["match", "resource_class", "never_group"] } }
}, check RuleEntry::check);

impl Expected for RuleEntry {
    const PLURAL: &'static str = "rules";
}

/// What stands under `match`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConditionEntry {
    /// `attribute`
    pub attribute: Option<Words<AttributePattern>>,
    /// `name`
    pub name: Option<Words<NameGlob>>,
    /// `system`
    pub system: Option<Words<SystemName>>,
    /// `features`
    pub features: Option<Words<Feature>>,
    /// `seconds`
    pub seconds: Option<SecondsEntry>,
}

mapping!(ConditionEntry, "a mapping of what derivations have to be", {
    "attribute" => attribute: "They are targets, and one of these patterns matches their attribute",
    "name" => name: "One of these globs matches their name, e.g. linux-*",
    "system" => system: "They are built on one of these systems",
    "features" => features: "They require all of these features (requiredSystemFeatures)",
    "seconds" => seconds: "How long building one of them is expected to take",
}, schema { "minProperties": 1 });

/// What stands under `seconds`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SecondsEntry {
    /// `min`
    pub least: Option<Number<0, { u32::MAX }>>,
    /// `max`
    pub most: Option<Number<0, { u32::MAX }>>,
}

mapping!(SecondsEntry, "a mapping with `min`, `max` or both, in seconds", {
    "min" => least: "At least this many seconds",
    "max" => most: "At most this many seconds",
}, schema { "minProperties": 1 }, check SecondsEntry::check);

impl SecondsEntry {
    fn check(&self) -> Result<()> {
        let (least, most) = (self.least.map(|number| number.0), self.most.map(|number| number.0));
        ensure!(least.is_some() || most.is_some(), "`seconds` needs `min` or `max`");
        if let (Some(least), Some(most)) = (least, most) {
            ensure!(least <= most, "nothing takes at least {least} and at most {most} seconds");
        }
        Ok(())
    }
}

impl RuleEntry {
    fn check(&self) -> Result<()> {
        ensure!(!self.settings().is_empty(), "the rule sets nothing: give it e.g. `executor` or `resource_class`");
        ensure!(
            self.condition != Some(ConditionEntry::default()),
            "`match` is empty: leave it out if the rule applies to everything"
        );
        let has_seconds = self.condition.as_ref().is_some_and(|condition| condition.seconds.is_some());
        let harmless = ["resource_class", "never_group"];
        let set = [
            ("executor", self.executor.is_some()),
            ("image", self.image.is_some()),
            ("timeout", self.timeout.is_some()),
            ("context", self.context.is_some()),
            ("retries", self.retries.is_some()),
            ("environment", self.environment.is_some()),
        ];
        // Whoever can write a cache of the CI would choose secrets and machines, and end builds.
        if let Some((key, _)) = set.iter().find(|(_, is_set)| has_seconds && *is_set) {
            bail!(
                "a rule with `seconds` cannot set `{key}`: how long a build is expected to take is read from records, which other branches may have written; it can set {}",
                harmless.map(|key| format!("`{key}`")).join(" and ")
            );
        }
        Ok(())
    }

    fn settings(&self) -> JobSettings {
        JobSettings {
            executor: self.executor.as_ref().map(|name| name.0.0.clone()),
            resource_class: self.resource_class.as_ref().map(|name| name.0.0.clone()),
            image: self.image.as_ref().map(|name| name.0.0.clone()),
            timeout: self.timeout.map(|time| time.0),
            context: self.context.as_ref().map(|names| names.0.iter().map(|name| name.0.clone()).collect()),
            retries: self.retries.map(|number| number.0),
            environment: self.environment.clone().unwrap_or_default().0,
            never_group: self.never_group.unwrap_or_default(),
        }
    }

    fn condition(&self) -> Condition {
        let Some(entry) = &self.condition else { return Condition::default() };
        let millis = |number: Number<0, { u32::MAX }>| u64::from(number.0) * 1000;
        let seconds = entry.seconds.clone().unwrap_or_default();
        Condition {
            attribute: entry
                .attribute
                .as_ref()
                .map(|patterns| patterns.0.iter().map(|pattern| pattern.0.meant()).collect()),
            name: entry.name.as_ref().map(|globs| globs.0.iter().map(|glob| glob.0.clone()).collect()),
            system: entry.system.as_ref().map(|names| names.0.iter().map(|name| name.0.clone()).collect()),
            features: entry.features.iter().flat_map(|names| &names.0).map(|name| name.0.clone()).collect(),
            least: seconds.least.map(millis),
            most: seconds.most.map(millis),
        }
    }

    /// The rule, of this name in messages. `contexts` are the only ones that it may name. Adds warnings.
    pub fn rule(
        &self,
        name: &str,
        fleet: &Fleet,
        contexts: Option<&[String]>,
        warnings: &mut Vec<String>,
    ) -> Result<Rule> {
        let settings = self.settings();
        if let Some(executor) = &settings.executor {
            executor::find(&fleet.executors, executor).with_context(|| name.to_owned())?;
        }
        let denied = |context: &&String| contexts.is_some_and(|allowed| !allowed.contains(context));
        if let Some(context) = settings.context.iter().flatten().find(denied) {
            bail!("{name}: context `{}` is not among `contexts`", context.escape_debug());
        }
        let rule = Rule { condition: self.condition(), settings };
        warnings.extend(doubts(&rule, fleet).into_iter().map(|doubt| format!("{name}: {doubt}")));
        Ok(rule)
    }
}

/// Sentences about what a rule names and neither the provider nor an executor has.
fn doubts(rule: &Rule, fleet: &Fleet) -> Vec<String> {
    let meant = |name: &str, known: &[&str]| meant(name, known.iter().copied());
    let executors = &fleet.executors;
    let mut doubts = Vec::new();
    let systems: Vec<&str> = executors.iter().flat_map(|executor| &executor.systems).map(String::as_str).collect();
    for system in rule.condition.system.iter().flatten().filter(|system| !executors.iter().any(|e| e.builds(system))) {
        doubts.push(format!("no executor builds system `{system}`{}", meant(system, &systems)));
    }
    let declared = executors.iter().flat_map(|executor| &executor.features).map(String::as_str);
    let features: Vec<&str> = declared.chain(COMMON_FEATURES).collect();
    for feature in rule.condition.features.iter().filter(|feature| !features.contains(&feature.as_str())) {
        doubts.push(format!("no executor offers feature `{feature}`{}", meant(feature, &features)));
    }
    let class = rule.settings.resource_class.as_deref();
    if let Some(class) = class.filter(|class| *class != AUTO && !fleet.offers.is_known(class)) {
        doubts.push(format!("resource class `{class}` is not one that nixdag knows{}", fleet.offers.hint(class)));
    }
    doubts
}
