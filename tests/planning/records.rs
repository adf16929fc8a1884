//! Records of earlier pipelines: `nixdag history`, and plans made from them.

use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use predicates::prelude::*;
use serde_json::{Value, json};

use crate::support::recorded::{Recorded, measured};
use crate::support::{fails, nixdag};

pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// A library below a program.
fn program() -> Recorded {
    Recorded::new()
        .drv("library-1", "", &[], &[])
        .drv("program-1", "", &["library-1"], &[])
        .target("program", "program-1")
}

/// A build so many seconds ago.
fn build(recorded: &Recorded, name: &str, ago: u64, ending: &str) -> Value {
    let mut build = measured(recorded.path(name), 100.0);
    build["at"] = json!(now() - ago);
    build["ending"] = json!(ending);
    build
}

fn file(builds: &[Value]) -> String {
    json!({ "version": 2, "builds": builds }).to_string()
}

#[test]
fn a_plan_says_what_of_it_is_recorded_and_what_failed_before() {
    let recorded = program();
    recorded
        .nixdag("plan")
        .assert()
        .success()
        .stdout(predicate::str::contains("Durations are guesses: no records yet"));
    let mut slow = build(&recorded, "library-1", 60, "built");
    slow["seconds"] = json!(1234);
    let mut failed = build(&recorded, "program-1", 60, "failed");
    failed["class"] = json!("timeout");
    recorded.file("records/job-a/records.json", file(&[slow]));
    recorded.file("records/job-b/records.json", file(&[failed]));
    let plan = |folder: &str| {
        let mut command = recorded.nixdag("plan");
        command.args(["--history", folder]);
        command
    };
    plan("records")
        .assert()
        .success()
        .stdout(
            predicate::str::contains("1 duration recorded, the last time on 20")
                .and(predicate::str::contains("; 1 guessed.")),
        )
        .stderr(
            predicate::str::contains("`program-1` failed in an earlier pipeline (20")
                .and(predicate::str::contains(", timeout)\n")),
        );
    let made = recorded.plan(&["--history", "records"]);
    let durations = &made["estimates"]["durations"];
    assert_eq!((&durations["recorded"], &durations["default"]), (&json!(1), &json!(1)), "{durations}");
    assert!(made["estimates"]["lower_bound_seconds"].as_f64().unwrap() > 1234.0);

    // The same once more: built in another pipeline, so it is flaky.
    recorded.file("records/job-c/records.json", file(&[build(&recorded, "program-1", 9, "built")]));
    plan("records").assert().success().stderr(predicate::str::contains("so it is flaky"));
}

/// A target above libraries; the first of them are recorded to have taken so many seconds, and a number of bytes.
fn libraries(count: usize, seconds: &[f64], bytes: Option<u64>) -> Recorded {
    let names: Vec<String> = (0..count).map(|number| format!("library{number}-1")).collect();
    let mut recorded = Recorded::new();
    for (number, name) in names.iter().enumerate() {
        // The later ones have more inputs.
        let inputs: Vec<&str> = names[..number / 3].iter().map(String::as_str).collect();
        recorded = recorded.drv(name, "", &inputs, &[]);
    }
    let inputs: Vec<&str> = names.iter().map(String::as_str).collect();
    recorded = recorded.drv("all-1", "", &inputs, &[]).target("all", "all-1");
    let builds: Vec<(&str, f64, Option<u64>)> =
        names.iter().zip(seconds).map(|(name, &seconds)| (name.as_str(), seconds, bytes)).collect();
    with_records(recorded, &builds)
}

/// Adds a file of records: names, seconds, and bytes of outputs.
fn with_records(recorded: Recorded, builds: &[(&str, f64, Option<u64>)]) -> Recorded {
    let builds = builds.iter().map(|&(name, seconds, bytes)| {
        let mut build = build(&recorded, name, 60, "built");
        build["seconds"] = json!(seconds);
        build["nar_bytes"] = json!(bytes);
        build
    });
    let text = file(&builds.collect::<Vec<_>>());
    recorded.file("records.json", text);
    recorded
}

