//! Generated CircleCI configurations: as recorded, accepted by CircleCI's schema, refused where they would break a rule.
//!
//! `NIXDAG_GOLDEN=write cargo test --test circleci generate` writes the recorded ones anew.

use crate::support::circleci_schema;
use crate::support::golden;
use crate::support::plans::{self, diamond, job, plan};
use nixdag::delivery::downloads::Download;
use nixdag::delivery::{BundleReference, Delivery, HandOff, Reuse, Signing};
use nixdag::fleet::executor::Executor;
use nixdag::fleet::size::Machine;
use nixdag::nix::signature::PublicKeys;
use nixdag::plan::Plan;
use nixdag::provider::circleci::generate;
use nixdag::provider::circleci::machines::NIX_IMAGE;
use nixdag::provider::circleci::options::Options;
use nixdag::provider::circleci::pipeline_parameters::{ParameterDefault, PipelineParameter};
use nixdag::provider::job_setup::JobSetup;
use serde_yaml::Value;

/// What a pipeline that builds on x86_64-linux says.
pub fn options() -> Options {
    let mut options = Options::default();
    options.setup.bundle =
        Some(BundleReference { manifest_sha256: "0123456789abcdef".repeat(4), system: "x86_64-linux".into() });
    options.setup.default_branch = Some("main".into());
    options
}

fn delivering(delivery: Delivery) -> Options {
    let options = options();
    Options { setup: JobSetup { delivery, ..options.setup }, ..options }
}

/// Every kind of machine, size and way to get nixdag.
fn all_kinds() -> (Plan, Options) {
    let mut jobs = vec![
        job("a", "a", "x86_64-linux", &[]),
        job("arm", "arm", "aarch64-linux", &[]),
        job("mac", "mac", "aarch64-darwin", &[]),
        job("big", "big", "x86_64-linux", &[0]),
        job("vm", "vm", "x86_64-linux", &[0]),
        job("own", "own", "x86_64-linux", &[3, 4]),
        job("image", "image", "x86_64-linux", &[]),
    ];
    jobs[3].resource_class = Some("2xlarge+".into());
    for (at, name) in [(4, "vm"), (5, "runner")] {
        jobs[at].executor = Some(name.into());
        (jobs[at].image, jobs[at].resource_class) = (None, None);
    }
    jobs[6].image = Some("cimg/base:2026.08".into());
    let mut options = options();
    let machine = |name: &str, machine, image: &str, class: &str| Executor {
        name: name.into(),
        machine,
        systems: vec!["x86_64-linux".into()],
        image: image.into(),
        resource_class: class.into(),
        cores: 4,
        credits_per_minute: 20,
        ..Executor::default()
    };
    options.setup.executors.push(machine("vm", Machine::LinuxVm, "ubuntu-2404:current", "large"));
    options.setup.executors.push(machine("runner", Machine::SelfHosted, "", "acme/builders"));
    options.setup.downloads.push(Download {
        system: "aarch64-darwin".into(),
        version: "0.1.0".into(),
        url: "https://example.org/nixdag's".into(),
        name: "nixdag-0.1.0-aarch64-apple-darwin".into(),
        sha256: "f".repeat(64),
    });
    options.parameters = vec![
        PipelineParameter { name: "deploy".into(), default: ParameterDefault::Boolean(false) },
        PipelineParameter { name: "note".into(), default: ParameterDefault::String("<<yes\n".into()) },
        PipelineParameter { name: "count".into(), default: ParameterDefault::Integer(3) },
        PipelineParameter {
            name: "mode".into(),
            default: ParameterDefault::Enum { values: vec!["on".into(), "off".into()], default: "off".into() },
        },
    ];
    (plan(jobs), options)
}

fn read(text: &str) -> Value {
    serde_yaml::from_str(text).unwrap()
}

fn invocations(config: &Value) -> Vec<(String, Value)> {
    let jobs = config["workflows"]["nixdag"]["jobs"].as_sequence().unwrap();
    let one = |job: &Value| {
        let (key, value) = job.as_mapping().unwrap().iter().next().unwrap();
        (key.as_str().unwrap().to_owned(), value.clone())
    };
    jobs.iter().map(one).collect()
}

/// Results of earlier pipelines count with a signature, by a key with a name that is no plain word.
fn signed() -> Options {
    let key = "it's/<<a:0yiKMLxc7nda+Jk68seX3/hXQq528DlE7mWJtwwIIgk=";
    let signing = Signing { public_keys: PublicKeys::parse([key]).unwrap(), ..Signing::default() };
    delivering(Delivery { reuse: Some(Reuse::Signed), signing, ..Delivery::default() })
}

#[test]
fn signed_results_are_written_as_recorded() {
    golden::check("tests/golden/circleci-signed.yml", &generate(&diamond(), &signed()).unwrap());
    let unsigned = delivering(Delivery { reuse: Some(Reuse::Signed), ..Delivery::default() });
    let error = generate(&diamond(), &unsigned).unwrap_err();
    assert!(error.to_string().contains("need a public key"), "{error}");
}

