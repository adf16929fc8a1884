//! Workers on paper, on real graphs: near the lower bound, with no more machine time than a graph of jobs, also where durations are off and where a worker dies.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use crate::contract::real;
use crate::scenario::Scenario;
use crate::support::{derivations, graphs, shown};
use nixdag::plan::job_graph::direct_inputs;
use nixdag::plan::model::{Granularity, Model, Objective, PartitionOptions};
use nixdag::plan::partition::contract::separate;
use nixdag::plan::partition::partition;
use nixdag::plan::partition::units::Units;
use nixdag::plan::problem::{Millis, Problem};
use nixdag::plan::simulate::simulate;
use nixdag::plan::workers::blocks::fitting;
use nixdag::plan::workers::crew::ProtocolCosts;
use nixdag::plan::workers::run::run;
use nixdag::plan::workers::search::choose;
use nixdag::plan::workers::setting::{Outcome, Setting};
use nixdag::plan::workers::work::Work;
use nixdag::plan::{JobIndex, json};

const DRAWS: u64 = 5;

fn scenario(name: &str) -> Scenario {
    let known = |graph: &str| Scenario::read(&real(graph), &graphs().join("scenarios").join(name));
    match name {
        "s1" | "s3" => known("mid20k"),
        "s2" | "s4" => known("core2026"),
        graph => Scenario::all(&real(graph)),
    }
}

/// Machine time of the shortest plan whose jobs start as soon as they can, milliseconds.
fn of_jobs(problem: &Problem, model: &Model) -> Millis {
    let options = PartitionOptions {
        objective: Objective::Time,
        granularity: Granularity::Auto,
        durations_recorded: true,
        ..PartitionOptions::default()
    };
    let partition = partition(problem, model, &options).partition;
    simulate(problem, &partition, &direct_inputs(problem, &partition).unwrap(), model).job_time
}

/// Seconds, and the wall time as a multiple of the bound.
fn figures(outcome: &Outcome, bound: Millis) -> String {
    let (wall, machine) = (outcome.makespan, outcome.machine_time);
    format!("{} / {} ({:.3})", wall / 1000, machine / 1000, wall as f64 / bound as f64)
}

fn check(name: &str) {
    let scenario = scenario(name);
    let model = Model { concurrency: 60, queue: 15_000, ..Model::default() };
    let costs = ProtocolCosts::default();
    let as_work = |problem: &Problem| Work::new(problem, &separate(problem, &model), &scenario.machines);
    let work = as_work(&scenario.problem);
    let bound = work.longest_path() + model.start_up;
    let way = choose(&work, &model, &costs, Objective::Time).unwrap();
    let planned =
        Setting { work: &work, model: &model, costs: &costs, crews: &way.crews, lanes: Some(&way.lanes), death: None };
    let near = |wall: Millis, bound: Millis, percent: Millis| wall * 100 <= bound * percent;
    let jobs = of_jobs(&scenario.problem, &model);
    println!("{name} {:?}: {}, jobs {}", way.crews, figures(&way.outcome, bound), jobs / 1000);
    assert!(near(way.outcome.makespan, bound, 110) && way.outcome.machine_time <= jobs);

    // The workers know the planned paths, not the real ones.
    let mut parts = 0;
    for draw in 0..DRAWS {
        let real = as_work(&scenario.off_by(0.7, draw));
        let off = Work { tail: work.tail.clone(), ..real.clone() };
        let outcome = run(Setting { work: &off, ..planned }).unwrap();
        println!("{name} off by a factor: {}", figures(&outcome, real.longest_path() + model.start_up));
        parts += outcome.makespan * 1000 / (real.longest_path() + model.start_up);
    }
    assert!(parts <= DRAWS * 1150, "{parts}");

    for worker in 0..way.lanes.units.len() {
        let death = Some((worker, way.outcome.makespan / 2));
        let outcome = run(Setting { death, ..planned }).unwrap();
        println!("{name}, worker {worker} dies: {}, again {}", figures(&outcome, bound), outcome.begun_again);
        assert!(near(outcome.makespan, bound, 125));
    }
}

#[test]
#[ignore = "needs real graphs, in a folder that NIXDAG_GRAPHS names"]
fn workers_where_openssl_has_changed() {
    check("s1");
    check("s2");
}

#[test]
#[ignore = "needs real graphs, in a folder that NIXDAG_GRAPHS names"]
fn workers_where_cairo_has_changed() {
    check("s3");
}

#[test]
#[ignore = "needs real graphs, in a folder that NIXDAG_GRAPHS names"]
fn workers_with_everything_to_build() {
    check("s4");
    check("mix9");
}

