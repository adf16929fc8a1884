//! CircleCI: a plan goes in, a configuration that is complete in itself comes out, ready to be handed to a pipeline in setup.
//!
//! It has one parameterised job a kind of machine and one workflow, [`WORKFLOW`], which invokes these jobs under the names of
//! the plan, plus the job [`GATE`] behind all others. Before it leaves, the text is read back and put through [`check`].

pub mod api;
pub mod check;
pub mod continuation;
pub mod environment;
pub mod final_steps;
pub mod machines;
pub mod merge;
pub mod names;
pub mod options;
pub mod pipeline_parameters;
#[cfg(test)]
mod same_as_orb;
pub mod steps;
pub mod template;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use anyhow::{Context, Result, anyhow, bail, ensure};
use ring::digest;

use super::Limits;
use super::yaml::{self, Yaml};
use crate::fleet::executor::{self, COMMON_FEATURES, Executor};
use crate::fleet::size::Machine;
use crate::plan::nothing;
use crate::plan::{Job, JobIndex, JobOptions, Plan, json};
use machines::OFFERS;
pub use names::{GATE, WORKFLOW};
use options::Options;
use pipeline_parameters::ParameterDefault;
use steps::{Kind, Program};

/// What CircleCI allows. It publishes no number for jobs in a workflow nor for `requires`, but a job's body counts against the
/// compiled size each time it is invoked, 2.8 kB as nixdag writes it: 2,400 jobs leave room for long names and many `requires`.
/// Jobs run three hours on the middle plan.
pub const LIMITS: Limits = Limits {
    jobs: Some(2_400),
    requires: None,
    waves: None,
    job_seconds: 3 * 60 * 60,
    compiled_bytes: 8_000_000,
    job_bytes: 3_300,
};

/// Without filters nothing runs on a tag; with this every branch and every tag does.
const EVERYWHERE: &str = "pipeline.git.branch or pipeline.git.tag";

/// Writes the configuration of a plan, or says which rule of CircleCI's it would break.
pub fn generate(plan: &Plan, options: &Options) -> Result<String> {
    options.check()?;
    let text = write(plan, options)?;
    let config = serde_yaml::from_str(&text).context("the generated configuration is no YAML")?;
    let mut problems = check::check(&config, &options.limits);
    let foreign: BTreeSet<&str> = merge::job_names(&options.merge).collect();
    problems.extend(check::check_own(&config, |name| foreign.contains(name)));
    ensure!(
        problems.is_empty(),
        "CircleCI would refuse the configuration{}:\n  {}",
        merge::named(&options.merge),
        problems.join("\n  ")
    );
    Ok(text)
}