#[test]
fn what_was_never_measured_is_taken_to_be_like_what_was() {
    // Eight records of 300 s each: the target above them takes as long.
    let recorded = libraries(8, &[300.0; 8], None);
    let bound = |arguments: &[&str]| {
        let all = [&["--history", "records.json", "--cost", "start_up=0", "--cost", "layer=0"], arguments].concat();
        recorded.plan(&all)["estimates"]["per_derivation"]["job_seconds"].as_f64().unwrap()
    };
    assert_eq!(bound(&[]), 9.0 * 300.0);
    assert_eq!(bound(&["--cost", "ordinary=10"]), 8.0 * 300.0 + 10.0, "what the user says stays");
    let few = libraries(8, &[300.0; 7], None);
    let plan = few.plan(&["--history", "records.json", "--cost", "start_up=0", "--cost", "layer=0"]);
    assert_eq!(plan["estimates"]["per_derivation"]["job_seconds"], json!(7 * 300 + 2 * 60), "seven are too few");

    // Where more inputs mean more time, a derivation of 30 inputs takes more than the middle one, and no more than the longest.
    let growing: Vec<f64> = (0..30).map(|number| 10.0 * (1.0 + f64::from(number / 3))).collect();
    let grown = libraries(30, &growing, None);
    let plan = grown.plan(&["--history", "records.json", "--cost", "start_up=0", "--cost", "layer=0"]);
    let all = plan["estimates"]["per_derivation"]["job_seconds"].as_f64().unwrap();
    assert_eq!(all - growing.iter().sum::<f64>(), 100.0, "{plan}");
}

#[test]
fn a_plan_says_how_each_job_and_each_build_is_predicted_to_run() {
    // Eight libraries of 300 s that hand on 60 MB each, and what takes from all of them.
    let recorded = libraries(8, &[300.0; 8], Some(60_000_000));
    let arguments =
        ["--history", "records.json", "--cost", "start_up=10", "--cost", "layer=1", "--granularity", "auto"];
    let plan = recorded.plan(&arguments);
    let seconds = |value: &Value| value.as_f64().unwrap();
    let (mut end, mut builds, mut machine) = (0.0_f64, 0, 0.0);
    for job in plan["jobs"].as_array().unwrap() {
        let predicted = &job["predicted"];
        let phases = ["start_up_seconds", "restore_seconds", "build_seconds", "hand_off_seconds"];
        let took: f64 = phases.iter().map(|phase| seconds(&predicted[phase])).sum();
        assert_eq!(took, seconds(&job["estimate"]["seconds"]), "{job}");
        for input in job["requires"].as_array().unwrap() {
            let input = plan["jobs"].as_array().unwrap().iter().find(|job| job["id"] == *input).unwrap();
            let ended = seconds(&input["predicted"]["start_seconds"]) + seconds(&input["estimate"]["seconds"]);
            assert!(ended <= seconds(&predicted["start_seconds"]), "{input}, {job}");
        }
        let owned = job["derivations"].as_array().unwrap().len();
        assert_eq!(seconds(&predicted["hand_off_seconds"]), owned as f64, "a second for each 60 MB");
        assert_eq!(predicted["slots"], 4);
        let from = predicted["builds_from"].as_str().unwrap();
        assert_eq!(predicted["builds_seconds"].as_array().unwrap().len(), from.len());
        // What was never recorded is like what was.
        for (path, letter) in job["derivations"].as_array().unwrap().iter().zip(from.chars()) {
            assert_eq!(letter, if path.as_str().unwrap().contains("library") { 'r' } else { 'f' }, "{job}");
        }
        (end, builds) = (end.max(seconds(&predicted["start_seconds"]) + took), builds + from.len());
        machine += took;
    }
    let estimates = &plan["estimates"];
    assert_eq!(
        (end, machine),
        (seconds(&estimates["plan"]["makespan_seconds"]), seconds(&estimates["plan"]["job_seconds"]))
    );
    assert_eq!(builds, 9);
    let path = plan["critical_path"].as_array().unwrap();
    let last = plan["jobs"].as_array().unwrap().iter().find(|job| job["id"] == *path.last().unwrap()).unwrap();
    assert_eq!(seconds(&last["predicted"]["start_seconds"]) + seconds(&last["estimate"]["seconds"]), end);
    assert_eq!(estimates["single"]["jobs"], 1);
    assert_eq!(estimates["model"]["transfer_bytes_per_second"], 60_000_000);
    assert_eq!(estimates["model"]["start_up_recorded"], false);

    // Without records all of it is a guess, and nothing is said of handing on; every command takes the plan back.
    let guessed = recorded.plan(&["--granularity", "auto"]);
    let text = guessed.to_string();
    assert!(text.contains("\"hand_off_seconds\":null") && !text.contains("transfer_bytes"), "{text}");
    assert!(
        guessed["jobs"]
            .as_array()
            .unwrap()
            .iter()
            .all(|job| !job["predicted"]["builds_from"].as_str().unwrap().contains(['r', 'f']))
    );
    let file = recorded.file("plan.json", &text);
    let again = nixdag().args(["plan", "--format", "json", "--plan"]).arg(file).output().unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&again.stdout).unwrap(), guessed);
    let cut = recorded.file("cut.json", text.replacen("\"builds_from\":\"", "\"builds_from\":\"g", 1));
    let mut command = nixdag();
    command.arg("plan").arg("--plan").arg(cut);
    fails(&mut command, &["`predicted` has "]);
}

