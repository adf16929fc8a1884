//! One thing goes wrong in a job: what failed is named with Nix's reason and begun once, or twice where Nix itself died, and everything
//! else is built once and handed off.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use nixdag::build::class::Class;
use nixdag::build::record::{Outcome, Verdict};

use crate::support::pipeline::{Pipeline, Ran, user_setting, with_each_nix};
use crate::support::{nixdag, with_one_nix};

/// How often a builder has run.
fn begun(pipeline: &Pipeline, name: &str) -> usize {
    pipeline.built().iter().filter(|built| *built == name).count()
}

fn message<'a>(ran: &'a Ran, name: &str) -> &'a str {
    ran.of(name).message.as_deref().unwrap_or_else(|| panic!("`{name}` has no message: {}", ran.text))
}

#[test]
fn an_output_that_nix_cannot_store_ends_nobody_elses_build() {
    with_each_nix("an_output_that_nix_cannot_store_ends_nobody_elses_build", || {
        let good: Vec<String> = (1..7).map(|number| format!("good{number}")).collect();
        let defined: String =
            good.iter().map(|name| format!(r#"{name} = drv "{name}" "sleep 0.2; echo {name} > $out";"#)).collect();
        let pipeline = Pipeline::new(
            &format!(
                r#"rec {{
                  {defined}
                  pipe = drv "pipe" "mkdir $out; mkfifo $out/pipe";
                  slow = drv "slow" "sleep 3; echo > $out";
                  bad = drv "bad" "exit 3";
                  below = drv "below" "echo ${{pipe}} > $out";
                }}"#
            ),
            &[(
                "job",
                &["good1", "good2", "good3", "good4", "good5", "good6", "pipe", "slow", "bad", "below"],
                &[],
                &[],
            )],
        );
        let ran = pipeline.run("job", &["--max-jobs", "4"]).fails(&["has an unsupported type"]);
        for name in &good {
            assert_eq!(ran.of(name).outcome, Outcome::Built, "{}", ran.text);
            assert!(begun(&pipeline, name) <= 2, "{:?}", pipeline.built());
        }
        let ran = ran.has("pipe", Outcome::Failed).has("slow", Outcome::Built).has("bad", Outcome::Failed);
        let ran = ran.has("below", Outcome::DependencyFailed);
        assert_eq!(["pipe", "bad"].map(|name| ran.of(name).class), [Some(Class::Builder); 2], "{}", ran.text);
        assert!(!ran.text.contains("report it to Nix"), "{}", ran.text);
        assert!(message(&ran, "pipe").contains("unsupported type"), "{}", ran.text);
        assert_eq!(begun(&pipeline, "pipe"), 1, "the output is named: {:?}", pipeline.built());
        assert_eq!(begun(&pipeline, "bad"), 1, "Nix had counted it before: {}", ran.text);
        assert!(begun(&pipeline, "slow") <= 2 && begun(&pipeline, "below") == 0);
        assert!(ran.record.as_ref().unwrap().errors.is_empty(), "{}", ran.text);
        assert_eq!(fs::read_dir(pipeline.handed_off("job").join("nar")).unwrap().count(), 7);
    });
}

#[test]
fn a_failure_that_names_an_output_whose_path_nobody_knew_is_that_of_its_derivation() {
    with_each_nix("a_failure_that_names_an_output_whose_path_nobody_knew_is_that_of_its_derivation", || {
        user_setting("extra-experimental-features = ca-derivations");
        let pipeline = Pipeline::new(
            r#"let ca = { __contentAddressed = true; outputHashMode = "recursive"; outputHashAlgo = "sha256"; }; in {
              pipe = drvWith "pipe" ca "mkdir $out; mkfifo $out/pipe";
              half = drvWith "half" (ca // { outputs = [ "out" "dev" ]; }) "echo > $out";
              slow = drvWith "slow" ca "sleep 2; echo > $out";
            }"#,
            &[("job", &["pipe", "half", "slow"], &[], &[])],
        );
        let ran = pipeline.run("job", &["--max-jobs", "4"]).fails(&["has an unsupported type"]);
        let ran = ran.has("pipe", Outcome::Failed).has("half", Outcome::Failed).has("slow", Outcome::Built);
        assert!(message(&ran, "pipe").contains("unsupported type"), "{}", ran.text);
        assert!(!message(&ran, "half").contains("unsupported type"), "{}", ran.text);
        assert!(["pipe", "half", "slow"].iter().all(|name| begun(&pipeline, name) <= 2), "{:?}", pipeline.built());
    });
}