#[test]
#[ignore = "needs real graphs, in a folder that NIXDAG_GRAPHS names"]
fn workers_with_a_system_to_build() {
    check("nixos");
}

/// What workers would take is said to whoever asks for details of a plan with jobs to compare it with.
#[test]
fn a_plan_says_what_workers_would_take() {
    let folder = derivations();
    let said = |format: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_nixdag"));
        command.args(["--verbose", "plan", "--available", "/dev/null", "--format", format]);
        let output =
            command.arg("--roots").arg(folder.join("roots.json")).arg("--drv-dir").arg(&folder).output().unwrap();
        assert!(output.status.success(), "{}", shown(&output));
        String::from_utf8(output.stderr).unwrap()
    };
    let text = said("table");
    assert!(
        text.contains("`mode: workers`, machines that take one derivation after another: ")
            && text.contains(", machine time "),
        "{text}"
    );
    assert!(!said("json").contains("mode: workers"));
}

/// What the program prints and says about the derivations of the fixture, with these arguments.
fn asked(arguments: &[&str]) -> Output {
    let folder = derivations();
    let mut command = Command::new(env!("CARGO_BIN_EXE_nixdag"));
    command.args(arguments).args(["--available", "/dev/null", "--mode", "workers"]);
    command.arg("--roots").arg(folder.join("roots.json")).arg("--drv-dir").arg(&folder).output().unwrap()
}

#[test]
fn a_plan_for_workers_has_a_job_a_derivation_and_a_lane_for_each() {
    let output = asked(&["plan", "--json", "--worker-store", "s3://names"]);
    assert!(output.status.success(), "{}", shown(&output));
    let plan = json::read(&output.stdout).unwrap();
    let workers = plan.workers.as_ref().unwrap();
    let mut lanes: Vec<_> = workers.jobs().collect();
    lanes.sort();
    assert_eq!(lanes, (0..plan.jobs.len() as u32).map(JobIndex).collect::<Vec<_>>());
    assert_eq!(plan.estimates.needed, plan.jobs.iter().map(|job| job.derivations.len() as u64).sum::<u64>());
    assert_eq!((plan.estimates.plan.jobs, workers.store.as_deref()), (workers.count() as u64, Some("s3://names")));
    // What is read back is what was written, and what does not hold together is refused.
    let mut again = Vec::new();
    json::write(&plan, &mut again).unwrap();
    assert_eq!(json::read(&again).unwrap(), plan);
    let text = String::from_utf8(again).unwrap();
    let first = &plan.job(workers.crews[0].lanes[0][0]).id;
    for (from, to, why) in [
        ("\"attempts\":3", "\"attempts\":0", "a task is claimed 0 times"),
        ("\"slots\":", "\"slots\":9999", "jobs at once"),
        ("\"later\":", "\"later\":99", "wait for another one"),
        (&format!("\"lanes\":[[\"{first}\""), "\"lanes\":[[\"other\"", "`other` is not a job of the plan"),
        (&format!("\"lanes\":[[\"{first}\""), &format!("\"lanes\":[[\"{first}\",\"{first}\""), "is in two lanes"),
    ] {
        let at = text.find("  \"workers\": ").unwrap();
        let changed = format!("{}{}", &text[..at], text[at..].replacen(from, to, 1));
        assert_ne!(changed, text, "{from}");
        let error = format!("{:#}", json::read(changed.as_bytes()).unwrap_err());
        assert!(error.contains(why), "{error}");
    }
}

#[test]
fn workers_are_generated_where_they_can_talk_and_a_cache_takes_their_results() {
    let cache = ["--handoff", "cache", "--cache", "s3://results?trusted=true"];
    for provider in ["circleci", "gitlab"] {
        let store = ["generate", "--worker-store", "s3://names", "--provider", provider];
        let output = asked(&[&store[..], &cache].concat());
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{}", shown(&output));
        assert!(text.contains("nixdag-worker-0") && text.contains("nixdag-workers"), "{text}");
        let warned = "workers refuse to run on executor `docker`, whose image sets `sandbox = false`";
        assert!(shown(&output).contains(warned), "{}", shown(&output));
        let refused = |arguments: &[&str], why: &str| {
            let output = asked(arguments);
            assert!(!output.status.success() && shown(&output).contains(why), "{why}: {}", shown(&output));
        };
        refused(&store, "needs `handoff: cache`");
        refused(&[&["generate", "--provider", provider], &cache[..]].concat(), "`--worker-store`");
    }
    let waves =
        Command::new(env!("CARGO_BIN_EXE_nixdag")).args(["plan", "--mode", "waves", "--provider", "gitlab"]).output();
    let said = shown(&waves.unwrap());
    assert!(said.contains("`mode: waves` does not exist on GitLab"), "{said}");
}

