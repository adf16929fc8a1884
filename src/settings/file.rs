//! `nixdag.yml`: what a repository says once instead of on every command line. In: the file's text. Out: a [`SettingsFile`], in
//! which everything may be missing, or an error with the place at fault.
//!
//! Nothing in the file is trusted: its size is bounded, and the YAML reader bounds nesting and the repetition of aliases.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::iter;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail, ensure};
use serde::Deserialize;
use serde_json::{Value, json};

use super::caches::CacheEntry;
use super::change::FileGlobs;
use super::costs::{CostsEntry, LimitsEntry};
use super::evaluation::EvaluationEntry;
use super::executor_entry::Executors;
use super::final_entry::{FinalJobEntry, check_name};
use super::push::DestinationEntry;
use super::rule_entry::RuleEntry;
use super::schema::Schema;
use super::words::{AttributePattern, ContextName, Count, One, Words};
use super::yaml::{self, List, OneOrMore, Texts, mapping};
use super::yaml_message;
use crate::affected::Unaffected;
use crate::delivery::{HandOffKind, OnPushFailure, Reuse};
use crate::fleet::Fleet;
use crate::nix::signature::PublicKey;
use crate::pattern::Pattern;
use crate::plan::final_job::FinalJobRequest;
use crate::plan::rules::{Condition, Rule};
use crate::provider::Provider;
use crate::secret::VariableName;
use crate::yaml::check_nesting;

/// Name of the file in a repository, or in the folder of a provider's configuration there.
const NAME: &str = "nixdag.yml";

/// What people call it who do not get it read, in the repository and in a provider's folder.
const MISNAMED: [&str; 3] = ["nixdag.yaml", ".nixdag.yml", ".nixdag.yaml"];

/// Longest file that is read, in bytes.
const MAX_SIZE: u64 = 128 << 10;

/// Brackets that may be open at once.
const MAX_BRACKETS: usize = 256;

/// What the file says; none for what it does not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SettingsFile {
    /// `select`
    pub select: Option<List<One<AttributePattern>>>,
    /// `exclude`
    pub exclude: Option<List<One<AttributePattern>>>,
    /// `systems`
    pub systems: Option<SystemList>,
    /// `handoff`
    pub handoff: Option<HandOffKind>,
    /// `cache`
    pub cache: Option<String>,
    /// `caches`
    pub caches: Option<List<CacheEntry>>,
    /// `reuse`
    pub reuse: Option<Reuse>,
    /// `default_branch`
    pub default_branch: Option<String>,
    /// `signing_key_variable`
    pub signing_key_variable: Option<One<VariableName>>,
    /// `signing_public_keys`
    pub signing_public_keys: Option<List<One<PublicKey>>>,
    /// `base`
    pub base: Option<String>,
    /// `unaffected`
    pub unaffected: Option<Unaffected>,
    /// `ignore`
    pub ignore: Option<FileGlobs>,
    /// `push`
    pub push: Option<OneOrMore<DestinationEntry>>,
    /// `push_credentials`
    pub push_credentials: Option<List<One<VariableName>>>,
    /// `push_failure`
    pub push_failure: Option<OnPushFailure>,
    /// `concurrency`
    pub concurrency: Option<Count>,
    /// `costs`
    pub costs: Option<CostsEntry>,
    /// `limits`
    pub limits: Option<LimitsEntry>,
    /// `evaluation`
    pub evaluation: Option<EvaluationEntry>,
    /// `merge`
    pub merge: Option<List<String>>,
    /// `parameters_from`
    pub parameters_from: Option<String>,
    /// `pipeline_parameters`
    pub pipeline_parameters: Option<List<String>>,
    /// `executors`
    pub executors: Option<Executors>,
    /// `rules`
    pub rules: Option<List<RuleEntry>>,
    /// `contexts`
    pub contexts: Option<Words<ContextName>>,
    /// `final`
    pub final_jobs: Option<List<FinalJobEntry>>,
}

mapping!(SettingsFile, "a mapping of settings", {
    "select" => select: "Attributes to build: patterns such as packages.*.* or nixosConfigurations.*",
    "exclude" => exclude: "Attributes to leave out, with all below them",
    "systems" => systems: "Systems whose attributes to take, or all",
    "handoff" => handoff: "How results reach the jobs that need them",
    "cache" => cache: "The store that jobs push their results to, e.g. s3://bucket",
    "reuse" => reuse: "What a pipeline takes from earlier ones through the CI's own cache",
    "default_branch" => default_branch: "The branch whose results other branches may take too",
    "signing_key_variable" => signing_key_variable: "The variable with the secret key that results are signed with",
    "signing_public_keys" => signing_public_keys: "Public keys whose signatures count",
    "base" => base: "The revision that a change is compared with, or auto",
    "unaffected" => unaffected: "What happens with targets that the change does not touch",
    "ignore" => ignore: "Files that make no difference: where a change touches nothing else, nothing is evaluated",
    "concurrency" => concurrency: "Jobs that run at once",
    "executors" => executors: "Machines, by name: other ones, or the built-in docker, arm and macos changed",
    "rules" => rules: "Where and how derivations are built; the first rule that matches wins",
    "contexts" => contexts: "The only contexts that rules and packages may name",
    "evaluation" => evaluation: "How much a process that evaluates may take",
    "caches" => caches: "Binary caches that are asked for what exists",
    "push" => push: "Where else what jobs build goes",
    "push_credentials" => push_credentials: "Variables with the credentials for push",
    "push_failure" => push_failure: "What happens when a push fails",
    "costs" => costs: "Assumptions about time and prices",
    "limits" => limits: "What a plan keeps within, below the provider's own limits",
    "merge" => merge: "Files with jobs of your own to put beside the generated ones",
    "parameters_from" => parameters_from: "The setup configuration, whose pipeline parameters are declared again",
    "pipeline_parameters" => pipeline_parameters: "Pipeline parameters to declare, NAME=TYPE:DEFAULT",
    "final" => final_jobs: "Jobs that run after others",
});

