//! Runs the steps of one job.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::cache::{self, Caches};
use super::compile::{self, Compiled, Job};
use super::machine::{Machine, Start, World, copy_into, note};
use super::steps::{Action, Step, When};
use super::workspace::Workspace;
use super::{CONTINUATION_KEY, Cancel, Facts, JobOutcome, Status};

/// The machine of a job.
pub fn machine(world: &World, job: &Job, dir: &Path) -> Result<Machine> {
    let image = match &job.machine {
        Some(compile::Machine::Docker(image)) => Some(image.as_str()),
        _ => None,
    };
    let variables = [("CIRCLECI", "true"), ("BASH_ENV", "/tmp/.bash_env")];
    let start = Start {
        image,
        shell: job.shell.as_deref(),
        directory: &job.directory,
        user: "circleci",
        variables: &variables,
    };
    let machine = Machine::new(world, &start, dir)?;
    fs::write(dir.join("tmp/.bash_env"), "")?;
    for name in ["circleci", "circleci-agent"] {
        machine.add_program(
            name,
            "#!/bin/sh\n[ \"$*\" = 'step halt' ] && touch /mnt/halt && exit\necho \"not there: $*\" >&2\nexit 1\n",
        )?;
    }
    Ok(machine)
}

/// A job and all that it can reach.
pub struct Running<'a> {
    pub job: &'a Job,
    pub facts: &'a Facts,
    pub machine: Machine,
    pub caches: Caches,
    pub workspace: &'a Workspace,
    pub ancestors: BTreeSet<String>,
    pub order: &'a Compiled,
    pub number: u64,
    pub secrets: BTreeMap<String, String>,
    pub cancel: &'a Cancel,
    pub outcome: &'a mut JobOutcome,
}

impl Running<'_> {
    /// Runs the steps; an error is one of the stand-in, not of the job.
    pub fn run(&mut self) -> Result<Status> {
        if self.job.machine.is_none() {
            return Ok(Status::Success);
        }
        let log = self.log();
        fs::create_dir_all(&self.outcome.artifacts)?;
        fs::create_dir_all(&self.outcome.test_results)?;
        self.machine.before_steps(&log, self.cancel)?;
        let mut failed = false;
        let mut canceled = false;
        for step in &self.job.steps {
            if self.cancel.is_set() {
                canceled = true;
                break;
            }
            if !is_due(step, failed) {
                continue;
            }
            note(&log, &format!("== {}", step.name))?;
            match self.step(step) {
                Ok(true) => {}
                Ok(false) => {
                    canceled = true;
                    break;
                }
                Err(error) => {
                    note(&log, &format!("failed: {error:#}"))?;
                    failed = true;
                }
            }
            if self.machine.outside(Path::new("/mnt/halt"))?.exists() {
                break;
            }
        }
        self.outcome.log = String::from_utf8_lossy(&fs::read(&log).unwrap_or_default()).into_owned();
        Ok(match (canceled, failed) {
            (true, _) => Status::Canceled,
            (false, true) => Status::Failed,
            (false, false) => Status::Success,
        })
    }

    fn log(&self) -> PathBuf {
        self.outcome.artifacts.with_file_name("log")
    }

    /// What a job finds in its environment beside what its machine has.
    fn environment(&self) -> BTreeMap<String, String> {
        let facts = self.facts;
        let mut variables: BTreeMap<String, String> = [
            ("CIRCLE_SHA1", facts.revision.clone()),
            ("CIRCLE_BUILD_NUM", self.number.to_string()),
            ("CIRCLE_JOB", self.job.name.clone()),
            ("CIRCLE_PIPELINE_ID", facts.id.clone()),
            ("CIRCLE_WORKFLOW_ID", format!("workflow-of-{}", facts.id)),
            ("CIRCLE_WORKING_DIRECTORY", self.job.directory.clone()),
            ("CIRCLE_PROJECT_REPONAME", "project".into()),
            ("CIRCLE_NODE_INDEX", "0".into()),
            ("CIRCLE_NODE_TOTAL", "1".into()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into();
        if facts.tag.is_empty() {
            variables.insert("CIRCLE_BRANCH".into(), facts.branch.clone());
        } else {
            variables.insert("CIRCLE_TAG".into(), facts.tag.clone());
        }
        if facts.setup {
            variables.insert("CIRCLE_CONTINUATION_KEY".into(), CONTINUATION_KEY.into());
        }
        variables.extend(self.secrets.clone());
        variables
    }

    /// Runs a step: true when it succeeded, false when the workflow was cancelled, an error when it failed.
    fn step(&mut self, step: &Step) -> Result<bool> {
        let log = self.log();
        let machine = &self.machine;
        let outside = |path: &str| machine.outside(&machine.absolute(path)?);
        let variables = self.environment();
        let key = |template: &str| {
            let scope = cache::KeyScope {
                branch: &self.facts.branch,
                revision: &self.facts.revision,
                number: self.number,
                environment: &variables,
                machine,
            };
            cache::key(template, &scope)
        };
        match &step.action {
            Action::Run { command, shell, directory, environment, reruns } => {
                let directory = machine.absolute(directory.as_deref().unwrap_or("."))?;
                fs::create_dir_all(machine.outside(&directory)?)?;
                let mut variables = variables.clone();
                variables.extend(self.job.environment.iter().cloned());
                variables.extend(environment.iter().cloned());
                let shell = shell.as_deref();
                for left in (0..=*reruns).rev() {
                    match machine.run(command, shell, &directory, &variables, &log, self.cancel)? {
                        None => return Ok(false),
                        Some(status) if status.success() => break,
                        Some(status) if left == 0 => bail!("{status}"),
                        Some(status) => note(&log, &format!("{status}, run again"))?,
                    }
                }
            }
            Action::Checkout => machine.checkout()?,
            Action::SaveCache { key: template, paths } => {
                note(&log, &self.caches.save(&key(template)?, paths, machine)?)?;
            }
            Action::RestoreCache { keys } => {
                let keys = keys.iter().map(|template| key(template)).collect::<Result<Vec<_>>>()?;
                note(&log, &self.caches.restore(&keys, machine)?)?;
                machine.settle()?;
            }
            Action::Persist { root, paths } => self.workspace.persist(&self.job.name, &outside(root)?, paths)?,
            Action::Attach { at } => {
                self.workspace.attach(&self.ancestors, self.order, &outside(at)?)?;
                machine.settle()?;
            }
            Action::StoreTestResults { path } => store(&outside(path)?, &self.outcome.test_results)?,
            Action::StoreArtifacts { path } => store(&outside(path)?, &self.outcome.artifacts)?,
        }
        Ok(true)
    }
}

/// Copies a file into a folder, or a folder's content.
fn store(source: &Path, target: &Path) -> Result<()> {
    let name = source.file_name().context("a path without a name")?;
    if source.is_dir() { copy_into(source, target) } else { copy_into(source, &target.join(name)) }
}

/// After a failed step only those run that say so, and nothing is saved for other jobs.
fn is_due(step: &Step, failed: bool) -> bool {
    let saves = matches!(step.action, Action::SaveCache { .. } | Action::Persist { .. });
    match step.when {
        When::OnSuccess => !failed,
        When::OnFail => failed && !saves,
        When::Always => !failed || !saves,
    }
}