/// Whatever gets contexts or an environment, and what needs that, is a job of its own that no worker takes.
#[test]
fn what_no_worker_may_build_comes_behind_them() {
    let dir = tempfile::tempdir().unwrap();
    let plan_with = |rule: &str| {
        let file = dir.path().join("nixdag.yml");
        fs::write(&file, format!("contexts: [deploy]\nrules: [{rule}]\n")).unwrap();
        let folder = derivations();
        let mut command = Command::new(env!("CARGO_BIN_EXE_nixdag"));
        command.args(["plan", "--json", "--mode", "workers", "--available", "/dev/null"]).current_dir(&dir);
        let command = command.arg("--roots").arg(folder.join("roots.json")).arg("--drv-dir").arg(&folder);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", shown(&output));
        (json::read(&output.stdout).unwrap(), shown(&output))
    };
    let (all, _) = plan_with("");
    let target = all.targets.iter().find(|target| target.job.is_some()).unwrap();
    let (attribute, drv) = (&target.target, &target.derivation);
    for what in ["context: deploy", "environment: { A: b }"] {
        let (plan, said) = plan_with(&format!("{{ match: {{ attribute: '{attribute}' }}, {what} }}"));
        let workers = plan.workers.as_ref().unwrap();
        let taken: Vec<_> = workers.jobs().collect();
        let is_plain = |job: &nixdag::plan::Job| job.options.context.is_empty() && job.options.environment.is_empty();
        assert!(taken.iter().all(|&job| is_plain(plan.job(job))));
        let behind: Vec<_> = (0..plan.jobs.len() as u32).map(JobIndex).filter(|job| !taken.contains(job)).collect();
        assert!(behind.iter().any(|&job| plan.job(job).derivations.contains(drv)), "{said}");
        assert!(said.contains("built behind the workers, in "), "{said}");
        assert_eq!(plan.estimates.plan.jobs as usize, workers.count() + behind.len());
        assert_eq!(plan.estimates.needed, all.estimates.needed);
    }
    // Where nothing is left for workers there are jobs.
    let (plan, said) = plan_with("{ environment: { A: b } }");
    assert!(
        plan.workers.is_none() && !plan.jobs.is_empty() && said.contains("no workers: all that is to be built"),
        "{said}"
    );
}

/// What `docs/workers.md` tells users to write is all that there is to do, and its machines have a sandbox.
#[test]
fn the_example_for_workers_is_generated_as_it_stands() {
    let docs = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/workers.md")).unwrap();
    let example = docs.split("```yaml\n").nth(1).unwrap().split("```").next().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let (file, folder) = (dir.path().join("nixdag.yml"), derivations());
    let generate = |settings: &str| {
        fs::write(&file, settings).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_nixdag"));
        command.args(["generate", "--provider", "circleci", "--available", "/dev/null"]).current_dir(&dir);
        command.arg("--roots").arg(folder.join("roots.json")).arg("--drv-dir").arg(&folder).output().unwrap()
    };
    let output = generate(example);
    // The graph has derivations for Arm too, of which the example says nothing.
    let runs_x86 = |output: &Output| {
        let said = shown(output);
        output.status.success() && !["docker", "vm"].iter().any(|name| said.contains(&format!("on executor `{name}`")))
    };
    assert!(runs_x86(&output), "{}", shown(&output));
    let set = "executors:\n  docker: { environment: { NIX_CONFIG: \"sandbox = true\" } }\n";
    let output = generate(&format!("{}{set}", example.split("executors:").next().unwrap()));
    assert!(runs_x86(&output), "{}", shown(&output));
}

/// Where there is little to do workers are few, and a plan says that jobs do as well; where there is nothing to do there are none.
#[test]
fn a_plan_with_little_to_do_says_that_jobs_do_as_well() {
    let folder = derivations();
    let mut command = Command::new(env!("CARGO_BIN_EXE_nixdag"));
    command.args([
        "plan",
        "--mode",
        "workers",
        "--available",
        "/dev/null",
        "--select",
        "packages.x86_64-linux.program",
    ]);
    let output = command.arg("--roots").arg(folder.join("roots.json")).arg("--drv-dir").arg(&folder).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(said.contains("(1 worker)"), "{}", shown(&output));
    assert!(said.contains("the job that reports on all workers, after them"), "{said}");
    assert!(
        said.contains("leave out `mode: workers` where plans are like this one: one job does this as well"),
        "{said}"
    );
}

