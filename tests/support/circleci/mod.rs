//! A small strict stand-in for CircleCI: a configuration goes in, its workflow is run job by job on this machine.
//!
//! It refuses what CircleCI refuses, and where CircleCI's behaviour is not documented it refuses too, so that nothing
//! generated comes to rely on it. Each job has a mount namespace with an empty `/nix`, `/root` and `/tmp` of its own, sees the
//! workspace layers of its ancestors only, and shares nothing with other jobs but immutable caches.
//!
//! ```ignore
//! let mut pipeline = Pipeline::new(&config)?.nix("/usr/bin").cache_dir(&caches).branch("main");
//! let outcome = pipeline.run()?;
//! assert_eq!(outcome.status("packages.x86_64-linux.a"), Status::Success);
//! let again = pipeline.rerun_from_failed(&outcome)?;
//! ```

mod cache;
mod compile;
mod document;
mod filter;
mod job;
mod orbs;
mod steps;
mod template;
mod workflow;
mod workspace;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

pub use super::api_server::ApiServer;
pub use super::api_server::KEY as CONTINUATION_KEY;
use super::machine;
pub use super::machine::Cancel;
use compile::compile;
use orbs::Registry;

/// How a job ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Status {
    /// Every step that had to succeed did.
    Success,
    /// A step failed.
    Failed,
    /// The workflow was cancelled while the job ran.
    Canceled,
    /// A job that it requires did not end as it should have.
    NotRun,
    /// It names a context that the pipeline has not.
    Unauthorized,
    /// Its machine is of another system than this one.
    Foreign,
}

impl Status {
    /// As `requires` writes it.
    fn name(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failed => "failed",
            Self::Canceled => "canceled",
            Self::NotRun | Self::Foreign => "not_run",
            Self::Unauthorized => "unauthorized",
        }
    }
}

/// What became of a job.
#[derive(Clone, Debug)]
pub struct JobOutcome {
    /// Name in the workflow.
    pub name: String,
    /// How it ended.
    pub status: Status,
    /// All that its steps printed, step by step; empty if it did not run.
    pub log: String,
    /// Folder with what `store_test_results` took.
    pub test_results: PathBuf,
    /// Folder with what `store_artifacts` took.
    pub artifacts: PathBuf,
    /// True for a job that a rerun took over from the run before.
    pub kept: bool,
    /// When it ended, after the run began; none where it did not run.
    #[allow(dead_code, reason = "a benchmark asks")]
    pub ended: Option<std::time::Duration>,
}

/// What became of a workflow.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// In the order of the configuration, without those that filters removed.
    pub jobs: Vec<JobOutcome>,
    /// What a setup workflow continued with.
    pub continuation: Option<String>,
    /// Values of pipeline parameters that it continued with, a JSON object.
    pub continuation_parameters: serde_json::Value,
    /// Where test results and artifacts are.
    folder: Arc<TempDir>,
}

impl Outcome {
    /// A job by its name.
    pub fn job(&self, name: &str) -> &JobOutcome {
        self.jobs
            .iter()
            .find(|job| job.name == name)
            .unwrap_or_else(|| panic!("no job `{name}`: {:?}", self.statuses()))
    }

    /// How a job ended.
    pub fn status(&self, name: &str) -> Status {
        self.job(name).status
    }

    /// Every job's name and end.
    pub fn statuses(&self) -> Vec<(&str, Status)> {
        self.jobs.iter().map(|job| (&*job.name, job.status)).collect()
    }

    /// True if every job succeeded.
    pub fn succeeded(&self) -> bool {
        self.jobs.iter().all(|job| job.status == Status::Success)
    }
}

