//! What a job builds is pushed while it goes on building: to stores, to Cachix and to Attic, with retries, and without a secret
//! where it does not belong.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::cache_server::dead;
use crate::support::empty_store::empty_store;
use crate::support::pipeline::{JobOf, Pipeline, Ran, with_each_nix};
use crate::support::writable_cache::WritableCache;
use crate::support::{shown, with_nix, with_one_nix};
use nixdag::build::record::Outcome;
use nixdag::nix::binary_cache::{Reliance, ReliedStore};
use nixdag::nix::signature::SecretKey;

// Made for this test with `nix key generate-secret`, and used nowhere else.
const SECRET: &str = "ours-1:CwlG7Hb0KY5y4EPbj1KKJd4BwFTllfPkIjRYzal7nf+xuZ4UzkmMf2+R20SqTtFYA7HkJBHvYDuc0AVk82fO5Q==";
const VARIABLE: &str = "NIXDAG_SIGNING_KEY";

fn public() -> String {
    SecretKey::parse(SECRET).unwrap().public().to_string()
}

/// Two derivations in one job; the second one waits for `$condition`, at most a minute.
fn pair(condition: &str) -> Pipeline {
    let wait = format!("i=0; until {condition}; do i=$((i+1)); test $i -lt 600; sleep 0.1; done");
    let text = format!(
        r#"rec {{ first = drv "first" "echo first > $out"; second = drv "second" "read x < ${{first}}; {wait}; echo second > $out"; }}"#
    );
    Pipeline::new(&text, &[("job", &["first", "second"], &[], &[])])
}

fn run(pipeline: &Pipeline, job: &str, more: &[&str], variables: &[(&str, &str)]) -> Ran {
    let mut command = pipeline.command(job, more);
    let output = command.envs(variables.iter().copied()).output().unwrap();
    pipeline.ran(job, output)
}

/// A program by this name at the front of the PATH.
fn program(dir: &Path, name: &str, script: &str) -> String {
    let bin = dir.join("bin");
    fs::create_dir_all(&bin).unwrap();
    fs::write(bin.join(name), script).unwrap();
    fs::set_permissions(bin.join(name), fs::Permissions::from_mode(0o755)).unwrap();
    format!("{}:{}", bin.display(), std::env::var("PATH").unwrap())
}

/// No file below the folder holds any of these.
#[track_caller]
fn holds_none_of(dir: &Path, secrets: &[&str]) {
    let mut grep = Command::new("grep");
    grep.args(["-rlFa"]).args(secrets.iter().flat_map(|secret| ["-e", secret])).arg(dir);
    let found = grep.output().unwrap();
    assert_eq!((found.status.code(), shown(&found).trim()), (Some(1), ""));
}

