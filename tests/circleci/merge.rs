//! `nixdag generate --merge`: the user's own jobs, workflows and parameters beside the generated ones.

use std::fs;
use std::process::Output;

use crate::support::circleci::Status;
use crate::support::plans::{self, diamond};
use crate::support::project::{Project, every_nix, logs};
use crate::support::{circleci_schema, nixdag};
use nixdag::delivery::BundleReference;
use nixdag::plan::{EvaluationError, Plan, SkipReason, Skipped, json};
use nixdag::provider::circleci::merge::requires;
use nixdag::provider::circleci::merge::user_config::UserConfig;
use nixdag::provider::circleci::options::Options;
use nixdag::provider::circleci::{continuation, generate};
use serde_yaml::Value;
use tempfile::TempDir;

/// A job that prints, for every test.
const JOB: &str = "jobs:\n  look:\n    docker: [{image: cimg/base:2026.08}]\n    steps: [checkout, run: make look]\n";

/// The diamond, of which `c` exists already, `e` does not evaluate, `f` is excluded and `g` has no executor.
fn plan() -> Plan {
    let mut plan = diamond();
    let attribute = |name: &str| ["packages", "x86_64-linux", name].into_iter().collect();
    let there = plan.jobs.remove(2);
    plan.jobs[2].requires.remove(1);
    plan.jobs[2].inputs = vec![nixdag::plan::JobIndex(0), nixdag::plan::JobIndex(1)];
    let skipped = |name: &str, reason| Skipped {
        target: attribute(name),
        derivation: Some(plans::derivation(name)),
        reason,
        place: None,
    };
    plan.skipped = vec![
        Skipped { target: there.targets[0].clone(), ..skipped("c", SkipReason::Available) },
        skipped("f", SkipReason::Excluded),
        skipped("g", SkipReason::NoExecutor),
    ];
    plan.errors = vec![EvaluationError { target: attribute("e"), message: "broken".into(), new: None }];
    plan
}

fn options() -> Options {
    let manifest_sha256 = "0123456789abcdef".repeat(4);
    let mut options = Options::default();
    options.setup.bundle = Some(BundleReference { manifest_sha256, system: "x86_64-linux".into() });
    options
}

/// The merged configuration and the warnings.
fn merged(files: &[(&str, &str)]) -> Result<(String, Vec<String>), String> {
    let merge = || {
        let mut users: Vec<UserConfig> =
            files.iter().map(|(name, text)| UserConfig::parse(name, text)).collect::<anyhow::Result<_>>()?;
        let warnings = requires::resolve(&mut users, &plan())?;
        let text = generate(&plan(), &Options { merge: users, ..options() })?;
        continuation::check_configuration(&text)?;
        anyhow::Ok((text, warnings))
    };
    merge().map_err(|error| format!("{error:#}"))
}

/// The invocation of a job in the shared workflow.
fn invocation(config: &str, name: &str) -> Value {
    let config: Value = serde_yaml::from_str(config).unwrap();
    let jobs = config["workflows"]["nixdag"]["jobs"].as_sequence().unwrap();
    let found = jobs.iter().find_map(|job| match job.as_mapping() {
        Some(entries) => {
            let (key, arguments) = entries.iter().next().unwrap();
            let known = arguments.get("name").unwrap_or(key);
            (known == name).then(|| arguments.clone())
        }
        None => (job == name).then_some(Value::Null),
    });
    found.unwrap_or_else(|| panic!("no `{name}`"))
}

fn texts(value: &Value) -> Vec<&str> {
    value.as_sequence().map(|items| items.iter().map(|item| item.as_str().unwrap()).collect()).unwrap_or_default()
}

#[track_caller]
fn requires_become(entries: &str, expected: &[&str]) -> Vec<String> {
    let user = format!("{JOB}workflows: {{nixdag: {{jobs: [look: {{requires: {entries}}}]}}}}\n");
    let (config, warnings) = merged(&[("own.yml", &user)]).unwrap();
    assert_eq!(texts(&invocation(&config, "look")["requires"]), expected, "{entries}");
    warnings
}

#[track_caller]
fn requires_fail(entries: &str, said: &[&str]) {
    let user = format!("{JOB}workflows: {{nixdag: {{jobs: [look: {{requires: {entries}}}]}}}}\n");
    let error = merged(&[("own.yml", &user)]).unwrap_err();
    for said in said.iter().chain(&["own.yml", "look"]) {
        assert!(error.contains(said), "`{said}` is missing in: {error}");
    }
}

