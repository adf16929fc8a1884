//! The command line: what it prints where, exit codes, and the message that each kind of bad input gets.

use std::fs;
use std::path::Path;

use crate::support::nixdag;
use crate::support::recorded::{Recorded, ids};
use assert_cmd::Command;
use predicates::prelude::*;

const A: &str = "/nix/store/00000000000000000000000000000001-a.drv";
const B: &str = "/nix/store/00000000000000000000000000000002-b.drv";
const OUT_A: &str = "/nix/store/00000000000000000000000000000001-a";
const OUT_B: &str = "/nix/store/00000000000000000000000000000002-b";

/// A recorded evaluation of two derivations, b on a, in a folder that tests spoil.
fn recorded() -> Recorded {
    Recorded::of(&[("a", &[]), ("b", &["a"])])
}

/// Writes another text for a derivation.
fn spoil(recorded: &Recorded, path: &str, text: &str) {
    recorded.file(path.rsplit('/').next().unwrap(), text);
}

fn drv(out: &str, inputs: &[&str]) -> String {
    let inputs: Vec<String> = inputs.iter().map(|path| format!("(\"{path}\",[\"out\"])")).collect();
    format!("Derive([(\"out\",\"{out}\",\"\",\"\")],[{}],[],\"x86_64-linux\",\"/bin/sh\",[],[])", inputs.join(","))
}

#[test]
fn no_arguments_and_wrong_ones_are_usage_errors() {
    nixdag().assert().code(2).stdout("").stderr(predicate::str::contains("Usage"));
    nixdag().arg("frobnicate").assert().code(2);
    nixdag().args(["plan", "--format", "xml"]).assert().code(2);
    nixdag().args(["plan", "--roots", "a", "--plan", "b"]).assert().code(2);
    nixdag().args(["plan", ".", "--roots", "a"]).assert().code(2);
    nixdag().args(["generate", "--check"]).assert().code(2);
    nixdag().args(["plan", "--available", "x", "--local-store"]).assert().code(2);
    nixdag().args(["plan", "--concurrency", "0"]).assert().code(2);
    nixdag().arg("--version").assert().success().stdout(predicate::str::starts_with("nixdag "));
    for command in ["plan", "graph", "generate", "completions"] {
        nixdag().args([command, "--help"]).assert().success().stderr("");
    }
}

#[test]
fn every_command_has_a_manual_page_which_the_package_installs() {
    let page = |arguments: &[&str]| {
        let shown = nixdag().arg("man").args(arguments).assert().success().stderr("");
        String::from_utf8(shown.get_output().stdout.clone()).unwrap()
    };
    let main = page(&[]);
    let commands: Vec<&str> =
        main.lines().filter_map(|line| line.strip_prefix("nixdag\\-")?.strip_suffix("(1)")).collect();
    assert!(commands.contains(&"plan") && commands.contains(&"man"), "{main}");
    for command in &commands {
        let page = page(&[command]);
        assert!(page.contains(&format!(".TH nixdag-{command} 1  \"nixdag 0")), "{page}");
    }
    let plan = page(&["plan"]);
    assert!(plan.contains("\\-\\-granularity"));
    assert!(plan.contains(".SH SYNOPSIS\nnixdag plan [OPTIONS] [FLAKE]\n"), "{plan}");
    assert!(
        plan.contains(".SH EXAMPLES\n.nf\nnixdag plan\n    # what the flake") && !plan.contains("SH EXTRA"),
        "{plan}"
    );
    assert!(plan.contains("\\-\\-select \\(aqpackages.*.{hello,world}\\(aq"), "{plan}");
    let unknown = nixdag().args(["man", "foo"]).assert().code(2);
    unknown.stderr(predicate::str::contains("(known: `build`, `check`, `collect`"));
    let negative = nixdag().args(["plan", "--max-jobs", "-1"]).assert().code(2);
    negative.stderr(predicate::str::contains("expected a whole number from 1 on"));
    let flake = include_str!("../../flake.nix");
    assert!(flake.contains(&format!("for command in {}; do", commands.join(" "))), "{commands:?}");
}

