//! A configuration's text goes in, the jobs of its one workflow come out, everything inlined.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail, ensure};
use serde_yaml::{Mapping, Value};

use super::document::{entries, mapping, optional_string, read};
use super::orbs::{Kind, Sources};
use super::steps::{self, Step};
use super::template::{Scope, bind, truth};
use super::{Facts, Status, workflow};

/// Types of a job's, a command's or an executor's parameters.
pub const PARAMETER_TYPES: [&str; 7] = ["string", "boolean", "integer", "enum", "steps", "executor", "env_var_name"];

/// What a job may say.
const JOB_KEYS: [&str; 12] = [
    "type",
    "description",
    "parameters",
    "executor",
    "docker",
    "machine",
    "macos",
    "resource_class",
    "shell",
    "working_directory",
    "environment",
    "steps",
];

/// What a job runs on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Machine {
    /// A container of this image.
    Docker(String),
    /// A virtual machine with Linux.
    Vm,
    /// Another system than this one.
    Foreign,
}

/// A job with its whole body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// Name in the workflow.
    pub name: String,
    /// None for a job that runs nothing.
    pub machine: Option<Machine>,
    /// `shell` of the job or its executor.
    pub shell: Option<String>,
    /// `working_directory` of the job.
    pub directory: String,
    /// `environment` of executor and job, the job's last.
    pub environment: Vec<(String, String)>,
    /// The steps.
    pub steps: Vec<Step>,
    /// Index of each job that it waits for, with the ends that it waits for.
    pub requires: Vec<(usize, Vec<String>)>,
    /// Contexts.
    pub contexts: Vec<String>,
    /// True if all jobs that it waits for are removed by filters, which removes it as well.
    pub removed: bool,
}

impl Job {
    /// True if this machine cannot run it.
    pub fn is_foreign(&self) -> bool {
        self.machine == Some(Machine::Foreign)
    }
}

/// The jobs of the workflow, in the order of the configuration; those that filters remove are gone.
#[derive(Clone, Debug)]
pub struct Compiled {
    pub jobs: Vec<Job>,
}

impl Compiled {
    /// Indexes so that every job stands behind those that it waits for, otherwise as in the configuration.
    pub fn order(&self) -> Vec<usize> {
        let mut order = Vec::new();
        let mut placed = vec![false; self.jobs.len()];
        while order.len() < self.jobs.len() {
            let next = (0..self.jobs.len())
                .find(|&at| !placed[at] && self.jobs[at].requires.iter().all(|&(before, _)| placed[before]))
                .expect("cycles are refused");
            placed[next] = true;
            order.push(next);
        }
        order
    }

    /// True if the jobs that it waits for ended as it wants.
    pub fn is_due(&self, at: usize, done: &BTreeMap<String, Status>) -> bool {
        self.jobs[at].requires.iter().all(|(before, wanted)| {
            let status = done[&self.jobs[*before].name];
            wanted.iter().any(|wanted| wanted == status.name() || wanted == "terminal")
        })
    }

    /// The names of all jobs before this one.
    pub fn ancestors(&self, at: usize) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        let mut open = vec![at];
        while let Some(at) = open.pop() {
            for (before, _) in &self.jobs[at].requires {
                if found.insert(self.jobs[*before].name.clone()) {
                    open.push(*before);
                }
            }
        }
        found
    }

    /// The index of a job.
    pub fn position(&self, name: &str) -> usize {
        self.jobs.iter().position(|job| job.name == name).expect("names come from here")
    }
}

/// Under this key stands an executor that a parameter brought, written out.
const RESOLVED: &str = "(executor)";

