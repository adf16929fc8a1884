//! Which attributes are taken: `select`, `exclude`, `systems`, `strict`.

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use serde_json::{Value, json};

use super::option::options;
use super::schema::Schema;
use super::words::{AttributePattern, One, Word};
use super::yaml::{self, Expected, List, Texts};
use crate::nix::evaluate::Systems;
use crate::plan::allowed_failure::AllowedFailure;
use crate::plan::evaluation_errors::Refused;
use crate::usage::usage;

options! {
    /// What is built
    "Selection": SelectionFlags, SelectionKeys, SelectionOptions {
        /// Attributes to build: a pattern such as `packages.*.*` or `checks.x86_64-linux.{lint,test-*}`
        select {
            flag Vec<String> [value_name = "PATTERN"];
            key "select": List<One<AttributePattern>>;
            unset: "packages.*.* and checks.*.*";
            orb List "attributes";
        }
        /// Attributes to leave out, with all below them
        exclude {
            flag Vec<String> [value_name = "PATTERN"];
            key "exclude": List<One<AttributePattern>>;
            orb List "exclude";
        }
        /// Attributes that may fail, in jobs of their own; also what nixpkgs refuses (`broken`, `unfree`, `insecure`, `unsupported`)
        allow_failure {
            flag Vec<String> [value_name = "PATTERN"];
            key "allow_failure": List<One<AllowedWord>>;
            orb List "allow_failure";
        }
        /// Systems whose attributes to take
        system {
            flag Vec<String> [value_name = "SYSTEM", value_parser = one_system, conflicts_with = "all_systems"];
            key "systems": SystemList;
            unset: "this machine's";
            orb Systems "systems";
        }
        /// Take the attributes of all systems
        all_systems {
            flag bool;
            no key: "is `systems: all` in nixdag.yml";
            no orb: "`systems: all` is the same";
        }
        /// Fail if an attribute does not evaluate
        strict {
            flag Option<bool> [value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true"];
            key "strict": bool;
            default bool = false;
            orb Switch "strict";
        }
    }
}

/// An entry of `allow_failure`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowedWord(pub AllowedFailure);

impl Word for AllowedWord {
    const EXPECTED: &'static str =
        "an attribute pattern such as `packages.*.flaky-*`, `broken`, `unfree`, `insecure` or `unsupported`";
    const REGEX: &'static str = AttributePattern::REGEX;

    fn read(text: &str) -> Result<Self> {
        Ok(Self(match Refused::named(text) {
            Some(kind) => AllowedFailure::Refused(kind),
            None => AllowedFailure::Attributes(AttributePattern::read(text)?.0.meant()),
        }))
    }
}

impl Expected for One<AllowedWord> {
    const PLURAL: &'static str = "attribute patterns, or kinds of packages that nixpkgs refuses";
}

/// What may fail, as the flag says, else as the file does.
pub fn allow_failure(flags: &SelectionFlags, keys: &SelectionKeys) -> Result<Vec<AllowedFailure>> {
    if flags.allow_failure.is_empty() {
        return Ok(keys.allow_failure.iter().flat_map(|list| &list.0).map(|word| word.0.0.clone()).collect());
    }
    flags.allow_failure.iter().map(|text| Ok(AllowedWord::read(text).context(usage("`--allow-failure`"))?.0)).collect()
}

/// `systems`: a list, or `all`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SystemList {
    /// Every system that the flake has.
    All,
    /// These.
    Listed(Vec<String>),
}

/// A system of `--system`, which names one each time that it is given.
fn one_system(text: &str) -> Result<String> {
    ensure!(!text.contains([',', ' ']), "it is one system each time: repeat `--system` for more");
    Ok(text.to_owned())
}

/// The systems whose attributes are taken.
pub fn systems(flags: &SelectionFlags, keys: &SelectionKeys) -> Systems {
    match (flags.all_systems, flags.system.is_empty(), &keys.system) {
        (true, _, _) | (false, true, Some(SystemList::All)) => Systems::All,
        (false, false, _) => Systems::Listed(flags.system.clone()),
        (false, true, Some(SystemList::Listed(systems))) => Systems::Listed(systems.clone()),
        (false, true, None) => Systems::Current,
    }
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