#[test]
fn a_job_waits_for_the_targets_that_it_names() {
    let [a, b, d] = ["a", "b", "d"].map(|name| format!("packages.x86_64-linux.{name}"));
    for entries in ["[packages.x86_64-linux.b]", "[nixdag/packages.x86_64-linux.b]", "[b]", "['packages.*.b', b]"] {
        requires_become(entries, &[&b]);
    }
    // Who waits for d waits for a and b.
    requires_become("['packages.*.{a,d}']", &[&d]);
    requires_become("[a]", &[&a]);
}

#[test]
fn what_exists_already_is_not_waited_for() {
    let user = format!("{JOB}workflows: {{nixdag: {{jobs: [look: {{requires: [c], context: x}}]}}}}\n");
    let (config, warnings) = merged(&[("own.yml", &user)]).unwrap();
    assert_eq!(invocation(&config, "look"), serde_yaml::from_str::<Value>("context: x").unwrap());
    assert_eq!(warnings, Vec::<String>::new());
    requires_become("[c, b]", &["packages.x86_64-linux.b"]);
}

#[test]
fn what_is_never_built_is_an_error_where_it_is_named_and_a_warning_in_a_pattern() {
    requires_fail("[packages.x86_64-linux.bb]", &["no such target or job", "did you mean `packages.x86_64-linux.b`?"]);
    requires_fail("[packages.x86_64-linux.e]", &["`packages.x86_64-linux.e` does not evaluate"]);
    requires_fail("[f]", &["is excluded"]);
    requires_fail("[g]", &["no executor builds"]);
    requires_fail("[[b]]", &["not a job's name"]);
    requires_fail("b", &["not a list"]);
    requires_fail("[b: failed]", &["a status only for jobs with plain names"]);
    let warnings = requires_become("['packages.*.*']", &["packages.x86_64-linux.d"]);
    assert_eq!(warnings.len(), 3, "{warnings:?}");
    let warnings = requires_become("['checks.*.*']", &[]);
    assert!(warnings[0].contains("matches no target"), "{warnings:?}");
}

#[test]
fn jobs_of_ones_own_wait_for_each_other_and_the_gate_waits_for_them() {
    let user = format!(
        "{JOB}  ask: {{type: approval}}\nworkflows:\n  nixdag:\n    max_auto_reruns: 2\n    jobs:\n      - look: {{requires: [d]}}\n      \
         - look: {{name: b2, requires: [look]}}\n      - look: {{name: on-failure, requires: [look: failed]}}\n      \
         - look: {{name: after-failure, requires: [on-failure]}}\n      - ask\n      - look: {{name: asked, requires: [ask]}}\n      \
         - look: {{name: deploy, requires: [gate], filters: {{branches: {{only: main}}}}}}\n      \
         - look: {{name: deployed, requires: [deploy]}}\n      - look: {{matrix: {{alias: both, parameters: {{}}}}}}\n      \
         - look: {{name: last, requires: [both]}}\n"
    );
    let (config, _) = merged(&[("own.yml", &user)]).unwrap();
    let gate = invocation(&config, "gate");
    assert_eq!(texts(&gate["requires"]), ["packages.x86_64-linux.d", "evaluation", "look", "b2", "both", "last"]);
    let config: Value = serde_yaml::from_str(&config).unwrap();
    assert_eq!(config["workflows"]["nixdag"]["max_auto_reruns"], 2);
}

