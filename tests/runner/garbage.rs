//! Machines whose garbage is collected while a job runs: nothing that the job needs later, or hands on, goes away.

use std::process::Command;

use nixdag::build::record::Outcome;

use crate::support::empty_store::empty_store;
use crate::support::pipeline::{JobOf, Pipeline, Ran, user_setting, with_each_nix};

/// Runs a job on a machine with an empty store that is set up by a script first, which calls the rest as `"$@"`.
fn on_machine(pipeline: &Pipeline, job: &str, more: &[&str], script: &str) -> Ran {
    let mut command: Command = empty_store();
    command.args(["bash", "-euc", script, "bash", env!("CARGO_BIN_EXE_nixdag")]);
    command.args(pipeline.arguments(job)).args(more);
    let output = command.output().unwrap();
    pipeline.ran(job, output)
}

/// Somebody who collects all garbage all the time, in a store that is there: of two processes that open a new one at once, Nix 2.26 fails in one.
const COLLECTOR: &str = "nix-store --init; while :; do nix-store --gc; sleep 0.05; done >/dev/null 2>&1 & collector=$!
    code=0; \"$@\" || code=$?; kill $collector; wait $collector || true; exit $code";

/// The same, for a script that goes on.
const COLLECTOR_BESIDE: &str =
    "nix-store --init; while :; do nix-store --gc; sleep 0.05; done >/dev/null 2>&1 & collector=$!
    \"$@\"; kill $collector; wait $collector || true";

fn pipeline() -> Pipeline {
    let jobs: &[JobOf] =
        &[("first", &["a", "b"], &["source"], &[]), ("second", &["c", "d", "e"], &["source"], &["first"])];
    Pipeline::new(
        r#"let text = builtins.toFile "text" "text"; in rec {
          source = drv "source" "cat ${text} > $out; sleep 0.5";
          a = drv "a" "cat ${source} > $out; sleep 0.5";
          b = drv "b" "cat ${a} ${text} > $out; sleep 0.5";
          c = drv "c" "cat ${b} ${source} > $out; sleep 0.5";
          d = drv "d" "cat ${c} ${text} > $out; echo ${a} >> $out";
          e = drv "e" "sleep 1; cat ${a} > $out";
        }"#,
        jobs,
    )
}

#[test]
fn a_collection_at_any_moment_takes_nothing_that_a_job_needs_or_leaves() {
    with_each_nix("a_collection_at_any_moment_takes_nothing_that_a_job_needs_or_leaves", || {
        let pipeline = pipeline();
        on_machine(&pipeline, "first", &[], COLLECTOR).succeeds().has("b", Outcome::Built);
        let more = ["--on-missing", "fail"];
        on_machine(&pipeline, "second", &more, COLLECTOR).succeeds().has("d", Outcome::Built);
        assert_eq!(pipeline.built_sorted(), ["a", "b", "c", "d", "e", "source", "source"]);
    });
}

#[test]
fn a_nearly_full_machine_collects_garbage_by_itself_and_jobs_pass() {
    with_each_nix("a_nearly_full_machine_collects_garbage_by_itself_and_jobs_pass", || {
        let pipeline = pipeline();
        let script = "export NIX_CONFIG=\"$NIX_CONFIG
min-free = 1000000000000000\"; \"$@\"";
        // With this setting and without a daemon 2.34 crashes whatever it realises: nobody is told that trust is lacking.
        if nixdag::nix::store::Store::find().unwrap().version().starts_with("2.34") {
            let ran = on_machine(&pipeline, "first", &[], script).fails(&["Nix does not work here: SIGSEGV ended it"]);
            return assert!(!ran.text.contains("trusted-users"), "{}", ran.text);
        }
        on_machine(&pipeline, "first", &[], script).succeeds();
        on_machine(&pipeline, "second", &["--on-missing", "fail"], script).succeeds();
        assert_eq!(pipeline.built_sorted(), ["a", "b", "c", "d", "e", "source", "source"]);
    });
}

#[test]
fn behind_a_daemon_a_job_is_held_as_well() {
    with_each_nix("behind_a_daemon_a_job_is_held_as_well", || {
        let pipeline = pipeline();
        let script = format!(
            "nix-daemon >/dev/null 2>&1 & daemon=$!; until test -S /nix/var/nix/daemon-socket/socket; do kill -0 $! || exit 98; sleep 0.05; done
             trap 'kill $daemon' EXIT; export NIX_REMOTE=daemon
             {COLLECTOR}"
        );
        on_machine(&pipeline, "first", &[], &script).succeeds();
        on_machine(&pipeline, "second", &["--on-missing", "fail"], &script).succeeds();
        assert_eq!(pipeline.built_sorted(), ["a", "b", "c", "d", "e", "source", "source"]);
    });
}

