//! Runs a workflow and those that it calls: which jobs, in which order, with what they can see.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Map, Value, json};

use super::expression::{self, Scope, condition};
use super::job;
use super::store::Artifacts;
use super::workflow::{Workflow, list, map, needs};
use super::{Accident, GitHub, Status};

/// Most jobs of a matrix.
const MATRIX: usize = 256;

/// Most bytes of a job's outputs, two for each unit of UTF-16.
const OUTPUT_BYTES: usize = 1 << 20;

/// What became of a job that had steps.
#[derive(Clone, Debug)]
pub struct JobOutcome {
    /// As people see it: `nixdag / b / build`.
    pub name: String,
    pub status: Status,
    pub log: String,
    pub summary: String,
    /// Workflow commands that have made annotations: `error …::message`.
    pub annotations: Vec<String>,
    /// The attempt that it ran in.
    pub attempt: u64,
}

impl JobOutcome {
    /// Whether a part of its name is this one.
    fn is_named(&self, name: &str) -> bool {
        self.name.split(" / ").any(|part| part == name)
    }
}

/// What became of a run.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub jobs: Vec<JobOutcome>,
    pub artifacts: Artifacts,
    attempt: u64,
    id: u64,
    root: Called,
}

impl Outcome {
    /// A job by a part of its name: `b` is `nixdag / b / build`.
    #[track_caller]
    pub fn job(&self, name: &str) -> &JobOutcome {
        let found = self.jobs.iter().find(|job| job.is_named(name));
        found.unwrap_or_else(|| panic!("no job `{name}`: {}", self.statuses()))
    }

    /// How a job ended; a job that nobody has started is `None`.
    pub fn status(&self, name: &str) -> Option<Status> {
        self.jobs.iter().find(|job| job.is_named(name)).map(|job| job.status)
    }

    /// The result of a job of the repository's own workflow.
    pub fn result(&self, id: &str) -> Status {
        self.root.jobs[id].status
    }

    /// All jobs, a line each.
    pub fn statuses(&self) -> String {
        self.jobs.iter().map(|job| format!("{}: {:?}, attempt {}\n", job.name, job.status, job.attempt)).collect()
    }

    /// Everything that was printed.
    pub fn logs(&self) -> String {
        self.jobs.iter().map(|job| format!("##### {} {:?}\n{}\n", job.name, job.status, job.log)).collect()
    }

    /// The folder of an artifact.
    pub fn artifact(&self, name: &str) -> Option<PathBuf> {
        self.artifacts.get(name)
    }
}

/// The jobs of a workflow that has run.
#[derive(Clone, Debug, Default)]
struct Called {
    jobs: BTreeMap<String, Group>,
}

/// A job of a workflow: all that its matrix has made of it.
#[derive(Clone, Debug)]
struct Group {
    status: Status,
    outputs: Map<String, Value>,
    members: Vec<Member>,
    /// Whether it has run in the last attempt.
    is_new: bool,
}

#[derive(Clone, Debug)]
struct Member {
    status: Status,
    outputs: Map<String, Value>,
    called: Called,
    outcome: Option<JobOutcome>,
}

impl Group {
    fn has(&self, name: &str) -> bool {
        self.members.iter().any(|member| member.has(name))
    }
}

impl Member {
    /// Whether it is the job of this name, or calls a workflow that has it.
    fn has(&self, name: &str) -> bool {
        self.outcome.as_ref().is_some_and(|outcome| outcome.is_named(name))
            || self.called.jobs.values().any(|group| group.has(name))
    }
}

/// What of an earlier attempt runs again, beside all that depends on it.
pub enum Again<'a> {
    /// What did not succeed.
    Failed,
    /// The job of this name alone.
    Job(&'a str),
}

/// A run that is going on.
pub struct Run<'a> {
    pub github: &'a mut GitHub,
    again: Again<'a>,
    pub artifacts: Artifacts,
    pub attempt: u64,
    pub id: u64,
    pub cancelled: bool,
    /// Jobs so far, for names of folders.
    pub jobs: usize,
}

/// How a workflow is called.
struct Call<'a> {
    inputs: Option<Map<String, Value>>,
    secrets: Map<String, Value>,
    /// Before the names of its jobs.
    prefix: String,
    /// The folder that `./` means.
    repository: Option<PathBuf>,
    before: Option<&'a Called>,
    /// Everything runs, whatever was before.
    all: bool,
    depth: usize,
}

