//! How nixdag talks to people: exit codes, quiet and verbose, colour, width, and what commands say last.

use std::fs;
use std::process::Command;

use crate::support::recorded::Recorded;
use crate::support::{nixdag, shown};
use predicates::prelude::*;

fn recorded() -> Recorded {
    Recorded::of(&[("a", &[]), ("b", &["a"])])
}

#[test]
fn a_wrong_value_of_a_flag_is_wrong_usage() {
    let recorded = recorded();
    for (command, flag, value) in [
        ("plan", "--select", "["),
        ("plan", "--exclude", "["),
        ("plan", "--allow-failure", "["),
        ("plan", "--cost", "start_up"),
        ("plan", "--cost", "start_up=x"),
        ("plan", "--cost", "startup=1"),
        ("plan", "--substituter", "x"),
        ("plan", "--trusted-public-key", "x"),
        ("plan", "--cache-token", "x"),
        ("plan", "--credential-host", ":"),
        ("plan", "--base", "main"),
        ("plan", "--granularity", "x"),
        ("plan", "--resource-class", "=x"),
        ("plan", "--image", "x="),
        ("generate", "--push", "x"),
        ("generate", "--cache", "x"),
        ("generate", "--signing-key-variable", "1"),
        ("generate", "--pipeline-parameter", "x"),
    ] {
        let failed = recorded.nixdag(command).args([flag, value]).assert().code(2).stdout("");
        failed.stderr(predicate::str::contains("error: ").and(predicate::str::contains(flag)));
    }
    for (command, flag, value, expected) in [
        ("plan", "--max-jobs", "x", "from 1 on"),
        ("plan", "--max-jobs", "-1", "from 1 on"),
        ("plan", "--max-jobs", "99999999999999999999", "from 1 to 4294967295"),
        ("plan", "--concurrency", "0", "from 1 on"),
        ("plan", "--max-credits", "1.5", "from 1 on"),
        ("plan", "--keep-plan", "101", "from 0 to 100"),
        ("plan", "--eval-depth", "65", "from 1 to 64"),
        ("plan", "--eval-workers", "", "from 1 to 1024"),
        ("plan", "--cache-timeout", "1h", "from 1 to 3600"),
        ("generate", "--push-timeout", "x", "from 1 to 86400"),
        ("history", "--max-age", "x", "from 1 to 36500"),
        ("history", "--max-builds", "x", "from 1 to 1000000"),
        ("continue", "--retries", "x", "from 0 to 20"),
        ("build", "--cores", "x", "from 0 on"),
        ("build", "--timeout", "x", "from 0 on"),
        ("worker", "--number", "x", "from 0 on"),
    ] {
        let failed = nixdag().args([command, flag, value]).assert().code(2).stdout("");
        let text = String::from_utf8(failed.get_output().stderr.clone()).unwrap();
        let words = format!("error: invalid value '{value}' for '{flag} ");
        assert!(text.starts_with(&words) && text.contains(&format!("expected a whole number {expected}\n")), "{text}");
    }
    let jobs = nixdag().args(["build", "--job", "a", "--plan", "p", "--max-jobs", "x"]).assert().code(2);
    jobs.stderr(predicate::str::contains("expected a whole number from 0 on, or `auto`"));
    let scheme = recorded.nixdag("plan").args(["--substituter", "ftp://x"]).assert().code(2).stdout("");
    scheme.stderr(predicate::str::contains("`ftp://x` is not a store URL (Nix's stores have no scheme `ftp`"));
    let reserve = nixdag().args(["plan", "--reserve", "-1"]).assert().code(2);
    reserve.stderr(predicate::str::contains("expected a number from 0 to 100"));
    // What the file says is not the command line's fault.
    recorded.file("nixdag.yml", "select: ['[']\n");
    recorded.nixdag("plan").assert().code(1);
    nixdag().args(["man", "plna"]).assert().code(2).stderr(predicate::str::contains("did you mean `plan`?"));
}

