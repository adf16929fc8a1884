//! Final jobs: how they are planned, written for CircleCI, and run there.
//!
//! `NIXDAG_GOLDEN=write cargo test --test circleci final_jobs` writes the recorded configuration anew.

use std::collections::{BTreeMap, HashSet};
use std::fs;

use crate::support::circleci::{Outcome, Status};
use crate::support::project::{Project, every_nix, logs, report};
use crate::support::recorded::{Drv, Recorded, ids, store_path};
use crate::support::{FreshNix, circleci_schema, contract, golden, nixdag};
use predicates::prelude::*;
use serde_json::{Value, json};
use tempfile::TempDir;

const LINUX: &str = "x86_64-linux";

/// Name, system, inputs, and outputs beside `out`. The inputs stand before what needs them.
type Row<'a> = (&'a str, &'a str, &'a [&'a str], &'a [&'a str]);

/// a; b on a; c; d on b and c, with an output `dev`; tests that need them, and a tool that only tests need.
const GRAPH: &[Row] = &[
    ("a", LINUX, &[], &[]),
    ("b", LINUX, &["a"], &[]),
    ("c", LINUX, &[], &[]),
    ("d", LINUX, &["b", "c"], &["dev"]),
    ("arm", "aarch64-linux", &[], &[]),
    ("tool", LINUX, &[], &[]),
    ("test-one", LINUX, &["d", "tool"], &[]),
    ("test-two", LINUX, &["a", "tool"], &[]),
    ("test-arm", "aarch64-linux", &["arm"], &[]),
];

/// Attributes and their derivations.
const ROOTS: &[(&str, &str)] = &[
    ("packages.x86_64-linux.a", "a"),
    ("packages.x86_64-linux.b", "b"),
    ("packages.x86_64-linux.c", "c"),
    ("packages.x86_64-linux.d", "d"),
    ("packages.x86_64-linux.default", "d"),
    ("packages.aarch64-linux.arm", "arm"),
    ("checks.x86_64-linux.one", "test-one"),
    ("checks.x86_64-linux.two", "test-two"),
    ("checks.aarch64-linux.one", "test-arm"),
];

/// The evaluation with settings.
fn recorded(settings: &str) -> Recorded {
    let graph = GRAPH.iter().fold(Recorded::new(), |recorded, &(key, system, inputs, outputs)| {
        recorded.add(&Drv { key, system, outputs, inputs, environment: &[] })
    });
    ROOTS.iter().fold(graph, |recorded, (attribute, name)| recorded.target(attribute, name)).settings(settings)
}

fn output(name: &str) -> String {
    store_path(GRAPH.iter().position(|row| row.0 == name).unwrap() + 1, name)
}

fn drv_path(name: &str) -> String {
    format!("{}.drv", output(name))
}

const X86: &str = "select: ['*.x86_64-linux.*']\n";

#[test]
fn a_command_comes_after_all_targets_and_finds_their_outputs() {
    let plan = recorded(&format!("{X86}exclude: ['checks.*.*']\nfinal: [{{name: Try it, run: ./try}}]")).plan(&[]);
    assert_eq!(ids(&plan["jobs"]), ["a", "b", "c", "d"]);
    let job = &plan["final"][0];
    assert_eq!((&job["id"], &job["name"], &job["system"]), (&json!("try-it"), &json!("Try it"), &json!(LINUX)));
    assert_eq!((&job["requires"], &job["inputs"]), (&json!(["d"]), &json!(["a", "b", "c", "d"])));
    assert_eq!((&job["run"], &job["checkout"], &job["derivations"]), (&json!("./try"), &json!(true), &json!([])));
    let found: Vec<(&str, &str)> = job["restore"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|target| target["outputs"].as_array().unwrap())
        .map(|output| (output["variable"].as_str().unwrap(), output["link"].as_str().unwrap()))
        .collect();
    let expected = [
        ("NIXDAG_A", "packages.x86_64-linux.a"),
        ("NIXDAG_B", "packages.x86_64-linux.b"),
        ("NIXDAG_C", "packages.x86_64-linux.c"),
        ("NIXDAG_D_DEV", "packages.x86_64-linux.d^dev"),
        ("NIXDAG_D", "packages.x86_64-linux.d"),
        ("NIXDAG_DEFAULT_DEV", "packages.x86_64-linux.default^dev"),
        ("NIXDAG_DEFAULT", "packages.x86_64-linux.default"),
    ];
    assert_eq!(found, expected);
    assert_eq!(job["restore"][3]["outputs"][1]["path"], output("d"));
}

#[test]
fn a_command_runs_on_the_machine_of_the_main_system_or_of_its_executor() {
    let plan = recorded(&format!("{X86}final: [{{name: t, run: x}}, {{name: u, run: x, executor: arm}}]")).plan(&[]);
    let machine = |at: usize| (plan["final"][at]["executor"].as_str(), plan["final"][at]["system"].as_str());
    assert_eq!(machine(0), (Some("docker"), Some(LINUX)));
    assert_eq!(machine(1), (Some("arm"), Some("aarch64-linux")));
}

#[test]
fn a_command_can_come_after_some_targets_and_find_others() {
    let settings = format!(
        "{X86}exclude: ['checks.*.*']\nfinal: [{{name: t, run: x, after: ['*.*.b'], restore: ['*.*.c'], checkout: false}}]"
    );
    let plan = recorded(&settings).plan(&[]);
    let job = &plan["final"][0];
    assert_eq!((&job["requires"], &job["inputs"]), (&json!(["b", "c"]), &json!(["a", "b", "c"])));
    assert_eq!(job["restore"].as_array().unwrap().len(), 1);
    assert_eq!(job["checkout"], json!(false));
}

#[test]
fn what_exists_is_restored_without_any_job() {
    let recorded = recorded("select: ['*.x86_64-linux.c']\nfinal: [{name: t, run: x}]");
    recorded.file("available", format!("{}\n", output("c")));
    let plan = recorded.plan(&["--available", "available"]);
    assert_eq!((ids(&plan["jobs"]).len(), &plan["skipped"][0]["reason"]), (0, &json!("available")));
    let job = &plan["final"][0];
    assert_eq!((&job["requires"], &job["restore"][0]["outputs"][0]["path"]), (&json!([]), &json!(output("c"))));
    let config = recorded.said("generate", &["--available", "available", "--bundle", "bundle"]);
    assert!(config.contains("final-t:") && !config.contains("attach_workspace"), "{config}");
}

#[test]
fn attributes_are_built_behind_the_others_and_by_nobody_else() {
    let settings = format!(
        "{X86}final:\n- {{name: first, build: checks.x86_64-linux.one}}\n- {{name: second, build: [checks.x86_64-linux.two]}}\n"
    );
    let recorded = recorded(&settings);
    let plan = recorded.plan(&[]);
    assert_eq!(ids(&plan["jobs"]), ["a", "b", "c", "d"]);
    assert_eq!(plan["estimates"]["needed"], 4);
    let (first, second) = (&plan["final"][0], &plan["final"][1]);
    assert_eq!(first["targets"], json!([["checks", LINUX, "one"]]));
    // What only tests need belongs to the first of them, and the second comes after it.
    assert_eq!(first["derivations"], json!([drv_path("tool"), drv_path("test-one")]));
    assert_eq!(second["derivations"], json!([drv_path("test-two")]));
    assert_eq!((&first["requires"], &second["requires"]), (&json!(["d"]), &json!(["first"])));
    assert_eq!(second["inputs"], json!(["a", "b", "c", "d", "first"]));
    assert_eq!((&first["run"], &first["checkout"]), (&Value::Null, &json!(false)));

    let config: serde_yaml::Value = serde_yaml::from_str(&recorded.said("generate", &["--bundle", "bundle"])).unwrap();
    let jobs = config["workflows"]["nixdag"]["jobs"].as_sequence().unwrap();
    let invocation = |at: usize| jobs[at].as_mapping().unwrap().iter().next().unwrap();
    assert_eq!(invocation(4).0, "build-docker");
    assert_eq!((&invocation(4).1["id"], &invocation(4).1["requires"][0]), (&"first".into(), &"d".into()));
    assert_eq!(invocation(6).1["name"], "report");
    assert_eq!(invocation(7).1["requires"], serde_yaml::to_value(["second"]).unwrap(), "the gate");
}

#[test]
fn the_other_jobs_keep_every_rule_of_the_contract() {
    let settings = format!("{X86}final: [{{name: first, build: checks.x86_64-linux.one}}, {{name: t, run: x}}]");
    let recorded = recorded(&settings);
    let text = recorded.said("plan", &["--format", "json"]);
    let of_jobs = |(attribute, _): &&(&str, &str)| attribute.contains(LINUX) && *attribute != "checks.x86_64-linux.one";
    let names = |attribute: &str| attribute.split('.').map(str::to_owned).collect::<Vec<_>>();
    let mut roots: BTreeMap<_, _> =
        ROOTS.iter().filter(of_jobs).map(|(attribute, name)| (names(attribute), drv_path(name))).collect();
    let closure = contract::read_closure(&mut roots, recorded.dir());
    let plan = contract::check(text.as_bytes(), &roots, &closure, &HashSet::new());
    assert!(plan.jobs.iter().all(|job| !job.derivations.contains(&&*drv_path("test-one"))));
}

#[test]
fn a_build_on_several_systems_is_a_job_a_system() {
    let plan = recorded("final: [{name: test, build: checks.*.one}]\nselect: ['packages.*.*']").plan(&[]);
    let names: Vec<&Value> = plan["final"].as_array().unwrap().iter().map(|job| &job["name"]).collect();
    assert_eq!(names, ["test (aarch64-linux)", "test (x86_64-linux)"]);
    assert_eq!(plan["final"][0]["executor"], "arm");
    assert_eq!(plan["final"][0]["derivations"], json!([drv_path("test-arm")]));
}

#[test]
fn a_later_final_job_can_restore_what_an_earlier_one_built() {
    let settings = format!(
        "{X86}final:\n- {{name: test, build: checks.x86_64-linux.one}}\n- {{name: show, run: x, after: [], restore: [checks.x86_64-linux.one]}}\n"
    );
    let plan = recorded(&settings).plan(&[]);
    assert_eq!(plan["final"][1]["requires"], json!(["test"]));
    assert_eq!(plan["final"][1]["restore"][0]["outputs"][0]["variable"], "NIXDAG_CHECKS_ONE");
}

#[test]
fn names_do_not_clash_with_other_jobs() {
    let settings =
        "select: ['*.x86_64-linux.{a,b}']\nfinal: [{name: A, run: x}, {name: b!, run: x}, {name: B?, run: x}]";
    let plan = recorded(settings).plan(&[]);
    assert_eq!(ids(&plan["jobs"]), ["a", "b"]);
    let mut all = [ids(&plan["jobs"]), ids(&plan["final"])].concat();
    assert_eq!((plan["final"][0]["name"].as_str(), all[2]), (Some("A (final)"), "a-final"));
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), 5);
}