/// `systems`: a list, or `all`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SystemList {
    /// Every system that the flake has.
    All,
    /// These.
    Listed(Vec<String>),
}

impl SettingsFile {
    /// Reads a file.
    pub fn read(path: &Path) -> Result<Self> {
        let mut bytes = Vec::new();
        File::open(path)
            .and_then(|file| file.take(MAX_SIZE + 1).read_to_end(&mut bytes))
            .with_context(|| format!("cannot read the settings `{}`", path.display()))?;
        let what = || format!("cannot use the settings `{}`", path.display());
        if bytes.len() as u64 > MAX_SIZE {
            return Err(anyhow!("it has more than {MAX_SIZE} bytes")).with_context(what);
        }
        let text = String::from_utf8(bytes).map_err(|_| anyhow!("it is not UTF-8")).with_context(what)?;
        Self::parse(&text).with_context(what)
    }

    /// Reads a file's text.
    pub fn parse(text: &str) -> Result<Self> {
        check_nesting(text, MAX_BRACKETS)?;
        let file: Option<Self> =
            serde_yaml::from_str(text).map_err(|error| anyhow!("{}", yaml_message::message(&error, text)))?;
        let file = file.unwrap_or_default();
        file.final_requests()?;
        Ok(file)
    }

    /// The file of a folder, where there is one.
    pub fn find(folder: &Path) -> Option<PathBuf> {
        folders(folder).map(|place| place.join(NAME)).find(|path| path.is_file())
    }

    /// A file of a folder that looks like one and is none.
    pub fn find_misnamed(folder: &Path) -> Option<PathBuf> {
        folders(folder).flat_map(|place| MISNAMED.map(|name| place.join(name))).find(|path| path.is_file())
    }

    /// The rules, in order. Adds warnings.
    pub fn rules(&self, fleet: &Fleet, warnings: &mut Vec<String>) -> Result<Vec<Rule>> {
        let contexts = self.contexts();
        let entries = self.rules.iter().flat_map(|list| &list.0).enumerate();
        let rules: Vec<Rule> = entries
            .map(|(at, entry)| entry.rule(at + 1, fleet, contexts.as_deref(), warnings))
            .collect::<Result<_>>()?;
        let general = rules.iter().position(|rule| rule.condition == Condition::default());
        if let Some(at) = general.filter(|at| at + 1 < rules.len()) {
            warnings.push(format!(
                "rule {} of nixdag.yml never counts: rule {} is for everything (put it last)",
                at + 2,
                at + 1
            ));
        }
        Ok(rules)
    }

    /// The only contexts that jobs may have, where that is said.
    pub fn contexts(&self) -> Option<Vec<String>> {
        self.contexts.as_ref().map(|names| names.0.iter().map(|name| name.0.clone()).collect())
    }

    /// The final jobs, checked as far as the file alone tells.
    pub fn final_requests(&self) -> Result<Vec<FinalJobRequest>> {
        let mut names = BTreeSet::new();
        let entries = self.final_jobs.iter().flat_map(|list| &list.0).enumerate();
        entries
            .map(|(at, entry)| {
                let name = entry.name.as_deref().with_context(|| format!("final job {} has no `name`", at + 1))?;
                check_name(name).with_context(|| format!("final job {}", at + 1))?;
                ensure!(names.insert(name.to_lowercase()), "two final jobs have the name `{name}`");
                entry.request(name).with_context(|| format!("final job `{name}`"))
            })
            .collect()
    }
}

/// Where the file is looked for, in this order.
fn folders(repository: &Path) -> impl Iterator<Item = PathBuf> {
    let of_providers = Provider::ALL.into_iter().map(|provider| repository.join(provider.folder()));
    iter::once(repository.to_owned()).chain(of_providers)
}

/// The patterns of a list.
pub fn patterns(list: &List<One<AttributePattern>>) -> Vec<Pattern> {
    list.0.iter().map(|text| text.0.0.clone()).collect()
}

impl Schema for SystemList {
    fn schema() -> Value {
        json!({ "anyOf": [{ "const": "all" }, { "type": "array", "minItems": 1, "items": { "type": "string" } }] })
    }
}

impl<'de> Deserialize<'de> for SystemList {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        const EXPECTED: &str = "a list of systems, or `all`";
        yaml::texts(deserializer, EXPECTED, |texts| match texts {
            Texts::One(text) if text == "all" => Ok(Self::All),
            Texts::One(text) => bail!("`{}`, expected {EXPECTED}", text.escape_debug()),
            Texts::List(texts) if texts.is_empty() => bail!("the list of systems is empty"),
            Texts::List(texts) => Ok(Self::Listed(texts)),
        })
    }
}
