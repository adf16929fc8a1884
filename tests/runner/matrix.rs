//! Twelve faults, each with every version of Nix: what the verdict is, who is to blame and of which class, how often each was begun, and
//! that what has nothing to do with it is built once. Others of the kind are in `faults`.

use std::fs;
use std::path::Path;

use nixdag::build::class::Class;
use nixdag::build::record::{Outcome, Verdict};

use crate::support::cache_server::{Reply, Server, file};
use crate::support::empty_store::empty_store;
use crate::support::pipeline::{JobOf, Pipeline, Ran, with_each_nix};
use crate::support::{with_nix, with_one_nix};

/// A derivation `fault` that runs a script, one that needs it and one beside it, in one job.
fn beside(script: &str) -> Pipeline {
    let text = r#"rec {
      fault = drv "fault" "@SCRIPT@";
      above = drv "above" "echo ${fault} > $out";
      good = drv "good" "sleep 1; echo > $out";
    }"#;
    Pipeline::new(&text.replace("@SCRIPT@", script), &[("job", &["fault", "above", "good"], &[], &[])])
}

/// Runs the job on a machine that a script sets up, which calls the rest as `"$@"`.
fn on_machine(pipeline: &Pipeline, script: &str, more: &[&str]) -> Ran {
    let mut command = empty_store();
    command.args(["bash", "-euc", script, "bash", env!("CARGO_BIN_EXE_nixdag")]);
    command.args(pipeline.arguments("job")).args(more).env("DIR", pipeline.dir());
    pipeline.ran("job", command.output().unwrap())
}

