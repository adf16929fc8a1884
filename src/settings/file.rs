//! `nixdag.yml`: what a repository says once instead of on every command line. In: the file's text. Out: a [`SettingsFile`], in
//! which everything may be missing, or an error with the place at fault.
//!
//! Nothing in the file is trusted: its size is bounded, and the YAML reader bounds nesting and the repetition of aliases.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::iter;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, ensure};
use serde_json::{Value, json};

use super::additions::{AdditionKeys, FinalKeys};
use super::caches::AvailabilityKeys;
use super::change::ChangeKeys;
use super::costs::{CostsEntry, LimitsEntry};
use super::delivery::{BuilderKeys, HandOffKeys, LogKeys, PushKeys, SigningKeys, StoreKeys};
use super::downloads::DownloadKeys;
use super::evaluation::{EvaluationEntry, EvaluationKeys};
use super::executor_entry::ExecutorEntry;
use super::final_entry::{FinalJobEntry, check_name};
use super::grants::Grants;
use super::machines::MachineKeys;
use super::option::{self, OptionGroup};
use super::planning::PlanningKeys;
use super::provider::ProviderKeys;
use super::records::RecordKeys;
use super::rule_entry::RuleEntry;
use super::schema::Schema;
use super::selection::{SelectionKeys, SystemList};
use super::yaml::mapping;
use super::yaml_message::Fault;
use crate::fleet::Fleet;
use crate::nix::system;
use crate::plan::final_job::FinalJobRequest;
use crate::plan::rules::{Condition, Rule};
use crate::printable::printable;
use crate::provider::Provider;
use crate::yaml::{Places, check_nesting, places};

/// Name of the file in a repository, or in the folder of a provider's configuration there.
pub const NAME: &str = "nixdag.yml";

/// What people call it who do not get it read, in the repository and in a provider's folder.
const MISNAMED: [&str; 3] = ["nixdag.yaml", ".nixdag.yml", ".nixdag.yaml"];

/// Where the schema of the file is in nixdag's own repository.
pub const SCHEMA: &str = "src/settings/nixdag.schema.json";

/// Longest file that is read, in bytes.
pub const MAX_SIZE: u64 = 128 << 10;

/// Brackets that may be open at once.
const MAX_BRACKETS: usize = 256;

/// All options that flags, this file or the orb set, by group.
pub const GROUPS: &[OptionGroup] = &[
    SelectionKeys::GROUP,
    EvaluationKeys::GROUP,
    AvailabilityKeys::GROUP,
    ChangeKeys::GROUP,
    PlanningKeys::GROUP,
    MachineKeys::GROUP,
    HandOffKeys::GROUP,
    StoreKeys::GROUP,
    SigningKeys::GROUP,
    PushKeys::GROUP,
    LogKeys::GROUP,
    BuilderKeys::GROUP,
    RecordKeys::GROUP,
    AdditionKeys::GROUP,
    FinalKeys::GROUP,
    DownloadKeys::GROUP,
    ProviderKeys::GROUP,
];

/// What the file says; none for what it does not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SettingsFile {
    /// What is built.
    pub selection: SelectionKeys,
    /// How the flake is evaluated.
    pub evaluation: Option<EvaluationEntry>,
    /// What exists.
    pub availability: AvailabilityKeys,
    /// What the change is compared with.
    pub change: ChangeKeys,
    /// How derivations become jobs.
    pub planning: PlanningKeys,
    /// Where jobs run.
    pub machines: MachineKeys,
    /// How results reach the jobs that need them.
    pub handoff: HandOffKeys,
    /// Where results are kept.
    pub stores: StoreKeys,
    /// Whose signatures count.
    pub signing: SigningKeys,
    /// Where jobs push.
    pub push: PushKeys,
    /// What jobs print.
    pub logs: LogKeys,
    /// What is put beside the generated configuration.
    pub additions: AdditionKeys,
    /// Jobs that run after others.
    pub finals: FinalKeys,
    /// The CI system.
    pub provider: ProviderKeys,
    /// Where the rules are.
    rule_places: Places,
    /// Where the final jobs are.
    final_places: Places,
    /// Where the attributes are that may fail.
    failure_places: Places,
    /// Where the systems are.
    system_places: Places,
    /// Where limits of sizes are.
    size_places: Places,
    /// The file's text, for the place of what only later turns out to be wrong.
    text: String,
}

mapping!(SettingsFile, "a mapping of settings", {
    "evaluation" => evaluation: "How the flake is evaluated",
}, groups {
    selection: SelectionKeys,
    availability: AvailabilityKeys,
    change: ChangeKeys,
    planning: PlanningKeys,
    machines: MachineKeys,
    handoff: HandOffKeys,
    stores: StoreKeys,
    signing: SigningKeys,
    push: PushKeys,
    logs: LogKeys,
    additions: AdditionKeys,
    finals: FinalKeys,
    provider: ProviderKeys,
}, refusal key_below);