#[test]
fn a_recorded_evaluation_becomes_a_plan() {
    let plan = recorded().plan(&[]);
    assert_eq!(ids(&plan["jobs"]), ["a", "b"]);
    assert_eq!(plan["jobs"][1]["requires"], serde_json::json!(["a"]));
    let keys: Vec<&String> = plan.as_object().unwrap().keys().collect();
    assert_eq!(
        keys,
        [
            "version",
            "provider",
            "flake",
            "base",
            "store_dir",
            "job_limit",
            "jobs",
            "targets",
            "final",
            "skipped",
            "errors",
            "critical_path",
            "estimates"
        ]
    );
    let keys: Vec<&String> = plan["jobs"][0].as_object().unwrap().keys().collect();
    assert_eq!(
        keys,
        [
            "id",
            "name",
            "system",
            "targets",
            "derivations",
            "co_located",
            "requires",
            "inputs",
            "executor",
            "image",
            "resource_class",
            "options",
            "estimate",
            "predicted"
        ]
    );
}

#[test]
fn every_command_takes_a_plan_instead() {
    let recorded = recorded();
    let plan = recorded.dir().join("plan.json");
    recorded.nixdag("plan").args(["--format", "json", "-o"]).arg(&plan).assert().success().stdout("");
    for arguments in [
        &["plan", "--format", "json"][..],
        &["graph"],
        &["graph", "--format", "mermaid"],
        &["graph", "--format", "json"],
        &["graph", "--level", "derivations", "--drv-dir", recorded.dir().to_str().unwrap()],
        &["generate"],
    ] {
        let from_plan =
            nixdag().args(arguments).arg("--plan").arg(&plan).assert().success().get_output().stdout.clone();
        let mut direct: Vec<&str> = arguments[1..].to_vec();
        if let Some(at) = direct.iter().position(|argument| *argument == "--drv-dir") {
            direct.drain(at..at + 2);
        }
        let direct = recorded.nixdag(arguments[0]).args(direct).assert().success().get_output().stdout.clone();
        assert_eq!(String::from_utf8_lossy(&from_plan), String::from_utf8_lossy(&direct), "{arguments:?}");
    }
    // The table compares with other granularities where the derivations are known.
    nixdag().args(["plan", "--plan"]).arg(&plan).assert().success().stdout(predicate::str::contains("critical path"));
}

#[test]
fn what_is_available_is_skipped_and_nothing_below_it_is_built() {
    let recorded = recorded();
    let list = recorded.file("available", format!("{OUT_B}\n\n"));
    let plan = recorded.plan(&["--available", list.to_str().unwrap()]);
    let skipped = serde_json::json!([{
        "target": ["packages", "x86_64-linux", "b"], "derivation": B, "reason": "available", "where": null
    }]);
    assert_eq!(plan["skipped"], skipped);
    assert_eq!(plan["jobs"].as_array().unwrap().len(), 1);

    let with_both = |arguments: &[&str]| {
        let mut nixdag = recorded.nixdag(arguments[0]);
        nixdag.args(&arguments[1..]).args(["--available", "-"]).write_stdin(format!("{OUT_A}\n{OUT_B}\n"));
        String::from_utf8(nixdag.assert().success().get_output().stdout.clone()).unwrap()
    };
    let plan: serde_json::Value = serde_json::from_str(&with_both(&["plan", "--format", "json"])).unwrap();
    assert_eq!(plan["jobs"], serde_json::json!([]));
    assert!(with_both(&["plan"]).contains("nothing to build"));
    let config = with_both(&["generate"]);
    let parsed: serde_yaml::Value = serde_yaml::from_str(&config).unwrap();
    let jobs: Vec<&str> = parsed["jobs"].as_mapping().unwrap().keys().map(|key| key.as_str().unwrap()).collect();
    assert_eq!(jobs, ["gate"], "nothing but the gate: {config}");
}

