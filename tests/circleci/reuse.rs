//! What leaves a pipeline: results that travel through the CI's own cache count only where a trusted key has signed them, and
//! what is pushed goes nowhere without secrets, which themselves go nowhere.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::circleci::{Outcome, Status};
use crate::support::project::{Project, every_nix, figure, logs, one_nix, report};
use crate::support::writable_cache::WritableCache;
use nixdag::nix::hash::Sha256;
use nixdag::nix::narinfo::NarInfo;
use nixdag::nix::signature::SecretKey;

// Made for this test with `nix key generate-secret`, and used nowhere else.
pub(super) const SECRET: &str =
    "ours-1:CwlG7Hb0KY5y4EPbj1KKJd4BwFTllfPkIjRYzal7nf+xuZ4UzkmMf2+R20SqTtFYA7HkJBHvYDuc0AVk82fO5Q==";
const OTHER: &str = "theirs-1:wxjFfLUOcM72QjuzSk4XaoQ/gRgYFHHN24MeYqJSmcfPLYf5GpL/H2/uefVgxYRbXq5KBCpQ0FkiXn4dPfkXtQ==";
pub(super) const VARIABLE: &str = "NIXDAG_SIGNING_KEY";

/// The example with signed results and the key in the project's environment.
fn signed_project(nix: &Path) -> Project {
    let mut project = Project::new("examples/hermetic", nix);
    let public = SecretKey::parse(SECRET).unwrap().public();
    project.arguments = format!("--reuse signed --signing-public-key {public}");
    project.variables = vec![(VARIABLE.into(), SECRET.into())];
    project
}

#[track_caller]
fn succeeds(project: &Project, number: u64) -> Outcome {
    let outcome = project.pipeline(number).run().unwrap();
    assert!(outcome.succeeded(), "{}", logs(&outcome));
    outcome
}

pub(super) fn built(outcome: &Outcome) -> u64 {
    figure(&report(outcome), "built")
}

/// The folders of the entries that jobs have saved, oldest first.
fn entries(project: &Project) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir(project.caches.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| fs::read_to_string(path.join("key")).unwrap().starts_with("nixdag-signed-"))
        .collect();
    found.sort_by_key(|path| path.file_name().unwrap().to_str().unwrap().parse::<u64>().unwrap());
    found
}

/// The only narinfo of an entry.
fn narinfo(entry: &Path) -> PathBuf {
    let found = Command::new("find").arg(entry).args(["-name", "*.narinfo"]).output().unwrap();
    let lines = String::from_utf8(found.stdout).unwrap();
    assert_eq!(lines.lines().count(), 1, "{lines}");
    PathBuf::from(lines.trim())
}

#[test]
fn signed_results_are_taken_by_other_branches_and_by_forks() {
    let mut project = signed_project(&one_nix(2));
    let first = succeeds(&project, 1);
    assert_eq!(built(&first), 4);
    assert_eq!(entries(&project).len(), 4);

    project.branch = "topic".into();
    let second = succeeds(&project, 2);
    assert_eq!(built(&second), 0, "{}", logs(&second));
    shows_no_secret(&second, &project);
    project.branch = "pull/1".into();
    project.variables.clear();
    let third = succeeds(&project, 3);
    assert_eq!(built(&third), 0, "{}", logs(&third));
    assert!(third.job("a").log.contains("no signing key in `NIXDAG_SIGNING_KEY`"), "{}", third.job("a").log);
    assert_eq!(entries(&project).len(), 4, "what is there already is not saved again");
    for outcome in [&first, &third] {
        shows_no_secret(outcome, &project);
    }
}

/// Neither logs, nor artifacts, nor configurations, nor caches, in which the plan is, hold a secret.
pub(super) fn shows_no_secret(outcome: &Outcome, project: &Project) {
    let secret = &SECRET.split_once(':').unwrap().1[..40];
    let token = "cachix-token-secret";
    let configuration = outcome.continuation.as_deref().unwrap_or_default();
    assert!(![secret, token].iter().any(|secret| logs(outcome).contains(secret) || configuration.contains(secret)));
    let mut grep = Command::new("grep");
    grep.args(["-rlF", "-e", secret, "-e", token]).arg(project.caches.path()).arg(project.checkout.path());
    grep.args(outcome.jobs.iter().filter(|job| job.artifacts.is_dir()).map(|job| &job.artifacts));
    let found = grep.output().unwrap();
    assert_eq!((found.status.code(), String::from_utf8_lossy(&found.stdout).as_ref()), (Some(1), ""));
}

