//! What fails, and runs again, in act. It starts no job behind a called workflow that failed, and knows no attempts: so each call of the job's file is
//! here that file's one job with the same steps, and the second attempt is a run whose waves hold what did not succeed, with the artifacts of
//! the first.

use std::fs;
use std::path::Path;

use serde_json::Value as Json;
use serde_yaml::{Mapping, Value};

use crate::act::{GitHub, act};
use crate::support::github_project::file;
use crate::support::project::one_nix;
use crate::support::{repository, shown};

/// Gives the next job what the planning job has put out, for the test as well.
const KEEP: &str = r#"{runs-on: ubuntu-24.04, needs: [plan], steps: [{shell: bash, env: {PLAN: "${{ needs.plan.outputs.plan }}"}, run: 'printf %s "$PLAN" > "$ARTIFACTS/plan.json"'}]}"#;

/// A planning job that puts out what it finds.
const FOUND: &str = r#"{runs-on: ubuntu-24.04, outputs: {plan: "${{ steps.plan.outputs.plan }}"}, steps: [{id: plan, shell: bash, run: 'echo "plan=$(<"$ARTIFACTS/plan.json")" >> "$GITHUB_OUTPUT"'}]}"#;

/// The committed workflow, whose planning job puts out what is in a file.
pub fn planned_before(plan: &Path) -> String {
    let mut whole = yaml(&file(&[]));
    whole["jobs"]["plan"] = replaced(&yaml(FOUND), "$ARTIFACTS/plan.json", plan.to_str().unwrap());
    serde_json::to_string(&whole).unwrap()
}

fn yaml(text: &str) -> Value {
    serde_yaml::from_str(text).unwrap()
}

/// The value with a word in all its text replaced.
fn replaced(value: &Value, from: &str, to: &str) -> Value {
    match value {
        Value::String(text) => Value::String(text.replace(from, to)),
        Value::Sequence(items) => items.iter().map(|item| replaced(item, from, to)).collect(),
        Value::Mapping(entries) => {
            entries.iter().map(|(key, value)| (key.clone(), replaced(value, from, to))).collect::<Mapping>().into()
        }
        other => other.clone(),
    }
}

/// A job of the waves with the steps of the job's file in it.
fn with_steps(body: &Value, job: &Value) -> Value {
    let mut whole = job.clone();
    for (name, expression) in body["with"].as_mapping().unwrap() {
        let expression = expression.as_str().unwrap().trim_start_matches("${{ ").trim_end_matches(" }}");
        whole = replaced(&whole, &format!("inputs.{}", name.as_str().unwrap()), expression);
    }
    for key in ["name", "if", "strategy", "needs"] {
        whole.as_mapping_mut().unwrap().extend(body.get(key).map(|value| (key.into(), value.clone())));
    }
    whole
}

/// The committed workflow and those that it calls as one, planned by `plan`, or as the file itself says.
fn flat(inputs: &[(&str, &str)], plan: Option<&str>) -> String {
    let own = |name: &str| yaml(&fs::read_to_string(repository().join(".github/workflows").join(name)).unwrap());
    let (mut whole, waves, job) = (yaml(&file(inputs)), own("nixdag-waves.yml"), own("nixdag-job.yml"));
    let jobs = whole["jobs"].as_mapping_mut().unwrap();
    jobs.remove("nixdag").unwrap();
    jobs.insert("kept".into(), yaml(KEEP));
    jobs.extend(plan.map(|plan| ("plan".into(), yaml(plan))));
    for (id, body) in waves["jobs"].as_mapping().unwrap() {
        let mut body = if body.get("uses").is_some() { with_steps(body, &job["jobs"]["build"]) } else { body.clone() };
        body = replaced(&body, "inputs.plan", "needs.plan.outputs.plan");
        body = replaced(&body, "inputs.deliver", "true");
        let mut needs: Vec<Value> = body.get("needs").and_then(Value::as_sequence).cloned().unwrap_or_default();
        needs.push("plan".into());
        body["needs"] = needs.into();
        jobs.insert(id.clone(), body);
    }
    jobs["gate"]["needs"] = yaml("[plan, verdict]");
    jobs["gate"] = replaced(&jobs["gate"].clone(), "needs.nixdag.result", "needs.verdict.result");
    serde_json::to_string(&whole).unwrap()
}

