//! Checks a workflow of GitHub's: its text goes in, one sentence a problem comes out. Expressions and the parts of others are left to GitHub;
//! what nixdag's own actions are given is compared with what they take.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use serde_yaml::{Mapping, Value};

use crate::nearest::meant;
use crate::provider::checked::Checked;
use crate::provider::declared;
use crate::provider::yaml::lenient::{map, text, text_list};
use crate::topological::{InDegrees, as_ready};
use crate::yaml::{MAX_BRACKETS, check_nesting, check_repetition};

/// Keys of a workflow.
const TOP: [&str; 8] = ["name", "run-name", "on", "permissions", "env", "defaults", "concurrency", "jobs"];

/// Keys of a job.
const JOB: [&str; 20] = [
    "name",
    "permissions",
    "needs",
    "if",
    "runs-on",
    "snapshot",
    "environment",
    "concurrency",
    "outputs",
    "env",
    "defaults",
    "steps",
    "timeout-minutes",
    "strategy",
    "continue-on-error",
    "container",
    "services",
    "uses",
    "with",
    "secrets",
];

/// Keys of a step.
const STEP: [&str; 11] = [
    "id",
    "name",
    "if",
    "uses",
    "run",
    "shell",
    "with",
    "env",
    "working-directory",
    "continue-on-error",
    "timeout-minutes",
];

/// nixdag's actions, by the end of their addresses, with their files.
const ACTIONS: [(&str, &str); 5] = [
    ("/nixdag/github/plan", include_str!("../../../github/plan/action.yml")),
    ("/nixdag/github/job", include_str!("../../../github/job/action.yml")),
    ("/nixdag/github/checks", include_str!("../../../github/checks/action.yml")),
    ("/nixdag/github/summary", include_str!("../../../github/summary/action.yml")),
    ("/nixdag/github/comment", include_str!("../../../github/comment/action.yml")),
];

/// The called workflow that runs the waves, and its inputs.
const WAVES: (&str, &str) = (
    "/nixdag/.github/workflows/nixdag-waves.yml",
    "{plan: {required: true, type: string}, deliver: {type: boolean, default: true}}",
);

/// The place of the commit of a release.
pub const COMMIT: &str = "0000000000000000000000000000000000000000";

/// What GitHub would find wrong with a workflow.
pub fn check_any(workflow: &str) -> Result<Checked> {
    check_nesting(workflow, MAX_BRACKETS)?;
    check_repetition(workflow)?;
    let value: Value = serde_yaml::from_str(workflow).context("it is not YAML")?;
    let mut checked = Checked::default();
    let Some(top) = value.as_mapping().filter(|top| !top.is_empty()) else {
        checked.problems.push("it is not a mapping with `on` and `jobs`".to_owned());
        return Ok(checked);
    };
    expressions(&value, "the workflow", &mut checked.problems);
    unknown_keys(top, &TOP, "the workflow", &mut checked.problems);
    if top.get("on").is_none_or(Value::is_null) {
        checked.problems.push("it lacks `on`, so nothing starts it".to_owned());
    }
    let jobs = map(top, "jobs");
    if jobs.is_empty() {
        checked.problems.push("it has no `jobs`".to_owned());
    }
    let mut parts = BTreeSet::new();
    for (id, job) in jobs {
        of_job(&text(id), job, &mut parts, &mut checked.problems);
    }
    order(jobs, &mut checked.problems);
    if !parts.is_empty() {
        let parts: Vec<String> = parts.iter().map(|part| format!("`{part}`")).collect();
        checked.unseen.push(format!("what {} {}", parts.join(", "), if parts.len() == 1 { "does" } else { "do" }));
    }
    if workflow.contains(COMMIT) {
        checked.unseen.push("the commit of nixdag's release, whose place has zeros".to_owned());
    }
    Ok(checked)
}