#[test]
fn a_list_of_paths_is_checked_line_by_line() {
    let recorded = recorded();
    for line in
        ["hello", "/nix/store/short-x", "../../etc/passwd", "/nix/store/0000000000000000000000000000000a-a/bin/x"]
    {
        let list = recorded.file("available", format!("{OUT_A}\n{line}\n"));
        let message = predicate::str::contains("line 2 of").and(predicate::str::contains("is not a store path"));
        recorded.nixdag("plan").arg("--available").arg(&list).assert().code(1).stdout("").stderr(message);
    }
    recorded
        .nixdag("plan")
        .args(["--available", "/nowhere"])
        .assert()
        .code(1)
        .stderr(predicate::str::contains("cannot read `/nowhere`"));
}

#[test]
fn selection_and_exclusion_apply_to_recorded_evaluations() {
    let recorded = recorded();
    let plan = recorded.plan(&["--select", "packages.*.{a,b}", "--exclude", "packages.*.b"]);
    assert_eq!(plan["skipped"][0]["reason"], "excluded");
    assert_eq!(plan["jobs"].as_array().unwrap().len(), 1);
    let unknown = recorded.nixdag("plan").args(["--select", "packages.x86_64-linux.bb"]).assert().code(1);
    unknown.stderr(predicate::str::contains(
        "no attribute `packages.x86_64-linux.bb` (did you mean `packages.x86_64-linux.b`?)",
    ));
    let empty = recorded.nixdag("plan").args(["--select", "checks.*.*"]).assert().code(1);
    empty.stderr(predicate::str::contains("nothing is selected"));
    recorded
        .nixdag("plan")
        .args(["--select", "packages.{a"])
        .assert()
        .code(2)
        .stderr(predicate::str::contains("packages.{a"));
}

#[test]
fn derivations_that_cannot_be_read_are_named() {
    let recorded = recorded();
    let text = drv(OUT_B, &[A]);
    spoil(&recorded, B, &text[..text.len() - 10]);
    recorded.fails(&["-b.drv` is not a derivation", "the file ends at byte"]);

    spoil(&recorded, B, "Derive(nonsense");
    recorded.fails(&["-b.drv` is not a derivation: byte 7: expected `[`"]);

    spoil(&recorded, B, &text);
    fs::remove_file(recorded.dir().join("00000000000000000000000000000001-a.drv")).unwrap();
    recorded.fails(&["cannot read derivation", "00000000000000000000000000000001-a.drv", "No such file"]);

    // Neither waited for nor taken for a file.
    let status = std::process::Command::new("mkfifo")
        .arg(recorded.dir().join("00000000000000000000000000000001-a.drv"))
        .status();
    assert!(status.unwrap().success());
    recorded.fails(&["00000000000000000000000000000001-a.drv", "not a regular file"]);
}

#[test]
fn hostile_derivations_are_named() {
    for (inputs, words) in [
        ("(\"/nix/store/../../etc/passwd\",[\"out\"])", "not a path in the store directory"),
        ("(\"/other/00000000000000000000000000000001-a.drv\",[\"out\"])", "not a path in the store directory"),
        ("(\"/nix/store/00000000000000000000000000000001-a\",[\"out\"])", "is not a derivation"),
        ("(\"/nix/store/00000000000000000000000000000001-a.drv\",[\"lib\"])", "no such output"),
    ] {
        let recorded = recorded();
        spoil(&recorded, B, &drv(OUT_B, &[]).replace("],[],[],", &format!("],[{inputs}],[],")));
        recorded.fails(&[words]);
    }
    let recorded = recorded();
    spoil(&recorded, A, &drv(OUT_A, &[B]));
    recorded.fails(&["need each other", "-a.drv` ->", "-b.drv` ->"]);
    spoil(&recorded, A, &drv(OUT_A, &[A]));
    recorded.fails(&["need each other", "-a.drv` -> `"]);
    spoil(&recorded, A, &drv("/etc/passwd", &[]));
    recorded.fails(&["`/etc/passwd` is not a path in the store directory"]);
}

