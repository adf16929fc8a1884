//! What a change is compared with, and what of it makes no difference: the flags and the keys `base`, `unaffected`, `ignore`.

use std::path::PathBuf;

use anyhow::{Result, bail};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Source;
use super::file::SettingsFile;
use super::schema::{Schema, one_or_more};
use super::yaml::{self, Texts};
use crate::affected::Unaffected;
use crate::affected::base::Wish;
use crate::affected::ignore::IgnoreList;
use crate::cli;

/// What a change is compared with, and what of it makes no difference.
#[derive(Clone, Debug)]
pub struct Change {
    /// The base; none for no comparison.
    pub base: Option<Wish>,
    /// A recorded evaluation of the base.
    pub base_roots: Option<PathBuf>,
    /// What to do about targets that the change does not touch.
    pub unaffected: Unaffected,
    /// Files that make no difference.
    pub ignore: IgnoreList,
    /// The branch that changes go to, where that is said.
    pub default_branch: Option<String>,
}

impl Change {
    /// Resolves the flags and the file.
    pub fn new(flags: &cli::Planning, file: &SettingsFile, source: &Source) -> Result<Self> {
        let is_recorded = !matches!(source, Source::Flake(_));
        if is_recorded && flags.base.is_some() && flags.base_roots.is_none() {
            bail!("a recorded evaluation has no history: `--base` goes with `--base-roots FILE` there");
        }
        // What the file says is for the flake beside it.
        let named = flags.base.as_deref().or(file.base.as_deref().filter(|_| !is_recorded));
        Ok(Self {
            base: named.and_then(Wish::read),
            base_roots: flags.base_roots.clone(),
            unaffected: flags.unaffected.or(file.unaffected).unwrap_or_default(),
            ignore: file.ignore.clone().map_or_else(IgnoreList::default, |globs| globs.0),
            default_branch: flags.default_branch.clone().or_else(|| file.default_branch.clone()),
        })
    }
}

/// `ignore`: globs over files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileGlobs(pub IgnoreList);

impl Schema for FileGlobs {
    fn schema() -> Value {
        one_or_more(&json!({ "type": "string" }))
    }
}

impl<'de> Deserialize<'de> for FileGlobs {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        yaml::texts(deserializer, "a list of files such as `docs/` or `*.md`", |texts| {
            let texts = match texts {
                Texts::One(text) => vec![text],
                Texts::List(texts) => texts,
            };
            IgnoreList::parse(texts.iter().map(String::as_str)).map(Self)
        })
    }
}