#[test]
fn a_signed_cache_over_http_hands_on_even_what_was_missed_before() {
    with_each_nix("a_signed_cache_over_http_hands_on_even_what_was_missed_before", || {
        let cache = WritableCache::new();
        let jobs: &[JobOf] = &[("a", &["a"], &[], &[]), ("b", &["b"], &[], &["a"]), ("d", &["d"], &[], &["a", "b"])];
        let pipeline = Pipeline::new(
            r#"rec {
              a = drv "a" "echo a > $out";
              b = drvWith "b" { outputs = [ "out" "dev" ]; } "echo ${a} > $out; echo dev > $dev";
              d = drv "d" "read a < ${b}; cat $a ${b.dev} > $out";
            }"#,
            jobs,
        );
        let public = public();
        let through =
            ["--handoff", "cache", "--cache", cache.url(), "--signing-public-key", &public, "--on-missing", "fail"];
        // Nix asks, hears that there is nothing, and remembers that.
        run(&pipeline, "d", &through, &[(VARIABLE, SECRET)]).fails(&["is missing: job `b` should have handed it off"]);
        // On other machines, since Nix remembers its own uploads as well.
        let home = tempfile::tempdir().unwrap();
        for job in ["a", "b"] {
            let variables = [(VARIABLE, SECRET), ("HOME", home.path().to_str().unwrap())];
            run(&pipeline, job, &through, &variables).succeeds();
        }
        assert_eq!(pipeline.built(), ["a", "b"]);
        let mut plain = empty_store();
        plain.args(["nix-store", "--realise", &pipeline.output("b", "out"), "--option", "substituters", cache.url()]);
        plain.args(["--option", "trusted-public-keys", &public]);
        let plain = plain.output().unwrap();
        assert!(!plain.status.success(), "Nix alone finds it, so this test proves nothing: {}", shown(&plain));

        let ran = run(&pipeline, "d", &through, &[(VARIABLE, SECRET)]).succeeds().has("d", Outcome::Built);
        assert_eq!(pipeline.built(), ["a", "b", "d"]);
        assert_eq!(ran.record.unwrap().pushed[0].paths, 1);
        let narinfos = cache.narinfos();
        assert_eq!(narinfos.len(), 4);
        assert!(narinfos.iter().all(|text| text.contains("Sig: ours-1:")), "{narinfos:#?}");
        holds_none_of(pipeline.dir(), &[&SECRET[7..]]);
        // Somebody who trusts another key takes none of it.
        let other = public.replace("ours-1:", "theirs-1:");
        let stranger =
            ["--handoff", "cache", "--cache", cache.url(), "--signing-public-key", &other, "--on-missing", "fail"];
        run(&pipeline, "d", &stranger, &[]).fails(&["is missing"]);
    });
}

