//! What one derivation must not do to others, through whole pipelines: each of these flakes once stopped or hid more than itself.

use std::fs;
use std::process::Command;

use crate::support::built::Built;
use crate::support::circleci::{Outcome, Status};
use crate::support::project::{Project, every_nix, logs, one_nix};

/// A flake with `mk`, whose builders write their names into a file.
fn project(nix: &std::path::Path, built: &Built, packages: &str) -> Project {
    let flake = r#"{
  outputs = { self }: let
    mk = name: text: extra: derivation ({
      inherit name; system = "x86_64-linux"; builder = "/bin/sh"; PATH = "/usr/bin:/bin";
      args = [ "-c" "echo ${name} >> @BUILT@; ${text}" ];
    } // extra);
    source = builtins.path { path = ./flake.nix; name = "source"; };
  in { packages.x86_64-linux = rec { @PACKAGES@ }; };
}
"#;
    let project = Project::new("examples/hermetic", nix);
    let flake = flake.replace("@BUILT@", &built.path()).replace("@PACKAGES@", packages);
    fs::write(project.checkout.path().join("flake.nix"), flake).unwrap();
    fs::write(project.checkout.path().join("nixdag.yml"), "granularity: single\n").unwrap();
    project
}

/// The only job that builds.
fn job(outcome: &Outcome) -> &str {
    let builds = |name: &str| !["gate", "evaluation", "report"].contains(&name) && !name.starts_with("after-");
    let names: Vec<&str> = outcome.jobs.iter().map(|job| job.name.as_str()).filter(|name| builds(name)).collect();
    assert_eq!(names.len(), 1, "{}", logs(outcome));
    names[0]
}

#[test]
fn a_derivation_among_the_sources_is_a_source() {
    for nix in every_nix() {
        let built = Built::new();
        let packages = r#"
            lister = mk "lister" "read -r x < $d; echo $d > $out" { d = builtins.unsafeDiscardOutputDependency inner.drvPath; };
            other = mk "other" "echo > $out" { };
        "#;
        let inner = r#"leaf = mk "leaf" "echo > $out" { }; inner = mk "inner" "echo > $out" { inherit leaf; };"#;
        let project = project(&nix, &built, packages);
        project.replace("flake.nix", "source =", &format!("{inner} source ="));
        let outcome = project.pipeline(1).run().unwrap();
        assert_eq!(outcome.status("gate"), Status::Success, "{}", logs(&outcome));
        assert_eq!(built.sorted(), ["lister", "other"]);
    }
}

#[test]
fn what_nix_cannot_store_or_refuses_is_named_and_built_once_and_all_else_is_built() {
    for nix in every_nix() {
        let built = Built::new();
        let packages = r#"
            a = mk "a" "sleep 0.2; echo a > $out" { }; b = mk "b" "sleep 0.2; read x < $a; echo $x > $out" { inherit a; };
            c = mk "c" "sleep 1; echo > $out" { };
            pipe = mk "pipe" "mkdir $out; mkfifo $out/pipe" { };
            socket = mk "socket" "mkdir $out; cd $out; python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind(\\\"s\\\")'" { };
            heavy = mk "heavy" "echo the log of heavy; echo $dep > $out" { dep = c; disallowedReferences = [ c ]; };
            above = mk "above" "echo > $out" { inherit heavy; };
        "#;
        let outcome = project(&nix, &built, packages).pipeline(1).run().unwrap();
        assert_eq!(outcome.status("gate"), Status::NotRun, "{}", logs(&outcome));
        let name = job(&outcome);
        assert_eq!(outcome.status(name), Status::Failed, "{}", logs(&outcome));
        let mut begun = built.sorted();
        // What was being built when Nix ended may be begun once more.
        begun.dedup();
        assert_eq!(begun, ["a", "b", "c", "heavy", "pipe", "socket"]);
        for failed in ["heavy", "pipe", "socket"] {
            assert!(built.sorted().iter().filter(|name| *name == failed).count() <= 2, "{:?}", built.sorted());
        }
        let junit = fs::read_to_string(outcome.job(name).test_results.join("junit.xml")).unwrap();
        for said in ["has an unsupported type", "is not allowed to refer to", "packages.x86_64-linux.above"] {
            assert!(junit.contains(said), "`{said}`: {junit}");
        }
        let cases = |failed: &str| {
            let case = junit.split("<testcase").find(|case| case.contains(&format!(" name=\"{failed}\"")));
            case.unwrap_or_else(|| panic!("no `{failed}`: {junit}")).contains("<failure")
        };
        let failed = ["a", "b", "c", "pipe", "socket", "heavy"].map(cases);
        assert_eq!(failed, [false, false, false, true, true, true], "{junit}");
        let log = &outcome.job(name).log;
        assert!(log.contains("nix build") && log.contains("its build failed"), "{log}");
    }
}

