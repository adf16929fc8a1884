//! What may fail: it is red in a job of its own, and the gate does not wait for it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::support::circleci::{Outcome, Status};
use crate::support::project::{Project, every_nix, logs, one_nix};
use crate::support::{derivations, fails, nixdag};

/// `flaky` fails, and so does `lib`, which nothing else needs. `refused` does not evaluate.
const FLAKE: &str = r#"{
  outputs = { self }: let
    mk = name: text: extra: derivation ({
      inherit name; system = "x86_64-linux"; builder = "/bin/sh"; PATH = "/usr/bin:/bin"; args = [ "-c" text ];
    } // extra);
    lib = mk "lib" "exit 1" { };
  in {
    packages.x86_64-linux = rec {
      good = mk "good" "echo > $out" { };
      flaky = mk "flaky" "exit 1" { inherit good; };
      above = mk "above" "echo > $out" { inherit lib; };
      refused = throw "Package ‘refused-1’ in x.nix:1 is marked as broken, refusing to evaluate.";
      @MORE@
    };
  };
}
"#;

fn run(nix: &Path, more: &str, allowed: &str) -> Outcome {
    let project = Project::new("examples/hermetic", nix);
    fs::write(project.checkout.path().join("flake.nix"), FLAKE.replace("@MORE@", more)).unwrap();
    let settings = format!(
        "allow_failure: {allowed}\nfinal: [{{ name: deploy, run: 'true' }}, {{ name: late, after: ['packages.*.*'], run: 'true' }}]\n"
    );
    fs::write(project.checkout.path().join("nixdag.yml"), settings).unwrap();
    project.pipeline(1).run().unwrap()
}

#[test]
fn what_may_fail_is_red_and_the_gate_is_green() {
    let nix = one_nix(2);
    let outcome = run(&nix, "", "[flaky, packages.*.above, broken]");
    let statuses = ["good", "flaky", "deploy", "late", "gate"].map(|name| outcome.status(name));
    let well = Status::Success;
    assert_eq!(statuses, [well, Status::Failed, well, well, well], "{}", logs(&outcome));
    assert!(outcome.jobs.iter().all(|job| job.name != "evaluation"), "{}", logs(&outcome));
    assert_ne!(outcome.status("above"), Status::Success, "{}", logs(&outcome));
}

#[test]
fn what_may_not_fail_makes_the_gate_red_all_the_same() {
    let nix = every_nix().remove(0);
    let outcome =
        run(&nix, "user = mk \"user\" \"echo > $out\" { inherit flaky; };", "['packages.*.{flaky,above}', broken]");
    let statuses = ["flaky", "user", "deploy", "gate"].map(|name| outcome.status(name));
    assert_eq!(statuses, [Status::Failed, Status::NotRun, Status::NotRun, Status::NotRun], "{}", logs(&outcome));
    let outcome = run(&nix, "", "[packages.*.flaky, packages.*.above]");
    assert_eq!(outcome.status("evaluation"), Status::Failed, "{}", logs(&outcome));
    assert_eq!(outcome.status("gate"), Status::NotRun, "{}", logs(&outcome));
    let outcome = run(&nix, "", "[packages.*.flaky, broken]");
    assert_eq!(outcome.status("gate"), Status::NotRun, "{}", logs(&outcome));
    // One derivation under two names, of which one may not fail; and what both kinds need.
    let outcome = run(&nix, "twin = flaky;", "[flaky, above, broken]");
    assert_eq!(outcome.status("gate"), Status::NotRun, "{}", logs(&outcome));
    let outcome = run(&nix, "other = mk \"other\" \"echo > $out\" { inherit lib; };", "[flaky, above, broken]");
    assert_eq!(outcome.status("gate"), Status::NotRun, "{}", logs(&outcome));
}

#[test]
fn not_all_that_is_selected_may_fail_or_be_left_out() {
    let drvs = derivations();
    let plan = |allowed: &[&str]| {
        let mut plan = nixdag();
        plan.arg("plan").arg("--roots").arg(drvs.join("roots.json")).arg("--drv-dir").arg(&drvs);
        plan.args(["--available", "/dev/null"]);
        plan.args(allowed.iter().flat_map(|pattern| ["--allow-failure", pattern]));
        plan
    };
    fails(&mut plan(&["*"]), &["the gate would wait for nothing"]);
    let roots: BTreeMap<String, Value> =
        serde_json::from_str(&fs::read_to_string(drvs.join("roots.json")).unwrap()).unwrap();
    let all: Vec<&str> = roots.keys().map(String::as_str).collect();
    fails(&mut plan(&all), &["the gate would wait for nothing"]);
    plan(&all[1..]).assert().success();
    // Nor all of the part that flags or a parameter of the orb select.
    let part = |select: &str, more: &[&str]| {
        let mut part = plan(&all[..1]);
        part.args(["--select", select]).args(more);
        part
    };
    fails(&mut part(all[0], &[]), &["covers all that is selected", "or select more"]);
    fails(
        &mut part("*", &["--exclude", "*"]),
        &["nothing is left of what is selected", "the gate would wait for nothing"],
    );
    part(all[1], &[]).assert().success();
}
