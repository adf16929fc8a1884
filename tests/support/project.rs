//! A repository with CI: the setup configuration that docs/circleci.md shows, immutable caches, and one Nix.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::circleci::{Outcome, Pipeline};
use super::{copy_of, repository, stripped};

const NIXDAG: &str = env!("CARGO_BIN_EXE_nixdag");

/// The setup configuration that docs/circleci.md shows, for a Nix that is on the machine.
pub fn setup(arguments: &str) -> String {
    let page = fs::read_to_string(repository().join("docs/circleci.md")).unwrap();
    let begin = "```yaml\nversion: 2.1\nsetup: true\norbs:\n  continuation:";
    let start =
        page.find(begin).expect("docs/circleci.md shows a setup configuration without the orb") + "```yaml\n".len();
    let config = &page[start..start + page[start..].find("```").unwrap()];
    assert!(config.contains("nixdag generate"), "{config}");
    // The stand-in's machines bring Nix and nixdag.
    let start = config.find("      - run:\n          name: Install Nix and nixdag\n").unwrap();
    let end = config.find("      - run:\n          name: Plan\n").unwrap();
    format!("{}{}", &config[..start], &config[end..])
        .replace("~/.nixdag/program/nixdag generate", &format!("nixdag generate {arguments}"))
}

/// The folders with each Nix that there is, the one on PATH first.
pub fn every_nix() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap();
    let mut found: Vec<PathBuf> =
        std::env::split_paths(&path).filter(|dir| dir.join("nix-store").exists()).take(1).collect();
    if let Some(folder) = std::env::var_os("NIXDAG_NIX_VERSIONS") {
        let mut more: Vec<PathBuf> =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path().join("bin")).collect();
        more.retain(|bin| bin.join("nix-store").exists());
        more.sort();
        found.extend(more);
    }
    assert!(!found.is_empty(), "no Nix on PATH (tests/run.sh installs it)");
    found
}

/// One of them, for a whole pipeline in which the version makes no difference by itself: what a job does with each is in `runner`, what evaluation
/// does in `evaluation`, and the first example runs with all of them on each provider. Tests of one kind take turns.
pub fn one_nix(turn: usize) -> PathBuf {
    let mut all = every_nix();
    all.swap_remove(turn % all.len())
}

/// A repository, its CI's caches, and one Nix.
pub struct Project {
    pub checkout: TempDir,
    pub caches: TempDir,
    nix: PathBuf,
    /// For `nixdag generate`.
    pub arguments: String,
    /// More lines for nix.conf of all images.
    pub nix_conf: String,
    /// The project's environment variables.
    pub variables: Vec<(String, String)>,
    /// The branch that is pushed.
    pub branch: String,
    /// Programs that all images have.
    pub programs: Vec<PathBuf>,
    /// The setup configuration, in place of the one that docs/circleci.md shows.
    pub setup: Option<String>,
    /// Values of pipeline parameters.
    pub parameters: Vec<(String, String)>,
}

impl Project {
    /// A copy of an example.
    pub fn new(example: &str, nix: &Path) -> Self {
        Self {
            checkout: copy_of(example),
            caches: TempDir::new().unwrap(),
            nix: nix.to_owned(),
            arguments: String::new(),
            nix_conf: String::new(),
            variables: Vec::new(),
            branch: "main".into(),
            programs: Vec::new(),
            setup: None,
            parameters: Vec::new(),
        }
    }

    /// Changes a file of the repository.
    pub fn replace(&self, file: &str, from: &str, to: &str) {
        let path = self.checkout.path().join(file);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{text}");
        fs::write(&path, text.replace(from, to)).unwrap();
    }

    /// Runs the setup workflow; the continued one is ready to run.
    pub fn pipeline(&self, number: u64) -> Pipeline {
        self.continued(&self.setup(number), number)
    }

    /// Runs the setup workflow.
    pub fn setup(&self, number: u64) -> Outcome {
        let config = self.setup.clone().unwrap_or_else(|| setup(&self.arguments));
        let mut pipeline = self.ready(Pipeline::setup(&config).unwrap(), number).program(stripped());
        let outcome = pipeline.run().unwrap();
        assert!(outcome.succeeded(), "{}", logs(&outcome));
        outcome
    }

    /// The workflow that a setup continued with, ready to run.
    pub fn continued(&self, setup: &Outcome, number: u64) -> Pipeline {
        self.with_workflow(setup.continuation.as_ref().unwrap(), number)
    }

    /// A workflow of this text, ready to run.
    pub fn with_workflow(&self, config: &str, number: u64) -> Pipeline {
        self.ready(Pipeline::new(config).unwrap(), number)
    }

    fn ready(&self, pipeline: Pipeline, number: u64) -> Pipeline {
        let pipeline = self.variables.iter().fold(pipeline, |pipeline, (name, value)| pipeline.variable(name, value));
        let parameters = self.parameters.iter();
        let pipeline = parameters.fold(pipeline, |pipeline, (name, value)| pipeline.parameter(name, value.as_str()));
        let pipeline = self.programs.iter().fold(pipeline, |pipeline, program| pipeline.program(program));
        pipeline
            .branch(&self.branch)
            .nix(&self.nix)
            .nix_conf(&self.nix_conf)
            .cache_dir(self.caches.path())
            .checkout(self.checkout.path())
            .id(&format!("00000000-0000-4000-8000-{number:012}"))
            .build_number(number * 100)
    }
}

/// All that the jobs of a pipeline printed.
pub fn logs(outcome: &Outcome) -> String {
    outcome.jobs.iter().map(|job| format!("##### {} {:?}\n{}\n", job.name, job.status, job.log)).collect()
}

/// What all jobs that ran have recorded, put together by `nixdag report`.
pub fn report(outcome: &Outcome) -> serde_json::Value {
    let mut command = std::process::Command::new(NIXDAG);
    command.args(["report", "--format", "json"]);
    for job in outcome.jobs.iter().filter(|job| job.artifacts.is_dir()) {
        command.arg(&job.artifacts);
    }
    let output = command.output().unwrap();
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)))
}

/// A number in a report.
pub fn figure(report: &serde_json::Value, key: &str) -> u64 {
    report[key].as_u64().unwrap_or_else(|| panic!("no `{key}` in {report}"))
}
