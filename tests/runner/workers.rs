//! Workers as processes on machines of their own, each with an empty store in which builds are in a sandbox as another user. They share a folder of names and nothing else.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use crate::support::empty_store::{build_user, empty_store};
use crate::support::pipeline::{JobOf, Pipeline};
use crate::support::s3_server::{Fault, KEY, S3Server};
use crate::support::synthetic::Random;
use crate::support::{run, shown, with_nix};
use nixdag::build::record::{Outcome, Record};
use nixdag::nix::hash::Sha256;
use nixdag::plan::worker_plan::{WorkerCrew, WorkerPlan};
use nixdag::plan::{JobIndex, json};

/// Two chains that meet, and one derivation beside them; `library` is needed by what `tool` does not need.
const GRAPH: &str = r#"
rec {
  library = drv "library" "echo library > $out";
  tool = drv "tool" "read it < ${library}; echo tool of $it > $out";
  docs = drv "docs" "sleep 0.2; echo docs ${library} > $out";
  extra = drv "extra" "sleep 0.2; echo extra > $out";
  release = drv "release" "cat ${tool} ${docs} ${extra} > $out";
}"#;

const JOBS: [JobOf; 5] = [
    ("extra", &["extra"], &[], &[]),
    ("library", &["library"], &[], &[]),
    ("docs", &["docs"], &[], &["library"]),
    ("tool", &["tool"], &[], &["library"]),
    ("release", &["release"], &[], &["docs", "extra", "library", "tool"]),
];

/// `examples/hermetic`, with builders that take a while.
const HERMETIC: &str = r#"
rec {
  a = drv "a" "sleep 0.3; echo a > $out";
  b = drv "b" "sleep 0.3; cat ${a} > $out";
  c = drv "c" "sleep 0.3; echo c > $out";
  d = drv "d" "sleep 0.3; cat ${b} ${c} > $out";
}"#;

const HERMETIC_JOBS: [JobOf; 4] = [
    ("a", &["a"], &[], &[]),
    ("b", &["b"], &[], &["a"]),
    ("c", &["c"], &[], &[]),
    ("d", &["d"], &[], &["b", "c", "a"]),
];

/// `examples/fleet`, on machines of one kind.
const FLEET: &str = r#"
rec {
  tool = drv "tool" "sleep 0.2; echo tool > $out";
  old = drv "old" "sleep 0.2; echo old > $out";
  arm = drv "arm" "sleep 0.2; cat ${tool} > $out";
  mac = drv "mac" "sleep 0.2; cat ${arm} > $out";
  engine = drv "engine" "sleep 0.4; echo engine > $out";
  browser = drv "browser" "sleep 0.2; cat ${engine} > $out";
  firmware = drv "firmware" "sleep 0.2; cat ${tool} ${arm} > $out";
  small = drv "small" "echo small > $out";
  vm = drv "vm" "sleep 0.2; cat ${tool} > $out";
}"#;

const FLEET_JOBS: [JobOf; 9] = [
    ("engine", &["engine"], &[], &[]),
    ("old", &["old"], &[], &[]),
    ("small", &["small"], &[], &[]),
    ("tool", &["tool"], &[], &[]),
    ("arm", &["arm"], &[], &["tool"]),
    ("browser", &["browser"], &[], &["engine"]),
    ("vm", &["vm"], &[], &["tool"]),
    ("firmware", &["firmware"], &[], &["arm", "tool"]),
    ("mac", &["mac"], &[], &["arm", "tool"]),
];

/// What workers are killed at.
const SHAPES: [(&str, &str, &[JobOf]); 3] =
    [("diamond", GRAPH, &JOBS), ("fleet", FLEET, &FLEET_JOBS), ("hermetic", HERMETIC, &HERMETIC_JOBS)];

/// The plan for so many workers, who have been given the jobs in turn.
fn pipeline(expression: &str, jobs: &[JobOf], workers: u32) -> Pipeline {
    pipeline_with(expression, jobs, workers, |_| None)
}

fn pipeline_with(
    expression: &str,
    jobs: &[JobOf],
    workers: u32,
    store: impl Fn(&Pipeline) -> Option<String>,
) -> Pipeline {
    let mut pipeline = Pipeline::new(expression, jobs);
    let lane = |worker| (worker..jobs.len() as u32).step_by(workers as usize).map(JobIndex).collect();
    let crew = WorkerCrew {
        slots: 1,
        later: 0,
        after: 0,
        lanes: (0..workers).map(lane).collect(),
        leave_at: vec![jobs.len() as u32; workers as usize],
    };
    let store = store(&pipeline);
    pipeline.plan.workers = Some(WorkerPlan { attempts: 3, store, most_names: None, crews: vec![crew] });
    pipeline.sha256 = pipeline.write_bundle("bundle");
    // Builders are other users.
    run(pipeline.dir(), "chmod", &["-R", "a+rwX", "."]);
    pipeline
}