/// Runs the repository's workflow, or a part of an earlier attempt again.
pub fn start(github: &mut GitHub, artifacts: Artifacts, before: Option<(&Outcome, Again)>) -> Result<Outcome> {
    let (before, again) = before.map_or((None, Again::Failed), |(before, again)| (Some(before), again));
    let workflow = Workflow::read(&github.file)?;
    let event = &github.event.0;
    ensure!(workflow.on.contains_key(event), "the event `{event}` starts nothing");
    let is_fork = github.event.2;
    let secrets = if is_fork { Map::new() } else { texts(&github.secrets) };
    let id = before.map_or(7000 + github.runs, |before| before.id);
    let attempt = before.map_or(1, |before| before.attempt + 1);
    let mut run = Run { github, again, artifacts: artifacts.clone(), attempt, id, cancelled: false, jobs: 0 };
    let call = Call {
        inputs: None,
        secrets,
        prefix: String::new(),
        repository: None,
        before: before.map(|before| &before.root),
        all: false,
        depth: 1,
    };
    let root = called(&mut run, &workflow, &call)?;
    let mut jobs = Vec::new();
    collect(&root, &mut jobs);
    Ok(Outcome { jobs, artifacts, attempt, id, root })
}

fn texts(of: &BTreeMap<String, String>) -> Map<String, Value> {
    of.iter().map(|(name, value)| (name.clone(), Value::String(value.clone()))).collect()
}

fn collect(called: &Called, jobs: &mut Vec<JobOutcome>) {
    for member in called.jobs.values().flat_map(|group| &group.members) {
        jobs.extend(member.outcome.clone());
        collect(&member.called, jobs);
    }
}

fn called(run: &mut Run, workflow: &Workflow, call: &Call) -> Result<Called> {
    ensure!(call.depth <= 4, "workflows call one another {} deep", call.depth);
    let mut done = Called::default();
    for id in &workflow.order {
        let body = &workflow.jobs[id];
        let before = call.before.and_then(|before| before.jobs.get(id));
        let group =
            group(run, call, (id, body), &done, before).with_context(|| format!("job `{}{id}`", call.prefix))?;
        done.jobs.insert(id.clone(), group);
    }
    Ok(done)
}

/// All jobs before one, however far.
fn ancestors(jobs: &Called, body: &Map<String, Value>, workflow_needs: &mut Vec<String>) -> Result<()> {
    for need in needs(body)? {
        if !workflow_needs.contains(&need) {
            workflow_needs.push(need.clone());
        }
        ensure!(jobs.jobs.contains_key(&need), "`{need}` has not run");
    }
    Ok(())
}

fn group(
    run: &mut Run,
    call: &Call,
    (id, body): (&String, &Map<String, Value>),
    done: &Called,
    before: Option<&Group>,
) -> Result<Group> {
    let mut needed = Vec::new();
    ancestors(done, body, &mut needed)?;
    let needs_are_new = needed.iter().any(|need| done.jobs[need].is_new);
    if let Some(before) = before.filter(|_| !needs_are_new && !call.all) {
        let stays = match run.again {
            Again::Failed => matches!(before.status, Status::Success | Status::Skipped),
            Again::Job(name) => !before.has(name),
        };
        if stays {
            return Ok(Group { is_new: false, ..before.clone() });
        }
    }
    let mut contexts = run.contexts(call);
    let of_needs = needed.iter().map(|need| {
        let group = &done.jobs[need];
        (need.clone(), json!({ "result": group.status.name(), "outputs": group.outputs }))
    });
    contexts.insert("needs".into(), Value::Object(of_needs.collect()));
    let has = |status| needed.iter().any(|need| done.jobs[need].status == status);
    let status = expression::Status {
        // GitHub asks all ancestors; what failed far above has made those between fail, be skipped, or say that they do not mind.
        failure: done.jobs.values().any(|group| group.status == Status::Failure) && !needed.is_empty(),
        cancelled: run.cancelled,
        skipped: has(Status::Skipped) || has(Status::Cancelled),
    };
    let scope = Scope { contexts: &contexts, status: Some(status) };
    if !condition(body.get("if").and_then(Value::as_str), &scope)? {
        return Ok(Group { status: Status::Skipped, outputs: Map::new(), members: Vec::new(), is_new: true });
    }
    let mut members: Vec<Member> = Vec::new();
    for (at, row) in matrix(body, &contexts)?.into_iter().enumerate() {
        let earlier = before.and_then(|before| before.members.get(at)).filter(|_| !needs_are_new && !call.all);
        let stays = |earlier: &&Member| match run.again {
            Again::Failed => earlier.status == Status::Success,
            Again::Job(name) => !earlier.has(name),
        };
        if let Some(kept) = earlier.filter(stays) {
            members.push(kept.clone());
            continue;
        }
        if let Some(row) = row {
            contexts.insert("matrix".into(), row);
        }
        members.push(member(run, call, (id, body), &contexts, earlier)?);
    }
    let any = |status| members.iter().any(|member| member.status == status);
    let status = match () {
        () if any(Status::Failure) => Status::Failure,
        () if any(Status::Cancelled) => Status::Cancelled,
        () if members.iter().all(|member| member.status == Status::Skipped) => Status::Skipped,
        () => Status::Success,
    };
    let outputs = members.last().map(|member| member.outputs.clone()).unwrap_or_default();
    Ok(Group { status, outputs, members, is_new: true })
}

