//! What could not be planned makes the pipeline red: a job `evaluation` in front of the gate, and an error where a name is wrong.

use std::fs;

use predicates::prelude::*;

use crate::support::circleci::{Outcome, Status};
use crate::support::project::{Project, every_nix, logs, one_nix};
use crate::support::recorded::Recorded;
use crate::support::{fails, folder, nixdag, with_nix};

fn junit(outcome: &Outcome) -> String {
    fs::read_to_string(outcome.job("evaluation").test_results.join("junit.xml")).unwrap()
}

#[test]
fn attributes_that_throw_make_the_gate_red_and_the_others_are_built() {
    let nix = one_nix(1);
    let project = Project::new("examples/hermetic", &nix);
    project.replace("flake.nix", "default = d;", "broken = throw \"broken <on> purpose\"; too = broken;");
    let outcome = project.pipeline(1).run().unwrap();
    let all = logs(&outcome);
    assert_eq!(
        ["a", "b", "c", "d", "evaluation", "gate"].map(|name| outcome.status(name)),
        [Status::Success, Status::Success, Status::Success, Status::Success, Status::Failed, Status::NotRun],
        "{all}"
    );
    let log = &outcome.job("evaluation").log;
    assert!(log.contains("2 attributes do not evaluate (`packages.") && log.contains("broken <on> purpose"), "{log}");
    let junit = junit(&outcome);
    assert!(junit.contains(r#"tests="2" failures="2""#), "{junit}");
    for part in [".broken\"><failure message=", ".too\"><failure message=", "broken &lt;on&gt; purpose"] {
        assert!(junit.contains(part), "{part}: {junit}");
    }
}

#[test]
fn what_evaluation_has_to_build_and_cannot_is_named_with_its_class_and_log() {
    for nix in every_nix() {
        let mut project = Project::new("examples/hermetic", &nix);
        let wrong = r#"default = d;
          read = builtins.readFile above;
          hash = import (derivation { name = "hash"; inherit system; builder = "/bin/sh"; args = [ "-c" "echo > $out" ];
            outputHashAlgo = "sha256"; outputHash = builtins.hashString "sha256" "other"; });
          above = derivation { name = "above"; inherit system bad; builder = "/bin/sh"; args = [ "-c" "echo > $out" ]; };
          bad = derivation { name = "bad"; inherit system; builder = "/bin/sh"; args = [ "-c" "echo the log; echo its end; exit 3" ]; };"#;
        project.replace("flake.nix", "default = d;", wrong);
        project.arguments = "--allow-ifd --exclude packages.*.bad --exclude packages.*.above".into();
        project.nix_conf = "sandbox = false\n".into();
        let outcome = project.pipeline(1).run().unwrap();
        assert_eq!(outcome.status("gate"), Status::NotRun, "{}", logs(&outcome));
        assert_eq!(outcome.status("d"), Status::Success, "{}", logs(&outcome));
        let job = outcome.job("evaluation");
        let junit = junit(&outcome).replace("&apos;", "'").replace("&#39;", "'");
        for said in [&job.log, &junit] {
            for part in [
                "-bad.drv`, which failed (builder): its build failed: builder failed with exit code 3; its log ends: the log | its end",
                "-hash.drv`, which failed (hash-mismatch): ",
                "specified: sha256-",
                "packages.x86_64-linux.read",
                "on your machine: nix eval --raw '.#packages.x86_64-linux.",
            ] {
                assert!(said.contains(part), "`{part}`: {said}");
            }
        }
    }
}

#[test]
fn where_nothing_evaluates_the_gate_is_red_too() {
    let project = Project::new("examples/hermetic", &every_nix().remove(0));
    project.replace("flake.nix", "package \"a\" [ ];", "throw \"no a\";");
    project.replace("flake.nix", "package \"c\" [ ];", "throw \"no c\";");
    let outcome = project.pipeline(1).run().unwrap();
    let statuses: Vec<_> = outcome.jobs.iter().map(|job| (job.name.as_str(), job.status)).collect();
    let expected = [("integration", Status::NotRun), ("evaluation", Status::Failed), ("gate", Status::NotRun)];
    assert_eq!(statuses, expected, "{}", logs(&outcome));
}

#[test]
fn an_attribute_that_is_named_and_not_there_is_an_error_at_once() {
    let text = "{ outputs = { self }: { packages.x86_64-linux.app = derivation { name = \"app\"; system = \"x86_64-linux\"; \
                builder = \"/bin/sh\"; }; }; }";
    let folder = folder(&[("flake.nix", text)]);
    with_nix("an_attribute_that_is_named_and_not_there_is_an_error_at_once", || {
        let flake = format!("path:{}", folder.path().display());
        let fails = |arguments: &[&str]| {
            let words = ["attribute `packages.x86_64-linux.aap` is selected by its name", "did you mean `app`?"];
            fails(nixdag().args(["generate", &flake]).args(arguments), &words);
        };
        fails(&["--select", "packages.x86_64-linux.aap"]);
        fails(&["--select", "packages.x86_64-linux.{app,aap}"]);
        let settings = folder.path().join("nixdag.yml");
        fs::write(&settings, "select: [packages.x86_64-linux.aap]\n").unwrap();
        fails(&["--settings", settings.to_str().unwrap()]);
        let wrong = nixdag().args(["generate", &flake, "--select", "packages.x86_64-linux.aap"]).output().unwrap();
        let said = String::from_utf8(wrong.stderr).unwrap();
        assert_eq!(said.lines().filter(|line| line.contains("aap")).count(), 1, "{said}");
    });
}

/// `app`, and `odd` for which there is no machine.
fn lacking(settings: &str) -> Recorded {
    Recorded::of(&[("app", &[])])
        .drv("odd", "riscv64-linux", &[], &[])
        .target("packages.riscv64-linux.odd", "odd")
        .settings(settings)
}

#[test]
fn a_target_without_an_executor_is_reported_before_anything_is_deployed() {
    let settings = "final: [{name: deploy, run: ./deploy}, {name: late, build: packages.x86_64-linux.late}]\n";
    let recorded = lacking(settings).drv("late", "", &[], &[]).target("packages.x86_64-linux.late", "late");
    let config: serde_yaml::Value = serde_yaml::from_str(&recorded.said("generate", &["--bundle", "bundle"])).unwrap();
    let jobs = config["workflows"]["nixdag"]["jobs"].as_sequence().unwrap();
    let requires = |name: &str| -> Vec<&str> {
        let is_named = |job: &&serde_yaml::Value| {
            let (key, arguments) = job.as_mapping().unwrap().iter().next().unwrap();
            arguments.get("name").unwrap_or(key).as_str().unwrap().starts_with(name)
        };
        let (_, arguments) = jobs.iter().find(is_named).unwrap().as_mapping().unwrap().iter().next().unwrap();
        let names = arguments.get("requires").and_then(|names| names.as_sequence()).into_iter().flatten();
        names.map(|name| name.as_str().unwrap()).collect()
    };
    assert!(requires("deploy").contains(&"evaluation"), "{:?}", requires("deploy"));
    assert!(requires("gate").contains(&"evaluation"), "{:?}", requires("gate"));
    assert!(["app", "late", "evaluation"].iter().all(|name| !requires(name).contains(&"evaluation")));
    assert_eq!(config["executors"]["docker-small"]["resource_class"], "small");

    recorded
        .nixdag("generate")
        .arg("--strict")
        .assert()
        .code(1)
        .stderr(predicate::str::contains("which `--strict` forbids"));
    let job = ["build", "--bundle", "bundle", "--job", "evaluation"];
    nixdag().current_dir(recorded.dir()).args(job).assert().code(1).stderr(
        predicate::str::contains("1 target has no executor").and(predicate::str::contains(
            "target `packages.riscv64-linux.odd` has no executor: it is built on `riscv64-linux`",
        )),
    );
}

#[test]
fn nobody_else_has_the_names_of_the_jobs_that_nixdag_adds() {
    let recorded = Recorded::of(&[("evaluation", &[]), ("report", &[])]);
    let plan = recorded.plan(&[]);
    for job in plan["jobs"].as_array().unwrap() {
        assert!(!["evaluation", "report"].contains(&job["name"].as_str().unwrap()), "{job}");
        assert!(!["evaluation", "report"].contains(&job["id"].as_str().unwrap()), "{job}");
    }
    let settings = lacking("final: [{name: Evaluation, run: x}]\n");
    settings.nixdag("plan").assert().code(1).stderr(predicate::str::contains("it cannot be named `Evaluation`"));
}
