//! What one pipeline measures is what the next one is planned from.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use nixdag::delivery::HandOff;
use nixdag::history::store::{KeptIn, Subject};
use nixdag::nix::binary_cache::store_url::StoreUrl;
use nixdag::plan::Plan;
use nixdag::provider::circleci::generate;
use nixdag::provider::circleci::options::Options;
use serde_json::Value;

use crate::support::circleci::{Outcome, Status};
use crate::support::plans::{job, plan};
use crate::support::project::{Project, every_nix, logs, setup};
use crate::support::repository;

/// A repository whose setup is changed as docs/records.md says.
fn project() -> Project {
    let page = fs::read_to_string(repository().join("docs/records.md")).unwrap();
    let block = |language: &str| {
        let start = page.find(&format!("```{language}\n")).unwrap() + language.len() + 4;
        &page[start..start + page[start..].find("```").unwrap()]
    };
    let config = setup(block("sh").trim());
    let config = config.replacen("      - checkout\n", &format!("      - checkout\n{}", block("yaml")), 1);
    let config = config.replace("command: nixdag generate", "command: mkdir -p /tmp/nixdag/history && nixdag generate");
    assert!(config.contains("mkdir") && config.contains("nixdag-history"), "{config}");
    let mut project = Project::new("examples/hermetic", &every_nix()[0]);
    project.setup = Some(config);
    project
}

/// The newest entry of the cache that has this file.
fn newest(project: &Project, file: &str) -> PathBuf {
    let entries = fs::read_dir(project.caches.path()).unwrap().map(|entry| entry.unwrap().path());
    let numbered = entries.filter_map(|path| Some((path.file_name()?.to_str()?.parse::<u64>().ok()?, path)));
    let found = numbered.map(|(number, path)| (number, path.join("data/tmp/nixdag").join(file)));
    found.filter(|(_, path)| path.exists()).max().unwrap_or_else(|| panic!("no cache has {file}")).1
}

/// How many durations the newest plan has recorded, and how many it has guessed.
pub fn durations(project: &Project) -> [u64; 2] {
    let text = fs::read(newest(project, "bundle/plan.json")).unwrap();
    let plan: Value = serde_json::from_slice(&text).unwrap();
    let of = &plan["estimates"]["durations"];
    [of["recorded"].as_u64().unwrap(), of["default"].as_u64().unwrap()]
}

fn statuses<const N: usize>(outcome: &Outcome, names: [&str; N]) -> [Status; N] {
    names.map(|name| outcome.status(name))
}

use Status::{Failed, NotRun, Success};

#[test]
fn the_second_pipeline_plans_from_what_the_first_measured_and_a_new_branch_from_the_default_ones() {
    let mut project = project();
    let first = project.pipeline(1).run().unwrap();
    assert!(first.succeeded(), "{}", logs(&first));
    assert_eq!(durations(&project), [0, 4]);
    let log = &first.job("report").log;
    assert!(log.contains("4 builds of this pipeline recorded"), "{log}");
    assert!(log.contains("predicted ") && log.contains(", took "), "{log}");
    let page = |outcome: &Outcome, file| fs::read_to_string(outcome.job("report").artifacts.join(file)).unwrap();
    assert!(page(&first, "nixdag.html").contains("accounted for"), "{}", page(&first, "nixdag.html"));
    assert!(page(&first, "summary.md").contains("accounted for"), "{}", page(&first, "summary.md"));
    let kept: Value = serde_json::from_slice(&fs::read(newest(&project, "history/records.json")).unwrap()).unwrap();
    // The final job is measured as well, as far as it restores.
    assert_eq!((kept["jobs"].as_array().unwrap().len(), &kept["pipelines"][0]["jobs"]), (5, &Value::from(4)), "{kept}");
    let plan: Value = serde_json::from_slice(&fs::read(newest(&project, "bundle/plan.json")).unwrap()).unwrap();
    let report = &plan["estimates"]["report"];
    assert!(report["seconds"].as_f64() >= Some(4.0) && report["credits"].as_u64() >= Some(1), "{report}");
    project.setup(2);
    assert_eq!(durations(&project), [4, 0]);
    project.branch = "topic".into();
    project.setup(3);
    assert_eq!(durations(&project), [4, 0]);
    // Another version of everything: names are the same.
    project.replace("flake.nix", "words=\n", "words=another\n");
    project.setup(4);
    assert_eq!(durations(&project), [4, 0]);
}

