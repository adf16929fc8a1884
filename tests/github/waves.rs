//! Plans in waves: jobs of one exchange nothing, and the time that waiting takes is shown.

use serde_json::Value;

use crate::support::{derivations, fails, nixdag};

/// `nixdag plan` for a provider of the recorded derivations, all to be built.
fn command(provider: &str, arguments: &[&str]) -> assert_cmd::Command {
    let drvs = derivations();
    let mut run = nixdag();
    run.args(["plan", "--provider", provider]).args(arguments);
    run.arg("--roots").arg(drvs.join("roots.json")).arg("--drv-dir").arg(&drvs).args(["--available", "/dev/null"]);
    run
}

fn plan(arguments: &[&str]) -> Value {
    plan_for("github", arguments)
}

fn plan_for(provider: &str, arguments: &[&str]) -> Value {
    let output = command(provider, &[&["--format", "json"], arguments].concat()).output().unwrap();
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

/// The waves of a plan; every input of a job is in a wave before its own.
fn waves(plan: &Value) -> u64 {
    let jobs = plan["jobs"].as_array().unwrap();
    let wave = |id: &Value| jobs.iter().find(|job| job["id"] == *id).unwrap()["wave"].as_u64().unwrap();
    for job in jobs {
        let own = wave(&job["id"]);
        assert!(job["inputs"].as_array().unwrap().iter().all(|input| wave(input) < own), "{job}");
    }
    jobs.iter().map(|job| wave(&job["id"])).max().unwrap()
}

#[test]
fn jobs_take_nothing_from_their_own_wave() {
    let of = |arguments: &[&str]| waves(&plan(arguments));
    assert!((2..=16).contains(&of(&[])));
    let short =
        plan(&["--cost", "start_up=0", "--cost", "ordinary=900", "--granularity", "auto", "--objective", "time"]);
    assert!((2..=16).contains(&waves(&short)));
    let (free, in_waves) = (&short["estimates"]["free"], &short["estimates"]["plan"]);
    let seconds = |of: &Value| of["makespan_seconds"].as_f64().unwrap();
    assert!(seconds(in_waves) >= seconds(free) + 15.0, "a queue at least: {free} {in_waves}");
}

#[test]
fn other_providers_have_no_waves() {
    let other = plan_for("circleci", &[]);
    assert_eq!(other["jobs"][0]["wave"], Value::Null);
    assert_eq!(other["estimates"]["free"], Value::Null);
}

#[test]
fn a_plan_with_odd_waves_is_refused() {
    let mut odd = plan(&[]);
    let jobs = odd["jobs"].as_array_mut().unwrap();
    for job in jobs.iter_mut() {
        job["wave"] = 1.into();
    }
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("plan.json");
    std::fs::write(&file, odd.to_string()).unwrap();
    fails(nixdag().args(["plan", "--plan"]).arg(&file), &["which is in no wave before its own"]);
    odd["jobs"][0]["wave"] = Value::Null;
    std::fs::write(&file, odd.to_string()).unwrap();
    fails(nixdag().args(["plan", "--plan"]).arg(&file), &["has no wave, and others do"]);
}