/// The text, unchecked.
fn write(plan: &Plan, options: &Options) -> Result<String> {
    let mut kinds: Vec<Kind> = Vec::new();
    let mut building = BTreeSet::new();
    let mut invocations = Vec::with_capacity(plan.jobs.len() + plan.final_jobs.len() + 1);
    let mut commands = Vec::new();
    for (at, job) in plan.all_jobs().enumerate() {
        let what = || format!("job `{}` cannot be written for CircleCI", job.name.escape_debug());
        check_job(job)?;
        let kind = kind_of(job, &mut kinds, options).with_context(what)?;
        let final_job = plan.final_job(JobIndex(at as u32));
        match final_job.and_then(|final_job| Some((final_job, final_job.run.as_deref()?))) {
            Some((final_job, command)) => {
                let key = format!("final-{}", job.id);
                invocations.push(invocation(plan, job, &key, Vec::new()));
                let steps = final_steps::of(final_job, command, kind, options).with_context(what)?;
                let body = [("executor", Yaml::text(&kind.executor)), ("steps", Yaml::List(steps))];
                commands.push((key, Yaml::map(body)));
            }
            None => {
                building.insert(kind.job.clone());
                invocations.push(invocation(plan, job, &kind.job, arguments(job, kind, options)));
            }
        }
    }
    invocations.push(gate(plan));

    let mut executors = Vec::new();
    let mut jobs = Vec::new();
    for kind in &kinds {
        if !executors.iter().any(|(key, _)| *key == kind.executor) {
            let defined = options.executors.iter().find(|executor| executor.name == kind.name);
            executors.push((kind.executor.clone(), executor(kind, defined)));
        }
        if building.contains(&kind.job) {
            jobs.push((kind.job.clone(), job_body(kind, options)?));
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
    Ok(format!(
        "# Made by nixdag {}: change the flake or nixdag.yml, not this file.\n{why}version: 2.1\n{}",
        env!("CARGO_PKG_VERSION"),
        yaml::to_string(&Yaml::Map(merge::merge(config, &options.merge)?))
    ))
}

/// Refuses a job that cannot stand in the workflow.
fn check_job(job: &Job) -> Result<()> {
    ensure!(json::is_id(&job.id), "job id `{}` does not match `[a-z][a-z0-9_-]{{0,62}}`", job.id.escape_debug());
    ensure!(!job.name.trim().is_empty(), "job `{}` has an empty name", job.id);
    if job.name.to_lowercase() == GATE {
        bail!("job `{}` is named `{}`, which nixdag needs for the job behind all others", job.id, job.name);
    }
    Ok(())
}

/// What a job tells the body that it shares with others of its kind.
fn arguments(job: &Job, kind: &Kind, options: &Options) -> Vec<(&'static str, Yaml)> {
    let mut arguments = vec![("id", Yaml::text(&job.id))];
    if options.has_reuse() {
        arguments.push(("reuse", Yaml::text(reuse_hash(job, kind))));
    }
    if options.has_workspace() && job.inputs.is_empty() {
        arguments.push(("attach", Yaml::Bool(false)));
    }
    arguments
}

/// The job's place in the workflow.
fn invocation(plan: &Plan, job: &Job, key: &str, arguments: Vec<(&'static str, Yaml)>) -> Yaml {
    let mut entries = vec![("name", Yaml::Text(template::label(&job.name)))];
    entries.extend(arguments);
    if !job.options.context.is_empty() {
        entries.push(("context", Yaml::texts(job.options.context.iter().map(|context| template::escape(context)))));
    }
    if !job.requires.is_empty() {
        let names = job.requires.iter().map(|&required| template::label(&plan.job(required).name));
        entries.push(("requires", Yaml::texts(names)));
    }
    entries.push(("filters", Yaml::text(EVERYWHERE)));
    Yaml::entry(key, Yaml::map(entries))
}

/// The job behind all others.
fn gate(plan: &Plan) -> Yaml {
    let required: BTreeSet<_> = plan.all_jobs().flat_map(|job| &job.requires).map(|required| required.at()).collect();
    let last = plan.all_jobs().enumerate().filter(|(at, _)| !required.contains(at));
    let names: Vec<_> = last.map(|(_, job)| template::label(&job.name)).collect();
    let mut entries = Vec::new();
    if !names.is_empty() {
        entries.push(("requires", Yaml::texts(names)));
    }
    entries.push(("filters", Yaml::text(EVERYWHERE)));
    Yaml::entry(GATE, Yaml::map(entries))
}

/// Names what a job builds, on what: two jobs with the same hash build the same outputs, whatever pipeline they are in.
fn reuse_hash(job: &Job, kind: &Kind) -> String {
    let mut derivations: Vec<&str> = job.derivations.iter().chain(&job.co_located).map(|drv| &**drv).collect();
    derivations.sort_unstable();
    let mut hash = digest::Context::new(&digest::SHA256);
    for part in [&*job.id, &*kind.image].into_iter().chain(derivations) {
        hash.update(part.as_bytes());
        hash.update(b"\0");
    }
    hash.finish().as_ref()[..16].iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes every text");
        text
    })
}

/// The kind of machine that the job runs on, added if it is the first such job.
fn kind_of<'a>(job: &Job, kinds: &'a mut Vec<Kind>, options: &Options) -> Result<&'a Kind> {
    let executor = executor_of(job, &options.executors).map_err(|error| {
        let system = job.system.escape_debug();
        anyhow!("{error}: plan again with this nixdag.yml, or give it the executor for `{system}` that the plan was made with")
    })?;
    let name = &executor.name;
    let plain =
        |text: &str| text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-');
    ensure!(
        plain(name) && name.bytes().next().is_some_and(|b| b.is_ascii_lowercase()),
        "`{}` cannot be the name of an executor (expected `[a-z][a-z0-9_-]*`)",
        name.escape_debug()
    );
    let image = job.image.as_ref().unwrap_or(&executor.image);
    let class = job.resource_class.as_ref().unwrap_or(&executor.resource_class);
    // Contexts are named where a job is invoked, so that one body serves jobs with and without.
    let own = JobOptions { context: Vec::new(), ..job.options.clone() };
    let same_machine = |kind: &Kind| {
        kind.machine == executor.machine && kind.image == *image && kind.resource_class == *class && kind.name == *name
    };
    if let Some(at) = kinds.iter().position(|kind| same_machine(kind) && kind.options == own) {
        return Ok(&kinds[at]);
    }
    let key = match kinds.iter().find(|kind| same_machine(kind)) {
        Some(kind) => kind.executor.clone(),
        None => executor_key(executor, image, class, |key| kinds.iter().any(|kind| kind.executor == key)),
    };
    let job_key = format!("build-{key}");
    let job_key = unused(&job_key, |key| kinds.iter().any(|kind| kind.job == key));
    let system = executor.system().to_owned();
    kinds.push(Kind {
        name: name.clone(),
        job: job_key,
        executor: key,
        machine: executor.machine,
        image: image.clone(),
        resource_class: class.clone(),
        cores: OFFERS.cores(executor, class),
        program: program(&system, executor, options),
        options: own,
        setup: executor.setup.clone(),
        nix_settings: nix_settings(executor),
        system,
    });
    Ok(&kinds[kinds.len() - 1])
}

