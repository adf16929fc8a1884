//! What evaluation costs beside one `nix eval` of the same attributes, of the good ones where some fail: `cargo bench --bench evaluate
//! [CASE…]`, with Nix on the PATH, as root. Everything happens in a mount namespace with an empty store.
//!
//! Both have their own attributes in each round, so that all write their derivations; they alternate, and the median of the rounds counts,
//! of the ratios too. Seconds of processor time are those of all processes.

#![allow(clippy::unwrap_used, reason = "a benchmark fails by panicking")]

#[path = "../support/empty_store.rs"]
mod empty_store;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use nixdag::evaluation_cache::{self, EvaluationCache};
use nixdag::nix::command::Nix;
use nixdag::nix::evaluate::{BudgetRequest, EvaluationRequest, evaluate};
use nixdag::nix::system;
use nixdag::pattern::Pattern;

const ROUNDS: usize = 5;

/// Bytes that all evaluating processes of nixdag may hold.
const BUDGET: u64 = 3 << 30;

/// Attributes of the package set that fail.
const FAILING: usize = 137 + 2 * 25;

/// What every flake begins with; `SEED` makes its derivations its own.
const COMMON: &str = r#"
  mk = name: inputs: derivation { inherit name inputs; system = "SYSTEM"; builder = "/bin/sh"; args = [ "-c" "echo > $out" ]; };
  named = count: value: builtins.listToAttrs (builtins.genList (n: { name = "p${toString n}"; value = value n; }) count);
  add = work: n: builtins.foldl' (a: b: a + b) 0 (builtins.genList (x: x * n) work);
  shared = work: builtins.genList (n: mk "shared-SEED-${toString n}" [ (add work n) ]) 50;
  packages = count: work: let all = shared work; in
    named count (n: mk "package-SEED-${toString n}" [ (builtins.elemAt all (n - n / 50 * 50)) (add work n) ]);
  good = mk "good-SEED" [ ];
"#;

