//! CircleCI: a plan goes in, a configuration that is complete in itself comes out, ready to be handed to a pipeline in setup.
//!
//! It has one parameterised job a kind of machine and one workflow, [`WORKFLOW`], which invokes these jobs under the names of
//! the plan, plus the job [`GATE`] behind all others and, where something could not be planned, one that reports that. Before it leaves, the text is read back and put through [`check`].

pub mod api;
pub mod check;
pub mod continuation;
pub mod continue_pipeline;
mod deliver;
pub mod environment;
mod evaluation;
pub mod final_steps;
pub mod limits;
pub mod machines;
pub mod merge;
pub mod names;
pub mod options;
pub mod pipeline_parameters;
pub mod report;
mod restore;
#[cfg(test)]
mod same_as_orb;
pub mod setup_job;
pub mod start_up;
pub mod steps;
pub mod template;
pub mod transport;
pub mod writer;

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail, ensure};

use super::job_script::kinds::{Kind, Machines, reuse_hash};
use super::yaml::{self, Yaml};
use super::{made, small_job};
use crate::delivery::{Reuse, Sign};
use crate::fleet::executor::Executor;
use crate::fleet::size::Machine;
use crate::plan::final_job::FinalJob;
use crate::plan::{Job, JobIndex, Plan, delivery_job, failures, json, nothing, worker_job};
use machines::OFFERS;
use names::{GATE, PREVIEW, REPORT, RESERVED, WORKFLOW};
use options::Options;
use pipeline_parameters::ParameterDefault;
use restore::Restores;
use transport::Transport;

/// Without filters nothing runs on a tag; with this every branch and every tag does.
const EVERYWHERE: &str = "pipeline.git.branch or pipeline.git.tag";

/// Writes the configuration of a plan, or says which rule of CircleCI's it would break.
pub fn generate(plan: &Plan, options: &Options) -> Result<String> {
    options.check()?;
    let transport = Transport::new(plan, options)?;
    let text = write(plan, options, transport)?;
    let config = serde_yaml::from_str(&text).context("the generated configuration is not YAML")?;
    let mut problems = check::check(&config, &options.limits);
    let foreign: BTreeSet<&str> = merge::job_names(&options.merge).collect();
    problems.extend(check::check_own(&config, transport.is_guarded, |name| foreign.contains(name)));
    ensure!(
        problems.is_empty(),
        "CircleCI would refuse the configuration{}:\n  {}",
        merge::named(&options.merge),
        problems.join("\n  ")
    );
    Ok(text)
}

