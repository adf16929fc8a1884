//! Keys and signatures are Nix's own: what it signs is verified here, and what is signed here it accepts.

use std::fs;
use std::path::{Path, PathBuf};

use crate::support::empty_store::empty_store;
use crate::support::pipeline::with_each_nix;
use crate::support::{folder, run, shown};
use nixdag::nix::narinfo::NarInfo;
use nixdag::nix::signature::{PublicKeys, SecretKey};

/// A path that refers to another one and to itself.
const PATHS: &str = r#"
let drv = name: script: derivation {
  inherit name; system = builtins.currentSystem; builder = "/bin/sh"; args = [ "-c" "PATH=/bin:/usr/bin; ${script}" ];
}; in drv "z" "echo ${drv "a" "echo a > $out"} $out > $out"
"#;

fn nix(dir: &Path, arguments: &[&str]) -> String {
    run(dir, "nix", &[&["--extra-experimental-features", "nix-command"], arguments].concat())
}

fn narinfos(dir: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|path| path.extension().is_some_and(|ending| ending == "narinfo")).collect()
}

#[test]
fn keys_of_nix_are_read() {
    with_each_nix("keys_of_nix_are_read", || {
        let dir = folder(&[]);
        fs::write(dir.path().join("secret"), nix(dir.path(), &["key", "generate-secret", "--key-name", "a.b-1"]))
            .unwrap();
        let public = run(
            dir.path(),
            "sh",
            &["-c", "nix --extra-experimental-features nix-command key convert-secret-to-public < secret"],
        );
        let key = SecretKey::parse(&fs::read_to_string(dir.path().join("secret")).unwrap()).unwrap();
        assert_eq!((key.name(), key.public().to_string()), ("a.b-1", public));

        run(dir.path(), "nix-store", &["--generate-binary-cache-key", "cache.example.org-1", "secret", "public"]);
        let key = SecretKey::parse(&fs::read_to_string(dir.path().join("secret")).unwrap()).unwrap();
        assert_eq!(key.public().to_string(), fs::read_to_string(dir.path().join("public")).unwrap().trim());
    });
}

#[test]
fn nix_and_nixdag_sign_alike_and_accept_each_other() {
    with_each_nix("nix_and_nixdag_sign_alike_and_accept_each_other", || {
        let dir = folder(&[("paths.nix", PATHS)]);
        let path = run(dir.path(), "nix-build", &["--no-out-link", "paths.nix"]);
        fs::write(dir.path().join("secret"), nix(dir.path(), &["key", "generate-secret", "--key-name", "test-1"]))
            .unwrap();
        nix(dir.path(), &["store", "sign", "--recursive", "--key-file", "secret", &path]);
        let cache = dir.path().join("cache");
        nix(dir.path(), &["copy", "--no-check-sigs", "--to", &format!("file://{}", cache.display()), &path]);

        let key = SecretKey::parse(&fs::read_to_string(dir.path().join("secret")).unwrap()).unwrap();
        let keys: PublicKeys = [key.public()].into_iter().collect();
        let files = narinfos(&cache);
        assert_eq!(files.len(), 2);
        for file in files {
            let mut info = NarInfo::parse(&fs::read(&file).unwrap()).unwrap();
            assert_eq!(keys.verify(&info.fingerprint(), &info.signatures), Some("test-1"));
            assert_eq!(info.signatures, [key.sign(&info.fingerprint())], "the signature is a function of key and text");
            // As nixdag would write it, under a name of its own.
            info.signatures = vec![key.sign(&info.fingerprint())];
            fs::write(file, info.to_text()).unwrap();
        }
        let fetch = |public: &str| {
            let mut command = empty_store();
            command.args(["nix-store", "--realise", &path, "--option", "trusted-public-keys", public]);
            command.args(["--option", "substituters", &format!("file://{}", cache.display())]);
            command.output().unwrap()
        };
        let right = fetch(&key.public().to_string());
        assert!(right.status.success(), "{}", shown(&right));
        let other = nix(dir.path(), &["key", "generate-secret", "--key-name", "test-1"]);
        let wrong = fetch(&SecretKey::parse(&other).unwrap().public().to_string());
        assert!(!wrong.status.success(), "{}", shown(&wrong));
    });
}