#[test]
fn nothing_is_said_about_bytes_that_nobody_has_measured() {
    let handoff = |recorded: &Recorded, arguments: &[&str]| {
        let all = [&["--history", "records.json", "--granularity", "target"], arguments].concat();
        recorded.plan(&all)["estimates"]["handoff"].clone()
    };
    let unknown = libraries(8, &[300.0; 8], None);
    assert_eq!(handoff(&unknown, &[])["bytes"], Value::Null);
    let text = unknown.nixdag("plan").args(["--history", "records.json"]).assert().success();
    let text = String::from_utf8(text.get_output().stdout.clone()).unwrap();
    assert!(text.contains("of the workspace, in ") && !text.contains(" MB"), "{text}");
    let known = libraries(8, &[300.0; 8], Some(120_000_000));
    let said = handoff(&known, &["--handoff", "workspace"]);
    assert!(said["bytes"].is_u64(), "{said}");
    let set = handoff(&unknown, &["--cost", "bytes=7"]);
    assert!(set["bytes"].is_u64(), "{set}");
}

/// Targets that need nothing, each recorded to have left so many bytes.
fn of_sizes(bytes: &[u64]) -> Recorded {
    let name = |number: usize| format!("part{number}-1");
    let mut recorded = Recorded::new();
    for number in 0..bytes.len() {
        recorded = recorded.drv(&name(number), "", &[], &[]).target(&format!("part{number}"), &name(number));
    }
    let names: Vec<String> = (0..bytes.len()).map(name).collect();
    let builds: Vec<(&str, f64, Option<u64>)> =
        names.iter().zip(bytes).map(|(name, &bytes)| (name.as_str(), 100.0, Some(bytes))).collect();
    with_records(recorded, &builds)
}

#[test]
fn handing_on_takes_as_long_as_the_recorded_size_of_each_result() {
    let recorded = of_sizes(&[1_000, 1_000, 6_000_000_000, 1_000, 1 << 50]);
    let plan = recorded.plan(&["--history", "records.json", "--granularity", "target"]);
    let jobs = plan["jobs"].as_array().unwrap();
    let of = |name: &str| &jobs.iter().find(|job| job["id"] == *name).unwrap()["predicted"]["hand_off_seconds"];
    assert_eq!(of("part0").as_f64(), Some(0.0), "{jobs:?}");
    assert_eq!((of("part2").as_f64(), of("part4").as_f64()), (Some(100.0), Some(3600.0)));
}

#[test]
fn a_job_that_takes_too_long_to_hand_on_is_named() {
    let recorded = of_sizes(&[50_000_000_000; 15]);
    let says = |granularity: &str, limit: &str| {
        recorded.file("nixdag.yml", format!("limits: {{ job_seconds: {limit} }}\n"));
        let mut command = recorded.nixdag("plan");
        command.args(["--history", "records.json", "--granularity", granularity]);
        String::from_utf8(command.assert().success().get_output().stderr.clone()).unwrap()
    };
    let said = says("single", "10800");
    assert!(said.contains("too long for a job, which may take 3 h 00 min: 1 job, the longest `"), "{said}");
    assert!(said.contains("3 h 28 min to fetch and hand on results"), "{said}");
    assert!(!says("single", "14400").contains("too long") && !says("target", "10800").contains("too long"));
}

