//! Plans with workers: which jobs of the workflow are workers, what they run, and a whole workflow in act, with the action as it is committed and a stand-in for GitHub's artifact service.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Output, Stdio};

use nixdag::delivery::{BundleReference, HandOff, Sign};
use nixdag::plan::worker_plan::{WorkerCrew, WorkerPlan};
use nixdag::plan::{Job, JobIndex, Plan};
use nixdag::provider::Provider;
use nixdag::provider::github::generate;
use nixdag::provider::job_setup::JobSetup;
use serde_json::Value;

use crate::act::{GitHub, act};
use crate::act_failures::planned_before;
use crate::support::empty_store::{build_user, empty_store};
use crate::support::pipeline::{JobOf, Pipeline};
use crate::support::plans::{self, plan};
use crate::support::{copy_into, derivations, nixdag, repository, run, shown, with_nix};
use crate::worker_action::with_node;

fn setup(manifest: &str) -> JobSetup {
    let mut setup = JobSetup::new(Provider::GitHub.fleet().executors);
    setup.delivery.handoff = HandOff::Artifacts;
    setup.bundle = Some(BundleReference { manifest_sha256: manifest.into(), system: "x86_64-linux".into() });
    setup
}

/// The job on GitHub's own machine.
fn on_linux(job: Job) -> Job {
    let executor = Provider::GitHub.fleet().executors.remove(0);
    Job { executor: Some(executor.name), image: None, resource_class: Some(executor.resource_class), ..job }
}

fn job(id: &str, requires: &[u32]) -> Job {
    on_linux(plans::job(id, id, "x86_64-linux", requires))
}

/// Workers with these lanes, of whom the last ones start when the first one has left.
fn crew(later: u32, lanes: &[&[u32]]) -> WorkerCrew {
    WorkerCrew {
        slots: 1,
        later,
        after: 1,
        lanes: lanes.iter().map(|lane| lane.iter().map(|&at| JobIndex(at)).collect()).collect(),
        leave_at: vec![9; lanes.len()],
    }
}

fn with(crews: &[WorkerCrew], jobs: Vec<Job>) -> Plan {
    Plan {
        workers: Some(WorkerPlan { attempts: 3, store: None, most_names: None, crews: crews.to_vec() }),
        ..plan(jobs)
    }
}

fn outputs(plan: &Plan, setup: &JobSetup) -> Value {
    serde_json::from_str(&generate(plan, setup).unwrap()).unwrap()
}

/// Ids in a matrix.
fn ids(outputs: &Value, matrix: &str) -> Vec<String> {
    let jobs = outputs.get(matrix).and_then(Value::as_array).into_iter().flatten();
    jobs.map(|job| job["id"].as_str().unwrap().to_owned()).collect()
}

const MANIFEST: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

#[test]
fn workers_are_jobs_of_the_first_waves_and_what_they_build_is_none() {
    let jobs = || vec![job("a", &[]), job("b", &[0]), job("c", &[1])];
    let at_once = outputs(&with(&[crew(0, &[&[0, 2], &[1]])], jobs()), &setup(MANIFEST));
    assert_eq!(ids(&at_once, "wave1"), ["nixdag-worker-0", "nixdag-worker-1"]);
    assert_eq!((&at_once["waves"], &at_once["workers"], &at_once["gates"]), (&1.into(), &0.into(), &1.into()));
    let worker = &at_once["wave1"][0];
    assert_eq!(
        (&worker["worker"], &worker["allow_failure"], &worker["environment"]),
        (&true.into(), &true.into(), &"".into())
    );
    let script = at_once["scripts"][worker["script"].as_str().unwrap()].as_str().unwrap();
    assert!(script.contains("--number \"${NIXDAG_JOB##*-}\"") && script.contains("--names pipe"), "{script}");
    assert!(script.ends_with("<&3 >&4 3<&- 4>&-\n"), "the pipe is for nixdag alone: {script}");
    assert!(!script.contains("--workspace"), "nothing is behind them: {script}");
    let gate = at_once["scripts"]["gate"].as_str().unwrap();
    assert!(
        gate.contains("nixdag worker ") && gate.contains(" --gate ") && !gate.contains("NIXDAG_INSTALL=nix"),
        "{gate}"
    );

    let staged = outputs(
        &with(&[crew(1, &[&[0], &[1], &[2]]), crew(0, &[&[3]])], [jobs(), vec![job("d", &[])]].concat()),
        &setup(MANIFEST),
    );
    assert_eq!(ids(&staged, "wave1"), ["nixdag-worker-0"], "who leaves early");
    assert_eq!(ids(&staged, "wave2"), ["nixdag-worker-2"], "who starts then");
    assert_eq!(ids(&staged, "worker"), ["nixdag-worker-1", "nixdag-worker-3"]);

    let plain = outputs(&with(&[crew(0, &[&[0], &[1]])], jobs()), &setup(MANIFEST));
    assert_eq!(
        (ids(&plain, "wave2"), &plain["wave2"][0]["worker"]),
        (vec!["c".to_owned()], &false.into()),
        "behind the workers"
    );
    let script = plain["scripts"][plain["wave1"][0]["script"].as_str().unwrap()].as_str().unwrap();
    assert!(script.contains("--workspace .nixdag/handoff"), "{script}");
    let none = outputs(&plan(vec![Job { wave: Some(1), ..job("a", &[]) }]), &setup(MANIFEST));
    assert_eq!((&none["gates"], none["scripts"].get("gate")), (&0.into(), None));
}

