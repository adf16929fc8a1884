//! What the planning job puts out: a line for each output, and hostile text that stays text.

use nixdag::delivery::destination::Destination;
use nixdag::delivery::{BundleReference, HandOff, Sign};
use nixdag::plan::{Job, Plan};
use nixdag::provider::Provider;
use nixdag::provider::github::generate;
use nixdag::provider::job_setup::JobSetup;
use serde_json::Value;

use crate::support::plans::{self, plan};
use crate::support::{derivations, folder, nixdag, shown};

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

/// What the planning job puts out, as the workflow reads it.
fn outputs(plan: &Plan, setup: &JobSetup) -> Value {
    let text = generate(plan, setup).unwrap();
    assert_eq!(text.lines().count(), 1, "an output is one line: {text}");
    assert!(!text.contains("::") || !text.starts_with("::"), "{text}");
    serde_json::from_str(&text).unwrap()
}

#[test]
fn each_wave_is_a_matrix_and_hostile_text_stays_text() {
    for hostile in HOSTILE {
        let mut second = job("b", &format!("b {hostile}"), 2, &[0]);
        second.options.environment.insert("A".into(), hostile.into());
        let plan = plan(vec![job("a", "a", 1, &[]), second]);
        let outputs = outputs(&plan, &setup());
        let wave = &outputs["wave2"];
        assert_eq!(wave[0]["name"], format!("b {hostile}"));
        assert_eq!(wave[0]["runner"], r#"["ubuntu-24.04"]"#);
        assert_eq!((&outputs["waves"], outputs.get("wave3")), (&Value::from(2), None), "no matrix is empty");
        let script = outputs["scripts"][wave[0]["script"].as_str().unwrap()].as_str().unwrap();
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
    secret.options.context = vec!["deploy".into(), "sign".into()];
    fails(
        &plan(vec![secret.clone()]),
        "it has the contexts `deploy` and `sign`, and a job of GitHub has one environment",
    );
    secret.options.context = vec!["${{ secrets.X }}".into()];
    fails(&plan(vec![secret]), "cannot be the name of an environment");
    let mut long = job("a", "a", 1, &[]);
    long.options.environment.insert("A".into(), "x".repeat(200_000));
    fails(&plan(vec![long]), "and a variable holds 100000");
    let wide = "x".repeat(3_000);
    fails(&plan(ids.iter().take(200).map(|id| job(id, &format!("{id}{wide}"), 1, &[])).collect()), "bytes in UTF-16");
}

#[test]
fn a_context_is_an_environment_and_what_jobs_reuse_is_named_by_what_they_build() {
    let mut secret = job("b", "b", 1, &[]);
    secret.options.context = vec!["licence server/1".into()];
    let with = plan(vec![job("a", "a", 1, &[]), secret]);
    let of = |outputs: &Value, at: usize| outputs["wave1"][at].clone();
    let both = outputs(&with, &setup());
    assert_eq!((&of(&both, 0)["environment"], &of(&both, 1)["environment"]), (&"".into(), &"licence server/1".into()));
    assert_eq!(of(&both, 0)["reuse"], "", "unsigned results are not taken beside secrets");
    let without = outputs(&plan(vec![job("a", "a", 1, &[])]), &setup());
    assert!(of(&without, 0)["reuse"].as_str().unwrap().starts_with("nixdag-"));
    assert!(without["scripts"]["build-linux"].as_str().unwrap().contains("--reuse .nixdag/reuse"));
}

#[test]
fn a_job_of_its_own_signs_and_pushes_and_no_other_has_its_environment() {
    let mut setup = setup();
    setup.delivery.sign = Sign::Separate;
    setup.delivery.contexts = vec!["delivery".into()];
    setup.delivery.push.destinations = vec![Destination::parse("s3://bucket").unwrap()];
    let outputs = outputs(&plan(vec![job("a", "a", 1, &[])]), &setup);
    assert_eq!((&outputs["deliveries"], &outputs["delivery"][0]["environment"]), (&1.into(), &"delivery".into()));
    assert_eq!(outputs["wave1"][0]["environment"], "");
    let script = |name: &str| outputs["scripts"][name].as_str().unwrap();
    assert!(script("sign-and-push").contains("--push s3://bucket") && !script("build-linux").contains("--push"));
}

#[test]
fn an_executor_that_names_a_runner_alone_runs_on_it() {
    let settings = "executors:\n  big: { resource_class: ubuntu-24.04-16core, cores: 16, default: true }\n";
    let folder = folder(&[("nixdag.yml", settings)]);
    let mut run = nixdag();
    let drvs = derivations();
    run.args(["generate", "--provider", "github", "--settings"]).arg(folder.path().join("nixdag.yml"));
    run.arg("--roots").arg(drvs.join("roots.json")).arg("--drv-dir").arg(&drvs).args(["--available", "/dev/null"]);
    let output = run.output().unwrap();
    assert!(output.status.success(), "{}", shown(&output));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains(r#""runner":"[\"ubuntu-24.04-16core\"]""#), "{text}");
}