#[test]
fn mistakes_are_named() {
    let fails = |entry: &str, words: &str| recorded(&format!("{X86}final: [{{{entry}}}]")).fails(&[words]);
    fails(
        "name: t, run: x, restore: ['*.*.zz']",
        "final job `t` wants `*.*.zz` restored, which is not a target (targets: `checks.",
    );
    fails(
        "name: t, run: x, restore: [packages.x86_64-linux.aa]",
        "which is not a target (did you mean `packages.x86_64-linux.a`?)",
    );
    fails("name: t, build: checks.*.zz", "final job `t` cannot build `checks.*.zz`: no such attribute");
    fails(
        "name: t, build: packages.*.a",
        "final job `t` is to build `packages.x86_64-linux.a`, but job `b` has to build it",
    );
    fails(
        "name: t, build: checks.x86_64-linux.one, executor: arm",
        "executor `arm` builds none of its attributes, for system or features",
    );
    let twice = "{name: t, build: checks.x86_64-linux.one}, {name: u, build: checks.x86_64-linux.one}";
    recorded(&format!("{X86}final: [{twice}]")).fails(&["another final job builds it"]);

    fails(
        "name: t, run: x, after: ['*.*.zz']",
        "final job `t` comes after `*.*.zz`, which is not a target (targets: `checks.",
    );
    fails(
        "name: t, run: x, after: [packages.x86_64-linux.aa]",
        "final job `t` comes after `packages.x86_64-linux.aa`, which is not a target (did you mean `packages.x86_64-linux.a`?)",
    );
}

