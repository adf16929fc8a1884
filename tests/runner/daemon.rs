//! A store behind a daemon that has users for builders: what is kept from builders is kept there, too, and no forgery is signed.

use std::fs;

use crate::deliveries::{JOBS, SECRET, digest, handed_on, names, plant};
use crate::support::empty_store::{build_user, empty_store};
use crate::support::pipeline::{Pipeline, Ran, with_each_nix};
use crate::support::run;
use nixdag::build::record::Outcome;
use nixdag::nix::narinfo::NarInfo;
use nixdag::nix::signature::{PublicKeys, SecretKey};

/// `tool` looks for secrets wherever a builder can, and tries to leave something in its job's folder. The words that it looks for are put
/// together there, as everybody sees a program's arguments.
const RELEASE: &str = r#"
rec {
  tool = drv "tool" ''
    echo tool > $out; cd ${toString ./.}; id -u > uid; export -p > seen; mark=token-; mark=''${mark}s3cr3t; key=ours-1:Cwl; key=''${key}G7Hb0KY
    for file in control seen /proc/[0-9]*/environ /proc/[0-9]*/cmdline /proc/[0-9]*/fd/*; do
      test -f $file && test -r $file || continue
      if tr '\0' '\n' < $file 2> /dev/null | grep -qa -e $mark -e $key; then echo $file >> leaked; fi
    done
    echo planted > workspace/a-tool/planted.narinfo || true
    (cd workspace/a-tool && rm -rf nar) || true'';
  library = drv "library" "echo library > $out";
  release = drv "release" "cat ${tool} ${library} > $out";
}"#;

/// Runs a job as a user whom a daemon trusts that builds as others.
fn behind_a_daemon(pipeline: &Pipeline, job: &str, more: &[&str]) -> Ran {
    let lines = "home=$1; shift; mkdir -p $home/user; chown 12345 $home/user; id -u nixbld1 >> $home/builders
        # As a system starts one: with nothing of the job's.
        env -i PATH=\"$PATH\" HOME=/nix NIX_CONFIG='sandbox = false
            substituters =
            build-users-group = nixbld
            trusted-users = root 12345' nix-daemon > $home/daemon.log 2>&1 & daemon=$!
        until test -S /nix/var/nix/daemon-socket/socket; do kill -0 $! || exit 98; sleep 0.05; done
        export HOME=$home/user; unset NIX_CONFIG TMPDIR
        code=0; setpriv --reuid 12345 --regid 12345 --clear-groups \"$@\" || code=$?
        kill $daemon; exit $code";
    let mut command = empty_store();
    command
        .args(["sh", "-c", &format!("{}\n{lines}", build_user()), "sh"])
        .arg(pipeline.dir())
        .arg(env!("CARGO_BIN_EXE_nixdag"));
    command.args(pipeline.arguments(job)).args(more);
    for name in ["CACHIX_AUTH_TOKEN", "CIRCLE_TOKEN", "AWS_SECRET_ACCESS_KEY", "CI_JOB_TOKEN", "SECRET_OF_A_CONTEXT"] {
        command.env(name, "token-s3cr3t");
    }
    pipeline.ran(job, command.env("NIXDAG_SIGNING_KEY", SECRET).output().unwrap())
}

#[test]
fn behind_a_daemon_no_builder_finds_a_secret_and_no_forgery_is_signed() {
    with_each_nix("behind_a_daemon_no_builder_finds_a_secret_and_no_forgery_is_signed", || {
        let pipeline = Pipeline::new(RELEASE, JOBS);
        // It finds what can be found.
        fs::write(pipeline.dir().join("control"), "token-s3cr3t\n").unwrap();
        run(pipeline.dir(), "chmod", &["-R", "a+rwX", "."]);
        let cache = pipeline.dir().join("cache");
        let url = format!("file://{}", cache.display());
        let key = SecretKey::parse(SECRET).unwrap().public();
        let push = ["--push", &url, "--signing-public-key", &key.to_string()];
        behind_a_daemon(&pipeline, "a-tool", &push).succeeds().has("tool", Outcome::Built);
        behind_a_daemon(&pipeline, "b-library", &push).succeeds();
        let text = |name: &str| fs::read_to_string(pipeline.dir().join(name)).unwrap_or_default();
        assert_eq!(
            (text("uid").lines().next(), text("leaked").as_str()),
            (text("builders").lines().next(), "control\n")
        );
        assert!(!text("seen").is_empty() && !pipeline.handed_off("a-tool").join("planted.narinfo").exists());

        // Had it been able to, nobody would have taken it.
        let release = pipeline.output("release", "out");
        plant(&pipeline.handed_off("a-tool"), &release, b"forged", &[]);
        let ran = behind_a_daemon(&pipeline, "release", &push).succeeds().has("release", Outcome::Built);
        names(&ran, "a-tool", &release, "this job builds it itself");
        let right = digest(b"tool\nlibrary\n");
        assert_eq!(handed_on(&pipeline, "release", &release).nar_hash, right);
        let pushed = cache.join(format!("{}.narinfo", &release["/nix/store/".len()..][..32]));
        let info = NarInfo::parse(&fs::read(pushed).unwrap()).unwrap();
        assert_eq!(info.nar_hash, right);
        let keys: PublicKeys = [key.clone()].into_iter().collect();
        assert!(keys.verify(&info.fingerprint(), &info.signatures).is_some(), "{}", info.to_text());
    });
}