#[test]
fn everything_else_is_added_as_it_means() {
    let user = r#"
version: 2.1
x-steps: &steps
  - checkout
filters: &main {branches: {only: main}}
orbs:
  slack: circleci/slack@4.12.5
parameters:
  deploy: {type: boolean, default: off}
executors:
  own: &own
    docker: [{image: cimg/base:2026.08}]
    environment: {MODE: 0o17, UMASK: 012, SWITCH: on, QUOTED: "on", Y: y, RATIO: 1.50, NOTHING: ~}
commands:
  greet:
    parameters: {who: {type: string, default: you}}
    steps: [run: echo << parameters.who >>]
jobs:
  test:
    <<: *own
    parameters: {v: {type: string}}
    steps: *steps
workflows:
  nixdag:
    jobs:
      - test: {v: "1", filters: *main, requires: [b]}
  other:
    when: << pipeline.parameters.deploy >>
    jobs:
      - test: {name: "test-<< matrix.v >>", matrix: {parameters: {v: ["1", "2"]}}}
      - slack/on-hold: {requires: [test-1]}
"#;
    let (text, _) = merged(&[("own.yml", user)]).unwrap();
    circleci_schema::accepts(&text);
    let config: Value = serde_yaml::from_str(&text).unwrap();
    let test = &config["jobs"]["test"];
    assert_eq!(
        serde_yaml::to_string(&test["environment"]).unwrap(),
        "MODE: '0o17'\nUMASK: 10\nSWITCH: true\nQUOTED: on\nY: y\nRATIO: 1.5\nNOTHING: null\n"
    );
    assert!(
        text.contains("RATIO: 1.50\n") && text.contains("\"Y\": \"y\"\n") && text.contains("MODE: \"0o17\"\n"),
        "{text}"
    );
    assert_eq!(texts(&test["steps"]), ["checkout"]);
    assert_eq!(config["parameters"]["deploy"]["default"], Value::Bool(false));
    assert!(config.get("x-steps").is_none() && config.get("filters").is_none());
    assert_eq!(config["workflows"]["other"]["jobs"].as_sequence().unwrap().len(), 2);
    assert_eq!(config["orbs"]["slack"], "circleci/slack@4.12.5");
}

#[test]
fn conflicts_name_both_sides() {
    let conflict = |one: &str, other: &str, said: &[&str]| {
        let error = merged(&[("one.yml", one), ("other.yml", other)]).unwrap_err();
        for said in said {
            assert!(error.contains(said), "`{said}` is missing in: {error}");
        }
    };
    let executor = "executors: {docker: {machine: true}}\n";
    conflict(executor, "", &["`executors.docker` of `one.yml`", "the generated configuration"]);
    conflict(
        "jobs: {Gate: {type: no-op}}",
        "",
        &["`jobs.Gate` of `one.yml`", "`jobs.gate` of the generated configuration"],
    );
    conflict("orbs: {a: b/c@1}", "orbs: {a: b/c@2}", &["`orbs.a` of `other.yml`", "`orbs.a` of `one.yml`"]);
    let workflow = "workflows: {w: {jobs: [look]}}\n";
    conflict(&format!("{JOB}{workflow}"), "workflows: {w: {jobs: []}}", &["`workflows.w` of `other.yml`", "`one.yml`"]);
    let named = |name: &str| format!("workflows: {{nixdag: {{jobs: [look: {{name: {name}}}]}}}}\n");
    conflict(
        &format!("{JOB}{}", named("Packages.x86_64-linux.B")),
        "",
        &["`one.yml`", "`packages.x86_64-linux.b` in the generated"],
    );
    conflict(&format!("{JOB}{}", named("x")), &named("X"), &["job `X`", "`other.yml`", "job `x` in `one.yml`"]);
    conflict("experimental: {a: 1}", "experimental: {a: 2}", &["`one.yml` and `other.yml` both have `experimental`"]);
    // What both say alike is none, nor is a parameter with another description.
    let parameter = |more: &str| format!("parameters: {{a: {{type: string, default: x{more}}}}}\norbs: {{a: b/c@1}}\n");
    merged(&[("one.yml", &parameter("")), ("other.yml", &parameter(", description: y"))]).unwrap();
}

#[test]
fn what_cannot_be_merged_is_refused_with_its_file() {
    for (text, said) in [
        ("setup: true", "setup: true"),
        ("setup: yes", "setup: true"),
        ("version: 2", "not 2.1"),
        ("job: {}", "`job` is not a key of a configuration (did you mean `jobs`?)"),
        ("jobs: []", "`jobs` is not a mapping"),
        ("workflows: {nixdag: {when: false, jobs: [a]}}", "put it on a workflow of another name"),
        ("workflows: {nixdag: {jobs: {a: b}}}", "is not a list"),
        ("workflows: {nixdag: {jobs: [{a: {}, b: {}}]}}", "not one name"),
        ("jobs: {a: !x {}}", "the tag `!x`"),
        ("- a", "line 1"),
        ("workflows: {nixdag: {jobs: [nothing]}}", "`nothing`, which is not defined"),
        ("jobs: {a: {docker: [{image: x}], steps: [run: cat <<EOF]}}", "`<<`"),
        (
            "jobs: {a: {docker: [{image: x}], steps: [run: echo << pipeline.parameters.x >>]}}",
            "`x` is used, but not declared",
        ),
    ] {
        let error = merged(&[("own.yml", text)]).unwrap_err();
        assert!(error.contains(said), "{text}: {error}");
    }
    // Nothing to merge changes nothing.
    assert_eq!(merged(&[("own.yml", "# later\n")]).unwrap(), merged(&[]).unwrap());
}