/// What a pipeline knows beside its configuration.
#[derive(Clone, Debug)]
pub struct Facts {
    /// `pipeline.id`.
    pub id: String,
    /// `pipeline.number`.
    pub number: u64,
    /// `pipeline.git.branch`; empty on a tag.
    pub branch: String,
    /// `pipeline.git.tag`; empty on a branch.
    pub tag: String,
    /// `pipeline.git.revision`.
    pub revision: String,
    /// Values given for pipeline parameters.
    pub parameters: BTreeMap<String, serde_yaml::Value>,
    /// The configuration is the one that sets the pipeline up.
    pub setup: bool,
    /// The orbs that there are.
    pub registry: Registry,
}

/// A configuration and the world that it runs in.
pub struct Pipeline {
    config: String,
    facts: Facts,
    world: machine::World,
    contexts: BTreeMap<String, BTreeMap<String, String>>,
    variables: BTreeMap<String, String>,
    caches: Option<PathBuf>,
    cancel: Cancel,
    /// Where a pipeline in setup is continued.
    api: Option<ApiServer>,
    /// Workspace, job folders, results.
    state: Arc<TempDir>,
    runs: u32,
    next_build: u64,
    /// Jobs that run side by side.
    machines: usize,
}

/// A job whose turn it is.
enum Prepared {
    /// It does not run.
    Ended(JobOutcome),
    /// It runs.
    Due(JobOutcome),
}

impl Pipeline {
    /// A pipeline that was continued with this configuration; refused if CircleCI would refuse it.
    pub fn new(config: &str) -> Result<Self> {
        Self::with(config, None, &Registry::new())
    }

    /// A pipeline in setup.
    pub fn setup(config: &str) -> Result<Self> {
        Self::setup_with(config, &Registry::new(), ApiServer::new([]))
    }

    /// A pipeline in setup whose configuration may name these orbs by their references; `api` stands for circleci.com.
    pub fn setup_with(config: &str, orbs: &Registry, api: ApiServer) -> Result<Self> {
        Self::with(config, Some(api), orbs)
    }

    fn with(config: &str, api: Option<ApiServer>, orbs: &Registry) -> Result<Self> {
        let mut registry = orbs::official(&api.as_ref().map_or_else(|| "https://circleci.com".into(), ApiServer::url));
        registry.extend(orbs.clone());
        let facts = Facts {
            id: "5034460f-c7c4-4c43-9457-de07e2029e7b".into(),
            number: 1,
            branch: "main".into(),
            tag: String::new(),
            revision: "0f2a1e6c5a1f6f0dc1a1a64b0e1e2a3b4c5d6e7f".into(),
            parameters: BTreeMap::new(),
            setup: api.is_some(),
            registry,
        };
        compile(config, &facts)?;
        Ok(Self {
            config: config.to_owned(),
            facts,
            world: machine::World::default(),
            contexts: BTreeMap::new(),
            variables: BTreeMap::new(),
            caches: None,
            cancel: Cancel::default(),
            api,
            state: Arc::new(TempDir::new()?),
            runs: 0,
            next_build: 1,
            machines: 1,
        })
    }

    /// The folder with Nix's programs that images have; it must not be under `/tmp` or `/root`.
    pub fn nix(mut self, programs: impl AsRef<Path>) -> Self {
        self.world.nix = Some(programs.as_ref().to_owned());
        self
    }

    /// More lines for the `nix.conf` of the images.
    pub fn nix_conf(mut self, lines: &str) -> Self {
        self.world.nix_conf.push_str(lines);
        self
    }

    /// Only images of Nix have Nix, and those have little else.
    pub fn plain_images(mut self) -> Self {
        self.world.plain_images = true;
        self
    }

    /// A program that images have on PATH under its own name.
    pub fn program(mut self, file: impl AsRef<Path>) -> Self {
        self.world.programs.push(file.as_ref().to_owned());
        self
    }

    /// What `checkout` gives.
    pub fn checkout(mut self, folder: impl AsRef<Path>) -> Self {
        self.world.checkout = Some(folder.as_ref().to_owned());
        self
    }