#[test]
fn a_failed_pipeline_is_recorded_too_and_the_next_one_says_what_failed() {
    let project = project();
    project.replace(
        "flake.nix",
        "words=\n",
        "words=\n                  if [ \"$name\" = b ]; then echo broken; exit 3; fi\n",
    );
    let first = project.pipeline(1).run().unwrap();
    assert_eq!(
        statuses(&first, ["a", "b", "c", "d", "gate", "report"]),
        [Success, Failed, Success, NotRun, NotRun, Success],
        "{}",
        logs(&first)
    );
    let log = &first.job("report").log;
    assert!(log.contains("1 of 4 jobs left no records: `d`") && log.contains("3 builds of this pipeline"), "{log}");
    let page = fs::read_to_string(first.job("report").artifacts.join("nixdag.html")).unwrap();
    assert!(page.contains("builder exited") || page.contains("broken"), "the log of what failed is there: {page}");
    let second = project.setup(2);
    assert!(logs(&second).contains("`b` failed in an earlier pipeline"), "{}", logs(&second));
    assert_eq!(durations(&project), [2, 2], "what failed has no duration");
}

#[test]
fn damaged_records_are_said_and_change_no_verdict() {
    let project = project();
    project.pipeline(1).run().unwrap();
    let good = fs::read_to_string(newest(&project, "history/records.json")).unwrap();
    for (number, (text, said)) in (2..).zip([
        (good[..good.len() / 2].to_owned(), "no records"),
        (good.replace("\"version\":2", "\"version\":1"), "version 1 of records"),
        ("[".repeat(100_000), "no records"),
        ("x".repeat((64 << 20) + 1), "more than 67108864 bytes"),
    ]) {
        fs::write(newest(&project, "history/records.json"), &text).unwrap();
        let setup = project.setup(number);
        assert!(logs(&setup).contains(said), "{said}: {}", logs(&setup));
        assert_eq!(durations(&project), [0, 4], "{said}");
        let outcome = project.continued(&setup, number).run().unwrap();
        assert!(outcome.succeeded() && outcome.job("report").log.contains(said), "{said}: {}", logs(&outcome));
    }
    project.setup(9);
    assert_eq!(durations(&project)[0], 0, "nothing was built after that, and nothing is known");
}

/// A plan whose jobs are named as packages are.
fn generated(edit: impl FnOnce(&mut Plan, &mut Options)) -> Value {
    let mut options = super::generate::options();
    options.setup.keeps_records = true;
    let names = ["packages.x86_64-linux.a", "packages.x86_64-linux.b", "c"];
    let mut plan = plan(vec![
        job("a", names[0], "x86_64-linux", &[]),
        job("b", names[1], "x86_64-linux", &[0]),
        job("c", names[2], "x86_64-linux", &[0]),
    ]);
    edit(&mut plan, &mut options);
    serde_yaml::from_str(&generate(&plan, &options).unwrap()).unwrap()
}