#[test]
fn workers_get_no_secrets() {
    let mut secret = job("a", &[]);
    secret.options.context = vec!["deploy".into()];
    let refused = |plan: &Plan, setup: &JobSetup| format!("{:#}", generate(plan, setup).unwrap_err());
    let said = refused(&with(&[crew(0, &[&[0]])], vec![secret]), &setup(MANIFEST));
    assert!(said.contains("workers have no secrets"), "{said}");
    let mut signing = setup(MANIFEST);
    signing.delivery.contexts = vec!["delivery".into()];
    signing.delivery.sign = Sign::Jobs;
    let said = refused(&with(&[crew(0, &[&[0]])], vec![job("a", &[])]), &signing);
    assert!(said.contains("requires `sign: separate`"), "{said}");
}

#[test]
fn the_mode_of_a_repository_is_planned_for_its_workflow() {
    let drvs = derivations();
    let planned = |mode: &str| -> Value {
        let mut run = nixdag();
        run.args(["generate", "--provider", "github", "--mode", mode, "--roots"]).arg(drvs.join("roots.json"));
        let output = run.arg("--drv-dir").arg(&drvs).args(["--available", "/dev/null"]).output().unwrap();
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", shown(&output)))
    };
    let workers = planned("workers");
    let all: Vec<String> = ["wave1", "wave2", "worker"].iter().flat_map(|matrix| ids(&workers, matrix)).collect();
    assert_eq!(workers["gates"], 1, "{workers}");
    assert!(all.contains(&"nixdag-worker-0".to_owned()), "{workers}");
    assert!(all.iter().all(|id| id.starts_with("nixdag-worker-")), "{all:?}");
    // What is said is how many of them there are, not how many derivations they build.
    let dir = tempfile::tempdir().unwrap();
    let mut run = nixdag();
    run.args(["generate", "--provider", "github", "--mode", "workers", "--roots"]).arg(drvs.join("roots.json"));
    run.arg("--drv-dir").arg(&drvs).args(["--available", "/dev/null", "--output"]).arg(dir.path().join("outputs.json"));
    let said = shown(&run.output().unwrap());
    let count = all.iter().collect::<std::collections::BTreeSet<_>>().len();
    assert!(said.contains(&format!(": {count} job")), "{count}: {said}");
    let waves = planned("waves");
    assert_eq!(waves["gates"], 0, "{waves}");
    assert!(!ids(&waves, "wave1").iter().any(|id| id.starts_with("nixdag-worker-")), "{waves}");
}

/// `release` needs what three others build.
const GRAPH: &str = r#"
rec {
  library = drv "library" "echo library > $out";
  tool = drv "tool" "read it < ${library}; echo tool of $it > $out";
  docs = drv "docs" "echo docs ${library} > $out";
  release = drv "release" "cat ${tool} ${docs} > $out";
}"#;

const JOBS: [JobOf; 4] = [
    ("library", &["library"], &[], &[]),
    ("docs", &["docs"], &[], &["library"]),
    ("tool", &["tool"], &[], &["library"]),
    ("release", &["release"], &[], &["docs", "library", "tool"]),
];

/// The stand-in for GitHub's artifact service; artifacts are in a folder as well.
struct Service {
    process: Child,
    url: String,
    /// One of each job.
    tokens: Vec<String>,
}