/// Compiles a configuration, or says why CircleCI would refuse it.
pub fn compile(text: &str, facts: &Facts) -> Result<Compiled> {
    let config = read(text)?;
    let keys = ["version", "setup", "orbs", "parameters", "executors", "commands", "jobs", "workflows"];
    let top = mapping(&config, "the configuration", &keys)?;
    let version = top.get("version").context("no `version`")?;
    ensure!(version.as_f64() == Some(2.1) || version.as_str() == Some("2.1"), "`version` is not 2.1");
    let setup = top.get("setup").is_some_and(|setup| *setup == Value::Bool(true));
    ensure!(setup == facts.setup, "`setup: true` belongs to the configuration that sets a pipeline up, and only there");
    let given: Mapping = facts.parameters.iter().map(|(name, value)| (name.clone().into(), value.clone())).collect();
    let pipeline_parameters =
        bind(top.get("parameters"), &given, "the pipeline", &["string", "boolean", "integer", "enum"])?;
    ensure!(pipeline_parameters.len() <= 100, "more than 100 pipeline parameters");
    for (name, declaration) in entries(top, "parameters")? {
        ensure!(declaration.get("default").is_some(), "the pipeline parameter `{name}` has no default");
    }
    let sources = Sources::new(top, &facts.registry, false)?;
    let scope = Scope { pipeline: facts, pipeline_parameters: &pipeline_parameters, parameters: None, in_orb: false };
    let mut lower = BTreeSet::new();
    for (key, body) in sources.jobs()? {
        mapping(body, &format!("job `{key}`"), &JOB_KEYS)?;
        let first = key.chars().next().is_some_and(|c| c.is_ascii_alphabetic());
        let rest = key.chars().all(|c| c.is_ascii_alphanumeric() || c.is_whitespace() || c == '_' || c == '-');
        ensure!(first && rest, "the job key `{key}`");
        ensure!(lower.insert(key.to_lowercase()), "the job key `{key}` twice, without regard to case");
    }

    let mut running = Vec::new();
    for (name, workflow) in entries(top, "workflows")? {
        if name == "version" {
            continue;
        }
        let workflow = mapping(workflow, &format!("workflow `{name}`"), &["jobs", "when", "unless"])?;
        let condition = |key: &str| workflow.get(key).map(|value| truth(&scope.expand(value)?)).transpose();
        if condition("when")?.unwrap_or(true) && !condition("unless")?.unwrap_or(false) {
            running.push((name, workflow));
        }
    }
    ensure!(running.len() == 1, "{} workflows would run, the stand-in (and a setup) takes one", running.len());
    let (name, workflow) = running[0];
    let invocations =
        workflow.get("jobs").and_then(Value::as_sequence).with_context(|| format!("workflow `{name}` has no jobs"))?;
    ensure!(!invocations.is_empty(), "workflow `{name}` has no jobs");
    workflow::compile(&sources, &scope, invocations, facts)
}

/// Compiles an invocation of a job: `caller` and `scope` are where it stands.
pub fn compile_job(caller: &Sources, scope: &Scope, key: &str, given: &Mapping, place: &str) -> Result<Job> {
    let (sources, body) =
        caller.find(Kind::Job, key).with_context(|| format!("Cannot find a definition for job {key}"))?;
    let body = mapping(body, place, &JOB_KEYS)?;
    let mut values = bind(body.get("parameters"), given, place, &PARAMETER_TYPES)?;
    for (name, declaration) in entries(body, "parameters")? {
        if declaration.get("type").is_some_and(|kind| kind == "executor") {
            // A name that is given belongs to who gives it, a default to who declares it.
            let owner = if given.contains_key(name) { caller } else { sources };
            let executor = resolve_executor(owner, scope, &values[name], place)?;
            let resolved = [(Value::from(RESOLVED), Value::Mapping(executor))].into_iter().collect();
            values.insert(name.to_owned(), Value::Mapping(resolved));
        }
    }
    let scope = scope.inside(sources.is_orb, values);
    let mut job = Job {
        name: String::new(),
        machine: None,
        shell: None,
        directory: "~/project".into(),
        environment: Vec::new(),
        steps: Vec::new(),
        requires: Vec::new(),
        contexts: Vec::new(),
        removed: false,
    };
    match optional_string(body, "type", place)?.as_deref() {
        None | Some("build") => {}
        Some("no-op") => {
            ensure!(body.len() == 1, "{place} is of type `no-op` and has more than that");
            return Ok(job);
        }
        Some(other) => bail!("{place}: the stand-in has no jobs of type `{other}`"),
    }
    if let Some(executor) = body.get("executor") {
        apply_executor(sources, &scope, &scope.expand(executor)?, &mut job, place)?;
    }
    apply_machine(&scope, body, &mut job, place)?;
    ensure!(job.machine.is_some(), "{place} has no executor");
    let steps = body.get("steps").with_context(|| format!("{place} has no steps"))?;
    steps::compile(sources, steps, &scope, place, 0, &mut job.steps)?;
    ensure!(steps.as_sequence().is_some_and(|steps| !steps.is_empty()), "{place} has no steps");
    job.steps.iter_mut().for_each(unescape);
    Ok(job)
}

