//! Jobs of the user's own, put beside the generated ones. In: files that were read, the plan, and the entries of the generated pipeline.
//! Out: the entries of both, and warnings; what two of them define differently is an error that names both.
//!
//! A job of the user's arrives as GitLab would have it (see [`user_file`]), and may name targets in `needs` (see [`needs`]). The gate is in
//! a stage behind those of the user's jobs, so that it waits for them, unless their stages name `gate` themselves.

mod body;
mod needs;
mod resolver;
mod stages;
pub mod user_file;

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};

use super::names::STAGE;
use crate::plan::Plan;
use crate::printable::printable;
use crate::provider::waited_for::Targets;
use crate::provider::yaml::Yaml;
use user_file::UserFile;

/// What messages call the generated pipeline.
const GENERATED: &str = "the generated pipeline";

/// Names of the users' jobs.
pub fn job_names(users: &[UserFile]) -> Vec<&str> {
    users.iter().flat_map(|user| user.jobs.iter().map(|(name, _)| name.as_str())).collect()
}

/// The generated pipeline's entries, in order, with those of the users, whose jobs wait for what they name.
/// `names` are those of the plan's jobs.
pub fn merge(
    generated: &mut Vec<(String, Yaml)>,
    users: &[UserFile],
    plan: &Plan,
    names: &[&str],
) -> Result<Vec<String>> {
    if users.iter().all(|user| user.jobs.is_empty()) {
        return Ok(Vec::new());
    }
    let own = job_names(users);
    let waiting = needs::Waiting { targets: Targets::of(plan), plan, names, own: &own };
    let mut warnings = Vec::new();
    let mut added: Vec<(&str, &str, Yaml)> = Vec::new();
    for user in users {
        for (name, body) in &user.jobs {
            let place = format!("`{}`: job `{}`", user.name, printable(name));
            let mut body = body.clone();
            warnings.extend(needs::resolve(&mut body, &waiting).with_context(|| place.clone())?);
            warnings.extend(body::never_true(&body).map(|why| format!("{place}: {why}")));
            let body = Yaml::Map(body);
            if generated.iter().any(|(known, _)| known == name) {
                bail!("{place} has the name of a job in {GENERATED}: give yours another one");
            }
            match added.iter().find(|(_, known, _)| known == name) {
                None => added.push((&user.name, name, body)),
                Some((_, _, other)) if *other == body => {}
                Some((other, ..)) => {
                    bail!("{place} and that of `{other}` are not the same: give one of them another name")
                }
            }
        }
    }
    let Some((_, Yaml::List(known))) = generated.iter_mut().find(|(key, _)| key == "stages") else {
        bail!("the generated pipeline has no stages");
    };
    let behind = known.iter().skip(2).filter_map(Yaml::as_text).map(str::to_owned).collect();
    let order = stages::in_order(users, behind)?;
    *known = order.iter().map(Yaml::text).collect();
    let position = |stage: &str| order.iter().position(|known| known == stage);
    let stages: BTreeMap<&str, Option<usize>> = added
        .iter()
        .map(|(_, name, body)| (*name, body.get("stage").and_then(Yaml::as_text).and_then(position)))
        .collect();
    let first = position(STAGE);
    for (_, name, mut body) in added.clone() {
        if stages[name] > first {
            body::without_hand_offs(
                &mut body,
                stages.iter().filter(|(_, at)| **at < stages[name]).map(|(name, _)| *name),
            );
        }
        generated.push((name.to_owned(), body));
    }
    Ok(warnings)
}
