//! What the planning job puts out, and GitHub's limits for that.

use std::collections::BTreeMap;

use anyhow::Result;
use serde::Serialize;

use super::limits::{MATRIX, OUTPUT_BYTES, SCRIPT_BYTES, WAVES};

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
}

/// All outputs.
#[derive(Clone, Debug)]
pub struct Outputs {
    manifest: String,
    /// What jobs run, by the names that entries have for it.
    pub scripts: BTreeMap<String, String>,
    /// The jobs of each wave.
    pub waves: Vec<Vec<Entry>>,
    /// The final jobs.
    pub last: Vec<Entry>,
}

impl Outputs {
    /// No jobs yet, which build from the bundle with this digest.
    pub fn new(manifest: Option<&str>) -> Self {
        let waves = vec![Vec::new(); WAVES as usize];
        Self { manifest: manifest.unwrap_or_default().into(), scripts: BTreeMap::new(), waves, last: Vec::new() }
    }

    /// The text: JSON has no line ends, so each output is one line.
    pub fn text(&self) -> Result<String> {
        let mut text = format!("manifest={}\n", self.manifest);
        text.push_str(&format!("scripts={}\n", serde_json::to_string(&self.scripts)?));
        for (number, wave) in (1..).zip(&self.waves) {
            text.push_str(&format!("wave{number}={}\n", serde_json::to_string(wave)?));
        }
        text.push_str(&format!("final={}\n", serde_json::to_string(&self.last)?));
        Ok(text)
    }

    /// Which limits of GitHub's are broken, in words.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        for (name, jobs) in (1..).map(|wave| format!("wave {wave}")).zip(&self.waves) {
            if !fits_matrix(jobs.len()) {
                problems.push(format!("{name} has {} jobs, and a matrix has {MATRIX} at most", jobs.len()));
            }
        }
        if !fits_matrix(self.last.len()) {
            problems.push(format!("there are {} final jobs, and a matrix has {MATRIX} at most", self.last.len()));
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
