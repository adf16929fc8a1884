//! An entry under `final` of `nixdag.yml`. In: the mapping. Out: what is asked for, or what is wrong with it.

use anyhow::{Result, bail, ensure};

use super::values::Variables;
use super::words::{AttributePattern, MAX_COMMAND, One, Words, patterns};
use super::yaml::{Expected, List, mapping};
use crate::pattern::Pattern;
use crate::plan::final_job::{FinalJobRequest, Task, check_resource_group};
use crate::plan::worker_job;
use crate::provider::Provider;

/// Longest name of a final job, in characters.
const MAX_NAME: usize = 80;

/// An entry under `final`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FinalJobEntry {
    /// `name`
    pub name: Option<String>,
    /// `after`
    pub after: Option<List<One<AttributePattern>>>,
    /// `restore`
    pub restore: Option<List<One<AttributePattern>>>,
    /// `run`
    pub run: Option<String>,
    /// `build`: one attribute, or a list.
    pub build: Option<Words<AttributePattern>>,
    /// `executor`
    pub executor: Option<String>,
    /// `checkout`
    pub checkout: Option<bool>,
    /// `environment`
    pub environment: Option<Variables>,
    /// `resource_group`
    pub resource_group: Option<String>,
}

mapping!(FinalJobEntry, "a mapping with `name` and `run` or `build`", {
    "name" => name: "The job's name",
    "after" => after: "Attributes whose jobs come before; all of them by default",
    "restore" => restore: "Attributes whose outputs the command finds; those of after by default",
    "run" => run: "A command for a shell",
    "build" => build: "Attributes that this job builds and no other",
    "executor" => executor: "The executor that it runs on",
    "checkout" => checkout: "Whether the command runs in a checkout of the repository",
    "environment" => environment: "Variables for the command",
    "resource_group" => resource_group: "What only one job at a time may use, in whatever pipeline: where the command deploys to",
}, schema {
    "required": ["name"],
    "oneOf": [
        { "required": ["run"], "not": { "required": ["build"] } },
        { "required": ["build"], "not": { "anyOf": [
            { "required": ["run"] }, { "required": ["restore"] }, { "required": ["checkout"] }, { "required": ["environment"] },
            { "required": ["resource_group"] },
        ] } },
    ],
});

impl Expected for FinalJobEntry {
    const PLURAL: &'static str = "final jobs";
}

/// Refuses a name that no job can have.
pub fn check_name(name: &str) -> Result<()> {
    let count = name.chars().count();
    ensure!(!name.trim().is_empty(), "its name is empty");
    ensure!(count <= MAX_NAME, "its name has {count} characters, {MAX_NAME} are allowed");
    ensure!(!name.contains(char::is_control), "its name `{}` holds control characters", name.escape_debug());
    let lower = name.to_lowercase();
    let is_reserved = worker_job::is_own(&lower)
        || Provider::all().any(|provider| provider.fleet().reserved_names.contains(&lower.as_str()));
    ensure!(!is_reserved, "it cannot be named `{name}`: nixdag needs that name for a job of its own");
    Ok(())
}

impl FinalJobEntry {
    /// What is asked for.
    pub fn request(&self, name: &str) -> Result<FinalJobRequest> {
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
                self.resource_group.iter().try_for_each(|name| check_resource_group(name))?;
                Task::Run {
                    command: command.clone(),
                    checkout: self.checkout.unwrap_or(true),
                    restore: self.restore.as_ref().map(meant),
                    environment: self.environment.clone().unwrap_or_default().0,
                    resource_group: self.resource_group.clone(),
                }
            }
            (None, Some(build)) => {
                let unused = [
                    ("restore", self.restore.is_some()),
                    ("checkout", self.checkout.is_some()),
                    ("environment", self.environment.is_some()),
                    ("resource_group", self.resource_group.is_some()),
                ];
                if let Some((key, _)) = unused.iter().find(|(_, given)| *given) {
                    bail!("`{key}` belongs to `run`, not to `build`");
                }
                Task::Build(build.0.iter().map(|pattern| pattern.0.to_derivations()).collect())
            }
        };
        Ok(FinalJobRequest {
            name: name.to_owned(),
            place: None,
            after: self.after.as_ref().map(meant),
            task,
            executor: self.executor.clone(),
        })
    }
}

/// What the patterns of a list stand for, short forms included.
fn meant(list: &List<One<AttributePattern>>) -> Vec<Pattern> {
    patterns(list).iter().map(Pattern::meant).collect()
}