#[test]
fn a_builder_that_prints_what_nix_would_say_blames_nobody() {
    with_each_nix("a_builder_that_prints_what_nix_would_say_blames_nobody", || {
        let forged = |name: &str, what: &str| {
            let drv = format!("${{builtins.unsafeDiscardStringContext {name}.drvPath}}");
            let quote = r#"'"'"'"#;
            let line = format!("error: builder for {quote}{drv}{quote} {what}");
            format!(r#"echo '@nix {{"action":"msg","level":0,"msg":"{line}"}}' >&2;"#).replace('"', r#"\""#)
        };
        let (good, bad) = (forged("good", "failed with exit code 1"), forged("bad", "failed due to signal 9 (Killed)"));
        let expression = r#"rec {
              good = drv "good" "sleep 4; echo > $out";
              bad = drv "bad" "sleep 2; exit 1";
              evil = drv "evil" "@FORGED@ sleep 1; echo > $out";
              pipe = drv "pipe" "sleep 3; mkfifo $out";
            }"#;
        let expression = expression.replace("@FORGED@", &format!("{good}{bad}"));
        let pipeline = Pipeline::new(&expression, &[("job", &["good", "bad", "evil", "pipe"], &[], &[])]);
        let ran = pipeline.run("job", &["--max-jobs", "4"]).fails(&[]);
        let ran = ran.has("good", Outcome::Built).has("evil", Outcome::Built);
        let ran = ran.has("bad", Outcome::Failed).has("pipe", Outcome::Failed);
        assert_eq!(ran.of("bad").class, Some(Class::Builder), "{}", ran.text);
        assert_eq!((begun(&pipeline, "bad"), begun(&pipeline, "evil")), (1, 1), "{}", ran.text);
    });
}

#[test]
fn a_cache_that_cannot_be_reached_is_not_what_a_failed_build_failed_of() {
    with_each_nix("a_cache_that_cannot_be_reached_is_not_what_a_failed_build_failed_of", || {
        let text = r#"{ bad = drv "bad" "exit 1"; good = drv "good" "echo > $out"; }"#;
        let pipeline = Pipeline::new(text, &[("job", &["bad", "good"], &[], &[])]);
        let nowhere = ["--nix-option", "substituters", "http://127.0.0.1:1"];
        let ran = pipeline.run("job", &nowhere).fails(&[]);
        let ran = ran.has("bad", Outcome::Failed).has("good", Outcome::Built);
        let record = ran.record.as_ref().unwrap();
        assert_eq!(record.errors, [""; 0], "{}", ran.text);
        let junit = fs::read_to_string(pipeline.dir().join("results/job/junit.xml")).unwrap();
        assert!(!junit.contains("<error"), "{junit}");
    });
}

#[test]
fn a_machine_on_which_nix_can_begin_nothing_is_said_to_be_that_of_each_derivation() {
    with_each_nix("a_machine_on_which_nix_can_begin_nothing_is_said_to_be_that_of_each_derivation", || {
        let text = r#"{ one = drv "one" "echo > $out"; two = drv "two" "echo > $out"; }"#;
        let pipeline = Pipeline::new(text, &[("job", &["one", "two"], &[], &[])]);
        let ran = pipeline
            .run("job", &["--nix-option", "build-users-group", "no-such-group"])
            .fails(&["Nix has no users to build as: ", "class: unsupported"]);
        assert!(!ran.text.contains("disabling binary cache"), "{}", ran.text);
        for name in ["one", "two"] {
            assert!(message(&ran, name).contains("group 'no-such-group'"), "{}", ran.text);
        }
        assert!(pipeline.built().is_empty());
    });
}