    /// Steps run as this user and group, not as root; the home folder is theirs.
    pub fn user(mut self, id: u32) -> Self {
        self.world.user = Some(id);
        self
    }

    /// A script that root runs in the job's namespaces before the first step, to start a Nix daemon for example.
    pub fn before_steps(mut self, script: &str) -> Self {
        self.world.before = Some(script.to_owned());
        self
    }

    /// Where caches live beyond this pipeline; without it they end with it.
    pub fn cache_dir(mut self, folder: impl AsRef<Path>) -> Self {
        self.caches = Some(folder.as_ref().to_owned());
        self
    }

    /// The branch that was pushed.
    pub fn branch(mut self, branch: &str) -> Self {
        (self.facts.branch, self.facts.tag) = (branch.to_owned(), String::new());
        self
    }

    /// The tag that was pushed.
    pub fn tag(mut self, tag: &str) -> Self {
        (self.facts.branch, self.facts.tag) = (String::new(), tag.to_owned());
        self
    }

    /// The pipeline's id.
    pub fn id(mut self, id: &str) -> Self {
        self.facts.id = id.to_owned();
        self
    }

    /// The number of the first job, which has to grow from pipeline to pipeline.
    pub fn build_number(mut self, number: u64) -> Self {
        self.next_build = number;
        self
    }

    /// How many jobs run side by side; one after another without it.
    #[allow(dead_code, reason = "most tests run one after another")]
    pub fn machines(mut self, machines: usize) -> Self {
        self.machines = machines;
        self
    }

    /// A value for a pipeline parameter.
    pub fn parameter(mut self, name: &str, value: impl Into<serde_yaml::Value>) -> Self {
        self.facts.parameters.insert(name.to_owned(), value.into());
        self
    }

    /// A context that jobs may use.
    pub fn context(mut self, name: &str, variables: &[(&str, &str)]) -> Self {
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        self.contexts.insert(name.to_owned(), variables);
        self
    }