#[test]
fn records_that_are_too_old_are_said_to_be() {
    let recorded = program();
    recorded.file("records.json", file(&[build(&recorded, "library-1", 91 * 86_400, "built")]));
    let old = recorded.nixdag("plan").args(["--history", "records.json"]).assert().success();
    old.stderr(predicate::str::contains("1 recorded build left out: none is of the last 90 days"));
    // Of something else there are some.
    let other = program();
    let mut of_other = build(&other, "library-1", 60, "built");
    of_other["name"] = json!("other-1");
    of_other["derivation"] = json!(other.path("library-1").replace("library", "other"));
    other.file("records.json", file(&[of_other]));
    let plan = other.nixdag("plan").args(["--history", "records.json"]).assert().success();
    plan.stdout(predicate::str::contains("Durations are guesses: nothing of this plan is recorded."));
}

#[test]
fn records_that_anybody_may_have_written_change_no_verdict_and_are_named() {
    let recorded = program();
    let good = file(&[build(&recorded, "library-1", 60, "built")]);
    recorded.file("records/a/records.json", &good[..good.len() - 3]);
    recorded.file("records/b/records.json", json!({ "version": 1, "timings": [] }).to_string());
    recorded.file("records/c/records.json", "[".repeat(100_000));
    recorded.file("records/d/records.json", "x".repeat((64 << 20) + 1));
    let mut odd = build(&recorded, "library-1", 60, "built");
    odd["derivation"] = json!("/nix/store/../../etc/passwd");
    let mut later = build(&recorded, "library-1", 60, "built");
    later["at"] = json!(now() + 1_000_000);
    let mut long = build(&recorded, "program-1", 60, "built");
    long["seconds"] = json!(1e12);
    recorded.file("records/e/records.json", file(&[odd, later, long]));
    let plan = recorded.nixdag("plan").args(["--history", "records", "--format", "json"]).assert().success();
    let errors = String::from_utf8(plan.get_output().stderr.clone()).unwrap();
    for words in ["a/records.json` is left out", "version 1 of records", "c/records.json", "more than 67108864 bytes"] {
        assert!(errors.contains(words), "{words}: {errors}");
    }
    assert!(errors.contains("e/records.json`: 2 entries are not measurements"), "{errors}");
    let plan: Value = serde_json::from_slice(&plan.get_output().stdout).unwrap();
    let bound = plan["estimates"]["lower_bound_seconds"].as_f64().unwrap();
    assert!(bound < 8.0 * 86_400.0, "{bound}");
    assert_eq!(plan["jobs"][0]["derivations"].as_array().unwrap().len(), 2);
    let mut foreign = build(&recorded, "library-1", 60, "built");
    foreign["name"] = json!("elsewhere-1");
    foreign["derivation"] = json!(format!("/nix/store/{}-elsewhere-1.drv", "0".repeat(32)));
    recorded.file(
        "foreign.json",
        file(&[foreign]).replacen('{', &format!("{{\"odd\":{}1{},", "[".repeat(9), "]".repeat(9)), 1),
    );
    let plan = recorded.nixdag("plan").args(["--history", "foreign.json"]).assert().success();
    let errors = String::from_utf8(plan.get_output().stderr.clone()).unwrap();
    assert!(errors.contains("1 derivation recorded, none of which is in this plan"), "{errors}");
    assert!(errors.contains("what this nixdag does not know is left out: `odd`"), "{errors}");
    fails(recorded.nixdag("plan").args(["--history", "no/such/folder"]), &["--history", "no/such/folder"]);
}

