//! What is printed about a set with sets in it, with every version of Nix: `tests/golden/nested-set.txt`.

use std::fmt::Write;

use nixdag::nix::system;

use crate::support::{FreshNix, folder, golden};

/// Packages and sets of all kinds; `pkgs` is the whole set once more, without end.
const FLAKE: &str = r#"{
  outputs = { self }:
    let
      mk = name: derivation { inherit name; system = "SYSTEM"; builder = "/bin/sh"; args = [ "-c" "echo > $out" ]; };
      fix = f: let x = f x; in x;
    in {
      packages.SYSTEM = { default = mk "hello"; hello = mk "hello"; };
      legacyPackages.SYSTEM = fix (pkgs: {
        hello = mk "old-hello";
        broken = throw "broken is marked as broken";
        lib = { id = x: x; };
        inherit pkgs;
        python = { recurseForDerivations = true; numpy = mk "numpy"; extra = { scipy = mk "scipy"; }; };
        hidden = { tool = mk "tool"; deeper.still = mk "still"; };
      });
    };
}"#;

/// What is typed.
const COMMANDS: [&str; 9] = [
    "plan",
    "plan .#hello",
    "plan .#python.numpy",
    "plan --select hello",
    "plan --select python",
    "plan --select 'legacyPackages.*.*'",
    "plan --select 'legacyPackages.*.**'",
    "plan --select 'legacyPackages.*.**' --max-jobs 2",
    "explain hello",
];

#[test]
fn what_is_printed_about_a_set_with_sets_in_it() {
    for nix in FreshNix::every_version() {
        let flake = folder(&[("flake.nix", &FLAKE.replace("SYSTEM", &system::current()))]);
        let mut text = String::new();
        for command in COMMANDS {
            let said = nix.script(
                flake.path(),
                // How long it took is not a part of it.
                &format!("$nixdag {command} --available /dev/null 2>said; grep -v '^evaluation: ' said || true"),
            );
            write!(text, "$ nixdag {command} --available /dev/null\n{said}\n").unwrap();
        }
        golden::check("tests/golden/nested-set.txt", &text.replace(&system::current(), "x86_64-linux"));
    }
}
