//! Jobs that build more than the store's disk holds: what was handed on and is no longer needed makes room for the rest.

use std::process::Command;

use nixdag::build::record::Outcome;
use nixdag::plan::Expected;

use crate::support::empty_store::empty_store;
use crate::support::pipeline::{JobOf, Pipeline, Ran, with_each_nix};
use crate::support::with_nix;

/// Links of a chain, and bytes of each.
const LINKS: usize = 6;
const BYTES: u64 = 8_000_000;

/// A chain of outputs that cannot be compressed, each of which needs the one before it, in one job, and a job that needs the last one.
fn chain() -> Pipeline {
    chain_of(LINKS, BYTES)
}

fn chain_of(links: usize, bytes: u64) -> Pipeline {
    let link = |at: usize| {
        let before = if at == 0 { String::new() } else { format!("wc -c < ${{c{}}} >&2;", at - 1) };
        format!(r#"c{at} = drv "c{at}" "{before} head -c {bytes} /dev/urandom > $out";"#)
    };
    let text: String = (0..links).map(link).collect();
    let names: Vec<String> = (0..links).map(|at| format!("c{at}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let last = links - 1;
    let text = format!(r#"rec {{ {text} end = drv "end" "wc -c < ${{c{last}}} > $out; wc -c < ${{c0}} >> $out"; }}"#);
    let jobs: &[JobOf] = &[("chain", &names, &[], &[]), ("end", &["end"], &[], &["chain"])];
    Pipeline::new(&text, jobs)
}

/// Runs a job where the store's disk has so many megabytes.
fn on_disk(pipeline: &Pipeline, job: &str, megabytes: u32, more: &[&str]) -> Ran {
    let script = format!("mount -o remount,size={megabytes}m /nix; \"$@\"");
    let mut command: Command = empty_store();
    command.args(["bash", "-euc", &script, "bash", env!("CARGO_BIN_EXE_nixdag")]);
    command.args(pipeline.arguments(job)).args(more);
    pipeline.ran(job, command.output().unwrap())
}

/// Each link was begun once, and all came out as built.
#[track_caller]
fn each_once(pipeline: &Pipeline, ran: &Ran) {
    let names: Vec<String> = (0..LINKS).map(|at| format!("c{at}")).collect();
    assert_eq!(pipeline.built(), names, "{}", ran.text);
    for name in &names {
        let derivation = ran.of(name);
        assert_eq!((derivation.outcome, derivation.used.nar_bytes), (Outcome::Built, Some(BYTES + 112)), "{name}");
    }
    assert_eq!(ran.record.as_ref().unwrap().handed_off.paths, LINKS as u64, "{}", ran.text);
}

#[test]
fn a_chain_larger_than_the_disk_is_handed_on_through_a_workspace_as_it_is_built() {
    with_each_nix("a_chain_larger_than_the_disk_is_handed_on_through_a_workspace_as_it_is_built", || {
        let pipeline = chain();
        let ran = on_disk(&pipeline, "chain", 24, &[]).succeeds();
        each_once(&pipeline, &ran);
        assert!(ran.text.contains("removed that nothing left in this job needs"), "{}", ran.text);
        pipeline.run("end", &["--on-missing", "fail"]).succeeds().has("end", Outcome::Built);
    });
}

#[test]
fn a_chain_larger_than_the_disk_is_handed_on_through_a_store_as_it_is_built() {
    with_nix("a_chain_larger_than_the_disk_is_handed_on_through_a_store_as_it_is_built", || {
        let pipeline = chain();
        let url = format!("file://{}?compression=none", pipeline.dir().join("cache").display());
        let cache = ["--handoff", "cache", "--cache", &url, "--nix-option", "require-sigs", "false"];
        let ran = on_disk(&pipeline, "chain", 24, &cache).succeeds();
        each_once(&pipeline, &ran);
        pipeline.run("end", &[&cache[..], &["--on-missing", "fail"]].concat()).succeeds().has("end", Outcome::Built);
    });
}

/// Ten links of 30 MB, of which two are wanted at a time.
#[test]
fn three_hundred_megabytes_are_built_on_a_disk_of_a_hundred() {
    with_nix("three_hundred_megabytes_are_built_on_a_disk_of_a_hundred", || {
        let pipeline = chain_of(10, 30_000_000);
        let ran = on_disk(&pipeline, "chain", 100, &[]).succeeds();
        assert_eq!((pipeline.built().len(), ran.record.unwrap().handed_off.paths), (10, 10), "{}", ran.text);
        let pipeline = chain_of(10, 30_000_000);
        let url = format!("file://{}?compression=none", pipeline.dir().join("cache").display());
        let cache = ["--handoff", "cache", "--cache", &url, "--nix-option", "require-sigs", "false"];
        let ran = on_disk(&pipeline, "chain", 100, &cache).succeeds();
        assert_eq!((pipeline.built().len(), ran.record.unwrap().handed_off.paths), (10, 10), "{}", ran.text);
    });
}

#[test]
fn what_was_recorded_of_sizes_makes_rounds_and_names_what_will_not_fit_before_it_begins() {
    with_nix("what_was_recorded_of_sizes_makes_rounds_and_names_what_will_not_fit_before_it_begins", || {
        let mut pipeline = chain();
        let size = |bytes: u64| Expected { nar_bytes: Some(bytes), memory: None };
        let links: Vec<String> = (0..LINKS).map(|at| pipeline.drv(&format!("c{at}")).to_owned()).collect();
        pipeline.plan.expected = links.iter().map(|drv| (drv.as_str().into(), size(BYTES))).collect();
        pipeline.sha256 = pipeline.write_bundle("bundle");
        let ran = on_disk(&pipeline, "chain", 24, &[]).succeeds();
        each_once(&pipeline, &ran);
        assert!(!ran.text.contains("will probably not fit"), "{}", ran.text);
        // A record that is wrong costs a line and no verdict.
        pipeline.plan.expected.insert(links[2].as_str().into(), size(1 << 50));
        pipeline.sha256 = pipeline.write_bundle("bundle");
        let ran = on_disk(&pipeline, "chain", 24, &[]).succeeds();
        let named = ran.text.find("c2 will probably not fit").expect(&ran.text);
        assert!(ran.text[named..].contains("too few") && ran.text.matches("will probably not fit").count() == 1);
    });
}

#[test]
fn what_other_jobs_have_built_and_cannot_fit_is_not_fetched() {
    with_nix("what_other_jobs_have_built_and_cannot_fit_is_not_fetched", || {
        let pipeline = chain();
        pipeline.run("chain", &[]).succeeds();
        on_disk(&pipeline, "end", 10, &[]).fails(&["no room for the results of other jobs: 2 paths of 16.0 MB"]);
        let alone = ["--on-missing", "fail"];
        let ran = on_disk(&pipeline, "end", 24, &alone).succeeds();
        assert_eq!(ran.record.unwrap().measured.fetched_bytes, Some(16_000_224));
    });
}
