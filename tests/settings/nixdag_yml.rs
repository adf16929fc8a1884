//! `nixdag.yml`: where it is found, what it says against flags, the message for each mistake, and files that mean harm.

use std::fs;

use crate::support::nixdag;
use crate::support::recorded::{Recorded, ids};
use predicates::prelude::*;
use serde_json::Value;

/// A recorded evaluation of two derivations without inputs, in a folder of its own.
fn a_and_b() -> Recorded {
    Recorded::of(&[("a", &[]), ("b", &[])])
}

/// Ids of the jobs.
fn jobs(project: &Recorded, arguments: &[&str]) -> Vec<String> {
    ids(&project.plan(arguments)["jobs"]).into_iter().map(str::to_owned).collect()
}

/// Planning with this file fails with exit code 1 and a message with these words.
#[track_caller]
fn refused(text: &str, words: &[&str]) {
    a_and_b().settings(text).fails(words);
}

#[test]
fn the_file_stands_in_the_folder_or_in_dot_circleci_or_where_the_flag_says() {
    let one = "select: [\"*.*.a\"]\n";
    let two = "select: [\"*.*.b\"]\n";
    let project = a_and_b();
    assert_eq!(jobs(&project, &[]), ["a", "b"]);
    project.file(".circleci/nixdag.yml", one);
    assert_eq!(jobs(&project, &[]), ["a"]);
    project.file("nixdag.yml", two);
    assert_eq!(jobs(&project, &[]), ["b"]);
    project.file("elsewhere/other.yml", one);
    assert_eq!(jobs(&project, &["--settings", "elsewhere/other.yml"]), ["a"]);
    let missing = project.nixdag("plan").args(["--settings", "nowhere.yml"]).assert().code(1);
    missing.stderr(predicate::str::contains("cannot read the settings `nowhere.yml`"));
    for nothing in ["", "# nothing\n", "---\n", "{}"] {
        assert_eq!(jobs(&a_and_b().settings(nothing), &[]), ["a", "b"]);
    }
}

#[test]
fn flags_win_over_the_file() {
    let project = a_and_b().settings("select: [\"*.*.a\"]\nconcurrency: 1\n");
    assert_eq!(jobs(&project, &[]), ["a"]);
    assert_eq!(jobs(&project, &["--select", "*.*.b"]), ["b"]);
    let wall = |arguments: &[&str]| project.plan(arguments)["estimates"]["plan"]["makespan_seconds"].as_u64().unwrap();
    let both = ["--select", "*.*.*"];
    assert!(wall(&both) > wall(&[&both[..], &["--concurrency", "2"]].concat()));
    // The default of a flag, given: that is said, too.
    assert_eq!(
        wall(&[&both[..], &["--concurrency", "80"]].concat()),
        wall(&[&both[..], &["--concurrency", "2"]].concat())
    );

    let project = a_and_b().settings("exclude: [\"*.*.a\"]\n");
    assert_eq!(jobs(&project, &[]), ["b"]);
    assert_eq!(jobs(&project, &["--exclude", "*.*.b"]), ["a"]);
}

#[test]
fn flags_change_the_machines_that_jobs_run_on() {
    let project = a_and_b();
    let flags = ["--resource-class", "xlarge", "--image", "x86_64-linux=me/nix:1"];
    let plan = project.plan(&flags);
    let job = &plan["jobs"][0];
    assert_eq!(
        (&job["executor"], &job["image"], &job["resource_class"]),
        (&"docker".into(), &"me/nix:1".into(), &"xlarge".into())
    );
    let config: Value = serde_yaml::from_str(&project.said("generate", &flags)).unwrap();
    let executor = &config["executors"]["docker"];
    assert_eq!(executor["resource_class"], "xlarge");
    assert_eq!(executor["docker"][0]["image"], "me/nix:1");
    let unknown = project.nixdag("plan").args(["--resource-class", "docker=huge"]).assert().success();
    unknown.stderr(predicate::str::contains("warning: resource class `huge` is not one that nixdag knows"));
}

