//! What a change is compared with, and what of it makes no difference: the flags and the keys `base`, `unaffected`, `ignore`.

use std::path::PathBuf;

use anyhow::{Result, bail};
use serde::Deserialize;
use serde_json::{Value, json};

use super::comment::CommentEntry;
use super::option::options;
use super::schema::{Schema, one_or_more};
use super::size_limits::SizeLimitsEntry;
use super::source::Source;
use super::yaml::{self, Texts};
use crate::affected::Unaffected;
use crate::affected::base::BaseChoice;
use crate::affected::ignore::IgnoreList;
use crate::usage::usage;

options! {
    /// What the change is compared with; what did not change is not built
    "Change": ChangeFlags, ChangeKeys, ChangeOptions {
        /// Compare with this revision; `auto` is where the branch left the default branch, `none` means no comparison
        base {
            flag Option<String> [value_name = "REV|auto|none", conflicts_with = "plan"];
            key "base": String;
            unset: "none";
            orb Text "base";
        }
        /// Compare with a recorded evaluation of the base, in the form of `--roots`
        base_roots {
            flag Option<PathBuf> [value_name = "FILE", conflicts_with = "plan"];
            no key: "belongs to `--roots`";
            no orb: "the orb evaluates the base";
        }
        /// The branch that changes go to: `base: auto` compares with it, and other branches may take its results
        default_branch {
            flag Option<String> [value_name = "BRANCH"];
            key "default_branch": String;
            optional String;
            unset: "what the remote says; for results none";
            orb Text "default_branch";
        }
        /// What to do about targets whose derivation is the same at the base
        unaffected {
            flag Option<Unaffected> [value_enum, conflicts_with = "plan"];
            key "unaffected": Unaffected;
            default Unaffected = Unaffected::default();
            orb Choice "unaffected";
        }
        /// Files that affect nothing: if a change touches no others, nothing is evaluated
        ignore {
            no flag: "it lists files of the repository, beside which it belongs";
            key "ignore": FileGlobs;
            no orb: "nixdag.yml has it";
        }
        /// GitLab: a job writes the pipeline's summary as a comment on the merge request, with the token in a variable of an environment
        comment {
            no flag: "it names a variable of one job";
            key "comment": CommentEntry;
            no orb: "CircleCI has no pull requests of its own";
        }
        /// Largest runtime closures of targets: by pattern of attributes bytes (`500MB`), growth since the base (`5%`) or a list of both; `unknown: fail` fails where a size is not known
        size_limits {
            no flag: "it is a mapping by attribute";
            key "size_limits": SizeLimitsEntry;
            no orb: "nixdag.yml has it";
        }
    }
}

/// What a change is compared with, and what of it makes no difference.
#[derive(Clone, Debug)]
pub struct ChangeSettings {
    /// The base; none for no comparison.
    pub base: Option<BaseChoice>,
    /// A flag says the base, not a file.
    pub base_is_flag: bool,
    /// A recorded evaluation of the base.
    pub base_roots: Option<PathBuf>,
    /// What to do about targets that the change does not touch.
    pub unaffected: Unaffected,
    /// Files that make no difference.
    pub ignore: IgnoreList,
    /// The branch that changes go to, where that is said.
    pub default_branch: Option<String>,
}

impl ChangeSettings {
    /// Resolves the flags and the file.
    pub fn new(flags: &ChangeFlags, keys: &ChangeKeys, source: &Source) -> Result<Self> {
        let is_recorded = !matches!(source, Source::Flake(_));
        if is_recorded && flags.base.is_some() && flags.base_roots.is_none() {
            bail!(usage("a recorded evaluation has no history: `--base` requires `--base-roots FILE`"));
        }
        // What the file says is for the flake beside it.
        let named = flags.base.as_deref().or(keys.base.as_deref().filter(|_| !is_recorded));
        let resolved = ChangeOptions::new(flags, keys);
        Ok(Self {
            base: named.and_then(BaseChoice::read),
            base_is_flag: flags.base.is_some(),
            base_roots: flags.base_roots.clone(),
            unaffected: resolved.unaffected,
            ignore: keys.ignore.clone().map_or_else(IgnoreList::default, |globs| globs.0),
            default_branch: resolved.default_branch,
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
