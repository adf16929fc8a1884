//! Inputs that only who has a token or a key can fetch, as docs/private-inputs.md says: they are evaluated, and it goes nowhere else.

use std::fs;
use std::path::Path;

use base64::prelude::{BASE64_STANDARD, Engine};
use nixdag::nix::system;

use crate::support::file_server::FileServer;
use crate::support::git_server::GitServer;
use crate::support::{FreshNix, folder, run};

const TOKEN: &str = "s3cr3t-t0k3n-of-the-forge";

/// Ways to give git the token; `$host` is the server, `$token` the token.
const WAYS: [(&str, &str); 3] = [
    ("a netrc file", "umask 077; echo \"machine ${host%:*} login x password $token\" > $HOME/.netrc"),
    (
        "git's settings in the home",
        "unset GIT_CONFIG_GLOBAL; umask 077; git config --global url.\"http://x:$token@$host/\".insteadOf \"http://$host/\"",
    ),
    (
        "git's settings in variables",
        "export GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=\"http.http://$host/.extraHeader\"; \
         export GIT_CONFIG_VALUE_0=\"Authorization: Basic $(printf %s \"x:$token\" | base64)\"",
    ),
];

/// Every file below a folder that holds the text.
fn holds(folder: &Path, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() && !path.is_symlink() {
            found.extend(holds(&path, text));
        } else if fs::read(&path).is_ok_and(|bytes| memchr::memmem::find(&bytes, text.as_bytes()).is_some()) {
            found.push(path.display().to_string());
        }
    }
    found
}

