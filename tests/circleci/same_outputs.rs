//! A file that two derivations fetch is one store path, and so is what both versions of a package make of it: each is made once in a pipeline,
//! and what only the second one needs never.

use std::fs;
use std::path::Path;

use crate::support::circleci::{Outcome, Status};
use crate::support::project::{Project, every_nix, figure, logs, one_nix, report};

/// Two mirrors of one file, the second with a fetcher of its own.
const FLAKE: &str = r#"{
  outputs = { self }: let
    mk = name: text: extra: derivation ({
      inherit name; system = "x86_64-linux"; builder = "/bin/sh"; PATH = "/usr/bin:/bin";
      args = [ "-c" text ];
    } // extra);
    fetch = url: text: extra: mk "src.tar" text ({
      inherit url; outputHashMode = "flat"; outputHashAlgo = "sha256";
      outputHash = "sha256-c8s4WKaHqElMozIwUwFigvPa051Cz2LKTnndoqrH2aw=";
    } // extra);
    one = fetch "one" "@ONE@" { };
    two = fetch "two" "@TWO@" { fetcher = mk "fetcher" "echo > $out" { }; };
  in {
    packages.x86_64-linux = rec {
      a = mk "a" "read x < $file; echo a$x > $out" { file = one; };
      b = mk "b" "read x < $file; echo b$x > $out" { file = two; };
      c = mk "c" "read x < $a; read y < $b; read z < $file; echo $x$y$z > $out" { inherit a b; file = two; };
      p = mk "p" "read x < $file; echo p$x > $out" { file = one; };
      user = mk "user" "read x < $p; read y < $file; echo $x$y > $out" {
        file = two;
        p = mk "p" "read x < $file; echo p$x > $out" { file = two; };
      };
      @TARGETS@
    };
  };
}
"#;

/// The fetches themselves as targets, so that one job owns them.
const BOTH: &str = "s1 = one; s2 = two;";

/// What fetches the file.
const FETCHES: &str = "echo x > $out";

/// What a mirror that is gone comes to.
const FAILS: &str = "echo mirror is gone; exit 22";

/// Runs the pipeline; `context` is an attribute that is built with one.
fn run(nix: &Path, targets: &str, [one, two]: [&str; 2], arguments: &str, context: Option<&str>) -> Outcome {
    let mut project = Project::new("examples/hermetic", nix);
    project.arguments = arguments.into();
    let flake = FLAKE.replace("@TARGETS@", targets).replace("@ONE@", one).replace("@TWO@", two);
    fs::write(project.checkout.path().join("flake.nix"), flake).unwrap();
    let rule = |name| format!("rules:\n  - match: {{ attribute: packages.*.{name} }}\n    context: licence\n");
    fs::write(project.checkout.path().join("nixdag.yml"), context.map(rule).unwrap_or_default()).unwrap();
    project.pipeline(1).context("licence", &[("LICENCE", "x")]).run().unwrap()
}

/// Runs the pipeline; whatever is built in it is counted, by whichever job.
fn builds_six(nix: &Path, targets: &str, arguments: &str) {
    let outcome = run(nix, targets, [FETCHES, FETCHES], arguments, None);
    assert_eq!(outcome.status("gate"), Status::Success, "{}", logs(&outcome));
    assert_eq!(figure(&report(&outcome), "built"), 6, "{}", logs(&outcome));
}

#[test]
fn a_file_from_two_mirrors_is_fetched_once() {
    builds_six(&one_nix(2), BOTH, "");
}

#[test]
fn in_one_job_the_second_mirror_is_not_asked_either() {
    builds_six(&one_nix(1), "", "--granularity single");
}

#[test]
fn where_the_first_mirror_is_gone_the_second_is_asked_and_both_are_named_where_both_are() {
    let nix = one_nix(0);
    let outcome = run(&nix, BOTH, [FAILS, FETCHES], "", None);
    let said = logs(&outcome);
    assert_eq!(outcome.status("gate"), Status::Success, "{said}");
    // With what fetches from the second one.
    assert_eq!(figure(&report(&outcome), "built"), 7, "{said}");
    assert!(said.contains("src.tar.drv`, which has the same output, was built in its place"), "{said}");
    assert!(said.contains("mirror is gone"), "{said}");
    let outcome = run(&every_nix()[0], BOTH, [FAILS, FAILS], "", None);
    assert_ne!(outcome.status("gate"), Status::Success);
    let report = report(&outcome);
    let failed = report["failures"].as_array().unwrap().iter().filter_map(|failure| failure["derivation"].as_str());
    let mut failed: Vec<&str> = failed.filter(|drv| drv.ends_with("-src.tar.drv")).collect();
    failed.dedup();
    assert_eq!(failed.len(), 2, "{report}");
}

#[test]
fn a_job_with_contexts_takes_what_another_has_of_the_second_mirror_and_asks_none_itself() {
    let outcome = run(&one_nix(1), BOTH, [FAILS, FETCHES], "", Some("a"));
    let said = logs(&outcome);
    assert_eq!(outcome.status("gate"), Status::Success, "{said}");
    assert_eq!(figure(&report(&outcome), "built"), 7, "{said}");
    assert!(said.contains("src.tar.drv`, which has the same output, was built in its place"), "{said}");
    // The fetch itself, with a context: the second mirror is another attribute's.
    let outcome = run(&one_nix(2), BOTH, [FAILS, FETCHES], "", Some("s2"));
    let said = logs(&outcome);
    assert_ne!(outcome.status("gate"), Status::Success, "{said}");
    assert!(said.contains("mirror is gone") && !said.contains("which has the same output"), "{said}");
}
