//! What the planning job puts out: a line for each output, and hostile text that stays text.

use std::collections::BTreeMap;

use nixdag::delivery::{BundleReference, HandOff};
use nixdag::plan::{Job, Plan};
use nixdag::provider::Provider;
use nixdag::provider::github::generate;
use nixdag::provider::job_setup::JobSetup;
use serde_json::Value;

use crate::support::plans::{self, plan};

/// Names, commands and values that some language could take for something else.
const HOSTILE: [&str; 20] = [
    "${{ secrets.GITHUB_TOKEN }}",
    "${{ '${{' }}",
    "}}",
    "::error::x",
    "::stop-commands::x",
    "##[group]x",
    "a\n::add-mask::x",
    "a\r\nwave1=[]",
    "EOF\nmanifest=0",
    "$(id)",
    "`id`",
    "'; id; '",
    "\"; id; \"",
    "\\",
    "\u{1b}[31m",
    "\u{2028}",
    "* & ! % @",
    "null",
    "~",
    "-n",
];

fn setup() -> JobSetup {
    let mut setup = JobSetup::new(Provider::GitHub.fleet().executors);
    setup.delivery.handoff = HandOff::Artifacts;
    setup.bundle =
        Some(BundleReference { manifest_sha256: "0123456789abcdef".repeat(4), system: "x86_64-linux".into() });
    setup
}

fn job(id: &str, name: &str, wave: u32, requires: &[u32]) -> Job {
    let executor = Provider::GitHub.fleet().executors.remove(0);
    Job {
        wave: Some(wave),
        executor: Some(executor.name),
        image: None,
        resource_class: Some(executor.resource_class),
        ..plans::job(id, name, "x86_64-linux", requires)
    }
}

/// The outputs by name, as GitHub's runner reads them.
fn outputs(plan: &Plan) -> BTreeMap<String, String> {
    let text = generate(plan, &setup()).unwrap();
    let line = |line: &str| line.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned())).unwrap();
    text.lines().map(line).collect()
}

#[test]
fn each_wave_is_a_matrix_and_hostile_text_stays_text() {
    for hostile in HOSTILE {
        let mut second = job("b", &format!("b {hostile}"), 2, &[0]);
        second.options.environment.insert("A".into(), hostile.into());
        let plan = plan(vec![job("a", "a", 1, &[]), second]);
        let outputs = outputs(&plan);
        assert_eq!(outputs.len(), 19, "manifest, scripts, final and 16 waves: {outputs:?}");
        let wave: Value = serde_json::from_str(&outputs["wave2"]).unwrap();
        assert_eq!(wave[0]["name"], format!("b {hostile}"));
        assert_eq!(wave[0]["runner"], r#"["ubuntu-24.04"]"#);
        assert_eq!(outputs["wave3"], "[]");
        let scripts: Value = serde_json::from_str(&outputs["scripts"]).unwrap();
        let script = scripts[wave[0]["script"].as_str().unwrap()].as_str().unwrap();
        let export = script.split("(\nset -e").next().unwrap();
        let shell = std::process::Command::new("bash").args(["-ec", &format!("{export}printf %s \"$A\"")]).output();
        assert_eq!(String::from_utf8(shell.unwrap().stdout).unwrap(), hostile);
    }
}

#[test]
fn what_github_cannot_take_is_named() {
    let fails = |plan: &Plan, words: &str| {
        let error = format!("{:#}", generate(plan, &setup()).unwrap_err());
        assert!(error.contains(words), "{error}");
    };
    let ids: Vec<String> = (0..257).map(|at| format!("j{at}")).collect();
    fails(&plan(ids.iter().map(|id| job(id, id, 1, &[])).collect()), "wave 1 has 257 jobs, and a matrix has 256");
    fails(&plan(vec![job("a", "a", 17, &[])]), "wave 17, and the workflow has 16");
    fails(&plan(vec![Job { wave: None, ..job("a", "a", 1, &[]) }]), "has no wave: plan again for GitHub");
    fails(&plan(vec![job("gate", "x", 1, &[])]), "has an id that the workflow needs");
    let mut secret = job("a", "a", 1, &[]);
    secret.options.context.push("deploy".into());
    fails(&plan(vec![secret]), "has the context `deploy`");
    let mut long = job("a", "a", 1, &[]);
    long.options.environment.insert("A".into(), "x".repeat(200_000));
    fails(&plan(vec![long]), "and a variable holds 100000");
    let wide = "x".repeat(3_000);
    fails(&plan(ids.iter().take(200).map(|id| job(id, &format!("{id}{wide}"), 1, &[])).collect()), "bytes in UTF-16");
}