#[test]
fn records_are_shown_merged_pruned_and_exported() {
    let recorded = program();
    let day = 86_400;
    let library = |ago| build(&recorded, "library-1", ago, "built");
    let (old, young) = (library(95 * day), library(3 * day));
    recorded.file("one.json", file(&[old, young.clone()]));
    recorded.file("two.json", file(&[young, build(&recorded, "program-1", day, "failed")]));
    let history = |arguments: &[&str]| {
        let mut command = nixdag();
        command.current_dir(recorded.dir()).arg("history").args(arguments);
        let output = command.assert().success().get_output().stdout.clone();
        String::from_utf8(output).unwrap()
    };
    let text = history(&["one.json", "two.json"]);
    assert!(text.starts_with("2 builds of 2 packages from 20"), "{text}");
    assert!(text.contains("library  x86_64-linux  1       1 min 40 s  1 min 40 s  0"), "{text}");
    assert!(text.contains("program  x86_64-linux  1       -           -           1"), "a failed build is one: {text}");
    assert!(history(&["one.json", "--max-age", "100"]).starts_with("2 builds of 1 package from"));
    let merged = history(&["one.json", "two.json", "--format", "json"]);
    assert_eq!(merged, history(&["two.json", "one.json", "--format", "json"]));
    recorded.file("merged.json", &merged);
    assert_eq!(merged, history(&["merged.json", "two.json", "--format", "json"]), "what is known adds nothing");
    let csv = history(&["merged.json", "--format", "csv"]);
    assert_eq!(csv.lines().count(), 3, "{csv}");
    let one: Value = serde_json::from_str(&history(&["merged.json", "--max-builds", "1", "--format", "json"])).unwrap();
    assert_eq!(one["builds"][0]["name"], "program-1");
    fs::create_dir(recorded.dir().join("empty")).unwrap();
    assert_eq!(history(&["empty"]), "nothing is recorded\n");
    recorded.file("bad.json", "{}");
    fails(nixdag().current_dir(recorded.dir()).args(["history", "bad.json"]), &["no records", "no file holds"]);
}

/// Four libraries, as many programs on two of them each, and `more` behind them; with `older` none of the paths is the same.
pub fn workshop(is_older: bool, more: Option<&str>) -> Recorded {
    // A path here follows from how many derivations come before.
    let mut recorded = Recorded::new();
    if is_older {
        recorded = recorded.drv("unused-1", "", &[], &[]);
    }
    for number in 0..4 {
        recorded = recorded.drv(&format!("library{number}-1"), "", &[], &[]);
    }
    for number in 0..4 {
        let inputs = [format!("library{number}-1"), format!("library{}-1", (number + 1) % 4)];
        let name = format!("program{number}-1");
        recorded = recorded.drv(&name, "", &inputs.each_ref().map(String::as_str), &[]).target(&name, &name);
    }
    more.into_iter().fold(recorded, |recorded, name| recorded.drv(name, "", &["library0-1"], &[]).target(name, name))
}

/// Names of jobs, each with the names of what it owns.
fn jobs(plan: &Value) -> Vec<(String, Vec<String>)> {
    let name = |path: &Value| path.as_str().unwrap().rsplit('/').next().unwrap()[33..].to_owned();
    let jobs = plan["jobs"].as_array().unwrap().iter();
    jobs.map(|job| {
        (job["name"].as_str().unwrap().to_owned(), job["derivations"].as_array().unwrap().iter().map(name).collect())
    })
    .collect()
}

#[test]
fn the_jobs_of_the_last_plan_stay_where_that_costs_little() {
    let before = workshop(true, None);
    let first = before.plan(&[]);
    let plan = before.file("plan.json", first.to_string());
    let mut collect = nixdag();
    collect.arg("collect").arg(before.dir().join("none")).arg("--plan").arg(plan).arg("--into").arg("records.json");
    collect.current_dir(before.dir()).assert().success();
    let records: Value = serde_json::from_slice(&fs::read(before.dir().join("records.json")).unwrap()).unwrap();
    assert_eq!(records["last_plan"]["jobs"].as_array().unwrap().len(), first["jobs"].as_array().unwrap().len());

    // Every path is another one since, and there is a program more: it gets a job of its own, the others are as they were.
    let after = workshop(false, Some("more-1"));
    let history = after.file("records.json", records.to_string());
    let history = ["--history", history.to_str().unwrap()];
    let second = after.plan(&history);
    let (old, new) = (jobs(&first), jobs(&second));
    assert!(old.iter().all(|job| new.contains(job)), "{old:?} {new:?}");
    assert_eq!(new.len(), old.len() + 1);
    assert_eq!(second["estimates"]["kept"], json!({ "jobs": old.len(), "of": old.len() }));
    let said = after.said("plan", &history);
    assert!(said.contains(&format!("{} of {} jobs are those of the last plan.", old.len(), new.len())), "{said}");

    // A job a library is dearer: such a plan stays only where that is allowed. A library of another version is the same one.
    let mut costly = records.clone();
    let bases: Vec<String> = second["jobs"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|job| job["derivations"].as_array().unwrap().clone())
        .map(|path| path.as_str().unwrap()["/nix/store/".len()..].replace("library1-1", "library1-0"))
        .collect();
    costly["last_plan"]["jobs"] =
        bases.iter().map(|base| json!({ "system": "x86_64-linux", "derivations": [base] })).collect();
    let costly = after.file("costly.json", costly.to_string());
    let with = |percent: &str| after.plan(&["--history", costly.to_str().unwrap(), "--keep-plan", percent]);
    let fresh = after.plan(&[]);
    assert_ne!(jobs(&fresh).len(), bases.len());
    assert_eq!(jobs(&with("3")), jobs(&fresh));
    assert_eq!(with("3")["estimates"]["kept"], Value::Null);
    assert_eq!(jobs(&with("100")).len(), bases.len());

    // What nobody can have planned is left out and said.
    let mut odd = records.clone();
    odd["last_plan"]["jobs"][0]["derivations"][0] = json!("../../etc/passwd");
    let odd = after.file("odd.json", odd.to_string());
    let mut command = after.nixdag("plan");
    command.arg("--history").arg(odd);
    command.assert().success().stderr(predicate::str::contains("1 entry is not a measurement and is left out"));
}