#[test]
fn views_show_final_jobs_behind_the_others() {
    let recorded = recorded(&format!(
        "{X86}final: [{{name: t, run: \"one\\ntwo\"}}, {{name: u, build: checks.x86_64-linux.one}}]"
    ));
    let table = recorded.said("plan", &[]);
    let lines: Vec<&str> = table.lines().filter(|line| line.starts_with("t ") || line.starts_with("u ")).collect();
    assert!(lines[0].contains("one …") && lines[1].contains("builds checks.x86_64-linux.one"), "{table}");
    assert!(table.contains("to start, then the evaluation); final jobs after them."), "{table}");
    assert!(recorded.said("graph", &[]).contains("label=\"t\", tooltip=\"t\", shape=ellipse"));
    assert!(recorded.said("graph", &["--format", "mermaid"]).contains("([\"t\"])"));
    let graph: Value = serde_json::from_str(&recorded.said("graph", &["--format", "json"])).unwrap();
    let last = graph["nodes"].as_array().unwrap().last().unwrap();
    assert_eq!((&last["id"], &last["final"]), (&json!("u"), &json!(true)));
    let derivations = recorded.said("graph", &["--level", "derivations"]);
    assert!(derivations.contains("test-one") && derivations.contains("tool"), "{derivations}");
}

