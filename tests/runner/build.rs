//! The runner when things go wrong: builders that fail, print too much or nothing, users that the daemon does not trust, full
//! disks, signals at any moment.

use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::support::empty_store::{empty_store, is_root, namespace};
use crate::support::pipeline::{JobOf, Pipeline, with_each_nix};
use crate::support::{is_on_path, run, shown, with_one_nix};
use nixdag::build::record::Outcome;

#[test]
fn one_failing_target_leaves_the_other_built_and_handed_off() {
    with_each_nix("one_failing_target_leaves_the_other_built_and_handed_off", || {
        let pipeline = Pipeline::new(
            r#"
            rec {
              good = drv "good" "echo good > $out";
              bad = drv "bad" "echo 'about to fail <&> ]]>'; printf 'bytes \\377\\001\\033[31m\\n'; exit 3";
              below = drv "below" "echo ${bad} > $out";
              silent = drv "silent" "true";
              foreign = drvWith "foreign" { system = "riscv64-linux"; } "echo > $out";
            }"#,
            &[("job", &["good", "bad", "below", "silent", "foreign"], &[], &[])],
        );
        let ran = pipeline
            .run("job", &[])
            .fails(&["about to fail", "exit code 3", "failed to produce output path"])
            .has("good", Outcome::Built)
            .has("bad", Outcome::Failed)
            .has("below", Outcome::DependencyFailed)
            .has("silent", Outcome::Failed)
            .has("foreign", Outcome::Failed);
        assert!(ran.of("bad").log.as_ref().unwrap().contains("about to fail <&> ]]>"));
        assert!(ran.of("foreign").message.as_ref().unwrap().contains("riscv64-linux"));
        assert_eq!(fs::read_dir(pipeline.handed_off("job").join("nar")).unwrap().count(), 1);

        // What a CI service reads.
        let results = pipeline.dir().join("results/job");
        let junit = fs::read_to_string(results.join("junit.xml")).unwrap();
        assert!(junit.contains(r#"tests="5" failures="3" errors="0" skipped="1""#), "{junit}");
        assert!(junit.contains("about to fail &lt;&amp;&gt; ]]&gt;") && !junit.contains('\u{1b}'), "{junit}");
        run(&results, "python3", &["-c", "import xml.etree.ElementTree as x; x.parse('junit.xml')"]);
        let records: serde_json::Value =
            serde_json::from_str(&fs::read_to_string(results.join("records.json")).unwrap()).unwrap();
        let builds = records["builds"].as_array().unwrap();
        let endings: Vec<_> =
            builds.iter().map(|build| [&build["name"], &build["ending"]].map(|it| it.as_str().unwrap())).collect();
        assert!(endings.contains(&["good", "built"]) && endings.contains(&["bad", "failed"]), "{endings:?}");
        assert!(endings.iter().all(|[name, _]| *name != "below"), "{endings:?}");
        let logs: Vec<_> =
            fs::read_dir(results.join("logs")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert!(logs.len() == 1 && logs[0].to_str().unwrap().ends_with("-bad.log"), "{logs:?}");

        // The build step of a CI job ends well, and the last step fails.
        pipeline.run("job", &["--record-verdict"]).succeeds();
        let last =
            Command::new(env!("CARGO_BIN_EXE_nixdag")).args(["build", "--verdict"]).arg(&results).output().unwrap();
        assert_eq!(last.status.code(), Some(1));
        assert!(shown(&last).contains("about to fail"), "{}", shown(&last));
    });
}

#[test]
fn durations_are_those_of_the_builders_even_for_derivations_asked_for_by_name() {
    with_each_nix("durations_are_those_of_the_builders_even_for_derivations_asked_for_by_name", || {
        // Both run at once; the slow one's three seconds begin after the quick one's begin, so that on a busy machine too the quick
        // one has them to end in.
        let wait = "until grep -qx quick @BUILT@; do sleep 0.05; done";
        let pipeline = Pipeline::new(
            &format!(r#"{{ quick = drv "quick" "echo > $out"; slow = drv "slow" "{wait}; sleep 3; echo > $out"; }}"#),
            &[("job", &["quick", "slow"], &[], &[])],
        );
        let ran = pipeline.run("job", &["--max-jobs", "2"]).succeeds();
        let (quick, slow) = (ran.of("quick").duration.unwrap(), ran.of("slow").duration.unwrap());
        // What is measured begins where Nix's line is read, a little after the builder: half of the sleep leaves room for that.
        assert!(slow > 1500 && quick < slow, "quick {quick} ms, slow {slow} ms");
        let finished = |name: &str| ran.text.find(&format!("ended {name} after")).unwrap();
        assert!(finished("quick") < finished("slow"), "{}", ran.text);
    });
}

#[test]
fn a_builder_that_prints_without_end_costs_neither_memory_nor_disk() {
    with_one_nix("a_builder_that_prints_without_end_costs_neither_memory_nor_disk", || {
        // More than is kept; Nix takes long to pass it on.
        let bytes = 12_000_000;
        let text = "yes 'the quick brown fox jumps over the lazy dog'";
        let pipeline = Pipeline::new(
            &format!(r#"{{ loud = drv "loud" "{text} | head -c {bytes}; echo the end; exit 1"; }}"#),
            &[("job", &["loud"], &[], &[])],
        );
        let ran = pipeline.run("job", &[]).fails(&["the end"]);
        assert!(ran.of("loud").log.as_ref().unwrap().len() < 100_000);
        let logs = pipeline.dir().join("results/job/logs");
        let log = fs::read_dir(logs).unwrap().next().unwrap().unwrap();
        assert!(log.metadata().unwrap().len() < 10_000_000);
        assert!(fs::read_to_string(log.path()).unwrap().ends_with("the end\n"));
    });
}

#[test]
fn a_daemon_serves_a_trusted_user_and_another_one_is_told_what_to_do() {
    with_each_nix("a_daemon_serves_a_trusted_user_and_another_one_is_told_what_to_do", || {
        let jobs: &[JobOf] = &[("job-a", &["a"], &[], &[]), ("job-b", &["b"], &[], &["job-a"])];
        let pipeline = Pipeline::new(
            r#"rec { a = drvWith "a" { allowSubstitutes = false; } "echo a > $out"; b = drv "b" "cat ${a}; echo ${a} > $out"; }"#,
            jobs,
        );
        run(pipeline.dir(), "chmod", &["-R", "a+rwX", "."]);
        let home = pipeline.dir().join("user");
        // A daemon with its own settings, and a user who has none.
        let as_user = |job: &str, trusted: &str| {
            let script = format!(
                "export NIX_CONFIG=\"$NIX_CONFIG\ntrusted-users = root {trusted}\"; nix-daemon >/dev/null 2>&1 & daemon=$!; \
                 until test -S /nix/var/nix/daemon-socket/socket; do kill -0 $! || exit 98; sleep 0.05; done; \
                 mkdir -p '{home}'; chown 12345 '{home}'; export HOME='{home}'; unset NIX_CONFIG; \
                 setpriv --reuid 12345 --regid 12345 --clear-groups \"$@\"; code=$?; kill $daemon; exit $code",
                home = home.display()
            );
            let mut command = empty_store();
            command.args(["sh", "-c", &script, "sh", env!("CARGO_BIN_EXE_nixdag")]).args(pipeline.arguments(job));
            pipeline.ran(job, command.output().unwrap())
        };
        as_user("job-a", "").fails(&["uid 12345", "`trusted-users`"]);
        assert!(pipeline.built().is_empty());
        as_user("job-a", "12345").succeeds().has("a", Outcome::Built);
        as_user("job-b", "").fails(&["`trusted-users`"]);
        as_user("job-b", "12345").succeeds().has("b", Outcome::Built);
        assert_eq!(pipeline.built(), ["a", "b"]);
    });
}

#[test]
fn a_fetch_sees_what_it_needs_and_no_secret_of_the_job() {
    with_each_nix("a_fetch_sees_what_it_needs_and_no_secret_of_the_job", || {
        // A fetch names the variables that it wants, and Nix hands them on.
        let names = [
            "https_proxy",
            "MIRROR",
            "LICENCE",
            "AWS_ACCESS_KEY_ID",
            "AWS_SECRET_ACCESS_KEY",
            "CIRCLE_TOKEN",
            "CIRCLE_CONTINUATION_KEY",
            "GITHUB_TOKEN",
            "CACHIX_AUTH_TOKEN",
            "NIXDAG_SIGNING_KEY",
            "NIX_CONFIG",
            "SECRET_OF_A_CONTEXT",
        ];
        let mut pipeline = Pipeline::new(
            &r#"
            rec {
              fetch = drvWith "fetch" {
                outputHashAlgo = "sha256"; outputHashMode = "flat"; outputHash = builtins.hashString "sha256" "fetched\n";
                impureEnvVars = builtins.fromJSON ''@NAMES@'';
              } "export -p > ${toString ./.}/seen; for p in /proc/[0-9]*; do ! tr '\\000' ' ' < $p/cmdline | grep -q '^[^ ]*nix-store --ser[v]e' || ! grep -q proxy.example.org $p/environ || tr '\\000' '\\n' < $p/environ >> ${toString ./.}/holder; done; echo fetched > $out";
              lost = drv "lost" "cat ${fetch} > $out";
              last = drv "last" "cat ${lost} > $out";
            }"#
            .replace("@NAMES@", &serde_json::to_string(&names).unwrap()),
            &[("first", &["lost"], &["fetch"], &[]), ("last", &["last"], &[], &["first"])],
        );
        for job in &mut pipeline.plan.jobs {
            job.options.environment.insert("MIRROR".to_owned(), "named".to_owned());
        }
        pipeline.sha256 = pipeline.write_bundle("bundle");
        let seen = pipeline.dir().join("seen");
        // Made for these tests. The last job builds what the first one has not delivered.
        let key = "ours-1:CwlG7Hb0KY5y4EPbj1KKJd4BwFTllfPkIjRYzal7nf+xuZ4UzkmMf2+R20SqTtFYA7HkJBHvYDuc0AVk82fO5Q==";
        for job in ["first", "last"] {
            // What is named goes through, and nothing beside it.
            let mut command = pipeline.command(job, &["--build-env", "LICENCE"]);
            command.envs(names.map(|name| (name, "s3cr3t"))).env("https_proxy", "http://proxy.example.org");
            command.env("LICENCE", "let through");
            command.env("NIXDAG_SIGNING_KEY", key);
            command.env(
                "NIX_CONFIG",
                format!("{}\naccess-tokens = github.com=s3cr3t", std::env::var("NIX_CONFIG").unwrap_or_default()),
            );
            pipeline.ran(job, command.output().unwrap()).succeeds().has("lost", Outcome::Built);
            let text = fs::read_to_string(&seen).unwrap();
            fs::remove_file(&seen).unwrap();
            // What holds paths against garbage collection lives beside builders.
            let holder = fs::read_to_string(pipeline.dir().join("holder")).unwrap();
            fs::remove_file(pipeline.dir().join("holder")).unwrap();
            assert!(holder.contains("PATH=") && !holder.contains("s3cr3t") && !holder.contains(key), "{holder}");
            let _ = fs::remove_dir_all(pipeline.handed_off("first"));
            assert!(
                text.contains("proxy.example.org")
                    && text.contains("MIRROR='named'") | text.contains("MIRROR=\"named\""),
                "{text}"
            );
            assert!(text.contains("let through") && !text.contains("s3cr3t") && !text.contains(key), "{text}");
        }
        let refused = pipeline.run("first", &["--build-env", "A=s3cr3t"]).fails(&["`--build-env`", "not its value"]);
        assert!(!refused.text.contains("s3cr3t"), "{}", refused.text);
    });
}

#[test]
fn a_user_whom_the_daemon_does_not_trust_goes_through_sudo_where_that_works() {
    if !is_root() {
        eprintln!("left out: sudo does not work in a namespace of a user other than root");
        return;
    }
    with_each_nix("a_user_whom_the_daemon_does_not_trust_goes_through_sudo_where_that_works", || {
        let jobs: &[JobOf] = &[("job-a", &["a"], &[], &[]), ("job-b", &["b"], &[], &["job-a"])];
        let pipeline = Pipeline::new(
            r#"rec { a = drvWith "a" { allowSubstitutes = false; } "echo a > $out"; b = drv "b" "cat ${a}; echo ${a} > $out"; }"#,
            jobs,
        );
        run(pipeline.dir(), "chmod", &["-R", "a+rwX", "."]);
        // A user as CircleCI's Linux machines have one: known by name, and with sudo for everything.
        let passwd = fs::read_to_string("/etc/passwd").unwrap();
        fs::write(pipeline.dir().join("passwd"), format!("{passwd}ci:*:12345:12345::/tmp:/bin/sh\n")).unwrap();
        fs::write(pipeline.dir().join("sudoers"), "ci ALL=(ALL) NOPASSWD: ALL\n").unwrap();
        run(pipeline.dir(), "chmod", &["440", "sudoers"]);
        let as_user = |job: &str, sudo: &str| {
            let script = format!(
                "mount --bind '{dir}/passwd' /etc/passwd; mount --bind '{dir}/{sudo}' /etc/sudoers; \
                 nix-daemon >/dev/null 2>&1 & daemon=$!; \
                 until test -S /nix/var/nix/daemon-socket/socket; do kill -0 $! || exit 98; sleep 0.05; done; \
                 mkdir -p '{dir}/user'; chown 12345 '{dir}/user'; export HOME='{dir}/user'; \
                 setpriv --reuid 12345 --regid 12345 --clear-groups \"$@\"; code=$?; kill $daemon; exit $code",
                dir = pipeline.dir().display()
            );
            let mut command = empty_store();
            command.args(["sh", "-c", &script, "sh", env!("CARGO_BIN_EXE_nixdag")]).args(pipeline.arguments(job));
            pipeline.ran(job, command.output().unwrap())
        };
        let through = "the Nix daemon does not trust this user: going through sudo";
        for (job, name) in [("job-a", "a"), ("job-b", "b")] {
            let ran = as_user(job, "sudoers").succeeds().has(name, Outcome::Built);
            assert!(ran.text.contains(through), "{}", ran.text);
        }
        assert_eq!(pipeline.built(), ["a", "b"]);
        // Nobody is allowed anything.
        fs::write(pipeline.dir().join("nobody"), "# none\n").unwrap();
        run(pipeline.dir(), "chmod", &["440", "nobody"]);
        as_user("job-b", "nobody").fails(&["`trusted-users`", "allow sudo without a password"]);
    });
}

#[test]
fn without_nix_or_room_the_error_says_what_to_do() {
    with_each_nix("without_nix_or_room_the_error_says_what_to_do", || {
        let pipeline = Pipeline::new(
            r#"{ big = drv "big" "head -c 3000000 /dev/urandom > $out"; }"#,
            &[("job", &["big"], &[], &[])],
        );
        let nixdag = env!("CARGO_BIN_EXE_nixdag");
        let output = Command::new(nixdag).args(pipeline.arguments("job")).env("PATH", "/nowhere").output().unwrap();
        pipeline.ran("job", output).fails(&["no `nix-store` on the PATH"]).has("big", Outcome::NotBuilt);

        let workspace = pipeline.dir().join("workspace");
        fs::create_dir_all(&workspace).unwrap();
        run(pipeline.dir(), "mount", &["-t", "tmpfs", "-o", "size=1m", "none", workspace.to_str().unwrap()]);
        pipeline.run("job", &[]).fails(&["no room for the hand-off of", "bytes needed", "bytes free"]);
        let left = run(&workspace, "find", &[".", "-type", "f"]);
        assert_eq!(left, "./job/nix-cache-info", "nothing half-written remains");
        // What is mounted cannot be removed with the folder around it.
        run(pipeline.dir(), "umount", &[workspace.to_str().unwrap()]);
    });
}

#[test]
fn a_terminated_runner_stops_nix_and_leaves_nothing_half_written() {
    with_each_nix("a_terminated_runner_stops_nix_and_leaves_nothing_half_written", || {
        // Nobody else on this machine sleeps for just as long.
        let sleep = format!("sleep 1000.{}", std::process::id());
        let pipeline = Pipeline::new(
            &format!(r#"{{ endless = drv "endless" "echo started; {sleep}; echo > $out"; }}"#),
            &[("job", &["endless"], &[], &[])],
        );
        let mut child = pipeline.command("job", &[]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        while pipeline.built().is_empty() {
            std::thread::sleep(Duration::from_millis(20));
        }
        run(pipeline.dir(), "kill", &["-TERM", &child.id().to_string()]);
        assert!(child.try_wait().is_ok());
        let ran = pipeline.ran("job", child.wait_with_output().unwrap()).fails(&["stopped by SIGTERM"]);
        assert!(ran.record.unwrap().errors[0].contains("SIGTERM"));
        assert_eq!(run(&pipeline.handed_off("job"), "find", &[".", "-type", "f"]), "./nix-cache-info");
        let sleeping = Command::new("pgrep").args(["-x", "-f", &sleep]).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&sleeping.stdout), "", "the builder is still there");
    });
}

#[test]
fn a_killed_runner_leaves_nothing_that_harms_the_next_one() {
    with_each_nix("a_killed_runner_leaves_nothing_that_harms_the_next_one", || {
        let jobs: &[JobOf] = &[("first", &["x", "y", "z"], &[], &[]), ("second", &["sum"], &[], &["first"])];
        let pipeline = Pipeline::new(
            r#"
            rec {
              x = drv "x" "mkdir $out; for i in 1 2 3 4 5; do head -c 4000000 /dev/urandom > $out/$i; done";
              y = drv "y" "mkdir $out; ls ${x} > $out/list; head -c 9000000 /dev/urandom > $out/data";
              z = drv "z" "echo ${y} > $out";
              sum = drv "sum" "y=$(cat ${z}); cat ${x}/* $y/data | wc -c > $out; read sum < $out; test $sum = 29000000";
            }"#,
            jobs,
        );
        // One machine that is used again and again: its store outlives the runner.
        let machine = pipeline.dir().join("machine");
        fs::create_dir(&machine).unwrap();
        run(pipeline.dir(), "mount", &["-t", "tmpfs", "none", machine.to_str().unwrap()]);
        let start = || {
            let mut command = namespace(&format!("mount --bind '{}' /nix", machine.display()));
            command.arg(env!("CARGO_BIN_EXE_nixdag")).args(pipeline.arguments("first"));
            command
        };
        let begin = std::time::Instant::now();
        assert!(start().output().unwrap().status.success());
        let whole = begin.elapsed();
        // Each time takes seconds: all of them with the Nix on the PATH, some with the others.
        let first = if is_on_path() { 0 } else { 6 };
        for round in first..8u32 {
            // Everything anew every few rounds; in the others only the hand-off is left to do.
            if round % 3 == 0 || round == first {
                run(&machine, "sh", &["-c", "rm -rf ./*"]);
                let _ = fs::remove_dir_all(pipeline.handed_off("first"));
            }
            let mut child = start().stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            // Spread over the whole run, in an order that jumps.
            std::thread::sleep(whole * (round * 5 % 8) / 8);
            child.kill().unwrap();
            child.wait().unwrap();
            // Whatever is there under a valid name is whole: the next job takes it or says that it is missing.
            let next = pipeline.run("second", &["--on-missing", "fail"]);
            let record = next.record.as_ref().unwrap();
            assert!(record.damaged.is_empty(), "round {round}: {}", next.text);
            assert!(next.code == Some(0) || !record.missing.is_empty(), "round {round}: {}", next.text);
            if pipeline.handed_off("second").exists() {
                fs::remove_dir_all(pipeline.handed_off("second")).unwrap();
            }
            let again = start().output().unwrap();
            assert!(again.status.success(), "round {round}: {}", shown(&again));
            pipeline.run("second", &["--on-missing", "fail"]).succeeds();
            fs::remove_dir_all(pipeline.handed_off("second")).unwrap();
        }
        // What is mounted cannot be removed with the folder around it; a builder of a killed Nix may still be there.
        run(pipeline.dir(), "umount", &["--lazy", machine.to_str().unwrap()]);
    });
}
