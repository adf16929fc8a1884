//! What the hand-off and the runner cost beside Nix alone, as ratios: `cargo bench --bench handoff [MEGABYTES]`, as root, with Nix and
//! zstd on the PATH. Everything happens in a mount namespace with an empty store.
//!
//! Each figure is the best of several rounds that alternate, since what else runs on a machine only ever adds.

#![allow(clippy::unwrap_used, reason = "a benchmark fails by panicking")]

#[path = "../support/empty_store.rs"]
mod empty_store;

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use nixdag::handoff::partial_cache;
use nixdag::nix::store::Store;

const ROUNDS: usize = 7;

fn main() {
    if !empty_store::enter() {
        return;
    }
    let megabytes = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(1000);
    hand_off(megabytes);
    runner(20);
}

/// Best wall and processor seconds of two ways, in turns.
fn compare(mut plain: impl FnMut(), mut ours: impl FnMut()) -> [(f64, f64); 2] {
    let mut best = [(f64::MAX, f64::MAX); 2];
    for _ in 0..ROUNDS {
        for (slot, run) in best.iter_mut().zip([&mut plain as &mut dyn FnMut(), &mut ours]) {
            let (start, before) = (Instant::now(), processor_seconds());
            run();
            slot.0 = slot.0.min(start.elapsed().as_secs_f64());
            slot.1 = slot.1.min(processor_seconds() - before);
        }
    }
    best
}

/// Processor time of this process and the children that it has waited for.
fn processor_seconds() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    fields[11..15].iter().map(|ticks| ticks.parse::<f64>().unwrap() / 100.0).sum()
}

/// Bytes that this process held at most.
fn peak_memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

fn instantiate(expression: &str) -> String {
    let output = Command::new("nix-instantiate").args(["-E", expression]).stderr(Stdio::null()).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

fn shell(script: &str) {
    assert!(Command::new("sh").args(["-ec", script]).status().unwrap().success(), "{script}");
}

fn hand_off(megabytes: u64) {
    let script = format!(
        "PATH=/bin:/usr/bin; mkdir $out; for i in 0 1 2 3; do \
         (for again in 1 2 3 4 5 6 7 8; do cat /usr/bin/* /usr/lib/*/*.so* 2>/dev/null; done) | head -c {} > $out/$i; done",
        megabytes * 250_000
    );
    let drv = instantiate(&format!(
        "derivation {{ name = \"big\"; system = builtins.currentSystem; builder = \"/bin/sh\"; args = [\"-c\" ''{}'']; }}",
        script.replace("$out", "\"$out\"")
    ));
    let output = Command::new("nix-store").args(["--realise", drv.trim()]).stderr(Stdio::null()).output().unwrap();
    let path = String::from_utf8(output.stdout).unwrap();
    let store = Store::find().unwrap();
    let infos = store.path_infos(&[path.trim()]).unwrap();
    let dir = Path::new("cache");
    let [plain, ours] = compare(
        || shell(&format!("nix-store --dump {} | zstd -q -f -3 -T0 -o plain.zst", path.trim())),
        || {
            // Else the second round would find its work done.
            let _ = fs::remove_dir_all(dir);
            partial_cache::prepare(dir, "/nix/store").unwrap();
            partial_cache::write(dir, &infos, &[], None).unwrap();
        },
    );
    let size = infos[0].nar_size as f64 / 1e6;
    println!("hand-off of {size:.0} MB, best of {ROUNDS}");
    println!("  nix-store --dump | zstd -3 -T0   {:6.2} s, {:6.2} s of processor time", plain.0, plain.1);
    println!("  nixdag                           {:6.2} s, {:6.2} s of processor time", ours.0, ours.1);
    println!("  speed beside it: {:.2} by the clock, {:.2} by processor time", plain.0 / ours.0, plain.1 / ours.1);
    println!("  peak memory: {:.0} MB", peak_memory() as f64 / 1e6);
}

/// A job of `count` derivations whose `.drv` files are in the store already.
fn runner(count: usize) {
    let drvs = instantiate(&format!(
        "builtins.genList (i: derivation {{ name = \"d${{toString i}}\"; system = builtins.currentSystem; builder = \"/bin/sh\"; \
         args = [\"-c\" \"/bin/sleep 0.1; echo > $out\"]; }}) {count}"
    ));
    let paths: Vec<&str> = drvs.lines().collect();
    let list = paths.iter().map(|path| format!("\"{path}\"")).collect::<Vec<_>>().join(",");
    let figures = r#"{"jobs":1,"builds":1,"job_seconds":1,"makespan_seconds":1,"credits":1}"#;
    let plan = format!(
        r#"{{"version":1,"flake":null,"base":null,"store_dir":"/nix/store","jobs":[{{"id":"job","name":"job","system":"x","targets":[],
        "derivations":[{list}],"co_located":[],"requires":[],"inputs":[],"executor":null,"image":null,"resource_class":null,"options":{{}},
        "estimate":{{"seconds":1,"from":"default"}}}}],"final":[],"skipped":[],"errors":[],"estimates":{{"needed":1,"duplicates":0,
        "lower_bound_seconds":1,"plan":{figures},"flat":{figures},"ordered":{figures},"per_derivation":{figures}}}}}"#
    );
    fs::write("plan.json", plan).unwrap();
    let outputs = Command::new("nix-store").args(["--query", "--outputs"]).args(&paths).output().unwrap();
    let outputs = String::from_utf8(outputs.stdout).unwrap().replace('\n', " ");
    let forget = format!("nix-store --delete {outputs} >/dev/null 2>&1 || :; rm -rf workspace results");
    let realise = format!("nix-store --realise {} >/dev/null 2>&1", paths.join(" "));
    let nixdag = env!("CARGO_BIN_EXE_nixdag");
    let build =
        format!("{nixdag} build --plan plan.json --job job --workspace workspace --results results >/dev/null 2>&1");
    let (mut plain, mut ours) = (f64::MAX, f64::MAX);
    for _ in 0..ROUNDS {
        for (best, script) in [(&mut plain, &realise), (&mut ours, &build)] {
            shell(&forget);
            let start = Instant::now();
            let error = Command::new("sh").args(["-ec", script]).process_group(0).status().unwrap();
            assert!(error.success());
            *best = best.min(start.elapsed().as_secs_f64());
        }
    }
    println!("job of {count} derivations, each of a tenth of a second, best of {ROUNDS}");
    println!("  nix-store --realise              {plain:6.2} s");
    println!(
        "  nixdag build with hand-off       {ours:6.2} s: {:.2} s more, {:.1} %",
        ours - plain,
        (ours / plain - 1.0) * 100.0
    );
}