/// The text, unchecked.
fn write(plan: &Plan, options: &Options, transport: Transport) -> Result<String> {
    let machines = Machines {
        executors: &options.setup.executors,
        offers: &OFFERS,
        bundle: options.setup.bundle.as_ref(),
        downloads: &options.setup.downloads,
    };
    let mut kinds: Vec<Kind> = Vec::new();
    let mut building = BTreeSet::new();
    let mut invocations = Vec::with_capacity(plan.jobs.len() + plan.final_jobs.len() + 1);
    let mut commands = Vec::new();
    let reports = failures::are_in(plan);
    let mut restores = transport.is_guarded.then(|| Restores::new(plan));
    for (at, job) in plan.all_jobs().enumerate() {
        let what = || format!("job `{}` cannot be written for CircleCI", job.name.escape_debug());
        check_job(job)?;
        let kind = machines.kind_of(job, &mut kinds).with_context(what)?;
        let final_job = plan.final_job(JobIndex(at as u32));
        match final_job.and_then(|final_job| Some((final_job, final_job.run.as_deref()?))) {
            Some((final_job, command)) => {
                let key = format!("final-{}", job.id);
                let mut also = waits_for(&mut restores, job, None);
                also.extend(reports.then(|| failures::JOB.to_owned()));
                let group = final_job.resource_group.iter().map(|group| ("serial-group", Yaml::text(group)));
                invocations
                    .push(Invocation { arguments: group.collect(), ..Invocation::plain(job, &key, also) }.yaml(plan));
                let steps = final_steps::of(final_job, command, kind, options, transport).with_context(what)?;
                let body = [("executor", Yaml::text(&kind.executor)), ("steps", Yaml::List(steps))];
                commands.push((key, Yaml::map(body)));
            }
            None => {
                building.insert(kind.job.clone());
                let hash = (transport.reuse != Reuse::Off).then(|| reuse_hash(job, kind));
                let restored = hash.clone().filter(|_| transport.reuse == Reuse::Signed);
                let also = waits_for(&mut restores, job, restored);
                let attach = !options.has_workspace() || transport.is_guarded || !job.inputs.is_empty();
                let delivery = &options.setup.delivery;
                let signs = delivery.sign == Sign::Jobs && final_job.is_none_or(FinalJob::builds);
                let contexts = if signs { delivery.contexts.as_slice() } else { &[] };
                let arguments = arguments(job, hash, attach);
                invocations.push(Invocation { job, key: &kind.job, arguments, contexts, also }.yaml(plan));
            }
        }
    }
    if reports {
        let job = small_job::of(failures::JOB, &options.setup, &OFFERS)?;
        let kind = machines.kind_of(&job, &mut kinds)?;
        let steps = evaluation::steps(kind, options, transport)?;
        let body = [("executor", Yaml::text(&kind.executor)), ("steps", Yaml::List(steps))];
        commands.push((failures::JOB.to_owned(), Yaml::map(body)));
        let also = waits_for(&mut restores, &job, None);
        invocations.push(Invocation::plain(&job, failures::JOB, also).yaml(plan));
    }
    let delivers = if options.setup.delivery.sign == Sign::Separate { delivery_job::of(plan)? } else { None };
    if let Some(wanted) = &delivers {
        let (requires, inputs) = (wanted.requires.clone(), wanted.inputs.clone());
        let job = Job { requires, inputs, ..small_job::of(delivery_job::JOB, &options.setup, &OFFERS)? };
        let kind = machines.kind_of(&job, &mut kinds)?;
        let steps = deliver::steps(kind, options, transport)?;
        let body = [("executor", Yaml::text(&kind.executor)), ("steps", Yaml::List(steps))];
        commands.push((delivery_job::JOB.to_owned(), Yaml::map(body)));
        let contexts = &options.setup.delivery.contexts;
        invocations.push(Invocation { contexts, ..Invocation::plain(&job, delivery_job::JOB, Vec::new()) }.yaml(plan));
    }
    if let (Some(restores), Some(bundle), false) = (restores, &options.setup.bundle, invocations.is_empty()) {
        let mut first = Vec::new();
        for (job, hashes) in restores.jobs(options)? {
            let kind = machines.kind_of(&job, &mut kinds)?;
            let steps = Yaml::List(restore::steps_of(kind, bundle, &job, hashes));
            commands.push((job.id.clone(), Yaml::map([("executor", Yaml::text(&kind.executor)), ("steps", steps)])));
            first.push(Invocation::plain(&job, &job.id, Vec::new()).yaml(plan));
        }
        invocations.splice(0..0, first);
    }
    let stored = options.setup.records_in.as_ref();
    if let Some(bundle) = options.setup.bundle.as_ref().filter(|_| !plan.jobs.is_empty()) {
        let job = small_job::of(REPORT, &options.setup, &OFFERS)?;
        let kind = machines.kind_of(&job, &mut kinds)?;
        let steps = match stored {
            Some(stored) => report::steps_in_store(kind, bundle, stored, options)?,
            None => report::steps(kind, bundle, plan, options, transport)?,
        };
        let body = [("executor", Yaml::text(&kind.executor)), ("steps", Yaml::List(steps))];
        commands.push((REPORT.to_owned(), Yaml::map(body)));
        let (no_ops, requires) = report::Waits::new(plan).yaml(EVERYWHERE);
        invocations.extend(no_ops);
        let mut entries = vec![("name", Yaml::text(REPORT))];
        // It builds nothing, and writes to the store.
        let contexts = stored.map_or(&[][..], |_| &options.setup.delivery.contexts);
        if !contexts.is_empty() {
            entries.push(("context", Yaml::texts(contexts)));
        }
        entries.extend([("requires", requires), ("filters", Yaml::text(EVERYWHERE))]);
        invocations.push(Yaml::entry(REPORT, Yaml::map(entries)));
    }
    let own = reports.then_some(failures::JOB).into_iter().chain(delivers.map(|_| delivery_job::JOB));
    invocations.push(gate(plan, own));

    let mut executors = Vec::new();
    let mut jobs = Vec::new();
    for kind in &kinds {
        if !executors.iter().any(|(key, _)| *key == kind.executor) {
            let defined = options.setup.executors.iter().find(|executor| executor.name == kind.name);
            executors.push((kind.executor.clone(), executor(kind, defined)));
        }
        if building.contains(&kind.job) {
            jobs.push((kind.job.clone(), job_body(kind, options, transport)?));
        }
    }
    jobs.extend(commands);
    jobs.push((GATE.to_owned(), Yaml::entry("type", Yaml::text("no-op"))));

    let mut config = Vec::new();
    if !options.parameters.is_empty() {
        let declared =
            options.parameters.iter().map(|parameter| (parameter.name.clone(), declaration(&parameter.default)));
        config.push(("parameters".to_owned(), Yaml::map(declared)));
    }
    if !executors.is_empty() {
        config.push(("executors".to_owned(), Yaml::Map(executors)));
    }
    config.push(("jobs".to_owned(), Yaml::Map(jobs)));
    config.push(("workflows".to_owned(), Yaml::entry(WORKFLOW, Yaml::entry("jobs", Yaml::List(invocations)))));

    let why = nothing::why(plan).map(|why| format!("# {why}.\n")).unwrap_or_default();
    let header = made::header(options.setup.is_preview(plan).then_some(PREVIEW));
    Ok(format!("{header}{why}version: 2.1\n{}", yaml::to_string(&Yaml::Map(merge::merge(config, &options.merge)?))))
}