#[test]
fn without_the_key_everything_is_green_and_nothing_is_saved() {
    let mut project = signed_project(&every_nix()[0]);
    project.variables.clear();
    assert_eq!(built(&succeeds(&project, 1)), 4);
    assert!(entries(&project).is_empty());
    // A key that nobody trusts is as good as none.
    project.variables = vec![(VARIABLE.into(), OTHER.into())];
    let outcome = succeeds(&project, 2);
    assert_eq!(built(&outcome), 4);
    assert!(outcome.job("a").log.contains("`theirs-1:zy2H+RqS"), "{}", outcome.job("a").log);
    assert!(entries(&project).is_empty());
}

#[test]
fn what_strangers_have_saved_is_named_and_built_again() {
    let mut project = signed_project(&every_nix()[0]);
    succeeds(&project, 1);
    let [a, b, c, d] = &entries(&project)[..] else { panic!("four jobs have saved") };

    // No signature, a stranger's, other contents under a right one, and rubbish.
    let change = |entry: &Path, change: &dyn Fn(&Path, &mut NarInfo)| {
        let file = narinfo(entry);
        let mut info = NarInfo::parse(&fs::read(&file).unwrap()).unwrap();
        change(file.parent().unwrap(), &mut info);
        fs::write(&file, info.to_text()).unwrap();
    };
    change(a, &|_, info| info.signatures.clear());
    change(b, &|_, info| info.signatures = vec![SecretKey::parse(OTHER).unwrap().sign(&info.fingerprint())]);
    change(c, &|dir, info| {
        let nar = zstd::encode_all(&b"evil"[..], 3).unwrap();
        let digest = Sha256::of(&nar);
        (info.file_hash, info.file_size) = (Some(digest), Some(nar.len() as u64));
        info.url = format!("nar/{}.nar.zst", digest.base32());
        fs::write(dir.join(&info.url), nar).unwrap();
    });
    fs::write(narinfo(d), "StorePath: /etc/passwd\n").unwrap();

    project.branch = "topic".into();
    let outcome = succeeds(&project, 2);
    assert_eq!(built(&outcome), 4, "{}", logs(&outcome));
    let text = logs(&outcome);
    for why in [
        "is not signed",
        "signed with key `theirs-1`, which is not trusted",
        "unpacks to other contents",
        "/etc/passwd",
    ] {
        assert!(text.contains(why), "`{why}` is missing in\n{text}");
    }
    // The new entries are newer than the spoilt ones.
    assert_eq!(entries(&project).len(), 8);
    let third = succeeds(&project, 3);
    assert_eq!(built(&third), 0, "{}", logs(&third));
}

#[test]
fn a_failed_job_keeps_what_it_has_built_signed() {
    let mut project = signed_project(&every_nix()[0]);
    project.arguments.push_str(" --granularity single");
    project.replace(
        "flake.nix",
        "words=\n",
        "words=\n                  if [ \"$name\" = b ] && [ -e /mnt/broken ]; then exit 3; fi\n",
    );
    let failed = project.pipeline(1).before_steps("touch /mnt/broken").run().unwrap();
    let status = failed.jobs.iter().find(|job| !["restore", "report", "gate"].contains(&&*job.name)).unwrap().status;
    assert_eq!((status, built(&failed)), (Status::Failed, 2), "{}", logs(&failed));
    assert_eq!(entries(&project).len(), 1);
    assert_eq!(built(&succeeds(&project, 2)), 2);
    assert_eq!(built(&succeeds(&project, 3)), 0);
}

/// Stands in for the client of Cachix, which needs its service.
const CACHIX: &str =
    "#!/bin/sh\ntest \"$*\" = 'push mine' && test \"$CACHIX_AUTH_TOKEN\" = cachix-token-secret && cat > /dev/null\n";

