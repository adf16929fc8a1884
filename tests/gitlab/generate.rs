//! Generated child pipelines: as recorded, with what GitLab's reader of YAML makes of hostile names and commands.
//!
//! `NIXDAG_GOLDEN=write cargo test --test gitlab generate` writes the recorded ones anew.

use std::collections::BTreeSet;
use std::process::Command;

use nixdag::delivery::{BundleReference, HandOff, Reuse};
use nixdag::plan::final_job::FinalJob;
use nixdag::plan::{Job, JobIndex, Plan};
use nixdag::provider::Provider;
use nixdag::provider::gitlab;
use nixdag::provider::gitlab::options::Options;
use serde_json::Value;

use crate::support::hostile::texts;
use crate::support::plans::{self, plan};
use crate::support::{golden, shown};

/// The text alone.
fn generate(plan: &Plan, options: &Options) -> anyhow::Result<String> {
    gitlab::generate(plan, options).map(|(text, _)| text)
}

/// What a pipeline that builds on x86_64-linux says.
pub fn options() -> Options {
    let mut options = Options::default();
    options.setup.bundle =
        Some(BundleReference { manifest_sha256: "0123456789abcdef".repeat(4), system: "x86_64-linux".into() });
    options
}

/// A job on a hosted runner.
pub fn job(id: &str, name: &str, requires: &[u32]) -> Job {
    let executor = Provider::GitLab.fleet().executors.remove(0);
    Job {
        executor: Some(executor.name),
        image: Some(executor.image),
        resource_class: Some(executor.resource_class),
        ..plans::job(id, name, "x86_64-linux", requires)
    }
}

/// a; b on a; c; d on b and c, and what a needs through b.
pub fn diamond() -> Plan {
    let name = |letter: &str| format!("packages.x86_64-linux.{letter}");
    let mut jobs = vec![
        job("a", &name("a"), &[]),
        job("b", &name("b"), &[0]),
        job("c", &name("c"), &[]),
        job("d", &name("d"), &[1, 2]),
    ];
    jobs[3].inputs = [0, 1, 2].map(JobIndex).into();
    plan(jobs)
}

fn final_job(command: &str, environment: &[(&str, &str)]) -> FinalJob {
    FinalJob {
        job: Job { derivations: Vec::new(), ..job("last", "last", &[3]) },
        restore: Vec::new(),
        run: Some(command.into()),
        checkout: true,
        resource_group: None,
        environment: environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
    }
}

/// What Psych, GitLab's reader of YAML 1.1, makes of a text.
pub fn psych(text: &str) -> Value {
    let script = "require 'yaml'; require 'json'; puts JSON.generate(YAML.safe_load(STDIN.read))";
    let mut child = Command::new("ruby")
        .args(["-e", script])
        .env("LANG", "C.UTF-8")
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("ruby is there (tests/run.sh installs it)");
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", shown(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn a_diamond_is_written_as_recorded() {
    let mut plan = diamond();
    plan.final_jobs = vec![final_job("./deploy.sh \"$TEXT\"\n", &[("TEXT", "a $b 'c'")])];
    golden::check("tests/golden/gitlab-diamond.yml", &generate(&plan, &options()).unwrap());
}

#[test]
fn jobs_wait_for_what_they_require_and_take_artifacts_of_what_they_may_need() {
    let needs = |handoff: HandOff| {
        let mut options = options();
        options.setup.delivery.handoff = handoff;
        let pipeline = psych(&generate(&diamond(), &options).unwrap());
        pipeline["packages.x86_64-linux.d"]["needs"].as_array().unwrap()[1..].to_vec()
    };
    let name = |letter: &str| format!("packages.x86_64-linux.{letter}");
    assert_eq!(needs(HandOff::ArtifactsOrPackages), ["a", "b", "c"].map(name));
    assert_eq!(needs(HandOff::Packages), ["a", "b", "c"].map(name));
    let cache = HandOff::through("https://cache.example.org").unwrap();
    assert_eq!(needs(cache), ["b", "c"].map(|letter| serde_json::json!({ "job": name(letter), "artifacts": false })));
}

#[test]
fn an_executor_may_have_the_name_of_what_another_one_builds_with() {
    let (mut plan, mut options) = (diamond(), options());
    let mut other = options.setup.executors[0].clone();
    (other.name, other.image) = ("build-docker".into(), "nixos/nix:2.30.0".into());
    for at in [1, 3] {
        (plan.jobs[at].executor, plan.jobs[at].image) = (Some(other.name.clone()), Some(other.image.clone()));
    }
    options.setup.executors.push(other);
    // Whichever comes first.
    for _ in 0..2 {
        let pipeline = psych(&generate(&plan, &options).unwrap());
        for job in &plan.jobs {
            let body = &pipeline[pipeline[&job.name]["extends"].as_str().unwrap()];
            let machine = &pipeline[body["extends"].as_str().unwrap()];
            assert_eq!(
                (body["script"].is_array(), machine["image"].as_str()),
                (true, job.image.as_deref()),
                "{pipeline}"
            );
        }
        for job in &mut plan.jobs {
            let first =
                options.setup.executors.iter().position(|executor| Some(&executor.name) == job.executor.as_ref());
            let other = &options.setup.executors[if first == Some(0) { options.setup.executors.len() - 1 } else { 0 }];
            (job.executor, job.image) = (Some(other.name.clone()), Some(other.image.clone()));
        }
    }
}