/// Refuses a job that cannot stand in the workflow.
fn check_job(job: &Job) -> Result<()> {
    ensure!(json::is_id(&job.id), "job id `{}` does not match `[a-z][a-z0-9_-]{{0,62}}`", job.id.escape_debug());
    ensure!(!job.name.trim().is_empty(), "job `{}` has an empty name", job.id);
    if RESERVED.contains(&job.name.to_lowercase().as_str()) || RESERVED.contains(&job.id.as_str()) {
        bail!("job `{}` is named `{}`, which nixdag needs for a job of its own", job.id, job.name);
    }
    Ok(())
}

/// The jobs that only restore that a job waits for.
fn waits_for(restores: &mut Option<Restores>, job: &Job, hash: Option<String>) -> Vec<String> {
    restores.as_mut().map_or_else(Vec::new, |restores| restores.before(job, hash))
}

/// What a job tells the body that it shares with others of its kind.
fn arguments(job: &Job, reuse: Option<String>, attach: bool) -> Vec<(&'static str, Yaml)> {
    let mut arguments = vec![("id", Yaml::text(&job.id))];
    arguments.extend(reuse.map(|hash| ("reuse", Yaml::Text(hash))));
    if !attach {
        arguments.push(("attach", Yaml::Bool(false)));
    }
    arguments
}

/// A job's place in the workflow.
struct Invocation<'a> {
    job: &'a Job,
    /// The job's key.
    key: &'a str,
    arguments: Vec<(&'static str, Yaml)>,
    /// The contexts of all such jobs.
    contexts: &'a [String],
    /// Jobs beside those of the plan that it waits for.
    also: Vec<String>,
}

impl<'a> Invocation<'a> {
    /// One without arguments, and with no contexts but its own.
    fn plain(job: &'a Job, key: &'a str, also: Vec<String>) -> Self {
        Self { job, key, arguments: Vec::new(), contexts: &[], also }
    }

    fn yaml(self, plan: &Plan) -> Yaml {
        let Self { job, key, arguments, contexts, also } = self;
        let mut entries = vec![("name", Yaml::Text(template::label(&job.name)))];
        entries.extend(arguments);
        let of_all = contexts.iter().filter(|context| !job.options.context.contains(context));
        let mut contexts = job.options.context.iter().chain(of_all).map(|context| template::escape(context)).peekable();
        if contexts.peek().is_some() {
            entries.push(("context", Yaml::texts(contexts)));
        }
        let requires = job.requires.iter().map(|&required| requirement(plan.job(required)));
        let mut requires = requires.chain(also.into_iter().map(Yaml::Text)).peekable();
        if requires.peek().is_some() {
            entries.push(("requires", Yaml::List(requires.collect())));
        }
        entries.push(("filters", Yaml::text(EVERYWHERE)));
        Yaml::entry(key, Yaml::map(entries))
    }
}