/// Says where a key belongs that only what is below other keys has, or that it is a flag alone.
fn key_below(key: &str) -> Option<String> {
    let places = [
        (RuleEntry::schema(), "an entry of `rules`"),
        (ExecutorEntry::schema(), "a machine of `executors`"),
        (FinalJobEntry::schema(), "an entry of `final`"),
        (EvaluationEntry::schema(), "`evaluation`"),
        (CostsEntry::schema(), "`costs`"),
        (LimitsEntry::schema(), "`limits`"),
    ];
    match places.into_iter().find(|(schema, _)| schema["properties"].get(key).is_some()) {
        Some((_, place)) => Some(format!("`{key}` is not a key of the whole file: it belongs in {place}")),
        None => GROUPS.iter().find_map(|group| option::refusal(group.options, key)),
    }
}

impl SettingsFile {
    /// Reads a file.
    pub fn read(path: &Path) -> Result<Self> {
        let mut bytes = Vec::new();
        File::open(path)
            .and_then(|file| file.take(MAX_SIZE + 1).read_to_end(&mut bytes))
            .with_context(|| format!("cannot read the settings `{}`", path.display()))?;
        Self::from_bytes(bytes).map_err(|error| {
            let name = shown(path);
            match error.downcast_ref::<Fault>() {
                Some(fault) => anyhow!("{}", fault.in_file(&name)),
                None => error.context(format!("cannot use the settings `{name}`")),
            }
        })
    }