#[test]
fn an_empty_plan_has_the_gate_alone() {
    let pipeline = psych(&generate(&plan(Vec::new()), &options()).unwrap());
    let jobs: Vec<&String> = pipeline.as_object().unwrap().keys().filter(|key| !key.starts_with('.')).collect();
    assert_eq!(jobs, ["workflow", "stages", "gate"]);
}

#[test]
fn a_job_is_small() {
    let text = generate(&diamond(), &options()).unwrap();
    let at = text.find("\npackages.x86_64-linux.d:").unwrap();
    let job = &text[at + 1..text.find("\ngate:").unwrap()];
    assert!(job.len() <= 200 + 3 * 80, "{} bytes: {job}", job.len());
}

/// The texts of every provider's tests, and what GitLab alone reads in some places. No name holds a NUL.
fn hostile() -> Vec<String> {
    let own = [
        "$CI_JOB_TOKEN",
        "$$",
        "${X}",
        "$[[ inputs.x ]]",
        "!reference [a]",
        "a\n  evil: {}",
        "it's",
        "<<EOF",
        "%s",
        "`id`",
    ];
    let mut all: Vec<String> = own.map(str::to_owned).into();
    all.extend(texts().into_iter().filter(|text| !text.contains('\0')));
    all
}

#[test]
fn hostile_names_give_way_to_ids() {
    let named = hostile().into_iter().filter(|name| !name.trim().is_empty());
    let mut seen = BTreeSet::new();
    let mut names: Vec<String> = named.filter(|name| seen.insert(name.to_lowercase())).collect();
    names.push("gate".into());
    let jobs: Vec<Job> = names.iter().enumerate().map(|(at, name)| job(&format!("j{at}"), name, &[])).collect();
    let pipeline = psych(&generate(&plan(jobs), &options()).unwrap());
    let found: Vec<&String> =
        pipeline.as_object().unwrap().keys().filter(|name| !name.starts_with('.')).skip(2).collect();
    assert_eq!(found.len(), names.len() + 1);
    for (at, (found, name)) in found.iter().zip(&names).enumerate() {
        let is_plain = name.starts_with(|c: char| c.is_ascii_alphabetic())
            && name.chars().all(|c| c.is_ascii_alphanumeric() || "._+@()- ".contains(c));
        assert!(**found == format!("j{at}") || (found == &name && is_plain), "{name:?} is called {found:?}");
    }
    assert_eq!(*found[names.len() - 1], format!("j{}", names.len() - 1), "a name of nixdag's own");
}

/// What the script of the last job prints when a shell runs it behind the calls of nixdag.
fn run(command: &str, environment: &[(&str, &str)]) -> String {
    let mut plan = diamond();
    plan.final_jobs = vec![final_job(command, environment)];
    let pipeline = psych(&generate(&plan, &options()).unwrap());
    let items = pipeline["last"]["script"].as_array().unwrap();
    let start = items.iter().position(|item| item.as_str().unwrap().contains("nixdag build")).unwrap() + 1;
    let script: Vec<&str> = items[start..].iter().map(|item| item.as_str().unwrap()).collect();
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join(".nixdag")).unwrap();
    let mut shell = Command::new("bash");
    shell
        .args(["-eo", "pipefail", "-c", &script.join("\n")])
        .current_dir(folder.path())
        .env("CI_PROJECT_DIR", folder.path());
    let output = shell.output().unwrap();
    assert!(output.status.success(), "{}", shown(&output));
    String::from_utf8(output.stdout).unwrap()
}

/// The last item of the script of a job with this command, as a reader has it.
fn item_of(command: &str) -> String {
    let mut plan = diamond();
    plan.final_jobs = vec![final_job(command, &[])];
    let text = generate(&plan, &options()).unwrap();
    let value: serde_yaml::Value = serde_yaml::from_str(&text).unwrap();
    value["last"]["script"].as_sequence().unwrap().last().unwrap().as_str().unwrap().to_owned()
}