/// What no other machine would find is refused before anything is planned for it, and credentials are not repeated.
#[test]
fn a_store_where_workers_could_not_talk_is_refused_when_they_are_planned() {
    for (provider, store, why) in [
        ("circleci", "names", "is a relative path"),
        ("gitlab", "./names", "is a relative path"),
        ("github", "names", "is a relative path"),
        ("circleci", "pipe", "nobody is at the other end"),
        ("gitlab", "pipe", "nobody is at the other end"),
        ("circleci", "s3://KEY:s3cr3t@names?region=eu-west-1", "in front of `@`"),
        ("github", "s3://KEY:s3cr3t@names", "in front of `@`"),
        ("gitlab", "https://names.example.org", "expected a folder or `s3://BUCKET`"),
    ] {
        let output = asked(&["generate", "--provider", provider, "--worker-store", store]);
        let said = shown(&output);
        assert_eq!(output.status.code(), Some(2), "{store}: {said}");
        assert!(said.contains(why) && !said.contains("s3cr3t") && output.stdout.is_empty(), "{store}: {said}");
    }
    // GitHub's action is at the other end.
    let output = asked(&["generate", "--provider", "github", "--worker-store", "pipe"]);
    assert!(output.status.success(), "{}", shown(&output));
}

/// The lines of the table are not jobs, and nothing of what jobs hand on is said.
#[test]
fn a_plan_for_workers_says_what_its_lines_are() {
    let output = asked(&["plan"]);
    let said = String::from_utf8_lossy(&output.stdout).split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        said.contains("Each line is a unit of work, not a job of the CI: a worker that is free takes it ("),
        "{said}"
    );
    assert!(!said.contains("of the workspace"), "{said}");
}

/// What it costs that a worker can make so many names: units are claimed and left together. Wall time is that of workers that can make any number, times what is given back.
fn in_blocks(name: &str, scenario: &Scenario, most: usize) -> f64 {
    let model = Model { concurrency: 60, queue: 15_000, ..Model::default() };
    let problem = &scenario.problem;
    let work_of = |units: &Units| Work::new(problem, units, &scenario.machines);
    let (single, costs) = (separate(problem, &model), ProtocolCosts::default());
    let free = choose(&work_of(&single), &model, &costs, Objective::Time).unwrap();
    let (units, way) = fitting(problem, single.clone(), most, (&model, &costs), work_of, free.clone()).unwrap();
    let signs = |length: &Millis| costs.signs(*length) as usize;
    let names = way.lanes.units.iter().zip(&way.outcome.lengths).map(|(lane, length)| 2 * lane.len() + signs(length));
    let names: Vec<usize> = names.collect();
    let (largest, all) = (names.iter().max().unwrap(), names.iter().sum::<usize>());
    println!(
        "{name}: {} units in {} blocks, at most {largest} names; {:?} {} and {:?} {} s",
        single.len(),
        units.len(),
        free.crews,
        free.outcome.makespan / 1000,
        way.crews,
        way.outcome.makespan / 1000
    );
    // A worker whose lane is longer than its names reach leaves the rest to others, which have some left.
    assert!(*largest <= most * 5 / 4 && all <= most * names.len(), "{names:?}");
    assert!(units.len() < single.len());
    let mut owned: Vec<_> = (0..units.len() as u32).flat_map(|unit| units.owned.of(unit).iter().copied()).collect();
    owned.sort_unstable();
    assert_eq!(owned, (0..problem.len() as u32).collect::<Vec<_>>());
    way.outcome.makespan as f64 / free.outcome.makespan as f64
}

#[test]
fn units_are_put_together_where_a_worker_can_make_few_names() {
    let scenario = Scenario::made_up();
    let longer = in_blocks("made up", &scenario, 250);
    assert!(longer <= 1.25, "{longer}");
}

#[test]
#[ignore = "needs real graphs, in a folder that NIXDAG_GRAPHS names"]
fn names_of_workers_on_github() {
    for name in ["s2", "s1", "s3"] {
        let longer = in_blocks(name, &scenario(name), 500);
        println!("{name}: {longer:.3} times as long");
        assert!(longer <= 1.25, "{longer}");
    }
}

/// Lanes and stages of a made-up graph stay within the bound too.
#[test]
fn workers_on_a_made_up_graph() {
    let scenario = Scenario::made_up();
    let (model, costs) = (Model { queue: 15_000, ..Model::default() }, ProtocolCosts::default());
    let problem = &scenario.problem;
    let work = Work::new(problem, &separate(problem, &model), &scenario.machines);
    let time = choose(&work, &model, &costs, Objective::Time).unwrap();
    assert!(time.outcome.makespan * 100 <= (work.longest_path() + model.start_up) * 115, "{:?}", time.crews);
    assert_eq!(time.lanes.units.iter().map(Vec::len).sum::<usize>(), problem.len());
}
