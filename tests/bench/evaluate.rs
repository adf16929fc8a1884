//! What evaluation costs beside one `nix eval` of the same attributes: `cargo bench --bench evaluate [PACKAGES]`, with Nix on the PATH,
//! as root. Everything happens in a mount namespace with an empty store.
//!
//! Each way has its own packages in each round, so that all write their derivations; the ways alternate, and the best of the rounds
//! counts, since what else runs on a machine only ever adds.

#![allow(clippy::unwrap_used, reason = "a benchmark fails by panicking")]

#[path = "../support/empty_store.rs"]
mod empty_store;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use nixdag::evaluation_cache::{self, EvaluationCache};
use nixdag::nix::command::Nix;
use nixdag::nix::evaluate::{BudgetRequest, Request, evaluate};
use nixdag::nix::system;

const ROUNDS: usize = 3;

/// Bytes that all evaluating processes of nixdag may hold.
const BUDGET: u64 = 2 << 30;

fn main() {
    if !empty_store::enter() {
        return;
    }
    let packages = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(2000);
    // As many as nixdag takes itself for so many packages, where there is enough memory.
    let workers = 2 * std::thread::available_parallelism().map_or(1, usize::from) as u32;
    for (kind, work) in [("light", 10), ("like nixpkgs", 16000)] {
        compare(kind, packages, work, workers);
    }
}

/// A flake of generated packages, each with a dependency of its own and some that all share, and `work` additions to evaluate it.
fn write_flake(seed: usize, packages: usize, work: usize) -> String {
    let folder = format!("flake{seed}");
    fs::create_dir_all(&folder).unwrap();
    let text = format!(
        r#"{{ outputs = {{ self }}: let
          mk = name: inputs: derivation {{ inherit name inputs; system = "{system}"; builder = "/bin/sh"; args = [ "-c" "echo > $out" ]; }};
          add = n: builtins.foldl' (a: b: a + b) 0 (builtins.genList (x: x * n) {work});
          shared = builtins.genList (n: mk "shared-{seed}-${{toString n}}" [ (add n) ]) 50;
          package = n: mk "package-{seed}-${{toString n}}" [ (builtins.elemAt shared (n - n / 50 * 50)) (add n) ];
        in {{ packages.{system} = builtins.listToAttrs (builtins.genList (n: {{ name = "p${{toString n}}"; value = package n; }}) {packages}); }}; }}"#,
        system = system::current()
    );
    fs::write(Path::new(&folder).join("flake.nix"), text).unwrap();
    format!("path:{}", fs::canonicalize(folder).unwrap().display())
}

/// Seconds that something takes.
fn seconds(work: impl FnOnce()) -> f64 {
    let start = Instant::now();
    work();
    start.elapsed().as_secs_f64()
}

/// Bytes that one of the processes that have ended so far held at most.
fn peak_memory() -> u64 {
    // SAFETY: all zeros is a value of this type, which the call fills in.
    #[allow(unsafe_code)]
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        assert_eq!(libc::getrusage(libc::RUSAGE_CHILDREN, &raw mut usage), 0);
        usage
    };
    usage.ru_maxrss as u64 * 1024
}

fn nix_eval(flake: &str) {
    let status = Command::new("nix")
        .args([
            "--extra-experimental-features",
            "nix-command flakes",
            "eval",
            "--json",
            "--option",
            "eval-cache",
            "false",
        ])
        .args(["--apply", "builtins.mapAttrs (name: package: package.drvPath)"])
        .arg(format!("{flake}#packages.{}", system::current()))
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success());
}

fn compare(kind: &str, packages: usize, work: usize, workers: u32) {
    let nix = Nix::find().unwrap();
    let request = |flake: &str, workers| Request {
        flake: flake.to_owned(),
        budget: BudgetRequest { workers: Some(workers), total_memory: Some(BUDGET), ..BudgetRequest::default() },
        ..Request::default()
    };
    let ours = |flake: &str, workers: u32| {
        let evaluation = evaluate(&nix, &request(flake, workers), &|_| {}).unwrap();
        assert_eq!((evaluation.targets.len(), evaluation.errors.len()), (packages, 0));
    };
    let mut seeds = work..;
    let mut flake = || write_flake(seeds.next().unwrap(), packages, work);
    let mut best = [f64::MAX; 3];
    let mut peak = 0;
    for round in 0..ROUNDS {
        for (slot, way) in best.iter_mut().zip(["all", "one", "nix"]) {
            let flake = flake();
            *slot = slot.min(seconds(|| match way {
                "all" => ours(&flake, workers),
                "one" => ours(&flake, 1),
                _ => nix_eval(&flake),
            }));
            if (round, way) == (0, "all") {
                peak = peak_memory();
            }
        }
    }
    let [all, one, nix_alone] = best;
    let (flake, cache) = (flake(), EvaluationCache::Stays("cache".into()));
    let cached = || {
        let request = request(&flake, workers);
        evaluation_cache::evaluate(&nix, &request, &cache, &|_| {}, &mut |_| {}).unwrap();
    };
    cached();
    let again = (0..ROUNDS).map(|_| seconds(cached)).fold(f64::MAX, f64::min);
    println!("{packages} packages, {kind}, best of {ROUNDS}");
    println!("  nix eval, one process        {nix_alone:6.2} s");
    println!("  nixdag, one process          {one:6.2} s");
    println!("  nixdag, {workers} processes          {all:6.2} s: {:.2} times as fast as nix eval", nix_alone / all);
    println!("  nixdag, cached               {again:6.2} s");
    println!(
        "  peak memory of a process {:6} MB, of {workers} at most {} MB within a budget of {} MB",
        peak >> 20,
        (peak >> 20) * u64::from(workers),
        BUDGET >> 20
    );
}