/// `generate` refuses such a hand-off; for jobs that somebody else has set up, the reason stands beside what is missing.
#[test]
fn what_was_handed_off_without_a_signature_is_named_as_that() {
    with_each_nix("what_was_handed_off_without_a_signature_is_named_as_that", || {
        let cache = WritableCache::new();
        let jobs: &[JobOf] = &[("a", &["a"], &[], &[]), ("b", &["b"], &[], &["a"])];
        let pipeline = Pipeline::new(r#"rec { a = drv "a" "echo a > $out"; b = drv "b" "cat ${a} > $out"; }"#, jobs);
        let through = ["--handoff", "cache", "--cache", cache.url()];
        // Another machine: Nix remembers its own uploads.
        let home = tempfile::tempdir().unwrap();
        let ran = run(&pipeline, "a", &through, &[("HOME", home.path().to_str().unwrap())]).succeeds();
        let warning = "no key is named whose signatures count: other jobs may not take what this one pushes";
        assert!(ran.text.contains(warning), "{}", ran.text);
        let named = format!(
            "`{}` is missing: job `a` should have handed it off; a substituter has it, without a signature by a key that counts",
            pipeline.output("a", "out")
        );
        let strict = [&through[..], &["--on-missing", "fail"]].concat();
        let ran = run(&pipeline, "b", &strict, &[]).fails(&[&named, "--signing-public-key"]);
        assert!(ran.record.unwrap().missing[0].unsigned);
        let ran = run(&pipeline, "b", &through, &[]).succeeds();
        assert!(ran.text.contains("; built here instead"), "{}", ran.text);
        assert_eq!(pipeline.built(), ["a", "a", "b"]);

        // What is not there at all is not called unsigned.
        let empty = WritableCache::new();
        let ran = run(&pipeline, "b", &["--cache", empty.url(), "--on-missing", "fail"], &[]).fails(&["is missing"]);
        assert!(!ran.record.unwrap().missing[0].unsigned, "{}", ran.text);
    });
}

#[test]
fn what_is_built_is_pushed_while_the_job_still_builds() {
    with_each_nix("what_is_built_is_pushed_while_the_job_still_builds", || {
        let target = tempfile::tempdir().unwrap();
        let there = target.path().join("cache");
        let pipeline = pair(&format!("ls {}/*.narinfo", there.display()));
        let url = format!("file://{}", there.display());
        let reuse = pipeline.reused("job");
        let arguments = ["--push", &url, "--reuse", reuse.to_str().unwrap()];
        let ran = run(&pipeline, "job", &arguments, &[]).succeeds();
        assert_eq!(ran.record.unwrap().pushed[0].paths, 2);
        assert!(ran.text.contains(&format!("2 paths pushed to `{url}`")), "{}", ran.text);
        // A later run of the job fetches what the first one left, and has nothing to push.
        let again = run(&pipeline, "job", &arguments, &[]).succeeds().has("second", Outcome::Substituted);
        assert_eq!(again.record.unwrap().pushed[0].paths, 0);
    });
}

#[test]
fn a_push_that_fails_is_said_while_the_job_still_builds() {
    with_nix("a_push_that_fails_is_said_while_the_job_still_builds", || {
        let said = tempfile::tempdir().unwrap();
        let said = said.path().join("said");
        let cache = WritableCache::new();
        cache.refuse(usize::MAX);
        // The second derivation ends when the line is there, else it fails.
        let pipeline = pair(&format!("grep -q 'trying again in' {}", said.display()));
        let mut command = pipeline.command("job", &["--push", cache.url()]);
        let status = command.stderr(fs::File::create(&said).unwrap()).status().unwrap();
        let text = fs::read_to_string(&said).unwrap();
        assert!(status.success(), "{text}");
        let (line, end) = (text.find("trying again in").unwrap(), text.find("ended second after").unwrap());
        assert!(line < end && text.contains("; nothing more is pushed there"), "{text}");
    });
}

#[test]
fn a_cache_that_comes_back_gets_everything_and_one_that_does_not_is_given_up() {
    with_nix("a_cache_that_comes_back_gets_everything_and_one_that_does_not_is_given_up", || {
        let cache = WritableCache::new();
        let pipeline = pair("true");
        cache.refuse(2);
        let ran = run(&pipeline, "job", &["--push", cache.url()], &[]).succeeds();
        assert_eq!(cache.narinfos().len(), 2, "{}", ran.text);
        assert!(ran.text.contains("trying again in"), "{:?}\n{}", cache.requests(), ran.text);
        assert_eq!(ran.record.unwrap().pushed[0].error, None);

        fs::remove_dir_all(pipeline.handed_off("job")).unwrap();
        cache.refuse(usize::MAX);
        // Nix remembers what it has uploaded: another machine.
        let home = tempfile::tempdir().unwrap();
        let machine = [("HOME", home.path().to_str().unwrap())];
        for file in fs::read_dir(cache.dir()).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file())
        {
            if file.extension().is_some_and(|ending| ending == "narinfo") {
                fs::remove_file(file).unwrap();
            }
        }
        let given_up = "cannot push to `http://127.0.0.1";
        let ran = run(&pipeline, "job", &["--push", cache.url()], &machine).succeeds();
        assert!(ran.text.contains(&format!("warning: {given_up}")), "{}", ran.text);
        assert!(ran.record.unwrap().pushed[0].error.as_ref().unwrap().contains("not there: 2 paths"));
        fs::remove_dir_all(pipeline.handed_off("job")).unwrap();
        run(&pipeline, "job", &["--push", cache.url(), "--push-failure", "fail"], &machine).fails(&[given_up]);
        // The hand-off itself has kept everything.
        assert_eq!(fs::read_dir(pipeline.handed_off("job").join("nar")).unwrap().count(), 2);
    });
}

/// What the client of Cachix gets: a strict stand-in, since the real one needs its service.
const CACHIX: &str = r#"#!/bin/sh
set -eu
test $# -eq 2 -a "$1" = push -a "$2" = mine
test "$CACHIX_AUTH_TOKEN" = cachix-token-secret
test -z "${ATTIC_TOKEN-}${NIXDAG_SIGNING_KEY-}"
while read -r path; do test -e "$path"; echo "$path" >> "@DIR@/cachix"; done
"#;

/// The same for Attic.
const ATTIC: &str = r#"#!/bin/sh
set -eu
test $# -eq 3 -a "$1" = push -a "$2" = --stdin -a "$3" = ci:main
file=$XDG_CONFIG_HOME/attic/config.toml
test "$(stat -Lc %a "$file")" = 600
echo "$file" > "@DIR@/attic-settings"
grep -qx '\[servers."ci"\]' "$file"
grep -qx 'endpoint = "https://attic.example.org"' "$file"
grep -qx 'token = "attic-token-secret"' "$file"
while read -r path; do test -e "$path"; echo "$path" >> "@DIR@/attic"; done
"#;

