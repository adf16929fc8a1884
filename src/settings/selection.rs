//! Which attributes are taken: `select`, `exclude`, `systems`, `strict`.

use anyhow::{Result, bail};
use serde::Deserialize;
use serde_json::{Value, json};

use super::option::options;
use super::schema::Schema;
use super::words::{AttributePattern, One};
use super::yaml::{self, List, Texts};
use crate::nix::evaluate::Systems;

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
        /// Systems whose attributes to take
        system {
            flag Vec<String> [value_name = "SYSTEM", conflicts_with = "all_systems"];
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

/// `systems`: a list, or `all`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SystemList {
    /// Every system that the flake has.
    All,
    /// These.
    Listed(Vec<String>),
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