#[test]
fn the_report_waits_for_every_job_behind_which_none_builds_and_nothing_waits_for_it() {
    let config = generated(|_, _| {});
    let jobs = config["workflows"]["nixdag"]["jobs"].as_array().unwrap();
    let text = |name: &str| jobs.iter().find(|job| job.to_string().contains(name)).unwrap().to_string();
    assert!(text(r#""name":"after-b""#).contains(r#""requires":["packages.x86_64-linux.b"]"#), "{jobs:?}");
    let report = text(r#""name":"report""#);
    assert!(report.contains(r#""requires":[{"after-b":"terminal"},{"c":"terminal"}]"#), "{report}");
    let gate = jobs.iter().find(|job| job["gate"].is_object() && job["gate"]["name"].is_null()).unwrap();
    assert_eq!(gate["gate"]["requires"].as_array().unwrap().len(), 2, "{gate}");
    let steps = config["jobs"]["report"]["steps"].to_string();
    assert!(!steps.contains("attach_workspace"), "{steps}");
}

#[test]
fn no_job_with_secrets_restores_records_and_the_report_has_none() {
    let config = generated(|plan, _| plan.jobs[2].options.context = vec!["deploy".into()]);
    for (name, body) in config["jobs"].as_object().unwrap() {
        let restores = body.to_string().contains("restore_cache");
        assert_eq!(restores, ["report", "restore"].contains(&name.as_str()), "{name}: {body}");
    }
    let report = config["workflows"]["nixdag"]["jobs"].as_array().unwrap().iter().find(|job| job["report"].is_object());
    assert!(report.unwrap()["report"]["context"].is_null());
    // Where branches do not trust one another it makes the page all the same, and takes and leaves nothing for other pipelines.
    let alone = generated(|_, options| options.setup.keeps_records = false);
    let steps = alone["jobs"]["report"]["steps"].to_string();
    assert!(steps.contains("nixdag-records-<< pipeline.id >>"), "{steps}");
    assert!(!alone.to_string().contains("nixdag-history"), "{alone}");
}

#[test]
fn where_a_store_keeps_records_the_report_gets_its_credentials_and_restores_nothing() {
    let url = "https://cache.example.org";
    let config = generated(|_, options| {
        let of = Subject::branch("git@h:o/r.git", "a b<<c").unwrap();
        options.setup.records_in = Some(KeptIn { url: url.to_owned(), of });
        options.setup.delivery.handoff = HandOff::Cache(StoreUrl::parse(url).unwrap());
        options.setup.delivery.contexts = vec!["store".to_owned()];
    });
    let jobs = config["workflows"]["nixdag"]["jobs"].as_array().unwrap();
    let report = jobs.iter().find(|job| job["report"].is_object()).unwrap();
    assert_eq!(report["report"]["context"], serde_json::json!(["store"]));
    let steps = config["jobs"]["report"]["steps"].to_string();
    assert!(steps.contains("attach_workspace") && !steps.contains("restore_cache"), "{steps}");
    let (checked, called) = (steps.find("sha256sum -c manifest"), steps.find("nixdag collect"));
    assert!(checked.is_some() && checked < called, "the plan says where tokens go: {steps}");
    // The two signs are escaped for CircleCI, which takes them for a parameter.
    let named = r"--records-of 'h/o/r@a b\\<<c'";
    assert!(
        steps.contains(&format!(
            "collect --plan ~/.nixdag/workspace/nixdag.bundle/plan.json --pages ~/.nixdag/results {named} {url}"
        )),
        "{steps}"
    );
    let text = config.to_string();
    assert!(text.contains(&format!("--records {url} {named}")), "{text}");
    assert!(!text.contains("nixdag-records-") && !text.contains("nixdag-history-"), "{text}");
}

#[test]
fn a_report_runs_nothing_of_a_bundle_that_is_another() {
    let store = |_: &mut Plan, options: &mut Options| {
        let of = Subject::branch("git@h:o/r.git", "a").unwrap();
        options.setup.records_in = Some(KeptIn { url: "https://cache.example.org".to_owned(), of });
        options.setup.delivery.handoff = HandOff::Cache(StoreUrl::parse("https://cache.example.org").unwrap());
    };
    let home = tempfile::tempdir().unwrap();
    let program = home.path().join("program");
    let hostile = "#!/bin/sh\ntouch \"$(dirname \"$0\")/ran\"\n";
    for folder in [home.path().join("workspace/nixdag.bundle"), home.path().join("nixdag/bundle"), program.clone()] {
        fs::create_dir_all(&folder).unwrap();
        for file in ["manifest", "plan.json", "nixdag", "install.sh"].map(|file| folder.join(file)) {
            fs::write(&file, hostile).unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
        }
    }
    for (config, folder) in [(generated(store), "~/.nixdag/"), (generated(|_, _| ()), "~/.nixdag/")] {
        let steps = config["jobs"]["report"]["steps"].as_array().unwrap();
        let named = |step: &&Value| step["run"]["name"] == "Put records together";
        let command = steps.iter().find(named).unwrap()["run"]["command"].as_str().unwrap();
        // What the machine has elsewhere is none of the test's.
        let command = command.replace(folder, &format!("{}/", home.path().display()));
        let command = command.replace("rm -rf ~/.nixdag\nmkdir -m 700 ~/.nixdag\n", "");
        let command = command.replace("/tmp/nixdag", &home.path().join("nixdag").display().to_string());
        let command = command.replace("circleci-agent step halt", "true");
        let mut shell = std::process::Command::new("bash");
        let output = shell.args(["-eo", "pipefail", "-c", &command]).env("HOME", home.path()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            output.status.success() && said.contains("the records of this pipeline are not put together"),
            "{said}"
        );
        assert!(!program.join("ran").exists(), "{command}");
    }
}
