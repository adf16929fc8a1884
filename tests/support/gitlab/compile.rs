//! From a file to jobs, with everything refused that GitLab refuses, and what this stand-in does not know.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Map, Value};

use super::document::{extended, read, text, texts};

/// Most bytes of a file from an artifact, and of the archive that it is in.
pub const FILE_BYTES: u64 = 5 << 20;

/// Keys at the top that are no jobs.
const GLOBAL: [&str; 4] = ["workflow", "stages", "variables", "default"];

/// Keys of jobs.
const KEYS: [&str; 20] = [
    "inherit",
    "image",
    "tags",
    "stage",
    "interruptible",
    "timeout",
    "retry",
    "variables",
    "artifacts",
    "script",
    "before_script",
    "needs",
    "dependencies",
    "environment",
    "when",
    "allow_failure",
    "trigger",
    "cache",
    "resource_group",
    "after_script",
];

/// What cannot be a job's name.
const WORDS: [&str; 12] = [
    "image",
    "services",
    "stages",
    "before_script",
    "after_script",
    "variables",
    "cache",
    "include",
    "true",
    "false",
    "nil",
    "pages:deploy",
];

/// A variable's value, and whether it is expanded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variable {
    pub value: String,
    pub expand: bool,
}

/// What a job needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Need {
    /// A job of its own pipeline.
    Own { job: String, artifacts: bool },
    /// A job of the parent pipeline, whose id is to be expanded.
    Parent { pipeline: String, job: String },
}

/// When a job runs, or artifacts are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    OnSuccess,
    OnFailure,
    Always,
}

/// A job with its whole body.
#[derive(Clone, Debug)]
pub struct Job {
    pub name: String,
    pub stage: usize,
    pub image: Option<String>,
    pub tags: Vec<String>,
    pub script: Vec<String>,
    pub variables: BTreeMap<String, Variable>,
    /// None: it waits for the stages before.
    pub needs: Option<Vec<Need>>,
    /// Whose artifacts it takes where it has no needs.
    pub dependencies: Option<Vec<String>>,
    pub artifacts: Vec<String>,
    pub excluded: Vec<String>,
    pub keep: When,
    pub junit: Vec<String>,
    pub when: When,
    pub allow_failure: bool,
    pub environment: Option<String>,
    pub retries: u64,
    pub retried: Vec<String>,
    pub trigger: Option<Trigger>,
    pub cache: Vec<Cache>,
}

/// A cache of a job.
#[derive(Clone, Debug)]
pub struct Cache {
    pub key: String,
    pub fallback: Vec<String>,
    /// Whether the job leaves it changed.
    pub is_pushed: bool,
    pub paths: Vec<String>,
    pub when: When,
}

/// A child pipeline.
#[derive(Clone, Debug)]
pub struct Trigger {
    pub artifact: String,
    pub job: String,
    /// The trigger job ends as the child does.
    pub depends: bool,
}

/// All jobs, in the order of the file.
pub fn compile(file: &str) -> Result<Vec<Job>> {
    ensure!(file.len() as u64 <= FILE_BYTES, "the file has {} bytes", file.len());
    let top = read(file)?;
    let mut stages = vec![".pre".to_owned()];
    stages.extend(match top.get("stages") {
        Some(named) => texts(Some(named))?,
        None => ["build", "test", "deploy"].map(str::to_owned).into(),
    });
    stages.push(".post".into());
    let global = variables(top.get("variables"))?;
    let defaults = top.get("default").and_then(Value::as_object).cloned().unwrap_or_default();
    let mut jobs = Vec::new();
    for (name, body) in &top {
        if GLOBAL.contains(&name.as_str()) {
            continue;
        }
        ensure!(body.is_object(), "`{name}` is not a mapping");
        if name.starts_with('.') {
            continue;
        }
        let mut body = extended(&top, name, 1)?;
        let inherit = body.get("inherit").cloned().unwrap_or_default();
        for (key, value) in &defaults {
            if !body.contains_key("trigger") && inherits(&inherit["default"], key) {
                body.entry(key.clone()).or_insert(value.clone());
            }
        }
        let mut global = global.clone();
        global.retain(|variable, _| inherits(&inherit["variables"], variable));
        jobs.push(job(name, &body, &stages, &global).with_context(|| format!("job `{name}`"))?);
    }
    ensure!(!jobs.is_empty(), "the pipeline has no job");
    ensure!(jobs.len() <= 500, "the pipeline has {} jobs", jobs.len());
    check_order(&jobs)?;
    Ok(jobs)
}