#[test]
fn what_a_final_job_restores_is_there_until_its_folder_goes() {
    with_each_nix("what_a_final_job_restores_is_there_until_its_folder_goes", || {
        let mut pipeline = pipeline();
        pipeline.restores(&[("d", true)]);
        pipeline.run("first", &[]).succeeds();
        pipeline.run("second", &[]).succeeds();
        let dir = pipeline.dir().join("restored");
        let dir = dir.to_str().unwrap();
        let script = format!(
            "export restored='{dir}'; \"$@\"; nix-store --gc; test -s $restored/d; test -s {}
             rm -r $restored; nix-store --gc; test ! -e {}",
            pipeline.output("a", "out"),
            pipeline.output("d", "out")
        );
        on_machine(&pipeline, "last", &["--restore", dir], &script).succeeds();
    });
}

#[test]
fn a_helper_that_is_killed_is_started_again_and_holds_the_same() {
    with_each_nix("a_helper_that_is_killed_is_started_again_and_holds_the_same", || {
        // The builder's grandparent is nixdag, whose child holds the paths.
        let kill = "read -r x < /proc/$PPID/stat; set -- $x; kill -9 $(pgrep -P $4 -f -- --serve); sleep 0.5";
        let text = r#"rec {
          ca = drvWith "ca" { __contentAddressed = true; outputHashMode = "recursive"; outputHashAlgo = "sha256"; } "@KILL@; echo > $out";
          after = drv "after" "cat ${ca} > $out; sleep 0.5";
        }"#;
        user_setting("extra-experimental-features = ca-derivations");
        let pipeline = Pipeline::new(&text.replace("@KILL@", kill), &[("job", &["ca", "after"], &[], &[])]);
        let ran = on_machine(&pipeline, "job", &[], COLLECTOR).succeeds().has("after", Outcome::Built);
        assert_eq!(ran.record.unwrap().handed_off.paths, 2, "{}", ran.text);
    });
}

/// Content-addressed derivations one on the other, and one with a known path on these.
fn content_addressed() -> Pipeline {
    user_setting("extra-experimental-features = ca-derivations");
    let mut pipeline = Pipeline::new(
        r#"
        let ca = { __contentAddressed = true; outputHashMode = "recursive"; outputHashAlgo = "sha256"; }; in
        rec {
          lower = drvWith "lower" ca "echo lower > $out; sleep 0.5";
          upper = drvWith "upper" ca "sleep 0.5; cat ${lower}; echo ${lower} > $out; sleep 0.5";
          plain = drv "plain" "sleep 0.5; cat ${upper} > $out";
          later = drv "later" "sleep 0.5; echo > $out";
        }"#,
        &[("ca", &["lower", "upper", "plain", "later"], &[], &[])],
    );
    pipeline.restores(&[("upper", false), ("later", true)]);
    pipeline
}

#[test]
fn a_collection_takes_no_content_addressed_output_either_and_a_final_job_finds_it() {
    with_each_nix("a_collection_takes_no_content_addressed_output_either_and_a_final_job_finds_it", || {
        let pipeline = content_addressed();
        on_machine(&pipeline, "ca", &[], COLLECTOR).succeeds().has("upper", Outcome::Built);
        let dir = pipeline.dir().join("restored");
        let dir = dir.to_str().unwrap();
        let script = format!(
            "export restored='{dir}'; {COLLECTOR_BESIDE}; nix-store --gc
             read -r lower < $restored/upper; read -r text < $lower; test \"$text\" = lower
             rm -r $restored; nix-store --gc; test ! -e $lower",
        );
        on_machine(&pipeline, "last", &["--restore", dir], &script).succeeds();
        assert_eq!(pipeline.built_sorted(), ["later", "lower", "plain", "upper"]);
    });
}

#[test]
fn a_nearly_full_machine_keeps_content_addressed_outputs() {
    with_each_nix("a_nearly_full_machine_keeps_content_addressed_outputs", || {
        let pipeline = content_addressed();
        let script = "export NIX_CONFIG=\"$NIX_CONFIG
min-free = 1000000000000000
min-free-check-interval = 0\"; \"$@\"";
        // It does not work with this setting.
        if nixdag::nix::store::Store::find().unwrap().version().starts_with("2.34") {
            return;
        }
        on_machine(&pipeline, "ca", &[], script).succeeds().has("upper", Outcome::Built);
        assert_eq!(pipeline.built_sorted(), ["later", "lower", "plain", "upper"]);
    });
}