#[test]
fn a_last_plan_that_has_become_too_slow_is_mended_and_not_thrown_away() {
    // A chain of six, in one job of a new plan and in three of the last one, beside a hundred programs with a library each.
    let mut recorded = Recorded::new();
    for number in 0..100 {
        let (library, program) = (format!("library{number}-1"), format!("program{number}-1"));
        recorded = recorded.drv(&library, "", &[], &[]).drv(&program, "", &[&library], &[]).target(&program, &program);
    }
    for number in 0..6 {
        let input = format!("link{}-1", number - 1);
        let inputs: &[&str] = if number == 0 { &[] } else { &[&input] };
        recorded = recorded.drv(&format!("link{number}-1"), "", inputs, &[]);
    }
    let recorded = recorded.target("chain", "link5-1");
    let base = |name: &str| recorded.path(name)["/nix/store/".len()..].to_owned();
    let job = |names: [String; 2]| json!({ "system": "x86_64-linux", "derivations": names.map(|name| base(&name)) });
    let programs = (0..100).map(|number| job([format!("library{number}-1"), format!("program{number}-1")]));
    let links = [0, 2, 4].map(|number| job([format!("link{number}-1"), format!("link{}-1", number + 1)]));
    let last: Vec<Value> = programs.chain(links).collect();
    let last = json!({ "version": 2, "builds": [], "last_plan": { "at": now(), "jobs": last } });
    let file = recorded.file("records.json", last.to_string());
    let with = |more: &[&str]| recorded.plan(&[&["--history", file.to_str().unwrap()], more].concat());
    let took = |plan: &Value| plan["estimates"]["plan"]["makespan_seconds"].as_f64().unwrap();
    let fresh = recorded.plan(&["--reserve", "0"]);
    let (mended, as_it_was) = (with(&["--reserve", "0"]), with(&["--reserve", "0", "--keep-plan", "100"]));
    assert!(took(&as_it_was) > 1.1 * took(&fresh), "two start-ups more");
    assert!(took(&mended) <= 1.03 * took(&fresh), "{} after {}", took(&mended), took(&fresh));
    assert_eq!(mended["estimates"]["kept"], json!({ "jobs": 100, "of": 103 }));
    // Where durations are guesses, some program most often takes longer than the chain: what the guesses alone say throws nothing away.
    let guessed = with(&[]);
    assert!(took(&guessed) > 1.1 * took(&recorded.plan(&[])));
    assert_eq!(guessed["estimates"]["kept"], json!({ "jobs": 103, "of": 103 }));
}