#[test]
fn a_plan_with_final_jobs_is_read_back_and_not_trusted() {
    let settings = format!(
        "{X86}final: [{{name: t, run: x, environment: {{A: b}}}}, {{name: u, build: checks.x86_64-linux.one}}]"
    );
    let recorded = recorded(&settings);
    let text = recorded.said("plan", &["--format", "json"]);
    let file = recorded.file("plan.json", &text);
    let run = |arguments: &[&str]| {
        let mut nixdag = nixdag();
        nixdag.current_dir(recorded.dir()).args(arguments).arg("--plan").arg(&file);
        nixdag
    };
    let read_back = run(&["plan", "--format", "json"]).assert().success().get_output().stdout.clone();
    assert_eq!(String::from_utf8(read_back).unwrap(), text);
    for (pointer, value, words) in [
        ("/final/0/id", json!("a"), "two jobs have the id `a`"),
        ("/final/0/requires", json!(["u"]), "does not come before it"),
        ("/final/0/restore/0/outputs/0/path", json!("/etc/passwd"), "is not a store path"),
        ("/final/0/restore/0/outputs/0/link", json!("../x"), "cannot be the name of a file"),
        ("/final/0/restore/0/outputs/0/link", json!(".."), "cannot be the name of a file"),
        ("/final/0/restore/0/outputs/0/variable", json!("PATH"), "the variable `PATH`"),
        ("/final/0/restore/0/outputs/0/variable", json!("NIXDAG_B"), "the variable `NIXDAG_B`"),
        ("/final/0/environment", json!({"A=b": "c"}), "the variable `A=b`"),
        ("/final/0/environment", json!({"NIXDAG_RESTORED": "c"}), "the variable `NIXDAG_RESTORED`"),
        ("/final/0/run", json!(" "), "an empty command"),
        ("/final/1/derivations/0", json!("/etc/passwd"), "is not a store path"),
    ] {
        let mut plan: Value = serde_json::from_str(&text).unwrap();
        *plan.pointer_mut(pointer).unwrap() = value;
        fs::write(&file, plan.to_string()).unwrap();
        run(&["generate"]).assert().code(1).stdout("").stderr(predicate::str::contains(words));
    }
}

#[test]
fn the_configuration_is_as_recorded() {
    let settings = format!(
        "{X86}exclude: [checks.x86_64-linux.two]\nfinal:\n- name: integration <<test>>\n  after: ['packages.*.d']\n  restore: ['packages.*.d']\n  \
         environment: {{TEXT: \"<< $HOME 'x' \\n\", TRUE: yes, NUMBER: 012}}\n  run: |\n    cat <<EOF\n    $NIXDAG_D\n    EOF\n\
         - {{name: arm, run: uname, executor: arm, checkout: false, after: []}}\n- {{name: check, build: checks.x86_64-linux.one}}\n"
    );
    let recorded = recorded(&settings);
    let text = recorded.said("generate", &["--bundle", "bundle", "--reuse", "off"]);
    // The program itself is in the bundle: its digest is another one with every change.
    let digest = fs::read_to_string(recorded.dir().join("bundle.sha256")).unwrap();
    let text = text.replace(digest.trim(), &"0123456789abcdef".repeat(4));
    golden::check("tests/golden/circleci-final.yml", &text);
    circleci_schema::accepts(&text);
}

