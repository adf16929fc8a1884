//! `mode: workers`: whole pipelines whose jobs are machines that take one derivation after another, results in a cache, names in a bucket.

use std::fs;
use std::path::Path;

use crate::support::circleci::{Outcome, Pipeline, Status};
use crate::support::empty_store::BUILD_USER;
use crate::support::project::{Project, figure, logs, one_nix, report};
use crate::support::s3_server::{KEY, S3Server};
use crate::support::writable_cache::WritableCache;

/// A repository, and where its workers talk and hand on.
struct Workers {
    project: Project,
    names: S3Server,
    /// Serves as long as it is there.
    _cache: WritableCache,
}

impl Workers {
    /// The hermetic example, with these settings.
    fn new(nix: &Path, settings: &str) -> Self {
        let (names, cache) = (S3Server::new(false), WritableCache::new());
        let mut project = Project::new("examples/hermetic", nix);
        project.arguments = format!(
            "--objective time --mode workers --worker-store '{}' --handoff cache --cache {}?trusted=true",
            names.url(),
            cache.url()
        );
        let sandbox = "sandbox = true\nsandbox-paths = /bin /usr /lib /lib64\nbuild-users-group = nixbld\n";
        project.variables = [("NIX_CONFIG", sandbox), ("AWS_ACCESS_KEY_ID", KEY.0), ("AWS_SECRET_ACCESS_KEY", KEY.1)]
            .map(|(name, value)| (name.into(), value.into()))
            .to_vec();
        let file = project.checkout.path().join("nixdag.yml");
        fs::write(&file, format!("{}{settings}", fs::read_to_string(&file).unwrap())).unwrap();
        Self { project, names, _cache: cache }
    }

    /// The workflow of a pipeline, and its text.
    fn pipeline(&self, number: u64) -> (Pipeline, String) {
        let setup = self.project.setup(number);
        let pipeline =
            self.project.continued(&setup, number).before_steps(BUILD_USER).context("deploy", &[("TOKEN", "x")]);
        (pipeline, setup.continuation.unwrap())
    }

    /// Names that were made, less what is in front of them.
    fn names(&self) -> Vec<String> {
        self.names.puts().keys().filter_map(|key| Some(key.rsplit_once('/')?.1.to_owned())).collect()
    }
}

#[track_caller]
fn all_was_built_once(outcome: &Outcome) {
    assert!(outcome.succeeded(), "{}", logs(outcome));
    let said = report(outcome);
    assert_eq!((figure(&said, "built"), said["built_twice"].as_array().map(Vec::len)), (4, Some(0)), "{said}");
    // All of them have left records.
    assert!(!outcome.job("report").log.contains("left no records"), "{}", outcome.job("report").log);
}

#[test]
fn a_pipeline_of_workers_builds_everything_once_and_the_next_one_nothing() {
    let workers = Workers::new(&one_nix(0), "");
    let (mut pipeline, _) = workers.pipeline(1);
    all_was_built_once(&pipeline.run().unwrap());
    let (mut pipeline, config) = workers.pipeline(2);
    assert!(!config.contains("nixdag-worker"), "{config}");
    assert!(pipeline.run().unwrap().succeeded());
}

/// `b` gets a context or a variable, so `b` and `d`, which needs it, come behind the workers.
#[test]
fn what_gets_a_context_or_a_variable_is_built_behind_the_workers() {
    for (turn, rule) in ["context: deploy", "environment: { TOKEN: x }"].iter().enumerate() {
        let settings = format!("rules: [{{ match: {{ attribute: packages.*.b }}, {rule} }}]\ncontexts: [deploy]\n");
        let workers = Workers::new(&one_nix(turn + 1), &settings);
        let (mut pipeline, config) = workers.pipeline(1);
        let outcome = pipeline.run().unwrap();
        all_was_built_once(&outcome);
        let claims: Vec<String> = workers.names().into_iter().filter(|name| name.starts_with("claim-")).collect();
        assert_eq!(claims, ["claim-0-0", "claim-1-0"], "a and c");
        assert!(outcome.job("nixdag-workers").log.contains("2 of 2 jobs built by workers"), "{config}");
        assert_eq!((outcome.status("b"), outcome.status("d")), (Status::Success, Status::Success), "{config}");
    }
}