fn unescape(step: &mut Step) {
    use super::steps::Action::*;
    let plain = |text: &mut String| *text = super::template::unescaped(text);
    plain(&mut step.name);
    match &mut step.action {
        Run { command, environment, .. } => {
            plain(command);
            environment.iter_mut().for_each(|(_, value)| plain(value));
        }
        SaveCache { key, paths } => {
            plain(key);
            paths.iter_mut().for_each(plain);
        }
        RestoreCache { keys } => keys.iter_mut().for_each(plain),
        _ => {}
    }
}

fn apply_executor(sources: &Sources, scope: &Scope, executor: &Value, job: &mut Job, place: &str) -> Result<()> {
    let body = match executor.get(RESOLVED).and_then(Value::as_mapping) {
        Some(resolved) => resolved.clone(),
        None => resolve_executor(sources, scope, executor, place)?,
    };
    apply_machine(&scope.with(BTreeMap::new()), &body, job, place)
}

/// An executor with its parameters filled in.
fn resolve_executor(sources: &Sources, scope: &Scope, executor: &Value, place: &str) -> Result<Mapping> {
    let (name, arguments) = match executor {
        Value::String(name) => (name.clone(), Mapping::new()),
        Value::Mapping(map) => {
            let name = map
                .get("name")
                .and_then(Value::as_str)
                .with_context(|| format!("{place}: an executor without a name"))?;
            let mut arguments = map.clone();
            arguments.remove("name");
            (name.to_owned(), arguments)
        }
        _ => bail!("{place}: `executor` is neither a name nor a mapping"),
    };
    let (sources, body) = sources
        .find(Kind::Executor, &name)
        .with_context(|| format!("{place}: Cannot find a definition for executor named {name}"))?;
    let keys = [
        "description",
        "parameters",
        "docker",
        "machine",
        "macos",
        "resource_class",
        "shell",
        "working_directory",
        "environment",
    ];
    let body = mapping(body, &format!("executor `{name}`"), &keys)?;
    let values = bind(body.get("parameters"), &arguments, &format!("executor `{name}`"), &PARAMETER_TYPES)?;
    let mut body = body.clone();
    body.remove("parameters");
    match scope.inside(sources.is_orb, values).expand(&Value::Mapping(body))? {
        Value::Mapping(body) => Ok(body),
        _ => bail!("{place}: executor `{name}` is not a mapping"),
    }
}

/// What executors and jobs both may say.
fn apply_machine(scope: &Scope, body: &Mapping, job: &mut Job, place: &str) -> Result<()> {
    let get = |key: &str| body.get(key).map(|value| scope.expand(value)).transpose();
    let kinds = ["docker", "machine", "macos"].iter().filter(|kind| body.contains_key(**kind)).count();
    ensure!(kinds <= 1, "{place} has more than one of `docker`, `machine`, `macos`");
    if let Some(docker) = get("docker")? {
        let list = docker.as_sequence().with_context(|| format!("{place}: `docker` is not a list"))?;
        let first = list.first().with_context(|| format!("{place}: `docker` is empty"))?;
        let image = mapping(first, place, &["image", "environment", "user"])?;
        let image = image
            .get("image")
            .and_then(Value::as_str)
            .with_context(|| format!("{place}: a container without an image"))?;
        job.machine = Some(Machine::Docker(image.to_owned()));
    }
    if let Some(machine) = get("machine")? {
        ensure!(
            machine == true || machine.get("image").is_some_and(Value::is_string),
            "{place}: a machine without an image"
        );
        job.machine = Some(Machine::Vm);
    }
    if let Some(macos) = get("macos")? {
        ensure!(macos.get("xcode").is_some(), "{place}: `macos` without `xcode`");
        job.machine = Some(Machine::Foreign);
    }
    let expanded = scope.expand(&Value::Mapping(
        body.iter().filter(|(key, _)| *key != "steps").map(|(k, v)| (k.clone(), v.clone())).collect(),
    ))?;
    let expanded = expanded.as_mapping().context("it stays a mapping")?;
    if let Some(class) = optional_string(expanded, "resource_class", place)?
        && class.starts_with("arm.")
        && cfg!(target_arch = "x86_64")
    {
        job.machine = Some(Machine::Foreign);
    }
    if let Some(shell) = optional_string(expanded, "shell", place)? {
        job.shell = Some(shell);
    }
    if let Some(directory) = optional_string(expanded, "working_directory", place)? {
        ensure!(!directory.contains('$'), "{place}: variables do not work in `working_directory`");
        job.directory = directory;
    }
    job.environment.extend(steps::environment(expanded, place)?);
    Ok(())
}