#[test]
fn a_nearly_full_machine_that_collects_garbage_loses_nothing() {
    for nix in every_nix() {
        let built = Built::new();
        let packages = r#"
            a = mk "a" "echo a > $out" { inherit source; }; b = mk "b" "read x < $a; sleep 1; echo $x > $out" { inherit a; };
            c = mk "c" "read x < $b; echo $x > $out; sleep 1" { inherit b; }; d = mk "d" "echo d > $out; sleep 1" { };
        "#;
        let mut project = project(&nix, &built, packages);
        fs::write(
            project.checkout.path().join("nixdag.yml"),
            "final: [{ name: deploy, restore: ['packages.*.c'], run: 'cat \"$NIXDAG_C\"' }]\n",
        )
        .unwrap();
        project.nix_conf =
            "min-free = 100000000000000\nmax-free = 100000000000000\nmin-free-check-interval = 0\n".into();
        let outcome = project.pipeline(1).run().unwrap();
        // With this setting and without a daemon 2.34 crashes whatever it realises: nobody is told that trust is lacking.
        let version = Command::new(nix.join("nix-store")).arg("--version").output().unwrap();
        if String::from_utf8(version.stdout).unwrap().contains(" 2.34") {
            assert_eq!(outcome.status("gate"), Status::NotRun, "{}", logs(&outcome));
            let log = &outcome.job("a").log;
            assert!(
                log.contains("Nix does not work here: SIGSEGV ended it") && !log.contains("trusted-users"),
                "{log}"
            );
            continue;
        }
        assert_eq!(outcome.status("gate"), Status::Success, "{}", logs(&outcome));
        assert_eq!(built.sorted(), ["a", "b", "c", "d"]);
    }
}

#[test]
fn a_runner_that_is_killed_makes_the_gate_red_and_a_rerun_of_its_job_makes_it_green() {
    let nix = one_nix(1);
    let built = Built::new();
    // The builder ends what has begun it: Nix's parent.
    let packages = r#"
        a = mk "a" "echo a > $out" { };
        b = mk "b" "if [ -e /mnt/kill ]; then read -r x < /proc/$PPID/stat; set -- $x; kill -9 $4; sleep 3; fi; read x < $a; echo $x > $out" { inherit a; };
        c = mk "c" "read x < $b; echo $x > $out" { inherit b; };
    "#;
    let project = project(&nix, &built, packages);
    fs::write(project.checkout.path().join("nixdag.yml"), "").unwrap();
    let mut killed = project.pipeline(1).before_steps("touch /mnt/kill");
    let first = killed.run().unwrap();
    let statuses = ["a", "b", "c", "gate"].map(|name| first.status(name));
    let (well, not) = (Status::Success, Status::NotRun);
    assert_eq!(statuses, [well, Status::Failed, not, not], "{}", logs(&first));
    assert!(!first.job("b").test_results.join("junit.xml").exists(), "{}", logs(&first));
    let again = killed.before_steps("rm -f /mnt/kill").rerun_from_failed(&first).unwrap();
    assert_eq!(again.status("gate"), well, "{}", logs(&again));
    assert_eq!(built.sorted(), ["a", "b", "b", "c"], "{}", logs(&again));
}