/// A folder with the repository `private.git`.
fn private_repository() -> tempfile::TempDir {
    let sources = folder(&[("private/flake.nix", r#"{ outputs = { self }: { name = "private"; }; }"#)]);
    let git = |arguments: &[&str]| {
        let who = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "init.defaultBranch=main"];
        run(&sources.path().join("private"), "git", &[&who, arguments].concat());
    };
    git(&["init", "-q"]);
    git(&["add", "."]);
    git(&["commit", "-qm", "x"]);
    git(&["clone", "-q", "--bare", ".", "../private.git"]);
    sources
}

/// A folder with a flake whose only input is at this address.
fn flake_with(input: &str) -> tempfile::TempDir {
    let text = r#"{
      inputs.private.url = "INPUT";
      outputs = { self, private }: { packages.SYSTEM.a = derivation {
        inherit (private) name; system = "SYSTEM"; builder = "/bin/sh"; args = [ "-c" "env > $out" ]; source = private; }; };
    }"#;
    folder(&[("flake/flake.nix", &text.replace("INPUT", input).replace("SYSTEM", &system::current()))])
}

#[test]
fn a_private_input_is_fetched_with_a_token_that_goes_nowhere_else() {
    let sources = private_repository();
    let server = GitServer::start(sources.path(), &format!("x:{TOKEN}"));
    for nix in FreshNix::every_version() {
        for (way, give) in WAYS {
            let flake = flake_with(&format!("git+http://{}/private.git?ref=main", server.host()));
            let begin = format!("host={} token={TOKEN}; mkdir -p $PWD/home out; export HOME=$PWD/home", server.host());
            // Without the token it ends at once, and nobody is asked for it.
            let none = format!(
                "{begin}; if $nixdag plan path:$PWD/flake --available /dev/null 2>said; then exit 1; fi; cat said"
            );
            let said = nix.script(flake.path(), &none);
            assert!(said.contains("cannot be fetched") && said.contains("access tokens"), "{way}: {said}");
            let plan = format!(
                "{begin}; {give}; nix --extra-experimental-features 'nix-command flakes' flake lock path:$PWD/flake
                 $nixdag generate path:$PWD/flake --available /dev/null --bundle out/bundle -o out/config.yml --eval-cache out/cache 2>out/said
                 $nixdag plan path:$PWD/flake --available /dev/null --format json >out/plan.json 2>>out/said; cat out/said"
            );
            let said = nix.script(flake.path(), &plan);
            assert!(flake.path().join("out/plan.json").exists(), "{way}: {said}");
            assert!(flake.path().join("out/bundle/plan.json").exists(), "{way}: {said}");
            let is_in_home = !holds(&flake.path().join("home"), TOKEN).is_empty();
            assert_eq!(is_in_home, !way.contains("variables"), "{way}");
            // The bundle's archives are compressed: what is in them was in the store, which nothing but sources came to.
            for text in [TOKEN.to_owned(), BASE64_STANDARD.encode(format!("x:{TOKEN}"))] {
                assert_eq!(holds(&flake.path().join("out"), &text), [""; 0], "{way}");
            }
        }
    }
}

#[test]
fn a_private_archive_is_fetched_with_the_login_of_the_file_that_nix_is_told_of() {
    let sources = folder(&[("private/flake.nix", r#"{ outputs = { self }: { name = "private"; }; }"#)]);
    run(sources.path(), "tar", &["-czf", "private.tar.gz", "private"]);
    let server = FileServer::start_for(sources.path(), &format!("x:{TOKEN}"));
    for nix in FreshNix::every_version() {
        let flake = flake_with(&format!("{}/private.tar.gz", server.url()));
        let host = server.url().replace("http://", "");
        let begin = "mkdir -p home/.config/nix out; export HOME=$PWD/home; unset NIX_USER_CONF_FILES";
        let plan = "$nixdag plan path:$PWD/flake --available /dev/null --format json --eval-cache out/cache >out/plan.json 2>out/said";
        let said = nix.script(flake.path(), &format!("{begin}; if {plan}; then exit 1; fi; cat out/said"));
        assert!(said.contains("cannot be fetched") && said.contains("access tokens"), "{said}");
        let give = format!(
            "umask 077; echo \"machine ${{host%:*}} login x password {TOKEN}\" > $HOME/netrc
             echo \"netrc-file = $HOME/netrc\" >> $HOME/.config/nix/nix.conf"
        );
        let script = format!(
            "host={host}; {begin}; {give}; nix --extra-experimental-features 'nix-command flakes' flake lock path:$PWD/flake; {plan}; cat out/said"
        );
        let said = nix.script(flake.path(), &script);
        let plan = fs::read_to_string(flake.path().join("out/plan.json")).unwrap();
        assert!(plan.contains("packages"), "{said}");
        assert_eq!(holds(&flake.path().join("out"), TOKEN), [""; 0]);
    }
}

/// What stands in for ssh: it lets in who has the key, and runs what git asks for.
const SSH: &str = r#"#!/bin/sh
for command; do :; done
if ! [ "$1" = -i ] || ! grep -q "$(cat "$(dirname "$0")/authorized")" "$2"; then
  echo "git@forge.invalid: Permission denied (publickey)." >&2
  exit 255
fi
echo "$command" >> "$(dirname "$0")/commands"
exec sh -c "$command"
"#;

#[test]
fn a_private_input_is_fetched_by_ssh_with_a_key_that_goes_nowhere_else() {
    let sources = private_repository();
    for nix in FreshNix::every_version() {
        let flake =
            flake_with(&format!("git+ssh://git@forge.invalid{}/private.git?ref=main", sources.path().display()));
        let dir = flake.path();
        fs::create_dir_all(dir.join("home/.ssh")).unwrap();
        fs::write(dir.join("ssh"), SSH).unwrap();
        run(dir, "chmod", &["+x", "ssh"]);
        fs::write(dir.join("authorized"), TOKEN).unwrap();
        let begin = "mkdir -p out; export HOME=$PWD/home GIT_SSH_COMMAND=\"$PWD/ssh -i $PWD/home/.ssh/id\"";
        fs::write(dir.join("home/.ssh/id"), "another key").unwrap();
        let none =
            format!("{begin}; if $nixdag plan path:$PWD/flake --available /dev/null 2>said; then exit 1; fi; cat said");
        let said = nix.script(dir, &none);
        assert!(said.contains("cannot be fetched") && said.contains("Permission denied (publickey)"), "{said}");
        fs::write(dir.join("home/.ssh/id"), TOKEN).unwrap();
        let plan = format!(
            "{begin}; nix --extra-experimental-features 'nix-command flakes' flake lock path:$PWD/flake; rm commands
             $nixdag generate path:$PWD/flake --available /dev/null --bundle out/bundle -o out/config.yml --eval-cache out/cache 2>out/said
             $nixdag plan path:$PWD/flake --available /dev/null --format json >out/plan.json 2>>out/said; cat out/said"
        );
        let said = nix.script(dir, &plan);
        assert!(dir.join("out/plan.json").exists() && dir.join("out/bundle/plan.json").exists(), "{said}");
        assert_eq!(holds(&dir.join("out"), TOKEN), [""; 0]);
        let commands = fs::read_to_string(dir.join("commands")).unwrap_or_default();
        assert!(commands.lines().all(|command| command.starts_with("git-upload-pack ")), "{commands}");
    }
}