#[test]
fn a_diamond_is_written_as_recorded() {
    golden::check("tests/golden/circleci-diamond.yml", &generate(&diamond(), &options()).unwrap());
}

#[test]
fn every_kind_of_machine_is_written_as_recorded() {
    let (plan, options) = all_kinds();
    golden::check("tests/golden/circleci-kinds.yml", &generate(&plan, &options).unwrap());
}

#[test]
fn the_schema_accepts_what_is_generated() {
    let (kinds, kinds_options) = all_kinds();
    let with = |handoff, reuse| delivering(Delivery { handoff, reuse: Some(reuse), ..Delivery::default() });
    for (plan, options) in [
        (diamond(), options()),
        (diamond(), Options::default()),
        (diamond(), with(HandOff::through("s3://it's/<<a").unwrap(), Reuse::Off)),
        (diamond(), with(HandOff::through("https://cache.example.org").unwrap(), Reuse::Branch)),
        (diamond(), with(HandOff::Workspace, Reuse::Off)),
        (diamond(), signed()),
        (Plan::default(), options()),
        (Plan::default(), Options::default()),
        (kinds, kinds_options),
    ] {
        circleci_schema::accepts(&generate(&plan, &options).unwrap());
    }
}

#[test]
#[should_panic(expected = "does not match")]
fn the_schema_that_is_asked_does_refuse() {
    let text = generate(&diamond(), &options()).unwrap();
    circleci_schema::accepts(&text.replace("build-docker", "build.docker"));
}

#[test]
fn jobs_are_invoked_by_name_in_the_order_of_the_plan_with_the_gate_behind() {
    let config = read(&generate(&diamond(), &options()).unwrap());
    let jobs = invocations(&config);
    let names: Vec<_> =
        jobs.iter().map(|(key, job)| job.get("name").map_or(&**key, |name| name.as_str().unwrap())).collect();
    let name = |letter: &str| format!("packages.x86_64-linux.{letter}");
    assert_eq!(names, [&*name("a"), &*name("b"), &*name("c"), &*name("d"), "after-d", "report", "gate"]);
    assert_eq!(jobs[3].1["requires"], serde_yaml::to_value([name("b"), name("c")]).unwrap());
    assert_eq!(jobs[6].1["requires"], serde_yaml::to_value([name("d")]).unwrap());
    assert_eq!(config["jobs"]["gate"]["type"], "no-op");
    assert!(jobs.iter().all(|(_, job)| job["filters"] == "pipeline.git.branch or pipeline.git.tag"));
    assert!(jobs[..4].iter().all(|(key, _)| key == "build-docker"));
    assert!(config.get("setup").is_none());
}

#[test]
fn with_nothing_to_build_the_gate_is_the_only_job() {
    let config = read(&generate(&Plan::default(), &options()).unwrap());
    let jobs = invocations(&config);
    assert_eq!(jobs.len(), 1);
    assert_eq!(jobs[0].0, "gate");
    assert!(jobs[0].1.get("requires").is_none());
    assert!(config.get("executors").is_none());
}

#[test]
fn only_executors_that_are_used_are_defined() {
    let config = read(&generate(&diamond(), &options()).unwrap());
    // The second one is for the job that puts records together.
    let names: Vec<&Value> = config["executors"].as_mapping().unwrap().keys().collect();
    assert_eq!(names, ["docker", "docker-small"]);
    assert_eq!(config["executors"]["docker"]["docker"][0]["image"], NIX_IMAGE);
    assert_eq!(config["executors"]["docker"]["resource_class"], "large");
}

#[test]
fn hostile_names_reach_neither_templates_nor_shells() {
    let hostile = [
        "<< parameters.id >>",
        "<<",
        "a\n  - evil: {}",
        "\u{1b}[31mred",
        "$(reboot)",
        "\"; rm -rf /",
        "yes",
        "1:30",
        "ü\u{2028}x",
    ];
    let linux = "x86_64-linux";
    let mut jobs: Vec<_> =
        hostile.iter().enumerate().map(|(at, name)| job(&format!("j{at}"), name, linux, &[])).collect();
    jobs.push(job("last", "last", linux, &(0..hostile.len() as u32).collect::<Vec<_>>()));
    let text = generate(&plan(jobs), &options()).unwrap();
    circleci_schema::accepts(&text);
    assert!(!text.contains('\u{1b}') && !text.contains('\u{2028}'));
    let jobs = invocations(&read(&text));
    let shown = [
        "\\<< parameters.id >>",
        "\\<<",
        "a\\n  - evil: {}",
        "\\u{1b}[31mred",
        "$(reboot)",
        "\"; rm -rf /",
        "yes",
        "1:30",
        "ü\\u{2028}x",
    ];
    let names: Vec<_> = jobs.iter().filter_map(|(_, job)| job.get("name")?.as_str()).collect();
    assert_eq!(names[..shown.len()], shown);
    assert_eq!(jobs[hostile.len()].1["requires"], serde_yaml::to_value(shown).unwrap());
    // Scripts are the same whatever the names are.
    assert!(!text[..text.find("workflows:").unwrap()].contains("reboot"));
}