#[test]
fn a_cache_hands_on_and_a_fork_is_green_and_pushes_nothing() {
    let cache = WritableCache::new();
    let bin = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let cachix = bin.path().join("cachix");
    fs::write(&cachix, CACHIX).unwrap();
    fs::set_permissions(&cachix, fs::Permissions::from_mode(0o755)).unwrap();
    let mut project = Project::new("examples/hermetic", &one_nix(1));
    let public = SecretKey::parse(SECRET).unwrap().public();
    project.arguments =
        format!("--handoff cache --cache {} --signing-public-key {public} --push cachix:mine", cache.url());
    project.programs = vec![cachix];

    let fork = succeeds(&project, 1);
    assert_eq!(cache.uploads(), 0);
    for line in [
        "nothing is pushed to `cachix:mine`: neither `CACHIX_AUTH_TOKEN`",
        "the signing key `NIXDAG_SIGNING_KEY` is not set",
    ] {
        assert!(fork.job("a").log.contains(line), "`{line}` is missing in\n{}", fork.job("a").log);
    }

    project.variables =
        vec![(VARIABLE.into(), SECRET.into()), ("CACHIX_AUTH_TOKEN".into(), "cachix-token-secret".into())];
    let setup = project.setup(2);
    let outcome = project.continued(&setup, 2).run().unwrap();
    assert!(outcome.succeeded(), "{}", logs(&outcome));
    let said = report(&outcome);
    assert_eq!((figure(&said, "built"), said["built_twice"].as_array().map(Vec::len)), (4, Some(0)), "{said}");
    let narinfos = cache.narinfos();
    assert!(narinfos.len() == 4 && narinfos.iter().all(|text| text.contains("Sig: ours-1:")), "{narinfos:?}");
    assert!(outcome.job("d").log.contains("1 path pushed to `cachix:mine`"), "{}", outcome.job("d").log);
    for outcome in [&setup, &outcome] {
        shows_no_secret(outcome, &project);
    }
    // The next pipeline, a fork's, takes what is there.
    project.variables.clear();
    let third = succeeds(&project, 3);
    assert_eq!(figure(&report(&third), "built"), 0, "{}", logs(&third));
}

/// Has builders put down every variable of the Nix that runs them and of all that has started it.
pub(super) fn watch(project: &Project) {
    let look = "p=$PPID\n                  while [ $p -gt 1 ]; do\n                    IFS= read -r line < /proc/$p/environ || :\n                    echo \"$line\" >> /mnt/seen\n                    read -r i n s p r < /proc/$p/stat\n                  done\n                  words=\n";
    project.replace("flake.nix", "words=\n", look);
}

#[test]
fn a_job_of_its_own_signs_and_pushes_and_no_job_that_builds_has_a_secret() {
    let nix = one_nix(0);
    let cache = WritableCache::new();
    let mut project = Project::new("examples/hermetic", &nix);
    watch(&project);
    let public = SecretKey::parse(SECRET).unwrap().public();
    project.arguments = format!(
        "--sign separate --push {} --signing-public-key {public} --push-credential CACHE_TOKEN --delivery-context signing",
        cache.url()
    );
    let setup = project.setup(1);
    let secrets = [(VARIABLE, SECRET), ("CACHE_TOKEN", "cachix-token-secret")];
    let mut pipeline = project.continued(&setup, 1).context("signing", &secrets);
    let outcome = pipeline.run().unwrap();
    assert!(outcome.succeeded(), "{}", logs(&outcome));
    assert_eq!(figure(&report(&outcome), "built"), 4);
    let narinfos = cache.narinfos();
    assert!(narinfos.len() == 4 && narinfos.iter().all(|text| text.contains("Sig: ours-1:")), "{narinfos:?}");
    let log = &outcome.job("sign-and-push").log;
    assert!(log.contains("4 paths pushed to"), "{log}");
    shows_no_secret(&outcome, &project);
    let found = Command::new("find").arg(pipeline.state()).args(["-path", "*/mnt/seen"]).output().unwrap();
    let files = String::from_utf8(found.stdout).unwrap();
    assert_eq!(files.lines().count(), 4, "{files}");
    for file in files.lines() {
        let seen = String::from_utf8_lossy(&fs::read(file).unwrap()).into_owned();
        assert!(seen.contains("NIX_CONF_DIR=") && !seen.contains("cachix-token-secret"), "{seen}");
        assert!(!seen.contains(&SECRET[..40]), "{seen}");
    }
    // Only the one job has the context, and the gate waits for it.
    let config: serde_yaml::Value = serde_yaml::from_str(setup.continuation.as_ref().unwrap()).unwrap();
    let invocations = config["workflows"]["nixdag"]["jobs"].as_sequence().unwrap();
    let arguments = |job: &serde_yaml::Value| job.as_mapping().and_then(|job| job.values().next().cloned());
    let with_contexts: Vec<_> =
        invocations.iter().filter(|job| arguments(job).is_some_and(|given| given.get("context").is_some())).collect();
    assert_eq!(with_contexts.len(), 1);
    assert_eq!(
        with_contexts[0]["sign-and-push"]["requires"],
        serde_yaml::from_str::<serde_yaml::Value>("[d]").unwrap()
    );
    let gate = invocations.iter().find_map(|job| job.get("gate")).unwrap();
    assert!(serde_yaml::to_string(gate).unwrap().contains("sign-and-push"));

    // What was pushed is taken by the next pipeline; a failed job keeps everything from being signed.
    project.arguments.push_str(&format!(" --substituter {} --trusted-public-key {public}", cache.url()));
    assert_eq!(built(&succeeds(&project, 2)), 0);
    project.replace("flake.nix", "words=\n", "words=\n                  if [ \"$name\" = d ]; then exit 3; fi\n");
    let uploads = cache.uploads();
    let setup = project.setup(3);
    let failed = project.continued(&setup, 3).context("signing", &secrets).run().unwrap();
    assert_eq!((failed.status("c"), failed.status("sign-and-push")), (Status::Success, Status::NotRun));
    assert_eq!(cache.uploads(), uploads);
}

