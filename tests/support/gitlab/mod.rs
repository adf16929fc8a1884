//! A small strict stand-in for GitLab: a `.gitlab-ci.yml` goes in, its pipeline and the child pipelines that it triggers are run job by job on this
//! machine.
//!
//! It refuses what GitLab refuses, and what nobody has taught it. Each job has a machine with an empty `/nix`, sees the artifacts of what
//! it needs alone, and shares nothing with others but caches. Machines of other systems are there: this one says that it is one of them.

mod compile;
mod document;
pub mod event;
pub mod registry;
mod run;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Result, ensure};
use tempfile::TempDir;

use super::machine::World;
use compile::compile;
use event::Event;
pub use run::Outcome;

/// How a job ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Status {
    Success,
    Failed,
    /// Something that it needs did not succeed.
    Skipped,
}

/// A project with its runners.
pub struct GitLab {
    world: World,
    file: String,
    /// Variables of all jobs, and by environment.
    variables: BTreeMap<String, String>,
    environments: BTreeMap<String, BTreeMap<String, String>>,
    /// Jobs whose runner dies in their first attempt.
    dying: Vec<String>,
    /// Variables that only pipelines of protected refs have.
    protected_variables: BTreeMap<String, String>,
    event: Event,
    caches: PathBuf,
    state: Arc<TempDir>,
    /// Pipelines so far.
    pipelines: u64,
}

impl GitLab {
    /// A project whose repository is this folder; its `.gitlab-ci.yml` is given.
    pub fn new(file: &str, checkout: &Path, nix: &Path) -> Result<Self> {
        compile(file)?;
        let world = World { nix: Some(nix.to_owned()), checkout: Some(checkout.to_owned()), ..World::default() };
        let state = Arc::new(TempDir::new()?);
        Ok(Self {
            world,
            file: file.to_owned(),
            variables: BTreeMap::new(),
            environments: BTreeMap::new(),
            dying: Vec::new(),
            protected_variables: BTreeMap::new(),
            event: Event::push("main").protected(),
            caches: state.path().join("caches"),
            state,
            pipelines: 0,
        })
    }

    /// A program that images have on PATH under its own name.
    pub fn program(mut self, file: impl AsRef<Path>) -> Self {
        self.world.programs.push(file.as_ref().to_owned());
        self
    }

    /// More lines for the `nix.conf` of the images.
    pub fn nix_conf(mut self, lines: &str) -> Self {
        self.world.nix_conf.push_str(lines);
        self
    }

    /// A script that root runs in the job's namespaces before the job.
    pub fn before(&mut self, script: &str) {
        self.world.before = Some(script.to_owned());
    }

    /// A variable of the project.
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.insert(name.into(), value.into());
        self
    }

    /// A variable of an environment.
    pub fn in_environment(mut self, environment: &str, name: &str, value: &str) -> Self {
        self.environments.entry(environment.into()).or_default().insert(name.into(), value.into());
        self
    }

    /// A variable of the project for pipelines of protected refs.
    pub fn protected_variable(mut self, name: &str, value: &str) -> Self {
        self.protected_variables.insert(name.into(), value.into());
        self
    }

    /// A file in every cache that there is, as a job of another branch with the same key and paths of its own would save it.
    pub fn poison(&self, file: &str, text: &str) -> usize {
        let caches: Vec<_> = std::fs::read_dir(&self.caches).unwrap().map(|entry| entry.unwrap().path()).collect();
        for cache in &caches {
            let file = cache.join(file);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, text).unwrap();
        }
        caches.len()
    }

    /// What starts the next pipelines.
    pub fn event(&mut self, event: Event) {
        self.event = event;
    }

    /// Whether what has happened starts a pipeline.
    pub fn starts(&self) -> Result<bool> {
        self.event.creates(&document::read(&self.file)?)
    }

    /// The job's runner dies in the first attempt.
    pub fn kill_once(&mut self, job: &str) {
        self.dying.push(job.to_owned());
    }

    /// Runs a pipeline and its children.
    pub fn run(&mut self) -> Result<Outcome> {
        let jobs = compile(&self.file)?;
        ensure!(self.starts()?, "no pipeline is created");
        let world = self.world.clone();
        let clone = TempDir::new()?;
        if let Some(repository) = world.checkout.as_deref().filter(|folder| folder.join(".git").is_dir()) {
            self.event.check_out(repository, clone.path());
            self.world.checkout = Some(clone.path().to_owned());
        }
        let ran = run::run(self, &jobs, None, None);
        self.world = world;
        ran
    }

    /// Runs the failed and skipped jobs of a child pipeline again.
    pub fn retry(&mut self, child: &Outcome) -> Result<Outcome> {
        let jobs = compile(&child.file)?;
        run::run(self, &jobs, child.parent.clone(), Some(child))
    }
}
