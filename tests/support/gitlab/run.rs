//! Runs the jobs of a pipeline, one after the other.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;

use super::compile::{FILE_BYTES, Job, Need, Variable, When, compile};
use super::{GitLab, Status};
use crate::support::machine::{Cancel, Machine, Start, copy_into, note};

/// Where the project is on every machine.
const PROJECT: &str = "/mnt/builds/group/project";

/// What became of a job.
#[derive(Clone, Debug)]
pub struct JobOutcome {
    pub name: String,
    pub status: Status,
    pub log: String,
    /// The folder with its artifacts.
    pub artifacts: PathBuf,
    pub junit: Vec<PathBuf>,
    pub attempts: u64,
    allow_failure: bool,
}

/// The pipeline that a child belongs to.
#[derive(Clone, Debug)]
pub struct Parent {
    id: u64,
    jobs: Vec<JobOutcome>,
    /// Variables of the trigger job.
    variables: BTreeMap<String, String>,
}

/// What became of a pipeline.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub jobs: Vec<JobOutcome>,
    /// The pipelines that it has triggered.
    pub children: Vec<Outcome>,
    pub file: String,
    pub parent: Option<Parent>,
    id: u64,
    folder: Arc<TempDir>,
}

impl Outcome {
    /// A job by its name.
    #[track_caller]
    pub fn job(&self, name: &str) -> &JobOutcome {
        let statuses: Vec<(&str, Status)> = self.jobs.iter().map(|job| (&*job.name, job.status)).collect();
        self.jobs.iter().find(|job| job.name == name).unwrap_or_else(|| panic!("no job `{name}`: {statuses:?}"))
    }

    /// How a job ended.
    #[track_caller]
    pub fn status(&self, name: &str) -> Status {
        self.job(name).status
    }

    /// True where no job but those that may has failed.
    pub fn succeeded(&self) -> bool {
        self.jobs.iter().all(|job| job.status == Status::Success || job.allow_failure)
    }

    /// Everything that was printed.
    pub fn logs(&self) -> String {
        let own = self.jobs.iter().map(|job| format!("##### {} {:?}\n{}\n", job.name, job.status, job.log));
        own.chain(self.children.iter().map(Self::logs)).collect()
    }
}

/// Runs a pipeline; what succeeded in `before` is kept.
pub fn run(gitlab: &mut GitLab, jobs: &[Job], parent: Option<Parent>, before: Option<&Outcome>) -> Result<Outcome> {
    gitlab.pipelines += 1;
    let run = gitlab.pipelines;
    let id = before.map_or(1000 + run, |before| before.id);
    let mut outcome = Outcome {
        jobs: Vec::new(),
        children: Vec::new(),
        file: before.map_or_else(String::new, |before| before.file.clone()),
        parent,
        id,
        folder: gitlab.state.clone(),
    };
    while outcome.jobs.len() < jobs.len() {
        let is_done = |name: &str| outcome.jobs.iter().any(|done| done.name == name);
        let is_due = |job: &&Job| {
            !is_done(&job.name)
                && match &job.needs {
                    Some(needs) => needs.iter().all(|need| match need {
                        Need::Own { job, .. } => is_done(job),
                        Need::Parent { .. } => true,
                    }),
                    None => jobs.iter().all(|other| other.stage >= job.stage || is_done(&other.name)),
                }
        };
        let job = jobs.iter().find(is_due).context("no job is due")?;
        let kept = before.and_then(|before| before.jobs.iter().find(|old| old.name == job.name));
        let ended = match kept.filter(|kept| kept.status == Status::Success) {
            Some(kept) => kept.clone(),
            None => one(gitlab, jobs, job, &mut outcome, run)?,
        };
        outcome.jobs.push(ended);
    }
    outcome.jobs.sort_by_key(|ended| jobs.iter().position(|job| job.name == ended.name));
    Ok(outcome)
}

