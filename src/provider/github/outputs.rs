//! What the planning job puts out, and GitHub's limits for that.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, ensure};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::limits::{MATRIX, OUTPUT_BYTES, SCRIPT_BYTES, WAVES};
use crate::fleet::offers::TAG_SEPARATOR;
use crate::fleet::size::Machine;
use crate::plan::Job;
use crate::provider::job_script::kinds::Kind;

/// A job in a matrix.
#[derive(Clone, Debug, Serialize)]
pub struct Entry {
    /// The job's id in the plan.
    pub id: String,
    /// What people see.
    pub name: String,
    /// Labels of the runner: a list in JSON.
    pub runner: String,
    /// Key of what it runs.
    pub script: String,
    /// Whether it runs in a checkout of the repository.
    pub checkout: bool,
    /// Whether the gate does not wait for it.
    pub allow_failure: bool,
    /// The environment whose secrets it gets; empty for none.
    pub environment: String,
    /// Names what it builds in GitHub's cache; empty where nothing is taken from earlier workflows.
    pub reuse: String,
    /// Whether it is a worker.
    pub worker: bool,
}

impl Entry {
    /// The job on a kind of machine, with the name of what it runs.
    pub fn of(job: &Job, kind: &Kind, script: &str) -> Result<Self> {
        ensure!(
            kind.machine != Machine::Docker,
            "job `{}` runs in a container of executor `{}`, which nixdag does not write for GitHub: use a runner's label",
            job.id,
            kind.name
        );
        let labels: Vec<&str> = kind.resource_class.split(TAG_SEPARATOR).collect();
        ensure!(
            labels.iter().all(|label| !label.is_empty()),
            "job `{}` has no label of a runner (`tags`, or `resource_class`, of executor `{}`)",
            job.id,
            kind.name
        );
        Ok(Self {
            id: job.id.clone(),
            name: job.name.clone(),
            runner: serde_json::to_string(&labels).context("labels are text")?,
            script: script.to_owned(),
            checkout: false,
            allow_failure: job.options.allow_failure,
            environment: String::new(),
            reuse: String::new(),
            worker: false,
        })
    }
}

/// All outputs.
#[derive(Clone, Debug)]
pub struct Outputs {
    manifest: String,
    /// What jobs run, by the names that entries have for it.
    pub scripts: BTreeMap<String, String>,
    /// The jobs of each wave, by its number in the plan.
    pub waves: BTreeMap<u32, Vec<Entry>>,
    /// Workers that start with the first wave and go on beside the second one.
    pub workers: Vec<Entry>,
    /// Whether a script says what workers have done.
    pub has_gate: bool,
    /// The job behind the waves that signs and pushes.
    pub delivery: Vec<Entry>,
    /// The final jobs.
    pub last: Vec<Entry>,
}

impl Outputs {
    /// No jobs yet, which build from the bundle with this digest.
    pub fn new(manifest: Option<&str>) -> Self {
        Self {
            manifest: manifest.unwrap_or_default().into(),
            scripts: BTreeMap::new(),
            waves: BTreeMap::new(),
            workers: Vec::new(),
            has_gate: false,
            delivery: Vec::new(),
            last: Vec::new(),
        }
    }

    /// The text: one line of JSON. Waves without jobs are left out, since GitHub takes no empty matrix; `waves`, `workers`, `gates`, `deliveries` and `finals` count.
    pub fn text(&self) -> Result<String> {
        let mut all: Map<String, Value> = Map::new();
        all.insert("manifest".into(), json!(self.manifest));
        all.insert("scripts".into(), json!(self.scripts));
        let waves = self.waves.values().filter(|wave| !wave.is_empty());
        all.insert("waves".into(), json!(waves.clone().count()));
        for (number, wave) in (1..).zip(waves) {
            all.insert(format!("wave{number}"), json!(wave));
        }
        all.insert("gates".into(), json!(u32::from(self.has_gate)));
        let others = [
            ("workers", "worker", &self.workers),
            ("deliveries", "delivery", &self.delivery),
            ("finals", "final", &self.last),
        ];
        for (count, name, jobs) in others {
            all.insert(count.into(), json!(jobs.len()));
            if !jobs.is_empty() {
                all.insert(name.into(), json!(jobs));
            }
        }
        Ok(format!("{}\n", serde_json::to_string(&all)?))
    }

    /// Which limits of GitHub's are broken, in words.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if self.waves.len() > WAVES as usize {
            problems.push(format!("there are {} waves, and the workflow has {WAVES}", self.waves.len()));
        }
        for (wave, jobs) in &self.waves {
            if !fits_matrix(jobs.len()) {
                problems.push(format!("wave {wave} has {} jobs, and a matrix has {MATRIX} at most", jobs.len()));
            }
        }
        for (what, jobs) in [("workers", &self.workers), ("final jobs", &self.last)] {
            if !fits_matrix(jobs.len()) {
                problems.push(format!("there are {} {what}, and a matrix has {MATRIX} at most", jobs.len()));
            }
        }
        let mut ids = BTreeSet::new();
        for entry in self.waves.values().flatten().chain(&self.workers).chain(&self.delivery).chain(&self.last) {
            if !ids.insert(&entry.id) {
                problems.push(format!("two jobs have the id `{}`, and would be one artifact", entry.id));
            }
        }
        for (name, script) in self.scripts.iter().filter(|(_, script)| script.len() as u64 > SCRIPT_BYTES) {
            problems.push(format!(
                "what `{name}` runs has {} bytes, and a variable holds {SCRIPT_BYTES}: put commands into a file",
                script.len()
            ));
        }
        let bytes = self.text().map_or(0, |text| 2 * text.encode_utf16().count() as u64);
        if bytes > OUTPUT_BYTES {
            problems.push(format!(
                "outputs have {bytes} bytes in UTF-16, {OUTPUT_BYTES} at most (plan fewer jobs: `--max-jobs`)"
            ));
        }
        problems
    }
}

/// True where a matrix takes so many jobs.
fn fits_matrix(jobs: usize) -> bool {
    jobs <= MATRIX as usize
}