/// The executor that the plan gives to a job, if it is still what it was.
fn executor_of<'e>(job: &Job, executors: &'e [Executor]) -> Result<&'e Executor> {
    let name = job.executor.as_ref().context("it has no executor")?;
    let executor = executor::find(executors, name)?;
    ensure!(executor.builds(&job.system), "executor `{name}` does not build `{}`", job.system.escape_debug());
    Ok(executor)
}

/// A key under `executors`: the executor as it is defined keeps its name, others get the size and, where that is not enough, a number.
fn executor_key(executor: &Executor, image: &str, class: &str, taken: impl Fn(&str) -> bool) -> String {
    let mut key = executor.name.clone();
    if *class != executor.resource_class {
        let size = class.replace('+', "-plus").to_lowercase();
        let plain = |c: char| if c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' { c } else { '-' };
        key = format!("{key}-{}", size.chars().map(plain).collect::<String>());
    }
    if image != executor.image { unused(&format!("{key}-2"), taken) } else { unused(&key, taken) }
}

/// The key, with a number behind it if it is taken.
fn unused(key: &str, taken: impl Fn(&str) -> bool) -> String {
    if !taken(key) {
        return key.to_owned();
    }
    let base = key.strip_suffix("-2").unwrap_or(key);
    let numbered = |number: u32| format!("{base}-{number}");
    (2..).map(numbered).find(|key| !taken(key)).expect("numbers do not end")
}

/// What Nix has to be told about a machine: features that it would not find out, and systems that it only emulates.
fn nix_settings(executor: &Executor) -> Vec<(&'static str, String)> {
    // Nix looks for `/dev/kvm` itself: without it a build is better refused than begun.
    let own = |feature: &&String| *feature != "kvm" && !COMMON_FEATURES.contains(&feature.as_str());
    let features: Vec<&str> = executor.features.iter().filter(own).map(String::as_str).collect();
    let emulated: Vec<&str> = executor.emulated().collect();
    let settings = [("extra-system-features", features), ("extra-platforms", emulated)];
    settings.into_iter().filter(|(_, words)| !words.is_empty()).map(|(name, words)| (name, words.join(" "))).collect()
}

/// How nixdag gets onto machines of this system.
fn program(system: &str, executor: &Executor, options: &Options) -> Program {
    let bundled = options.bundle.as_ref().is_some_and(|bundle| {
        // A processor for x86_64 runs i686 programs too.
        bundle.system == system
            || (executor.builds(&bundle.system) && !executor.emulated().any(|emulated| emulated == bundle.system))
    });
    match options.downloads.iter().find(|file| file.system == *system) {
        _ if bundled => Program::Bundled,
        Some(file) => Program::Download(file.clone()),
        None => Program::OnPath,
    }
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
fn job_body(kind: &Kind, options: &Options) -> Result<Yaml> {
    let parameter = |kind: &str, description: &str, default: Option<Yaml>| {
        let mut entries = vec![("type", Yaml::text(kind)), ("description", Yaml::text(description))];
        entries.extend(default.map(|default| ("default", default)));
        Yaml::map(entries)
    };
    let mut parameters = vec![("id", parameter("string", "The job in the plan", None))];
    if options.has_reuse() {
        parameters.push(("reuse", parameter("string", "Hash of what the job builds", None)));
    }
    if options.has_workspace() {
        let description = "Whether other jobs come before this one";
        parameters.push(("attach", parameter("boolean", description, Some(Yaml::Bool(true)))));
    }
    let mut body = vec![("parameters", Yaml::map(parameters)), ("executor", Yaml::text(&kind.executor))];
    body.extend(environment(&kind.options.environment));
    body.push(("steps", Yaml::List(steps::of(kind, options)?)));
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