/// `b` fails as long as this file is there.
fn break_b(github: &GitHub, mark: &Path) {
    let flake = github.checkout.path().join("flake.nix");
    let text = fs::read_to_string(&flake).unwrap();
    let broken =
        format!("words=\n                  if [ \"$name\" = b ] && [ -e {} ]; then exit 3; fi\n", mark.display());
    assert!(text.contains("words=\n"));
    fs::write(&flake, text.replace("words=\n", &broken)).unwrap();
    fs::write(mark, "").unwrap();
}

/// A plan less these jobs, and less the waves that are empty then.
fn without(plan: &Json, done: &[&str]) -> Json {
    let mut rest = plan.clone();
    let entries = rest.as_object_mut().unwrap();
    let count = plan["waves"].as_u64().unwrap();
    let mut waves: Vec<Json> = (1..=count).filter_map(|at| entries.remove(&format!("wave{at}"))).collect();
    let is_done = |job: &Json| done.contains(&job["id"].as_str().unwrap());
    waves.iter_mut().for_each(|wave| wave.as_array_mut().unwrap().retain(|job| !is_done(job)));
    waves.retain(|wave| !wave.as_array().unwrap().is_empty());
    entries.insert("waves".into(), waves.len().into());
    entries.extend((1..).zip(waves).map(|(at, wave)| (format!("wave{at}"), wave)));
    rest
}

/// How many builds of a job have failed, where its results are there.
fn failed(github: &GitHub, id: &str) -> Option<usize> {
    let report = github.state.path().join(format!("artifacts/nixdag-results-{id}/report.json"));
    let report: Json = serde_json::from_slice(&fs::read(report).ok()?).unwrap();
    Some(report["failures"].as_array().map_or(0, Vec::len))
}

/// Runs with `b` broken, and what did not succeed once more with `b` mended: how often each was built is for `built`.
fn breaks_and_mends(turn: usize, inputs: &[(&str, &str)], done: &[&str]) -> Option<GitHub> {
    let mut github = GitHub::new(act()?, "examples/hermetic", inputs);
    let mark = github.state.path().join("broken");
    break_b(&github, &mark);
    let workflow = github.checkout.path().join(".github/workflows/nixdag.yml");
    fs::write(&workflow, flat(inputs, None)).unwrap();
    let nix = one_nix(turn);
    let output = github.run(&nix);
    let said = shown(&output);
    assert!(!output.status.success() && said.contains("wave"), "{said}");
    assert!(said.contains("has not succeeded: failure/true") && !said.contains("ok: d("), "{said}");
    let gate: Vec<&str> = said.lines().filter(|line| line.contains("/gate") && line.contains("Job ")).collect();
    assert!(gate.len() == 1 && gate[0].contains("Job failed"), "{gate:?} {said}");
    for id in done {
        assert_eq!(failed(&github, id), Some(0), "{id} does not need b: {said}");
    }

    fs::remove_file(mark).unwrap();
    github.attempt = 2;
    let artifacts = github.state.path().join("artifacts");
    let plan = artifacts.join("plan.json");
    let rest = without(&serde_json::from_slice(&fs::read(&plan).unwrap()).unwrap(), done);
    fs::write(&plan, rest.to_string()).unwrap();
    fs::write(&workflow, flat(inputs, Some(FOUND))).unwrap();
    let changed = |id: &&str| fs::metadata(artifacts.join(format!("nixdag-job-{id}"))).unwrap().modified().unwrap();
    let before: Vec<_> = done.iter().map(changed).collect();
    let output = github.run(&nix);
    let said = shown(&output);
    assert!(output.status.success() && said.contains("ok: d(b(a), c)"), "{said}");
    assert_eq!(done.iter().map(changed).collect::<Vec<_>>(), before, "what was built stays");
    Some(github)
}

#[test]
fn a_red_gate_and_the_failed_jobs_again() {
    let Some(github) = breaks_and_mends(1, &[], &["a", "c"]) else { return };
    assert_eq!(failed(&github, "b"), Some(0));
    assert_eq!(github.built(), (4, 0));
}

#[test]
fn a_job_that_runs_again_takes_what_it_has_built_itself() {
    let Some(github) = breaks_and_mends(2, &[("extra_arguments", "--granularity=single")], &[]) else { return };
    // a and c are of the first attempt, whose records this one's replace.
    assert_eq!(github.built(), (2, 0));
}