#[test]
fn pass_through_parameters_are_declared() {
    let (plan, options) = all_kinds();
    let config = read(&generate(&plan, &options).unwrap());
    assert_eq!(config["parameters"]["deploy"]["type"], "boolean");
    assert_eq!(config["parameters"]["note"]["default"], "\\<<yes\n");
    assert_eq!(config["parameters"]["mode"]["enum"][0], "on");
    let bad = Options {
        parameters: vec![PipelineParameter { name: "a b".into(), default: ParameterDefault::Integer(1) }],
        ..options
    };
    assert!(generate(&plan, &bad).is_err());
}

#[test]
fn systems_whose_machines_get_no_nixdag_are_named() {
    let (plan, mut options) = all_kinds();
    let without = |options: &Options| Vec::from_iter(options.setup.systems_without_nixdag(&plan));
    assert_eq!(without(&options), ["aarch64-linux"]);
    options.setup.downloads.clear();
    assert_eq!(without(&options), ["aarch64-darwin", "aarch64-linux"]);
    options.setup.bundle = None;
    assert!(without(&options).is_empty());
}

#[test]
fn plans_that_cannot_be_written_are_refused_with_the_job_at_fault() {
    let linux = "x86_64-linux";
    let reason = |change: &dyn Fn(&mut nixdag::plan::Job)| {
        let mut wrong = job("a", "packages.a", linux, &[]);
        change(&mut wrong);
        format!("{:#}", generate(&plan(vec![wrong]), &options()).unwrap_err())
    };
    assert!(reason(&|job| job.name = "Gate".into()).contains("`Gate`"));
    assert!(reason(&|job| job.name = " ".into()).contains("empty name"));
    assert!(reason(&|job| job.id = "$(id)".into()).contains("job id"));
    let again =
        ": plan again with this nixdag.yml, or give it the executor for `x86_64-linux` that the plan was made with";
    for (executor, words) in [
        (None, "it has no executor"),
        (Some("mainframe"), "no executor `mainframe` (known: `docker`, `arm`, `macos`)"),
        (Some("arm"), "executor `arm` does not build `x86_64-linux`"),
    ] {
        let said = reason(&|job| job.executor = executor.map(str::to_owned));
        assert!(said.contains(&format!("{words}{again}")), "{said}");
    }
    let twins = plan(vec![job("a", "Foo", linux, &[]), job("b", "foo", linux, &[])]);
    assert!(generate(&twins, &options()).unwrap_err().to_string().contains("`Foo`"));
}

#[test]
fn options_that_would_break_out_are_refused() {
    let refused = |change: &dyn Fn(&mut Options)| {
        let mut options = options();
        change(&mut options);
        assert!(generate(&diamond(), &options).is_err());
    };
    refused(&|options| options.setup.bundle.as_mut().unwrap().manifest_sha256 = "$(id)".into());
    refused(&|options| options.setup.default_branch = Some("{{ .Revision }}".into()));
    refused(&|options| options.setup.default_branch = Some("a..b".into()));
    refused(&|options| options.setup.nix.version = "2; reboot".into());
    refused(&|options| options.setup.nix.tarballs[0].1 = "0".into());
    let download = |url: &str, name: &str| Download {
        system: "x".into(),
        version: "1".into(),
        url: url.into(),
        name: name.into(),
        sha256: "0".repeat(64),
    };
    refused(&|options| options.setup.downloads = vec![download("ftp://example.org", "nixdag")]);
    refused(&|options| options.setup.downloads = vec![download("https://example.org", "$(id)")]);
    refused(&|options| options.setup.nix.url = "https://example.org/\n".into());
}

#[test]
fn a_plan_that_is_too_big_says_by_how_much_and_what_to_do() {
    let linux = "x86_64-linux";
    let jobs = |count: u32| {
        let one = |at: u32| {
            job(
                &format!("job-{at}"),
                &format!("packages.{linux}.package-{at}"),
                linux,
                &if at == 0 { vec![] } else { vec![at - 1] },
            )
        };
        plan((0..count).map(one).collect())
    };
    generate(&jobs(1950), &options()).unwrap();
    let refused = generate(&jobs(9000), &options()).unwrap_err().to_string();
    assert!(refused.contains("MB more than the 8.0 MB") && refused.contains("--max-jobs"), "{refused}");
}

#[test]
fn what_a_job_builds_decides_what_it_can_reuse() {
    let hash = |plan: &Plan| {
        let config = read(&generate(plan, &options()).unwrap());
        invocations(&config)[0].1["reuse"].as_str().unwrap().to_owned()
    };
    let plan = diamond();
    let mut other = diamond();
    other.jobs[0].derivations = vec![plans::derivation("other")];
    assert_ne!(hash(&plan), hash(&other));
    let mut renamed = diamond();
    renamed.jobs[0].name = "renamed".into();
    assert_eq!(hash(&plan), hash(&renamed));
}