/// A machine whose Nix builds in a sandbox as another user; `settings` are more lines for it.
fn machine(pipeline: &Pipeline, settings: &str) -> Command {
    let script = format!("{}\nexec \"$@\"", build_user());
    let mut command = empty_store();
    command.args(["sh", "-euc", &script, "sh"]);
    let built = pipeline.dir().join("built");
    let config = format!(
        "sandbox = true\nsandbox-paths = /bin /usr /lib /lib64 {}\nsubstituters =\nbuild-users-group = nixbld\n{settings}\n",
        built.display()
    );
    let temporary = pipeline.dir().join("tmp");
    fs::create_dir_all(&temporary).unwrap();
    command.env("TMPDIR", temporary).env("NIX_CONFIG", config).env("AWS_SECRET_ACCESS_KEY", "token-s3cr3t");
    command
}

fn arguments(pipeline: &Pipeline) -> Vec<String> {
    arguments_with(pipeline, pipeline.dir().join("names").to_str().unwrap())
}

fn arguments_with(pipeline: &Pipeline, names: &str) -> Vec<String> {
    let path = |name: &str| pipeline.dir().join(name).to_str().unwrap().to_owned();
    let (bundle, sha256) = (path("bundle"), pipeline.sha256.base16());
    ["worker", "--bundle", &bundle, "--bundle-sha256", &sha256, "--names", names].map(str::to_owned).to_vec()
}

fn results(pipeline: &Pipeline, worker: &str) -> PathBuf {
    pipeline.dir().join("results").join(worker)
}

/// Starts a worker that looks often; its results are in a folder of this name.
fn start(pipeline: &Pipeline, number: u32, results_of: &str, settings: &str) -> Child {
    spawn(machine(pipeline, settings), &arguments(pipeline), pipeline, number, results_of)
}

fn spawn(mut command: Command, arguments: &[String], pipeline: &Pipeline, number: u32, results_of: &str) -> Child {
    command.arg(env!("CARGO_BIN_EXE_nixdag")).args(arguments).args(["--number", &number.to_string()]);
    command.args(["--poll", "0.1", "--silence", "2", "--results"]).arg(results(pipeline, results_of));
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

#[track_caller]
fn succeeds(output: &Output) {
    assert!(output.status.success(), "{}", shown(output));
}

fn gate(pipeline: &Pipeline) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nixdag"));
    command.args(arguments(pipeline)).arg("--gate").output().unwrap()
}

/// What the workers of these results have built, with the worker of each.
fn built(pipeline: &Pipeline, workers: &[&str]) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for worker in workers {
        let record = Record::read(&results(pipeline, worker).join("report.json")).unwrap();
        let built = record.derivations.iter().filter(|drv| drv.outcome == Outcome::Built);
        found.extend(built.map(|drv| (drv.name.clone(), record.job.clone())));
    }
    found.sort();
    found
}

#[test]
fn a_claim_that_nobody_can_read_is_taken_over() {
    with_nix("a_claim_that_nobody_can_read_is_taken_over", || {
        let pipeline = pipeline(GRAPH, &JOBS, 1);
        let mut text = Vec::new();
        json::write(&pipeline.plan, &mut text).unwrap();
        text.push(b'\n');
        let names = pipeline.dir().join("names").join(&Sha256::of(&text).base16()[..16]);
        fs::create_dir_all(&names).unwrap();
        // Their names are taken, and there is nothing behind them, no file, and more than a claim.
        std::os::unix::fs::symlink("nothing", names.join("claim-1-0")).unwrap();
        fs::create_dir(names.join("claim-0-0")).unwrap();
        fs::write(names.join("claim-2-0"), "worker 0\n".repeat(100)).unwrap();
        succeeds(&start(&pipeline, 0, "0", "").wait_with_output().unwrap());
        assert_eq!(pipeline.built_sorted(), ["docs", "extra", "library", "release", "tool"]);
        assert!((0..3).all(|task| names.join(format!("claim-{task}-1")).is_file()));
        let gate = gate(&pipeline);
        succeeds(&gate);
        assert_eq!(
            shown(&gate).trim(),
            "5 of 5 units done by workers\nbegun by an unknown worker and not ended, but built later: `extra`, `library`, `docs`",
            "{}",
            shown(&gate)
        );
    });
}