/// The rows of a job's matrix: one without values where it has none.
fn matrix(body: &Map<String, Value>, contexts: &Map<String, Value>) -> Result<Vec<Option<Value>>> {
    let Some(strategy) = body.get("strategy") else { return Ok(vec![None]) };
    let matrix = map(strategy.get("matrix"), "matrix")?;
    ensure!(matrix.len() == 1, "this stand-in knows matrices of one dimension");
    let Some((key, values)) = matrix.iter().next() else { bail!("an empty matrix") };
    let values = evaluated(values, contexts)?;
    let values = values.as_array().with_context(|| format!("`{key}` of the matrix is {values}"))?;
    ensure!(!values.is_empty(), "Matrix vector '{key}' does not contain any values");
    ensure!(values.len() <= MATRIX, "the matrix has {} jobs, {MATRIX} at most", values.len());
    Ok(values.iter().map(|value| Some(json!({ key: value }))).collect())
}

/// A value with everything in it evaluated.
pub fn evaluated(value: &Value, contexts: &Map<String, Value>) -> Result<Value> {
    Ok(match value {
        Value::String(text) => expression::scalar(text, &Scope { contexts, status: None })?,
        Value::Array(items) => items.iter().map(|item| evaluated(item, contexts)).collect::<Result<_>>()?,
        Value::Object(entries) => Value::Object(
            entries.iter().map(|(key, value)| Ok((key.clone(), evaluated(value, contexts)?))).collect::<Result<_>>()?,
        ),
        other => other.clone(),
    })
}

/// One job: steps, or a workflow that is called.
fn member(
    run: &mut Run,
    call: &Call,
    (id, body): (&String, &Map<String, Value>),
    contexts: &Map<String, Value>,
    earlier: Option<&Member>,
) -> Result<Member> {
    let name = match body.get("name") {
        Some(name) => expression::to_text(&evaluated(name, contexts)?)?,
        None => id.clone(),
    };
    let name = format!("{}{name}", call.prefix);
    let Some(uses) = body.get("uses").and_then(Value::as_str) else {
        let (status, outputs, outcome) = job::run(run, body, contexts, &name)?;
        let units: usize = outputs.values().filter_map(Value::as_str).map(|text| text.encode_utf16().count()).sum();
        ensure!(2 * units <= OUTPUT_BYTES, "outputs of {} bytes", 2 * units);
        return Ok(Member { status, outputs, called: Called::default(), outcome: Some(outcome) });
    };
    let (file, repository) = match (uses.strip_prefix("./"), &call.repository) {
        (Some(path), Some(repository)) => (repository.join(path), Some(repository.clone())),
        (Some(_), None) => bail!("the repository has no other workflow"),
        (None, _) => {
            let file = run.github.used(uses)?;
            let root = file.ancestors().nth(3).context("a workflow is in .github/workflows")?.to_owned();
            (file, Some(root))
        }
    };
    let workflow = Workflow::read(&fs::read_to_string(&file)?).with_context(|| format!("`{}`", file.display()))?;
    let declared = map(workflow.on.get("workflow_call"), "workflow_call")?;
    ensure!(workflow.on.len() == 1, "a called workflow that other events start, too");
    let inputs = inputs(map(declared.get("inputs"), "inputs")?, map(body.get("with"), "with")?, contexts)?;
    let known = map(declared.get("secrets"), "secrets")?;
    let mut secrets = Map::new();
    for (name, value) in map(body.get("secrets"), "secrets")? {
        ensure!(known.contains_key(name), "the secret `{name}` is not one of the called workflow's");
        secrets.insert(name.clone(), evaluated(value, contexts)?);
    }
    for name in known.keys() {
        secrets.entry(name.clone()).or_insert(Value::Null);
    }
    let inner = Call {
        inputs: Some(inputs),
        secrets,
        prefix: format!("{name} / "),
        repository,
        before: earlier.map(|earlier| &earlier.called),
        all: earlier.is_none(),
        depth: call.depth + 1,
    };
    let called = called(run, &workflow, &inner)?;
    let any = |status| called.jobs.values().any(|group| group.status == status);
    let status = match () {
        () if any(Status::Failure) => Status::Failure,
        () if any(Status::Cancelled) => Status::Cancelled,
        () if any(Status::Success) => Status::Success,
        () => Status::Skipped,
    };
    Ok(Member { status, outputs: Map::new(), called, outcome: None })
}

