//! `nixdag.yml`: what a repository says once instead of on every command line. In: the file's text. Out: a [`SettingsFile`], in
//! which everything may be missing, or an error with the place at fault.
//!
//! Nothing in the file is trusted: its size is bounded, and the YAML reader bounds nesting and the repetition of aliases.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail, ensure};
use serde::Deserialize;

use super::caches::CacheEntry;
use super::change::{FileGlobs, UnaffectedNames};
use super::costs::{CostsEntry, LimitsEntry};
use super::evaluation::EvaluationEntry;
use super::push::PushList;
use super::yaml::{self, Choice, List, PatternText, PublicKeyText, Scalar, Texts, Word, mapping};
use crate::pattern::Pattern;
use crate::plan::final_job::{FinalJobRequest, Task, VARIABLE_PREFIX, is_variable};
use crate::plan::names::RESERVED;
use crate::yaml::check_nesting;

/// Where the file is looked for in a repository, in this order.
pub const PLACES: [&str; 2] = ["nixdag.yml", ".circleci/nixdag.yml"];

/// Longest file that is read, in bytes.
const MAX_SIZE: u64 = 128 << 10;

/// Brackets that may be open at once.
const MAX_BRACKETS: usize = 256;

/// Longest name of a final job, in characters.
const MAX_NAME: usize = 80;

/// Longest command of a final job, in bytes.
const MAX_COMMAND: usize = 64 << 10;

/// What the file says; none for what it does not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SettingsFile {
    /// `select`
    pub select: Option<List<PatternText>>,
    /// `exclude`
    pub exclude: Option<List<PatternText>>,
    /// `systems`
    pub systems: Option<SystemList>,
    /// `handoff`
    pub handoff: Option<Choice<HandOffNames>>,
    /// `cache`
    pub cache: Option<String>,
    /// `caches`
    pub caches: Option<List<CacheEntry>>,
    /// `reuse`
    pub reuse: Option<Choice<ReuseNames>>,
    /// `default_branch`
    pub default_branch: Option<String>,
    /// `signing_key_variable`
    pub signing_key_variable: Option<String>,
    /// `signing_public_keys`
    pub signing_public_keys: Option<List<PublicKeyText>>,
    /// `base`
    pub base: Option<String>,
    /// `unaffected`
    pub unaffected: Option<Choice<UnaffectedNames>>,
    /// `ignore`
    pub ignore: Option<FileGlobs>,
    /// `push`
    pub push: Option<PushList>,
    /// `push_credentials`
    pub push_credentials: Option<List<Scalar>>,
    /// `push_failure`
    pub push_failure: Option<Choice<PushFailureNames>>,
    /// `concurrency`
    pub concurrency: Option<Count>,
    /// `costs`
    pub costs: Option<CostsEntry>,
    /// `limits`
    pub limits: Option<LimitsEntry>,
    /// `evaluation`
    pub evaluation: Option<EvaluationEntry>,
    /// `merge`
    pub merge: Option<List<Word>>,
    /// `parameters_from`
    pub parameters_from: Option<String>,
    /// `pipeline_parameters`
    pub pipeline_parameters: Option<List<Word>>,
    /// `final`
    pub final_jobs: Option<List<FinalJobEntry>>,
}

mapping!(SettingsFile, "a mapping of settings", {
    "select" => select,
    "exclude" => exclude,
    "systems" => systems,
    "handoff" => handoff,
    "cache" => cache,
    "caches" => caches,
    "reuse" => reuse,
    "default_branch" => default_branch,
    "signing_key_variable" => signing_key_variable,
    "signing_public_keys" => signing_public_keys,
    "base" => base,
    "unaffected" => unaffected,
    "ignore" => ignore,
    "push" => push,
    "push_credentials" => push_credentials,
    "push_failure" => push_failure,
    "concurrency" => concurrency,
    "costs" => costs,
    "limits" => limits,
    "evaluation" => evaluation,
    "merge" => merge,
    "parameters_from" => parameters_from,
    "pipeline_parameters" => pipeline_parameters,
    "final" => final_jobs,
});

/// An entry under `final`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FinalJobEntry {
    /// `name`
    pub name: Option<String>,
    /// `after`
    pub after: Option<List<PatternText>>,
    /// `restore`
    pub restore: Option<List<PatternText>>,
    /// `run`
    pub run: Option<String>,
    /// `build`: one attribute, or a list.
    pub build: Option<OneOrMore>,
    /// `executor`
    pub executor: Option<String>,
    /// `checkout`
    pub checkout: Option<bool>,
    /// `environment`
    pub environment: Option<BTreeMap<String, Scalar>>,
}

mapping!(FinalJobEntry, "a mapping with `name` and `run` or `build`", {
    "name" => name,
    "after" => after,
    "restore" => restore,
    "run" => run,
    "build" => build,
    "executor" => executor,
    "checkout" => checkout,
    "environment" => environment,
});

/// The values of `handoff`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandOffNames {
    /// `workspace`
    Workspace,
    /// `cache`
    Cache,
}

impl yaml::Named for HandOffNames {
    const ALL: &'static [(&'static str, Self)] = &[("workspace", Self::Workspace), ("cache", Self::Cache)];
}