/// A package set like nixpkgs' top level: functions that are called by the names of their arguments from a fixed point, arguments for
/// each package with defaults, checks of `meta` before a derivation is there, each eighth broken or unfree, some of them in a way
/// that nothing catches, and sets inside.
const SET: &str = r#"
  fix = f: let x = f x; in x;
  callPackage = self: function: builtins.addErrorContext "while calling a package" (function (builtins.intersectAttrs (builtins.functionArgs function) self));
  check = meta: value:
    if meta.aborts or false then abort "Package ‘${meta.name}’ ends the process"
    else if meta.broken or false then throw "Package ‘${meta.name}’ in pkgs.nix:1 is marked as broken, refusing to evaluate."
    else if meta.unfree or false then throw "Package ‘${meta.name}’ in pkgs.nix:1 has an unfree license (‘unfree’), refusing to evaluate."
    else value;
  mkDerivation = args: let
      meta = { inherit (args) name; } // args.meta or { };
      attributes = builtins.removeAttrs args [ "meta" "passthru" ] // { system = "SYSTEM"; builder = "/bin/sh"; args = [ "-c" "echo > $out" ]; };
      drv = derivation attributes;
    in drv // args.passthru or { } // {
      inherit meta; outPath = check meta drv.outPath; drvPath = check meta drv.drvPath; type = "derivation";
      overrideAttrs = f: mkDerivation (args // f args);
    };
  package = prefix: n: { stdenv, all }: mkDerivation {
    name = "${prefix}-SEED-${toString n}";
    inputs = [ stdenv ] ++ map (i: all."p${toString (core (n * i))}") (if n < 64 then [ ] else [ 3 5 11 ]);
    flags = builtins.concatStringsSep " " (builtins.genList (i: builtins.hashString "sha256" "${prefix} ${toString n} ${toString i}") 1500);
    meta = { description = "package ${toString n}"; } // (if fails n then if n - n / 16 * 16 == 7 then { broken = true; aborts = n - n / 64 * 64 == 39; } else { unfree = true; } else { });
  };
  # One of those that many packages need.
  core = n: let m = n - n / 64 * 64; in if fails m then m - 1 else m;
  # An eighth of them; nobody's input.
  fails = n: n - n / 8 * 8 == 7;
  pkgs = fix (self: let
      stdenv = mkDerivation { name = "stdenv-SEED"; };
      call = prefix: n: callPackage { inherit stdenv; all = self; } (package prefix n);
      inner = prefix: named 200 (call prefix) // { recurseForDerivations = true; };
    in named COUNT (call "package") // { inherit stdenv; python = inner "python"; perl = inner "perl"; pkgs = self; lib = { id = x: x; }; });
"#;

/// A module system of honest weight: each host merges a few hundred options, in sets of sets, from modules that all share, with priorities,
/// types and conditions, and every unit of it becomes a derivation.
const HOSTS: &str = r#"
  merge = path: definitions: let
      names = builtins.attrNames (builtins.foldl' (a: b: a // b) { } definitions);
      value = name: let
          found = builtins.filter (d: d ? ${name}) definitions;
          values = map (d: d.${name}) found;
          first = builtins.head values;
        in if builtins.isAttrs first && !(first ? priority) then merge (path ++ [ name ]) values
           else if builtins.isList first then builtins.concatLists values
           else (builtins.head (builtins.sort (a: b: a.priority or 100 < b.priority or 100) (map (v: if builtins.isAttrs v then v else { priority = 100; value = v; }) values))).value;
    in builtins.listToAttrs (map (name: { inherit name; value = builtins.addErrorContext "in ${builtins.concatStringsSep "." path}" (value name); }) names);
  module = m: { config, host }: {
    services = builtins.listToAttrs (builtins.genList (s: { name = "service-${toString (m * 7 + s)}"; value = {
      enable = { priority = 100 + m; value = host - host / 3 * 3 != s - s / 3 * 3; };
      settings = builtins.listToAttrs (builtins.genList (o: { name = "option${toString o}"; value = { priority = o + m; value = "${toString m} ${toString s} ${toString o} ${config.networking.hostName}"; }; }) 12);
      requires = [ "base-${toString m}" ];
    }; }) 10);
    environment.etc = builtins.listToAttrs (builtins.genList (e: { name = "file${toString (m + e)}"; value = { priority = m; value = builtins.hashString "sha256" "${toString m}${toString e}"; }; }) 20);
    networking.hostName = { priority = 1000 - m; value = "host${toString host}"; };
  };
  modules = builtins.genList module 12;
  unit = name: service: mk "unit-${name}-SEED" [ (builtins.toJSON service.settings) (toString service.requires) (toString service.enable) ];
  evalHost = host: let
      config = merge [ ] (map (m: m { inherit config host; }) modules);
      services = builtins.attrNames config.services;
      units = map (name: unit name config.services.${name}) services;
    in { config = { inherit (config) networking; system.build.toplevel = mk "host-${toString host}-SEED" [ units (builtins.toJSON config.environment.etc) ]; }; };
  hosts = builtins.listToAttrs (builtins.genList (n: { name = "host${toString n}"; value = evalHost n; }) COUNT);
"#;

/// The set that a list of packages is made of.
const PACKAGES: &str = "set: map (p: p.drvPath) (builtins.attrValues set)";

/// What is compared.
#[derive(Default)]
struct Case {
    name: &'static str,
    bindings: String,
    outputs: String,
    select: &'static [&'static str],
    /// What one `nix eval` goes through: an output, and a function from it to the paths of derivations.
    yardstick: (&'static str, String),
    /// Targets and errors that nixdag finds.
    found: (usize, usize),
}

fn cases() -> Vec<Case> {
    let flat = |name, count: usize, work: u32| Case {
        name,
        outputs: format!("packages.SYSTEM = packages {count} {work};"),
        yardstick: ("packages.SYSTEM", PACKAGES.to_owned()),
        found: (count, 0),
        ..Case::default()
    };
    let throwing = "builtins.listToAttrs (builtins.genList (n: { name = \"bad${toString n}\"; value = throw \"${toString n} is bad\"; }) 200)";
    let good = "builtins.filter (p: p.type or null == \"derivation\" && !(p.meta.broken or p.meta.unfree or false))";
    vec![
        flat("1 tiny attribute", 1, 10),
        flat("5 tiny attributes", 5, 10),
        flat("50 tiny attributes", 50, 10),
        flat("20 attributes that share work", 20, 20_000),
        flat("210 good attributes", 210, 10),
        Case {
            outputs: format!("packages.SYSTEM = packages 10 10 // {throwing};"),
            yardstick: (
                "packages.SYSTEM",
                "set: map (n: set.\"p${toString n}\".drvPath) (builtins.genList (n: n) 10)".to_owned(),
            ),
            found: (10, 200),
            ..flat("10 good, 200 that throw", 10, 10)
        },
        Case {
            name: "a set of 1,500, an eighth fails",
            bindings: SET.replace("COUNT", "1100"),
            outputs: "legacyPackages.SYSTEM = pkgs;".to_owned(),
            select: &["legacyPackages.*.*"],
            yardstick: (
                "legacyPackages.SYSTEM",
                format!(
                    "set: map (p: p.drvPath) ({good} (builtins.concatMap builtins.attrValues [ set set.python set.perl ]))"
                ),
            ),
            found: (1501 - FAILING, FAILING),
        },
        flat("2,000 like nixpkgs", 2000, 16_000),
        Case {
            name: "100 hosts",
            bindings: HOSTS.replace("COUNT", "100"),
            outputs: "nixosConfigurations = hosts;".to_owned(),
            select: &["nixosConfigurations.*.config.system.build.toplevel"],
            yardstick: (
                "nixosConfigurations",
                "set: map (host: host.config.system.build.toplevel.drvPath) (builtins.attrValues set)".to_owned(),
            ),
            found: (100, 0),
        },
    ]
}

fn main() {
    if !empty_store::enter() {
        return;
    }
    let wanted: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let nix = Nix::find().unwrap();
    println!("Nix {}, median of {ROUNDS} rounds, memory at most {} MB", nix.version(), BUDGET >> 20);
    println!("{:32} {:>17} {:>17} {:>17} {:>8} {:>8}", "", "nix eval", "nixdag", "ratio", "cached", "peak of");
    println!("{:32} {}    wall  one, MB", "", "    wall      CPU".repeat(3));
    for (at, case) in cases().iter().enumerate() {
        if wanted.is_empty() || wanted.iter().any(|word| case.name.contains(word.as_str())) {
            compare(case, 100 * at);
        }
    }
}

fn write_flake(seed: usize, case: &Case) -> String {
    let folder = format!("flake{seed}");
    fs::create_dir_all(&folder).unwrap();
    let text = format!("{{ outputs = {{ self }}: let {COMMON}{} in {{ {} }}; }}", case.bindings, case.outputs);
    let text = text.replace("SYSTEM", &system::current()).replace("SEED", &seed.to_string());
    fs::write(Path::new(&folder).join("flake.nix"), text).unwrap();
    format!("path:{}", fs::canonicalize(folder).unwrap().display())
}

/// Seconds that something takes, and those of the processor.
#[derive(Clone, Copy)]
struct Took {
    wall: f64,
    processor: f64,
}

impl Took {
    fn of(work: impl FnOnce()) -> Self {
        let (start, before) = (Instant::now(), usage().0);
        work();
        Self { wall: start.elapsed().as_secs_f64(), processor: usage().0 - before }
    }

    fn over(self, other: Self) -> Self {
        Self { wall: self.wall / other.wall, processor: self.processor / other.processor }
    }

    fn median(all: &[Self]) -> Self {
        let middle = |part: fn(&Self) -> f64| {
            let mut values: Vec<f64> = all.iter().map(part).collect();
            values.sort_by(f64::total_cmp);
            values[values.len() / 2]
        };
        Self { wall: middle(|took| took.wall), processor: middle(|took| took.processor) }
    }
}

/// Seconds of the processor so far, and bytes that one of the processes that have ended held at most.
fn usage() -> (f64, u64) {
    let (mut seconds, mut peak) = (0.0, 0);
    for who in [libc::RUSAGE_SELF, libc::RUSAGE_CHILDREN] {
        // SAFETY: all zeros is a value of this type, which the call fills in.
        #[allow(unsafe_code)]
        let usage = unsafe {
            let mut usage: libc::rusage = std::mem::zeroed();
            assert_eq!(libc::getrusage(who, &raw mut usage), 0);
            usage
        };
        let time = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
        seconds += time(usage.ru_utime) + time(usage.ru_stime);
        peak = usage.ru_maxrss as u64 * 1024;
    }
    (seconds, peak)
}

fn nix_eval(flake: &str, (output, function): &(&str, String)) {
    let status = Command::new("nix")
        .args(["--extra-experimental-features", "nix-command flakes", "eval", "--json"])
        .args(["--option", "eval-cache", "false", "--apply", function])
        .arg(format!("{flake}#{}", output.replace("SYSTEM", &system::current())))
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success());
}

fn request(flake: &str, case: &Case) -> EvaluationRequest {
    EvaluationRequest {
        flake: flake.to_owned(),
        select: case.select.iter().map(|text| Pattern::parse(text).unwrap()).collect(),
        budget: BudgetRequest { total_memory: Some(BUDGET), ..BudgetRequest::default() },
        ..EvaluationRequest::default()
    }
}

fn compare(case: &Case, seed: usize) {
    // As each command does once.
    let find = || Nix::find().unwrap();
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    let flake = |round: usize| write_flake(seed + round, case);
    for round in 0..ROUNDS {
        let (one, other) = (flake(2 * round), flake(2 * round + 1));
        theirs.push(Took::of(|| nix_eval(&one, &case.yardstick)));
        ours.push(Took::of(|| {
            let evaluation = evaluate(&find(), &request(&other, case), &|_| {}).unwrap();
            assert_eq!(
                (evaluation.targets.len(), evaluation.errors.len()),
                case.found,
                "{:?}",
                evaluation.errors.first()
            );
        }));
    }
    let ratios: Vec<Took> = ours.iter().zip(&theirs).map(|(ours, theirs)| ours.over(*theirs)).collect();
    let [ours, theirs, ratio] = [ours, theirs, ratios].map(|all| Took::median(&all));
    let peak = usage().1 >> 20;
    let (flake, cache) = (flake(0), EvaluationCache::Stays("cache".into()));
    let cached = || {
        evaluation_cache::evaluate(&find(), &request(&flake, case), &cache, &|_| {}, &mut |_| {}).unwrap();
    };
    cached();
    let again = Took::median(&(0..ROUNDS).map(|_| Took::of(cached)).collect::<Vec<_>>());
    println!(
        "{:32} {:8.3} {:8.3} {:8.3} {:8.3} {:8.2} {:8.2} {:8.3} {:8}",
        case.name,
        theirs.wall,
        theirs.processor,
        ours.wall,
        ours.processor,
        ratio.wall,
        ratio.processor,
        again.wall,
        peak
    );
}