/// The inputs of a called workflow: declared, of the right type, with defaults.
fn inputs(
    declared: &Map<String, Value>,
    given: &Map<String, Value>,
    contexts: &Map<String, Value>,
) -> Result<Map<String, Value>> {
    let mut inputs = Map::new();
    for (name, value) in given {
        let declaration = declared.get(name).with_context(|| format!("the input `{name}` is not declared"))?;
        let value = evaluated(value, contexts)?;
        let fits = match declaration["type"].as_str() {
            Some("string") => value.is_string(),
            Some("boolean") => value.is_boolean(),
            other => bail!("an input of type {other:?}"),
        };
        ensure!(fits, "the input `{name}` is {value}");
        inputs.insert(name.clone(), value);
    }
    for (name, declaration) in declared {
        if inputs.contains_key(name) {
            continue;
        }
        ensure!(declaration.get("required") != Some(&Value::Bool(true)), "the input `{name}` is required");
        inputs.insert(name.clone(), declaration.get("default").cloned().unwrap_or(Value::Null));
    }
    Ok(inputs)
}

impl Run<'_> {
    /// What every job of a workflow can see.
    fn contexts(&self, call: &Call) -> Map<String, Value> {
        let (name, event, _) = &self.github.event;
        let reference = &self.github.reference;
        let short = reference.trim_start_matches("refs/heads/").trim_start_matches("refs/pull/");
        let github = json!({
            "event_name": name, "event": event, "ref": reference, "ref_name": short, "run_id": self.id.to_string(),
            "run_attempt": self.attempt.to_string(), "repository": "owner/flake", "sha": self.sha(),
            "head_ref": self.github.head_ref,
        });
        let mut contexts = Map::new();
        contexts.insert("github".into(), github);
        contexts.insert("vars".into(), json!({}));
        contexts.insert("secrets".into(), Value::Object(call.secrets.clone()));
        if let Some(inputs) = &call.inputs {
            contexts.insert("inputs".into(), Value::Object(inputs.clone()));
        }
        contexts
    }

    /// The commit that runs are of: that of the checkout, where it is a repository.
    fn sha(&self) -> String {
        let folder = self.github.world.checkout.clone().unwrap_or_default();
        let head = Command::new("git").args(["rev-parse", "HEAD"]).current_dir(folder).output();
        let head = head.ok().filter(|head| head.status.success());
        let sha = head.map(|head| String::from_utf8_lossy(&head.stdout).trim().to_owned());
        sha.unwrap_or_else(|| "0f2a1e6c5a1f6f0dc1a1a64b0e1e2a3b4c5d6e7f".into())
    }

    /// What happens to a job of this name, once.
    pub fn accident(&mut self, name: &str) -> Option<Accident> {
        let found = self.github.accidents.keys().find(|known| name.split(" / ").any(|part| part == *known)).cloned();
        self.github.accidents.remove(&found?)
    }

    /// True where a runner has all labels.
    pub fn has_runner(&self, labels: &Value) -> Result<bool> {
        let labels = list(Some(labels), "runs-on")?;
        ensure!(!labels.is_empty(), "no label");
        Ok(labels.iter().all(|label| label.as_str().is_some_and(|label| self.github.labels.contains(label))))
    }
}