/// Runs one job, or says why it does not run.
fn one(gitlab: &mut GitLab, jobs: &[Job], job: &Job, outcome: &mut Outcome, run: u64) -> Result<JobOutcome> {
    let number = jobs.iter().position(|other| other.name == job.name).unwrap_or_default();
    let dir = gitlab.state.path().join(format!("{run}-{number}"));
    let mut ended = JobOutcome {
        name: job.name.clone(),
        status: Status::Skipped,
        log: String::new(),
        artifacts: dir.join("artifacts"),
        junit: Vec::new(),
        attempts: 0,
        allow_failure: job.allow_failure,
    };
    let waited: Vec<&JobOutcome> = match &job.needs {
        Some(needs) => needs
            .iter()
            .filter_map(|need| match need {
                Need::Own { job, .. } => outcome.jobs.iter().find(|done| done.name == *job),
                Need::Parent { .. } => None,
            })
            .collect(),
        None => {
            let earlier = |name: &str| jobs.iter().any(|other| other.name == name && other.stage < job.stage);
            outcome.jobs.iter().filter(|done| earlier(&done.name)).collect()
        }
    };
    let all_well = waited
        .iter()
        .all(|done| done.status == Status::Success || (done.allow_failure && done.status == Status::Failed));
    let is_due = match job.when {
        When::OnSuccess => all_well,
        When::OnFailure => !all_well,
        When::Always => true,
    };
    if !is_due {
        return Ok(ended);
    }
    if let Some(trigger) = &job.trigger {
        ended.status = child(gitlab, job, trigger, outcome)?;
        return Ok(ended);
    }
    loop {
        ended.attempts += 1;
        fs::create_dir_all(&ended.artifacts)?;
        ended.status = attempt(gitlab, job, outcome, &dir.join(ended.attempts.to_string()), &mut ended)?;
        let died = ended.status == Status::Failed && ended.log.ends_with("the runner died\n");
        if !died || ended.attempts > job.retries || !job.retried.iter().any(|cause| cause == "runner_system_failure") {
            return Ok(ended);
        }
    }
}

/// The system of a job's machine, where it is not this one.
fn foreign(job: &Job) -> Option<&'static str> {
    let has = |word: &str| job.tags.iter().any(|tag| tag.contains(word));
    if has("macos") { Some("aarch64-darwin") } else { has("arm64").then_some("aarch64-linux") }
}

/// Triggers a child pipeline and runs it to its end.
fn child(gitlab: &mut GitLab, job: &Job, trigger: &super::compile::Trigger, outcome: &mut Outcome) -> Result<Status> {
    let from =
        outcome.jobs.iter().find(|done| done.name == trigger.job).context("`include` names a job that has not run")?;
    let bytes = size(&from.artifacts)?;
    ensure!(bytes <= FILE_BYTES, "the archive with the child pipeline has {bytes} bytes");
    let file = fs::read_to_string(from.artifacts.join(&trigger.artifact)).context("the child pipeline's file")?;
    let predefined = predefined(gitlab, job, outcome);
    let variables = expand_all(&job.variables, &predefined)?;
    let parent = Parent { id: outcome.id, jobs: outcome.jobs.clone(), variables };
    let jobs = compile(&file).context("the child pipeline")?;
    let child = gitlab.event.clone().with("CI_PIPELINE_SOURCE", "parent_pipeline");
    ensure!(child.creates(&super::document::read(&file)?)?, "the child pipeline is not created");
    let mut child = run(gitlab, &jobs, Some(parent), None)?;
    child.file = file;
    let status = if child.succeeded() || !trigger.depends { Status::Success } else { Status::Failed };
    outcome.children.push(child);
    Ok(status)
}

fn size(dir: &Path) -> Result<u64> {
    let mut total = 0;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        total += if entry.file_type()?.is_dir() { size(&entry.path())? } else { entry.metadata()?.len() };
    }
    Ok(total)
}