/// Saves an entry as any branch can: newer than what is there, with programs wherever nixdag has its own.
pub(super) fn poison(project: &Project, number: u64, key: &str) {
    let entry = project.caches.path().join(number.to_string());
    // What replaces the bundle ends the pipeline.
    let own = if key.starts_with("nixdag-bundle-") { "tmp/nixdag/bundle" } else { "tmp/nixdag/reuse/complete" };
    for folder in [own, "root/.nixdag/program", "root/.nixdag/bin"] {
        let folder = entry.join("data").join(folder);
        fs::create_dir_all(&folder).unwrap();
        for name in ["nixdag", "install.sh", "manifest", "sh"] {
            fs::write(folder.join(name), "#!/bin/sh\necho pwned $NIXDAG_SIGNING_KEY\n").unwrap();
            fs::set_permissions(folder.join(name), fs::Permissions::from_mode(0o755)).unwrap();
        }
    }
    fs::write(entry.join("key"), key).unwrap();
}

#[test]
fn nothing_that_a_hostile_branch_has_saved_is_run_or_signed() {
    let project = signed_project(&every_nix()[0]);
    succeeds(&project, 1);
    let keys: Vec<String> = fs::read_dir(project.caches.path())
        .unwrap()
        .map(|entry| fs::read_to_string(entry.unwrap().path().join("key")).unwrap())
        .collect();
    let (bundles, results): (Vec<_>, Vec<_>) = keys.iter().partition(|key| key.starts_with("nixdag-bundle-"));
    for (at, key) in results.iter().enumerate() {
        poison(&project, 1000 + at as u64, &format!("{key}x"));
    }
    let second = succeeds(&project, 2);
    assert_eq!(built(&second), 4, "{}", logs(&second));
    assert!(!logs(&second).contains("pwned"), "{}", logs(&second));
    shows_no_secret(&second, &project);
    // These two have no secrets, and nothing but a page comes of what the second finds.
    for job in second.jobs.iter().filter(|job| !["restore", "report"].contains(&&*job.name)) {
        assert!(!job.log.contains("Found a cache"), "{}: {}", job.name, job.log);
    }
    // The bundle of the next pipeline, whose id somebody has guessed: it is refused before anything of it is run.
    let key = bundles[0].replace("-000000000001-", "-000000000003-");
    assert_ne!(key, *bundles[0]);
    let setup = project.setup(3);
    poison(&project, 3000, &format!("{key}x"));
    let third = project.continued(&setup, 3).run().unwrap();
    assert_eq!((third.status("restore"), third.status("a")), (Status::Failed, Status::NotRun), "{}", logs(&third));
    assert!(!logs(&third).contains("pwned"), "{}", logs(&third));
}
