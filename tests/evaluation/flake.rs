//! Whole flakes through the command line, with every version of Nix: the examples, and a flake with everything that is odd or broken.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use crate::support::circleci_schema;
use crate::support::{FreshNix, copy_into, copy_of, folder, repository, shown};
use serde_json::Value;
use tempfile::TempDir;

const NIXDAG: &str = env!("CARGO_BIN_EXE_nixdag");

/// Runs a script with an empty store; `$nixdag` is the program under test.
fn script(nix: &FreshNix, dir: &Path, script: &str) -> Output {
    nix.command("bash").args(["-euc", script]).env("nixdag", NIXDAG).current_dir(dir).output().unwrap()
}

fn stdout(nix: &FreshNix, dir: &Path, text: &str) -> String {
    let output = script(nix, dir, text);
    assert!(output.status.success(), "{}", shown(&output));
    String::from_utf8(output.stdout).unwrap()
}

/// From `store_dir` on: what a live and a recorded evaluation have in common.
fn from_store_dir(plan: &str) -> &str {
    &plan[plan.find("\"store_dir\"").unwrap()..]
}

#[test]
fn the_hermetic_example_gives_the_same_plan_everywhere() {
    let folder = copy_of("examples/hermetic");
    let mut plans = Vec::new();
    for nix in FreshNix::every_version() {
        let text = "
            $nixdag plan . --format json > first.json
            $nixdag plan . --format json > second.json
            cmp first.json second.json
            jq '[.jobs[] | .targets[] as $t | {key: ($t | join(\".\")), value: .derivations[-1]}] | from_entries' first.json > roots.json
            $nixdag plan --roots roots.json --format json > recorded.json
            cp /nix/store/*.drv .
            $nixdag plan --roots roots.json --drv-dir . --format json > from-folder.json
            cmp recorded.json from-folder.json
            cat first.json";
        let plan = stdout(&nix, folder.path(), text);
        let recorded = fs::read_to_string(folder.path().join("recorded.json")).unwrap();
        assert_eq!(from_store_dir(&plan), from_store_dir(&recorded));
        assert!(!plan.contains(folder.path().to_str().unwrap()), "a path of the machine: {plan}");
        for entry in fs::read_dir(folder.path()).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "drv") {
                fs::remove_file(path).unwrap();
            }
        }
        plans.push(plan);
    }
    assert!(plans.iter().all(|plan| *plan == plans[0]), "versions of Nix differ");
    let plan: Value = serde_json::from_str(&plans[0]).unwrap();
    let jobs: Vec<(&str, &Value)> =
        plan["jobs"].as_array().unwrap().iter().map(|job| (job["id"].as_str().unwrap(), &job["requires"])).collect();
    let expected = [("a", vec![]), ("b", vec!["a"]), ("c", vec![]), ("d", vec!["b", "c"])];
    for ((id, requires), (expected_id, expected_requires)) in jobs.iter().zip(expected) {
        assert_eq!((*id, *requires), (expected_id, &serde_json::json!(expected_requires)));
    }
    assert_eq!(jobs.len(), 4);
    assert_eq!(plan["flake"]["url"], ".");
}

#[test]
fn the_hermetic_example_passes_its_integration_test() {
    for nix in FreshNix::every_version() {
        let said = stdout(&nix, copy_of("examples/hermetic").path(), "./integration-test.sh");
        assert_eq!(said, "ok: d(b(a), c)\n");
    }
}

/// With a stand-in for nixpkgs: the plan follows the packages, and everything in it builds with the host's cc.
#[test]
fn the_demo_plans_and_builds_offline() {
    let folder = copy_of("examples/demo");
    let stand_in = repository().join("tests/stand-in-nixpkgs");
    for nix in FreshNix::every_version() {
        let text = format!(
            "$nixdag plan . --override-input nixpkgs 'path:{}' --format json > plan.json
             jq -r '.jobs[].derivations[]' plan.json | xargs nix-store --realise >&2
             $nixdag plan . --override-input nixpkgs 'path:{}' --local-store
             cat plan.json",
            stand_in.display(),
            stand_in.display()
        );
        let said = stdout(&nix, folder.path(), &text);
        assert!(said.starts_with("nothing to build"), "{said}");
        let plan: Value = serde_json::from_str(&said[said.find('{').unwrap()..]).unwrap();
        let edges: Vec<(&str, Vec<&str>)> = plan["jobs"]
            .as_array()
            .unwrap()
            .iter()
            .map(|job| {
                (
                    job["name"].as_str().unwrap(),
                    job["requires"].as_array().unwrap().iter().map(|id| id.as_str().unwrap()).collect(),
                )
            })
            .collect();
        for expected in [
            ("package-a", vec![]),
            ("package-b", vec!["package-a"]),
            ("package-c", vec![]),
            ("package-d", vec!["package-b", "package-c"]),
            ("checks.b-uses-a", vec!["package-b"]),
            ("checks.d-uses-all", vec!["package-d"]),
        ] {
            assert!(edges.contains(&expected), "{expected:?} in {edges:?}");
        }
        assert_eq!(edges.len(), 6);
    }
}

#[test]
fn inputs_are_overridden_by_the_settings_file_and_by_flags_before_it() {
    for nix in FreshNix::every_version() {
        let input = |name: &str| {
            let text = format!(
                r#"{{ outputs = {{ self }}: {{ a = derivation {{ name = "{name}"; system = "x86_64-linux"; builder = "/bin/sh"; }}; }}; }}"#
            );
            folder(&[("flake.nix", &text)])
        };
        let (first, second) = (input("first"), input("second"));
        let flake = folder(&[(
            "flake.nix",
            r#"{ inputs.one.url = "path:/nowhere/one"; inputs.two.url = "path:/nowhere/two"; outputs = { self, one, two }: { packages.x86_64-linux = { one = one.a; two = two.a; }; }; }"#,
        )]);
        copy_into(first.path(), &flake.path().join("first"));
        let settings = "evaluation: {override_inputs: {one: path:./first, two: path:./first}}\n";
        fs::write(flake.path().join("nixdag.yml"), settings).unwrap();
        let text = format!(
            "$nixdag plan path:. --system x86_64-linux --available /dev/null --override-input two 'path:{}' --format json | jq -r '.targets[].derivation'
             echo 'evaluation: {{override_inputs: {{a//b: x}}}}' > nixdag.yml; $nixdag plan path:. --available /dev/null 2>&1 || true
             echo 'evaluation: {{override_inputs: {{a: --impure}}}}' > nixdag.yml; $nixdag plan path:. --available /dev/null 2>&1 || true",
            second.path().display()
        );
        let said = stdout(&nix, flake.path(), &text);
        let lines: Vec<&str> = said.lines().collect();
        assert!(lines[0].ends_with("-first.drv") && lines[1].ends_with("-second.drv"), "{said}");
        assert!(said.contains("`a//b` is not the name of an input"), "{said}");
        assert!(said.contains("`--impure` is not a flake reference"), "{said}");
    }
}

#[test]
fn the_settings_file_of_a_flake_counts_from_any_folder_below_it() {
    let flake = r#"{ inputs.one.url = "path:/nowhere/one"; outputs = { self, one }: {
        packages.x86_64-linux = { a = one.a; b = abort "not selected"; }; }; }"#;
    let input = r#"{ outputs = { self }: { a = derivation { name = "first"; system = "x86_64-linux"; builder = "/bin/sh"; }; }; }"#;
    let settings =
        "select: [packages.x86_64-linux.a]\nevaluation: {override_inputs: {one: path:./first}, cache: kept}\n";
    let below = folder(&[
        ("flake.nix", flake),
        ("first/flake.nix", input),
        ("nixdag.yml", settings),
        ("x/y/file", ""),
        (".gitignore", "kept*"),
    ]);
    let text = "git init -q; git add .; git commit -qm x
        plan() { $nixdag plan $1 --available /dev/null --format json 2>/dev/null | jq -r '.targets[].derivation'; }
        plan .; cd x; plan .; plan ..; plan .#a; cd y; plan .; plan ..; plan ../..; plan $PWD
        cd ../..; find . -name 'kept*' | sort; $nixdag plan .. 2>&1 || true";
    for nix in FreshNix::every_version() {
        let said = stdout(&nix, below.path(), text);
        let lines: Vec<&str> = said.lines().collect();
        assert!(lines[..8].iter().all(|line| line.ends_with("-first.drv") && *line == lines[0]), "{said}");
        assert_eq!(lines[8..10], ["./kept", "./kept.key"], "{said}");
        // No flake has such a name in a registry.
        assert!(said.contains("no flake at `..`") && !said.contains("registry"), "{said}");
        fs::remove_dir_all(below.path().join(".git")).unwrap();
    }
}

#[test]
fn explain_names_the_files_of_a_source_that_changed() {
    for nix in FreshNix::every_version() {
        let flake = folder(&[(
            "flake.nix",
            r#"{ outputs = { self }: let drv = name: src: derivation { inherit name src; system = "x86_64-linux"; builder = "/bin/sh"; }; in {
                 packages.x86_64-linux = { whole = drv "whole" ./.; text = drv "text" "${./.}"; below = drv "below" ./below;
                   one = drv "one" ./beside; made = drv "made" (builtins.toFile "made" "x\n${builtins.readFile ./beside}"); mode = drv "mode" ./mode; }; }; }"#,
        )]);
        let text = "mkdir below; echo 1 > below/a; echo 1 > below/b; echo 1 > beside; echo > mode
             git init -q; git add .; git commit -qm one; echo 2 > below/a; echo 2 > beside; echo 2 > below/new; chmod +x mode; git add .; git commit -qm two
             for name in whole text below; do $nixdag explain . $name --system x86_64-linux --base HEAD~1 --available /dev/null | grep ' changed: '; done
             for name in one made mode; do $nixdag explain . $name --system x86_64-linux --base HEAD~1 --available /dev/null | grep -E '^      (line|not)'; done
             $nixdag plan . --system x86_64-linux --base HEAD~1 --available /dev/null 2>&1 >/dev/null | sed -n 's/`[0-9a-f]*`/BASE/p'";
        let said = stdout(&nix, flake.path(), text);
        let lines: Vec<&str> = said.lines().map(str::trim).collect();
        let whole = "4 files changed: below/a, below/new, beside, mode";
        let planned = "note: 4 changed files since the base BASE: `below/a`, `below/new`, `beside`, `mode`";
        assert_eq!(lines[..3], [whole, whole, "2 files changed: a, new"]);
        // Files that are sources by themselves.
        assert_eq!(lines[3..7], ["line 1: 1 -> 2", "line 2: 1 -> 2", "not executable -> executable", planned]);
    }
}

/// A flake with every name that is odd and everything that is broken.
const ODD: &str = r#"{
  outputs = { self }:
    let
      good = name: derivation { inherit name; system = "x86_64-linux"; builder = "/bin/sh"; args = [ "-c" "echo > $out" ]; };
    in {
      packages.x86_64-linux = {
        "a.b" = good "dotted";
        "with space" = good "space";
        "quo\"te" = good "quote";
        "dollar\${x}" = good "dollar";
        "<<merge" = good "merge";
        "ünï" = good "unicode";
        "-dash" = good "dash";
        "123" = good "digits";
        "" = good "empty";
        Foo = good "upper";
        foo = good "lower";
        throws = throw "thrown on purpose";
        aborts = abort "aborted on purpose";
        cyclic = self.packages.x86_64-linux.cyclic;
        type = 1 + "a";
        missing = { }.nothing;
        broken = good "broken" // { drvPath = throw "marked as broken"; };
        asserts = assert false; good "asserts";
        number = 42;
        function = x: x;
        gate = good "gate";
        "bell\u0007" = good "bell";
      };
      legacyPackages.x86_64-linux = abort "nobody selected this";
    };
}
"#;

#[test]
fn odd_names_become_jobs_and_broken_attributes_are_listed() {
    let folder = TempDir::new().unwrap();
    // Nix has no escape for control characters: the byte itself stands in the file.
    fs::write(folder.path().join("flake.nix"), ODD.replace("\\u0007", "\u{7}")).unwrap();
    let mut plans = Vec::new();
    for nix in FreshNix::every_version() {
        let output =
            script(&nix, folder.path(), "$nixdag plan . --select 'packages.*.*' --system x86_64-linux --format json");
        assert_eq!(output.status.code(), Some(0), "{}", shown(&output));
        let plan: Value = serde_json::from_slice(&output.stdout).unwrap();
        let good: Vec<String> = plan["jobs"]
            .as_array()
            .unwrap()
            .iter()
            .flat_map(|job| job["targets"].as_array().unwrap())
            .map(|target| target[2].as_str().unwrap().to_owned())
            .collect();
        for name in [
            "a.b",
            "with space",
            "quo\"te",
            "dollar${x}",
            "<<merge",
            "ünï",
            "-dash",
            "123",
            "",
            "Foo",
            "foo",
            "gate",
            "bell\u{7}",
        ] {
            assert!(good.iter().any(|found| found == name), "`{name}` is not a job: {good:?}");
        }
        assert_eq!(good.len(), 13);
        let errors: Vec<(String, String)> = plan["errors"]
            .as_array()
            .unwrap()
            .iter()
            .map(|error| {
                (error["target"][2].as_str().unwrap().to_owned(), error["message"].as_str().unwrap().to_owned())
            })
            .collect();
        for (name, words) in [
            ("throws", "thrown on purpose"),
            ("aborts", "aborted on purpose"),
            ("cyclic", "infinite recursion"),
            ("type", "cannot"),
            ("missing", "nothing"),
            ("broken", "marked as broken"),
            ("asserts", "assert"),
            ("number", "not a derivation"),
            ("function", "not a derivation"),
        ] {
            let found = errors.iter().find(|(target, _)| target == name);
            assert!(found.is_some_and(|(_, message)| message.contains(words)), "`{name}`: {found:?}");
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(said.contains(&format!("`packages.x86_64-linux.{name}` does not evaluate")), "{said}");
        }
        assert_eq!(errors.len(), 9);
        plans.push(plan["jobs"].to_string());

        let strict = script(&nix, folder.path(), "$nixdag plan . --strict --format json");
        assert_eq!((strict.status.code(), strict.stdout.len()), (Some(1), 0), "{}", shown(&strict));

        let config = script(
            &nix,
            folder.path(),
            "$nixdag generate . 2> warnings > config.yml; cat config.yml; $nixdag graph . --format mermaid; $nixdag graph . --format dot; $nixdag plan .",
        );
        assert!(config.status.success(), "{}", shown(&config));
        assert!(!config.stdout.contains(&7) && !config.stderr.contains(&7), "a control character reaches the terminal");
        circleci_schema::accepts_file(&folder.path().join("config.yml"));
    }
    assert!(plans.iter().all(|plan| *plan == plans[0]), "versions of Nix differ");
}

#[test]
fn what_is_no_flake_or_no_nix_gets_one_clear_message() {
    let folder = TempDir::new().unwrap();
    let file = |name: &str, text: &str| -> PathBuf {
        let dir = folder.path().join(name);
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join("flake.nix"), text).unwrap();
        dir
    };
    fs::create_dir(folder.path().join("empty")).unwrap();
    file("syntax", "{ outputs = ");
    file("nothing", "{ outputs = { self }: { lib = { }; }; }");
    file(
        "unfetchable",
        r#"{ inputs.x.url = "git+file:///nowhere/at/all"; outputs = { self, x }: { packages = x.packages; }; }"#,
    );
    for nix in FreshNix::every_version() {
        for (flake, words) in [
            ("./empty", "flake.nix"),
            ("./nowhere", "nowhere"),
            ("./syntax", "syntax error"),
            ("./nothing", "packages"),
            ("./unfetchable", "/nowhere/at/all"),
        ] {
            let output = script(&nix, folder.path(), &format!("$nixdag plan {flake}"));
            let said = String::from_utf8_lossy(&output.stderr);
            assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{flake}: {said}");
            assert!(said.contains(words) && said.contains(flake), "{flake}: {said}");
            assert_eq!(said.matches("error:").count(), 1, "{flake}: {said}");
        }
        let unknown = script(
            &nix,
            &repository().join("examples/hermetic"),
            "$nixdag plan path:$PWD --select packages.x86_64-linux.dd",
        );
        let said = String::from_utf8_lossy(&unknown.stderr);
        assert!(said.contains("`d`") || said.contains("packages.x86_64-linux.d`"), "{said}");
    }
    let output = std::process::Command::new(NIXDAG).args(["plan", "."]).env("PATH", "/nowhere").output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(said.contains("`nix`") && said.contains("PATH") && said.contains("install"), "{said}");
}

/// A flake as people have it: packages, checks, a package set with a marked set in it, a machine, and a final job.
const PEOPLE: &str = r#"{
  outputs = { self }:
    let
      system = "x86_64-linux";
      good = name: derivation { inherit name system; builder = "/bin/sh"; args = [ "-c" "echo > $out" ]; outputs = [ "out" "dev" ]; };
    in {
      packages.x86_64-linux = { hello = good "hello"; default = good "default"; both = good "both"; "a.b" = good "dotted"; };
      packages.aarch64-darwin.mac = good "mac";
      checks.x86_64-linux = { both = good "check"; lint = good "lint"; };
      legacyPackages.x86_64-linux = {
        hello = good "old-hello";
        python = { recurseForDerivations = true; numpy = good "numpy"; plain = { scipy = good "scipy"; }; };
        plain = { hidden = good "hidden"; };
      };
      devShells.x86_64-linux.default = good "shell";
      nixosConfigurations.web.config.system.build.toplevel = good "web";
    };
}"#;

/// The targets of a plan, and what was said.
fn targets(nix: &FreshNix, dir: &Path, arguments: &str) -> Result<(String, String), String> {
    let output = script(nix, dir, &format!("$nixdag plan {arguments} --format json"));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if !output.status.success() {
        return Err(said);
    }
    let plan: Value = serde_json::from_slice(&output.stdout).unwrap();
    let jobs = plan["jobs"].as_array().unwrap().iter().flat_map(|job| job["targets"].as_array().unwrap());
    let mut names: Vec<String> = jobs
        .map(|path| path.as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect::<Vec<_>>().join("."))
        .map(|path| path.replace("x86_64-linux", "S"))
        .collect();
    names.sort();
    Ok((names.join(" "), said))
}

#[test]
fn what_people_type_first_is_what_they_get() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("flake.nix"), PEOPLE).unwrap();
    for nix in FreshNix::every_version() {
        for (arguments, expected, words) in [
            (".#hello", "packages.S.hello", ""),
            ("'.#hello^out'", "packages.S.hello", "all outputs"),
            ("'.#hello^*'", "packages.S.hello", ""),
            (".#packages.x86_64-linux.hello", "packages.S.hello", ""),
            ("'#hello'", "packages.S.hello", ""),
            (".#", "packages.S.default", ""),
            ("'.#\"a.b\"'", "packages.S.a.b", ""),
            (".#python.numpy", "legacyPackages.S.python.numpy", ""),
            (".#lint", "checks.S.lint", ""),
            (".#web", "nixosConfigurations.web.config.system.build.toplevel", ""),
            ("--select hello", "packages.S.hello", ""),
            ("--select packages.hello", "packages.S.hello", ""),
            ("--select 'hel*'", "packages.S.hello", ""),
            ("--select both", "packages.S.both", "not `checks.x86_64-linux.both`"),
            (
                "--select packages.x86_64-linux",
                "packages.S.a.b packages.S.both packages.S.default packages.S.hello",
                "",
            ),
            ("--select devShells", "devShells.S.default", ""),
            ("--select 'nixosConfigurations.*'", "nixosConfigurations.web.config.system.build.toplevel", ""),
            (".#hello --select lint", "checks.S.lint packages.S.hello", ""),
            ("--select mac --system aarch64-darwin", "packages.aarch64-darwin.mac", ""),
            ("--exclude hello --exclude checks", "packages.S.a.b packages.S.both packages.S.default", ""),
            ("--select 'legacyPackages.*.*'", "legacyPackages.S.hello legacyPackages.S.python.numpy", ""),
            ("--select legacyPackages.x86_64-linux.python", "legacyPackages.S.python.numpy", ""),
            (
                "--select 'legacyPackages.*.**'",
                "legacyPackages.S.hello legacyPackages.S.plain.hidden legacyPackages.S.python.numpy legacyPackages.S.python.plain.scipy",
                "",
            ),
            (
                "--select 'legacyPackages.*.**.{scipy,hello}'",
                "legacyPackages.S.hello legacyPackages.S.python.plain.scipy",
                "",
            ),
        ] {
            let (found, said) =
                targets(&nix, folder.path(), arguments).unwrap_or_else(|said| panic!("{arguments}: {said}"));
            assert_eq!(found, expected, "{arguments}: {said}");
            assert!(said.contains(words), "{arguments}: {said}");
            assert!(!words.is_empty() || !said.contains("warning"), "{arguments}: {said}");
        }
        for (arguments, words) in [
            (".#helo", "did you mean `packages.x86_64-linux.hello`?"),
            ("--select packages.helo", "did you mean `packages.x86_64-linux.hello`?"),
            ("--select mac", "it is there for `aarch64-darwin`"),
            ("--select legacyPackages.x86_64-linux.plain", "`legacyPackages.x86_64-linux.plain.*` is what is in it"),
        ] {
            let said = targets(&nix, folder.path(), arguments).err();
            // What is there and no derivation makes the pipeline red, not the plan fail.
            let said = said.unwrap_or_else(|| targets(&nix, folder.path(), arguments).unwrap().1);
            assert!(said.contains(words), "{arguments}: {said}");
        }
        for (asked, meant) in [
            ("'.#hello^out'", "packages.x86_64-linux.hello"),
            (".#", "packages.x86_64-linux.default"),
            ("packages.hello", "packages.x86_64-linux.hello"),
            (".#web --select web", "nixosConfigurations.web.config.system.build.toplevel"),
        ] {
            let said = stdout(&nix, folder.path(), &format!("$nixdag explain {asked} 2> /dev/null"));
            assert!(said.starts_with(&format!("{meant}\n")), "{asked}: {said}");
        }
    }
}

#[test]
fn a_selection_leaves_out_the_final_jobs_that_it_makes_impossible() {
    let folder = copy_of("examples/hermetic");
    for nix in FreshNix::every_version() {
        let (found, said) = targets(&nix, folder.path(), ".#a").unwrap();
        assert_eq!(found, "packages.S.a");
        assert!(
            said.contains("final job `integration` is left out: `packages.*.d`, which it restores, is not selected"),
            "{said}"
        );
        let output = script(&nix, folder.path(), "$nixdag plan .#d --format json");
        let plan: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(plan["final"].as_array().unwrap().len(), 1);
    }
}