#[test]
fn two_workers_build_everything_once_and_say_who_built_what() {
    with_nix("two_workers_build_everything_once_and_say_who_built_what", || {
        let pipeline = pipeline(GRAPH, &JOBS, 2);
        let workers = [start(&pipeline, 0, "0", ""), start(&pipeline, 1, "1", "")];
        let outputs = workers.map(|worker| worker.wait_with_output().unwrap());
        outputs.iter().for_each(|output| succeeds(output));
        assert_eq!(pipeline.built_sorted(), ["docs", "extra", "library", "release", "tool"]);
        let built = built(&pipeline, &["0", "1"]);
        assert_eq!(built.len(), 5, "{built:?}");
        let said: Vec<String> = outputs.iter().map(shown).collect();
        for (name, worker) in &built {
            let number: usize = worker.strip_prefix("nixdag-worker-").unwrap().parse().unwrap();
            assert!(said[number].contains(&format!("built `{name}`, ")), "{name} by {worker}: {said:?}");
        }
        let gate = gate(&pipeline);
        succeeds(&gate);
        assert_eq!(shown(&gate).trim(), "5 of 5 units done by workers", "{}", shown(&gate));
    });
}

#[test]
fn a_machine_whose_builds_are_not_apart_is_refused() {
    with_nix("a_machine_whose_builds_are_not_apart_is_refused", || {
        let pipeline = pipeline(GRAPH, &JOBS, 2);
        let names = format!("extra-sandbox-paths = /inside={}?", pipeline.dir().join("names").display());
        let temporary = format!("extra-sandbox-paths = {}", pipeline.dir().join("tmp").display());
        for (settings, why) in [
            ("sandbox = false", "`sandbox` is not `true` in nix.conf"),
            ("sandbox = relaxed", "`sandbox` is not `true` in nix.conf"),
            ("build-users-group =", "Nix builds as the superuser"),
            (&names, "is among `sandbox-paths`"),
            (&temporary, "is among `sandbox-paths`"),
        ] {
            let output = start(&pipeline, 0, "0", settings).wait_with_output().unwrap();
            let said = shown(&output);
            assert!(output.status.code() == Some(1) && said.contains(why), "{settings}: {said}");
        }
        let output = start(&pipeline, 2, "2", "").wait_with_output().unwrap();
        assert!(shown(&output).contains("there is no worker 2"), "{}", shown(&output));
        assert_eq!(pipeline.built(), [""; 0]);
    });
}

#[test]
fn what_needs_a_failed_build_is_not_waited_for_and_the_gate_is_red() {
    with_nix("what_needs_a_failed_build_is_not_waited_for_and_the_gate_is_red", || {
        let broken = GRAPH.replace("echo docs ${library}", "echo broken; exit 1");
        let pipeline = pipeline(&broken, &JOBS, 3);
        let workers = [0, 1, 2].map(|number| start(&pipeline, number, &number.to_string(), ""));
        let outputs = workers.map(|worker| worker.wait_with_output().unwrap());
        let said = outputs.each_ref().map(shown);
        let has_failed = said.each_ref().map(|said| said.contains("failed to build `docs`"));
        assert_eq!(has_failed.iter().filter(|&&failed| failed).count(), 1, "{said:?}");
        // One that began later is no better off than one that is started again.
        let before = "failed in this pipeline before this worker began, and not built again: `docs`";
        for number in 0..3 {
            let is_red = has_failed[number] || said[number].contains(before);
            assert_eq!(outputs[number].status.code(), Some(i32::from(is_red)), "{said:?}");
        }
        let again = start(&pipeline, 0, "again", "").wait_with_output().unwrap();
        assert!(again.status.code() == Some(1) && shown(&again).contains(before), "{}", shown(&again));
        assert_eq!(pipeline.built_sorted(), ["docs", "extra", "library", "tool"]);
        let said = shown(&gate(&pipeline));
        assert!(!gate(&pipeline).status.success(), "{said}");
        assert_eq!(said.trim(), "3 of 5 units done by workers\nfailed: `docs`\nnot built: `release`", "{said}");
    });
}

