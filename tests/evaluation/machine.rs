//! Machines on which Nix does not work: each error says what is wrong there, and what to do, instead of blaming the flake.

use std::fs;

use nixdag::nix::system;

use crate::support::{FreshNix, folder};

/// Each case: what is set up, and the words that the error has to have.
const CASES: [(&str, &str, &[&str]); 7] = [
    (
        "a bad line",
        "printf 'cores = 1\\nthis is bad\\n' > conf/nix.conf; export NIX_CONF_DIR=$PWD/conf",
        &["Nix does not start: ", "'this is bad'", "(line 2 of `", "conf/nix.conf`)"],
    ),
    (
        "a bad value",
        "printf '# x\\n\\ncores = many\\n' > conf/nix.conf; export NIX_CONF_DIR=$PWD/conf",
        &["Nix does not start: setting 'cores' has invalid value 'many' (line 3 of `", "conf/nix.conf`)"],
    ),
    (
        "a bad variable",
        "export NIX_CONFIG='x y z'",
        &["Nix does not start: ", "'x y z'", "(line 1 of the variable `NIX_CONFIG`)"],
    ),
    ("no daemon", "export NIX_REMOTE=daemon", &["the Nix daemon cannot be reached: ", "`systemctl start nix-daemon`"]),
    (
        "a store that cannot be written to",
        "mkdir -p /nix/store /nix/var/nix/db; echo x > /nix/var/nix/db/schema",
        &["Nix cannot use its store: ", "/nix/var/nix/db/schema"],
    ),
    ("no Nix", "export PATH=$PWD/conf", &["no `nix` in any folder on PATH", "nix-bin"]),
    (
        "another user's repository",
        "git init -q; git add flake.nix; git commit -qm x; chown -R 1234:1234 . 2>/dev/null || exit 0",
        &[
            "the repository of flake `.` belongs to another user: ",
            "detected dubious ownership",
            "`git config --global --add safe.directory /",
        ],
    ),
];

#[test]
fn what_is_wrong_with_the_machine_is_not_blamed_on_the_flake() {
    for nix in FreshNix::every_version() {
        for (what, set_up, words) in CASES {
            let text = r#"{ outputs = { self }: { packages.SYSTEM.a = derivation { name = "a"; system = "SYSTEM"; builder = "/bin/sh"; }; }; }"#;
            let flake = folder(&[("flake.nix", &text.replace("SYSTEM", &system::current()))]);
            fs::create_dir(flake.path().join("conf")).unwrap();
            let reference = if set_up.contains("git init") { "." } else { "path:." };
            let script = format!(
                "{set_up}; if $nixdag plan {reference} --available /dev/null 2>said; then exit 1; fi; read -r -d '' all < said || true; echo \"$all\""
            );
            let said = nix.script(flake.path(), &script);
            // Only root can give files to another user.
            let is_left_out = set_up.contains("chown") && said.is_empty();
            for word in words.iter().filter(|_| !is_left_out) {
                assert!(said.contains(word), "{what}: `{word}` in {said}");
            }
        }
    }
}

#[test]
fn an_odd_home_and_switched_off_features_are_no_matter() {
    for nix in FreshNix::every_version() {
        let text = r#"{ outputs = { self }: { packages.SYSTEM.a = derivation { name = "a"; system = "SYSTEM"; builder = "/bin/sh"; }; }; }"#;
        let flake = folder(&[("flake.nix", &text.replace("SYSTEM", &system::current()))]);
        for set_up in
            ["unset HOME", "export HOME=$PWD/not/there", "export NIX_CONFIG=\"$NIX_CONFIG\nexperimental-features =\""]
        {
            let said = nix.script(flake.path(), &format!("{set_up}; $nixdag plan path:. --available /dev/null"));
            assert!(said.contains("1 derivation to build"), "{set_up}: {said}");
        }
    }
}

#[test]
fn nix_is_asked_for_its_settings_again_where_they_may_have_changed() {
    let text = r#"{ outputs = { self }: { packages.SYSTEM.a = derivation { name = "a"; system = "SYSTEM"; builder = "/bin/sh"; }; }; }"#;
    let flake = folder(&[("flake.nix", &text.replace("SYSTEM", &system::current()))]);
    // What is known is changed by hand, which only shows where nobody asks Nix. Its program must not be a script.
    let script = r#"
        unset CI; export NIX_CONF_DIR=$PWD/conf NIX_CONFIG="$(echo "$NIX_CONFIG" | grep -v substituters)"; mkdir conf
        echo "substituters = file://$PWD/first" > conf/nix.conf
        named() { $nixdag plan path:. 2>&1 >/dev/null | grep -o '/[a-z]*` is left out' | cut -d'`' -f1; }
        named; sed -i 's|/first|/second|' "$HOME/.cache/nixdag/nix-answers.json"; named; echo '!include more' >> conf/nix.conf; named
        echo "substituters = file://$PWD/third" > conf/more; named
        export NIX_CONFIG="$NIX_CONFIG
substituters = file://$PWD/fourth"; named; echo '[' > "$HOME/.cache/nixdag/nix-answers.json"; named"#;
    for nix in FreshNix::every_version() {
        let said = nix.script(flake.path(), &format!("rm -rf conf \"$HOME/.cache\"; {script}"));
        assert_eq!(
            said.split_whitespace().collect::<Vec<_>>(),
            ["/first", "/second", "/first", "/third", "/fourth", "/fourth"]
        );
    }
}