fn of_job(id: &str, job: &Value, parts: &mut BTreeSet<String>, problems: &mut Vec<String>) {
    let place = format!("job `{id}`");
    let begins = id.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if !begins || id.contains(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '-') {
        problems
            .push(format!("`{id}` cannot be a job's name (letters, digits, `-` and `_`, and no digit or `-` first)"));
    }
    let Some(job) = job.as_mapping() else {
        problems.push(format!("{place} is not a mapping"));
        return;
    };
    unknown_keys(job, &JOB, &place, problems);
    if let Some(called) = job.get("uses") {
        if job.contains_key("steps") || job.contains_key("runs-on") {
            problems.push(format!("{place} calls a workflow, and has `steps` or `runs-on` of its own"));
        }
        of_part(&text(called), map(job, "with"), &place, parts, problems);
        return;
    }
    if job.get("runs-on").is_none_or(Value::is_null) {
        problems.push(format!("{place} has neither `runs-on` nor `uses`"));
    }
    let steps = job.get("steps").and_then(Value::as_sequence).map_or(&[][..], Vec::as_slice);
    if steps.is_empty() {
        problems.push(format!("{place} has no steps"));
    }
    let mut ids = BTreeSet::new();
    for (number, step) in (1..).zip(steps) {
        let place = format!("{place}, step {number}");
        let Some(step) = step.as_mapping() else {
            problems.push(format!("{place} is not a mapping"));
            continue;
        };
        unknown_keys(step, &STEP, &place, problems);
        match (step.get("uses"), step.get("run")) {
            (Some(_), Some(_)) => problems.push(format!("{place} has both `uses` and `run`")),
            (None, None) => problems.push(format!("{place} has neither `uses` nor `run`")),
            (Some(used), None) => of_part(&text(used), map(step, "with"), &place, parts, problems),
            (None, Some(_)) => {}
        }
        if let Some(id) = step.get("id").map(text).filter(|id| !ids.insert(id.to_lowercase())) {
            problems.push(format!("{place} has the id `{id}` of a step before it"));
        }
    }
}

/// What an action or a called workflow is given.
fn of_part(used: &str, given: &Mapping, place: &str, parts: &mut BTreeSet<String>, problems: &mut Vec<String>) {
    let (name, version) = used.split_once('@').map_or((used, None), |(name, version)| (name, Some(version)));
    let is_local = used.starts_with("./") || used.starts_with("docker://");
    if !is_local && version.is_none_or(str::is_empty) {
        problems.push(format!("{place} uses `{used}` without a version (`{name}@…`)"));
    }
    let file = ACTIONS.iter().find(|(end, _)| name.ends_with(end)).map(|(_, file)| *file);
    let inputs = match file {
        Some(file) => serde_yaml::from_str(file).map(|action: Mapping| map(&action, "inputs").clone()),
        None if name.ends_with(WAVES.0) => serde_yaml::from_str(WAVES.1),
        None => {
            parts.insert(used.to_owned());
            return;
        }
    };
    problems.extend(declared::problems(&format!("{place}: `{name}`"), &inputs.unwrap_or_default(), given, "${{"));
}

fn unknown_keys(of: &Mapping, known: &[&str], place: &str, problems: &mut Vec<String>) {
    for key in of.keys().map(text).filter(|key| !known.contains(&&**key)) {
        problems.push(format!(
            "{place} has the key `{key}`, which GitHub does not know{}",
            meant(&key, known.iter().copied())
        ));
    }
}

/// Every `${{` is closed.
fn expressions(value: &Value, place: &str, problems: &mut Vec<String>) {
    match value {
        Value::String(text) => {
            let is_open = |part: &str| !part.contains("}}");
            if text.split("${{").skip(1).any(is_open) {
                problems.push(format!("{place} holds a `${{{{` that is not closed"));
            }
        }
        Value::Sequence(items) => items.iter().for_each(|item| expressions(item, place, problems)),
        Value::Mapping(entries) => {
            entries.iter().for_each(|(key, value)| expressions(value, &format!("`{}`", text(key)), problems));
        }
        _ => {}
    }
}