#[test]
fn cachix_and_attic_get_paths_on_stdin_and_nobody_else_sees_their_tokens() {
    with_one_nix("cachix_and_attic_get_paths_on_stdin_and_nobody_else_sees_their_tokens", || {
        // A builder that prints its own environment and Nix's, and fails so that its log is kept.
        let pipeline = Pipeline::new(
            r#"{
              good = drv "good" "echo good > $out";
              loud = drv "loud" "env; tr '\\0' '\\n' < /proc/$PPID/environ; echo the end; exit 1";
            }"#,
            &[("job", &["good", "loud"], &[], &[])],
        );
        let seen = tempfile::tempdir().unwrap();
        let dir = seen.path();
        let scripts = [CACHIX, ATTIC].map(|script| script.replace("@DIR@", dir.to_str().unwrap()));
        program(dir, "cachix", &scripts[0]);
        let path = program(dir, "attic", &scripts[1]);
        let secrets = [
            ("CACHIX_AUTH_TOKEN", "cachix-token-secret"),
            ("ATTIC_TOKEN", "attic-token-secret"),
            ("MY_TOKEN", "my-own-secret"),
            (VARIABLE, SECRET),
        ];
        let mut variables = vec![("PATH", path.as_str()), ("ATTIC_ENDPOINT", "https://attic.example.org")];
        variables.extend(secrets);
        let store = format!("file://{}/store", dir.display());
        let more =
            ["--push", "cachix:mine", "--push", "attic:ci:main", "--push", &store, "--push-credential", "MY_TOKEN"];
        let ran = run(&pipeline, "job", &more, &variables).fails(&["the end"]);
        let good = format!("{}\n", pipeline.output("good", "out"));
        assert_eq!(fs::read_to_string(dir.join("cachix")).unwrap(), good, "{}", ran.text);
        assert_eq!(fs::read_to_string(dir.join("attic")).unwrap(), good, "{}", ran.text);
        let settings = fs::read_to_string(dir.join("attic-settings")).unwrap();
        assert!(fs::symlink_metadata(settings.trim()).is_err(), "a file with a token is left");
        let pushed = ran.record.unwrap().pushed;
        assert!(pushed.len() == 3 && pushed.iter().all(|pushed| pushed.paths == 1), "{pushed:?}");
        let log = pipeline.dir().join("results/job/logs");
        let log = fs::read_dir(log).unwrap().next().unwrap().unwrap().path();
        assert!(fs::read_to_string(log).unwrap().contains("NIX_BUILD_TOP="), "the environments are not in the log");
        let values = secrets.map(|(_, value)| value.rsplit(':').next().unwrap());
        holds_none_of(pipeline.dir(), &values);
        assert!(values.iter().all(|value| !ran.text.contains(value)), "{}", ran.text);
    });
}

#[test]
fn a_job_that_is_killed_leaves_no_secret_in_the_folder_for_temporary_files() {
    with_one_nix("a_job_that_is_killed_leaves_no_secret_in_the_folder_for_temporary_files", || {
        let temporary = tempfile::tempdir().unwrap();
        let killed = temporary.path().join("killed");
        let mut pipeline = pair(&format!("test -e {}", killed.display()));
        let cache = ReliedStore { url: dead(), token_variable: Some("CACHE_TOKEN".to_owned()) };
        pipeline.plan.caches = Reliance { substituters: vec![cache], ..Reliance::default() };
        pipeline.sha256 = pipeline.write_bundle("bundle");
        let killer = format!(
            "#!/bin/sh\ntest -s $XDG_CONFIG_HOME/attic/config.toml && touch {} && kill -9 $PPID\n",
            killed.display()
        );
        let path = program(pipeline.dir(), "attic", &killer);
        let secrets =
            [("CACHE_TOKEN", "cache-token-secret"), ("ATTIC_TOKEN", "attic-token-secret"), (VARIABLE, SECRET)];
        let mut variables = vec![
            ("PATH", path.as_str()),
            ("ATTIC_ENDPOINT", "https://attic.example.org"),
            ("TMPDIR", temporary.path().to_str().unwrap()),
        ];
        variables.extend(secrets);
        let ran = run(&pipeline, "job", &["--push", "attic:ci:main"], &variables);
        assert_ne!(ran.code, Some(0), "{}", ran.text);
        assert!(killed.exists(), "it was not killed: {}", ran.text);
        holds_none_of(temporary.path(), &secrets.map(|(_, value)| value.rsplit(':').next().unwrap()));
    });
}

