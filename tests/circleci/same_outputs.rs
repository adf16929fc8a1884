//! A file that two derivations fetch is one store path, and so is what both versions of a package make of it: each is made once in a pipeline,
//! and what only the second one needs never.

use std::fs;
use std::path::Path;

use crate::support::circleci::Status;
use crate::support::project::{Project, figure, logs, one_nix, report};

/// Two mirrors of one file, the second with a fetcher of its own.
const FLAKE: &str = r#"{
  outputs = { self }: let
    mk = name: text: extra: derivation ({
      inherit name; system = "x86_64-linux"; builder = "/bin/sh"; PATH = "/usr/bin:/bin";
      args = [ "-c" text ];
    } // extra);
    fetch = url: extra: mk "src.tar" "echo x > $out" ({
      inherit url; outputHashMode = "flat"; outputHashAlgo = "sha256";
      outputHash = "sha256-c8s4WKaHqElMozIwUwFigvPa051Cz2LKTnndoqrH2aw=";
    } // extra);
    one = fetch "one" { };
    two = fetch "two" { fetcher = mk "fetcher" "echo > $out" { }; };
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

/// Runs the pipeline; whatever is built in it is counted, by whichever job.
fn builds_six(nix: &Path, targets: &str, arguments: &str) {
    let mut project = Project::new("examples/hermetic", nix);
    project.arguments = arguments.into();
    fs::write(project.checkout.path().join("flake.nix"), FLAKE.replace("@TARGETS@", targets)).unwrap();
    fs::write(project.checkout.path().join("nixdag.yml"), "").unwrap();
    let outcome = project.pipeline(1).run().unwrap();
    assert_eq!(outcome.status("gate"), Status::Success, "{}", logs(&outcome));
    assert_eq!(figure(&report(&outcome), "built"), 6, "{}", logs(&outcome));
}

#[test]
fn a_file_from_two_mirrors_is_fetched_once() {
    builds_six(&one_nix(2), "s1 = one; s2 = two;", "");
}

#[test]
fn in_one_job_the_second_mirror_is_not_asked_either() {
    builds_six(&one_nix(1), "", "--granularity single");
}