/// The hermetic example, with other settings where they are given.
fn hermetic(settings: Option<&str>) -> Project {
    let project = Project::new("examples/hermetic", &every_nix()[0]);
    if let Some(settings) = settings {
        fs::write(project.checkout.path().join("nixdag.yml"), settings).unwrap();
    }
    project
}

/// Plans and runs it.
fn run(project: &Project) -> Outcome {
    project.pipeline(1).run().unwrap()
}

/// What stands in the log of a job's last step.
fn said(outcome: &Outcome, job: &str) -> String {
    let log = &outcome.job(job).log;
    let said = log.rsplit_once(&format!("== {job}\n")).unwrap_or_else(|| panic!("{log}")).1;
    said.split("== Record how the command ended\n").next().unwrap().to_owned()
}

#[test]
fn the_hermetic_example_runs_its_integration_test_behind_four_jobs() {
    let outcome = run(&hermetic(None));
    assert!(outcome.succeeded(), "{}", logs(&outcome));
    let names: Vec<&str> = outcome.jobs.iter().map(|job| &*job.name).collect();
    assert_eq!(names, ["a", "b", "c", "d", "integration", "report", "gate"]);
    assert_eq!(said(&outcome, "integration"), "ok: d(b(a), c)\n");
    // The final job builds nothing.
    let report = fs::read_to_string(outcome.job("integration").artifacts.join("report.json")).unwrap();
    let report: Value = serde_json::from_str(&report).unwrap();
    assert_eq!((&report["derivations"], &report["verdict"]), (&json!([]), &json!("success")), "{report}");
    assert_eq!(report["command"], "success", "{report}");
}

#[test]
fn a_command_that_fails_makes_its_job_and_the_gate_fail_and_says_why() {
    let settings = "final: [{name: integration, restore: ['packages.*.d'], run: './integration-test.sh \"$NIXDAG_RESTORED\"/nothing'}]";
    let outcome = run(&hermetic(Some(settings)));
    let status = |name: &str| outcome.status(name);
    assert_eq!(
        ["a", "b", "c", "d", "integration", "gate"].map(status),
        [Status::Success, Status::Success, Status::Success, Status::Success, Status::Failed, Status::NotRun],
        "{}",
        logs(&outcome)
    );
    assert!(said(&outcome, "integration").contains("/tmp/nixdag/restored/nothing"), "{}", logs(&outcome));
    let report = fs::read_to_string(outcome.job("integration").artifacts.join("report.json")).unwrap();
    let report: Value = serde_json::from_str(&report).unwrap();
    assert_eq!((&report["command"], &report["verdict"]), (&json!("failure"), &json!("failure")), "{report}");
    assert!(report["errors"][0].as_str().unwrap().contains("command failed"), "{report}");
}

#[test]
fn a_command_arrives_unchanged_whatever_is_in_it() {
    // Prints its own text between marks, then what quoting would spoil.
    let command = r#"cat <<'END' ; printf '%s|' "$TEXT" "${x:-<<y}" 'a"b' "it's" '\<<' \\ '$(id)' '`id`' '{{ .Branch }}' '<< parameters.id >>' ; echo
"double" 'single' `back` $HOME ${x} $(id) << <<- <<< >> << pipeline.id >> \<< \n \\ %s
	tab, trailing blank 
ünï # no comment: {a: [b]}

END
readlink "$NIXDAG_RESTORED/packages.x86_64-linux.d"; test "$(readlink "$NIXDAG_RESTORED"/*.d)" = "$NIXDAG_D"
"#;
    let text = "<< x >> $HOME \"q\" 'r'\n\\<<\t{{ checksum }} ${y} ";
    let settings = json!({
        "final": [{"name": "odd <<name>>: $(id)", "restore": ["packages.*.d"], "run": command, "environment": {"TEXT": text}}]
    });
    // JSON is YAML.
    let outcome = run(&hermetic(Some(&settings.to_string())));
    let name = "odd <<name>>: $(id)";
    assert_eq!(outcome.status(name), Status::Success, "{}", logs(&outcome));
    let expected = r#""double" 'single' `back` $HOME ${x} $(id) << <<- <<< >> << pipeline.id >> \<< \n \\ %s
	tab, trailing blank 
ünï # no comment: {a: [b]}

"#;
    let printed = format!("{text}|<<y|a\"b|it's|\\<<|\\|$(id)|`id`|{{{{ .Branch }}}}|<< parameters.id >>|\n");
    let said = said(&outcome, name);
    assert!(said.starts_with(&format!("{expected}{printed}/nix/store/")), "{said}");
}