#[test]
fn without_secrets_or_clients_it_builds_and_says_that_nothing_is_pushed() {
    with_one_nix("without_secrets_or_clients_it_builds_and_says_that_nothing_is_pushed", || {
        let pipeline = pair("true");
        let target = tempfile::tempdir().unwrap();
        let store = format!("file://{}/cache", target.path().display());
        let public = public();
        let fork = ["--push", "cachix:mine", "--push", "attic:ci:main", "--push", "s3://bucket", "--push", &store];
        let ran = run(&pipeline, "job", &[&fork[..], &["--signing-public-key", &public]].concat(), &[]).succeeds();
        for (to, lacks) in [
            ("cachix:mine", "neither `CACHIX_AUTH_TOKEN` nor `CACHIX_SIGNING_KEY` is set"),
            ("attic:ci:main", "`ATTIC_TOKEN` is not set"),
            ("s3://bucket", "none of `AWS_ACCESS_KEY_ID`"),
            (&store, "the signing key `NIXDAG_SIGNING_KEY` is not set"),
        ] {
            let line = format!("nothing is pushed to `{to}`: {lacks}");
            assert!(ran.text.contains(&line), "`{line}` is missing in\n{}", ran.text);
        }
        assert!(fs::read_dir(target.path()).unwrap().next().is_none());
        let named = run(&pipeline, "job", &["--push", &store, "--push-credential", "MY_TOKEN"], &[]).succeeds();
        assert!(named.text.contains("`MY_TOKEN` is not set"), "{}", named.text);

        // A token without the client: nobody waits for one to appear.
        fs::remove_dir_all(pipeline.handed_off("job")).unwrap();
        let token = [("CACHIX_AUTH_TOKEN", "cachix-token-secret")];
        let ran = run(&pipeline, "job", &["--push", "cachix:mine"], &token).succeeds();
        assert!(ran.text.contains("no `cachix` on the PATH") && !ran.text.contains("trying again"), "{}", ran.text);
        // With a cache instead of the workspace too; the next job then builds what it does not find.
        let cache = ["--handoff", "cache", "--cache", &store, "--signing-public-key", &public];
        run(&pipeline, "job", &cache, &[]).succeeds();
        let written = fs::read_dir(&store["file://".len()..]).unwrap().map(|entry| entry.unwrap().path());
        let narinfos: Vec<PathBuf> = written.filter(|path| path.extension().is_some()).collect();
        assert!(narinfos.is_empty(), "{narinfos:?}");
    });
}

#[test]
fn secrets_in_the_wrong_place_are_refused_and_not_shown() {
    let nixdag = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_nixdag")).args(arguments).output().unwrap();
        (output.status.code(), shown(&output))
    };
    let secret = &SECRET[7..];
    for (flag, value) in [
        ("--signing-key-variable", SECRET),
        ("--signing-public-key", SECRET),
        ("--push-credential", SECRET),
        ("--push", &format!("https://user:{}@cache.example.org", &secret[..20])),
    ] {
        let (code, said) = nixdag(&["generate", "--roots", "/dev/null", flag, value]);
        assert!(code != Some(0) && !said.contains(&secret[..20]), "{flag}: {said}");
    }
}