#[test]
fn what_generate_is_told_is_the_same_from_flags_and_file() {
    let plain = a_and_b();
    let said = |text: &str, arguments: &[&str]| {
        let project = a_and_b().settings(text);
        project.said("generate", &[&["--bundle", "bundle"], arguments].concat())
    };
    let flags = |arguments: &[&str]| plain.said("generate", &[&["--bundle", "bundle"], arguments].concat());
    let url = "s3://bucket?trusted=1&region=$(id)";
    assert_eq!(said("cache: s3://bucket?trusted=1&region=$(id)", &[]), flags(&["--cache", url]));
    assert_eq!(said("handoff: cache", &["--cache", url]), flags(&["--cache", url]));
    assert_eq!(said("handoff: cache\ncache: x", &["--handoff", "workspace"]), flags(&[]));
    assert_eq!(said("handoff: workspace", &["--cache", url]), flags(&["--cache", url]));
    let folder = "file:///x?trusted=1";
    assert_eq!(said(&format!("cache: {folder}"), &["--handoff", "cache"]), flags(&["--cache", folder]));
    assert_eq!(said("reuse: off", &[]), flags(&["--reuse", "off"]));
    assert_eq!(said("reuse: off", &["--reuse", "branch"]), flags(&[]));
    assert_eq!(said("default_branch: main", &[]), flags(&["--default-branch", "main"]));
    assert_eq!(said("default_branch: x", &["--default-branch", "main"]), flags(&["--default-branch", "main"]));
    assert_ne!(flags(&[]), flags(&["--reuse", "off"]));
    for (text, words) in [
        ("handoff: cache", "`handoff: cache` in nixdag.yml needs `cache`"),
        ("handoff: workspace\ncache: x", "`cache` in nixdag.yml requires `handoff: cache`"),
        ("default_branch: a..b", "cannot be the default branch"),
    ] {
        let failed = a_and_b().settings(text).nixdag("generate").assert().code(1).stdout("");
        failed.stderr(predicate::str::contains(words));
    }
}

#[test]
fn what_generate_refuses_about_the_hand_off_the_other_planning_commands_refuse_too() {
    for (text, words) in [
        ("handoff: cache", "`handoff: cache` in nixdag.yml needs `cache`"),
        ("handoff: workspace\ncache: s3://x", "`cache` in nixdag.yml requires `handoff: cache`"),
        ("cache: cachix:x", "jobs fetch from a store"),
    ] {
        for command in ["generate", "plan", "graph"] {
            let failed = a_and_b().settings(text).nixdag(command).assert().code(1).stdout("");
            failed.stderr(predicate::str::contains(words));
        }
    }
    // What a hand-off through a cache costs can be asked before there is one.
    a_and_b().nixdag("plan").args(["--handoff", "cache"]).assert().success();
}

#[test]
fn granularity_in_the_file_decides_and_the_flag_wins_over_it() {
    let project = a_and_b();
    project.file("nixdag.yml", "granularity: single\n");
    assert_eq!(jobs(&project, &[]).len(), 1);
    assert_eq!(jobs(&project, &["--granularity", "target"]), ["a", "b"]);
}

#[test]
fn unknown_keys_name_the_nearest_one_and_the_place() {
    refused("selct: [a]", &["nixdag.yml:1:1: ", "unknown key `selct` (did you mean `select`?)"]);
    let here = a_and_b().settings("selct: [a]");
    let mut plan = nixdag();
    let failed = plan.current_dir(here.dir()).args(["plan", "."]).assert().code(1);
    failed.stderr(predicate::str::starts_with("error: nixdag.yml:1:1: unknown key"));
    refused("reuse: off\nzzzzzz: 1", &["unknown key `zzzzzz` (known: `select`, `exclude`", "nixdag.yml:2:1: "]);
    refused("final:\n  - name: x\n    runs: y", &["nixdag.yml:3:5: ", "unknown key `runs` (did you mean `run`?)"]);
    refused("reuse: off\nreuse: off", &["nixdag.yml:2:1: ", "duplicate key `reuse`"]);
    refused("<<: {reuse: off}", &["unknown key `<<`"]);
    for (text, place) in [
        ("timeout: 5m", "an entry of `rules`"),
        ("retries: 2", "an entry of `rules`"),
        ("context: deploy", "an entry of `rules`"),
        ("docker: debian", "a machine of `executors`"),
        ("run: make", "an entry of `final`"),
        ("start_up: 5", "`costs`"),
        ("waves: 5", "`limits`"),
    ] {
        let key = text.split(':').next().unwrap();
        refused(text, &[&format!("nixdag.yml:1:1: `{key}` is not a key of the whole file: it belongs in {place}")]);
    }
    // What is a flag alone says so wherever somebody writes it.
    for key in ["impure", "all_systems", "nix_url"] {
        let flag = format!("only the flag `--{}`", key.replace('_', "-"));
        refused(&format!("{key}: true"), &[&format!("nixdag.yml:1:1: `{key}` is not a key of nixdag.yml, {flag}")]);
    }
    refused("? {a: b}\n: c", &["a mapping, expected one of the keys `select`"]);
}

