//! Support for tests of the runner: a small graph of real derivations, a plan for it made by hand, a bundle, and each job in an
//! empty store of its own. Every builder writes its name into one file outside the store, which proves what was built how often.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

use nixdag::attribute::AttributePath;
use nixdag::build::record::{DerivationRecord, Outcome, Record};
use nixdag::graph::Graph;
use nixdag::handoff::bundle;
use nixdag::nix::hash::Sha256;
use nixdag::nix::store::Store;
use nixdag::plan::final_job::{FinalJob, Restored, RestoredOutput};
use nixdag::plan::planned_target::PlannedTarget;
use nixdag::plan::{Estimate, EstimateSource, FlakeSource, Job, JobIndex, JobOptions, Plan, json};
use tempfile::TempDir;

use super::empty_store::empty_store;
use super::{run, shown};

/// One job of a plan: its id, what it owns, what it repeats, and the jobs it needs, directly or not.
pub type JobOf<'a> = (&'a str, &'a [&'a str], &'a [&'a str], &'a [&'a str]);

/// The plan, its bundle, and what the jobs leave.
pub struct Pipeline {
    dir: TempDir,
    /// The plan.
    pub plan: Plan,
    /// Digest of the bundle.
    pub sha256: Sha256,
    drvs: BTreeMap<String, String>,
}

/// What stands in the bundle for nixdag.
const PROGRAM: &str = "/bin/sh";

