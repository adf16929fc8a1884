//! A change of what is built: nothing counts as unaffected that the base's own pipeline did not have to build.

use crate::support::FreshNix;
use tempfile::TempDir;

/// Each change on its own, beside a base that selects `a` of this system: the targets with jobs, and what is said.
const CHANGES: &str = r#"
export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@example.org GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@example.org
git() { command git -c init.defaultBranch=main "$@"; }
out=$PWD; mkdir lib1 lib2 flake; for n in 1 2; do echo "{ outputs = _: { v = \"$n\"; }; }" > lib$n/flake.nix; done
git -C lib1 init -q; git -C lib1 add -A; git -C lib1 commit -q -m lib; lib1="git+file://$PWD/lib1?rev=$(git -C lib1 rev-parse HEAD)"
cp -R lib2 flake; cd flake; git init -q; mkdir docs; echo 1 > docs/a
cat > flake.nix <<X
{ inputs.lib.url = "$lib1";
  outputs = { self, lib }:
    let
      mk = name: system: derivation { inherit name system; builder = "/bin/sh"; v = lib.v; } // { passthru.ci.disable = name == "off" && !(builtins.pathExists ./on); };
      of = system: { a = mk "a" system; b = mk "b" system; set = { recurseForDerivations = true; c = mk "c" system; }; off = mk "off" system; };
    in { packages = { x86_64-linux = of "x86_64-linux"; aarch64-linux = of "aarch64-linux"; }; };
}
X
file() { printf "$1" > nixdag.yml; git add -A; }
base() { git checkout -q -f -B x start; file "$1"; git commit -q -m base; }
# The jobs' targets, how many are left out, and the sentence about it.
plan() {
  "$nixdag" plan . --base HEAD --format json "$@" > $out/plan.json 2> $out/said || { cat $out/said; return; }
  jq -r '"  " + ([.targets[] | select(.job) | .target[1:] | join(".")] | join(" ")) + " | " + (.skipped | length | tostring)' $out/plan.json
  grep -o 'note: .* as affected.*\|warning: nothing counts.*' $out/said | sed "s,$out,,g;s,\`[0-9a-f]\{12\}\`,BASE,;s,^,  ," || true
}
git add -A; nix --extra-experimental-features 'nix-command flakes' flake lock 2> /dev/null; git add -A; git commit -q -m start; git tag start
"#;

/// What a script prints on each version of Nix.
fn each_version(script: &str, expected: &str) {
    for nix in FreshNix::every_version() {
        assert_eq!(nix.script(TempDir::new().unwrap().path(), &format!("{CHANGES}{script}")), expected);
    }
}

#[test]
fn what_settings_add_is_affected() {
    each_version(
        r#"
        echo same; base 'select: ["packages.*.a"]\n'; plan
        echo other keys; file 'select: ["packages.*.a"]\nobjective: time\nevaluation: {workers: 2}\nrules: [{retries: 2}]\n'; plan
        echo select; file 'select: ["packages.*.*"]\n'; plan
        echo less; file 'select: ["packages.*.{a,b}"]\n'; git commit -q -m both; file 'select: ["packages.*.a"]\n'; plan
        echo systems; base 'select: ["packages.*.a"]\n'; file 'select: ["packages.*.a"]\nsystems: all\n'; plan
        echo exclude; base 'exclude: ["packages.*.b"]\n'; git rm -q nixdag.yml; plan
        echo allow_failure; base 'allow_failure: ["packages.*.b"]\n'; file 'allow_failure: ["packages.*.a"]\n'; plan
        echo moved; base 'exclude: ["packages.*.b"]\n'; mkdir .circleci; git mv nixdag.yml .circleci; plan
        echo unreadable; base 'selekt: 1\n'; file ''; plan
        echo link; git checkout -q -f start; echo 'strict: true' > x.yml; ln -s x.yml nixdag.yml; git add -A; git commit -q -m link; plan
        echo disabled; base ''; touch on; git add on; plan
        "#,
        "\
same
   | 1
other keys
   | 1
select
  x86_64-linux.b x86_64-linux.set.c | 2
  note: `select` in nixdag.yml changed since the base BASE: what its pipeline did not have to build counts as affected
less
   | 1
  note: `select` in nixdag.yml changed since the base BASE: what its pipeline did not have to build counts as affected
systems
  aarch64-linux.a | 1
  note: `systems` in nixdag.yml changed since the base BASE: what its pipeline did not have to build counts as affected
exclude
  x86_64-linux.b | 3
  note: `exclude` in nixdag.yml changed since the base BASE: what its pipeline did not have to build counts as affected
allow_failure
  x86_64-linux.b | 3
  note: `allow_failure` in nixdag.yml changed since the base BASE: what its pipeline did not have to build counts as affected
moved
   | 4
unreadable
  x86_64-linux.a x86_64-linux.b x86_64-linux.set.c | 1
  warning: nothing counts as unaffected by the change since BASE: its `nixdag.yml` cannot be read: unknown key `selekt` (did you mean `select`?) at line 1 column 1; so everything that is not available is built
link
  x86_64-linux.a x86_64-linux.b x86_64-linux.set.c | 1
  warning: nothing counts as unaffected by the change since BASE: its `nixdag.yml` cannot be read: it is not a regular file; so everything that is not available is built
disabled
  x86_64-linux.off | 3
",
    );
}