#[test]
fn when_a_worker_is_killed_the_others_finish() {
    with_nix("when_a_worker_is_killed_the_others_finish", || {
        let given = |name: &str, usual: usize| std::env::var(name).map_or(usual, |number| number.parse().unwrap());
        let kills = given("NIXDAG_WORKER_KILLS", 2);
        let (mut random, mut twice) = (Random(given("NIXDAG_WORKER_SEED", 22) as u64), 0);
        for kill in 0..kills {
            let (shape, graph, jobs) = SHAPES[kill % SHAPES.len()];
            let count = given("NIXDAG_WORKERS", 2 + kill % 2);
            let pipeline = pipeline(graph, jobs, count as u32);
            let names: Vec<String> = (0..count).map(|number| number.to_string()).collect();
            let mut workers: Vec<Child> =
                names.iter().enumerate().map(|(at, name)| start(&pipeline, at as u32, name, "")).collect();
            let dies = kill / 2 % count;
            let after = random.below(5000) as u64;
            std::thread::sleep(Duration::from_millis(after));
            workers[dies].kill().unwrap();
            let outputs: Vec<Output> = workers.into_iter().map(|worker| worker.wait_with_output().unwrap()).collect();
            let gate = gate(&pipeline);
            let all: Vec<String> = outputs.iter().chain([&gate]).map(shown).collect();
            let others = || (0..count).filter(|&at| at != dies);
            assert!(others().all(|at| outputs[at].status.success()) && gate.status.success(), "{all:?}");
            let said = shown(&gate);
            let of_others =
                said.lines().any(|line| line.starts_with("begun by") && !line.contains(&format!("by worker {dies} ")));
            assert!(!of_others, "{said}");
            let builds = pipeline.built_sorted();
            let mut once = builds.clone();
            once.dedup();
            let mut wanted: Vec<&str> = jobs.iter().map(|job| job.0).collect();
            wanted.sort_unstable();
            assert_eq!(once, wanted);
            assert!(builds.len() <= jobs.len() + 2, "{builds:?}");
            twice += builds.len() - jobs.len();
            let of_living = built(&pipeline, &others().map(|at| &*names[at]).collect::<Vec<_>>());
            println!(
                "kill {kill}: {shape}, worker {dies} of {count} after {after} ms; the others built {}, {} builds in all; {}",
                of_living.len(),
                builds.len(),
                shown(&gate).trim().replace('\n', ", ")
            );
        }
        println!("{kills} kills, {twice} builds done again");
    });
}

/// `tool` looks for names and for the worker's secrets wherever a builder can, and tries to leave a result of another task.
const HOSTILE: &str = r#"
rec {
  tool = drv "tool" ''
    echo tool > $out; dir=$(dirname @BUILT@)
    for folder in $dir/names $dir/names/* $dir/tmp $dir/tmp/* /proc/[0-9]*/root$dir/names; do
      if test -d $folder; then
        echo reached $folder >> @BUILT@; cp $out $folder/built-1-0-0-00000000000000000000000000000000
      fi
    done
    grep -la token-s3cr3t /proc/[0-9]*/environ >> @BUILT@ || true'';
  release = drv "release" "cat ${tool} > $out";
}"#;

#[test]
fn a_builder_reaches_no_names_and_a_forged_result_is_not_believed() {
    with_nix("a_builder_reaches_no_names_and_a_forged_result_is_not_believed", || {
        let jobs: [JobOf; 2] = [("a-tool", &["tool"], &[], &[]), ("release", &["release"], &[], &["a-tool"])];
        let pipeline = pipeline(HOSTILE, &jobs, 2);
        // Somebody who reaches the store after all leaves a result in the name of each worker, and signs of life.
        let mut text = Vec::new();
        json::write(&pipeline.plan, &mut text).unwrap();
        text.push(b'\n');
        let names = pipeline.dir().join("names").join(&Sha256::of(&text).base16()[..16]);
        fs::create_dir_all(&names).unwrap();
        let forged = "0".repeat(32);
        for name in [
            format!("built-0-0-0-{forged}"),
            format!("built-0-0-1-{forged}"),
            format!("failed-1-0-1-{forged}"),
            format!("alive-1-{}-7", &forged[..16]),
            "built-7-0-0".into(),
            "nonsense".into(),
        ] {
            fs::write(names.join(name), "nixdag-package-1\n1 ../../escaped\nxend\n").unwrap();
        }
        let workers = [start(&pipeline, 0, "0", ""), start(&pipeline, 1, "1", "")];
        for worker in workers {
            succeeds(&worker.wait_with_output().unwrap());
        }
        assert_eq!(pipeline.built_sorted(), ["release", "tool"]);
        let gate = gate(&pipeline);
        succeeds(&gate);
        assert!(shown(&gate).contains("3 left by somebody who had not claimed it"), "{}", shown(&gate));
    });
}

