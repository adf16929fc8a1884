//! Closures by what narinfo files say, against what Nix itself says of the same paths.

use std::fs;

use nixdag::closure::difference::{PackageChange, difference};
use nixdag::closure::{KnownPaths, PathFacts};
use nixdag::nix::narinfo::NarInfo;
use nixdag::nix::path_info::parse_dump;
use tempfile::TempDir;

use crate::support::FreshNix;

/// Closures that are compared, each with the one before.
const PAIRS: usize = 20;

/// Programs that differ in what they refer to: packages come and go, change their version, grow by less and by more than 8 KiB, have outputs,
/// no version, or two versions at once.
const EXPRESSION: &str = r#"
let
  mod = a: b: a - (a / b) * b;
  file = name: lines: references: derivation {
    inherit name references;
    lines = toString lines;
    system = builtins.currentSystem;
    builder = "/bin/sh";
    args = [ "-c" ''
      line=0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789
      i=0
      while [ $i -lt $lines ]; do echo $line; i=$((i + 1)); done > $out
      echo "$references" >> $out
    '' ];
  };
  low = g: file "low-${toString (g / 4)}.0" 20 [ ];
  packages = g: builtins.filter (p: p != null) [
    (if mod g 3 == 0 then null else file "come-1.${toString (g / 7)}" 40 [ (low g) ])
    (file "version-2.${toString g}-bin" 30 [ (low g) ])
    (file "grows" (100 + 5 * g * mod g 2) [ ])
    (file "leaps-1.0" (50 + 300 * mod g 4) [ ])
    (file "tool-unstable-2024-0${toString (mod g 5 + 1)}" 10 [ ])
    (file "both-1" 15 [ ])
    (if mod g 2 == 0 then file "both-${toString (2 + g)}-dev" 15 [ ] else null)
    (file "plain-name" 5 [ ])
    (if g > 10 then file "plain-lib64" 900 [ ] else null)
    (file "9-${toString g}" 3 [ ])
  ];
in builtins.genList (g: file "program-${toString g}" 1 (packages g)) 21
"#;

/// As `nix store diff-closures` prints it.
fn line(change: &PackageChange) -> String {
    let versions = |all: &[String]| -> String {
        let shown: Vec<&str> = all.iter().map(|version| if version.is_empty() { "ε" } else { version }).collect();
        if shown.is_empty() { "∅".to_owned() } else { shown.join(", ") }
    };
    let mut items = Vec::new();
    if !change.before.is_empty() || !change.after.is_empty() {
        items.push(format!("{} → {}", versions(&change.before), versions(&change.after)));
    }
    if change.bytes.abs() >= 8 * 1024 {
        items.push(format!("{:.1} KiB", change.bytes as f64 / 1024.0));
    }
    format!("{}: {}", change.name, items.join(", "))
}

#[test]
fn differences_and_sizes_are_those_that_nix_tells() {
    let nix = FreshNix::every_version().pop().unwrap();
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("programs.nix"), EXPRESSION).unwrap();
    nix.script(
        dir.path(),
        "export NIX_CONFIG=\"$NIX_CONFIG
         extra-experimental-features = nix-command\"
         nix-build --no-out-link programs.nix > programs
         nix copy --to file://$PWD/cache $(cat programs)
         nix-store --dump-db $(nix-store --query --requisites $(cat programs)) > registered
         before=
         while read -r program; do
           nix path-info -S $program >> sizes
           if [ -n \"$before\" ]; then nix store diff-closures $before $program; echo; fi >> differences
           before=$program
         done < programs",
    );
    let read = |name: &str| fs::read_to_string(dir.path().join(name)).unwrap();
    let programs: Vec<String> = read("programs").lines().map(|path| path["/nix/store/".len()..].to_owned()).collect();
    let mut known = KnownPaths::default();
    known.load(&programs, &mut |bases| {
        let file = |base: &String| fs::read(dir.path().join(format!("cache/{}.narinfo", &base[..32]))).unwrap();
        bases.iter().map(|base| Some(NarInfo::parse(&file(base)).unwrap().into())).collect()
    });
    // The store says the same as a cache.
    let registered = parse_dump(&read("registered")).unwrap();
    let mut here = KnownPaths::default();
    here.load(&programs, &mut |bases| {
        let of = |base: &String| registered.iter().find(|info| info.path.ends_with(base.as_str())).cloned();
        bases.iter().map(|base| of(base).map(PathFacts::from)).collect()
    });
    for base in &programs {
        assert_eq!(here.closure([base.clone()]), known.closure([base.clone()]));
    }
    let closures: Vec<_> = programs.iter().map(|base| known.closure([base.clone()])).collect();
    let sizes: Vec<u64> =
        read("sizes").lines().map(|line| line.split_whitespace().last().unwrap().parse().unwrap()).collect();
    assert_eq!(closures.iter().map(|closure| closure.bytes().unwrap()).collect::<Vec<_>>(), sizes);
    let ours: String = closures
        .windows(2)
        .flat_map(|pair| {
            let changes = difference(&known, &pair[0], &pair[1]);
            changes.iter().map(|change| format!("{}\n", line(change))).chain(["\n".to_owned()]).collect::<Vec<_>>()
        })
        .collect();
    assert_eq!((sizes.len(), closures.len()), (PAIRS + 1, PAIRS + 1));
    // Growth is red; newer versions put no sign before it.
    let theirs = ["\u{1b}[31;1m", "\u{1b}[32;1m", "\u{1b}[0m"]
        .iter()
        .fold(read("differences"), |text, colour| text.replace(colour, ""))
        .replace(" +", " ");
    assert!(theirs.lines().count() > 5 * PAIRS, "{theirs}");
    assert_eq!(ours, theirs);
}