/// What counts is what all of them have done: the gate is green although a worker is red, and red where something is not built.
#[test]
fn a_worker_that_dies_leaves_the_verdict_to_the_others() {
    let mut workers = Workers::new(&one_nix(2), "rules: [{ resource_class: small }]\n");
    workers.project.arguments.push_str(" --cost ordinary=600");
    let call = "exec ~/.nixdag/program/nixdag build";
    for (number, dead, gate) in [(1, "nixdag-worker-?", Status::NotRun), (2, "nixdag-worker-0", Status::Success)] {
        let (_, config) = workers.pipeline(number);
        assert!(config.contains("nixdag-worker-1: terminal") && config.contains(call), "{config}");
        let killed = config.replace(call, &format!("case $id in {dead}) kill -9 $$;; esac; {call}"));
        let mut pipeline = workers.project.with_workflow(&killed, number).before_steps(BUILD_USER);
        let outcome = pipeline.run().unwrap();
        assert_eq!(outcome.status("nixdag-worker-0"), Status::Failed, "{}", logs(&outcome));
        let (judged, is_green) = (outcome.job("nixdag-workers"), gate == Status::Success);
        assert_eq!((judged.status == Status::Success, outcome.status("gate")), (is_green, gate), "{}", judged.log);
    }
}

/// `leaf` needs nothing of a worker, `x` needs both; a job of one's own waits for what a worker builds.
#[test]
fn all_jobs_behind_the_workers_wait_for_what_all_of_them_have_done() {
    let settings = "rules: [{ match: { attribute: packages.*.leaf }, environment: { WORD: x } }]\n";
    let mut workers = Workers::new(&one_nix(0), "");
    let folder = workers.project.checkout.path().to_owned();
    let flake = r#"{ outputs = _: { packages.x86_64-linux = let
      package = name: inputs: derivation { inherit name inputs; system = "x86_64-linux"; builder = "/bin/sh"; args = [ "-c" "echo > $out" ]; };
    in rec { w1 = package "w1" [ ]; leaf = package "leaf" [ ]; x = package "x" [ leaf w1 ]; }; }; }"#;
    fs::write(folder.join("flake.nix"), flake).unwrap();
    fs::write(folder.join("nixdag.yml"), settings).unwrap();
    let own = "version: 2.1\njobs: { deploy: { docker: [{ image: cimg/base:2026.08 }], steps: [checkout] } }\nworkflows: { nixdag: { jobs: [{ deploy: { requires: [packages.x86_64-linux.w1] } }] } }\n";
    fs::write(folder.join("own.yml"), own).unwrap();
    workers.project.arguments.push_str(" --merge own.yml");
    let config = workers.project.setup(1).continuation.unwrap();
    let config: serde_yaml::Value = serde_yaml::from_str(&config).unwrap();
    let mut waits = std::collections::BTreeMap::new();
    for (_, workflow) in config["workflows"].as_mapping().unwrap() {
        for job in workflow["jobs"].as_sequence().into_iter().flatten() {
            let Some((name, entry)) = job.as_mapping().and_then(|job| job.iter().next()) else { continue };
            let name = entry["name"].as_str().or(name.as_str()).unwrap().to_owned();
            waits.insert(name, serde_yaml::to_string(&entry["requires"]).unwrap());
        }
    }
    let of = |name: &str| waits.get(name).unwrap_or_else(|| panic!("{name}: {waits:#?}"));
    assert_eq!(of("leaf").trim(), "- nixdag-workers", "{waits:#?}");
    assert_eq!(of("x").trim(), "- leaf", "{waits:#?}");
    assert_eq!(of("deploy").trim(), "- nixdag-workers", "{waits:#?}");
}