/// What a job waits for: that another one has succeeded, or that a worker has ended, however that was. CircleCI takes a status with plain names alone, as those of workers are.
fn requirement(required: &Job) -> Yaml {
    match worker_job::number(&required.id) {
        Some(_) => Yaml::entry(&required.name, Yaml::text("terminal")),
        None => Yaml::Text(template::label(&required.name)),
    }
}

/// The job behind all others that may not fail, nixdag's own included.
fn gate(plan: &Plan, own: impl Iterator<Item = &'static str>) -> Yaml {
    let waited = || plan.all_jobs().enumerate().filter(|(_, job)| !job.options.allow_failure);
    let required: BTreeSet<_> = waited().flat_map(|(_, job)| &job.requires).map(|required| required.at()).collect();
    let last = waited().filter(|(at, _)| !required.contains(at));
    let mut names: Vec<_> = last.map(|(_, job)| template::label(&job.name)).collect();
    names.extend(own.map(str::to_owned));
    let mut entries = Vec::new();
    if !names.is_empty() {
        entries.push(("requires", Yaml::texts(names)));
    }
    entries.push(("filters", Yaml::text(EVERYWHERE)));
    Yaml::entry(GATE, Yaml::map(entries))
}

/// An entry under `executors`.
fn executor(kind: &Kind, defined: Option<&Executor>) -> Yaml {
    let image = Yaml::Text(template::escape(&kind.image));
    let machine = match kind.machine {
        Machine::Docker => ("docker", Yaml::List(vec![Yaml::entry("image", image)])),
        Machine::LinuxVm => ("machine", Yaml::entry("image", image)),
        Machine::MacOs => ("macos", Yaml::entry("xcode", image)),
        Machine::SelfHosted => ("machine", Yaml::Bool(true)),
    };
    let mut entries = vec![machine, ("resource_class", Yaml::Text(template::escape(&kind.resource_class)))];
    if let Some(executor) = defined {
        entries.extend(executor.shell.as_deref().map(|shell| ("shell", Yaml::Text(template::escape(shell)))));
        entries.extend(environment(&executor.environment));
    }
    Yaml::map(entries)
}

/// `environment`, where there are variables.
fn environment(variables: &BTreeMap<String, String>) -> Option<(&'static str, Yaml)> {
    let escaped = variables.iter().map(|(name, value)| (name, Yaml::Text(template::escape(value))));
    (!variables.is_empty()).then(|| ("environment", Yaml::map(escaped)))
}

/// An entry under `jobs`.
fn job_body(kind: &Kind, options: &Options, transport: Transport) -> Result<Yaml> {
    let parameter = |kind: &str, description: &str, default: Option<Yaml>| {
        let mut entries = vec![("type", Yaml::text(kind)), ("description", Yaml::text(description))];
        entries.extend(default.map(|default| ("default", default)));
        Yaml::map(entries)
    };
    let mut parameters = vec![("id", parameter("string", "The job in the plan", None))];
    if transport.reuse != Reuse::Off {
        parameters.push(("reuse", parameter("string", "Hash of what the job builds", None)));
    }
    if options.has_workspace() && !transport.is_guarded {
        let description = "Whether other jobs come before this one";
        parameters.push(("attach", parameter("boolean", description, Some(Yaml::Bool(true)))));
    }
    let mut body = vec![("parameters", Yaml::map(parameters)), ("executor", Yaml::text(&kind.executor))];
    body.extend(environment(&kind.options.environment));
    body.push(("steps", Yaml::List(steps::of(kind, options, transport)?)));
    Ok(Yaml::map(body))
}

/// An entry under the pipeline's `parameters`.
fn declaration(default: &ParameterDefault) -> Yaml {
    let escaped = |text: &String| Yaml::Text(template::escape(text));
    let (kind, default, values) = match default {
        ParameterDefault::String(text) => ("string", escaped(text), None),
        ParameterDefault::Boolean(truth) => ("boolean", Yaml::Bool(*truth), None),
        ParameterDefault::Integer(number) => ("integer", Yaml::Integer(*number), None),
        ParameterDefault::Enum { values, default } => ("enum", escaped(default), Some(values)),
    };
    let mut entries = vec![("type", Yaml::text(kind))];
    entries.extend(values.map(|values| ("enum", Yaml::List(values.iter().map(escaped).collect()))));
    entries.push(("default", default));
    Yaml::map(entries)
}
