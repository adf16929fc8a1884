//! Which provider a plan is for: a flag, `nixdag.yml`, the CI that it runs in, the files of the repository.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use crate::support::synthetic;
use crate::support::{derivations, fails, folder, nixdag};

/// `nixdag plan --format json` of the recorded derivations, in a folder; the rest are arguments.
fn command(folder: &Path, command: &[&str], arguments: &[&str]) -> assert_cmd::Command {
    let drvs = derivations();
    let mut run = nixdag();
    run.args(command).arg("--roots").arg(drvs.join("roots.json")).arg("--drv-dir").arg(&drvs);
    run.args(["--available", "/dev/null"]).args(arguments).current_dir(folder);
    run.env_remove("GITLAB_CI").env_remove("CIRCLECI");
    run
}

fn plan(folder: &Path, arguments: &[&str], variable: &str) -> (serde_json::Value, String) {
    let output = command(folder, &["plan", "--format", "json"], arguments).env(variable, "true").output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    (serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {said}")), said)
}

#[test]
fn a_plan_names_its_provider() {
    let here = folder(&[(".gitlab-ci.yml", ""), (".circleci/config.yml", "")]);
    let of = |arguments: &[&str], variable: &str| plan(here.path(), arguments, variable).0["provider"].clone();
    let (found, said) = plan(here.path(), &[], "NOTHING");
    assert_eq!(found["provider"], "circleci");
    assert!(said.contains("the repository has both"), "{said}");
    assert_eq!(of(&[], "GITLAB_CI"), "gitlab");
    assert_eq!(of(&["--provider", "gitlab"], "CIRCLECI"), "gitlab");
    fs::write(here.path().join("nixdag.yml"), "provider: gitlab\n").unwrap();
    let (found, said) = plan(here.path(), &[], "CIRCLECI");
    assert_eq!(found["provider"], "gitlab");
    assert_eq!(found["jobs"][0]["resource_class"], "saas-linux-medium-amd64");
    assert!(!said.contains("both"), "{said}");
    assert_eq!(of(&["--provider", "circleci"], "GITLAB_CI"), "circleci");
}

#[test]
fn a_plan_for_another_provider_is_refused() {
    let here = TempDir::new().unwrap();
    let (plan, _) = plan(here.path(), &["--provider", "gitlab"], "NOTHING");
    let file = here.path().join("plan.json");
    fs::write(&file, plan.to_string()).unwrap();
    let mut generate = nixdag();
    generate.args(["generate", "--provider", "circleci", "--plan"]).arg(&file);
    fails(&mut generate, &["the plan was made for gitlab, and this is for circleci"]);
}

#[test]
fn a_server_that_allows_more_jobs_is_a_setting() {
    let here = TempDir::new().unwrap();
    let drvs: Vec<synthetic::Drv> = (0..520)
        .map(|at| synthetic::Drv {
            path: format!("/nix/store/{}-n{at}.drv", synthetic::hash(&mut synthetic::Random(at + 1))),
            outputs: vec![(
                "out".into(),
                Some(format!("/nix/store/{}-n{at}", synthetic::hash(&mut synthetic::Random(at + 9_999)))),
            )],
            system: "x86_64-linux".into(),
            ..synthetic::Drv::default()
        })
        .collect();
    synthetic::write(&drvs, here.path());
    let roots: serde_json::Map<String, serde_json::Value> = drvs
        .iter()
        .enumerate()
        .map(|(at, drv)| (format!("packages.x86_64-linux.n{at}"), drv.path.as_str().into()))
        .collect();
    fs::write(here.path().join("roots.json"), serde_json::to_vec(&roots).unwrap()).unwrap();
    let jobs = |arguments: &[&str]| {
        let mut generate = nixdag();
        generate.args([
            "generate",
            "--provider",
            "gitlab",
            "--roots",
            "roots.json",
            "--drv-dir",
            ".",
            "--available",
            "/dev/null",
        ]);
        let output = generate.args(arguments).current_dir(here.path()).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        text.matches("\n  extends: ").count()
    };
    assert_eq!(jobs(&["--max-jobs", "900"]), 522, "of them a hidden job and the report");
    assert!(jobs(&[]) <= 502);
}

#[test]
fn own_runners_have_tags_on_gitlab_alone() {
    let own = "executors: {own: {machine: true, tags: [nix, fast disk], systems: x86_64-linux, cores: 9}}";
    let here = folder(&[("nixdag.yml", own)]);
    let (found, said) = plan(here.path(), &["--provider", "gitlab"], "NOTHING");
    assert_eq!(found["jobs"][0]["resource_class"], "nix,fast disk", "{said}");
    fails(
        &mut command(here.path(), &["plan"], &["--provider", "circleci"]),
        &["executor `own`: `tags` name runners of GitLab and GitHub"],
    );
    let here =
        folder(&[("nixdag.yml", "executors: {own: {machine: true, resource_class: a/b, systems: x86_64-linux}}")]);
    fails(
        &mut command(here.path(), &["plan"], &["--provider", "gitlab"]),
        &["executor `own`: your own runners are found by `tags`"],
    );
}