#[test]
fn a_hook_that_fails_behind_a_build_is_said_though_everything_was_built() {
    with_each_nix("a_hook_that_fails_behind_a_build_is_said_though_everything_was_built", || {
        let text = r#"{ one = drv "one" "echo > $out"; two = drv "two" "echo > $out"; }"#;
        let pipeline = Pipeline::new(text, &[("job", &["one", "two"], &[], &[])]);
        let hook = pipeline.dir().join("hook");
        fs::write(&hook, "#!/bin/sh\nexit 1\n").unwrap();
        fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).unwrap();
        let hook = hook.to_str().unwrap();
        let ran = pipeline.run("job", &["--nix-option", "post-build-hook", hook, "--max-jobs", "1"]).succeeds();
        let ran = ran.has("one", Outcome::Built).has("two", Outcome::Built);
        assert!(ran.text.contains("everything was built, but Nix reported: "), "{}", ran.text);
        assert!(ran.record.unwrap().survived.iter().any(|said| said.contains("hook")));
    });
}

#[test]
fn what_was_killed_with_nothing_beside_it_is_not_tried_again() {
    with_each_nix("what_was_killed_with_nothing_beside_it_is_not_tried_again", || {
        let pipeline = Pipeline::new(
            r#"{
              one = drv "one" "kill -9 $$";
              two = drv "two" "sleep 1; kill -9 $$";
              good = drv "good" "echo > $out";
            }"#,
            &[("job", &["one", "two", "good"], &[], &[])],
        );
        let ran = pipeline.run("job", &["--max-jobs", "1"]).fails(&[]).has("good", Outcome::Built);
        assert_eq!(["one", "two"].map(|name| ran.of(name).class), [Some(Class::Killed); 2], "{}", ran.text);
        assert_eq!(pipeline.built_sorted(), ["good", "one", "two"], "{}", ran.text);
    });
}

#[test]
fn what_waits_for_a_job_that_failed_is_named_and_not_said_to_need_what_failed() {
    with_one_nix("what_waits_for_a_job_that_failed_is_named_and_not_said_to_need_what_failed", || {
        let mut pipeline = Pipeline::new(
            r#"rec {
              libx = drv "libx" "exit 1";
              other = drv "other" "echo > $out";
              good = drv "good" "echo ${other} > $out";
            }"#,
            &[("libs", &["libx", "other"], &[], &[]), ("good", &["good"], &[], &["libs"])],
        );
        pipeline.plan.targets.retain(|target| target.target.to_string().ends_with(".good"));
        pipeline.plan.jobs[1].targets = pipeline.plan.targets.iter().map(|target| target.target.clone()).collect();
        pipeline.sha256 = pipeline.write_bundle("bundle");
        let ran = pipeline.run("libs", &[]).fails(&[
            "libx failed (builder)",
            "these targets depend on this job and will not be built: packages.x86_64-linux.good",
            &format!("nixdag plan '.' >/dev/null && nix-store --realise {}", pipeline.drv("libx")),
        ]);
        assert!(!ran.text.contains("needed by"), "{}", ran.text);
    });
}