/// What GitLab says of the pipeline and the job.
fn predefined(gitlab: &GitLab, job: &Job, outcome: &Outcome) -> BTreeMap<String, String> {
    let git = gitlab.world.checkout.as_deref().filter(|folder| folder.join(".git").is_dir());
    let none = || "0f2a1e6c5a1f6f0dc1a1a64b0e1e2a3b4c5d6e7f".to_owned();
    let commit = git.map_or_else(none, |folder| crate::support::run(folder, "git", &["rev-parse", "HEAD"]));
    let mut all: BTreeMap<String, String> = [
        ("GITLAB_CI", "true"),
        ("CI_PIPELINE_ID", &outcome.id.to_string()),
        ("CI_PROJECT_ID", "42"),
        ("CI_PROJECT_DIR", PROJECT),
        ("CI_COMMIT_SHA", &commit),
        ("CI_DEFAULT_BRANCH", "main"),
        ("CI_JOB_NAME", &job.name),
        ("CI_JOB_TOKEN", "glcbt-token"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    all.extend(gitlab.event.variables.clone());
    if outcome.parent.is_some() {
        all.insert("CI_PIPELINE_SOURCE".into(), "parent_pipeline".into());
    }
    all.extend(gitlab.variables.clone());
    if gitlab.event.protected {
        all.extend(gitlab.protected_variables.clone());
    }
    all
}

/// `$NAME` and `${NAME}` of a text; `$$` is a `$`.
fn expand(text: &str, variables: &BTreeMap<String, String>) -> String {
    let mut expanded = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        expanded.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            expanded.push('$');
            rest = after;
            continue;
        }
        let (name, after) = match rest.strip_prefix('{').and_then(|inner| inner.split_once('}')) {
            Some((name, after)) => (name, after),
            None => rest.split_at(rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len())),
        };
        expanded.push_str(variables.get(name).map_or("", String::as_str));
        rest = after;
    }
    expanded.push_str(rest);
    expanded
}

fn expand_all(own: &BTreeMap<String, Variable>, known: &BTreeMap<String, String>) -> Result<BTreeMap<String, String>> {
    let value = |variable: &Variable| match variable.expand {
        true => expand(&variable.value, known),
        false => variable.value.clone(),
    };
    Ok(own.iter().map(|(name, variable)| (name.clone(), value(variable))).collect())
}

/// One attempt at a job.
fn attempt(gitlab: &mut GitLab, job: &Job, outcome: &Outcome, dir: &Path, ended: &mut JobOutcome) -> Result<Status> {
    let mut variables = predefined(gitlab, job, outcome);
    variables.extend(expand_all(&job.variables, &variables.clone())?);
    if let Some(parent) = &outcome.parent {
        variables.extend(parent.variables.clone());
    }
    if let Some(environment) = &job.environment {
        variables.extend(gitlab.environments.get(environment).cloned().unwrap_or_default());
    }
    let image = job.image.as_deref().map(|image| expand(image, &variables));
    let start = Start { image: image.as_deref(), shell: None, directory: PROJECT, user: "runner", variables: &[] };
    fs::create_dir_all(dir)?;
    let mut world = gitlab.world.clone();
    // Builders are shell scripts: Nix runs them for whatever system it is told to be.
    world.nix_conf.extend(foreign(job).map(|system| format!("system = {system}\n")));
    let machine = Machine::new(&world, &start, dir)?;
    let project = machine.outside(Path::new(PROJECT))?;
    match variables.get("GIT_STRATEGY").map_or("fetch", String::as_str) {
        "fetch" | "clone" => machine.checkout()?,
        "empty" | "none" => {}
        other => bail!("the strategy `{other}`"),
    }
    let protected = if gitlab.event.protected { "protected" } else { "non_protected" };
    let log = dir.join("log");
    for cache in &job.cache {
        let keys = [&cache.key].into_iter().chain(&cache.fallback);
        let folders = keys.map(|key| gitlab.caches.join(format!("{}-{protected}", expand(key, &variables))));
        if let Some(found) = folders.into_iter().find(|folder| folder.is_dir()) {
            note(&log, &format!("restored {}", found.file_name().unwrap_or_default().to_string_lossy()))?;
            copy_into(&found, &project)?;
        }
    }
    for artifacts in taken(job, outcome, &variables)? {
        if artifacts.is_dir() {
            copy_into(&artifacts, &project)?;
        }
    }
    machine.settle()?;
    machine.before_steps(&log, &Cancel::default())?;
    let mut status = Status::Success;
    let dies = gitlab.dying.iter().position(|name| *name == job.name).map(|at| gitlab.dying.remove(at)).is_some();
    if dies {
        note(&log, "the runner died")?;
        status = Status::Failed;
    } else {
        let script = job.script.join("\n");
        let ran = machine.run(&script, None, Path::new(PROJECT), &variables, &log, &Cancel::default())?;
        if !ran.is_some_and(|ran| ran.success()) {
            status = Status::Failed;
        }
        let is_kept = |when| match when {
            When::Always => true,
            When::OnSuccess => status == Status::Success,
            When::OnFailure => status == Status::Failed,
        };
        for cache in job.cache.iter().filter(|cache| cache.is_pushed && is_kept(cache.when)) {
            let folder = gitlab.caches.join(format!("{}-{protected}", expand(&cache.key, &variables)));
            for path in &cache.paths {
                keep(&project, &expand(path, &variables), &folder)?;
            }
        }
        if is_kept(job.keep) {
            for path in &job.artifacts {
                keep(&project, &expand(path, &variables), &ended.artifacts)?;
            }
            for pattern in &job.excluded {
                exclude(&ended.artifacts, pattern)?;
            }
        }
        let reports = job.junit.iter().map(|path| project.join(expand(path, &variables)));
        ended.junit = reports.filter(|path| path.is_file()).collect();
    }
    ended.log = String::from_utf8_lossy(&fs::read(&log).unwrap_or_default()).into_owned();
    Ok(status)
}