/// Defines `drv name script`, a derivation whose builder says that it ran, and `drvWith`, the same with more attributes.
const PRELUDE: &str = r#"
let
  drvWith = name: extra: script: derivation ({
    inherit name; system = builtins.currentSystem; builder = "/bin/sh";
    args = [ "-c" "set -e; PATH=/bin:/usr/bin; echo ${name} >> @BUILT@; ${script}" ];
  } // extra);
  drv = name: drvWith name {};
in
"#;

impl Pipeline {
    /// Instantiates a set of derivations in the store of this process, plans it as told and writes the bundle. `@BUILT@` in the
    /// expression is the file in which builders write their names.
    pub fn new(expression: &str, jobs: &[JobOf]) -> Pipeline {
        let dir = TempDir::with_prefix("pipeline").unwrap();
        let built = dir.path().join("built");
        fs::write(&built, "").unwrap();
        let text = format!("{PRELUDE}{expression}").replace("@BUILT@", built.to_str().unwrap());
        fs::write(dir.path().join("drvs.nix"), text).unwrap();
        let evaluate = "builtins.mapAttrs (name: drv: drv.drvPath) (import ./drvs.nix)";
        let json =
            run(dir.path(), "nix-instantiate", &["--eval", "--read-write-mode", "--strict", "--json", "-E", evaluate]);
        let drvs: BTreeMap<String, String> = serde_json::from_str(&json).unwrap();
        let plan = plan(jobs, &drvs);
        let mut pipeline = Pipeline { dir, plan, sha256: Sha256([0; 32]), drvs };
        pipeline.sha256 = pipeline.write_bundle("bundle");
        pipeline
    }

    /// Writes the bundle into another folder beside; gives its digest.
    pub fn write_bundle(&self, name: &str) -> Sha256 {
        // Jobs here run the program that was built, not that of the bundle, of which each would take the checksum of all megabytes.
        self.write_bundle_with(name, Path::new(PROGRAM))
    }

    /// The same with this program, which a provider's runner starts.
    pub fn write_bundle_with(&self, name: &str, program: &Path) -> Sha256 {
        let graph = Graph::load(self.drvs.values().map(String::as_str), Path::new("/nix/store"), "/nix/store").unwrap();
        let store = Store::find().unwrap();
        let dir = self.dir().join(name);
        let drv_dir = Path::new("/nix/store");
        let parts = bundle::Parts { plan: &self.plan, graph: &graph, drv_dir, store: Ok(&store), program };
        bundle::write(&dir, parts).unwrap().sha256
    }

    /// Puts a final job `last` behind all others that finds the output `out` of these, whose paths the plan knows or not.
    pub fn restores(&mut self, names: &[(&str, bool)]) {
        let last = self.plan.jobs.last().unwrap().clone();
        let inputs: Vec<JobIndex> = (0..self.plan.jobs.len()).map(|at| JobIndex(at as u32)).collect();
        let job = Job {
            id: "last".into(),
            name: "last".into(),
            derivations: Vec::new(),
            co_located: Vec::new(),
            requires: inputs.clone(),
            inputs,
            wave: None,
            ..last
        };
        let restored = |&(name, is_known): &(&str, bool)| Restored {
            target: AttributePath::parse(&format!("packages.x86_64-linux.{name}")).unwrap(),
            derivation: Arc::from(self.drv(name)),
            outputs: vec![RestoredOutput {
                name: "out".into(),
                path: is_known.then(|| self.output(name, "out")),
                link: name.into(),
                variable: None,
            }],
        };
        let restore = names.iter().map(restored).collect();
        self.plan.final_jobs.push(FinalJob {
            job,
            restore,
            run: Some("true".into()),
            checkout: false,
            environment: BTreeMap::new(),
            resource_group: None,
        });
        self.sha256 = self.write_bundle("bundle");
    }

    /// The folder of everything.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The bundle's folder.
    pub fn bundle(&self) -> PathBuf {
        self.dir().join("bundle")
    }

    /// The folder that a job hands off.
    pub fn handed_off(&self, job: &str) -> PathBuf {
        self.dir().join("workspace").join(job)
    }

    /// The folder that a job finds and leaves results of its own in.
    pub fn reused(&self, job: &str) -> PathBuf {
        self.dir().join("reuse").join(job)
    }

    /// Runs a job on a machine with an empty store, which has what the job's last such run left.
    pub fn run_with_reuse(&self, job: &str, more: &[&str]) -> Ran {
        let dir = self.reused(job);
        self.run(job, &[&["--reuse", dir.to_str().unwrap()], more].concat())
    }

    /// Path of a derivation.
    pub fn drv(&self, name: &str) -> &str {
        &self.drvs[name]
    }

    /// Path of a derivation's output.
    pub fn output(&self, name: &str, output: &str) -> String {
        let drv = fs::read_to_string(self.drv(name)).unwrap();
        let start = drv.find(&format!("(\"{output}\",\"")).unwrap() + output.len() + 5;
        drv[start..].split('"').next().unwrap().to_owned()
    }

    /// The arguments of `nixdag build` for a job, as a CI step would give them.
    pub fn arguments(&self, job: &str) -> Vec<String> {
        let path = |name: &str| self.dir().join(name).to_str().unwrap().to_owned();
        let results = self.dir().join("results").join(job).to_str().unwrap().to_owned();
        let sha256 = self.sha256.base16();
        let given =
            ["build", "--bundle", &path("bundle"), "--bundle-sha256", &sha256, "--workspace", &path("workspace")];
        let given = given.into_iter().chain(["--results", &results, "--job", job]);
        given.map(str::to_owned).collect()
    }

    /// A command that runs a job on a machine with an empty store.
    pub fn command(&self, job: &str, more: &[&str]) -> Command {
        let mut command = empty_store();
        command.arg(env!("CARGO_BIN_EXE_nixdag")).args(self.arguments(job)).args(more);
        // A Nix that is killed leaves its folders.
        let temporary = self.dir().join("tmp");
        fs::create_dir_all(&temporary).unwrap();
        command.env("TMPDIR", temporary);
        command
    }

    /// Runs a job on a machine with an empty store.
    pub fn run(&self, job: &str, more: &[&str]) -> Ran {
        let output = self.command(job, more).output().unwrap();
        self.ran(job, output)
    }

    /// What a job that has run left.
    pub fn ran(&self, job: &str, output: Output) -> Ran {
        let report = self.dir().join("results").join(job).join("report.json");
        Ran { text: shown(&output), code: output.status.code(), record: Record::read(&report).ok() }
    }

    /// Runs all jobs in the plan's order; each has to succeed.
    #[track_caller]
    pub fn run_all(&self) {
        for job in &self.plan.jobs {
            self.run(&job.id, &[]).succeeds();
        }
    }

    /// What builders have run so far, in order.
    pub fn built(&self) -> Vec<String> {
        fs::read_to_string(self.dir().join("built")).unwrap().lines().map(str::to_owned).collect()
    }

    /// The same, sorted.
    pub fn built_sorted(&self) -> Vec<String> {
        let mut built = self.built();
        built.sort();
        built
    }
}

fn plan(jobs: &[JobOf], drvs: &BTreeMap<String, String>) -> Plan {
    let paths = |names: &[&str]| -> Vec<Arc<str>> { names.iter().map(|name| drvs[*name].as_str().into()).collect() };
    let index = |id: &str| JobIndex(jobs.iter().position(|job| job.0 == id).unwrap() as u32);
    let jobs = jobs
        .iter()
        .map(|(id, own, co_located, inputs)| Job {
            id: (*id).into(),
            name: (*id).into(),
            system: "x86_64-linux".into(),
            targets: Vec::new(),
            derivations: paths(own),
            co_located: paths(co_located),
            requires: inputs.iter().map(|id| index(id)).collect(),
            inputs: inputs.iter().map(|id| index(id)).collect(),
            wave: None,
            executor: None,
            image: None,
            resource_class: None,
            options: JobOptions::default(),
            estimate: Estimate { duration: 1000, from: EstimateSource::Default },
            predicted: None,
        })
        .collect();
    let target = |name: &String, drv: &String, job: usize| PlannedTarget {
        target: AttributePath::parse(&format!("packages.x86_64-linux.{name}")).unwrap(),
        derivation: drv.as_str().into(),
        outputs: BTreeMap::new(),
        job: Some(JobIndex(job as u32)),
    };
    let jobs: Vec<Job> = jobs;
    let owner = |drv: &str| jobs.iter().position(|job| job.derivations.iter().any(|own| **own == *drv));
    let targets = drvs.iter().filter_map(|(name, drv)| Some(target(name, drv, owner(drv)?))).collect();
    let flake = Some(FlakeSource { url: ".".into(), revision: None });
    let plan = Plan { flake, targets, store_dir: "/nix/store".into(), jobs, ..Plan::default() };
    // The plan as every command would read it.
    let mut text = Vec::new();
    json::write(&plan, &mut text).unwrap();
    json::read(&text).unwrap()
}

/// A job that has run.
pub struct Ran {
    /// Both of its streams.
    pub text: String,
    /// Its exit code; none after a signal.
    pub code: Option<i32>,
    /// Its record, where it left one.
    pub record: Option<Record>,
}

impl Ran {
    /// Fails the test unless the job succeeded.
    #[track_caller]
    pub fn succeeds(self) -> Ran {
        assert_eq!(self.code, Some(0), "{}", self.text);
        self
    }

    /// Fails the test unless the job failed, or was called with a wrong value, and said all of this.
    #[track_caller]
    pub fn fails(self, said: &[&str]) -> Ran {
        assert!(matches!(self.code, Some(1 | 2)), "{:?}: {}", self.code, self.text);
        for said in said {
            assert!(self.text.contains(said), "`{said}` is missing in:\n{}", self.text);
        }
        self
    }

    /// The record of a derivation.
    #[track_caller]
    pub fn of(&self, name: &str) -> &DerivationRecord {
        let record = self.record.as_ref().expect("the job left a record");
        record.derivations.iter().find(|drv| drv.name == name).unwrap_or_else(|| panic!("no `{name}`: {}", self.text))
    }

    /// Fails the test unless a derivation came out like this.
    #[track_caller]
    pub fn has(self, name: &str, outcome: Outcome) -> Ran {
        assert_eq!(self.of(name).outcome, outcome, "{name}: {}", self.text);
        self
    }
}

/// Runs the body of the test `name` with every version of Nix: of what Nix does itself, its words, its protocols and its files.
#[track_caller]
pub fn with_each_nix(name: &str, body: impl FnOnce()) {
    super::with_every_nix(name, || {
        body();
        String::new()
    });
}

/// Adds a line to the settings file of the user that all programs of this test run as.
pub fn user_setting(line: &str) {
    let dir = PathBuf::from(std::env::var_os("HOME").unwrap()).join(".config/nix");
    fs::create_dir_all(&dir).unwrap();
    fs::write(dir.join("nix.conf"), format!("{line}\n")).unwrap();
}