    /// An environment variable of the project, which all jobs find; pipelines of forks do not.
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.insert(name.to_owned(), value.to_owned());
        self
    }

    /// A way to cancel from another thread.
    pub fn cancel(&self) -> Cancel {
        self.cancel.clone()
    }

    /// The folder with everything that jobs leave, caches aside.
    pub fn state(&self) -> &Path {
        self.state.path()
    }

    /// Runs the workflow.
    pub fn run(&mut self) -> Result<Outcome> {
        self.run_after(None)
    }

    /// Runs again what did not succeed, and what comes behind it; succeeded jobs keep their results and workspace layers.
    pub fn rerun_from_failed(&mut self, before: &Outcome) -> Result<Outcome> {
        if self.facts.setup {
            bail!("a pipeline cannot be set up twice: Pipeline is not in setup state.");
        }
        self.cancel.reset();
        self.run_after(Some(before))
    }

    /// What becomes of a job whose turn it is: how it has ended without running, or what it begins with.
    fn prepared(
        &self,
        before: Option<&Outcome>,
        compiled: &compile::Compiled,
        at: usize,
        done: &BTreeMap<String, Status>,
        dir: &Path,
    ) -> Result<Prepared> {
        let job = &compiled.jobs[at];
        if let Some(kept) = before.and_then(|before| before.jobs.iter().find(|old| old.name == job.name))
            && kept.status == Status::Success
        {
            return Ok(Prepared::Ended(JobOutcome { kept: true, ..kept.clone() }));
        }
        let mut ended = JobOutcome {
            name: job.name.clone(),
            status: Status::NotRun,
            log: String::new(),
            test_results: dir.join("test-results"),
            artifacts: dir.join("artifacts"),
            kept: false,
            ended: None,
        };
        let missing = job.contexts.iter().any(|name| !self.contexts.contains_key(name));
        ended.status = if self.cancel.is_set() {
            Status::Canceled
        } else if !compiled.is_due(at, done) {
            Status::NotRun
        } else if missing {
            Status::Unauthorized
        } else if job.is_foreign() {
            Status::Foreign
        } else {
            return Ok(Prepared::Due(ended));
        };
        Ok(Prepared::Ended(ended))
    }

    fn run_after(&mut self, before: Option<&Outcome>) -> Result<Outcome> {
        let compiled = compile(&self.config, &self.facts)?;
        self.runs += 1;
        let run_dir = self.state.path().join(format!("run-{}", self.runs));
        let caches = self.caches.clone().unwrap_or_else(|| self.state.path().join("caches"));
        std::fs::create_dir_all(&run_dir).context("no room for a run")?;
        let workspace = workspace::Workspace::new(self.state.path().join("workspace"));
        let mut outcome = Outcome {
            jobs: Vec::new(),
            continuation: None,
            continuation_parameters: serde_json::Value::Null,
            folder: self.state.clone(),
        };
        let mut jobs = Vec::new();
        let mut done: BTreeMap<String, Status> = BTreeMap::new();
        let mut left = compiled.order();
        let start = std::time::Instant::now();
        let mut next_build = self.next_build;
        let (this, compiled, workspace) = (&*self, &compiled, &workspace);
        std::thread::scope(|scope| -> Result<()> {
            let (ended, ends) = std::sync::mpsc::channel();
            let mut running = 0;
            loop {
                let is_ready = |at: &usize| {
                    compiled.jobs[*at]
                        .requires
                        .iter()
                        .all(|(before, _)| done.contains_key(&compiled.jobs[*before].name))
                };
                if let Some(position) = left.iter().position(is_ready).filter(|_| running < this.machines) {
                    let at = left.remove(position);
                    let dir = run_dir.join(at.to_string());
                    match this.prepared(before, compiled, at, &done, &dir)? {
                        Prepared::Ended(outcome) => {
                            done.insert(outcome.name.clone(), outcome.status);
                            jobs.push(outcome);
                        }
                        Prepared::Due(mut outcome) => {
                            workspace.forget(&outcome.name)?;
                            let job = &compiled.jobs[at];
                            let machine = job::machine(&this.world, job, &dir)?;
                            // A context's variable wins over the project's.
                            let mut secrets = this.variables.clone();
                            secrets.extend(job.contexts.iter().flat_map(|name| this.contexts[name].clone()));
                            let (number, caches, ended) = (next_build, caches.clone(), ended.clone());
                            next_build += 1;
                            running += 1;
                            scope.spawn(move || {
                                let status = job::Running {
                                    job,
                                    facts: &this.facts,
                                    machine,
                                    caches: cache::Caches::new(caches),
                                    workspace,
                                    ancestors: compiled.ancestors(at),
                                    order: compiled,
                                    number,
                                    secrets,
                                    cancel: &this.cancel,
                                    outcome: &mut outcome,
                                }
                                .run();
                                // Nobody hears it only where the run has ended with an error.
                                let _ = ended.send(status.map(|status| JobOutcome { status, ..outcome }));
                            });
                        }
                    }
                    continue;
                }
                if running == 0 {
                    return Ok(());
                }
                let mut outcome = ends.recv().context("a job's thread is gone")??;
                outcome.ended = Some(start.elapsed());
                running -= 1;
                done.insert(outcome.name.clone(), outcome.status);
                jobs.push(outcome);
            }
        })?;
        self.next_build = next_build;
        outcome.jobs = jobs;
        let position = |name: &str| compiled.jobs.iter().position(|job| job.name == name);
        outcome.jobs.sort_by_key(|job| position(&job.name));
        if let Some(body) = self.api.as_ref().and_then(ApiServer::continued_with) {
            outcome.continuation = body["configuration"].as_str().map(str::to_owned);
            outcome.continuation_parameters = body["parameters"].clone();
        }
        Ok(outcome)
    }
}
