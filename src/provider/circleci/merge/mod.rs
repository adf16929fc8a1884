//! Configurations of the user's own, put together with the generated one: their jobs, workflows, orbs, executors, commands and
//! parameters. In: files, and the entries of the generated configuration. Out: the entries of both; what two of them define
//! differently is an error that names both.
//!
//! Jobs of their workflow [`WORKFLOW`] join the generated one, where `requires` may name attributes; see [`requires`].

mod gate;
pub mod requires;
pub mod user_config;
pub mod workflows;

use anyhow::{Result, bail};

use super::names::{GATE, RESERVED, WORKFLOW};
use super::pipeline_parameters;
use crate::printable::printable;
use crate::provider::yaml::Yaml;
use user_config::{Invocation, SECTIONS, UserConfig, WHOLE, entries};

/// What messages call the generated configuration.
const GENERATED: &str = "the generated configuration";

/// Names of the users' jobs in the workflow that they share with the generated ones.
pub(super) fn job_names(users: &[UserConfig]) -> impl Iterator<Item = &str> {
    users.iter().flat_map(|user| user.jobs.iter().map(Invocation::name))
}

/// `, with `a.yml` merged into it`, where anything is.
pub(super) fn named(users: &[UserConfig]) -> String {
    let names: Vec<String> = users.iter().map(|user| format!("`{}`", user.name)).collect();
    if names.is_empty() { String::new() } else { format!(", with {} merged into it", names.join(", ")) }
}

/// The generated configuration's entries, in order, with those of the users; `parameters` come from settings, which a file may
/// repeat.
pub(super) fn merge(generated: Vec<(String, Yaml)>, users: &[UserConfig]) -> Result<Vec<(String, Yaml)>> {
    if users.is_empty() {
        return Ok(generated);
    }
    let take = |section: &str| generated.iter().find(|(key, _)| key == section).map(|(_, value)| value.clone());
    let mut merged = Vec::new();
    for section in SECTIONS {
        let own = entries(section, take(section).unwrap_or(Yaml::Null))?;
        let all = put_together(section, own, users)?;
        if !all.is_empty() {
            merged.push((section.to_owned(), Yaml::Map(all)));
        }
    }
    for key in WHOLE {
        let mut values =
            users.iter().filter_map(|user| Some((user, &user.whole.iter().find(|(known, _)| known == key)?.1)));
        let Some((first, value)) = values.next() else { continue };
        if let Some((other, _)) = values.find(|(_, other)| *other != value) {
            bail!("`{}` and `{}` both have `{key}`, and not the same", first.name, other.name);
        }
        merged.push((key.to_owned(), value.clone()));
    }
    let workflows = entries("workflows", take("workflows").unwrap_or(Yaml::Null))?;
    let mut all = Vec::new();
    for (name, workflow) in put_together("workflows", workflows, users)? {
        all.push((name.clone(), if name == WORKFLOW { joined(workflow, users)? } else { workflow }));
    }
    merged.push(("workflows".to_owned(), Yaml::Map(all)));
    Ok(merged)
}

/// The entries of one section of all configurations, each name once.
fn put_together(section: &str, own: Vec<(String, Yaml)>, users: &[UserConfig]) -> Result<Vec<(String, Yaml)>> {
    let mut all: Vec<(&str, String, Yaml)> = own.into_iter().map(|(name, value)| (GENERATED, name, value)).collect();
    for user in users {
        let entries = user.sections.iter().filter(|(key, _)| key == section).flat_map(|(_, entries)| entries);
        for (name, value) in entries {
            match all.iter().find(|(_, known, _)| known.eq_ignore_ascii_case(name)) {
                None => all.push((&user.name, name.clone(), value.clone())),
                Some((_, known, other)) if known == name && is_same(section, value, other) => {}
                Some((place, known, _)) => bail!(
                    "`{section}.{}` of `{}` and `{section}.{}` of {} are in each other's way: give one of them another name",
                    printable(name),
                    user.name,
                    printable(known),
                    if *place == GENERATED { GENERATED.to_owned() } else { format!("`{place}`") }
                ),
            }
        }
    }
    Ok(all.into_iter().map(|(_, name, value)| (name, value)).collect())
}

/// What two files say alike is no conflict, nor is a parameter with another description.
fn is_same(section: &str, one: &Yaml, other: &Yaml) -> bool {
    let parameter = |value: &Yaml| pipeline_parameters::default(value).ok();
    one == other || (section == "parameters" && parameter(one).is_some_and(|one| Some(one) == parameter(other)))
}

/// The generated workflow with the users' jobs, the gate behind them all.
fn joined(workflow: Yaml, users: &[UserConfig]) -> Result<Yaml> {
    let mut entries = entries(WORKFLOW, workflow)?;
    let Some((_, Yaml::List(jobs))) = entries.iter_mut().find(|(key, _)| key == "jobs") else {
        bail!("the generated workflow has no jobs");
    };
    let mut names: Vec<(&str, String)> = Vec::new();
    for job in jobs.iter() {
        names.push((GENERATED, Invocation::read(job)?.name().to_owned()));
    }
    for user in users {
        for job in &user.jobs {
            let name = job.name();
            if RESERVED.contains(&name.to_lowercase().as_str()) {
                bail!(
                    "job `{}` of workflow `{WORKFLOW}` in `{}` has a name that nixdag needs: give it another one with `name`",
                    printable(name),
                    user.name
                );
            }
            if let Some((place, known)) = names.iter().find(|(_, known)| known.to_lowercase() == name.to_lowercase()) {
                bail!(
                    "job `{}` of workflow `{WORKFLOW}` in `{}` and job `{known}` in {} have one name: give yours another one with `name`",
                    printable(name),
                    user.name,
                    if *place == GENERATED { GENERATED.to_owned() } else { format!("`{place}`") }
                );
            }
            names.push((&user.name, name.to_owned()));
        }
    }
    let waited_for = gate::waits_for(users)?;
    if let Some(gate) = jobs.iter_mut().find(|job| Invocation::read(job).is_ok_and(|job| job.name() == GATE)) {
        let mut invocation = Invocation::read(gate)?;
        gate::add(&mut invocation, waited_for)?;
        *gate = invocation.to_yaml();
    }
    jobs.extend(users.iter().flat_map(|user| user.jobs.iter().map(Invocation::to_yaml)));
    for user in users {
        for (key, value) in &user.workflow {
            match entries.iter().find(|(known, _)| known == key) {
                None => entries.push((key.clone(), value.clone())),
                Some((_, other)) if other == value => {}
                Some(_) => {
                    bail!("`{}` and another file both have `workflows.{WORKFLOW}.{key}`, and not the same", user.name)
                }
            }
        }
    }
    Ok(Yaml::Map(entries))
}