#[test]
fn a_failure_that_names_the_output_is_that_of_its_derivation_and_begun_once() {
    with_each_nix("a_failure_that_names_the_output_is_that_of_its_derivation_and_begun_once", || {
        let pipeline = Pipeline::new(
            r#"rec {
              dep = drv "dep" "echo dep > $out";
              heavy = drvWith "heavy" { disallowedReferences = [ dep ]; } "echo the log; echo ${dep} > $out";
              large = drvWith "large" { __structuredAttrs = true; outputChecks.out.maxSize = 10; } ". ./.attrs.sh; head -c 100 /dev/zero > \${outputs[out]}";
              other = drv "other" "sleep 1; echo other > $out";
            }"#,
            &[("job", &["dep", "heavy", "large", "other"], &[], &[])],
        );
        let ran = pipeline.run("job", &[]).fails(&["is not allowed to refer to"]);
        let ran = ran.has("heavy", Outcome::Failed).has("dep", Outcome::Built).has("other", Outcome::Built);
        assert!(message(&ran, "heavy").contains("is not allowed to refer to"), "{}", ran.text);
        assert!(ran.of("heavy").log.as_ref().unwrap().contains("the log"));
        let ran = ran.has("large", Outcome::Failed);
        assert!(ran.record.as_ref().unwrap().errors.is_empty(), "{}", ran.text);
        for name in ["dep", "heavy", "large", "other"] {
            assert_eq!(begun(&pipeline, name), 1, "{name}: {:?}", pipeline.built());
        }
        let junit = fs::read_to_string(pipeline.dir().join("results/job/junit.xml")).unwrap();
        assert!(junit.contains(r#"failures="2" errors="0" skipped="0""#), "{junit}");
    });
}

#[test]
fn what_nix_left_open_is_tried_alone_until_the_one_at_fault_is_found() {
    with_each_nix("what_nix_left_open_is_tried_alone_until_the_one_at_fault_is_found", || {
        // Its builder kills the Nix that waits for it.
        let pipeline = Pipeline::new(
            r#"rec {
              killer = drv "killer" "sleep 1; kill -9 $PPID; sleep 1";
              beside = drv "beside" "sleep 2; echo > $out";
              after = drv "after" "echo ${beside} > $out";
              later = drv "later" "echo > $out";
            }"#,
            &[("job", &["killer", "beside", "after", "later"], &[], &[])],
        );
        let ran = pipeline.run("job", &["--max-jobs", "2"]).fails(&["SIGKILL", "trying each once more, alone"]);
        let ran = ran.has("killer", Outcome::Failed).has("beside", Outcome::Built).has("after", Outcome::Built);
        let ran = ran.has("later", Outcome::Built);
        assert!(message(&ran, "killer").contains("Nix ended twice while this was built"), "{}", ran.text);
        assert_eq!((begun(&pipeline, "killer"), begun(&pipeline, "beside")), (2, 2), "{}", ran.text);
        assert_eq!((begun(&pipeline, "after"), begun(&pipeline, "later")), (1, 1), "{}", ran.text);
    });
}