#[test]
fn a_target_that_nobody_has_any_more_is_named() {
    // Planned as if d existed; no substituter has it.
    let project = hermetic(None);
    let nix = FreshNix::new();
    nix.script(
        project.checkout.path(),
        r#"$nixdag plan . --format json > "$HOME/all.json"
        nix-store -q --outputs "$(grep -om 1 '/nix/store/[^"]*-d.drv' "$HOME/all.json")" > "$HOME/available"
        $nixdag plan . --available "$HOME/available" --select 'packages.*.d' --format json > "$HOME/plan.json""#,
    );
    let mut build = nix.command(env!("CARGO_BIN_EXE_nixdag"));
    let arguments = ["build", "--plan", "plan.json", "--job", "integration", "--workspace", "w", "--restore", "r"];
    let ran = build.args(arguments).current_dir(nix.home()).output().unwrap();
    let said = String::from_utf8_lossy(&ran.stderr);
    assert_eq!(ran.status.code(), Some(1), "{said}");
    assert!(said.contains("target `packages.x86_64-linux.d` cannot be restored"), "{said}");
    assert!(said.contains("now no substituter has it"), "{said}");
}

#[test]
fn attributes_of_a_final_job_are_built_on_what_the_others_handed_off() {
    let settings = "final:\n- {name: last, build: packages.*.d}\n- {name: look, run: 'read -r said < \"$NIXDAG_D\"; echo \"$said\"', after: [], restore: [packages.*.d]}\n";
    // `default` is d, too, and would be built by a job.
    let mut project = hermetic(Some(settings));
    project.arguments = "--exclude packages.*.default".into();
    let outcome = run(&project);
    assert!(outcome.succeeded(), "{}", logs(&outcome));
    let names: Vec<&str> = outcome.jobs.iter().map(|job| &*job.name).collect();
    assert_eq!(names, ["a", "b", "c", "last", "look", "report", "gate"]);
    assert_eq!(said(&outcome, "look"), "d(b(a), c)\n");
    let report = report(&outcome);
    assert_eq!((&report["built"], &report["built_twice"]), (&json!(4), &json!([])), "{report}");
}

#[test]
fn the_settings_are_those_of_the_flakes_folder() {
    let project = hermetic(None);
    let dir = TempDir::new().unwrap();
    let folder = dir.path().join("checkout");
    fs::create_dir(&folder).unwrap();
    for name in ["flake.nix", "nixdag.yml"] {
        fs::copy(project.checkout.path().join(name), folder.join(name)).unwrap();
    }
    for reference in ["./checkout", "path:./checkout", folder.to_str().unwrap()] {
        let script = format!("$nixdag plan '{reference}' --format json");
        let plan: Value = serde_json::from_str(&FreshNix::new().script(dir.path(), &script)).unwrap();
        assert_eq!((ids(&plan["jobs"]).len(), ids(&plan["final"])), (4, vec!["integration"]));
    }
}

#[test]
fn a_resource_group_lets_one_job_run_at_a_time() {
    let recorded = recorded(&format!("{X86}final: [{{name: deploy, run: ./deploy, resource_group: production}}]"));
    assert_eq!(recorded.plan(&[])["final"][0]["resource_group"], "production");
    let output = recorded.nixdag("generate").args(["--provider", "circleci"]).output().unwrap();
    let config: Value = serde_yaml::from_slice(&output.stdout).unwrap();
    circleci_schema::accepts(&String::from_utf8(output.stdout).unwrap());
    let jobs = config["workflows"]["nixdag"]["jobs"].as_array().unwrap();
    let deploy = jobs.iter().find_map(|job| job.get("final-deploy")).unwrap();
    assert_eq!(deploy["serial-group"], "production");
    // GitLab's name for it is tested there; GitHub has no place for it.
    let output = recorded.nixdag("generate").args(["--provider", "github"]).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("final job `deploy` has a `resource_group`"), "{said}");
}