#[test]
fn other_inputs_mean_that_everything_is_affected() {
    each_version(
        r#"
        echo flag; base 'select: ["packages.*.a"]\n'; plan --override-input lib path:$out/lib2
        echo key; file 'select: ["packages.*.a"]\nevaluation: {override_inputs: {lib: "path:./lib2"}}\n'; plan
        echo floating; git commit -q -a -m floating; echo '{ outputs = _: { v = "3"; }; }' > lib2/flake.nix; plan
        "#,
        "\
flag
  x86_64-linux.a | 0
  warning: nothing counts as unaffected by the change since BASE: `--override-input` gives the flake another input than the base has (`evaluation.override_inputs` in nixdag.yml is the way to commit one); so everything that is not available is built
key
  x86_64-linux.a | 0
  warning: nothing counts as unaffected by the change since BASE: `evaluation.override_inputs` of nixdag.yml is another one there; so everything that is not available is built
floating
  x86_64-linux.a | 0
  warning: nothing counts as unaffected by the change since BASE: `evaluation.override_inputs` replaces the input `lib` with `path:./lib2`, which may have been something else then (a reference with `rev=` stays the same); so everything that is not available is built
",
    );
}

#[test]
fn flags_select_more_than_the_base_builds() {
    each_version(
        r#"
        base 'select: ["packages.*.a"]\nignore: [docs/]\n'
        echo narrower; plan --select packages.x86_64-linux.a; plan --select a
        echo wider; plan --select 'packages.*.*'; plan --system aarch64-linux; plan --select b
        echo ignored; echo 2 > docs/a; plan; plan --select 'packages.*.b'; plan --override-input lib path:$out/lib2
        "#,
        "\
narrower
   | 1
   | 1
wider
  x86_64-linux.b x86_64-linux.set.c | 2
  note: 2 targets are selected by flags alone, not by nixdag.yml at the base BASE, and count as affected (to have them compared, commit `select`, `exclude` and `systems` in nixdag.yml)
  aarch64-linux.a | 0
  note: 1 target is selected by flags alone, not by nixdag.yml at the base BASE, and counts as affected (to have them compared, commit `select`, `exclude` and `systems` in nixdag.yml)
  x86_64-linux.b | 0
  note: 1 target is selected by flags alone, not by nixdag.yml at the base BASE, and counts as affected (to have them compared, commit `select`, `exclude` and `systems` in nixdag.yml)
ignored
   | 0
  x86_64-linux.b | 0
  note: 1 target is selected by flags alone, not by nixdag.yml at the base BASE, and counts as affected (to have them compared, commit `select`, `exclude` and `systems` in nixdag.yml)
  x86_64-linux.a | 0
  warning: nothing counts as unaffected by the change since BASE: `--override-input` gives the flake another input than the base has (`evaluation.override_inputs` in nixdag.yml is the way to commit one); so everything that is not available is built
",
    );
}

#[test]
fn a_settings_file_that_git_does_not_track_counts() {
    let script = "git checkout -q -f -B x start; printf 'ignore: [flake.nix]\\n' > nixdag.yml; echo '# more' >> flake.nix; plan; \
                  git add nixdag.yml; git commit -q -m settings -- nixdag.yml; plan";
    let said = FreshNix::new().script(TempDir::new().unwrap().path(), &format!("{CHANGES}{script}"));
    let lines: Vec<&str> = said.lines().collect();
    assert_ne!(lines[0], "   | 0", "{said}");
    assert_eq!(lines[1..], ["   | 0"], "{said}");
}