/// The values of `reuse`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReuseNames {
    /// `branch`
    Branch,
    /// `signed`
    Signed,
    /// `off`
    Off,
}

impl yaml::Named for ReuseNames {
    const ALL: &'static [(&'static str, Self)] =
        &[("branch", Self::Branch), ("signed", Self::Signed), ("off", Self::Off)];
}

/// The values of `push_failure`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PushFailureNames {
    /// `warn`
    Warn,
    /// `fail`
    Fail,
}

impl yaml::Named for PushFailureNames {
    const ALL: &'static [(&'static str, Self)] = &[("warn", Self::Warn), ("fail", Self::Fail)];
}

/// `systems`: a list, or `all`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SystemList {
    /// Every system that the flake has.
    All,
    /// These.
    Listed(Vec<String>),
}

/// A whole number from 1 on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count(pub u32);

/// One pattern or several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OneOrMore(pub Vec<Pattern>);

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
        let file: Option<Self> = serde_yaml::from_str(text).map_err(|error| anyhow!("{}", yaml::message(&error)))?;
        let file = file.unwrap_or_default();
        file.final_requests()?;
        Ok(file)
    }

    /// The file of a folder, where there is one.
    pub fn find(folder: &Path) -> Option<PathBuf> {
        PLACES.iter().map(|place| folder.join(place)).find(|path| path.is_file())
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

fn check_name(name: &str) -> Result<()> {
    let count = name.chars().count();
    ensure!(!name.trim().is_empty(), "its name is empty");
    ensure!(count <= MAX_NAME, "its name has {count} characters, {MAX_NAME} are allowed");
    ensure!(!name.contains(char::is_control), "its name `{}` holds control characters", name.escape_debug());
    ensure!(!RESERVED.contains(&&*name.to_lowercase()), "it cannot be named `{name}`: so is the job behind all others");
    Ok(())
}

impl FinalJobEntry {
    fn request(&self, name: &str) -> Result<FinalJobRequest> {
        let task = match (&self.run, &self.build) {
            (Some(_), Some(_)) => bail!("it has both `run` and `build`: make two final jobs of it"),
            (None, None) => bail!("it has neither `run` (a command) nor `build` (attributes)"),
            (Some(command), None) => {
                ensure!(!command.trim().is_empty(), "its command is empty");
                ensure!(
                    command.len() <= MAX_COMMAND,
                    "its command has more than {MAX_COMMAND} bytes: put it into a script"
                );
                ensure!(!command.contains('\0'), "its command holds a NUL");
                Task::Run {
                    command: command.clone(),
                    checkout: self.checkout.unwrap_or(true),
                    restore: self.restore.as_ref().map(patterns),
                    environment: self.variables()?,
                }
            }
            (None, Some(build)) => {
                let unused = [
                    ("restore", self.restore.is_some()),
                    ("checkout", self.checkout.is_some()),
                    ("environment", self.environment.is_some()),
                ];
                if let Some((key, _)) = unused.iter().find(|(_, given)| *given) {
                    bail!("`{key}` goes with `run`, not with `build`");
                }
                Task::Build(build.0.clone())
            }
        };
        Ok(FinalJobRequest {
            name: name.to_owned(),
            after: self.after.as_ref().map(patterns),
            task,
            executor: self.executor.clone(),
        })
    }

    fn variables(&self) -> Result<BTreeMap<String, String>> {
        let mut variables = BTreeMap::new();
        for (name, value) in self.environment.iter().flatten() {
            let shown = name.escape_debug();
            ensure!(is_variable(name), "`{shown}` cannot be a variable (expected letters, digits and `_`)");
            ensure!(
                !name.starts_with(VARIABLE_PREFIX),
                "the variable `{shown}` begins with `{VARIABLE_PREFIX}`, as nixdag's own do"
            );
            ensure!(!value.0.contains('\0'), "the variable `{shown}` holds a NUL");
            variables.insert(name.clone(), value.0.clone());
        }
        Ok(variables)
    }
}

/// The patterns of a list.
pub fn patterns(list: &List<PatternText>) -> Vec<Pattern> {
    list.0.iter().map(|text| text.0.clone()).collect()
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

impl<'de> Deserialize<'de> for OneOrMore {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        yaml::texts(deserializer, "a pattern of attributes, or a list of them", |texts| {
            let texts = match texts {
                Texts::One(text) => vec![text],
                Texts::List(texts) => texts,
            };
            ensure!(!texts.is_empty(), "the list of attributes is empty");
            Ok(Self(texts.iter().map(|text| Pattern::parse(text)).collect::<Result<_>>()?))
        })
    }
}

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl serde::de::Visitor<'_> for Reader {
            type Value = Count;

            fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
                f.write_str("a whole number from 1 on")
            }

            fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Count, E> {
                let fits = u32::try_from(number).ok().filter(|&number| number > 0);
                fits.map(Count).ok_or_else(|| E::invalid_value(serde::de::Unexpected::Unsigned(number), &self))
            }
        }
        deserializer.deserialize_u64(Reader)
    }
}
