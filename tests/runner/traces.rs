//! What Nix 2.35 writes, read by final jobs on machines with any version: which outputs content-addressed derivations have is in build traces. The
//! files in `tests/fixtures/build-traces/cache` are Nix 2.35.3's own, of the flake that is below as an expression.

use std::fs;
use std::path::{Path, PathBuf};

use crate::support::cache_server::{Server, file};
use crate::support::pipeline::{Pipeline, Ran, with_each_nix};
use crate::support::{copy_into, repository};

/// The derivations, the same bytes with every version.
const DRVS: &str = r#"let
    d = n: s: extra: derivation ({ name = n; system = "x86_64-linux"; builder = "/bin/sh"; PATH="/usr/bin:/bin"; args = [ "-c" s ]; } // extra);
    ca = { __contentAddressed = true; outputHashMode = "recursive"; outputHashAlgo = "sha256"; };
  in rec {
    x = d "x" "echo x > $out" ca;
    y = d "y" "cat ${x} > $out; echo y >> $out" ca;
    z = d "z" "cat ${y} ${x} > $out" ca;
  }"#;

/// The files of Nix 2.35.
fn cache() -> PathBuf {
    repository().join("tests/fixtures/build-traces/cache")
}

/// A pipeline whose job `ca` has left its outputs, which are the same with every version, and the traces that Nix 2.35 wrote; or that part of it
/// that `keep` names.
fn pipeline(keep: impl Fn(&str) -> bool) -> Pipeline {
    crate::support::pipeline::user_setting("extra-experimental-features = ca-derivations");
    let mut pipeline = Pipeline::new(DRVS, &[("ca", &["x", "y", "z"], &[], &[])]);
    pipeline.restores(&[("y", false), ("z", false)]);
    pipeline.run("ca", &[]).succeeds();
    let folder = pipeline.handed_off("ca");
    copy_into(&cache().join("build-trace-v2"), &folder);
    for entry in fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap()) {
        let name = entry.file_name().into_string().unwrap();
        if name == "realisations" || !keep(&name) {
            let path = entry.path();
            if path.is_dir() { fs::remove_dir_all(path).unwrap() } else { fs::remove_file(path).unwrap() }
        }
    }
    pipeline
}

/// Runs the final job and shows what it finds.
fn last(pipeline: &Pipeline, more: &[&str]) -> Ran {
    let dir = pipeline.dir().join("restored");
    let mut command = crate::support::empty_store::empty_store();
    let script = "\"$@\"; for name in y z; do cat \"$restored/$name\" | tr '\\n' ' '; done";
    command.args(["bash", "-euc", script, "bash", env!("CARGO_BIN_EXE_nixdag")]);
    command.args(pipeline.arguments("last")).args(more).arg("--restore").arg(&dir).env("restored", &dir);
    pipeline.ran("last", command.output().unwrap())
}

#[test]
fn what_nix_2_35_has_handed_on_is_found() {
    with_each_nix("what_nix_2_35_has_handed_on_is_found", || {
        let ran = last(&pipeline(|_| true), &[]).succeeds();
        assert!(ran.text.contains("x y x y x "), "{}", ran.text);
    });
}

#[test]
fn the_traces_alone_lead_to_outputs_that_a_store_has() {
    with_each_nix("the_traces_alone_lead_to_outputs_that_a_store_has", || {
        let server = Server::new(|seen| file(fs::read(cache().join(&seen.path[1..])).ok()));
        let url = server.url();
        let options = ["extra-substituters", &url, "require-sigs", "false"];
        let options: Vec<&str> = options.chunks(2).flat_map(|pair| ["--nix-option", pair[0], pair[1]]).collect();
        let ran = last(&pipeline(|name| name.starts_with("build-trace")), &options).succeeds();
        assert!(ran.text.contains("x y x y x "), "{}", ran.text);
    });
}

#[test]
fn without_its_trace_or_with_anothers_an_output_is_named_as_missing() {
    with_each_nix("without_its_trace_or_with_anothers_an_output_is_named_as_missing", || {
        let missing = "target `packages.x86_64-linux.z` cannot be restored: the path of output `out` is missing (job `ca` should have handed it off";
        last(&pipeline(|name| !name.starts_with("build-trace")), &[]).fails(&[missing]);
        let pipeline = pipeline(|_| true);
        let traces = pipeline.handed_off("ca").join("build-trace-v2");
        // Under the name of one that the plan does not have.
        let of_z = fs::read_dir(&traces).unwrap().map(|entry| entry.unwrap().path());
        let of_z = of_z.into_iter().find(|path| path.to_str().unwrap().ends_with("-z.drv")).unwrap();
        let other: &Path = &traces.join("00000000000000000000000000000000-z.drv");
        fs::rename(of_z, other).unwrap();
        last(&pipeline, &[]).fails(&[missing]);
    });
}
