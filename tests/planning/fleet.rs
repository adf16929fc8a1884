//! One plan over a mixed fleet: which machine each job gets, from rules, features, systems and the table of classes; what no machine
//! builds; and what of it stands in the configuration.

use std::process::Command;

use crate::support;
use crate::support::circleci_schema;
use crate::support::golden;
use crate::support::recorded::{Recorded, measured, table};
use predicates::prelude::*;
use serde_json::{Value, json};

const X86: &str = "x86_64-linux";
const ARM: &str = "aarch64-linux";
const MAC: &str = "aarch64-darwin";
const NIX: &str = "nixos/nix:2.34.7";

/// Packages on four systems that need each other across systems, and something that needs a feature.
fn fleet() -> Recorded {
    Recorded::new()
        .drv("src", "builtin", &[], &[("outputHash", "x")])
        .drv("lib", X86, &["src"], &[])
        .drv("hello", X86, &["lib"], &[])
        .drv("hello32", "i686-linux", &["src"], &[])
        .drv("hello-arm", ARM, &["hello"], &[])
        .drv("hello-mac", MAC, &["hello-arm"], &[])
        .drv("hello-musl", X86, &["lib"], &[])
        .drv("chromium-unwrapped", X86, &[], &[("requiredSystemFeatures", "big-parallel")])
        .drv("chromium", X86, &["chromium-unwrapped"], &[])
        .drv("vm-test", X86, &["hello"], &[("requiredSystemFeatures", "kvm nixos-test")])
        .target("packages.x86_64-linux.hello", "hello")
        .target("packages.i686-linux.hello", "hello32")
        .target("packages.aarch64-linux.hello", "hello-arm")
        .target("packages.aarch64-darwin.hello", "hello-mac")
        .target("legacyPackages.x86_64-linux.pkgsCross.musl64.hello", "hello-musl")
        .target("packages.x86_64-linux.chromium", "chromium")
        .target("checks.x86_64-linux.vm", "vm-test")
}

#[test]
fn without_settings_each_system_has_its_machine_and_kvm_has_none() {
    let fleet = fleet();
    let plan = fleet.plan(&[]);
    assert_eq!(
        table(&plan),
        [
            "chromium (x86_64-linux): chromium-unwrapped chromium on docker large nixos/nix:2.34.7",
            "hello (i686-linux): hello32 on docker large nixos/nix:2.34.7 with src",
            "hello (x86_64-linux): lib hello on docker large nixos/nix:2.34.7 with src",
            "hello (aarch64-linux): hello-arm on arm arm.large nixos/nix:2.34.7",
            "hello (aarch64-darwin): hello-mac on macos m4pro.medium 26.6.0",
            "pkgsCross.musl64.hello (x86_64-linux): hello-musl on docker large nixos/nix:2.34.7",
        ]
    );
    let jobs = plan["jobs"].as_array().unwrap();
    let requires = |at: usize| jobs[at]["requires"].clone();
    assert_eq!(requires(3), json!([jobs[2]["id"]]), "Arm needs what x86_64 built");
    assert_eq!(requires(4), json!([jobs[3]["id"]]), "macOS needs what Arm built");
    // Jobs before that are of other systems say so, also where there is no room for their whole names.
    let narrow = fleet.nixdag("plan").env("COLUMNS", "120").assert().success().get_output().stdout.clone();
    let narrow = String::from_utf8(narrow).unwrap();
    let arm = narrow.lines().find(|line| line.starts_with("hello ") && line.contains("aarch64-linux")).unwrap();
    assert!(arm.ends_with("  x86_64-linux: hello"), "{narrow}");
}