#[test]
fn a_plan_without_jobs_leaves_the_users_jobs_and_a_gate_behind_them() {
    let mut users =
        vec![UserConfig::parse("own.yml", &format!("{JOB}workflows: {{nixdag: {{jobs: [look]}}}}")).unwrap()];
    let empty = Plan { store_dir: "/nix/store".into(), ..Plan::default() };
    requires::resolve(&mut users, &empty).unwrap();
    let text = generate(&empty, &Options { merge: users, ..options() }).unwrap();
    assert_eq!(texts(&invocation(&text, "gate")["requires"]), ["look"]);
    circleci_schema::accepts(&text);
}

/// A folder with a recorded plan, in which commands run.
fn folder(files: &[(&str, &str)]) -> TempDir {
    let dir = TempDir::new().unwrap();
    let mut text = Vec::new();
    json::write(&plan(), &mut text).unwrap();
    fs::write(dir.path().join("plan.json"), text).unwrap();
    for (name, text) in files {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    dir
}

fn generated(dir: &TempDir, arguments: &[&str]) -> Output {
    nixdag().current_dir(dir.path()).args(["generate", "--plan", "plan.json"]).args(arguments).output().unwrap()
}

#[track_caller]
fn config(output: &Output) -> Value {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_yaml::from_slice(&output.stdout).unwrap()
}

#[test]
fn files_are_named_by_flags_or_beside_the_settings() {
    let own = |name: &str| format!("jobs: {{{name}: {{type: no-op}}}}\n");
    let files = [("one.yml", own("one")), (".circleci/two.yml", own("two"))];
    let settings = ("nixdag.yml", "merge: [one.yml, .circleci/two.yml]\n");
    let nested = (".circleci/nixdag.yml", "merge: [two.yml]\n");
    let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (*name, text.as_str())).collect();
    let jobs = |more: &[(&str, &str)], arguments: &[&str]| {
        let config = config(&generated(&folder(&[&files, more].concat()), arguments));
        ["one", "two"].map(|name| config["jobs"].get(name).is_some())
    };
    assert_eq!(jobs(&[], &["--merge", "one.yml", "--merge", ".circleci/two.yml"]), [true, true]);
    assert_eq!(jobs(&[settings], &[]), [true, true]);
    assert_eq!(jobs(&[nested], &[]), [false, true]);
    assert_eq!(jobs(&[settings], &["--merge", "one.yml"]), [true, false]);
    let missing = generated(&folder(&[]), &["--merge", "nowhere.yml"]);
    assert!(String::from_utf8_lossy(&missing.stderr).contains("`nowhere.yml`"));
}

const SETUP: &str = "version: 2.1\nsetup: true\nparameters:\n  deploy: {type: boolean, default: no}\n  mode: {type: enum, enum: [fast, \
    'on'], default: fast}\njobs: {}\nworkflows: {}\n";