#[test]
fn a_result_that_cannot_be_written_is_said_before_anything_is_evaluated() {
    let recorded = recorded();
    for command in ["plan", "graph", "generate"] {
        let mut run = nixdag();
        // There is no such flake.
        run.args([command, "/nowhere", "-o"]).arg(recorded.dir().join("missing/x"));
        run.assert().code(2).stdout("").stderr(predicate::str::contains("there is no folder `"));
    }
}

#[test]
fn quiet_says_errors_alone_and_verbose_what_is_done() {
    let recorded = recorded();
    let said = |arguments: &[&str]| {
        let output = recorded.nixdag("generate").args(arguments).output().unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let (_, usual) = said(&[]);
    assert!(usual.contains("warning: this is a preview") && !usual.contains("detail: "), "{usual}");
    assert_eq!(said(&["--quiet"]), (0, String::new()));
    let (_, verbose) = said(&["-v"]);
    assert!(verbose.contains("detail: 2 derivations, of which 2 are to be built, "), "{verbose}");
    let (code, error) = said(&["-q", "--select", "["]);
    assert!(code == 2 && error.starts_with("error: `--select`"), "{error}");
}

#[test]
fn colour_is_as_the_flag_says_and_none_goes_into_a_pipe() {
    let recorded = recorded();
    let output = |arguments: &[&str]| {
        let output = recorded.nixdag("plan").args(arguments).env_remove("NO_COLOR").output().unwrap();
        shown(&output)
    };
    assert!(!output(&[]).contains('\x1b') && !output(&["--color", "never"]).contains('\x1b'));
    assert!(output(&["--color", "always"]).contains("\x1b[1mJOB"), "{}", output(&["--color", "always"]));
    let error = output(&["--color=always", "--select", "["]);
    assert!(error.contains("\x1b[1;31merror:\x1b[0m `--select`"), "{error}");
    // Those of clap, too.
    assert!(output(&["--color=always", "--frobnicate"]).contains("\x1b["));
    assert!(!output(&["--frobnicate"]).contains('\x1b'));
}

/// What a terminal of this width shows.
fn on_a_terminal(recorded: &Recorded, width: usize, environment: &str) -> String {
    let program = env!("CARGO_BIN_EXE_nixdag");
    let line = format!("{environment} COLUMNS={width} {program} plan --roots roots.json --drv-dir . 2> /dev/null");
    let output =
        Command::new("script").args(["-qec", &line, "/dev/null"]).current_dir(recorded.dir()).output().unwrap();
    assert!(output.status.success(), "{}", shown(&output));
    String::from_utf8(output.stdout).unwrap().replace('\r', "")
}

#[test]
fn tables_fit_the_terminal() {
    let name = "a-package-with-a-name-longer-than-a-column";
    let recorded = Recorded::of(&[("a", &[]), (name, &["a"])]);
    for width in [60, 100, 200] {
        let screen = on_a_terminal(&recorded, width, "NO_COLOR=1 TERM=xterm");
        let widest = screen.lines().map(|line| line.chars().count()).max().unwrap();
        assert!(widest <= width, "{widest} of {width}:\n{screen}");
        assert!(screen.contains("JOB  ") && !screen.contains('\x1b'), "{screen}");
        assert_eq!(screen.contains('…'), width < 200, "{screen}");
        // Durations are written in one way on a screen.
        assert!(!(screen.contains("2m45s") && screen.contains(" min ")), "{screen}");
        // Figures and the names of rows are whole, in words where these fit.
        let single = screen.lines().find(|line| line.starts_with("one job  ")).unwrap();
        let (short, long) = (single.contains("2m45s"), single.contains("2 min 45 s"));
        assert_eq!((short, long), (width < 80, width >= 80), "{screen}");
        assert!(screen.contains("\njob per derivation  "), "{screen}");
    }
    // A pipe is as wide as somebody says, and else as wide as need be.
    let piped = |columns: &str| {
        let output = recorded.nixdag("plan").env("COLUMNS", columns).assert().success().get_output().stdout.clone();
        String::from_utf8(output).unwrap().lines().map(|line| line.chars().count()).max().unwrap()
    };
    assert!(piped("60") <= 60 && piped("") > 100 && piped("x") > 100);
    assert!(on_a_terminal(&recorded, 100, "NO_COLOR= TERM=xterm").contains("\x1b[1m"));
    assert!(!on_a_terminal(&recorded, 100, "NO_COLOR= TERM=dumb").contains('\x1b'));
}

#[test]
fn who_asks_for_json_in_another_way_is_told_the_right_one() {
    for (command, tip) in [("explain", true), ("report", true), ("history", true), ("build", false)] {
        let refused = nixdag().args([command, "--json", "x"]).assert().code(2).stdout("");
        let said = String::from_utf8(refused.get_output().stderr.clone()).unwrap();
        assert!(!said.contains("'-- --json'"), "{said}");
        assert_eq!(said.contains("`--format json`"), tip, "{said}");
    }
}

#[test]
fn quiet_and_verbose_may_be_said_more_than_once() {
    let recorded = recorded();
    recorded.nixdag("plan").args(["-q", "-q"]).assert().success().stderr("");
    recorded.nixdag("plan").arg("-vvv").assert().success().stderr(predicate::str::is_empty().not());
    recorded.nixdag("plan").args(["-q", "-v"]).assert().code(2);
}

#[test]
fn a_settings_file_is_checked_as_one() {
    let recorded = recorded();
    let check = |text: &str| nixdag().arg("check").arg(recorded.file("nixdag.yml", text)).assert();
    check("max_jobs: 3\n").success().stderr(predicate::str::contains("settings that nixdag can read"));
    check("max_jbos: 3\n").code(1).stderr(predicate::str::contains("nixdag.yml:1:1: unknown key `max_jbos`"));
}

#[test]
fn a_flag_of_another_command_is_said_to_be_one() {
    for (arguments, tip) in [
        (
            &["init", "--select", "x"][..],
            "`--select` is a flag of `nixdag plan`, `nixdag graph`, `nixdag explain`, `nixdag generate`; in nixdag.yml it is `select`",
        ),
        (&["init", "--results", "x"], "`--results` is a flag of `nixdag build`"),
        // A flag that resembles another one is not a slip where other commands have it.
        (&["plan", "--cache", "x"], "`--cache` is a flag of `nixdag generate`"),
        (&["plan", "--selct", "x"], "a similar argument exists: '--select'"),
        (&["plan", "--no-such-flag"], ""),
    ] {
        let refused = nixdag().args(arguments).assert().code(2).stdout("");
        let said = String::from_utf8(refused.get_output().stderr.clone()).unwrap();
        assert!(said.contains(tip) && !said.contains("as a value"), "{said}");
        assert_eq!(said.contains("tip:"), !tip.is_empty(), "{said}");
    }
}

#[test]
fn json_is_as_people_type_it() {
    let recorded = recorded();
    assert_eq!(recorded.said("plan", &["--json"]), recorded.said("plan", &["--format", "json"]));
    recorded.nixdag("plan").args(["--json", "--format", "table"]).assert().code(2);
}

#[test]
fn generate_says_last_what_it_wrote_and_what_is_next() {
    let recorded = recorded();
    let file = recorded.dir().join("config.yml");
    let run = |arguments: &[&str]| {
        let done = recorded.nixdag("generate").args(arguments).arg("-o").arg(&file).assert().success().stdout("");
        let text = String::from_utf8(done.get_output().stderr.clone()).unwrap();
        text.lines().last().unwrap().to_owned()
    };
    let name = file.display();
    let wrote = format!("wrote `{name}`: 2 jobs for CircleCI");
    assert_eq!(
        run(&["--bundle", "bundle"]),
        format!("{wrote}; next, bring the bundle to `/tmp/nixdag/bundle`, where jobs look for it")
    );
    assert_eq!(run(&[]), format!("{wrote}; next, `--bundle DIR` for one that runs"));
    assert_eq!(run(&["--check"]), format!("`{name}` is up to date: 2 jobs"));
    let own = "version: 2.1\njobs: { lint: { docker: [{ image: debian }], steps: [checkout] } }\nworkflows: { own: { jobs: [lint] } }\n";
    recorded.file("own.yml", own);
    let merged = run(&["--merge", "own.yml"]);
    assert!(merged.starts_with(&format!("{wrote} beside those of `own.yml`; next")), "{merged}");
}

#[test]
fn every_file_that_is_written_is_named() {
    let recorded = recorded();
    let file = recorded.dir().join("out.json");
    for command in ["plan", "graph"] {
        let done = recorded.nixdag(command).arg("-o").arg(&file).assert().success().stdout("");
        let said = String::from_utf8(done.get_output().stderr.clone()).unwrap();
        assert!(said.lines().last().unwrap().starts_with(&format!("wrote `{}`: 2 ", file.display())), "{said}");
        recorded.nixdag(command).args(["-q", "-o"]).arg(&file).assert().success().stderr("");
    }
}

#[test]
fn several_systems_in_one_are_refused_with_what_to_write() {
    let recorded = recorded();
    let refused = recorded.nixdag("plan").args(["--system", "x86_64-linux,aarch64-linux"]).assert().code(2);
    refused.stderr(predicate::str::contains("repeat `--system` for more"));
}

#[test]
fn a_pictures_format_is_that_of_its_file() {
    let recorded = recorded();
    let draw = |name: &str| {
        let file = recorded.dir().join(name);
        recorded.nixdag("graph").arg("-o").arg(&file).assert().success();
        fs::read_to_string(file).unwrap()
    };
    assert!(draw("plan.mmd").starts_with("flowchart") && draw("plan.dot").starts_with("digraph"));
    assert!(draw("plan.json").starts_with('{') && draw("plan.svg").starts_with("<svg "));
    let markdown = draw("plan.md");
    assert!(markdown.starts_with("```mermaid\nflowchart") && markdown.ends_with("\n```\n"), "{markdown}");
    let refused = recorded.nixdag("graph").args(["-o", "plan.png"]).assert().code(2).stdout("");
    refused.stderr(predicate::str::contains("`nixdag graph | dot -Tpng`"));
}

#[test]
fn a_results_format_is_that_of_its_file() {
    let recorded = recorded();
    let write = |command: &str, name: &str, arguments: &[&str]| {
        let file = recorded.dir().join(name);
        recorded.nixdag(command).args(arguments).arg("-o").arg(&file).assert().success();
        fs::read_to_string(file).unwrap()
    };
    assert!(write("plan", "plan.html", &[]).starts_with("<!doctype html>"));
    assert!(write("plan", "plan.json", &[]).starts_with('{') && write("plan", "plan.txt", &[]).starts_with("JOB"));
    assert!(write("plan", "plan.other", &["--json"]).starts_with('{'));
    assert!(write("explain", "b.json", &["b"]).starts_with('{'));
    for (command, name, arguments, said) in [
        ("plan", "plan.svg", &[][..], "`nixdag graph -o plan.svg` draws the plan"),
        ("plan", "plan.html", &["--json"], "`--format json` does not fit the file"),
        ("graph", "x.xyz", &[], "does not say its format: end it with `.dot`"),
        ("graph", "x", &[], "does not say its format"),
        ("graph", "x.svg", &["--format", "dot"], "`--format dot` does not fit the file `x.svg`"),
        ("explain", "b.html", &["b"], "end it with `.txt`, `.json`"),
    ] {
        let refused = recorded.nixdag(command).args(arguments).args(["-o", name]).assert().code(2).stdout("");
        refused.stderr(predicate::str::contains(said));
    }
    for command in ["report", "history"] {
        let refused = nixdag().args([command, "records", "-o", "x.svg"]).assert().code(2);
        refused.stderr(predicate::str::contains("does not say its format: end it with `.txt`"));
    }
}

#[test]
fn a_second_settings_file_is_named() {
    let recorded = recorded();
    recorded.file("nixdag.yml", "max_jobs: 3\n");
    fs::create_dir(recorded.dir().join(".circleci")).unwrap();
    recorded.file(".circleci/nixdag.yml", "max_jobs: 4\n");
    let said = predicate::str::contains("`.circleci/nixdag.yml` is not read, since there is `nixdag.yml`");
    recorded.nixdag("plan").assert().success().stderr(said);
    recorded.file("nixdag.yaml", "max_jobs: 5\n");
    let said = predicate::str::contains("`nixdag.yaml` is not read, since there is `nixdag.yml`");
    recorded.nixdag("plan").assert().success().stderr(said);
}

#[test]
fn a_configuration_of_anybodys_is_checked() {
    let recorded = recorded();
    let check = |name: &str, text: &str| nixdag().arg("check").arg(recorded.file(name, text)).assert();
    let job = "jobs: { a: { docker: [{ image: debian }], steps: [checkout] } }\n";
    let fine = format!("version: 2.1\n{job}workflows: {{ w: {{ jobs: [a] }} }}\n");
    check("config.yml", &fine).success().stdout("").stderr(predicate::str::contains("breaks no rule of CircleCI"));
    let wrong = check("config.yml", &fine.replace("[a]", "[b]")).code(1).stdout("");
    wrong.stderr(predicate::str::contains("CircleCI would refuse").and(predicate::str::contains("`b`")));
    check(".gitlab-ci.yml", "a: { script: [make] }\n").stderr(predicate::str::contains("GitLab"));
    for name in [".gitlab-ci.yml", "config.yml"] {
        let deep = format!("a: {}1{}", "{a: ".repeat(50_000), "}".repeat(50_000));
        check(name, &deep).code(1).stderr(predicate::str::contains("50000 brackets are open at once"));
    }
    check("config.yml", "a: [").code(1).stderr(predicate::str::contains("not YAML"));
    let broken = [
        ("", "it is empty"),
        ("version: 2.1\njobs:\n\ta: {}\n", "line 3, column 2: tabs disallowed"),
        ("version: 2.1\njobs: *x\n", "line 2, column 7: while parsing node, found unknown anchor (an alias"),
        ("version: 2.1\njobs: {}\nworkflows: [a]\n", "  `workflows` is not a mapping"),
        ("version: 2.1\njobs: a\n", "  `jobs` is not a mapping"),
    ];
    for (text, words) in broken {
        check("config.yml", text).code(1).stderr(predicate::str::contains(words));
    }
    // The other commands that read one.
    for command in ["generate", "doctor"] {
        fs::create_dir_all(recorded.dir().join(".circleci")).unwrap();
        recorded.file(".circleci/config.yml", broken[1].0);
        let mut run = if command == "generate" { recorded.nixdag(command) } else { nixdag() };
        run.current_dir(recorded.dir());
        match command {
            "generate" => run.args(["--merge", ".circleci/config.yml"]),
            _ => run.args([command, "."]),
        };
        let output = run.output().unwrap();
        let said = shown(&output);
        assert!(said.contains("line 3, column 2: tabs disallowed"), "{command}: {said}");
    }
    nixdag().args(["check", "--provider", "github"]).arg(recorded.file("x", "")).assert().code(1);
    // Of what is no CI's file nothing can be said.
    for (name, text) in [("flake.nix", "{ outputs = _: { }; }\n"), ("run", "#!/bin/sh\nmake\n")] {
        check(name, text).code(2).stderr(predicate::str::contains("does not look like a CI's configuration"));
    }
    fs::write(recorded.dir().join("program"), [0xff, 0, 1]).unwrap();
    nixdag().arg("check").arg(recorded.dir().join("program")).assert().code(2);
    let waves = recorded.nixdag("generate").args(["--provider", "github"]).output().unwrap();
    let waves = check("waves.json", std::str::from_utf8(&waves.stdout).unwrap()).code(2);
    waves.stderr(predicate::str::contains("writes for GitHub's called workflow"));
    let mode = recorded.nixdag("plan").args(["--provider", "gitlab", "--handoff", "workspace"]).assert().code(2);
    mode.stderr(predicate::str::contains("on GitLab, jobs cannot hand off through `workspace`"));
    let merge = recorded.nixdag("generate").args(["--provider", "github", "--merge", "x"]).assert();
    merge.stderr(predicate::str::contains("`merge` is not supported on GitHub"));
    fs::create_dir_all(recorded.dir().join(".github/workflows")).unwrap();
    let workflow = check(".github/workflows/ci.yml", "on: push\njobs: { a: { runs-on: x, steps: [] } }\n").code(1);
    workflow.stderr(predicate::str::contains("GitHub would refuse").and(predicate::str::contains("`a` has no steps")));
    // A file of any other name is known by its keys.
    for (text, words) in [
        ("name: ci\non: push\njobs:\n  a:\n    runs-on: x\n", "GitHub would refuse"),
        ("\"on\": push\njobs: {}\n", "it has no `jobs`"),
        ("stages: [build]\na: { stage: build, script: [make] }\n", "breaks no rule of GitLab"),
        (&fine, "breaks no rule of CircleCI"),
    ] {
        check("github.yml", text).stderr(predicate::str::contains(words));
    }
    // Of a path only the file's own name and CI folders count.
    fs::create_dir_all(recorded.dir().join("gitlab/.circleci")).unwrap();
    check("gitlab/.circleci/config.yml", &fine).stderr(predicate::str::contains("CircleCI"));
}

#[test]
fn what_a_pipeline_includes_is_checked_where_it_is_at_hand() {
    let recorded = recorded();
    let check = |text: &str| nixdag().arg("check").arg(recorded.file(".gitlab-ci.yml", text)).assert();
    let says = |words: &str| predicate::str::contains(words.to_owned());
    let component = "include: [{ component: $CI_SERVER_FQDN/acme/nixdag/nixdag@0.1, inputs: { INPUTS } }]\n";
    let with = |inputs: &str, more: &str| check(&format!("{}{more}", component.replace("INPUTS", inputs)));
    with("base: auto, stage: test, allow_ifd: true", "").success().stderr(says("not checked").not());
    with("bas: auto", "").code(1).stderr(says("the component `nixdag` has no input `bas` (did you mean `base`?)"));
    with("allow_ifd: 'yes'", "").code(1).stderr(says("the input `allow_ifd` is a boolean, and is given `yes`"));
    // The component's jobs can be needed, and one's own job is held against its stages.
    with("stage: build", "a: { script: [make], needs: [nixdag-plan] }\n").success();
    with("stage: build", "a: { script: [make], needs: [nixdag-pla] }\n").code(1).stderr(says("which is not a job"));
    with("stage: deply", "").code(1).stderr(says("is in the stage `deply`, which is not defined"));

    recorded.file("part.yml", "include: { local: other.yml }\n.a: { script: [make] }\n");
    recorded.file(
        "other.yml",
        "spec: { inputs: { word: { default: x } } }\n---\nother: { script: ['echo $[[ inputs.word ]]'] }\n",
    );
    let local = "include: [part.yml]\na: { extends: .a, needs: [other] }\n";
    check(local).success().stderr(says("not checked").not());
    check(&local.replace(".a,", ".b,")).code(1).stderr(says("extends `.b`, which is not defined"));
    check(&local.replace("part.yml", "prt.yml"))
        .code(1)
        .stderr(says("it includes `prt.yml`, which the repository does not have"));
    check(&local.replace("part.yml", "../part.yml")).code(1).stderr(says("which the repository does not have"));
    // What is elsewhere may have anything, and is named.
    let elsewhere = "include: { project: a/b, file: c.yml }\na: { extends: .b, stage: c, script: [make] }\n";
    check(elsewhere).success().stderr(says("note: not checked: `a/b`, which it includes"));
    check(&elsewhere.replace("script", "scrip")).code(1).stderr(says("not checked").and(says("key `scrip`")));
    check("a: { script: [!reference [.b, script]] }\n").success();
}

#[test]
fn parts_that_others_provide_are_named_and_nixdags_own_are_checked() {
    let recorded = recorded();
    let config = "version: 2.1\nsetup: true\norbs: { nd: org/nixdag@0.1, node: circleci/node@5 }\nworkflows: { w: { jobs: [nd/setup: { base: auto }] } }\n";
    let check = |text: &str| nixdag().arg("check").arg(recorded.file("config.yml", text)).assert();
    check(config).success().stderr(predicate::str::contains("note: not checked: the orb `node` (`circleci/node@5`)"));
    for (from, to, words) in [
        ("base:", "bas:", "gives the parameter `bas`, which job `nd/setup` does not declare"),
        ("base: auto", "allow_ifd: 'true'", "gives the parameter `allow_ifd` a string in place of type `boolean`"),
        ("nd/setup", "nd/stup", "`nd/stup` is not a job of the orb `org/nixdag@0.1`, which has `setup`"),
    ] {
        check(&config.replace(from, to)).code(1).stderr(predicate::str::contains(words));
    }
}

#[test]
fn a_configuration_that_sets_up_or_repeats_itself_is_checked_as_what_it_means() {
    let recorded = recorded();
    let check = |text: &str| nixdag().arg("check").arg(recorded.file("config.yml", text)).assert();
    let setup = "version: 2.1\nsetup: true\norbs: { nixdag: org/nixdag@0.1 }\n";
    check(&format!("{setup}workflows:\n  setup:\n    jobs: [nixdag/setup]\n")).success();
    let two = "{ jobs: [nixdag/setup] }";
    check(&format!("{setup}workflows: {{ a: {two}, b: {two} }}\n"))
        .code(1)
        .stderr(predicate::str::contains("one workflow may run, and 2 of these always do"));
    let conditional = "{ when: pipeline.git.tag, jobs: [nixdag/setup] }";
    check(&format!("{setup}workflows: {{ a: {two}, b: {conditional} }}\n")).success();
    // Its workflow `nixdag` has what nixdag's own has to have only where nixdag wrote it.
    let job = "jobs: { t: { <<: *defaults, steps: [checkout] } }\nworkflows: { nixdag: { jobs: [t] } }\n";
    let repeats =
        format!("version: 2.1\nreferences: {{ defaults: &defaults {{ docker: [{{ image: debian }}] }} }}\n{job}");
    check(&repeats).success();
    let unused = repeats.replace("&defaults ", "").replace("<<: *defaults", "docker: [{ image: debian }]");
    check(&unused).code(1).stderr(predicate::str::contains("`references` is not a key"));
    check(&repeats.replace("checkout", "chekcout"))
        .code(1)
        .stderr(predicate::str::contains("step `chekcout`").and(predicate::str::contains("<<").not()));
}

/// How nixdag ends in a folder with these files, and what it says on standard error.
fn said_in(files: &[(&str, &str)], arguments: &[&str]) -> (Option<i32>, String) {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(dir.path().join(name), text).unwrap();
    }
    let output = crate::support::nixdag().current_dir(dir.path()).args(arguments).output().unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn messages_say_what_is_at_fault() {
    let (code, said) = said_in(&[], &["doctor", "."]);
    assert!(code == Some(1) && said.contains("there is nothing to examine in `.`"), "{said}");
    let (_, said) = said_in(&[("nixdag.yml", "")], &["doctor", "."]);
    assert!(said.contains("so only nixdag.yml is examined") && said.contains("give its flags behind `--`"), "{said}");

    let config = "version: 2.1\njobs: { lint: { docker: [{ image: debian }], steps: [checkout] } }\nworkflows: { w: { jobs: [lnt] } }\n";
    let (_, said) = said_in(&[("config.yml", config)], &["check", "config.yml"]);
    assert!(said.contains("workflow `w` invokes the job `lnt`, which is not defined (did you mean `lint`?)"), "{said}");

    let (code, said) = said_in(&[("flake.nix", "")], &["plan", ".", "--image", "foo=bar:1"]);
    assert!(code == Some(2) && said.contains("`foo` is neither an executor nor a system"), "{said}");
}
