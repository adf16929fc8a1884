//! Two branches of one repository, one of them hostile: what it builds, saves and says reaches neither what the other signs and pushes, nor its
//! secrets.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use crate::reuse::{SECRET, VARIABLE, built, poison, shows_no_secret, watch};
use crate::support::circleci::{Outcome, Pipeline, Status};
use crate::support::project::{Project, every_nix, logs};
use crate::support::writable_cache::WritableCache;
use nixdag::nix::narinfo::NarInfo;
use nixdag::nix::signature::SecretKey;

/// What the context of `d` holds.
const DEPLOY: &str = "deploy-token-secret";

/// The rule that gives it to `d`.
const RULE: &str = "rules:\n  - match: { attribute: packages.*.d }\n    context: deploy\n";

/// The ways to deliver that go together with contexts, signing and a push; STORE is the store.
const WAYS: [&str; 4] = [
    "--reuse signed --push STORE --delivery-context signing",
    "--reuse off --push STORE --delivery-context signing",
    "--sign separate --push STORE --delivery-context signing",
    "--handoff cache --cache STORE --delivery-context signing",
];

/// Content and signers of each path of the store.
fn stored(cache: &WritableCache) -> BTreeMap<String, (String, bool)> {
    let infos = cache.narinfos().into_iter().map(|text| NarInfo::parse(text.as_bytes()).unwrap());
    infos
        .map(|info| {
            let is_ours = info.signatures.iter().any(|signature| signature.to_string().starts_with("ours-1:"));
            (info.store_path, (info.nar_hash.base32(), is_ours))
        })
        .collect()
}

/// Runs a pipeline whose branch may use the contexts.
fn run(mut pipeline: Pipeline) -> (Outcome, String) {
    let outcome = pipeline.run().unwrap();
    let found = Command::new("find").arg(pipeline.state()).args(["-path", "*/mnt/seen"]).output().unwrap();
    let files = String::from_utf8(found.stdout).unwrap();
    let seen = files.lines().map(|file| String::from_utf8_lossy(&fs::read(file).unwrap()).into_owned()).collect();
    (outcome, seen)
}

#[test]
fn a_hostile_branch_changes_nothing_that_another_signs_and_pushes() {
    let versions = every_nix();
    let public = SecretKey::parse(SECRET).unwrap().public();
    for (at, way) in WAYS.iter().enumerate() {
        let cache = WritableCache::new();
        let mut project = Project::new("examples/hermetic", &versions[at % versions.len()]);
        watch(&project);
        let settings = fs::read_to_string(project.checkout.path().join("nixdag.yml")).unwrap();
        fs::write(project.checkout.path().join("nixdag.yml"), format!("{settings}{RULE}")).unwrap();
        let own = format!("{} --signing-public-key {public}", way.replace("STORE", cache.url()));
        project.arguments.clone_from(&own);
        let contexts = |pipeline: Pipeline| {
            pipeline.context("signing", &[(VARIABLE, SECRET)]).context("deploy", &[("DEPLOY_TOKEN", DEPLOY)])
        };
        let (first, _) = run(contexts(project.pipeline(1)));
        assert!(first.succeeded(), "{way}: {}", logs(&first));
        let good = stored(&cache);
        assert!(good.len() == 4 && good.values().all(|(_, is_ours)| *is_ours), "{way}: {good:?}");

        // The other branch builds what it likes without secrets, saves it wherever CircleCI lets it, and programs beside it.
        project.branch = "hostile".into();
        project.arguments = String::new();
        fs::write(project.checkout.path().join("nixdag.yml"), &settings).unwrap();
        project.replace("flake.nix", "echo \"$name", "echo \"forged $name");
        let (hostile, _) = run(project.pipeline(2));
        assert_eq!(hostile.status("d"), Status::Success, "{way}: {}", logs(&hostile));
        let entries = fs::read_dir(project.caches.path()).unwrap().map(|entry| entry.unwrap().path());
        let keys: Vec<String> = entries.map(|entry| fs::read_to_string(entry.join("key")).unwrap()).collect();
        for (at, key) in keys.iter().filter(|key| !key.starts_with("nixdag-bundle-")).enumerate() {
            poison(&project, 1000 + at as u64, &format!("{}x", key.replace("hostile", "main")));
        }

        project.branch = "main".into();
        project.arguments = own;
        fs::write(project.checkout.path().join("nixdag.yml"), format!("{settings}{RULE}")).unwrap();
        project.replace("flake.nix", "echo \"forged $name", "echo \"$name");
        // So that all is pushed again, whatever that is.
        for entry in fs::read_dir(cache.dir()).unwrap().map(|entry| entry.unwrap().path()) {
            if entry.extension().is_some_and(|ending| ending == "narinfo") {
                fs::remove_file(entry).unwrap();
            }
        }
        let (second, seen) = run(contexts(project.pipeline(3)));
        assert!(second.succeeded(), "{way}: {}", logs(&second));
        assert_eq!(built(&second), 4, "{way}: {}", logs(&second));
        assert_eq!(stored(&cache), good, "{way}");
        for outcome in [&first, &hostile, &second] {
            assert!(!logs(outcome).contains("pwned") && !logs(outcome).contains(DEPLOY), "{way}: {}", logs(outcome));
            shows_no_secret(outcome, &project);
        }
        assert!(
            seen.contains("NIX_CONF_DIR=") && !seen.contains(&SECRET[..40]) && !seen.contains(DEPLOY),
            "{way}: {seen}"
        );
    }
}

#[test]
fn unsigned_results_of_a_branch_are_refused_beside_secrets() {
    let project = Project::new("examples/hermetic", &every_nix()[0]);
    let settings = fs::read_to_string(project.checkout.path().join("nixdag.yml")).unwrap();
    let rule = format!("{settings}{RULE}");
    for (file, more, what) in [
        (&settings, &["--push", "s3://bucket"][..], "`push`"),
        (&settings, &["--signing-key-variable", "KEY"], "a signing key"),
        (&settings, &["--delivery-context", "signing"], "a signing key"),
        (&rule, &[], "jobs that have contexts"),
    ] {
        fs::write(project.checkout.path().join("nixdag.yml"), file).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_nixdag"));
        command.args(["generate", ".", "--reuse", "branch", "--bundle", "bundle", "-o", "config.yml"]).args(more);
        let output = command.current_dir(project.checkout.path()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let words = format!("which does not go together with {what}: use `reuse: signed` with a key, or `reuse: off`");
        assert!(output.status.code() == Some(1) && said.contains(&words), "{said}");
        assert!(!project.checkout.path().join("config.yml").exists());
    }
}