/// Each job exists that another one needs, and none waits for itself.
fn order(jobs: &Mapping, problems: &mut Vec<String>) {
    let ids: Vec<String> = jobs.keys().map(text).collect();
    let index: BTreeMap<&str, u32> = (0..).zip(&ids).map(|(at, id)| (&**id, at)).collect();
    let (mut inputs, mut consumers) = (vec![0usize; ids.len()], vec![Vec::new(); ids.len()]);
    for (at, job) in jobs.values().enumerate() {
        for need in text_list(job.get("needs")) {
            match index.get(&*need) {
                Some(&before) => {
                    inputs[at] += 1;
                    consumers[before as usize].push(at as u32);
                }
                None => {
                    let meant = meant(&need, ids.iter().map(String::as_str));
                    problems.push(format!("job `{}` needs `{need}`, which is not a job{meant}", ids[at]));
                }
            }
        }
    }
    let done: BTreeSet<u32> =
        as_ready(InDegrees::new(inputs), |at| consumers[at as usize].iter().copied()).into_iter().collect();
    let waiting: Vec<String> =
        (0..).zip(&ids).filter(|(at, _)| !done.contains(at)).map(|(_, id)| format!("`{id}`")).collect();
    if !waiting.is_empty() {
        problems.push(format!("these jobs wait for each other: {}", waiting.join(", ")));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workflows_are_held_against_githubs_rules() {
        let of = |text: &str| check_any(text).unwrap().problems.join("\n");
        let fine = "on: push\njobs:\n  a: {runs-on: x, steps: [{run: make}]}\n  b: {needs: a, runs-on: x, steps: [{uses: actions/checkout@v4}]}\n";
        assert_eq!(check_any(fine).unwrap().unseen, ["what `actions/checkout@v4` does"]);
        assert_eq!(of(fine), "");
        for (from, to, said) in [
            ("on: push", "onn: push", "`onn`, which GitHub does not know (did you mean `on`?)\nit lacks `on`"),
            ("needs: a", "needs: [c]", "job `b` needs `c`, which is not a job"),
            ("a: {runs-on", "a: {needs: b, runs-on", "these jobs wait for each other: `a`, `b`"),
            ("run: make", "run: make, uses: x@1", "job `a`, step 1 has both `uses` and `run`"),
            ("run: make", "name: make", "job `a`, step 1 has neither `uses` nor `run`"),
            ("run: make", "run: 'echo ${{ x }'", "`run` holds a `${{` that is not closed"),
            ("a: {runs-on: x", "a: {runs_on: x", "did you mean `runs-on`?)\njob `a` has neither `runs-on` nor `uses`"),
            ("steps: [{run: make}]", "steps: []", "job `a` has no steps"),
            ("actions/checkout@v4", "actions/checkout", "uses `actions/checkout` without a version"),
            (
                "actions/checkout@v4",
                "org/nixdag/github/plan@1, with: {alow_ifd: true}",
                "has no input `alow_ifd` (did you mean `allow_ifd`?)",
            ),
            (
                "a: {runs-on: x, steps: [{run: make}]}",
                "a: {uses: org/nixdag/.github/workflows/nixdag-waves.yml@1}",
                "needs the input `plan`",
            ),
            ("  a: {", "  1a: {", "`1a` cannot be a job's name"),
        ] {
            assert!(fine.contains(from), "{from}");
            let problems = of(&fine.replacen(from, to, 1));
            assert!(problems.contains(said), "{to}: {problems}");
        }
        assert_eq!(of(""), "it is not a mapping with `on` and `jobs`");
        assert!(of("on: push\n").contains("it has no `jobs`"));
    }

    #[test]
    fn the_inputs_of_the_waves_are_those_of_the_workflow() {
        let workflow: Value =
            serde_yaml::from_str(include_str!("../../../.github/workflows/nixdag-waves.yml")).unwrap();
        let inputs: Mapping = serde_yaml::from_str(WAVES.1).unwrap();
        let theirs = workflow["on"]["workflow_call"]["inputs"].as_mapping().unwrap();
        assert_eq!(inputs.keys().collect::<Vec<_>>(), theirs.keys().collect::<Vec<_>>());
    }
}