#[test]
fn roots_that_cannot_be_read_are_named() {
    let recorded = recorded();
    for (text, words) in [
        ("{", "cannot use"),
        ("[1]", "entry 1 is not a pair"),
        (r#"{"a": "/etc/passwd"}"#, "`/etc/passwd` is not a store path"),
        (r#"{"a": 3}"#, "attribute `a`"),
        (r#"{"a\"": "/nix/store/00000000000000000000000000000001-a.drv"}"#, "lacks a closing quote"),
        ("{}", "nothing is selected"),
    ] {
        recorded.file("roots.json", text);
        recorded.fails(&[words]);
    }
    let missing = nixdag().args(["plan", "--roots", "/nowhere/roots.json"]).assert().code(1);
    missing.stderr(predicate::str::contains("cannot read `/nowhere/roots.json`"));
}

#[test]
fn plans_are_not_trusted() {
    let recorded = recorded();
    let good = recorded.plan(&[]);
    for (pointer, value, words) in [
        ("/version", serde_json::json!(2), "version 2, this nixdag reads version 1"),
        ("/jobs/0/id", serde_json::json!("../x"), "job id `../x`"),
        ("/jobs/0/id", serde_json::json!("b"), "two jobs have the id `b`"),
        ("/jobs/0/name", serde_json::json!("B"), "two jobs have the name"),
        ("/jobs/1/requires/0", serde_json::json!("zz"), "which is not a job of the plan"),
        ("/jobs/0/requires", serde_json::json!(["b"]), "does not come before it"),
        ("/jobs/0/derivations/0", serde_json::json!("/etc/passwd"), "`/etc/passwd` is not a store path"),
        ("/store_dir", serde_json::json!("/nix/store/"), "store_dir"),
        ("/estimates/lower_bound_seconds", serde_json::json!(-1), "not a duration"),
    ] {
        let mut plan = good.clone();
        *plan.pointer_mut(pointer).unwrap() = value;
        let file = recorded.file("plan.json", plan.to_string());
        for command in ["plan", "graph", "generate"] {
            nixdag()
                .arg(command)
                .arg("--plan")
                .arg(&file)
                .assert()
                .code(1)
                .stdout("")
                .stderr(predicate::str::contains(words));
        }
    }
    for text in ["", "{", "[]", "3", "null", "{\"version\": 1}"] {
        let file = recorded.file("plan.json", text);
        nixdag().args(["plan", "--plan"]).arg(&file).assert().code(1).stderr(predicate::str::contains("not a plan"));
    }
}

#[test]
fn results_are_whole_or_absent() {
    let recorded = recorded();
    let out = recorded.dir().join("config.yml");
    recorded.nixdag("generate").arg("-o").arg(&out).assert().success().stdout("");
    let first = fs::read_to_string(&out).unwrap();
    recorded.nixdag("generate").args(["--check", "-o"]).arg(&out).assert().success().stdout("");

    fs::write(&out, first.replace("version", "Version")).unwrap();
    let check = recorded.nixdag("generate").args(["--check", "-o"]).arg(&out).assert().code(1);
    check.stderr(predicate::str::contains("is out of date").and(predicate::str::contains("` rewrites it")));
    assert_ne!(fs::read_to_string(&out).unwrap(), first, "`--check` writes nothing");

    // A failure leaves what was there.
    fs::write(&out, "before").unwrap();
    spoil(&recorded, A, "spoiled");
    recorded.nixdag("generate").arg("-o").arg(&out).assert().code(1);
    assert_eq!(fs::read_to_string(&out).unwrap(), "before");
    let left: Vec<_> = fs::read_dir(recorded.dir())
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().starts_with(".tmp"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
    nixdag().args(["completions", "bash"]).assert().success();
}

#[test]
fn a_configuration_is_compared_with_one_that_is_made_in_the_same_way() {
    let recorded = recorded();
    let check = |arguments: &[&str], file: &str, code: i32| {
        let check = recorded.nixdag("generate").args(["--check", "-o", file]).args(arguments).assert().code(code);
        String::from_utf8(check.get_output().stderr.clone()).unwrap()
    };
    let generate =
        |arguments: &[&str]| recorded.nixdag("generate").args(["-o", "c.yml"]).args(arguments).assert().success();
    for provider in ["circleci", "gitlab"] {
        generate(&["--provider", provider, "--bundle", "bundle"]);
        let with_bundle = ["--provider", provider, "--bundle", "bundle"];
        assert!(check(&with_bundle, "c.yml", 0).contains("`c.yml` is up to date"));
        // Here is no bundle, or another one.
        fs::rename(recorded.dir().join("bundle"), recorded.dir().join("elsewhere")).unwrap();
        assert!(check(&with_bundle, "c.yml", 0).contains("`c.yml` is up to date"));
        assert!(!recorded.dir().join("bundle").exists(), "`--check` writes nothing");
        recorded.file("bundle/manifest", "another");
        let said = check(&with_bundle, "c.yml", 1);
        assert!(said.contains("the bundle in `bundle` is out of date (`nixdag generate "), "{said}");
        fs::remove_dir_all(recorded.dir().join("bundle")).unwrap();
        fs::remove_dir_all(recorded.dir().join("elsewhere")).unwrap();
        // Without a bundle it would become a preview, whose jobs fail.
        let said = check(&["--provider", provider], "c.yml", 1);
        assert!(said.contains("add `--bundle DIR`") && !said.contains("rewrites it"), "{said}");
        // A preview is replaced by what runs.
        generate(&["--provider", provider]);
        let said = check(&with_bundle, "c.yml", 1);
        assert!(said.contains("is out of date") && said.contains("--bundle bundle` rewrites it)"), "{said}");
    }
    // Nobody is told to write over jobs of their own.
    recorded.file("own.yml", "version: 2.1\njobs: {}\nworkflows: { version: 2 }\n");
    for arguments in [&[][..], &["--bundle", "bundle"]] {
        let said = check(arguments, "own.yml", 1);
        assert!(said.contains("was not written by `nixdag generate`") && !said.contains("rewrites"), "{said}");
    }
}

#[test]
fn a_configuration_is_not_written_into_a_file_of_another_format() {
    let recorded = recorded();
    for (provider, wrong, right) in [
        ("circleci", "x.json", "x.yml"),
        ("gitlab", "o.html", "o.yaml"),
        ("github", "g.txt", "g.json"),
        ("github", "g.html", "g.yml"),
        ("circleci", "x.svg", "x"),
    ] {
        let mut generate = recorded.nixdag("generate");
        let refused = generate.args(["--provider", provider, "-o", wrong]).assert().code(2).stdout("");
        let end = if provider == "github" { "`.json`, `.yml` or `.yaml`" } else { "`.yml` or `.yaml`" };
        refused.stderr(predicate::str::contains(format!("end it with {end}")));
        assert!(!recorded.dir().join(wrong).exists());
        recorded.nixdag("generate").args(["--provider", provider, "-o", right]).assert().success();
    }
}

#[test]
fn a_plan_says_what_generating_will_ask_for() {
    let recorded = recorded();
    let said = |command: &str, arguments: &[&str]| {
        let output = recorded.nixdag(command).args(arguments).assert().success().get_output().stderr.clone();
        String::from_utf8(output).unwrap()
    };
    let refuses = "warning: `nixdag generate` will refuse this plan: ";
    let plan = said("plan", &["--handoff", "cache"]);
    assert!(plan.contains(&format!("{refuses}`handoff: cache` needs a store")), "{plan}");
    let plan = said("plan", &["--mode", "workers"]);
    assert!(plan.contains(&format!("{refuses}`mode: workers` needs a store that can say")), "{plan}");
    assert!(plan.contains("`mode: workers` on circleci needs `handoff: cache`"), "{plan}");
    let plan = said("plan", &["--mode", "workers", "--provider", "github"]);
    assert!(!plan.contains("will refuse"), "{plan}");
    recorded.file("nixdag.yml", "handoff: cache\ncache: file:///cache\n");
    let plan = said("plan", &["--mode", "workers", "--worker-store", "/workers"]);
    assert!(!plan.contains("will refuse"), "{plan}");
}

#[test]
fn folders_that_cannot_be_written_are_named() {
    let recorded = recorded();
    for out in [recorded.dir().join("missing/x.yml"), recorded.dir().to_owned()] {
        let failed = recorded.nixdag("generate").arg("-o").arg(&out).assert().code(2);
        failed.stderr(predicate::str::contains(format!("cannot write `{}`", out.display())));
    }
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let recorded = recorded();
    let script = format!(
        "'{}' plan --roots '{}' --drv-dir '{}' --format json | true; echo ${{PIPESTATUS[0]}}",
        assert_cmd::cargo::cargo_bin("nixdag").display(),
        recorded.dir().join("roots.json").display(),
        recorded.dir().display()
    );
    Command::new("bash").args(["-c", &script]).assert().success().stdout("0\n").stderr("");
}

#[test]
fn the_output_depends_on_neither_place_nor_environment() {
    let (one, two) = (recorded(), recorded());
    for arguments in [&["plan"][..], &["plan", "--format", "json"], &["graph"], &["generate"]] {
        let here =
            one.nixdag(arguments[0]).args(&arguments[1..]).env("LC_ALL", "C").env("TZ", "UTC").assert().success();
        let there = nixdag()
            .args(arguments)
            .arg("--roots")
            .arg(two.dir().join("roots.json"))
            .arg("--drv-dir")
            .arg(two.dir())
            .env("LC_ALL", "tr_TR.UTF-8")
            .env("TZ", "Asia/Tokyo")
            .current_dir("/")
            .assert()
            .success();
        assert_eq!(here.get_output().stdout, there.get_output().stdout);
        let text = String::from_utf8(here.get_output().stdout.clone()).unwrap();
        assert!(!text.contains(one.dir().to_str().unwrap()));
    }
}

/// Every `.drv` file of the tree, which Nix has written, reads the same with another reader.
#[test]
fn another_reader_of_derivations_agrees() {
    assert!(readers_agree(&crate::support::derivations()) > 10);
}

#[test]
#[ignore = "needs real graphs, in a folder that NIXDAG_GRAPHS names"]
fn another_reader_of_real_derivations_agrees() {
    assert!(readers_agree(&crate::support::graphs().join("../samples/derivations")) > 10, "samples are missing");
}

/// How many `.drv` files the folder has, on which both readers agree.
fn readers_agree(folder: &Path) -> usize {
    let mut read = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "drv") {
            continue;
        }
        let bytes = fs::read(&path).unwrap();
        let ours = nixdag::nix::derivation::Derivation::parse(&bytes).unwrap();
        let name = ours.environment.iter().find(|(key, _)| key.is(b"name"));
        let name = name.map_or("structured".into(), |(_, name)| String::from_utf8(name.bytes().into_owned()).unwrap());
        let theirs = nix_derivation::Derivation::from_aterm_bytes(&bytes, &name).unwrap();
        let text = |text: nixdag::nix::aterm::Text| String::from_utf8(text.bytes().into_owned()).unwrap();
        let outputs: Vec<String> = ours.outputs.iter().map(|output| text(output.name)).collect();
        assert_eq!(outputs, theirs.outputs().keys().cloned().collect::<Vec<_>>(), "{}", path.display());
        let inputs: Vec<String> = ours.inputs.iter().map(|input| text(input.path)).collect();
        let expected: Vec<String> = theirs.input_derivations().keys().map(|path| path.to_absolute_path()).collect();
        assert_eq!(inputs, expected, "{}", path.display());
        let sources: Vec<String> = ours.sources.iter().map(|source| text(*source)).collect();
        let expected: Vec<String> = theirs.input_sources().iter().map(|path| path.to_absolute_path()).collect();
        assert_eq!(sources, expected, "{}", path.display());
        assert_eq!(ours.is_fixed_output(), theirs.is_fixed_output().unwrap(), "{}", path.display());
        let floating = theirs.resolved_outputs().unwrap().values().any(|output| output.path.is_none());
        assert_eq!(ours.outputs.iter().any(|output| output.path.is_empty()), floating, "{}", path.display());
        read += 1;
    }
    read
}
