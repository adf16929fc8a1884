//! Caches that want credentials: what they have is fetched before anything is built, and builders find no way to them.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::support::cache_server::{Reply, Server, file};
use crate::support::pipeline::{JobOf, Pipeline, Ran, with_each_nix};
use nixdag::build::record::Outcome;
use nixdag::nix::binary_cache::{Reliance, ReliedStore};

const SECRET: &str = "s3cr3tT0ken";

/// `app` takes `library`, which takes `base`; its builder copies whatever file with tokens the Nix that runs it can read.
const APP: &str = r#"
rec {
  base = drv "base" "echo base > $out";
  library = drv "library" "cat ${base} > $out; echo library >> $out";
  app = drv "app" "cat ${library} > $out; tr '\\000' '\\n' < /proc/$PPID/cmdline > ${toString ./.}/words; for word in $(cat ${toString ./.}/words); do test ! -f $word || cat $word >> ${toString ./.}/seen || true; done; p=$PPID; while test $p -gt 1; do tr '\\000' '\\n' < /proc/$p/environ >> ${toString ./.}/seen || true; read -r a b c p rest < /proc/$p/stat; done; for file in /proc/$PPID/fd/*; do test ! -f $file || cat $file >> ${toString ./.}/seen || true; done";
}"#;
const JOBS: &[JobOf] = &[
    ("base", &["base"], &[], &[]),
    ("library", &["library"], &[], &["base"]),
    ("app", &["app"], &[], &["base", "library"]),
];

/// Has jobs push to a folder what they build, and forgets what they handed off.
fn fill(pipeline: &Pipeline, jobs: &[&str]) -> std::path::PathBuf {
    let cache = pipeline.dir().join("cache");
    for job in jobs {
        pipeline.run(job, &["--push", &format!("file://{}", cache.display())]).succeeds();
    }
    fs::remove_dir_all(pipeline.dir().join("workspace")).unwrap();
    cache
}

fn rely(pipeline: &mut Pipeline, url: String, token_variable: Option<&str>) {
    let token_variable = token_variable.map(str::to_owned);
    pipeline.plan.caches = Reliance { substituters: vec![ReliedStore { url, token_variable }], ..Reliance::default() };
    pipeline.sha256 = pipeline.write_bundle("bundle");
}

fn run(pipeline: &Pipeline, job: &str, variables: &[(&str, &str)]) -> Ran {
    let mut command = pipeline.command(job, &[]);
    command.envs(variables.iter().copied());
    pipeline.ran(job, command.output().unwrap())
}

/// Own outputs, and inputs of what is built in an absent owner's place, come from the cache; builders run as often as told.
#[track_caller]
fn fetches_before_it_builds(pipeline: &Pipeline, variables: &[(&str, &str)]) {
    let before = pipeline.built();
    run(pipeline, "base", variables).succeeds().has("base", Outcome::Substituted);
    assert_eq!(pipeline.built(), before);
    // Nobody has delivered `library`.
    let ran = run(pipeline, "app", variables).succeeds().has("library", Outcome::Built).has("app", Outcome::Built);
    assert_eq!(pipeline.built()[before.len()..], ["library", "app"], "{}", ran.text);
}

#[test]
fn a_bucket_is_asked_before_anything_is_built_and_by_no_call_that_builds() {
    with_each_nix("a_bucket_is_asked_before_anything_is_built_and_by_no_call_that_builds", || {
        let mut pipeline = Pipeline::new(APP, JOBS);
        let cache = fill(&pipeline, &["base"]);
        // No Nix of the tests can sign its questions.
        let server = Server::new(move |seen| {
            let name = seen.path.split('?').next().unwrap().trim_start_matches("/bucket/");
            file(fs::read(cache.join(name)).ok())
        });
        let address = server.url().replace("http://", "");
        rely(&mut pipeline, format!("s3://bucket?endpoint={address}&scheme=http&region=us-east-1&trusted=1"), None);
        let variables = [("AWS_ACCESS_KEY_ID", "KEYID"), ("AWS_SECRET_ACCESS_KEY", SECRET)];
        if run(&pipeline, "base", &variables).text.contains("don't know how to open Nix store") {
            // This Nix was built without.
            return;
        }
        fetches_before_it_builds(&pipeline, &variables);
        let words = fs::read_to_string(pipeline.dir().join("words")).unwrap();
        assert!(words.contains("--realise") && !words.contains("s3://"), "{words}");
        let seen = fs::read(pipeline.dir().join("seen")).unwrap_or_default();
        assert!(!String::from_utf8_lossy(&seen).contains(SECRET));
    });
}

#[test]
fn a_cache_with_a_token_is_read_and_no_builder_finds_the_token() {
    with_each_nix("a_cache_with_a_token_is_read_and_no_builder_finds_the_token", || {
        let mut pipeline = Pipeline::new(APP, JOBS);
        let cache = fill(&pipeline, &["base"]);
        let server = Server::new(move |seen| match seen.headers.contains_key("authorization") {
            true => file(fs::read(cache.join(seen.path.trim_start_matches('/'))).ok()),
            false => Reply::Answer(401, String::new(), Vec::new()),
        });
        rely(&mut pipeline, format!("{}?trusted=1", server.url()), Some("CACHE_TOKEN"));
        fetches_before_it_builds(&pipeline, &[("CACHE_TOKEN", SECRET)]);
        let words = fs::read_to_string(pipeline.dir().join("words")).unwrap();
        assert!(words.contains("--realise") && !words.contains("netrc"), "{words}");
        let seen = fs::read(pipeline.dir().join("seen")).unwrap_or_default();
        assert!(!String::from_utf8_lossy(&seen).contains(SECRET));
    });
}

/// Nix knows tokens by the host alone: of another port docs/security.md speaks.
#[test]
fn in_a_job_a_token_does_not_follow_a_redirection_to_another_host() {
    with_each_nix("in_a_job_a_token_does_not_follow_a_redirection_to_another_host", || {
        let mut pipeline = Pipeline::new(APP, JOBS);
        let cache = fill(&pipeline, &["base"]);
        let (asked, leaked) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let counts = (Arc::clone(&asked), Arc::clone(&leaked));
        let other = Server::new(move |seen| {
            counts.0.fetch_add(1, Ordering::Relaxed);
            counts.1.fetch_add(usize::from(seen.headers.contains_key("authorization")), Ordering::Relaxed);
            file(fs::read(cache.join(seen.path.trim_start_matches('/'))).ok())
        });
        let elsewhere = other.url().replace("127.0.0.1", "localhost");
        let server = Server::new(move |seen| match seen.headers.contains_key("authorization") {
            true => Reply::Answer(302, format!("Location: {elsewhere}{}\r\n", seen.path), Vec::new()),
            false => Reply::Answer(401, String::new(), Vec::new()),
        });
        rely(&mut pipeline, format!("{}?trusted=1", server.url()), Some("CACHE_TOKEN"));
        let ran = run(&pipeline, "base", &[("CACHE_TOKEN", SECRET)]).succeeds().has("base", Outcome::Substituted);
        assert!(asked.load(Ordering::Relaxed) > 0, "{}", ran.text);
        assert_eq!(leaked.load(Ordering::Relaxed), 0, "the token went to another host: {}", ran.text);
    });
}