#[test]
fn wrong_types_and_values_say_what_was_expected_and_where() {
    refused("3", &["expected a mapping of settings"]);
    refused("select: a", &["nixdag.yml:1:9: ", "select: a string, expected a list of attribute patterns"]);
    refused("exclude: [[a]]", &["expected a pattern of attributes such as `packages.*.*`"]);
    refused("select: ['packages.{']", &["character 10: `{` is never closed", "nixdag.yml:1:10: "]);
    refused("concurrency: 0", &["nixdag.yml:1:14: ", "expected a whole number from 1 on"]);
    refused("concurrency: 99999999999", &["expected a whole number from 1 on"]);
    refused("concurrency: 1.5", &["nixdag.yml:1:14: ", "concurrency: `1.5`, expected a whole number from 1 on"]);
    refused("limits: {jobs: -1}", &["limits.jobs: `-1`, expected a whole number from 1 on"]);
    refused("costs: {start_up: -1}", &["costs.start_up: `-1` is not a time in seconds from 0 to a week"]);
    refused("costs: {credit: -2}", &["costs.credit: `-2` is not a price from 0 to 1e6"]);
    refused("concurrency: many", &["a string, expected a whole number from 1 on"]);
    refused("handoff: workspce", &["nixdag.yml:1:10: ", "unknown value `workspce` (did you mean `workspace`?)"]);
    // What only a provider's machines and jobs refuse has its place, too.
    refused(
        "reuse: off\nhandoff: packages",
        &["nixdag.yml:2:1: `handoff`: on CircleCI, jobs cannot hand off through `packages`"],
    );
    refused("executors: {docker: {tags: [a]}}", &["nixdag.yml:1:1: `executors`: executor `docker`: `tags` name"]);
    refused("reuse: sometimes", &["unknown value `sometimes` (known: `branch`, `signed`, `off`)"]);
    refused("systems: x86_64-linux", &["`x86_64-linux`, expected a list of systems, or `all`"]);
    refused("systems: []", &["the list of systems is empty"]);
    refused("default_branch: [main]", &["expected a string"]);
    refused("final: {}", &["nixdag.yml:1:8: ", "expected a list of final jobs"]);
    refused("final: [x]", &["expected a mapping with `name` and `run` or `build`"]);
    refused("final:\n- {name: a, run: x, checkout: 1}", &["expected a boolean"]);
    refused(
        "final:\n- {name: a, run: x, environment: {X: 1.50}}",
        &["environment.X", "`1.5`, expected a string, in quotes", "nixdag.yml:2:"],
    );
}