/// The folders of artifacts that a job finds.
fn taken(job: &Job, outcome: &Outcome, variables: &BTreeMap<String, String>) -> Result<Vec<PathBuf>> {
    let own = |name: &str| outcome.jobs.iter().find(|done| done.name == name).map(|done| done.artifacts.clone());
    match (&job.needs, &job.dependencies) {
        (Some(needs), _) => {
            let mut found = Vec::new();
            for need in needs {
                match need {
                    Need::Own { job, artifacts: true } => found.extend(own(job)),
                    Need::Own { .. } => {}
                    Need::Parent { pipeline, job: name } => {
                        let parent = outcome.parent.as_ref().context("a pipeline without a parent")?;
                        let id = expand(pipeline, variables);
                        ensure!(id == parent.id.to_string(), "job `{}` needs a job of pipeline `{id}`", job.name);
                        let done =
                            parent.jobs.iter().find(|done| done.name == *name).context("no such job in the parent")?;
                        found.push(done.artifacts.clone());
                    }
                }
            }
            Ok(found)
        }
        (None, Some(names)) => Ok(names.iter().filter_map(|name| own(name)).collect()),
        (None, None) => Ok(outcome.jobs.iter().map(|done| done.artifacts.clone()).collect()),
    }
}

/// Removes what a pattern `…/*/…/**/*` means from a folder.
fn exclude(folder: &Path, pattern: &str) -> Result<()> {
    let (before, after) =
        pattern.strip_suffix("/**/*").and_then(|rest| rest.split_once("/*/")).context("another pattern")?;
    for entry in fs::read_dir(folder.join(before)).into_iter().flatten() {
        let excluded = entry?.path().join(after);
        if excluded.is_dir() {
            fs::remove_dir_all(excluded)?;
        }
    }
    Ok(())
}

/// Copies a path of the project, if it is there, to the same place below a folder.
fn keep(project: &Path, path: &str, into: &Path) -> Result<()> {
    let relative = Path::new(path.trim_end_matches('/'));
    let is_inside = relative.components().all(|part| matches!(part, Component::Normal(_)));
    ensure!(is_inside && !path.contains('*'), "`{path}` is not a path below the project");
    let from = project.join(relative);
    if !from.exists() {
        return Ok(());
    }
    let target = into.join(relative);
    if target.exists() {
        fs::remove_dir_all(&target)?;
    }
    copy_into(&from, &target)
}