/// `fault` has failed with this class and was begun so often, with all names where people look; the rest is as it should be.
#[track_caller]
fn blamed(pipeline: &Pipeline, ran: Ran, class: Class, begun: usize) {
    let ran = ran.fails(&[]).has("fault", Outcome::Failed).has("good", Outcome::Built);
    let ran = ran.has("above", Outcome::DependencyFailed);
    let record = ran.record.as_ref().unwrap();
    assert_eq!((record.verdict, ran.of("fault").class), (Verdict::Failure, Some(class)), "{}", ran.text);
    assert_eq!(ran.of("above").class, Some(class), "{}", ran.text);
    let why = format!("class: of what it needs: {} (", class.name());
    let count = |name: &str| pipeline.built().iter().filter(|built| *built == name).count();
    assert_eq!((count("fault"), count("good"), count("above")), (begun, 1, 0), "{}", ran.text);
    let junit = fs::read_to_string(pipeline.dir().join("results/job/junit.xml")).unwrap();
    assert!(junit.contains(r#"failures="1""#) && junit.contains(r#"skipped="1""#), "{junit}");
    let failure = format!(r#"<failure type="{}""#, class.name());
    let names = [
        "attribute: packages.x86_64-linux.fault",
        &format!("derivation: {}", pipeline.drv("fault")),
        "on your machine: ",
        &why,
    ];
    assert!(junit.contains(&failure) && names.iter().all(|name| junit.contains(*name)), "{junit}");
    assert!(ran.text.contains(&format!("packages.x86_64-linux.fault failed ({})", class.name())), "{}", ran.text);
    assert_eq!(fs::read_dir(pipeline.handed_off("job").join("nar")).unwrap().count(), 1, "{}", ran.text);
}

#[test]
fn the_disk_is_full_for_a_builder() {
    with_each_nix("the_disk_is_full_for_a_builder", || {
        let small = tempfile::TempDir::with_prefix("small").unwrap();
        let small = small.path().display();
        let pipeline = beside("dd if=/dev/zero of=large bs=1M count=8");
        // Where builders work: from 2.30 on that is a setting.
        let script = format!("mount -t tmpfs -o size=2m none {small}; TMPDIR={small} \"$@\"");
        let ran = on_machine(&pipeline, &script, &["--nix-option", "build-dir", &small.to_string()]);
        // Once more after what had been handed on was removed.
        blamed(&pipeline, ran, Class::DiskFull, 2);
    });
}

#[test]
fn the_disk_is_full_for_the_store() {
    with_each_nix("the_disk_is_full_for_the_store", || {
        let pipeline = beside("dd if=/dev/zero of=$out bs=1M count=64");
        let ran = on_machine(&pipeline, "mount -o remount,size=24m /nix; \"$@\"", &[]).fails(&["the disk is full: "]);
        let ran = ran.has("fault", Outcome::Failed).has("good", Outcome::Built);
        assert_eq!(ran.of("fault").class, Some(Class::DiskFull), "{}", ran.text);
        // Once more after what it had left was removed.
        let begun = |name: &str| pipeline.built().iter().filter(|built| *built == name).count();
        assert!(begun("fault") <= 2 && begun("good") <= 2, "{}", ran.text);
    });
}

#[test]
fn the_disk_is_full_for_the_hand_off() {
    with_one_nix("the_disk_is_full_for_the_hand_off", || {
        let pipeline = Pipeline::new(
            r#"{ large = drv "large" "dd if=/dev/urandom of=$out bs=1M count=4 2>/dev/null"; }"#,
            &[("job", &["large"], &[], &[])],
        );
        let script = "mkdir $DIR/workspace; mount -t tmpfs -o size=1m none $DIR/workspace; \"$@\"";
        let ran = on_machine(&pipeline, script, &[]).fails(&["handing off 1 path ", "free"]);
        let ran = ran.has("large", Outcome::Built);
        assert_eq!(ran.record.unwrap().verdict, Verdict::Failure);
        assert_eq!(pipeline.built(), ["large"]);
    });
}

#[test]
fn a_build_is_killed_for_memory_beside_others_and_alone() {
    with_each_nix("a_build_is_killed_for_memory_beside_others_and_alone", || {
        let pipeline = beside("sleep 0.5; kill -9 $$");
        let ran = pipeline.run("job", &["--max-jobs", "2"]);
        blamed(&pipeline, ran, Class::Killed, 2);
    });
}

#[test]
fn a_builder_hangs() {
    with_each_nix("a_builder_hangs", || {
        let pipeline = beside("sleep 1000");
        let ran = pipeline.run("job", &["--max-silent-time", "8"]);
        blamed(&pipeline, ran, Class::Timeout, 1);
    });
}

/// Who waits for the CI to end the job finds nothing in its place: no verdict, no record, nothing handed on.
#[test]
fn a_builder_that_hangs_is_ended_before_the_ci_ends_the_job() {
    with_nix("a_builder_that_hangs_is_ended_before_the_ci_ends_the_job", || {
        let text = r#"rec {
          good = drv "good" "echo > $out";
          hangs = drv "hangs" "cat ${good}; sleep 1000";
          above = drv "above" "echo ${hangs} > $out";
        }"#;
        let pipeline = Pipeline::new(text, &[("job", &["good", "hangs", "above"], &[], &[])]);
        let mut command = pipeline.command("job", &[]);
        let output = command.env("CI", "true").env("CI_JOB_TIMEOUT", "6").output().unwrap();
        let ran = pipeline.ran("job", output).fails(&["the 6 s that the CI gives this job are nearly over"]);
        let ran = ran.has("good", Outcome::Built).has("hangs", Outcome::Failed).has("above", Outcome::DependencyFailed);
        assert_eq!(ran.of("hangs").class, Some(Class::Timeout));
        assert_eq!(ran.record.unwrap().handed_off.paths, 1);
    });
}

#[test]
fn a_pipe_a_socket_or_a_wrong_reference_is_left_in_an_output() {
    with_each_nix("a_pipe_a_socket_or_a_wrong_reference_is_left_in_an_output", || {
        let socket = "python3 -c 'import socket, os; s = socket.socket(socket.AF_UNIX); os.chdir(os.environ[\\\"out\\\"]); s.bind(\\\"s\\\")'";
        for script in ["mkdir $out; mkfifo $out/pipe", &format!("mkdir $out; {socket}")] {
            let pipeline = beside(script);
            let ran = pipeline.run("job", &["--max-jobs", "1"]);
            blamed(&pipeline, ran, Class::Builder, 1);
        }
        let text = r#"rec {
          fault = drvWith "fault" { allowedReferences = [ ]; } "echo ${builtins.toFile "text" "text"} > $out";
          above = drv "above" "echo ${fault} > $out";
          good = drv "good" "echo > $out";
        }"#;
        let pipeline = Pipeline::new(text, &[("job", &["fault", "above", "good"], &[], &[])]);
        let ran = pipeline.run("job", &[]);
        blamed(&pipeline, ran, Class::Builder, 1);
    });
}

/// A job whose input `a` a cache had when the plan was made.
fn with_input() -> Pipeline {
    let jobs: &[JobOf] = &[("job", &["b", "good"], &[], &[])];
    let text =
        r#"rec { a = drv "a" "echo > $out"; b = drv "b" "cat ${a}; echo > $out"; good = drv "good" "echo > $out"; }"#;
    Pipeline::new(text, jobs)
}

/// Runs the job with this cache: once without what is missing, then building that.
fn without_input(pipeline: &Pipeline, cache: &str, tried: &[&str]) {
    let options = ["--nix-option", "extra-substituters", cache, "--nix-option", "require-sigs", "false"];
    let missing = format!("`{}` is missing: no substituter has it", pipeline.output("a", "out"));
    let said: Vec<&str> = [&[missing.as_str()], tried].concat();
    let ran = pipeline.run("job", &[&options[..], &["--on-missing", "fail"]].concat()).fails(&said);
    assert_eq!(ran.record.unwrap().verdict, Verdict::Failure);
    assert!(pipeline.built().is_empty());
    let ran = pipeline.run("job", &options).succeeds();
    assert!(ran.text.contains("built here instead"), "{}", ran.text);
    assert_eq!(pipeline.built_sorted(), ["a", "b", "good"]);
}

#[test]
fn a_substituter_is_dead_when_the_job_runs() {
    with_each_nix("a_substituter_is_dead_when_the_job_runs", || {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        without_input(&with_input(), &format!("http://127.0.0.1:{port}"), &[]);
    });
}

#[test]
fn a_cache_has_the_narinfo_and_not_the_archive() {
    with_each_nix("a_cache_has_the_narinfo_and_not_the_archive", || {
        let pipeline = with_input();
        let (out, hash) = (pipeline.output("a", "out"), "0".repeat(52));
        let text = format!(
            "StorePath: {out}\nURL: nar/gone.nar\nCompression: none\nFileHash: sha256:{hash}\nFileSize: 120\nNarHash: sha256:{hash}\nNarSize: 120\nReferences: \n"
        );
        let name = format!("/{}.narinfo", &Path::new(&out).file_name().unwrap().to_str().unwrap()[..32]);
        let server = Server::new(move |seen| match &*seen.path {
            "/nix-cache-info" => file(Some(b"StoreDir: /nix/store\n".to_vec())),
            path if path == name => file(Some(text.clone().into_bytes())),
            _ => file(None),
        });
        without_input(&pipeline, &server.url(), &[]);
    });
}

#[test]
fn a_cache_fails_for_a_while() {
    with_each_nix("a_cache_fails_for_a_while", || {
        let mut pipeline = with_input();
        let (out, hash) = (pipeline.output("a", "out"), "0".repeat(52));
        let text = format!(
            "StorePath: {out}\nURL: nar/late.nar\nCompression: none\nFileHash: sha256:{hash}\nFileSize: 120\nNarHash: sha256:{hash}\nNarSize: 120\nReferences: \n"
        );
        let name = format!("/{}.narinfo", &Path::new(&out).file_name().unwrap().to_str().unwrap()[..32]);
        let server = Server::new(move |seen| match &*seen.path {
            "/nix-cache-info" => file(Some(b"StoreDir: /nix/store\n".to_vec())),
            path if path == name => file(Some(text.clone().into_bytes())),
            "/nar/late.nar" => Reply::Answer(503, String::new(), Vec::new()),
            _ => file(None),
        });
        let url = server.url();
        let options = ["extra-substituters", &url, "require-sigs", "false", "download-attempts", "1"];
        let options: Vec<&str> = options.chunks(2).flat_map(|pair| ["--nix-option", pair[0], pair[1]]).collect();
        let arguments = [&options[..], &["--on-missing", "fail"]].concat();
        let tried = ["a download failed on the way: trying again in 1 s", "trying again in 5 s", "is missing"];
        pipeline.run("job", &arguments).fails(&tried);
        pipeline.plan.jobs[0].options.retries = Some(0);
        pipeline.sha256 = pipeline.write_bundle("bundle");
        let ran = pipeline.run("job", &arguments).fails(&["is missing"]);
        assert!(!ran.text.contains("trying again"), "{}", ran.text);
        assert!(pipeline.built().is_empty());
    });
}

#[test]
fn the_daemon_is_restarted_while_it_builds() {
    with_each_nix("the_daemon_is_restarted_while_it_builds", || {
        let dir = tempfile::TempDir::with_prefix("marks").unwrap();
        let mark = dir.path().join("restarted");
        // The builder ends the process of the daemon that serves this job, the first time.
        let script = "sleep 1; if ! test -e @MARK@; then echo > @MARK@; kill -9 $PPID; sleep 5; fi; echo > $out";
        let pipeline = beside(&script.replace("@MARK@", mark.to_str().unwrap()));
        let daemon = "nix-daemon >/dev/null 2>&1 & daemon=$!; trap 'kill $daemon' EXIT
            until test -S /nix/var/nix/daemon-socket/socket; do kill -0 $! || exit 98; sleep 0.05; done; NIX_REMOTE=daemon \"$@\"";
        let ran = on_machine(&pipeline, daemon, &["--max-jobs", "2"]).succeeds().has("fault", Outcome::Built);
        assert!(ran.text.contains("trying"), "it is shown: {}", ran.text);
        for (name, most) in [("fault", 2), ("good", 2), ("above", 1)] {
            let begun = pipeline.built().iter().filter(|built| *built == name).count();
            assert!((1..=most).contains(&begun), "{name}: {:?}", pipeline.built());
        }
    });
}

#[test]
fn the_clock_jumps_while_it_builds() {
    with_one_nix("the_clock_jumps_while_it_builds", || {
        let library = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1";
        assert!(Path::new(library).exists(), "install faketime");
        let dir = tempfile::TempDir::with_prefix("clock").unwrap();
        let clock = dir.path().join("clock");
        fs::write(&clock, "+0d").unwrap();
        let jump = |days: &str| format!("echo {days} > {}; sleep 1", clock.display());
        let text = format!(
            r#"rec {{
              forth = drv "forth" "{}; echo > $out";
              back = drv "back" "read x < ${{forth}} || true; {}; echo > $out";
              bad = drv "bad" "read x < ${{back}} || true; exit 3";
            }}"#,
            jump("+40d"),
            jump("-40d")
        );
        let pipeline = Pipeline::new(&text, &[("job", &["forth", "back", "bad"], &[], &[])]);
        let mut command = empty_store();
        command.args([
            "env",
            &format!("LD_PRELOAD={library}"),
            "FAKETIME_NO_CACHE=1",
            "FAKETIME_DONT_FAKE_MONOTONIC=1",
        ]);
        command.arg(format!("FAKETIME_TIMESTAMP_FILE={}", clock.display()));
        command.arg(env!("CARGO_BIN_EXE_nixdag")).args(pipeline.arguments("job"));
        let ran = pipeline.ran("job", command.output().unwrap()).fails(&["packages.x86_64-linux.bad failed (builder)"]);
        let ran = ran.has("forth", Outcome::Built).has("back", Outcome::Built).has("bad", Outcome::Failed);
        let day = 24 * 60 * 60 * 1000;
        let record = ran.record.unwrap();
        assert!(
            record.duration < day && record.derivations.iter().all(|drv| drv.duration.unwrap() < day),
            "{}",
            ran.text
        );
        assert_eq!(pipeline.built(), ["forth", "back", "bad"]);
    });
}
