//! Final jobs: what runs after other jobs, a command of the user's with outputs at hand, or attributes that nothing else builds.
//!
//! In the plan's JSON, `final` lists them with all keys of a job and these:
//! - `run`: the command, for a shell; null for a job that builds attributes, and for the one that `sizes` names. Those are its `targets`, what they need and no other
//!   job builds is in its `derivations`.
//! - `restore`: the outputs that are in the store when the command runs, a target an entry: `target`, `derivation`, `outputs`, each
//!   of these with `name`, `path` (null for a content-addressed one, whose path the job that builds it tells), `link` (the name of a symlink
//!   to it) and `variable` (of the environment, with the path as its value, or where that is null with the path of the symlink; null where
//!   there are too many).
//! - `checkout`: whether the command runs in a checkout of the repository.
//! - `environment`: variables for the command, name to value.
//! - `resource_group`, where it has one: what only one job at a time may use, in whatever pipeline.
//!
//! `requires` and `inputs` may name jobs and final jobs that stand before it. Figures under `estimates` leave final jobs out, and
//! a final job's own `estimate` leaves its command out: nobody knows how long that takes.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use super::job::Job;
use super::options::VARIABLE_PREFIX;
use super::sizes::SizeLimits;
use crate::attribute::AttributePath;
use crate::graph::DrvId;
use crate::nix::store_path;
use crate::pattern::Pattern;
use crate::secret::is_variable;

/// The folder of symlinks to restored outputs, in every machine's environment.
pub const RESTORED_VARIABLE: &str = "NIXDAG_RESTORED";

/// Longest file name of a symlink, in bytes: what file systems take.
pub const MAX_LINK: usize = 255;

/// Longest name of a resource group, in bytes: GitLab's.
const MAX_GROUP: usize = 255;

/// A final job as somebody asks for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FinalJobRequest {
    /// Its name.
    pub name: String,
    /// Where it is asked for, for messages: `nixdag.yml:3:5`.
    pub place: Option<String>,
    /// Targets whose jobs come before; none for all of them.
    pub after: Option<Vec<Pattern>>,
    /// What it does.
    pub task: Task,
    /// Name of the executor; none for that of the main system.
    pub executor: Option<String>,
}

/// What a final job does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Task {
    /// Runs a command.
    Run {
        /// For a shell.
        command: String,
        /// Whether it runs in a checkout of the repository.
        checkout: bool,
        /// Targets whose outputs it finds; none for those that it comes after.
        restore: Option<Vec<Pattern>>,
        /// Variables.
        environment: BTreeMap<String, String>,
        /// What only one job at a time may use.
        resource_group: Option<String>,
    },
    /// Builds attributes that no other job builds.
    Build(Vec<Pattern>),
    /// Holds the sizes of closures against their limits.
    Sizes(SizeLimits),
}

/// An attribute and its derivation.
pub type Attribute = (AttributePath, DrvId);

/// The targets, without those that a final job builds; and these, a list a request. The first request that means one has it.
pub fn split(requests: &[FinalJobRequest], targets: Vec<Attribute>) -> (Vec<Attribute>, Vec<Vec<Attribute>>) {
    let mut built = vec![Vec::new(); requests.len()];
    let mut others = Vec::with_capacity(targets.len());
    for target in targets {
        let wanted = requests
            .iter()
            .position(|request| matches!(&request.task, Task::Build(patterns) if matches(patterns, &target.0)));
        match wanted {
            Some(at) => built[at].push(target),
            None => others.push(target),
        }
    }
    (others, built)
}

/// What final jobs build, which is selected beside everything else.
pub fn built_patterns(requests: &[FinalJobRequest]) -> Vec<Pattern> {
    let built = requests.iter().filter_map(|request| match &request.task {
        Task::Build(patterns) => Some(patterns),
        Task::Run { .. } | Task::Sizes(_) => None,
    });
    built.flatten().cloned().collect()
}

/// True if a command finds the attribute's outputs.
pub fn is_restored(requests: &[FinalJobRequest], attribute: &AttributePath) -> bool {
    requests.iter().any(|request| match &request.task {
        Task::Run { restore, .. } => {
            restore.as_ref().or(request.after.as_ref()).is_none_or(|patterns| matches(patterns, attribute))
        }
        Task::Build(_) | Task::Sizes(_) => false,
    })
}

fn matches(patterns: &[Pattern], attribute: &AttributePath) -> bool {
    patterns.iter().any(|pattern| pattern.matches_at_or_above(attribute.names()))
}