#[test]
fn variables_and_commands_reach_the_shell_as_they_were() {
    let hostile = hostile();
    let values: Vec<&str> = hostile.iter().map(String::as_str).collect();
    let named: Vec<(String, &str)> = values.iter().enumerate().map(|(at, value)| (format!("V{at}"), *value)).collect();
    let environment: Vec<(&str, &str)> = named.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    let lines: String = named.iter().map(|(name, _)| format!("printf '%s\\0' \"${name}\"\n")).collect();
    let out = run(&lines, &environment);
    assert_eq!(out.strip_suffix('\0').unwrap().split('\0').collect::<Vec<_>>(), values);
    // A command is one item of the script, whatever is in it.
    for text in values.iter().filter(|text| !text.contains('\r')) {
        let command = format!("cat <<'--end--'\n{text}\n--end--\n");
        assert_eq!(item_of(&command), command);
    }
    let document = "cat <<'EOF'\n!reference [x] $[[ y ]] $$[[z]] $HOME: 'a' \"b\"\nEOF";
    assert_eq!(run(document, &[]), "!reference [x] $[[ y ]] $$[[z]] $HOME: 'a' \"b\"\n");
    assert_eq!(run("#!/bin/sh\nprintf '%s' \"it's $0\"", &[]), "it's .nixdag/command");
}

#[test]
fn variables_of_machines_are_not_expanded_by_gitlab() {
    let mut options = options();
    let hostile = hostile();
    let all = hostile.iter().enumerate().map(|(at, text)| (format!("V{at}"), text.clone()));
    options.setup.executors[0].environment = all.chain([("A".into(), "$B".into()), ("C".into(), "d".into())]).collect();
    let pipeline = psych(&generate(&diamond(), &options).unwrap());
    let variables = &pipeline[".docker"]["variables"];
    for (at, text) in hostile.iter().enumerate() {
        let found = &variables[format!("V{at}")];
        let as_it_is = if text.contains('$') { &found["value"] } else { found };
        assert_eq!(as_it_is, text);
        assert_eq!(found.get("expand"), text.contains('$').then_some(&false.into()));
    }
    assert_eq!(variables["A"], serde_json::json!({ "value": "$B", "expand": false }));
    assert_eq!((&variables["C"], &variables["GIT_STRATEGY"]), (&"d".into(), &"empty".into()));
    options.setup.executors[0].resource_class = "$TAG".into();
    let mut jobs = diamond();
    jobs.jobs.iter_mut().for_each(|job| job.resource_class = None);
    let error = format!("{:#}", generate(&jobs, &options).unwrap_err());
    assert!(error.contains("the tag `$TAG` holds a `$`"), "{error}");
}

#[test]
fn a_context_is_an_environment_and_two_are_refused() {
    let mut plan = diamond();
    plan.jobs[0].options.context = vec!["signing".into()];
    let pipeline = psych(&generate(&plan, &options()).unwrap());
    let environment = &pipeline["packages.x86_64-linux.a"]["environment"];
    assert_eq!(*environment, serde_json::json!({ "name": "signing", "action": "prepare" }));
    plan.jobs[0].options.context.push("other".into());
    let error = format!("{:#}", generate(&plan, &options()).unwrap_err());
    assert!(error.contains("`signing` and `other`, and a job of GitLab has one environment"), "{error}");
    plan.jobs[0].options.context = vec!["$SECRET".into()];
    assert!(generate(&plan, &options()).is_err());
}

#[test]
fn a_command_gets_its_own_context_and_resource_group_and_not_what_delivers() {
    let mut plan = diamond();
    plan.final_jobs = vec![final_job("./deploy.sh", &[])];
    plan.final_jobs[0].resource_group = Some("production".into());
    let mut options = options();
    options.setup.delivery.contexts = vec!["signing".into()];
    options.setup.delivery.reuse = Some(Reuse::Off);
    let pipeline = psych(&generate(&plan, &options).unwrap());
    assert_eq!(pipeline["packages.x86_64-linux.a"]["environment"]["name"], "signing");
    assert_eq!(
        (pipeline["last"].get("environment"), &pipeline["last"]["resource_group"]),
        (None, &"production".into())
    );
    plan.final_jobs[0].job.options.context = vec!["deployment".into()];
    let pipeline = psych(&generate(&plan, &options).unwrap());
    assert_eq!(pipeline["last"]["environment"]["name"], "deployment");
}

#[test]
fn artifacts_that_cannot_carry_a_plan_are_refused_by_how_much() {
    let mut jobs: Vec<Job> = (0..52).map(|at| job(&format!("j{at}"), &format!("j{at}"), &[])).collect();
    jobs.push(job("last", "last", &(0..52).collect::<Vec<u32>>()));
    let plan = plan(jobs);
    let with = |handoff: HandOff| {
        let mut options = options();
        options.setup.delivery.handoff = handoff;
        generate(&plan, &options)
    };
    let said = format!("{:#}", with(HandOff::Artifacts).unwrap_err());
    assert!(said.contains("job `last` needs the artifacts of 52 others, 2 more than the 50"), "{said}");
    let pipeline = psych(&with(HandOff::ArtifactsOrPackages).unwrap());
    let needs = pipeline["last"]["needs"].as_array().unwrap();
    assert!(needs.len() <= 51 && needs.contains(&"relay/1".into()), "{needs:?}");
}