#[test]
fn a_client_that_hangs_is_ended_behind_the_hand_off_and_named() {
    with_nix("a_client_that_hangs_is_ended_behind_the_hand_off_and_named", || {
        let pipeline = pair("true");
        let path = program(pipeline.dir(), "cachix", "#!/bin/sh\nsleep 1000\n");
        let more = ["--push", "cachix:ours", "--push-timeout", "2"];
        let variables = [("PATH", path.as_str()), ("CACHIX_AUTH_TOKEN", "a-token-of-the-test")];
        let ran = run(&pipeline, "job", &more, &variables).succeeds();
        assert!(
            ran.text.contains("`cachix` ") && ran.text.contains(" 2 s, and was ended; nothing more is pushed there"),
            "{}",
            ran.text
        );
        let (handed_off, given_up) =
            (ran.text.find("handing off 2 paths"), ran.text.find("nothing more is pushed there"));
        assert!(handed_off.is_some() && given_up.is_some(), "{}", ran.text);
        assert_eq!(fs::read_dir(pipeline.handed_off("job").join("nar")).unwrap().count(), 2);
    });
}

#[test]
fn a_job_that_is_told_to_stop_pushes_what_it_has_built() {
    with_one_nix("a_job_that_is_told_to_stop_pushes_what_it_has_built", || {
        let pipeline = Pipeline::new(
            r#"{ first = drv "first" "echo first > $out"; slow = drv "slow" "sleep 1000"; }"#,
            &[("job", &["first", "slow"], &[], &[])],
        );
        let (begun, done) = (pipeline.dir().join("begun"), pipeline.dir().join("done"));
        let client = format!("#!/bin/sh\ntouch {}\nsleep 1\ncat > {}\n", begun.display(), done.display());
        let path = program(pipeline.dir(), "cachix", &client);
        let mut command = pipeline.command("job", &["--push", "cachix:ours", "--max-jobs", "2"]);
        let mut child = command.env("PATH", path).env("CACHIX_AUTH_TOKEN", "token").spawn().unwrap();
        while !begun.exists() {
            assert!(child.try_wait().unwrap().is_none());
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        crate::support::run(pipeline.dir(), "kill", &["-TERM", &child.id().to_string()]);
        assert_eq!(child.wait().unwrap().code(), Some(1));
        assert_eq!(fs::read_to_string(done).unwrap().trim(), pipeline.output("first", "out"));
    });
}

#[test]
fn a_job_that_is_killed_at_any_moment_has_pushed_what_it_had_built_before() {
    with_one_nix("a_job_that_is_killed_at_any_moment_has_pushed_what_it_had_built_before", || {
        let cache = tempfile::tempdir().unwrap();
        let there = cache.path().join("cache");
        // Each waits, at most a minute, until the one two before it is in the cache: so what ended before the last but one is there.
        let wait = |name: &str| {
            let pushed = format!("grep -qs -- '-{name}$' {}/*.narinfo", there.display());
            format!("i=0; until {pushed}; do i=$((i+1)); test $i -lt 600; sleep 0.1; done; ")
        };
        let mut text = "rec { n0 = drv \"n0\" \"echo > $out\"; n1 = drv \"n1\" \"echo ${n0} > $out\";".to_owned();
        for n in 2..7 {
            let wait = wait(&format!("n{}", n - 2));
            text.push_str(&format!("n{n} = drv \"n{n}\" \"{wait} echo ${{n{}}} > $out\";", n - 1));
        }
        text.push('}');
        let pipeline = Pipeline::new(&text, &[("job", &["n0", "n1", "n2", "n3", "n4", "n5", "n6"], &[], &[])]);
        let url = format!("file://{}?trusted=1", there.display());
        let arguments = ["--handoff", "cache", "--cache", &url];
        let seed = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().subsec_nanos();
        let most = 4 + seed as usize % 4;
        let mut child = pipeline.command("job", &arguments).spawn().unwrap();
        while pipeline.built().len() < most {
            assert!(child.try_wait().unwrap().is_none());
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let begun = pipeline.built().len();
        assert!(begun >= most);
        pipeline.run("job", &arguments).succeeds();
        let again = pipeline.built()[begun..].to_vec();
        for n in 0..begun.saturating_sub(3) {
            assert!(!again.contains(&format!("n{n}")), "killed after {most}: {again:?} of {begun}");
        }
    });
}