#[test]
fn where_all_is_recorded_builds_are_planned_in_the_order_in_which_nix_begins_them() {
    // One job of four slots. Nix begins `z` last, whatever it takes.
    let names = ["a-1", "b-1", "c-1", "d-1", "z-1"];
    let mut recorded = Recorded::new();
    for name in names {
        recorded = recorded.drv(name, "", &[], &[]).target(&name[..1], name);
    }
    let builds = |long: &str| {
        let seconds = |name: &str| if name == long { 1000 } else { 500 };
        let all = names.iter().map(|name| {
            let mut build = build(&recorded, name, 60, "built");
            build["seconds"] = json!(seconds(name));
            build
        });
        file(&all.collect::<Vec<_>>())
    };
    recorded.file("late.json", builds("z-1"));
    recorded.file("early.json", builds("a-1"));
    let takes = |file: &str, more: &[&str]| {
        let one = ["--cost", "start_up=0", "--cost", "layer=0", "--history", file];
        recorded.plan(&[&one, more].concat())["estimates"]["plan"]["makespan_seconds"].as_f64().unwrap()
    };
    let single = ["--granularity", "single"];
    assert_eq!((takes("early.json", &single), takes("late.json", &single)), (1000.0, 1500.0));
    // So what begins late is not in a job with the others.
    assert_eq!(takes("late.json", &["--granularity", "auto", "--objective", "time"]), 1000.0);
}

#[test]
fn jobs_of_the_last_plan_stay_where_a_limit_has_targets_share_them() {
    let before = workshop(true, None);
    let first = before.plan(&["--max-jobs", "3"]);
    let plan = before.file("plan.json", first.to_string());
    let mut collect = nixdag();
    collect.arg("collect").arg(before.dir().join("none")).arg("--plan").arg(plan).arg("--into").arg("records.json");
    collect.current_dir(before.dir()).assert().success();
    let after = workshop(false, Some("more-1"));
    let history = after.file("records.json", fs::read_to_string(before.dir().join("records.json")).unwrap());
    let second = after.plan(&["--max-jobs", "4", "--keep-plan", "100", "--history", history.to_str().unwrap()]);
    let (old, new) = (jobs(&first), jobs(&second));
    let shares = |jobs: &[(String, Vec<String>)]| {
        jobs.iter().any(|(_, names)| names.iter().filter(|name| name.starts_with("program")).count() > 1)
    };
    assert!(shares(&old) && old.len() <= 3 && new.len() <= 4, "{old:?} {new:?}");
    let stayed =
        old.iter().filter(|(_, names)| new.iter().any(|(_, others)| names.iter().all(|name| others.contains(name))));
    assert_eq!(stayed.count(), old.len(), "{old:?} {new:?}");
    assert_eq!(second["estimates"]["kept"]["of"], json!(old.len()), "{new:?}");
}

#[test]
fn the_last_plan_need_not_be_one_any_more() {
    // Two jobs that would wait for each other, one for two targets, and one of two systems.
    let recorded = workshop(false, None).drv("other-1", "aarch64-linux", &[], &[]).target("other", "other-1");
    let base = |name: &str| recorded.path(name)["/nix/store/".len()..].to_owned();
    let job = |names: &[&str]| json!({ "system": "x86_64-linux", "derivations": names.iter().map(|name| base(name)).collect::<Vec<_>>() });
    let fresh = recorded.plan(&[]);
    for last in [
        vec![
            job(&["library0-1", "program1-1", "program2-1"]),
            job(&["library1-1", "library2-1", "library3-1", "program0-1", "program3-1", "other-1"]),
        ],
        vec![job(&[
            "library0-1",
            "library1-1",
            "library2-1",
            "library3-1",
            "program0-1",
            "program1-1",
            "program2-1",
            "program3-1",
            "other-1",
        ])],
        vec![job(&[])],
    ] {
        let last = json!({ "version": 2, "builds": [], "last_plan": { "at": now(), "jobs": last } });
        let file = recorded.file("records.json", last.to_string());
        for granularity in ["target", "auto", "single"] {
            let arguments = ["--history", file.to_str().unwrap(), "--keep-plan", "100", "--granularity", granularity];
            let plan = recorded.plan(&arguments);
            let mut built: Vec<String> = jobs(&plan).into_iter().flat_map(|(_, names)| names).collect();
            built.sort();
            let mut all: Vec<String> = jobs(&fresh).into_iter().flat_map(|(_, names)| names).collect();
            all.sort();
            assert_eq!(built, all, "{granularity}, {last}");
        }
    }
}