/// Whether a job takes what the file says for all jobs.
fn inherits(said: &Value, key: &str) -> bool {
    match said {
        Value::Array(keys) => keys.iter().any(|known| known == key),
        said => *said != Value::Bool(false),
    }
}

fn variables(value: Option<&Value>) -> Result<BTreeMap<String, Variable>> {
    let mut found = BTreeMap::new();
    let Some(value) = value else { return Ok(found) };
    for (name, value) in value.as_object().context("`variables` is a mapping")? {
        let (value, expand) = match value {
            Value::Object(map) => {
                ensure!(
                    map.keys().all(|key| ["value", "expand"].contains(&key.as_str())),
                    "a key of variable `{name}`"
                );
                (map["value"].clone(), map.get("expand").is_none_or(|expand| expand == true))
            }
            other => (other.clone(), true),
        };
        let value = match value {
            Value::String(text) => text,
            Value::Number(number) => number.to_string(),
            other => bail!("variable `{name}` is {other}"),
        };
        found.insert(name.clone(), Variable { value, expand });
    }
    Ok(found)
}

fn job(name: &str, body: &Map<String, Value>, stages: &[String], global: &BTreeMap<String, Variable>) -> Result<Job> {
    ensure!((1..=128).contains(&name.chars().count()), "a name of {} characters", name.chars().count());
    ensure!(!WORDS.contains(&name), "its name is a word of the language");
    for key in body.keys() {
        ensure!(KEYS.contains(&key.as_str()), "the key `{key}` is not known");
    }
    let stage = text(body, "stage")?.unwrap_or_else(|| "test".into());
    let mut script = texts(body.get("before_script"))?;
    script.extend(texts(body.get("script"))?);
    let trigger = body.get("trigger").map(trigger).transpose()?;
    ensure!(trigger.is_some() != body.contains_key("script"), "it has either `script` or `trigger`");
    ensure!(!script.is_empty() || trigger.is_some(), "its script is empty");
    if let Some(timeout) = text(body, "timeout")? {
        let hours: u64 = timeout.strip_suffix('h').context("a timeout in hours")?.parse()?;
        ensure!((1..=24 * 30).contains(&hours), "the timeout `{timeout}`");
    }
    let artifacts = body.get("artifacts").and_then(Value::as_object).cloned().unwrap_or_default();
    for key in artifacts.keys() {
        ensure!(
            ["when", "expire_in", "paths", "exclude", "reports", "name"].contains(&key.as_str()),
            "artifacts: `{key}`"
        );
    }
    let (retries, retried) = match body.get("retry") {
        None => (0, Vec::new()),
        Some(Value::Object(retry)) => (retry["max"].as_u64().context("`max`")?, texts(retry.get("when"))?),
        Some(other) => bail!("retry: {other}"),
    };
    ensure!(retries <= 2, "it is tried again {retries} times");
    let mut own = global.clone();
    own.extend(variables(body.get("variables"))?);
    let environment = match body.get("environment") {
        None => None,
        Some(environment) => {
            ensure!(environment["action"] == "prepare", "an environment that is deployed to");
            Some(environment["name"].as_str().context("an environment's name")?.to_owned())
        }
    };
    Ok(Job {
        name: name.to_owned(),
        stage: stages.iter().position(|known| *known == stage).with_context(|| format!("no stage `{stage}`"))?,
        image: text(body, "image")?,
        tags: texts(body.get("tags"))?,
        script,
        variables: own,
        needs: body.get("needs").map(needs).transpose()?,
        dependencies: body.get("dependencies").map(|list| texts(Some(list))).transpose()?,
        artifacts: texts(artifacts.get("paths"))?,
        excluded: texts(artifacts.get("exclude"))?,
        keep: when(artifacts.get("when"))?,
        junit: texts(artifacts.get("reports").and_then(|reports| reports.get("junit")))?,
        when: when(body.get("when"))?,
        allow_failure: body.get("allow_failure").is_some_and(|allowed| allowed == true),
        environment,
        retries,
        retried,
        trigger,
        cache: body.get("cache").map(caches).transpose()?.unwrap_or_default(),
    })
}