#[test]
fn what_no_machine_builds_is_reported_with_what_is_lacking() {
    let fleet = fleet()
        .drv("riscv", "riscv64-linux", &[], &[])
        .drv("on-riscv", X86, &["riscv"], &[])
        .drv("json", X86, &[], &[("__json", r#"{"requiredSystemFeatures":["gpu"]}"#)])
        .target("packages.riscv64-linux.riscv", "riscv")
        .target("packages.x86_64-linux.on-riscv", "on-riscv")
        .target("packages.x86_64-linux.json", "json");
    let no_riscv = "is built on `riscv64-linux`, and there are executors for `aarch64-darwin`, `aarch64-linux`, `i686-linux` and \
                    `x86_64-linux` only: add an executor with `systems: [riscv64-linux]` to nixdag.yml";
    let plan = fleet.plan(&[]);
    let skipped: Vec<String> = plan["skipped"]
        .as_array()
        .unwrap()
        .iter()
        .map(|skipped| {
            let target: Vec<&str> =
                skipped["target"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
            format!(
                "{} {} {}",
                target.join("."),
                skipped["reason"].as_str().unwrap(),
                skipped["where"].as_str().unwrap()
            )
        })
        .collect();
    assert_eq!(
        skipped,
        [
            "checks.x86_64-linux.vm no-executor it requires `kvm` and `nixos-test` on `x86_64-linux`, and the nearest executor, \
             `docker`, lacks `kvm`: add that to the `features` of an executor in nixdag.yml whose machine has it",
            format!("packages.riscv64-linux.riscv no-executor it {no_riscv}").as_str(),
            "packages.x86_64-linux.json no-executor it requires `gpu` on `x86_64-linux`, and the nearest executor, `docker`, lacks \
             `gpu`: add that to the `features` of an executor in nixdag.yml whose machine has it",
            format!("packages.x86_64-linux.on-riscv no-executor `riscv`, which it needs, {no_riscv}").as_str(),
        ]
    );
    let table = fleet.said("plan", &[]);
    assert!(table.contains(&format!("no executor builds it: `riscv`, which it needs, {no_riscv}\n")), "{table}");
    let warning = "warning: no executor builds target `checks.x86_64-linux.vm`: it requires `kvm` and `nixos-test` on";
    let and_more = "whose machine has it (and 3 more targets: `nixdag plan` says why)\n";
    let warned = predicate::str::contains(warning).and(predicate::str::contains(and_more));
    fleet.nixdag("generate").args(["--bundle", "bundle"]).assert().success().stderr(warned);
    let explained = fleet.said("explain", &["packages.riscv64-linux.riscv"]);
    assert!(explained.contains(&format!("skipped: no executor builds it: it {no_riscv}\n")), "{explained}");
}

#[test]
fn an_executor_that_is_named_and_cannot_build_is_told_from_one_that_is_not_there() {
    let fleet = fleet().settings(
        "executors: { tpu: { systems: x86_64-linux, features: tpu } }\n\
         rules:\n\
         - { match: { name: hello32 }, timeout: 5m }\n\
         - { match: { name: chromium-unwrapped }, executor: arm }\n\
         - { match: { name: vm-test }, executor: tpu }",
    );
    let table = fleet.said("plan", &[]);
    for words in [
        "packages.x86_64-linux.chromium  no executor builds it: `chromium-unwrapped`, which it needs, is sent by rule 2 of nixdag.yml to \
         executor `arm`, which builds `aarch64-linux` and not `x86_64-linux`: name another executor there",
        "checks.x86_64-linux.vm          no executor builds it: it is sent by rule 3 of nixdag.yml to executor `tpu`, which lacks `kvm`: \
         name another executor there, or add that to its `features` in nixdag.yml if its machine has it",
    ] {
        assert!(table.contains(words), "{words} is missing in {table}");
    }
}

/// What the rules of issue and README can say, all at once.
const RULES: &str = "
executors:
  big: { resource_class: 2xlarge }
  kvm: { machine: ubuntu-2404:current, resource_class: xlarge, features: [kvm, gpu], setup: ['modprobe kvm << x'] }
  docker: { environment: { TIER: 'a << b' }, shell: bash }
  runner: { machine: true, resource_class: acme/riscv, systems: [riscv64-linux] }
rules:
  - match: { attribute: packages.*.chromium }
    executor: big
    timeout: 2h
    context: signing
    retries: 2
    environment: { LEVEL: '3' }
  - match: { attribute: 'packages.*.hello', system: [aarch64-linux, aarch64-darwin] }
    resource_class: xlarge
  - match: { name: 'hello-m*' }
    image: me/nix:1
";

#[test]
fn each_job_gets_what_the_first_matching_rule_says() {
    let fleet =
        fleet().drv("riscv", "riscv64-linux", &[], &[]).target("packages.riscv64-linux.riscv", "riscv").settings(RULES);
    let options = r#"{"timeout":7200,"retries":2,"environment":{"LEVEL":"3"}}"#;
    let with_context = options.replace("\"retries\"", "\"context\":[\"signing\"],\"retries\"");
    assert_eq!(
        table(&fleet.plan(&[])),
        [
            format!("chromium-unwrapped (x86_64-linux): chromium-unwrapped on big 2xlarge nixos/nix:2.34.7 {options}"),
            format!("chromium (x86_64-linux): chromium on big 2xlarge nixos/nix:2.34.7 {with_context}"),
            "hello (i686-linux): hello32 on docker large nixos/nix:2.34.7 with src".into(),
            "hello (x86_64-linux): lib hello on docker large nixos/nix:2.34.7 with src".into(),
            "checks.vm (x86_64-linux): vm-test on kvm xlarge ubuntu-2404:current".into(),
            "hello (aarch64-linux): hello-arm on arm arm.xlarge nixos/nix:2.34.7".into(),
            "hello (aarch64-darwin): hello-mac on macos m4pro.medium 26.6.0".into(),
            "pkgsCross.musl64.hello (x86_64-linux): hello-musl on docker large me/nix:1".into(),
            "riscv (riscv64-linux): riscv on runner acme/riscv -".into(),
        ]
    );
}

#[test]
fn the_configuration_says_it_where_circleci_allows_it() {
    let fleet =
        fleet().drv("riscv", "riscv64-linux", &[], &[]).target("packages.riscv64-linux.riscv", "riscv").settings(RULES);
    let text = fleet.said("generate", &["--bundle", "bundle"]);
    let config: Value = serde_yaml::from_str(&text).unwrap();
    let executors = &config["executors"];
    assert_eq!(executors["docker"]["environment"], json!({ "TIER": "a \\<< b" }));
    assert_eq!(executors["docker"]["shell"], "bash -e");
    assert_eq!(executors["runner"], json!({ "machine": true, "resource_class": "acme/riscv" }));
    assert_eq!(executors["kvm"], json!({ "machine": { "image": "ubuntu-2404:current" }, "resource_class": "xlarge" }));
    assert_eq!(executors["arm-arm-xlarge"]["resource_class"], "arm.xlarge");

    let jobs = config["workflows"]["nixdag"]["jobs"].as_array().unwrap();
    let invoked = |name: &str| {
        let found = jobs.iter().flat_map(|job| job.as_object().unwrap()).find(|(_, job)| job["name"] == name);
        let (key, job) = found.unwrap_or_else(|| panic!("no job {name} in {text}"));
        (key.clone(), job.clone())
    };
    let build = |key: &str| {
        let steps = config["jobs"][key]["steps"].as_array().unwrap();
        steps.iter().find(|step| step["run"]["name"] == "Build").unwrap()["run"].clone()
    };
    let (key, job) = invoked("chromium (x86_64-linux)");
    assert_eq!(job["context"], json!(["signing"]));
    assert_eq!(config["jobs"][&key]["environment"], json!({ "LEVEL": "3" }));
    let step = build(&key);
    assert_eq!((&step["no_output_timeout"], step.get("max_auto_reruns")), (&json!("7200s"), None));
    assert!(step["command"].as_str().unwrap().contains("--timeout 7200 "), "{step}");
    let (key, job) = invoked("checks.vm (x86_64-linux)");
    assert!(job.get("context").is_none(), "contexts stand only where a rule says so");
    assert!(build(&key)["command"].as_str().unwrap().contains("--nix-option extra-system-features gpu "));
    assert_eq!(config["jobs"][&key]["steps"][0]["run"]["command"], "modprobe kvm \\<< x");
    assert_eq!(text.matches("context:").count(), 1, "{text}");

    circleci_schema::accepts(&text);
}

#[test]
fn explain_says_who_decided_where_a_target_is_built() {
    let fleet =
        fleet().drv("riscv", "riscv64-linux", &[], &[]).target("packages.riscv64-linux.riscv", "riscv").settings(RULES);
    for (target, words) in [
        ("packages.x86_64-linux.chromium", "reason for this machine: rule 1 of nixdag.yml"),
        ("packages.aarch64-linux.hello", "reason for this machine: rule 2 of nixdag.yml"),
        ("legacyPackages.x86_64-linux.pkgsCross.musl64.hello", "reason for this machine: rule 3 of nixdag.yml"),
        ("packages.x86_64-linux.hello", "reason for this machine: the first executor for its system"),
        (
            "checks.x86_64-linux.vm",
            "reason for this machine: the executor for its system and the features that it requires",
        ),
    ] {
        let said = fleet.said("explain", &[target]);
        assert!(said.contains(words), "{target}: {said}");
    }
}

#[test]
fn what_one_place_alone_needs_is_built_there_but_without_its_secrets() {
    let graph = |rule: &str| {
        Recorded::new()
            .drv("shared", X86, &[], &[])
            .drv("own", X86, &["shared"], &[])
            .drv("fetch", X86, &[], &[("outputHash", "x")])
            .drv("a", X86, &["own", "fetch"], &[])
            .drv("b", X86, &["shared", "fetch"], &[])
            .target("packages.x86_64-linux.a", "a")
            .target("packages.x86_64-linux.b", "b")
            .settings(&format!("rules: [{{ match: {{ attribute: '*.*.a' }}, {rule} }}]"))
    };
    let machines = |rule: &str| table(&graph(rule).plan(&[])).join("\n").replace(NIX, "");
    assert_eq!(
        machines("resource_class: xlarge"),
        "shared: shared on docker large \na: own a on docker xlarge  with fetch\nb: b on docker large  with fetch"
    );
    assert_eq!(
        machines("resource_class: xlarge, context: x"),
        "shared+1: fetch shared on docker large \nb: b on docker large \nown: own on docker xlarge \n\
         a: a on docker xlarge  {\"context\":[\"x\"]}"
    );
}

#[test]
fn contexts_are_for_targets_alone() {
    let recorded = |rules: &str| {
        Recorded::new()
            .drv("source", "builtin", &[], &[("outputHash", "x")])
            .drv("cheap", X86, &["source"], &[("preferLocalBuild", "1")])
            .drv("lib", X86, &["cheap"], &[])
            .drv("a", X86, &["lib", "source"], &[])
            .drv("b", X86, &["a", "cheap"], &[])
            .drv("c", X86, &["source"], &[])
            .target("packages.x86_64-linux.a", "a")
            .target("packages.x86_64-linux.b", "b")
            .target("packages.x86_64-linux.c", "c")
            .settings(&format!("contexts: [x, y]\nrules:{rules}"))
    };
    let all = recorded("\n  - { context: x }\n");
    for granularity in ["target", "auto", "single"] {
        let plan = all.plan(&["--granularity", granularity]);
        for job in plan["jobs"].as_array().unwrap() {
            let has_targets = !job["targets"].as_array().unwrap().is_empty();
            assert_eq!(job["options"].get("context").is_some(), has_targets, "{granularity}: {job}");
            assert!(
                job["co_located"].as_array().unwrap().is_empty() && job["derivations"].as_array().unwrap().len() < 4
            );
        }
    }
    // Targets of the same contexts share a job, others do not.
    let plan = recorded("\n  - { match: { attribute: '*.*.{a,b}' }, context: [x, y] }\n  - { context: y }\n")
        .plan(&["--granularity", "single"]);
    assert_eq!(
        table(&plan).iter().map(|line| line.replace(NIX, "")).collect::<Vec<_>>(),
        [
            "lib+2: source cheap lib on docker large ",
            "a+1: a b on docker large  {\"context\":[\"x\",\"y\"]}",
            "c: c on docker large  {\"context\":[\"y\"]}",
        ]
    );
    // A rule for one dependency cannot be meant.
    let rule = "\n  - { match: { name: lib }, context: x }\n";
    let said = recorded(rule).nixdag("plan").assert().success();
    let warning = "warning: rule 1 of nixdag.yml names contexts, which only targets get: what it is for beside them is built without";
    said.stderr(predicate::str::contains(warning));
}

#[test]
fn a_content_addressed_input_reaches_a_job_with_contexts_through_a_workspace_alone() {
    let dir = tempfile::tempdir().unwrap();
    let settings = dir.path().join("nixdag.yml");
    std::fs::write(&settings, "contexts: [x]\nrules: [{ match: { attribute: '*.*.after-floating' }, context: x }]\n")
        .unwrap();
    let plan = |handoff: &str| {
        let mut command = support::nixdag();
        command.args(["plan", "--available", "/dev/null", "--handoff", handoff, "--settings"]).arg(&settings);
        command
            .arg("--roots")
            .arg(support::derivations().join("roots.json"))
            .arg("--drv-dir")
            .arg(support::derivations());
        command.assert()
    };
    plan("workspace").success();
    let error = "`after-floating` is built with contexts and needs `floating`, which is content-addressed and built in a job without: \
                 only `handoff: workspace` passes on which path that has (or build `after-floating` without contexts)";
    plan("cache").failure().stderr(predicate::str::contains(error));
}

#[test]
fn a_target_that_is_never_grouped_is_alone() {
    let mut recorded = Recorded::new();
    for number in 0..6 {
        let name = format!("p{number}");
        recorded = recorded.drv(&name, X86, &[], &[]).target(&format!("packages.{X86}.{name}"), &name);
    }
    let jobs = |recorded: &Recorded| table(&recorded.plan(&["--granularity", "single"])).len();
    assert_eq!(jobs(&recorded), 1);
    let recorded = recorded.settings("rules: [{ match: { attribute: '*.*.p{1,2}' }, never_group: true }]");
    assert_eq!(jobs(&recorded), 3);
}

#[test]
fn auto_takes_the_size_that_the_estimate_and_the_features_ask_for() {
    let history = |seconds: [u32; 4]| {
        let path = |at| format!("/nix/store/{}-p{at}.drv", "0".repeat(32));
        let builds = seconds.iter().enumerate().map(|(at, &seconds)| measured(&path(at), seconds.into()));
        json!({ "version": 2, "builds": builds.collect::<Vec<_>>() }).to_string()
    };
    let mut recorded = Recorded::new();
    for at in 0..4 {
        let name = format!("p{at}");
        recorded = recorded.drv(&name, X86, &[], &[]).target(&format!("packages.{X86}.{name}"), &name);
    }
    let recorded = recorded
        .drv("wide", X86, &[], &[("requiredSystemFeatures", "big-parallel")])
        .target("packages.x86_64-linux.wide", "wide")
        .settings("rules: [{ resource_class: auto }]");
    recorded.file("records.json", history([60, 300, 1200, 7200]));
    let plan = recorded.plan(&["--history", "records.json"]);
    let of = |name: &str| {
        let job = plan["jobs"].as_array().unwrap().iter().find(|job| job["name"] == name).unwrap();
        job["resource_class"].as_str().unwrap().to_owned()
    };
    assert_eq!(["p0", "p1", "p2", "p3", "wide"].map(of), ["medium", "large", "xlarge", "2xlarge", "xlarge"]);
}

#[test]
fn executors_of_the_file_serve_systems_when_they_say_so() {
    let one = |settings: &str| {
        let recorded =
            Recorded::new().drv("a", X86, &[], &[]).target("packages.x86_64-linux.a", "a").settings(settings);
        let job = recorded.plan(&[])["jobs"][0].clone();
        format!("{} {}", job["executor"].as_str().unwrap(), job["resource_class"].as_str().unwrap())
    };
    assert_eq!(one("executors: { big: { resource_class: xlarge } }"), "docker large");
    assert_eq!(one("executors: { big: { resource_class: xlarge, systems: x86_64-linux } }"), "big xlarge");
    assert_eq!(one("executors: { big: { resource_class: xlarge, default: true } }"), "big xlarge");
    assert_eq!(one("executors: { kvm: { systems: x86_64-linux, features: kvm } }"), "docker large");
    assert_eq!(one("executors: { docker: { resource_class: small } }"), "docker small");
    assert_eq!(one("rules: [{ match: { system: x86_64-linux }, executor: big }]\nexecutors: { big: {} }"), "big large");
}

#[test]
fn unknown_classes_and_images_are_taken_with_a_warning() {
    let warned = |settings: &str, words: &str| {
        let recorded =
            Recorded::new().drv("a", X86, &[], &[]).target("packages.x86_64-linux.a", "a").settings(settings);
        recorded.nixdag("plan").assert().success().stderr(predicate::str::contains(words));
    };
    warned(
        "executors: { x: { resource_class: huge } }",
        "resource class `huge` of executor `x` is not one that nixdag knows",
    );
    warned("executors: { x: { machine: 'debian:1' } }", "`debian:1` of executor `x` is not a VM image");
    warned(
        "rules: [{ resource_class: huge }]",
        "nixdag.yml:1:9: rule 1: resource class `huge` is not one that nixdag knows",
    );
    warned(
        "rules: [{ resource_class: arm.large }]",
        "resource class `arm.large` does not fit executor `docker`; keeping `large`",
    );
    warned(
        "executors: { x: { resource_class: lagre } }",
        "not one that nixdag knows (did you mean `large`?): assuming",
    );
    warned(
        "executors: { own: { machine: true, resource_class: acme/x, systems: x86_64-linux } }",
        "the size of executor `own` is not known: assuming 2 cores (set `cores`)",
    );
    warned(
        "executors: { x: { xcode: '26.6.0', resource_class: large } }",
        "resource class `large` of executor `x` is not one of macOS machines (known: `m4pro.medium`, `m4pro.large`): assuming",
    );
    warned(
        "executors: { docker: { resource_class: arm.large } }",
        "executor `docker` is a machine for aarch64-linux now, and builds nothing else (set `systems` to change that)",
    );
    warned("rules: [{ image: '26.6.0' }]", "image `26.6.0` does not fit executor `docker`");
}

#[test]
fn rules_that_cannot_count_are_taken_with_a_warning() {
    for (settings, words) in [
        (
            "rules: [{ match: { attribute: 'packages.*.bb' }, timeout: 5m }]",
            Some(
                "nixdag.yml:1:9: rule 1 applies to no target: `packages.*.bb` matches none; did you mean one named `b`?",
            ),
        ),
        (
            "rules: [{ match: { system: x86_64-linxu }, timeout: 5m }]",
            Some("nixdag.yml:1:9: rule 1: no executor builds system `x86_64-linxu` (did you mean `x86_64-linux`?)"),
        ),
        (
            "rules: [{ match: { features: big-paralel }, timeout: 5m }]",
            Some("nixdag.yml:1:9: rule 1: no executor offers feature `big-paralel` (did you mean `big-parallel`?)"),
        ),
        (
            "rules: [{ timeout: 5m }, { match: { name: b }, timeout: 6m }]",
            Some("nixdag.yml:1:26: rule 2 never applies: rule 1 matches everything (put that one last)"),
        ),
        ("rules: [{ match: { attribute: 'packages.*.b' }, timeout: 5m }, { timeout: 6m }]", None),
    ] {
        let recorded =
            Recorded::new().drv("b", X86, &[], &[]).target("packages.x86_64-linux.b", "b").settings(settings);
        let output = recorded.nixdag("plan").assert().success();
        let said = String::from_utf8_lossy(&output.get_output().stderr).into_owned();
        match words {
            Some(words) => assert!(said.contains(words), "{settings}: {said}"),
            None => assert!(!said.contains("warning: rule"), "{settings}: {said}"),
        }
    }
}

#[test]
fn a_final_job_that_builds_goes_to_the_machine_with_the_features_that_it_requires() {
    let planned = |executors: &str, more: &str| {
        let recorded = Recorded::new()
            .drv("a", X86, &[], &[("requiredSystemFeatures", "kvm")])
            .drv("image", X86, &["a"], &[("requiredSystemFeatures", "gpu")])
            .drv("test", X86, &["image"], &[("requiredSystemFeatures", "nixos-test")])
            .drv("other", X86, &["a"], &[("requiredSystemFeatures", "tpu")])
            .target("packages.x86_64-linux.a", "a")
            .target("checks.x86_64-linux.test", "test")
            .target("checks.x86_64-linux.other", "other");
        recorded.settings(&format!(
            "executors: {{ kvm: {{ features: kvm }}, {executors} }}\nfinal: [{{ name: tests, build: 'checks.*.*'{more} }}]"
        ))
    };
    let both = planned("gpu: { features: gpu }, all: { features: [gpu, tpu] }", "").plan(&[]);
    assert_eq!(
        (&both["final"][0]["executor"], &both["final"][0]["targets"]),
        (&json!("all"), &json!([["checks", X86, "other"], ["checks", X86, "test"]]))
    );
    let one = planned("gpu: { features: gpu }", "").plan(&[]);
    assert_eq!(one["final"][0]["executor"], "gpu", "what it needs requires that; `a` is built by another job");
    assert!(
        one["skipped"][0]["where"]
            .as_str()
            .unwrap()
            .starts_with("it requires `tpu` on `x86_64-linux`, and the nearest")
    );

    let fails = |recorded: Recorded, words: &'static str| {
        recorded.nixdag("plan").assert().code(1).stdout("").stderr(predicate::str::contains(words));
    };
    fails(
        planned("gpu: { features: gpu }, tpu: { features: tpu }", ""),
        "final job `tests` requires `gpu`, `nixos-test` and `tpu` on `x86_64-linux`, and the nearest executor, `gpu`, lacks `tpu`",
    );
    fails(
        planned("gpu: { features: gpu }", ", executor: kvm"),
        "`tests`: executor `kvm` builds none of its attributes",
    );
}

#[test]
fn a_plan_whose_executor_is_gone_has_to_be_made_again() {
    let recorded = Recorded::new()
        .drv("a", X86, &[], &[])
        .target("packages.x86_64-linux.a", "a")
        .settings("executors: { big: { default: true } }");
    recorded.file("plan.json", recorded.plan(&[]).to_string());
    let generate = || {
        let mut nixdag = assert_cmd::Command::cargo_bin("nixdag").unwrap();
        nixdag.current_dir(recorded.dir()).args(["generate", "--plan", "plan.json"]).assert()
    };
    generate().success();
    recorded.file("nixdag.yml", "");
    generate().code(1).stdout("").stderr(predicate::str::contains(
        "no executor `big` (known: `docker`, `arm`, `macos`): plan again with this nixdag.yml, or give it the executor for \
         `x86_64-linux` that the plan was made with",
    ));
}

#[test]
fn settings_that_cannot_have_an_effect_are_said() {
    let warned = |settings: &str| {
        let recorded = Recorded::of(&[("a", &[])]).settings(settings);
        let output = recorded.nixdag("plan").assert().success().get_output().stderr.clone();
        String::from_utf8(output).unwrap()
    };
    let growth = "warning: `size_limits` of nixdag.yml limits growth, and without a base nobody knows it";
    assert!(warned("size_limits: { packages.*.a: [1GB, 5%] }\n").contains(growth));
    assert!(!warned("size_limits: { packages.*.a: 1GB }\n").contains("size_limits"));
    let allowed = warned("allow_failure: ['packages.*.nosuch']\n");
    assert!(
        allowed.contains("`allow_failure` allows nothing to fail by `packages.*.nosuch`, which matches no target"),
        "{allowed}"
    );
    assert!(!warned("allow_failure: [unfree, 'devShells.*.x']\nselect: ['packages.*.*']\n").contains("allow_failure"));
}

/// What is said about rules of a graph with targets `a` and `b`, and `lib` below `a`.
fn said_of(rules: &str, arguments: &[&str]) -> String {
    let recorded = Recorded::new()
        .drv("lib", X86, &[], &[])
        .drv("a", X86, &["lib"], &[])
        .drv("b", X86, &[], &[])
        .target("packages.x86_64-linux.a", "a")
        .target("checks.x86_64-linux.b", "b")
        .settings(rules);
    recorded.file("base.json", json!({ "checks.x86_64-linux.b": recorded.path("b") }).to_string());
    let output = recorded.nixdag("plan").args(arguments).assert().success();
    let said = String::from_utf8_lossy(&output.get_output().stderr).into_owned();
    said.lines().filter(|line| line.contains("rule")).collect()
}

#[test]
fn a_rule_for_nothing_is_a_mistake_only_where_nothing_was_left_out() {
    let by_attribute = "rules: [{ match: { attribute: 'checks.*.{zebra,yak}' }, timeout: 5m }]";
    let warning = "warning: nixdag.yml:1:9: rule 1 applies to no target: `checks.*.{zebra,yak}` matches none";
    assert_eq!(said_of(by_attribute, &[]), warning);
    assert_eq!(said_of(by_attribute, &["--select", "checks.*.*"]), warning);
    assert_eq!(said_of(by_attribute, &["--exclude", "packages.*.*"]), warning);
    assert_eq!(said_of(by_attribute, &["--base-roots", "base.json"]), warning, "what the base has counts too");
    assert_eq!(said_of(by_attribute, &["--select", "packages.*.*"]), "");
    assert_eq!(said_of(&format!("select: ['packages.*.*']\n{by_attribute}"), &[]), "");
    assert_eq!(said_of(&by_attribute.replace("{zebra,yak}", "b"), &["--exclude", "checks.*.*"]), "");

    let by_name = "rules: [{ match: { name: 'lab-*' }, timeout: 5m }, { match: { name: lib }, timeout: 6m }]";
    let warning = "warning: nixdag.yml:1:9: rule 1 applies to no derivation: `lab-*` matches no name";
    assert_eq!(said_of(by_name, &[]), warning);
    for filter in [["--select", "packages.*.*"], ["--exclude", "checks.*.*"], ["--base-roots", "base.json"]] {
        assert_eq!(said_of(by_name, &filter), "", "{filter:?}");
    }
}

#[test]
fn a_rule_for_another_system_is_no_mistake() {
    support::with_every_nix("a_rule_for_another_system_is_no_mistake", || {
        let warned = |others: &str, rule: &str, arguments: &[&str]| {
            let flake = format!(
                "{{ outputs = _: let p = system: name: derivation {{ inherit system name; builder = \"/bin/sh\"; }}; in \
                 {{ packages.x86_64-linux.a = p \"x86_64-linux\" \"a\"; {others} }}; }}"
            );
            let rules = format!("rules: [{{ match: {{ attribute: '{rule}' }}, timeout: 5m }}]");
            let folder = support::folder(&[("flake.nix", &flake), ("nixdag.yml", &rules)]);
            let mut command = Command::new(env!("CARGO_BIN_EXE_nixdag"));
            let output = command.current_dir(&folder).arg("plan").args(arguments).output().unwrap();
            assert!(output.status.success(), "{}", support::shown(&output));
            String::from_utf8_lossy(&output.stderr).contains("applies to no target")
        };
        let other = "packages.aarch64-darwin.b = p \"aarch64-darwin\" \"b\";";
        assert!(warned("", "packages.*.b", &[]), "there is but one system");
        assert!(!warned(other, "packages.*.b", &[]), "the other system has it");
        assert!(!warned(other, "packages.*.b", &["--all-systems"]));
        assert!(warned(other, "packages.*.c", &["--all-systems"]));
        assert!(!warned(other, "packages.*.c", &[]), "the other system was not looked at");
        assert!(warned(other, "packages.x86_64-linux.c", &[]));
        assert!(!warned("", "devShells.*.b", &[]), "nobody asked for shells");
        String::new()
    });
}

#[test]
fn what_nobody_has_written_is_not_complained_about() {
    support::with_nix("what_nobody_has_written_is_not_complained_about", || {
        let said = |settings: (&str, &str)| {
            let flake = "{ outputs = _: { packages.x86_64-linux = let p = name: derivation { inherit name; \
                         system = \"x86_64-linux\"; builder = \"/bin/sh\"; }; in { a = p \"a\"; b = p \"b\"; }; }; }";
            let folder = support::folder(&[("flake.nix", flake), settings]);
            let mut nixdag = Command::new(env!("CARGO_BIN_EXE_nixdag"));
            let output = nixdag.current_dir(&folder).args(["plan", "--available", "-"]).output().unwrap();
            assert!(output.status.success(), "{}", support::shown(&output));
            let said = String::from_utf8(output.stderr).unwrap();
            said.lines().filter(|line| line.starts_with("warning")).collect::<Vec<_>>().join("\n")
        };
        let job = |build: &str| format!("final: [{{ name: x, build: {build} }}]");
        assert_eq!(
            said(("nixdag.yml", &job("packages.*.a"))),
            "",
            "the flake has no checks, which are selected by default"
        );
        let chosen = format!("select: ['checks.*.*']\n{}", job("packages.*.a"));
        assert_eq!(said(("nixdag.yml", &chosen)), "warning: pattern `checks.*.*` selects nothing");
        assert_eq!(said(("nixdag.yaml", "")), "warning: `./nixdag.yaml` is not read: name it `nixdag.yml`");
    });
}

#[test]
fn emulation_is_only_there_when_it_is_asked_for() {
    let recorded = Recorded::new()
        .drv("a", ARM, &[], &[])
        .target("packages.aarch64-linux.a", "a")
        .settings("executors: { emulator: { machine: ubuntu-2404:current, systems: [x86_64-linux, aarch64-linux] } }");
    let plan = recorded.plan(&[]);
    assert_eq!((&plan["jobs"][0]["executor"], &plan["jobs"][0]["system"]), (&json!("emulator"), &json!(ARM)));
    let text = recorded.said("generate", &["--bundle", "bundle"]);
    assert!(text.contains("--nix-option extra-platforms aarch64-linux "), "{text}");
    let text = fleet().said("generate", &["--bundle", "bundle"]);
    assert!(!text.contains("extra-platforms"), "{text}");
}

#[test]
fn a_plan_from_a_file_gets_only_what_these_settings_grant() {
    let recorded = Recorded::of(&[("a", &[])]);
    let plan = recorded.plan(&[]);
    let generated = |change: &dyn Fn(&mut Value), settings: &str| {
        let mut plan = plan.clone();
        change(&mut plan["jobs"][0]);
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("plan.json"), plan.to_string()).unwrap();
        std::fs::write(dir.path().join("nixdag.yml"), settings).unwrap();
        let mut command = support::nixdag();
        command.current_dir(dir.path()).args(["generate", "--plan", "plan.json"]);
        command.assert()
    };
    generated(&|_| {}, "").success();
    let class = |job: &mut Value| job["resource_class"] = json!("acme/production-deployer");
    let image = |job: &mut Value| job["image"] = json!("evil/image:1");
    let context = |job: &mut Value| job["options"]["context"] = json!(["deploy"]);
    let more = |job: &mut Value| {
        context(job);
        job["co_located"] = json!(["/nix/store/00000000000000000000000000000009-b.drv"]);
        job.as_object_mut().unwrap().remove("predicted");
    };
    for (change, settings, words) in [
        (&class as &dyn Fn(&mut Value), "", "resource class `acme/production-deployer` is neither a usual one"),
        (&image, "", "image `evil/image:1` is neither the executor's nor a rule's"),
        (&context, "", "context `deploy` is not among `contexts` of nixdag.yml"),
        (&context, "contexts: []", "context `deploy` is not among `contexts` of nixdag.yml"),
        (&more, "contexts: [deploy]", "it has contexts and builds more than its targets"),
    ] {
        generated(change, settings).failure().stderr(predicate::str::contains(words));
    }
    generated(&class, "package_resource_classes: acme/production-deployer").success();
    generated(&image, "rules: [{ match: { name: x }, image: 'evil/image:1' }]").success();
    generated(&context, "contexts: [deploy]").success();
}

/// A flake whose packages say something about their jobs, sound and unsound, and short forms of configurations.
const SAYING: &str = r#"{
  outputs = { self }: let
    package = name: more: derivation { inherit name; system = "x86_64-linux"; builder = "/bin/sh"; args = [ "-c" "echo > $out" ]; } // more;
  in {
    packages.x86_64-linux = {
      plain = package "plain" { };
      large = package "large" { passthru.ci = { resourceClass = "xlarge"; timeout = "20m"; }; meta.ci.resourceClass = "small"; };
      secret = package "secret" { meta.ci.context = [ "signing" ]; };
      greedy = package "greedy" { meta.ci = { resourceClass = "acme/production-deployer"; context = "deploy"; }; };
      slow = package "slow" { meta.timeout = 7200; };
      off = package "off" { meta.ci.disable = true; };
      thrown = package "thrown" { meta = throw "no meta"; };
      aborted = package "aborted" { passthru.ci = { timeout = abort "no ci"; resourceClass = "large"; }; };
      missing = package "missing" { passthru.ci = { executor = self.nothing; }; };
      typed = package "typed" { passthru.ci = { executor = x: x; resourceClass = "medium"; oops = [ [ ] ]; }; };
      ruled = package "ruled" { passthru.ci = { resourceClass = "small"; timeout = 60; }; };
    };
    nixosConfigurations.web = { type = "other"; config.system.build.toplevel = package "toplevel" { }; };
    darwinConfigurations.mac = { system = package "mac" { }; };
    homeConfigurations."me@home" = { activationPackage = package "home" { }; };
    hydraJobs = { a = package "job-a" { }; tests.b = package "job-b" { }; };
  };
}"#;

#[test]
fn packages_say_where_they_are_built() {
    support::with_every_nix("packages_say_where_they_are_built", || {
        let folder = support::folder(&[
            ("flake.nix", SAYING),
            (
                "nixdag.yml",
                "contexts: [signing]\nrules: [{ match: { attribute: '*.*.ruled' }, resource_class: 2xlarge }]",
            ),
        ]);
        let output = Command::new(env!("CARGO_BIN_EXE_nixdag"))
            .current_dir(&folder)
            .args(["plan", "--format", "json"])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let plan: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {said}"));
        let machines: Vec<String> = plan["jobs"]
            .as_array()
            .unwrap()
            .iter()
            .map(|job| {
                format!(
                    "{} {} {}",
                    job["name"].as_str().unwrap(),
                    job["resource_class"].as_str().unwrap(),
                    job["options"]
                )
            })
            .collect();
        assert_eq!(
            machines,
            [
                "aborted large {}",
                "greedy large {}",
                "large xlarge {\"timeout\":1200}",
                "missing large {}",
                "plain large {}",
                "ruled 2xlarge {\"timeout\":60}",
                "secret large {\"context\":[\"signing\"]}",
                "slow large {\"timeout\":7200}",
                "thrown large {}",
                "typed medium {}",
            ],
            "{said}"
        );
        assert_eq!(plan["errors"], json!([]));
        assert_eq!(plan["skipped"][0]["where"], "its package says `disable`");
        for words in [
            "attribute `packages.x86_64-linux.thrown`: its settings for its job do not evaluate",
            "attribute `packages.x86_64-linux.aborted`: its settings for its job do not evaluate: ",
            "attribute `packages.x86_64-linux.missing`: its settings for its job do not evaluate: ",
            "attribute `packages.x86_64-linux.greedy`: `resourceClass`: resource class `acme/production-deployer` is neither a usual one",
            "attribute `packages.x86_64-linux.greedy`: context `deploy` is not among `contexts` of nixdag.yml",
            "attribute `packages.x86_64-linux.typed`: `executor` is a function, expected a string",
            "attribute `packages.x86_64-linux.typed`: unknown key `oops` of `ci`",
        ] {
            assert!(said.contains(words), "{words} is missing in {said}");
        }
        String::new()
    });
}

#[test]
fn short_patterns_lead_to_what_builds_configurations() {
    support::with_every_nix("short_patterns_lead_to_what_builds_configurations", || {
        let folder = support::folder(&[("flake.nix", SAYING)]);
        let patterns = ["nixosConfigurations.*", "darwinConfigurations", "homeConfigurations.*", "hydraJobs"];
        let mut command = Command::new(env!("CARGO_BIN_EXE_nixdag"));
        let output = command
            .current_dir(&folder)
            .args(["plan", "--format", "json"])
            .args(patterns.iter().flat_map(|pattern| ["--select", pattern]))
            .output()
            .unwrap();
        let plan: Value =
            serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", support::shown(&output)));
        let jobs: Vec<String> = plan["jobs"]
            .as_array()
            .unwrap()
            .iter()
            .map(|job| format!("{} {}", job["name"], job["targets"][0]))
            .collect();
        assert_eq!(
            jobs,
            [
                r#""darwinConfigurations.mac" ["darwinConfigurations","mac","system"]"#,
                r#""homeConfigurations.\"me@home\"" ["homeConfigurations","me@home","activationPackage"]"#,
                r#""hydraJobs.a" ["hydraJobs","a"]"#,
                r#""hydraJobs.tests.b" ["hydraJobs","tests","b"]"#,
                r#""nixosConfigurations.web" ["nixosConfigurations","web","config","system","build","toplevel"]"#,
            ]
        );
        String::new()
    });
}

#[test]
fn the_examples_are_planned_as_recorded() {
    support::with_nix("the_examples_are_planned_as_recorded", || {
        for example in ["fleet", "cross"] {
            let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
            let plan = |format: &str| {
                let mut command = Command::new(env!("CARGO_BIN_EXE_nixdag"));
                let output = command
                    .current_dir(root.join("examples").join(example))
                    .args(["plan", "--format", format])
                    .output();
                let output = output.unwrap();
                assert!(output.status.success(), "{}", support::shown(&output));
                assert!(!String::from_utf8_lossy(&output.stderr).contains("nixdag.yml"), "{}", support::shown(&output));
                output.stdout
            };
            let json: Value = serde_json::from_slice(&plan("json")).unwrap();
            let shown = String::from_utf8(plan("table")).unwrap();
            let (shown, _) = shown.split_once("PREDICTED").unwrap();
            let text = format!("{}\n\n{}", table(&json).join("\n"), shown);
            golden::check(&format!("tests/golden/example-{example}.txt"), &text);
        }
    });
}