/// Two derivations of one name, each between others, numbered in one order or the other.
fn twins(is_older: bool) -> Recorded {
    let mut recorded = Recorded::new();
    if is_older {
        recorded = recorded.drv("unused-1", "", &[], &[]);
    }
    for number in if is_older { [1, 2] } else { [2, 1] } {
        let (base, twin, side) = (format!("base{number}-1"), format!("twin-1#{number}"), format!("side{number}-1"));
        recorded = recorded.drv(&base, "", &[], &[]).drv(&twin, "", &[&base], &[]).drv(&side, "", &[], &[]);
        let top = format!("top{number}-1");
        recorded = recorded.drv(&top, "", &[&twin, &side], &[]).target(&top, &top);
    }
    recorded
}

#[test]
fn derivations_of_one_name_are_found_by_what_is_around_them() {
    let before = twins(true);
    let plan = before.file("plan.json", before.plan(&[]).to_string());
    let mut collect = nixdag();
    collect.arg("collect").arg(before.dir().join("none")).arg("--plan").arg(plan).arg("--into").arg("records.json");
    collect.current_dir(before.dir()).assert().success();
    let mut records: Value = serde_json::from_slice(&fs::read(before.dir().join("records.json")).unwrap()).unwrap();
    assert_eq!(records["last_plan"]["likeness"].as_object().unwrap().len(), 2, "{records}");
    // Nothing that a twin is beside in its job is around it.
    let job = |keys: &[&str]| {
        let bases: Vec<_> = keys.iter().map(|key| before.path(key)["/nix/store/".len()..].to_owned()).collect();
        json!({ "system": "x86_64-linux", "derivations": bases })
    };
    records["last_plan"]["jobs"] = json!([
        job(&["base1-1", "base2-1"]),
        job(&["side1-1", "twin-1#1"]),
        job(&["side2-1", "twin-1#2"]),
        job(&["top1-1", "top2-1"])
    ]);
    let after = twins(false);
    let file = after.file("records.json", records.to_string());
    let plan = after.plan(&["--history", file.to_str().unwrap(), "--keep-plan", "100", "--granularity", "auto"]);
    assert_eq!(plan["estimates"]["kept"], json!({ "jobs": 4, "of": 4 }), "{plan}");
    let jobs = plan["jobs"].as_array().unwrap();
    let of = |key: &str| {
        jobs.iter().position(|job| job["derivations"].as_array().unwrap().contains(&json!(after.path(key))))
    };
    assert_eq!((of("twin-1#1"), of("twin-1#2")), (of("side1-1"), of("side2-1")), "{plan}");
}

#[test]
fn simpler_strategies_fetch_hand_on_and_wait_as_the_plan_does() {
    let figures = |recorded: &Recorded, arguments: &[&str]| {
        let all = [&["--cost", "start_up=0", "--cost", "layer=0", "--handoff", "cache"], arguments].concat();
        recorded.plan(&all)["estimates"].clone()
    };
    // Nine derivations of 300 s, three in a row and 15 edges between them: a second for each that is fetched or handed on.
    let known = figures(&libraries(8, &[300.0; 8], Some(60_000_000)), &["--history", "records.json"]);
    assert_eq!(known["per_derivation"]["job_seconds"], json!(9 * 301 + 15), "{known}");
    assert_eq!(known["single"]["job_seconds"], json!(900 + 9), "{known}");
    assert_eq!(known["flat"]["job_seconds"], json!(900 + 1), "a target hands on itself: {known}");
    assert_eq!(known["ordered"]["job_seconds"], json!(900 + 9), "{known}");
    // Where sizes are known and no speed, it is the usual one.
    let said = figures(&libraries(8, &[], None), &["--cost", "bytes=120000000"]);
    assert_eq!(said["model"]["transfer_bytes_per_second"], json!(60_000_000));
    assert_eq!(said["per_derivation"]["job_seconds"], json!(9 * 62 + 15 * 2), "{said}");
    // On GitHub every job waits for a machine.
    let makespan = |queue: &str, row: &str| {
        let cost = format!("queue={queue}");
        figures(&libraries(8, &[], None), &["--provider", "github", "--cost", &cost])[row]["makespan_seconds"].as_f64()
    };
    for (row, waits) in [("flat", 1.0), ("single", 1.0), ("ordered", 1.0), ("per_derivation", 3.0)] {
        assert_eq!(makespan("100", row).unwrap() - makespan("0", row).unwrap(), waits * 100.0, "{row}");
    }
}
