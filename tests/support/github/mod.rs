//! A small strict stand-in for GitHub Actions: the workflow of a repository, the workflows that it calls and the actions that it uses are run on this
//! machine as they are committed.
//!
//! It refuses what GitHub refuses, and what nobody has taught it. Each job has a machine with an empty `/nix`, and shares nothing with others but
//! artifacts and caches. Jobs run one after the other.

mod actions;
pub mod commands;
pub mod expression;
mod job;
mod run;
mod store;
pub mod workflow;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use serde_json::{Map, Value, json};
use tempfile::TempDir;

use super::machine::World;
use run::Again;
pub use run::Outcome;
use store::{Artifacts, Caches};
use workflow::Workflow;

/// How a job ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Status {
    Success,
    Failure,
    Cancelled,
    Skipped,
}

impl Status {
    /// As contexts say it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Cancelled => "cancelled",
            Self::Skipped => "skipped",
        }
    }
}

/// What happens to a job that is not its own doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accident {
    /// Somebody cancels the whole run while it works.
    CancelRun,
    /// It takes longer than it may, or waits for a machine for a day.
    TimeOut,
    /// Its machine is lost before the first step.
    Lost,
}

/// A repository with its runners.
pub struct GitHub {
    world: World,
    /// The repository's workflow.
    file: String,
    /// Checkouts of other repositories, by `owner/name`.
    repositories: BTreeMap<String, PathBuf>,
    /// Secrets of the repository, and of its environments.
    secrets: BTreeMap<String, String>,
    environments: BTreeMap<String, BTreeMap<String, String>>,
    accidents: BTreeMap<String, Accident>,
    /// The event that starts runs, its payload, and whether it comes from a fork.
    event: (String, Map<String, Value>, bool),
    /// The branch that a pull request comes from.
    head_ref: String,
    /// What runs are for.
    reference: String,
    /// Labels of runners.
    labels: BTreeSet<String>,
    caches: Caches,
    state: Arc<TempDir>,
    runs: u64,
}

impl GitHub {
    /// A repository whose checkout is this folder; its workflow is given.
    pub fn new(file: &str, checkout: &Path, nix: &Path) -> Result<Self> {
        Workflow::read(file)?;
        let world = World { nix: Some(nix.to_owned()), checkout: Some(checkout.to_owned()), ..World::default() };
        let state = Arc::new(TempDir::new()?);
        Ok(Self {
            world,
            file: file.to_owned(),
            repositories: BTreeMap::new(),
            secrets: BTreeMap::new(),
            environments: BTreeMap::new(),
            accidents: BTreeMap::new(),
            event: ("push".into(), Map::new(), false),
            head_ref: String::new(),
            reference: "refs/heads/main".into(),
            labels: ["ubuntu-24.04".to_owned()].into(),
            caches: Caches::new(state.path().join("caches")),
            state,
            runs: 0,
        })
    }

    /// Where another repository is, whatever commit is named.
    pub fn repository(mut self, name: &str, folder: &Path) -> Self {
        self.repositories.insert(name.into(), folder.to_owned());
        self
    }

    /// A program that machines have on PATH under its own name.
    pub fn program(mut self, file: impl AsRef<Path>) -> Self {
        self.world.programs.push(file.as_ref().to_owned());
        self
    }

    /// More lines for the `nix.conf` of the machines.
    pub fn nix_conf(mut self, lines: &str) -> Self {
        self.world.nix_conf.push_str(lines);
        self
    }

    /// Another label that runners on this machine have.
    pub fn label(mut self, label: &str) -> Self {
        self.labels.insert(label.into());
        self
    }

    /// A script that root runs on each machine before a job.
    pub fn before(&mut self, script: &str) {
        self.world.before = Some(script.to_owned());
    }

    /// A secret of the repository.
    pub fn secret(mut self, name: &str, value: &str) -> Self {
        self.secrets.insert(name.into(), value.into());
        self
    }

    /// A secret of an environment.
    pub fn environment(mut self, environment: &str, name: &str, value: &str) -> Self {
        self.environments.entry(environment.into()).or_default().insert(name.into(), value.into());
        self
    }

    /// What happens to the job of this name, once.
    pub fn accident(&mut self, job: &str, accident: Accident) {
        self.accidents.insert(job.to_owned(), accident);
    }

    /// The next runs are of a pull request, from a branch `topic`, or from a fork's branch, which has the name of the default one.
    pub fn pull_request(&mut self, number: u64, is_fork: bool) {
        self.head_ref = if is_fork { "main" } else { "topic" }.into();
        let payload = json!({ "repository": { "default_branch": "main" }, "pull_request": { "number": number, "head": { "repo": { "fork": is_fork } } } });
        self.event = ("pull_request".into(), payload.as_object().cloned().unwrap_or_default(), is_fork);
        self.reference = format!("refs/pull/{number}/merge");
    }

    /// The next runs are of a push to this branch.
    pub fn push(&mut self, branch: &str) {
        self.event = ("push".into(), Map::new(), false);
        self.head_ref.clear();
        self.reference = format!("refs/heads/{branch}");
    }

    /// Runs the workflow.
    pub fn run(&mut self) -> Result<Outcome> {
        self.runs += 1;
        let artifacts = Artifacts::new(self.state.path().join(format!("artifacts-{}", self.runs)));
        run::start(self, artifacts, None)
    }

    /// Runs what failed again, and all that depends on it.
    pub fn rerun_failed(&mut self, before: &Outcome) -> Result<Outcome> {
        run::start(self, before.artifacts.clone(), Some((before, Again::Failed)))
    }

    /// Runs one job again, and all that depends on it.
    pub fn rerun(&mut self, before: &Outcome, job: &str) -> Result<Outcome> {
        run::start(self, before.artifacts.clone(), Some((before, Again::Job(job))))
    }

    /// The folder of everything that is kept: machines, artifacts and caches.
    pub fn state(&self) -> &Path {
        self.state.path()
    }

    /// A file of a repository that a `uses` names: `owner/name/path@commit`.
    fn used(&self, uses: &str) -> Result<PathBuf> {
        let (path, _) = uses.split_once('@').context("no commit")?;
        let mut parts = path.splitn(3, '/');
        let (owner, name) = (parts.next().unwrap_or_default(), parts.next().context("no repository")?);
        let folder = self
            .repositories
            .get(&format!("{owner}/{name}"))
            .with_context(|| format!("`{uses}`: there is no such repository"))?;
        let found = folder.join(parts.next().unwrap_or_default());
        ensure!(found.exists(), "`{uses}`: there is no `{}`", found.display());
        Ok(found)
    }
}