#[test]
fn a_bucket_that_loses_answers_and_says_409_has_everything_built_once() {
    with_nix("a_bucket_that_loses_answers_and_says_409_has_everything_built_once", || {
        let (pipeline, server) = (pipeline(GRAPH, &JOBS, 2), S3Server::new(false));
        let arguments = arguments_with(&pipeline, &server.url());
        let keyed = |mut command: Command| {
            command.env("AWS_ACCESS_KEY_ID", KEY.0).env("AWS_SECRET_ACCESS_KEY", KEY.1);
            command
        };
        // Their probes find out that it is there all the same.
        server.fail(&[Fault::LosesAnswer, Fault::Conflict, Fault::LosesRequest, Fault::LosesAnswer]);
        let start =
            |number: u32| spawn(keyed(machine(&pipeline, "")), &arguments, &pipeline, number, &number.to_string());
        let workers = [start(0), start(1)];
        // Both have tried the server out, and what they say from now on is lost at times.
        let is_up = || server.puts().keys().filter(|key| key.contains("/alive-")).count() == 2;
        (0..6000).take_while(|_| !is_up()).for_each(|_| std::thread::sleep(Duration::from_millis(10)));
        assert!(is_up(), "{:?}", server.puts());
        server.fail(&[Fault::LosesAnswer, Fault::Conflict, Fault::LosesRequest, Fault::LosesAnswer, Fault::Conflict]);
        for worker in workers {
            succeeds(&worker.wait_with_output().unwrap());
        }
        assert_eq!(pipeline.built_sorted(), ["docs", "extra", "library", "release", "tool"]);
        let mut gate = keyed(Command::new(env!("CARGO_BIN_EXE_nixdag")));
        let gate = gate.args(&arguments).arg("--gate").output().unwrap();
        succeeds(&gate);
        assert_eq!(shown(&gate).trim(), "5 of 5 units done by workers");
    });
}

#[test]
fn a_server_without_conditional_requests_and_one_that_knows_no_such_key_are_refused() {
    with_nix("a_server_without_conditional_requests_and_one_that_knows_no_such_key_are_refused", || {
        let pipeline = pipeline(GRAPH, &JOBS, 1);
        for (ignores, key, why) in [
            (true, KEY.1, "does not refuse to make an object again"),
            (false, "another", "the server answers 403 SignatureDoesNotMatch"),
        ] {
            let server = S3Server::new(ignores);
            let mut command = Command::new(env!("CARGO_BIN_EXE_nixdag"));
            command.args(arguments_with(&pipeline, &server.url())).args(["--number", "0"]);
            let output = command.env("AWS_ACCESS_KEY_ID", KEY.0).env("AWS_SECRET_ACCESS_KEY", key).output().unwrap();
            assert!(output.status.code() == Some(1) && shown(&output).contains(why), "{}", shown(&output));
        }
    });
}

#[test]
fn jobs_of_a_configuration_are_workers_and_hand_on_through_a_cache() {
    with_nix("jobs_of_a_configuration_are_workers_and_hand_on_through_a_cache", || {
        let names = |pipeline: &Pipeline| Some(pipeline.dir().join("names").to_str().unwrap().to_owned());
        let pipeline = pipeline_with(GRAPH, &JOBS, 2, names);
        let run = |id: &str| {
            let mut command = machine(&pipeline, "");
            let (bundle, cache) = (pipeline.bundle(), pipeline.dir().join("cache"));
            command.arg(env!("CARGO_BIN_EXE_nixdag")).arg("build").arg("--bundle").arg(bundle);
            command.args(["--job", id, "--cache", &format!("file://{}?trusted=1", cache.display())]);
            command.arg("--results").arg(results(&pipeline, id)).env("CIRCLE_WORKFLOW_ID", "this one");
            command.output().unwrap()
        };
        let red = run("nixdag-workers");
        assert!(
            red.status.code() == Some(1) && shown(&red).contains("0 of 5 units done by workers"),
            "{}",
            shown(&red)
        );
        assert!(shown(&red).contains("is this where they talk?") && !pipeline.dir().join("names").exists());
        for id in ["nixdag-worker-0", "nixdag-worker-1", "nixdag-workers"] {
            succeeds(&run(id));
        }
        assert_eq!(pipeline.built_sorted(), ["docs", "extra", "library", "release", "tool"]);
        assert_eq!(built(&pipeline, &["nixdag-worker-0", "nixdag-worker-1"]).len(), 5);
        // Results are in the cache alone.
        let release = pipeline.output("release", "out");
        assert!(pipeline.dir().join(format!("cache/{}.narinfo", &release["/nix/store/".len()..][..32])).exists());
        let names = fs::read_dir(pipeline.dir().join("names")).unwrap().next().unwrap().unwrap().path();
        let sizes = fs::read_dir(names).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len());
        assert!(sizes.max().unwrap() < 200);
    });
}