/// A final job of a plan.
#[derive(Clone, Debug, PartialEq)]
pub struct FinalJob {
    /// What it has in common with every other job.
    pub job: Job,
    /// What is in the store when the command runs; by attribute.
    pub restore: Vec<Restored>,
    /// The command; none for a job that builds.
    pub run: Option<String>,
    /// Whether the command runs in a checkout of the repository.
    pub checkout: bool,
    /// Variables for the command, beside those of the restored outputs.
    pub environment: BTreeMap<String, String>,
    /// What only one job at a time may use, in whatever pipeline.
    pub resource_group: Option<String>,
}

/// A target whose outputs a command finds in the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restored {
    /// The attribute.
    pub target: AttributePath,
    /// Path of its derivation.
    pub derivation: Arc<str>,
    /// Its outputs, in the derivation's order.
    pub outputs: Vec<RestoredOutput>,
}

/// One output, and how a command finds it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoredOutput {
    /// `out`, `dev`, …
    pub name: String,
    /// Its store path; none for a content-addressed one, which the job that builds it tells.
    pub path: Option<String>,
    /// File name of the symlink to it.
    pub link: String,
    /// The variable that holds the path, or that of the symlink; none where there are too many outputs for that.
    pub variable: Option<String>,
}

/// Refuses a name of a resource group that a provider would not take, or would read as something else.
pub fn check_resource_group(name: &str) -> Result<()> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./ ".contains(c);
    ensure!(
        (1..=MAX_GROUP).contains(&name.len())
            && name.chars().all(plain)
            && !name.starts_with(['/', ' '])
            && !name.ends_with(['/', ' ']),
        "`{}` cannot be the name of a resource group (expected letters, digits, spaces and `_-./`, at most {MAX_GROUP})",
        name.escape_debug()
    );
    Ok(())
}

impl FinalJob {
    /// A job that runs no command.
    pub fn without_command(job: Job) -> Self {
        let (restore, environment) = (Vec::new(), BTreeMap::new());
        Self { job, restore, run: None, checkout: false, environment, resource_group: None }
    }

    /// True where it builds something, rather than running a command or looking at what others have built.
    pub fn builds(&self) -> bool {
        self.job.builds().next().is_some()
    }

    /// All restored outputs.
    pub fn outputs(&self) -> impl Iterator<Item = &RestoredOutput> {
        self.restore.iter().flat_map(|restored| &restored.outputs)
    }

    /// Refuses what would break out of a folder, a script or an environment.
    pub fn check(&self, store_dir: &str) -> Result<()> {
        let id = &self.job.id;
        let in_store = |path: &str| -> Result<()> {
            let (dir, _) = store_path::split(path)?;
            ensure!(dir == store_dir, "`{path}` is not in `{store_dir}`");
            Ok(())
        };
        let (mut links, mut variables) = (HashSet::new(), HashSet::new());
        for restored in &self.restore {
            in_store(&restored.derivation)?;
            ensure!(restored.derivation.ends_with(".drv"), "`{}` is not a derivation", restored.derivation);
        }
        for output in self.outputs() {
            output.path.as_deref().map_or(Ok(()), in_store)?;
            let link = output.link.as_str();
            ensure!(
                !link.is_empty()
                    && link.len() <= MAX_LINK
                    && ![".", ".."].contains(&link)
                    && !link.contains(['/', '\0'])
                    && links.insert(link),
                "final job `{id}` has the link `{}`, which cannot be the name of a file of its own",
                link.escape_debug()
            );
            if let Some(variable) = &output.variable {
                ensure!(
                    is_variable(variable)
                        && variable.starts_with(VARIABLE_PREFIX)
                        && variable != RESTORED_VARIABLE
                        && variables.insert(variable),
                    "final job `{id}` has the variable `{}` for an output",
                    variable.escape_debug()
                );
            }
        }
        for (name, value) in &self.environment {
            ensure!(
                is_variable(name) && !name.starts_with(VARIABLE_PREFIX),
                "final job `{id}` has the variable `{}` (expected letters, digits and `_`, not `{VARIABLE_PREFIX}…`)",
                name.escape_debug()
            );
            ensure!(!value.contains('\0'), "final job `{id}`: the variable `{name}` holds a NUL");
        }
        if let Some(name) = &self.resource_group {
            check_resource_group(name).with_context(|| format!("final job `{id}`"))?;
        }
        if let Some(command) = &self.run {
            ensure!(!command.trim().is_empty(), "final job `{id}` has an empty command");
            ensure!(!command.contains('\0'), "final job `{id}` has a command with a NUL");
        }
        Ok(())
    }
}