impl Service {
    /// A service for so many jobs, each of which can make so many artifacts.
    fn new(folder: &Path, jobs: usize, per_job: u32) -> Self {
        let jobs: Vec<String> = (0..jobs).map(|job| format!("job-{job}")).collect();
        let options = serde_json::json!({ "folder": folder, "late": 1, "jobs": jobs, "perJob": per_job }).to_string();
        let mut process = with_node("node")
            .arg(repository().join("github/worker/test/stand-in.js"))
            .arg(options)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let said: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
        let tokens = said["tokens"].as_array().unwrap().iter().map(|token| token.as_str().unwrap().to_owned());
        Self { process, url: said["url"].as_str().unwrap().to_owned(), tokens: tokens.collect() }
    }

    /// What the runner gives a job.
    fn variables(&self, job: usize) -> [(&'static str, &str); 2] {
        [("ACTIONS_RESULTS_URL", &self.url), ("ACTIONS_RUNTIME_TOKEN", &self.tokens[job])]
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn has_node() -> bool {
    let has_node = with_node("node").arg("--version").output().is_ok_and(|said| said.status.success());
    if !has_node {
        eprintln!("left out: node is not installed");
    }
    has_node
}

/// A worker as the committed action runs it, on a machine whose Nix builds in a sandbox as another user.
fn worker(pipeline: &Pipeline, service: &Service, number: usize, arguments: &[&str]) -> Output {
    let script = format!("{}\nexec \"$@\"", build_user());
    let mut command = empty_store();
    command.args(["sh", "-euc", &script, "sh", "node"]).arg(repository().join("github/worker/dist/index.cjs"));
    let [workspace, temporary] = ["workspace", "tmp"].map(|name| pipeline.dir().join(format!("{name}-{number}")));
    [&workspace, &temporary].into_iter().for_each(|folder| fs::create_dir_all(folder).unwrap());
    let call = [env!("CARGO_BIN_EXE_nixdag"), "worker", "--names", "pipe", "--bundle"].join(" ");
    let arguments = arguments.join(" ");
    let script = format!("{call} {} {arguments} <&3 >&4 3<&- 4>&-", pipeline.bundle().display());
    let config = format!(
        "sandbox = true\nsandbox-paths = /bin /usr /lib /lib64 {}\nsubstituters =\nbuild-users-group = nixbld\n",
        pipeline.dir().join("built").display()
    );
    command.env("NIX_CONFIG", config).env("TMPDIR", &temporary).env("RUNNER_TEMP", &temporary);
    command.env("GITHUB_WORKSPACE", &workspace).env("GITHUB_RUN_ID", "1").envs(service.variables(number));
    command.env("INPUT_ID", format!("nixdag-worker-{number}")).env("INPUT_SCRIPT", script);
    command
        .env("PATH", with_node("node").get_envs().find_map(|(name, value)| value.filter(|_| name == "PATH")).unwrap());
    command.output().unwrap()
}

/// Forty artifacts a job, of which the action makes up to four by itself: a worker on its own comes to the end of its names, and two others build the rest.
#[test]
fn a_worker_that_can_make_no_more_artifacts_leaves_and_others_build_the_rest_once() {
    if !has_node() {
        return;
    }
    with_nix("a_worker_that_can_make_no_more_artifacts_leaves_and_others_build_the_rest_once", || {
        const TASKS: usize = 22;
        let names: Vec<[String; 2]> = (0..TASKS).map(|task| ["a", "b"].map(|one| format!("{one}{task:02}"))).collect();
        let drvs = names.iter().flatten().map(|name| format!("{name} = drv \"{name}\" \"echo {name} > $out\";"));
        let graph = format!("{{ {} }}", drvs.collect::<Vec<_>>().join(" "));
        let owned: Vec<[&str; 2]> = names.iter().map(|pair| [&*pair[0], &*pair[1]]).collect();
        // A block of two derivations is claimed and left as one.
        let jobs: Vec<JobOf> = owned.iter().map(|pair| (pair[0], &pair[..], &[][..], &[][..])).collect();
        let mut pipeline = Pipeline::new(&graph, &jobs);
        let all: Vec<u32> = (0..TASKS as u32).collect();
        let lanes: [&[u32]; 3] = [&all[..16], &all[16..19], &all[19..]];
        let crews = vec![WorkerCrew { leave_at: vec![TASKS as u32; 3], ..crew(0, &lanes) }];
        pipeline.plan.workers = Some(WorkerPlan { attempts: 3, store: None, most_names: Some(36), crews });
        pipeline.write_bundle("bundle");
        run(pipeline.dir(), "chmod", &["-R", "a+rwX", "."]);
        let artifacts = pipeline.dir().join("artifacts");
        fs::create_dir_all(artifacts.join("nixdag-bundle")).unwrap();
        fs::write(artifacts.join("nixdag-bundle/plan.json"), "{}").unwrap();
        let service = Service::new(&artifacts, 4, 40);
        let times = ["--poll", "0.2", "--silence", "60", "--results", ".nixdag/results", "--number"];
        let start = |number: usize| worker(&pipeline, &service, number, &[&times[..], &[&number.to_string()]].concat());
        let full = start(0);
        let said = shown(&full);
        assert!(full.status.success() && said.contains("no more names can be made in this job"), "{said}");
        let first = pipeline.built_sorted().len() / 2;
        assert!((8..TASKS).contains(&first), "{first}: {said}");
        let [one, other] = std::thread::scope(|scope| {
            let both = [1, 2].map(|number| scope.spawn(move || start(number)));
            both.map(|worker| worker.join().unwrap())
        });
        assert!(one.status.success() && other.status.success(), "{} {}", shown(&one), shown(&other));
        let mut built: Vec<String> = names.concat();
        built.sort();
        assert_eq!(pipeline.built_sorted(), built);
        let gate = worker(&pipeline, &service, 3, &["--gate"]);
        assert!(
            gate.status.success() && shown(&gate).contains(&format!("{TASKS} of {TASKS} units done by workers")),
            "{}",
            shown(&gate)
        );
        let left = fs::read_dir(&artifacts).unwrap().count() - 1;
        println!("{first} of {TASKS} tasks by a worker that can make 36 names; {left} artifacts in all");
    });
}

#[test]
fn workers_in_act_build_everything_once_and_a_job_behind_them_has_it() {
    let Some(act) = act() else { return };
    if !has_node() {
        return;
    }
    with_nix("workers_in_act_build_everything_once_and_a_job_behind_them_has_it", || {
        let mut pipeline = Pipeline::new(GRAPH, &JOBS);
        let jobs = std::mem::take(&mut pipeline.plan.jobs);
        pipeline.plan.jobs = jobs.into_iter().map(on_linux).collect();
        // `release` is a plain job behind them.
        pipeline.plan.workers =
            Some(WorkerPlan { attempts: 3, store: None, most_names: None, crews: vec![crew(0, &[&[0, 2], &[1]])] });
        pipeline.sha256 = pipeline.write_bundle_with("bundle", Path::new(env!("CARGO_BIN_EXE_nixdag")));
        run(pipeline.dir(), "chmod", &["-R", "a+rwX", "."]);
        let mut github = GitHub::new(act, "examples/hermetic", &[]);
        github.lines = build_user();
        github.nix_config = format!(
            "sandbox = true\nsandbox-paths = /bin /usr /lib /lib64 {}\nsubstituters =\nbuild-users-group = nixbld\n",
            pipeline.dir().join("built").display()
        );
        let artifacts = github.state.path().join("artifacts");
        fs::create_dir_all(&artifacts).unwrap();
        let planned = github.state.path().join("plan.json");
        fs::write(&planned, generate(&pipeline.plan, &setup(&pipeline.sha256.base16())).unwrap()).unwrap();
        fs::create_dir_all(artifacts.join("nixdag-bundle")).unwrap();
        for file in fs::read_dir(pipeline.bundle()).unwrap() {
            copy_into(&file.unwrap().path(), &artifacts.join("nixdag-bundle"));
        }
        let workflow = github.checkout.path().join(".github/workflows/nixdag.yml");
        fs::write(&workflow, planned_before(&planned)).unwrap();
        let service = Service::new(&artifacts, 1, 500);
        github.environment = service.variables(0).map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        let output = github.run(Path::new("/nonexistent"));
        let said = shown(&output);
        assert!(output.status.success(), "{said}");
        assert_eq!(pipeline.built_sorted(), ["docs", "library", "release", "tool"], "{said}");
        assert!(said.contains("3 of 3 units done by workers"), "{said}");
    });
}