    /// Reads what a file holds.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self> {
        ensure!(bytes.len() as u64 <= MAX_SIZE, "it has more than {MAX_SIZE} bytes");
        Self::parse(&String::from_utf8(bytes).map_err(|_| anyhow!("it is not UTF-8"))?)
    }

    /// Reads a file's text.
    pub fn parse(text: &str) -> Result<Self> {
        check_nesting(text, MAX_BRACKETS)?;
        let file: Option<Self> = serde_yaml::from_str(text).map_err(|error| Fault::new(&error, text))?;
        let mut file = file.unwrap_or_default();
        let find = |is_there: bool, key| if is_there { places(text, key) } else { Places::default() };
        file.rule_places = find(file.machines.rules.is_some(), "rules");
        file.final_places = find(file.finals.final_jobs.is_some(), "final");
        file.failure_places = find(file.selection.allow_failure.is_some(), "allow_failure");
        file.system_places = find(file.selection.system.is_some(), "systems");
        file.size_places = find(file.change.size_limits.is_some(), "size_limits");
        text.clone_into(&mut file.text);
        file.final_requests(None)?;
        Ok(file)
    }

    /// The whole JSON schema, as the repository has it.
    pub fn schema_text() -> String {
        let mut schema = Self::schema();
        if let Value::Object(schema) = &mut schema {
            schema.insert("$schema".into(), "http://json-schema.org/draft-07/schema#".into());
            schema.insert("title".into(), "nixdag.yml".into());
            schema.insert("description".into(), "Settings of nixdag for a repository".into());
            // An empty file says nothing.
            schema.insert("type".into(), json!(["object", "null"]));
        }
        format!("{schema:#}\n")
    }

    /// The file of a folder, where there is one.
    pub fn find(folder: &Path) -> Option<PathBuf> {
        Self::places(folder).find(|path| path.is_file())
    }

    /// Where the file of a folder may be, in the order in which it is looked for.
    pub fn places(folder: &Path) -> impl Iterator<Item = PathBuf> {
        folders(folder).map(|place| place.join(NAME))
    }

    /// The other files of a folder that could be the settings file, and are not read.
    pub fn find_others(folder: &Path) -> Vec<PathBuf> {
        folders(folder).map(|place| place.join(NAME)).filter(|path| path.is_file()).skip(1).collect()
    }

    /// A file of a folder that looks like one and is none.
    pub fn find_misnamed(folder: &Path) -> Option<PathBuf> {
        folders(folder).flat_map(|place| MISNAMED.map(|name| place.join(name))).find(|path| path.is_file())
    }

    /// A key in words, behind its place in the file: ``nixdag.yml:3:1: `handoff` ``.
    pub fn key_name(&self, key: &str, file: Option<&Path>) -> String {
        let name = format!("`{key}`");
        file.map_or_else(
            || format!("{name} in nixdag.yml"),
            |file| behind(places(&self.text, key).key.as_ref(), file, &name),
        )
    }

    /// A rule in words, by its index, behind its place in the file: `nixdag.yml:3:5: rule 1`.
    pub fn rule_name(&self, at: usize, file: &Path) -> String {
        behind(self.rule_places.entries.get(at), file, &format!("rule {}", at + 1))
    }

    /// What messages call each entry of `allow_failure`: `nixdag.yml:3:5: \`allow_failure\``.
    pub fn failure_names(&self, file: &Path) -> Vec<String> {
        let count = self.selection.allow_failure.as_ref().map_or(0, |list| list.0.len());
        (0..count).map(|at| behind(self.failure_places.entries.get(at), file, "`allow_failure`")).collect()
    }

    /// A sentence for each system that looks like a slip.
    pub fn doubtful_systems(&self, file: &Path) -> Vec<String> {
        let Some(SystemList::Listed(systems)) = &self.selection.system else { return Vec::new() };
        let doubt = |(at, system): (usize, &String)| {
            let usual = system::meant(system)?;
            let place = self.system_places.entries.get(at);
            Some(behind(place, file, &format!("`{}` is not a usual system{usual}", printable(system))))
        };
        systems.iter().enumerate().filter_map(doubt).collect()
    }

    /// The rules, in order; `file` is where they are. Adds warnings.
    pub fn rules(&self, file: &Path, fleet: &Fleet, warnings: &mut Vec<String>) -> Result<Vec<Rule>> {
        let contexts = self.contexts();
        let entries = self.machines.rules.iter().flat_map(|list| &list.0).enumerate();
        let rules: Vec<Rule> = entries
            .map(|(at, entry)| entry.rule(&self.rule_name(at, file), fleet, contexts.as_deref(), warnings))
            .collect::<Result<_>>()?;
        let general = rules.iter().position(|rule| rule.condition == Condition::default());
        if let Some(at) = general.filter(|at| at + 1 < rules.len()) {
            warnings.push(format!(
                "{} never applies: rule {} matches everything (put that one last)",
                self.rule_name(at + 1, file),
                at + 1
            ));
        }
        Ok(rules)
    }

    /// The only contexts that jobs may have, where that is said.
    pub fn contexts(&self) -> Option<Vec<String>> {
        self.machines.contexts.as_ref().map(|names| names.0.iter().map(|name| name.0.clone()).collect())
    }

    /// What packages may choose.
    pub fn grants(&self) -> Grants {
        let MachineKeys { executors, package_executors, package_resource_classes: classes, .. } = &self.machines;
        Grants {
            declared: executors.iter().flat_map(|all| &all.0).map(|(name, _)| name.clone()).collect(),
            executors: package_executors.iter().flat_map(|all| &all.0).map(|name| name.0.clone()).collect(),
            classes: classes.iter().flat_map(|all| &all.0).map(|name| name.0.clone()).collect(),
            contexts: self.contexts().into_iter().flatten().collect(),
        }
    }

    /// The final jobs, checked as far as the file alone tells. Where it is known which `file` they are in, they have their places.
    pub fn final_requests(&self, file: Option<&Path>) -> Result<Vec<FinalJobRequest>> {
        let mut names = BTreeSet::new();
        let mut request = |at: usize, entry: &FinalJobEntry| {
            let name = entry.name.as_deref().with_context(|| format!("final job {} has no `name`", at + 1))?;
            check_name(name).with_context(|| format!("final job {}", at + 1))?;
            ensure!(names.insert(name.to_lowercase()), "two final jobs have the name `{name}`");
            entry.request(name).with_context(|| format!("final job `{name}`"))
        };
        let entries = self.finals.final_jobs.iter().flat_map(|list| &list.0).enumerate();
        entries
            .map(|(at, entry)| {
                let place = self.final_places.entries.get(at);
                let request = request(at, entry).map_err(|error| Fault::at(&error, place.copied()))?;
                Ok(FinalJobRequest { place: named(place, file), ..request })
            })
            .chain(self.change.size_limits.as_ref().map(|limits| {
                let Places { key, keys, .. } = &self.size_places;
                let keys: Vec<_> = keys.iter().map(|(name, place)| (&**name, named(Some(place), file))).collect();
                Ok(FinalJobRequest { place: named(key.as_ref(), file), ..limits.request(&keys) })
            }))
            .collect()
    }
}

/// A place in a file, as compilers name it: `nixdag.yml:3:5`.
fn named(place: Option<&(usize, usize)>, file: Option<&Path>) -> Option<String> {
    let (line, column) = place?;
    Some(format!("{}:{line}:{column}", shown(file?)))
}

/// A text behind its place in a file.
fn behind(place: Option<&(usize, usize)>, file: &Path, text: &str) -> String {
    named(place, Some(file)).map_or_else(|| text.to_owned(), |place| format!("{place}: {text}"))
}

/// A file's name in messages.
fn shown(file: &Path) -> String {
    printable(&file.strip_prefix(".").unwrap_or(file).to_string_lossy())
}

/// Where the file is looked for, in this order.
fn folders(repository: &Path) -> impl Iterator<Item = PathBuf> {
    let of_providers = Provider::all().map(|provider| repository.join(provider.folder()));
    iter::once(repository.to_owned()).chain(of_providers)
}