#[test]
fn pipeline_parameters_are_passed_through() {
    let dir = folder(&[("setup.yml", SETUP), ("broken.yml", "parameters: {a: {type: string}}")]);
    let declared = |arguments: &[&str]| config(&generated(&dir, arguments))["parameters"].clone();
    let expected = "deploy: {type: boolean, default: false}\nmode: {type: enum, enum: [fast, 'on'], default: fast}\n";
    let expected: Value = serde_yaml::from_str(expected).unwrap();
    assert_eq!(declared(&["--parameters-from", "setup.yml"]), expected);
    let more = [
        "--parameters-from",
        "setup.yml",
        "--pipeline-parameter",
        "deploy=boolean:true",
        "--pipeline-parameter",
        "n=integer:3",
    ];
    let both = declared(&more);
    assert_eq!((&both["deploy"]["default"], &both["n"]["default"]), (&Value::Bool(true), &Value::from(3)));

    let refused = generated(&dir, &["--parameters-from", "broken.yml"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("`broken.yml`: parameter `a`: it has no `default`"), "{said}");
    assert_eq!(generated(&dir, &["--pipeline-parameter", "a=b"]).status.code(), Some(2));
}

#[test]
fn pipeline_parameters_are_named_in_the_settings() {
    let dir = folder(&[
        (".circleci/config.yml", SETUP),
        ("nixdag.yml", "parameters_from: .circleci/config.yml\npipeline_parameters: ['n=integer:3']\n"),
    ]);
    let declared = config(&generated(&dir, &[]))["parameters"].clone();
    assert_eq!(
        declared.as_mapping().unwrap().keys().map(|key| key.as_str().unwrap()).collect::<Vec<_>>(),
        ["n", "deploy", "mode"]
    );
    // A file that is merged may repeat what the setup configuration says, not contradict it.
    let same = dir.path().join("own.yml");
    fs::write(&same, "parameters: {deploy: {type: boolean, default: false, description: x}}").unwrap();
    config(&generated(&dir, &["--merge", "own.yml"]));
    fs::write(&same, "parameters: {deploy: {type: boolean, default: true}}").unwrap();
    let said = String::from_utf8_lossy(&generated(&dir, &["--merge", "own.yml"]).stderr).into_owned();
    assert!(said.contains("`parameters.deploy` of `own.yml`"), "{said}");
}

const SETUP_JOB: &str = r#"
version: 2.1
setup: true
orbs: { continuation: circleci/continuation@2.0.1 }
parameters: { greeting: { type: string, default: hello } }
jobs:
  plan:
    docker: [{ image: "nixos/nix:2.34.7" }]
    steps:
      - checkout
      - run: { name: Plan, command: "mkdir -p /tmp/nixdag; nixdag generate . --merge .circleci/continue.yml --parameters-from .circleci/config.yml --bundle /tmp/nixdag/bundle -o /tmp/nixdag/config.yml" }
      - save_cache: { key: "nixdag-bundle-<< pipeline.id >>-{{ checksum \"/tmp/nixdag/bundle.sha256\" }}", paths: [/tmp/nixdag/bundle] }
      - continuation/continue: { configuration_path: /tmp/nixdag/config.yml }
workflows: { setup: { jobs: [plan] } }
"#;

/// Each job shows which layers of the workspace it sees: those of the jobs that it runs after.
const CONTINUE: &str = r#"
version: 2.1
jobs:
  look: &look
    docker: [{image: "nixos/nix:2.34.7"}]
    steps:
      - attach_workspace: {at: /tmp/seen}
      - run: {name: Look, command: "echo << pipeline.parameters.greeting >> $(ls /tmp/seen)"}
  look-again:
    <<: *look
workflows:
  nixdag:
    jobs:
      - look: {name: after-b, requires: [packages.x86_64-linux.b], filters: &always pipeline.git.branch or pipeline.git.tag}
      - look-again: {name: after-c, requires: ["packages.*.c"], filters: *always}
      - look: {name: after-all, requires: ["packages.*.*"], filters: *always}
"#;

/// The hermetic example with a configuration of its own.
fn with_own_jobs() -> Project {
    let mut project = Project::new("examples/hermetic", &every_nix()[0]);
    let folder = project.checkout.path().join(".circleci");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("config.yml"), SETUP_JOB).unwrap();
    fs::write(folder.join("continue.yml"), CONTINUE).unwrap();
    fs::write(project.checkout.path().join("nixdag.yml"), "").unwrap();
    project.setup = Some(SETUP_JOB.into());
    project.parameters = vec![("greeting".into(), "hi".into())];
    project
}

#[test]
fn jobs_of_ones_own_run_after_the_packages_that_they_name() {
    let outcome = with_own_jobs().pipeline(1).run().unwrap();
    assert!(outcome.succeeded(), "{}", logs(&outcome));
    for (job, seen) in [("after-b", "hi a b\n"), ("after-c", "hi c\n"), ("after-all", "hi a b c d\n")] {
        assert!(outcome.job(job).log.ends_with(seen), "{}", logs(&outcome));
    }
    assert_eq!(outcome.status("gate"), Status::Success);
}

#[test]
fn jobs_of_ones_own_do_not_run_when_their_package_fails() {
    let project = with_own_jobs();
    project.replace("flake.nix", "  echo \"$name", "  [ \"$name\" != b ] || exit 1\n  echo \"$name");
    let outcome = project.pipeline(1).run().unwrap();
    let statuses = ["b", "after-b", "c", "after-c", "after-all", "gate"].map(|name| outcome.status(name));
    let expected = [Status::Failed, Status::NotRun, Status::Success, Status::Success, Status::NotRun, Status::NotRun];
    assert_eq!(statuses, expected, "{}", logs(&outcome));
}