#[test]
fn only_what_may_go_away_is_tried_again_and_at_most_twice() {
    with_each_nix("only_what_may_go_away_is_tried_again_and_at_most_twice", || {
        let counts = tempfile::TempDir::with_prefix("counts").unwrap();
        let dir = counts.path().display();
        // A fetch of `ok` that runs `script` after it has counted itself, in `$n`.
        let expression = r#"let
              fetch = name: script: drvWith name {
                outputHashMode = "flat"; outputHashAlgo = "sha256";
                outputHash = "dc51b8c96c2d745df3bd5590d990230a482fd247123599548e0632fdbf97fc22";
              } "${count name}; ${script}; echo ok > $out";
              count = name: "echo >> @DIR@/${name}; n=$(wc -l < @DIR@/${name})";
            in rec {
              flaky = fetch "flaky" "if test $n -lt 3; then echo 'curl: (6) Could not resolve host: example.org'; exit 1; fi";
              down = fetch "down" "echo 'curl: (22) The requested URL returned error: 503'; exit 1";
              gone = fetch "gone" "echo 'curl: (22) The requested URL returned error: 404'; exit 1";
              killed = drv "killed" "${count "killed"}; sleep 1; if test $n = 1; then kill -9 $$; fi; echo > $out";
              own = drv "own" "sleep 2; echo 'curl: (6) Could not resolve host: example.org'; exit 1";
              needs = drv "needs" "echo ${flaky} > $out";
            }"#;
        let expression = expression.replace("@DIR@", &dir.to_string());
        let names = ["flaky", "down", "gone", "killed", "own", "needs"];
        let pipeline = Pipeline::new(&expression, &[("job", &names, &[], &[])]);
        let ran = pipeline
            .run("job", &["--max-jobs", "8"])
            .fails(&["trying again (2 of 3)", "packages.x86_64-linux.down failed (network): a download failed"]);
        let ran = ran.has("flaky", Outcome::Built).has("needs", Outcome::Built).has("killed", Outcome::Built);
        let ran = ran.has("down", Outcome::Failed).has("gone", Outcome::Failed).has("own", Outcome::Failed);
        assert_eq!(ran.of("down").class, Some(Class::Network));
        assert_eq!((ran.of("gone").class, ran.of("own").class), (Some(Class::Builder), Some(Class::Builder)));
        assert_eq!(ran.of("flaky").retried, [Class::Network, Class::Network]);
        assert_eq!(ran.of("killed").retried, [Class::Killed]);
        let counts = [("flaky", 3), ("down", 3), ("gone", 1), ("killed", 2), ("own", 1), ("needs", 1)];
        for (name, count) in counts {
            assert_eq!(begun(&pipeline, name), count, "{name}: {}", ran.text);
        }
        let junit = fs::read_to_string(pipeline.dir().join("results/job/junit.xml")).unwrap();
        assert!(junit.contains(r#"<failure type="network""#), "{junit}");
    });
}

#[test]
fn with_no_retries_nothing_is_tried_again() {
    with_one_nix("with_no_retries_nothing_is_tried_again", || {
        let mut pipeline = Pipeline::new(
            r#"{
              down = drvWith "down" {
                outputHashMode = "flat"; outputHashAlgo = "sha256";
                outputHash = "dc51b8c96c2d745df3bd5590d990230a482fd247123599548e0632fdbf97fc22";
              } "echo 'curl: (22) The requested URL returned error: 503'; exit 1";
              killed = drv "killed" "sleep 1; kill -9 $$";
              beside = drv "beside" "sleep 2; echo > $out";
            }"#,
            &[("job", &["down", "killed", "beside"], &[], &[])],
        );
        pipeline.plan.jobs[0].options.retries = Some(0);
        pipeline.sha256 = pipeline.write_bundle("bundle");
        let ran = pipeline.run("job", &["--max-jobs", "8"]).fails(&[]);
        assert_eq!((ran.of("down").class, ran.of("killed").class), (Some(Class::Network), Some(Class::Killed)));
        assert_eq!(pipeline.built_sorted(), ["beside", "down", "killed"], "{}", ran.text);
        assert!(!ran.text.contains("trying again"), "{}", ran.text);
    });
}

#[test]
fn a_failure_has_its_attribute_class_next_command_and_log() {
    with_each_nix("a_failure_has_its_attribute_class_next_command_and_log", || {
        let pipeline = Pipeline::new(
            r#"rec {
              lib = drv "lib" "echo the log; exit 3";
              app = drv "app" "echo ${lib} > $out";
              good = drv "good" "echo a word; echo > $out";
            }"#,
            &[("job", &["lib", "app", "good"], &[], &[])],
        );
        let drv = pipeline.drv("lib");
        let file = drv.strip_prefix("/nix/store/").unwrap().replace(".drv", ".log");
        let details = [
            "attribute: packages.x86_64-linux.lib".to_owned(),
            format!("derivation: {drv}"),
            "class: builder (its build failed)".to_owned(),
            "on your machine: nix build --print-build-logs '.#packages.x86_64-linux.lib'".to_owned(),
            format!("whole log: logs/{file} among the results"),
        ];
        let last = [
            "packages.x86_64-linux.lib failed (builder): its build failed",
            "not begun because of that: packages.x86_64-linux.app",
            "would build 3 derivations again: nothing keeps what this job has built",
        ];
        let said: Vec<&str> = details.iter().map(String::as_str).chain(last).collect();
        pipeline.run("job", &[]).fails(&said);
        let results = pipeline.dir().join("results/job");
        let junit = fs::read_to_string(results.join("junit.xml")).unwrap().replace("&quot;", "\"");
        assert!(details.iter().all(|line| junit.contains(line)), "{junit}");
        assert!(results.join("logs").join(file).is_file());
        // One that is no attribute is named by one that needs it.
        let mut below = pipeline;
        below.plan.targets.retain(|target| target.target.to_string().ends_with(".app"));
        below.sha256 = below.write_bundle("bundle");
        let command =
            format!("nix eval --raw '.#packages.x86_64-linux.app.drvPath' && nix-store --realise {}", below.drv("lib"));
        below.run("job", &[]).fails(&["lib (needed by packages.x86_64-linux.app) failed", &command]);
        // The whole pipeline's report has it as well.
        let report = nixdag().args(["report", results.to_str().unwrap()]).output().unwrap();
        assert!(crate::support::shown(&report).contains("[builder]: "), "{}", crate::support::shown(&report));
    });
}

