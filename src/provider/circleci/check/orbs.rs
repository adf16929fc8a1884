//! The orbs of a configuration: nixdag's own, whose setup job this program knows, and others, which nobody has looked at.

use serde_yaml::{Mapping, Value};

use crate::provider::circleci::setup_job;
use crate::provider::yaml::lenient::{map, text};

/// The orb's setup job.
const SETUP: &str = include_str!("../../../../orb/src/jobs/setup.yml");

/// Jobs of nixdag's orb, by what the configuration calls them: `nixdag/setup`.
pub(super) fn own_job(top: &Mapping, key: &str) -> Option<Result<Value, String>> {
    let (orb, job) = key.split_once('/')?;
    let source = map(top, "orbs").get(orb).map(text).filter(|source| setup_job::is_ours(source))?;
    Some(match job {
        "setup" => serde_yaml::from_str(SETUP).map_err(|error| error.to_string()),
        _ => Err(format!("`{key}` is not a job of the orb `{source}`, which has `setup`")),
    })
}

/// The orbs whose parts are taken as they come.
pub(super) fn unseen(top: &Mapping) -> Vec<String> {
    let others = map(top, "orbs").iter().map(|(name, source)| (text(name), text(source)));
    others
        .filter(|(_, source)| !setup_job::is_ours(source))
        .map(|(name, source)| match &*source {
            "" => format!("the orb `{name}`"),
            source => format!("the orb `{name}` (`{source}`)"),
        })
        .collect()
}