#[test]
fn final_jobs_that_make_no_sense_are_refused_by_name() {
    refused("final:\n- run: x", &["nixdag.yml:2:3: final job 1 has no `name`"]);
    refused("final:\n- {name: a}", &["final job `a`: it has neither `run` (a command) nor `build`"]);
    refused(
        "final:\n- {name: a, run: x, resource_group: $X}",
        &["final job `a`: `$X` cannot be the name of a resource group"],
    );
    refused("final:\n- {name: a, build: y, resource_group: x}", &["`resource_group` belongs to `run`"]);
    refused("final:\n- {name: a, run: x, build: y}", &["final job `a`: it has both `run` and `build`"]);
    refused("final:\n- {name: a, run: ' '}", &["its command is empty"]);
    refused("final:\n- {name: a, run: \"x\\0\"}", &["its command holds a NUL"]);
    refused("final:\n- {name: a, build: y, restore: [x]}", &["`restore` belongs to `run`"]);
    refused("final:\n- {name: a, build: []}", &["the list is empty, expected a pattern of attributes"]);
    refused("final:\n- {name: GATE, run: x}", &["it cannot be named `GATE`"]);
    refused("final:\n- {name: '', run: x}", &["its name is empty"]);
    refused("final:\n- {name: \"a\\e[31m\", run: x}", &["control characters", "a\\u{1b}[31m"]);
    refused("final:\n- {name: a, run: x}\n- {name: A, run: x}", &["nixdag.yml:3:3: two final jobs have the name `A`"]);
    refused("final:\n- {name: a, run: x, environment: {A-B: c}}", &["`A-B` cannot be a variable"]);
    refused("final:\n- {name: a, run: x, environment: {NIXDAG_A: c}}", &["`NIXDAG_A` begins with `NIXDAG_`"]);
    refused("final:\n- {name: a, run: x, executor: dokcer}", &["no executor `dokcer` (did you mean `docker`?)"]);
}

#[test]
fn what_planning_finds_wrong_with_the_file_has_its_place() {
    for (text, words) in [
        ("final:\n- {name: a, run: x, executor: dokcer}", "nixdag.yml:2:3: final job `a`: no executor `dokcer`"),
        ("final:\n- {name: a, run: x, after: ['*.*.zz']}", "nixdag.yml:2:3: final job `a` comes after `*.*.zz`"),
        ("max_jobs: 9\nfinal: [{name: a, run: x, restore: ['*.*.zz']}]", "nixdag.yml:2:9: final job `a` wants"),
    ] {
        refused(text, &[words]);
    }
    refused(
        "size_limits:\n  '*.*.a':\n    - 5MB\n    - 6x",
        &["nixdag.yml:4:7: size_limits.*.*.a[1]: `6x`, expected a number"],
    );
    for (text, words) in [
        ("size_limits: {'*.*.zz': 5MB}", "warning: nixdag.yml:1:15: `size_limits`: `*.*.zz` is not a target"),
        (
            "size_limits:\n  unknown: fail\n  '*.*.a': [5MB, 1%]\n  '*.*.zz': 5MB",
            "warning: nixdag.yml:4:3: `size_limits`: `*.*.zz` is not a target",
        ),
        (
            "allow_failure:\n- '*.*.a'\n- '*.*.zz'",
            "warning: nixdag.yml:3:3: `allow_failure` allows nothing to fail by `*.*.zz`",
        ),
        (
            "systems: [x86_64-linux, x86_64-linx]",
            "warning: nixdag.yml:1:25: `x86_64-linx` is not a usual system (did you mean `x86_64-linux`?)",
        ),
    ] {
        let project = a_and_b().settings(text);
        project.nixdag("plan").assert().success().stderr(predicate::str::contains(words));
    }
}

#[test]
fn files_that_mean_harm_end_in_a_message() {
    let bomb: String =
        (1..40).map(|n| format!("  - &l{n} [*l{0}, *l{0}, *l{0}, *l{0}, *l{0}, *l{0}, *l{0}]\n", n - 1)).collect();
    let hostile = [
        format!("select:\n  - &l0 [x]\n{bomb}"),
        format!("final: &a\n  - name: x\n    run: y\n    environment: &b {{ A: *b }}\n{bomb}"),
        "select: &a [*a]".to_owned(),
        format!("select: {}", "[".repeat(100_000)),
        format!("select: {}{}", "[".repeat(250), "]".repeat(250)),
        format!("select:\n  {}", "- ".repeat(60_000)),
        format!("final:\n  - {}", "? ".repeat(60_000)),
        format!("select: {}", "{a: ".repeat(30_000)),
        "select: [packages.".to_owned() + &"{a,b}".repeat(2_000) + "]",
        "a".repeat(1_000_000),
        "\u{feff}\u{0}".to_owned(),
        "\t".to_owned(),
        "select: !!binary x".to_owned(),
        "--- {}\n--- {}".to_owned(),
        "select: \"\\uD800\"".to_owned(),
        "%YAML 9.9\n---\n{}".to_owned(),
    ];
    for text in &hostile {
        let project = a_and_b().settings(text);
        let start: String = text.chars().take(60).collect();
        let output = project.nixdag("plan").output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{start:?}: {said}");
        let is_named = said.contains("cannot use the settings `nixdag.yml`") || said.starts_with("error: nixdag.yml:");
        assert!(is_named && said.len() < 2000, "{start:?}: {said}");
    }
    let project = a_and_b();
    fs::write(project.dir().join("nixdag.yml"), b"select: [\xff]").unwrap();
    project.nixdag("plan").assert().code(1).stderr(predicate::str::contains("it is not UTF-8"));
}