fn when(value: Option<&Value>) -> Result<When> {
    match value.map(Value::as_str) {
        None | Some(Some("on_success")) => Ok(When::OnSuccess),
        Some(Some("always")) => Ok(When::Always),
        Some(Some("on_failure")) => Ok(When::OnFailure),
        Some(_) => bail!("when: {value:?}"),
    }
}

fn needs(value: &Value) -> Result<Vec<Need>> {
    let items = value.as_array().context("`needs` is a list")?;
    let mut found: Vec<Need> = Vec::new();
    for item in items {
        let need = match item {
            Value::String(job) => Need::Own { job: job.clone(), artifacts: true },
            Value::Object(map) => {
                let job = map.get("job").and_then(Value::as_str).context("a need without a job")?.to_owned();
                match map.get("pipeline") {
                    Some(pipeline) => {
                        Need::Parent { pipeline: pipeline.as_str().context("a pipeline's id")?.to_owned(), job }
                    }
                    None => Need::Own { job, artifacts: map.get("artifacts").is_none_or(|taken| taken == true) },
                }
            }
            other => bail!("a need {other}"),
        };
        ensure!(!found.contains(&need), "it needs {need:?} twice");
        found.push(need);
    }
    let across = found.iter().filter(|need| matches!(need, Need::Parent { .. })).count();
    ensure!(across <= 5, "it needs {across} jobs of other pipelines");
    ensure!(
        found.len() - across <= 50,
        "one job can only need 50 others, but you have listed {}",
        found.len() - across
    );
    Ok(found)
}

fn trigger(value: &Value) -> Result<Trigger> {
    let include = value["include"].as_array().context("`trigger: include` is a list")?;
    ensure!(include.len() == 1, "one file is expected");
    let depends = match value.get("strategy").and_then(Value::as_str) {
        Some("depend" | "mirror") => true,
        None => false,
        Some(other) => bail!("the strategy `{other}`"),
    };
    let word =
        |key: &str| include[0][key].as_str().map(str::to_owned).with_context(|| format!("`include` has no `{key}`"));
    Ok(Trigger { artifact: word("artifact")?, job: word("job")?, depends })
}

fn caches(value: &Value) -> Result<Vec<Cache>> {
    let list = match value {
        Value::Array(list) => list.clone(),
        one => vec![one.clone()],
    };
    ensure!(list.len() <= 4, "{} caches, 4 are allowed", list.len());
    list.iter()
        .map(|cache| {
            let fallback = texts(cache.get("fallback_keys"))?;
            ensure!(fallback.len() <= 5, "{} fallback keys, 5 are allowed", fallback.len());
            Ok(Cache {
                key: cache["key"].as_str().context("a cache's key")?.to_owned(),
                fallback,
                is_pushed: cache.get("policy").and_then(Value::as_str) != Some("pull"),
                paths: texts(cache.get("paths"))?,
                when: when(cache.get("when"))?,
            })
        })
        .collect()
}

/// Needs exist, are in no later stage, and do not go in a circle.
fn check_order(jobs: &[Job]) -> Result<()> {
    let position = |name: &str| jobs.iter().position(|job| job.name == name);
    let mut open: Vec<Vec<usize>> = Vec::new();
    for job in jobs {
        let mut before = Vec::new();
        for need in job.needs.iter().flatten() {
            let Need::Own { job: name, .. } = need else { continue };
            let at =
                position(name).with_context(|| format!("job `{}` needs `{name}`, which is not a job", job.name))?;
            ensure!(jobs[at].stage <= job.stage, "job `{}` needs `{name}` of a later stage", job.name);
            before.push(at);
        }
        open.push(before);
    }
    let mut done = vec![false; jobs.len()];
    while let Some(at) = (0..jobs.len()).find(|&at| !done[at] && open[at].iter().all(|&before| done[before])) {
        done[at] = true;
    }
    ensure!(done.iter().all(|done| *done), "needs go in a circle");
    Ok(())
}