#[test]
fn builders_logs_come_live_on_request_and_are_files_either_way() {
    with_each_nix("builders_logs_come_live_on_request_and_are_files_either_way", || {
        let pipeline = Pipeline::new(
            r#"{ good = drv "good" "printf 'a \\033[31mred\\033[0m word\\n'; sleep 1; echo > $out"; }"#,
            &[("job", &["good"], &[], &[])],
        );
        let logs = pipeline.dir().join("results/job/logs");
        for (more, live) in [(&[][..], false), (&["--build-logs", "live"], true)] {
            let ran = pipeline.run("job", more).succeeds();
            assert_eq!(ran.text.contains("good> a red word"), live, "{}", ran.text);
            assert_eq!(fs::read_dir(&logs).unwrap().count(), 1);
        }
    });
}

#[test]
fn a_job_that_is_cancelled_says_so_and_has_no_failures() {
    with_each_nix("a_job_that_is_cancelled_says_so_and_has_no_failures", || {
        let pipeline = Pipeline::new(
            r#"rec {
              slow = drv "slow" "sleep 1000";
              after = drv "after" "echo ${slow} > $out";
            }"#,
            &[("job", &["slow", "after"], &[], &[])],
        );
        let script = format!(
            "\"$@\" 2> '{0}' & job=$!; until grep -q '^building slow' '{0}'; do sleep 0.05; done; kill -TERM $job; \
             code=0; wait $job || code=$?; cat '{0}' >&2; exit $code",
            pipeline.dir().join("said").display()
        );
        let mut command = crate::support::empty_store::empty_store();
        command.args(["bash", "-c", &script, "bash", env!("CARGO_BIN_EXE_nixdag")]).args(pipeline.arguments("job"));
        let output = command.output().unwrap();
        let ran = pipeline.ran("job", output).fails(&["cancelled by SIGTERM", "not built: packages.x86_64-linux.slow"]);
        let ran = ran.has("slow", Outcome::NotBuilt);
        let record = ran.record.unwrap();
        assert_eq!((record.verdict, record.cancelled_by.as_deref()), (Verdict::Cancelled, Some("SIGTERM")));
        let results = pipeline.dir().join("results/job");
        assert_eq!(fs::read_to_string(results.join("verdict")).unwrap(), "cancelled\n");
        let report = nixdag().args(["report", results.to_str().unwrap()]).output().unwrap();
        let said = crate::support::shown(&report);
        assert!(
            report.status.code() == Some(1) && said.contains("cancelled: job") && !said.contains("failures:"),
            "{said}"
        );
    });
}

#[test]
fn where_the_mirror_fails_that_stands_for_others_what_needs_the_file_fails_by_its_name() {
    with_each_nix("where_the_mirror_fails_that_stands_for_others_what_needs_the_file_fails_by_its_name", || {
        let expression = r#"let
              fetch = extra: drvWith "file" ({
                outputHashMode = "flat"; outputHashAlgo = "sha256";
                outputHash = "dc51b8c96c2d745df3bd5590d990230a482fd247123599548e0632fdbf97fc22";
              } // extra);
              fetcher = drv "fetcher" "echo > $out";
            in rec {
              one = fetch { } "exit 1";
              two = fetch { inherit fetcher; } "echo ok > $out";
              first = drv "first" "echo ${one} > $out";
              second = drv "second" "echo ${two} > $out";
              other = drv "other" "echo > $out";
            }"#;
        let pipeline = Pipeline::new(expression, &[("job", &["one", "first", "second", "other"], &[], &[])]);
        let ran = pipeline.run("job", &[]).fails(&[]);
        let ran = ran.has("file", Outcome::Failed).has("other", Outcome::Built);
        let ran = ran.has("first", Outcome::DependencyFailed).has("second", Outcome::DependencyFailed);
        assert!(message(&ran, "second").contains("as the output of another derivation"), "{}", ran.text);
        assert_eq!(pipeline.built_sorted(), ["file", "other"], "{}", ran.text);
    });
}
