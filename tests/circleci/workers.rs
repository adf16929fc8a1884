//! `mode: workers`: whole pipelines whose jobs are machines that take one derivation after another, results in a cache, names in a bucket.

use std::fs;
use std::path::Path;

use crate::support::circleci::{Outcome, Pipeline, Status};
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
        let pipeline = self.project.continued(&setup, number).context("deploy", &[("TOKEN", "x")]);
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
        assert!(outcome.job("nixdag-workers").log.contains("2 of 2 units done by workers"), "{config}");
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
        let mut pipeline = workers.project.with_workflow(&killed, number);
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

/// Forty derivations of openssl, 20.09 (`s1`), each with those of them that it needs: ten of the longest path, thirty at random. The longest path here has twelve.
#[rustfmt::skip]
const SAMPLE: [&[usize]; 40] = [
    &[], &[], &[], &[1], &[1], &[], &[], &[1], &[1], &[1], &[1], &[1], &[8], &[8], &[1], &[1], &[8], &[4],
    &[8], &[18], &[18], &[1], &[1], &[8], &[8], &[16], &[16], &[10, 26], &[10, 26], &[10, 26], &[10, 26],
    &[30], &[19, 30], &[32], &[33], &[34], &[35], &[6, 11, 36], &[37], &[1, 2],
];

/// A flake with the sample, whose builders sleep; what nobody needs is a target.
fn sample(seconds: u32) -> String {
    let inputs = |at: usize| SAMPLE[at].iter().map(|input| format!("d{input} ")).collect::<String>();
    let drvs = (0..SAMPLE.len()).map(|at| format!("d{at} = package \"d{at}\" [ {}];", inputs(at)));
    let is_target = |at: &usize| !SAMPLE.iter().any(|inputs| inputs.contains(at));
    let targets = (0..SAMPLE.len()).filter(is_target).map(|at| format!("d{at} "));
    format!(
        "{{ outputs = _: {{ packages.x86_64-linux = let
          package = name: inputs: derivation {{ inherit name inputs; system = \"x86_64-linux\"; builder = \"/bin/sh\";
            args = [ \"-c\" \"/bin/sleep {seconds}; echo $inputs > $out\" ]; }};
          all = rec {{ {} }}; in {{ inherit (all) {}; }}; }}; }}",
        drvs.collect::<Vec<_>>().join(" "),
        targets.collect::<String>()
    )
}

/// Start-ups and seconds of workers and of jobs, a tenth as long as in a plan: a start takes 4.5 s, a build 6.
#[test]
#[ignore = "takes minutes"]
fn workers_beside_jobs_on_a_sample() {
    for mode in ["jobs", "workers"] {
        let mut workers = Workers::new(&one_nix(0), "");
        let folder = workers.project.checkout.path().to_owned();
        fs::write(folder.join("flake.nix"), sample(6)).unwrap();
        fs::write(folder.join("nixdag.yml"), "").unwrap();
        let more = if mode == "jobs" { "--granularity auto" } else { "" };
        workers.project.arguments = format!("{} {more}", workers.project.arguments.replace("workers", mode));
        if mode == "jobs" {
            let without = workers.project.arguments.find("--worker-store").unwrap();
            let end = without + workers.project.arguments[without..].find("--handoff").unwrap();
            workers.project.arguments.replace_range(without..end, "");
        }
        let setup = workers.project.setup(1);
        let mut pipeline = workers.project.continued(&setup, 1).before_steps("sleep 4.5");
        let outcome = pipeline.run().unwrap();
        assert!(outcome.succeeded(), "{}", logs(&outcome));
        let said = report(&outcome);
        let ends: Vec<_> = outcome.jobs.iter().map(|job| (&*job.name, job.ended.map(|time| time.as_secs()))).collect();
        let builders = ends.iter().filter(|(name, _)| name.starts_with('d') || name.starts_with("nixdag-worker-"));
        let (starts, wall) = (builders.clone().count(), builders.filter_map(|(_, end)| *end).max());
        println!("{mode}: {starts} start-ups, {wall:?} s, {} built; {ends:?}", figure(&said, "built"));
    }
}
