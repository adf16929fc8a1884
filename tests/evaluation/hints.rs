//! What people try next, with every version of Nix: the flake behind a list of values, the variable that nixpkgs names, and a download that
//! is not the flake's own.

use crate::support::{FreshNix, folder};

/// A flake with a package of this name, and others.
fn flake(name: &str, more: &str) -> tempfile::TempDir {
    let text = r#"{ outputs = { self }: let
        mk = name: derivation { inherit name; system = "x86_64-linux"; builder = "/bin/sh"; };
      in { packages.x86_64-linux = { NAME = mk "NAME"; MORE }; }; }"#;
    folder(&[("flake.nix", &text.replace("NAME", name).replace("MORE", more))])
}

#[test]
fn a_flag_takes_one_value_and_leaves_the_flake_behind_it() {
    let (here, there) = (flake("here", ""), flake("there", ""));
    for nix in FreshNix::every_version() {
        for flags in [
            "--system x86_64-linux",
            "--system x86_64-linux --select 'packages.*.*'",
            "--all-systems --exclude '*.*.none' --select '*.*.*'",
        ] {
            let command = format!(
                "$nixdag plan {flags} {} --available /dev/null --format json 2> /dev/null | jq -r '.targets[].target[2]'",
                there.path().display()
            );
            assert_eq!(nix.script(here.path(), &command), "there\n", "{flags}");
        }
    }
}

#[test]
fn a_variable_that_nixpkgs_names_is_held_back_with_a_hint() {
    let unfree = r#"unfree = if builtins.getEnv "NIXPKGS_ALLOW_UNFREE" == "1" then mk "unfree"
        else throw "Package ‘x-1’ in x.nix:1 has an unfree license (‘unfree’), refusing to evaluate.";"#;
    let dir = flake("free", unfree);
    for nix in FreshNix::every_version() {
        let plan = |flags: &str| {
            let command = "NIXPKGS_ALLOW_UNFREE=1 $nixdag plan --system x86_64-linux --available /dev/null";
            nix.script(dir.path(), &format!("{command} {flags} 2>&1"))
        };
        for (flags, hint) in [
            (
                "",
                "(`NIXPKGS_ALLOW_UNFREE` is set, but evaluation does not see it: add `--impure --eval-env NIXPKGS_ALLOW_UNFREE`)",
            ),
            ("--impure", "add `--eval-env NIXPKGS_ALLOW_UNFREE`)"),
        ] {
            let said = plan(flags);
            assert!(said.contains(hint), "{flags}: {said}");
        }
        let said = plan("--impure --eval-env NIXPKGS_ALLOW_UNFREE");
        assert!(!said.contains("NIXPKGS_ALLOW_UNFREE") && said.contains("packages.x86_64-linux.unfree"), "{said}");
    }
}

#[test]
fn a_download_of_the_flakes_own_code_is_not_that_of_the_flake() {
    let source = r#"builtins.fetchTarball { url = "http://localhost:1/own.tar.gz"; sha256 = "0000000000000000000000000000000000000000000000000000"; }"#;
    let whole = folder(&[("flake.nix", &format!("{{ outputs = _: import ({source}) {{ }}; }}"))]);
    let one = flake("good", &format!("bad = import ({source}) {{ }};"));
    let input = folder(&[(
        "flake.nix",
        r#"{ inputs.x.url = "http://localhost:1/x.tar.gz"; outputs = { self, x }: { packages = x; }; }"#,
    )]);
    for nix in FreshNix::every_version() {
        let plan = |dir: &tempfile::TempDir| {
            nix.script(dir.path(), "$nixdag plan --system x86_64-linux --available /dev/null 2>&1 || true")
        };
        let said = plan(&whole);
        assert!(said.contains("do not evaluate: ") && said.contains("(the flake's own code downloads it"), "{said}");
        let said = plan(&one);
        assert!(said.contains("packages.x86_64-linux.bad\n") && !said.contains("cannot be fetched"), "{said}");
        assert!(said.contains("\ngood ") && said.contains("unable to download"), "{said}");
        let said = plan(&input);
        assert!(said.contains("input `x` of flake `.` cannot be fetched: "), "{said}");
    }
}

#[test]
fn explain_finds_what_plan_finds_where_nothing_is_selected() {
    let text = r#"{ outputs = { self }: {
        legacyPackages.x86_64-linux.hello = derivation { name = "hello"; system = "x86_64-linux"; builder = "/bin/sh"; };
      }; }"#;
    let dir = folder(&[("flake.nix", text)]);
    for nix in FreshNix::every_version() {
        for words in ["hello", ".#hello", "legacyPackages.x86_64-linux.hello", "packages.hello", "helo"] {
            let command = format!(
                "$nixdag explain '{words}' --system x86_64-linux --available /dev/null 2>&1 || echo ended badly"
            );
            let said = nix.script(dir.path(), &command);
            let is_there = !["packages.hello", "helo"].contains(&words);
            assert_eq!(said.contains("built in job `hello`"), is_there, "{words}: {said}");
            assert_eq!(said.contains("ended badly"), !is_there, "{words}: {said}");
            assert!(said.contains(if is_there { "a plan of `" } else { "selected by its name" }), "{words}: {said}");
        }
    }
}

#[test]
fn nothing_to_build_says_what_was_not_entered() {
    let text = r#"{ outputs = { self }: { endless = let sets = n: { next = sets (n + 1); }; in sets 0; hydraJobs.a.b.c.d.e = 1; }; }"#;
    let dir = folder(&[("flake.nix", text)]);
    for nix in FreshNix::every_version() {
        let plan = |select: &str| nix.script(dir.path(), &format!("$nixdag plan --select '{select}' 2>&1 || true"));
        let said = plan("endless.**");
        assert!(said.contains("no derivation matches") && said.contains("`--eval-depth`"), "{said}");
        let said = plan("hydraJobs");
        assert!(said.contains("no derivation matches") && said.contains("`hydraJobs.a.b.c.d` is a set"), "{said}");
    }
}

#[test]
fn a_base_that_lacks_what_is_new_is_nothing_that_fails() {
    let dir = flake("old", "");
    for nix in FreshNix::every_version() {
        let said = nix.script(
            dir.path(),
            r#"rm -rf .git; git init -q -b main; git add .; git -c user.name=a -c user.email=a@b commit -qm base; cp flake.nix before
            sed -i 's/packages.x86_64-linux = {/& new = mk "new"; odd = mk "odd";/' flake.nix
            $nixdag plan --base main --select new --system x86_64-linux --available /dev/null --format json 2>&1 >/dev/null
            sed -i 's/packages.x86_64-linux = {/& odd = throw "odd";/' before; cp flake.nix after; cp before flake.nix; git add flake.nix
            git -c user.name=a -c user.email=a@b commit -qm odd; cp after flake.nix
            $nixdag plan --base main --system x86_64-linux --available /dev/null --format json 2>&1 >/dev/null"#,
        );
        assert_eq!(said.matches("not evaluate").count(), 1, "{said}");
        assert!(said.contains("1 attribute does not evaluate (`packages.x86_64-linux.odd`: odd"), "{said}");
        assert!(said.contains("so it counts as affected"), "{said}");
        nix.script(dir.path(), "sed -i 's/ new = mk \"new\"; odd = mk \"odd\";//' flake.nix");
    }
}