/// What a branch writes into the file reaches no host, no file and no store that nobody else has named.
#[test]
fn the_file_alone_has_nothing_logged_in_to_read_or_made_elsewhere() {
    let local = "is a store on the machine itself, which only a flag can name";
    for text in ["caches: [/tmp/store]", "caches: [\"local?root=/tmp/x\"]", "caches: [{url: daemon}]"] {
        a_and_b().settings(text).nixdag("plan").assert().code(1).stderr(predicate::str::contains(local));
    }
    let generate = |text: &str, more: &[&str]| {
        let project = a_and_b().settings(text);
        project.file(".git/config", "url = https://x:s3cret@h\n");
        let key = ["--signing-public-key", "k-1:sZ4UzkmMf2+R20SqTtFYA7HkJBHvYDuc0AVk82fO5Q0="];
        let output = project.nixdag("generate").args(["--bundle", "bundle"]).args(key).args(more).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let bucket = "s3://b?endpoint=evil.example.org";
    for key in ["push", "cache", "caches"] {
        let list = if key == "caches" { format!("caches: [\"{bucket}\"]") } else { format!("{key}: {bucket}") };
        let (code, said) = generate(&list, &[]);
        assert_eq!(code, Some(1), "{list}: {said}");
        assert!(said.contains("add `--credential-host evil.example.org`"), "{list}: {said}");
        let (code, said) = generate(&list, &["--credential-host", "evil.example.org"]);
        assert!(code == Some(0) || !said.contains("credential-host"), "{list}: {said}");
    }
    assert_eq!(generate("reuse: off", &["--push", bucket]).0, Some(0));
    let (code, said) = generate("push: local://?root=/tmp/x", &[]);
    assert!(code == Some(1) && said.contains(local), "{said}");
    for (key, path) in [("merge", "/etc/passwd"), ("merge", "../../../etc/passwd"), ("parameters_from", ".git/config")]
    {
        let (code, said) =
            generate(&format!("{key}: {}", if key == "merge" { format!("[{path}]") } else { path.into() }), &[]);
        assert!(code == Some(1) && said.contains("is outside of the repository"), "{path}: {said}");
        assert!(!said.contains("root:") && !said.contains("s3cret"), "{said}");
    }
}

#[test]
fn a_settings_file_that_is_a_link_out_of_the_repository_is_not_read() {
    let project = a_and_b();
    project.file(".git/config", "");
    std::os::unix::fs::symlink("/etc/passwd", project.dir().join("nixdag.yml")).unwrap();
    let failed = project.nixdag("plan").assert().code(1);
    failed
        .stderr(predicate::str::contains("is outside of the repository").and(predicate::str::contains("root:").not()));
}

#[test]
fn a_hand_off_that_no_job_would_take_is_refused() {
    let generate = |more: &[&str]| {
        let output = a_and_b().nixdag("generate").args(["--bundle", "bundle"]).args(more).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, said) = generate(&["--cache", "https://cache.example.org"]);
    assert_eq!(code, Some(1), "{said}");
    for words in ["without a key", "`signing_public_keys`", "`--trusted-public-key`", "`trusted=true`"] {
        assert!(said.contains(words), "`{words}` is missing in: {said}");
    }
    let key = "k-1:sZ4UzkmMf2+R20SqTtFYA7HkJBHvYDuc0AVk82fO5Q0=";
    assert_eq!(generate(&["--cache", "https://cache.example.org", "--signing-public-key", key]).0, Some(0));
    assert_eq!(generate(&["--cache", "https://cache.example.org?trusted=true"]).0, Some(0));
}
