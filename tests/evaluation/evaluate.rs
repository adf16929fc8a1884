//! Evaluation of real flakes by real Nix.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use nixdag::attribute::AttributePath;
use nixdag::nix::command::{Nix, Version};
use nixdag::nix::evaluate::{BudgetRequest, Evaluation, EvaluationRequest, InputOverride, Systems, evaluate};
use nixdag::nix::system;
use nixdag::pattern::Pattern;

use crate::support::{commit, folder, run, with_every_nix, with_nix, with_one_nix};

/// `mk NAME` is a derivation; `system` is replaced by that of this machine.
const MK: &str = r#"mk = name: derivation { inherit name; system = "SYSTEM"; builder = "/bin/sh"; args = [ "-c" "echo > $out" ]; };"#;

/// A flake whose outputs are the given attributes.
fn flake(outputs: &str) -> tempfile::TempDir {
    folder(&[("flake.nix", &flake_text(outputs))])
}

fn flake_text(outputs: &str) -> String {
    format!("{{ outputs = {{ self, ... }}: let {MK} in {{ {outputs} }}; }}").replace("SYSTEM", &system::current())
}

fn request(flake: &str, select: &[&str]) -> EvaluationRequest {
    let select = select.iter().map(|text| Pattern::parse(text).unwrap()).collect();
    EvaluationRequest { flake: flake.to_owned(), select, ..EvaluationRequest::default() }
}

fn path(folder: &tempfile::TempDir) -> &str {
    folder.path().to_str().unwrap()
}

fn ask(request: &EvaluationRequest) -> Evaluation {
    evaluate(&Nix::find().unwrap(), request, &|_| {}).unwrap()
}

fn failure(request: &EvaluationRequest) -> String {
    format!("{:#}", evaluate(&Nix::find().unwrap(), request, &|_| {}).unwrap_err())
}

/// The last names of the targets.
fn names(evaluation: &Evaluation) -> Vec<&str> {
    evaluation.targets.iter().map(|target| target.attribute.names().last().unwrap().as_str()).collect()
}

fn attributes(evaluation: &Evaluation) -> Vec<String> {
    evaluation.targets.iter().map(|target| target.attribute.to_string()).collect()
}

fn message<'e>(evaluation: &'e Evaluation, name: &str) -> &'e str {
    let is = |attribute: &AttributePath| attribute.names().last().is_some_and(|last| last == name);
    &evaluation
        .errors
        .iter()
        .find(|error| is(&error.attribute))
        .unwrap_or_else(|| panic!("no error for {name}"))
        .message
}

const ODD: &str = r#"
  packages.SYSTEM = {
    "a.b" = mk "a"; "with space" = mk "b"; "quo\"te" = mk "c"; "dollar\${x}" = mk "d"; "<<merge" = mk "e"; "ünï" = mk "f";
    "-dash" = mk "g"; "123" = mk "h"; "" = mk "i"; good = mk "j"; type = mk "k"; drvPath = mk "l";
    throws = throw "this one throws\nsecond line"; aborts = abort "this one aborts"; missing = (mk "x").nope;
    cyclic = let x = x; in x; wrong = 1 + "a"; set = { a = 1; }; text = "s"; function = x: x; asserts = assert 1 == 2; mk "y";
    imports = mk (import (mk "imported")); late = mk (throw "in a derivation"); deep = let f = n: 1 + f (n + 1); in f 0;
    fake = { type = "derivation"; drvPath = "/etc/passwd"; }; escape = throw "a ESCAPE[31mb"; place = null;
  };
  legacyPackages = abort "nobody selected this";
"#;

#[test]
fn every_good_attribute_is_a_target_and_every_bad_one_has_its_message() {
    with_every_nix("every_good_attribute_is_a_target_and_every_bad_one_has_its_message", || {
        let outputs = ODD.replace("SYSTEM", &system::current()).replace("ESCAPE", "\u{1b}");
        let flake = flake(&outputs);
        let evaluation = ask(&request(path(&flake), &[]));
        assert_eq!(
            names(&evaluation),
            [
                "",
                "-dash",
                "123",
                "<<merge",
                "a.b",
                "dollar${x}",
                "drvPath",
                "good",
                "quo\"te",
                "type",
                "with space",
                "ünï"
            ]
        );
        for (name, expected) in [
            ("throws", "this one throws second line"),
            ("aborts", "this one aborts"),
            ("missing", "attribute 'nope' missing (at flake.nix:"),
            ("cyclic", "infinite recursion encountered"),
            ("wrong", "cannot add a string to an integer"),
            ("set", "it is a set, not a derivation"),
            ("text", "it is a string, not a derivation"),
            ("function", "it is a function, not a derivation"),
            ("place", "it is null, not a derivation"),
            ("asserts", ""),
            ("imports", "during evaluation because the option 'allow-import-from-derivation' is disabled"),
            ("late", "in a derivation"),
            ("deep", "stack overflow"),
            ("fake", "its `drvPath` is `/etc/passwd`"),
            ("escape", "a"),
        ] {
            let message = message(&evaluation, name);
            assert!(message.contains(expected), "{name}: {message}");
            assert!(!message.contains("nixdag-query") && !message.contains("-source"), "{name}: {message}");
            assert!(!message.chars().any(char::is_control) && !message.is_empty(), "{name}: {message:?}");
        }
        assert_eq!(evaluation.errors.len(), 15);
        assert!(evaluation.errors.is_sorted() && evaluation.targets.is_sorted());
        for target in &evaluation.targets {
            assert!(Path::new(&*target.drv_path).is_file(), "{}", target.drv_path);
        }
        evaluation.targets.iter().map(|target| format!("{} {}\n", target.attribute, target.drv_path)).collect()
    });
}

#[test]
fn the_targets_are_those_of_nix_build() {
    with_every_nix("the_targets_are_those_of_nix_build", || {
        let told = r#"{
              inputs.other.url = "path:OTHER";
              outputs = { self, other }: let
                fact = name: self.${name} or "none";
                told = derivation {
                  name = "told"; system = "SYSTEM"; builder = "/bin/sh"; source = self; out' = self.outPath; other = other.value; input = other;
                  facts = map (name: toString (fact name)) [ "rev" "shortRev" "dirtyRev" "dirtyShortRev" "lastModified" "lastModifiedDate" "narHash" "revCount" ];
                };
              in { packages.SYSTEM.told = told; };
            }"#
        .replace("SYSTEM", &system::current());
        let other = folder(&[("flake.nix", r#"{ outputs = { self }: { value = "1"; }; }"#)]);
        let other = run(other.path(), "nix-store", &["--add", path(&other)]);
        let told = told.replace("OTHER", &other);
        let same = |folder: &Path, reference: &str| {
            let installable = format!("{reference}#packages.{}.told.drvPath", system::current());
            let expected = run(
                folder,
                "nix",
                &[
                    "--extra-experimental-features",
                    "nix-command flakes",
                    "eval",
                    "--raw",
                    "--no-write-lock-file",
                    &installable,
                ],
            );
            let evaluation = ask(&request(reference, &[]));
            assert_eq!(*evaluation.targets[0].drv_path, *expected, "{reference}");
            assert!(evaluation.warnings.is_empty(), "{:?}", evaluation.warnings);
            assert!(Path::new(&expected).is_file());
            evaluation.flake
        };

        let repository = folder(&[("flake.nix", &told), ("inner/flake.nix", &told), ("data", "1")]);
        let root = repository.path();
        for flake in [".", "./inner"] {
            run(
                root,
                "nix",
                &[
                    "--extra-experimental-features",
                    "nix-command flakes",
                    "flake",
                    "lock",
                    &format!("path:{}/{flake}", root.display()),
                ],
            );
        }
        same(root, &format!("path:{}", root.display()));
        commit(root);
        let revision = run(root, "git", &["rev-parse", "HEAD"]);
        let references = [
            format!("{}", root.display()),
            format!("{}/inner", root.display()),
            format!("git+file://{}", root.display()),
            format!("git+file://{}?dir=inner", root.display()),
            format!("git+file://{}?rev={revision}", root.display()),
        ];
        for reference in &references {
            let flake = same(root, reference);
            assert_eq!((flake.url.as_str(), flake.revision.as_deref()), (".", Some(revision.as_str())), "{reference}");
        }
        fs::write(root.join("data"), "2").unwrap();
        for reference in &references[..4] {
            assert_eq!(same(root, reference).revision, None, "{reference}");
        }
        String::new()
    });
}

#[test]
fn every_form_of_reference_means_what_it_means_to_nix() {
    with_every_nix("every_form_of_reference_means_what_it_means_to_nix", || {
        let told = r#"{ outputs = { self }: {
              packages.SYSTEM.told = derivation {
                name = "told"; system = "SYSTEM"; builder = "/bin/sh"; source = self;
                facts = map (name: toString (self.${name} or "none")) [ "rev" "dirtyRev" "lastModified" "narHash" "revCount" "submodules" ];
                found = builtins.attrNames (builtins.readDir self) ++ (if builtins.pathExists (self + "/library/text") then [ "library" ] else [ ]);
              };
            }; }"#
        .replace("SYSTEM", &system::current());
        let all =
            folder(&[("library/text", "1"), ("top/flake.nix", &told), ("top/sub/flake.nix", &told), ("top/a", "1")]);
        fs::create_dir_all(all.path().join("top/sub/library")).unwrap();
        let (library, top) = (all.path().join("library"), all.path().join("top"));
        let home = std::env::var("HOME").unwrap();
        run(Path::new(&home), "git", &["config", "--global", "protocol.file.allow", "always"]);
        // So that newer versions take the registry of the tests from the environment.
        fs::create_dir_all(format!("{home}/.config/nix")).unwrap();
        fs::write(format!("{home}/.config/nix/nix.conf"), "experimental-features = nix-command flakes\n").unwrap();
        commit(&library);
        run(&top, "git", &["init", "-q", "-b", "main"]);
        run(&top, "git", &["submodule", "--quiet", "add", library.to_str().unwrap(), "library"]);
        fs::write(top.join("sub/library/x"), "").unwrap();
        commit(&top);
        let old = run(&top, "git", &["rev-parse", "HEAD"]);
        run(&top, "git", &["branch", "old"]);
        fs::write(top.join("b"), "2").unwrap();
        commit(&top);
        run(&top, "git", &["checkout", "-q", "-b", "aside"]);
        fs::write(top.join("c"), "3").unwrap();
        commit(&top);
        let aside = run(&top, "git", &["rev-parse", "HEAD"]);
        run(&top, "git", &["checkout", "-q", "main"]);
        std::env::set_current_dir(&top).unwrap();
        let flakes = ["--extra-experimental-features", "nix-command flakes"];
        let add = ["registry", "add", "here", &format!("git+file://{}?submodules=1", top.display())];
        run(&top, "nix", &[flakes.as_slice(), &add].concat());

        let there = format!("git+file://{}", top.display());
        let mut references: Vec<String> = [
            ".",
            "./sub",
            ".?dir=sub",
            ".?ref=old",
            ".?submodules=1",
            ".?ref=old&submodules=1",
            ".?shallow=1",
            "git+file:.",
            "git+file:.?ref=old",
            "git+file:.?submodules=1",
            "path:.",
            "path:./sub",
            "here",
            "here/old",
        ]
        .map(String::from)
        .into();
        references.extend(
            ["?dir=sub", "?submodules=1", "?submodules=0", "?ref=refs/heads/old"]
                .map(|query| format!("{there}{query}")),
        );
        references.extend([
            format!("{there}?rev={old}"),
            format!("{there}?allRefs=1&rev={aside}"),
            format!("path:{}", top.display()),
        ]);
        let mut sources = std::collections::BTreeMap::new();
        for reference in &references {
            let installable = format!("{reference}#packages.{}.told.drvPath", system::current());
            let arguments = [flakes.as_slice(), &["eval", "--raw", "--no-write-lock-file", &installable]].concat();
            let expected = run(&top, "nix", &arguments);
            let evaluation = ask(&request(reference, &[]));
            assert_eq!(
                evaluation.targets.iter().map(|target| &*target.drv_path).collect::<Vec<_>>(),
                [&*expected],
                "{reference}"
            );
            sources.insert(reference.as_str(), expected);
        }
        assert_ne!(sources["."], sources[".?submodules=1"]);
        assert_ne!(sources[".?ref=old"], sources[".?ref=old&submodules=1"]);
        assert_eq!(sources["here"], sources[".?submodules=1"]);
        String::new()
    });
}

#[test]
fn relative_inputs_and_followed_ones_are_those_of_nix_build() {
    with_every_nix("relative_inputs_and_followed_ones_are_those_of_nix_build", || {
        let value = "{ outputs = { self }: { v = self.outPath; }; }";
        let all = folder(&[
            ("b/flake.nix", value),
            ("c/flake.nix", value),
            ("main/below/flake.nix", value),
            ("a/inner/flake.nix", value),
            (
                "a/flake.nix",
                r#"{ inputs.c.url = "path:ROOT/c"; inputs.inner.url = "path:./inner"; outputs = { self, c, inner }: { v = c.v + inner.v; }; }"#,
            ),
            (
                "main/flake.nix",
                r#"{
                  inputs = { a.url = "path:ROOT/a"; b.url = "path:ROOT/b"; a.inputs.c.follows = "b"; below.url = "path:./below"; x.follows = "a/c"; };
                  outputs = { self, a, b, below, x }: {
                    packages.SYSTEM.told = derivation { name = "told"; system = "SYSTEM"; builder = "/bin/sh"; args = [ a.v b.v below.v x.v self ]; };
                  };
                }"#,
            ),
        ]);
        for file in ["a/flake.nix", "main/flake.nix"] {
            let file = all.path().join(file);
            let text = fs::read_to_string(&file).unwrap().replace("ROOT", path(&all));
            fs::write(file, text.replace("SYSTEM", &system::current())).unwrap();
        }
        // All are in one checkout.
        fs::create_dir(all.path().join(".git")).unwrap();
        let main = all.path().join("main");
        let flakes = ["--extra-experimental-features", "nix-command flakes"];
        let reference = format!("path:{}", main.display());
        let compare = || {
            let installable = format!("{reference}#packages.{}.told.drvPath", system::current());
            let arguments = [flakes.as_slice(), &["eval", "--raw", "--no-write-lock-file", &installable]].concat();
            let evaluation = ask(&request(&reference, &[]));
            assert_eq!(*evaluation.targets[0].drv_path, *run(&main, "nix", &arguments));
            evaluation.warnings
        };
        assert!(compare()[0].contains("does not cover all inputs"));
        assert!(!main.join("flake.lock").exists());
        // Before 2.26 a locked relative input is an error in Nix itself.
        if Nix::find().unwrap().version() >= (Version { major: 2, minor: 26 }) {
            run(&main, "nix", &[flakes.as_slice(), &["flake", "lock", &reference]].concat());
            assert_eq!(compare(), [] as [&str; 0]);
        }
        String::new()
    });
}

/// Sets in sets: cycles, names that are odd, functions and failures at each level.
const NESTED: &str = r#"legacyPackages.SYSTEM = let
    level = n: if n == 0 then { end = mk "end"; } else {
      "d.ot ${toString n}" = mk "dot"; "quo\"te" = { "new\nline" = mk "line"; }; bad = throw "bad ${toString n}"; fun = x: throw "never";
      next = level (n - 1);
    };
    circle = { a = mk "a"; self = circle; again = circle // { }; lib = { f = x: x; inherit circle; }; };
    marked = { recurseForDerivations = true; m = mk "m"; self = marked; deeper = { recurseForDerivations = true; x = mk "x"; }; plain.y = mk "y"; };
    # The set once more asks to be entered, and has one more name by that.
    outer = { m = mk "om"; again = outer // { recurseForDerivations = true; }; inner = { recurseForDerivations = true; z = mk "z"; bad = throw "bad z"; }; };
    other = n: { b = mk "b"; f = x: x; pkgs = other (n + 1); };
  in { levels = level 12; inherit circle marked outer; fresh = other 0; };"#;

#[test]
fn sets_are_entered_where_they_ask_for_it_and_by_two_stars_everywhere_each_once() {
    with_every_nix("sets_are_entered_where_they_ask_for_it_and_by_two_stars_everywhere_each_once", || {
        let flake = flake(&NESTED.replace("SYSTEM", &system::current()));
        let found = |select: &[&str]| {
            let evaluation = ask(&EvaluationRequest { depth: Some(4), ..request(path(&flake), select) });
            let prefix = format!("legacyPackages.{}.", system::current());
            let short: Vec<String> = attributes(&evaluation).iter().map(|path| path.replace(&prefix, "")).collect();
            (short.join(" "), evaluation)
        };
        let (names, evaluation) = found(&["legacyPackages.*.*"]);
        assert_eq!(names, "marked.deeper.x marked.m");
        assert_eq!((evaluation.errors.len(), evaluation.warnings.len()), (0, 0), "{:?}", evaluation.warnings);
        let (names, evaluation) = found(&["legacyPackages.*.outer.*"]);
        assert_eq!((names.as_str(), evaluation.errors.len()), ("outer.inner.z outer.m", 1));
        let (names, _) = found(&["legacyPackages.*.circle.**"]);
        assert_eq!(names, "circle.a");
        let (names, _) = found(&["legacyPackages.*.marked.**"]);
        assert_eq!(names, "marked.deeper.x marked.m marked.plain.y");
        let (names, _) = found(&["legacyPackages.*.**.{x,y,a}"]);
        assert_eq!(names, "circle.a circle.again.a circle.lib.circle.a circle.self.a marked.deeper.x marked.plain.y");
        let (names, evaluation) = found(&["legacyPackages.*.fresh.**"]);
        assert_eq!(names, "fresh.b fresh.pkgs.b fresh.pkgs.pkgs.b fresh.pkgs.pkgs.pkgs.b");
        let [warning] = &evaluation.warnings[..] else { panic!("{:?}", evaluation.warnings) };
        assert!(
            warning.starts_with("sets more than 4 levels below") && warning.contains("`--eval-depth`"),
            "{warning}"
        );
        let (names, evaluation) = found(&["legacyPackages.*.levels.**"]);
        assert_eq!(names.matches("\"d.ot ").count(), 4, "{names}");
        assert_eq!(names.matches("\"quo\\\"te\".\"new\\nline\"").count(), 1, "equal sets are one: {names}");
        let bad: Vec<_> = evaluation.errors.iter().map(|error| error.message.split(" (at").next().unwrap()).collect();
        assert_eq!(bad, ["bad 12", "bad 11", "bad 10", "bad 9"]);
        String::new()
    });
}

/// Asks for all attributes of a tree without end, each set of which has so many others and `more`; the error says `words`.
fn too_many(wide: usize, more: &str, words: &str) {
    let outputs = r#"legacyPackages.SYSTEM = let
        names = builtins.genList (n: "s${toString n}") WIDE;
        # Sets with the same names would be variations of each other.
        sets = n: { MORE } // builtins.listToAttrs (map (name: { name = name + toString n; value = sets (n + 1); }) names);
      in sets 0;"#;
    let outputs = outputs.replace("WIDE", &wide.to_string()).replace("MORE", more);
    let flake = flake(&outputs.replace("SYSTEM", &system::current()));
    let budget = BudgetRequest { workers: Some(2), total_memory: Some(1 << 30), ..BudgetRequest::default() };
    let request = EvaluationRequest { budget, ..request(path(&flake), &["legacyPackages.*.**"]) };
    let error = evaluate(&Nix::find().unwrap(), &request, &|_| {}).unwrap_err().to_string();
    assert!(error.contains(words) && error.contains("`--exclude`"), "{error}");
}

#[test]
fn variations_of_a_package_set_are_entered_where_a_pattern_names_them() {
    with_every_nix("variations_of_a_package_set_are_entered_where_a_pattern_names_them", || {
        let outputs = r#"legacyPackages.SYSTEM = let
            packages = kind: builtins.listToAttrs (builtins.genList (n: { name = "p${toString n}"; value = mk "p${kind}"; }) 70);
            set = kind: packages kind // {
              pkgsStatic = set "${kind}s"; pkgsCross = { a = set "${kind}a" // { more = mk "m"; }; b = removeAttrs (set "${kind}b") [ "p1" ]; };
              pkgs = set kind; tools = { t = mk "t"; }; half = { recurseForDerivations = true; p1 = mk "h"; p2 = mk "h"; };
            };
          in set "x";"#;
        let flake = flake(&outputs.replace("SYSTEM", &system::current()));
        let found = |select: &[&str]| {
            let evaluation = ask(&request(path(&flake), select));
            assert!(evaluation.errors.is_empty(), "{:?}", evaluation.errors);
            (evaluation.targets.len(), evaluation.warnings)
        };
        let (targets, warnings) = found(&["legacyPackages.*.**"]);
        assert_eq!(targets, 70 + 3);
        let expected = format!(
            "`legacyPackages.{0}.pkgs` and 3 other sets are not entered by `**`: each has the names of a set around it, so it is that set once \
             more, or a variation of it (take one by a pattern of its own, `legacyPackages.{0}.pkgs.**`)",
            system::current()
        );
        assert_eq!(warnings, [expected]);
        let (targets, warnings) = found(&["legacyPackages.*.pkgsStatic.**"]);
        assert_eq!((targets, warnings.len()), (70 + 3, 1));
        let (targets, warnings) = found(&["legacyPackages.*.pkgsCross.*.**", "legacyPackages.*.**"]);
        assert_eq!((targets, warnings.len()), (70 + 3 + 71 + 3 + 69 + 3, 1), "{warnings:?}");
        String::new()
    });
}

#[test]
fn a_tree_without_end_is_an_error_before_it_fills_the_memory() {
    with_every_nix("a_tree_without_end_is_an_error_before_it_fills_the_memory", || {
        too_many(900, "", "lead to more than 500000 attributes, `legacyPackages.*.**` as far as `legacyPackages.");
        String::new()
    });
}

#[test]
fn a_tree_that_is_equal_as_far_as_nix_gets_is_an_error() {
    with_one_nix("a_tree_that_is_equal_as_far_as_nix_gets_is_an_error", || {
        let words = "have more than 8000000 names in their paths, as far as `legacyPackages.";
        too_many(150, r#"a = mk "a";"#, words);
    });
}

#[test]
fn what_nobody_selects_is_never_forced() {
    with_nix("what_nobody_selects_is_never_forced", || {
        let flake = flake(
            r#"packages = { SYSTEM = { a = mk "a"; b = abort "b"; }; riscv64-linux = abort "system"; }; checks = abort "checks";
               legacyPackages.SYSTEM = { type = abort "type"; sub = { x = mk "x"; hello = mk "h"; nope = abort "nope"; }; bad = abort "bad"; drv = mk "d" // { y = mk "y"; }; };"#
                .replace("SYSTEM", &system::current())
                .as_str(),
        );
        for (select, expected) in [
            (&["packages.*.a"] as &[&str], "packages.S.a"),
            (&["legacyPackages.*.sub.{x,hello}"], "legacyPackages.S.sub.hello legacyPackages.S.sub.x"),
            (&["legacyPackages.*.su?.[hx]*"], "legacyPackages.S.sub.hello legacyPackages.S.sub.x"),
            (&["legacyPackages.*.drv.y*", "packages.*.a"], "legacyPackages.S.drv.y packages.S.a"),
            // A glob does not look into a derivation.
            (&["legacyPackages.*.d*.y", "legacyPackages.*.d*.*"], "legacyPackages.S.drv.y"),
        ] {
            let evaluation = ask(&request(path(&flake), select));
            let expected = expected.replace('S', &system::current());
            assert_eq!(attributes(&evaluation).join(" "), expected, "{select:?}");
            assert_eq!(evaluation.errors, [], "{select:?}");
        }
        let exclude = ["*.*.b", "checks", "nothing"].map(|text| Pattern::parse(text).unwrap()).to_vec();
        let evaluation = ask(&EvaluationRequest { exclude, ..request(path(&flake), &[]) });
        assert_eq!(names(&evaluation), ["a"]);
        assert_eq!(evaluation.errors, []);
        assert_eq!(evaluation.warnings, ["exclusion `nothing` matches nothing that is selected"]);
        let excluded: Vec<_> = evaluation.excluded.iter().map(ToString::to_string).collect();
        assert_eq!(excluded, ["checks".to_owned(), format!("packages.{}.b", system::current())]);
    });
}

#[test]
fn a_globbed_system_is_one_of_the_chosen_and_a_written_one_is_always_taken() {
    with_nix("a_globbed_system_is_one_of_the_chosen_and_a_written_one_is_always_taken", || {
        let flake = flake(
            r#"packages = { SYSTEM.a = mk "a"; riscv64-linux.a = mk "r"; x86_64-freebsd.a = mk "f"; }; hydraJobs.anything.a = mk "h"; checks.riscv64-linux.c = mk "c";"#
                .replace("SYSTEM", &system::current())
                .as_str(),
        );
        let with = |systems: Systems, select: &[&str]| {
            attributes(&ask(&EvaluationRequest { systems, ..request(path(&flake), select) })).join(" ")
        };
        let here = format!("packages.{}.a", system::current());
        assert_eq!(with(Systems::Current, &[]), here);
        let riscv = || Systems::Listed(vec!["riscv64-linux".to_owned()]);
        assert_eq!(with(riscv(), &[]), "checks.riscv64-linux.c packages.riscv64-linux.a");
        assert_eq!(with(Systems::All, &["packages.*-{linux,freebsd}.*"]).split(' ').count(), 3);
        assert_eq!(with(Systems::Current, &["packages.riscv64-linux.*"]), "packages.riscv64-linux.a");
        assert_eq!(with(riscv(), &["hydraJobs.*.*"]), "hydraJobs.anything.a");
    });
}

#[test]
fn a_literal_name_that_is_not_there_is_an_error_with_the_nearest_one() {
    with_nix("a_literal_name_that_is_not_there_is_an_error_with_the_nearest_one", || {
        let flake = flake(r#"packages.x.hello = mk "a"; packages.x.git = mk "b"; lib.f = x: x;"#);
        let evaluation = ask(&request(
            path(&flake),
            &[
                "packages.x.{git,helo}",
                "package.x.hello",
                "lib.f",
                "lib.f.g",
                "packages.x.git.nope",
                "zzzzzzzzzz",
                "zzzzzzzzzz.y",
            ],
        ));
        assert_eq!(names(&evaluation), ["git"]);
        assert_eq!(message(&evaluation, "helo"), "`packages.x` has no attribute `helo` (did you mean `hello`?)");
        assert_eq!(message(&evaluation, "hello"), "the flake has no attribute `package` (did you mean `packages`?)");
        assert_eq!(message(&evaluation, "f"), "it is a function, not a derivation");
        assert_eq!(message(&evaluation, "g"), "there is no such attribute: an attribute above it is a function");
        assert!(message(&evaluation, "nope").starts_with("`packages.x.git` has no attribute `nope`"));
        assert_eq!(
            message(&evaluation, "zzzzzzzzzz"),
            format!("there is none in `packages` for `{}` (the flake has `lib`, `packages`)", system::current())
        );
        assert_eq!(
            message(&evaluation, "y"),
            format!(
                "the flake has no output `zzzzzzzzzz`, and there is none in `packages` for `{}` (the flake has `lib`, `packages`)",
                system::current()
            )
        );
        let here = self::flake(&format!("packages.{}.hello = mk \"a\";", system::current()));
        assert_eq!(
            message(&ask(&request(path(&here), &["zzzzzzzzzz"])), "zzzzzzzzzz"),
            format!("there is none in `packages` for `{}` (there is `hello`)", system::current())
        );
        let nowhere = ask(&request(path(&flake), &["packages.x.*.zzz", "packages.x.git"])).nowhere.unwrap();
        assert!(nowhere.starts_with("`packages.x.*.zzz` selects nothing: no attribute there is `zzz`"), "{nowhere}");
    });
}

#[test]
fn an_empty_selection_says_what_there_is() {
    with_nix("an_empty_selection_says_what_there_is", || {
        let flake = flake(r#"packages.riscv64-linux.a = mk "a"; lib = { };"#);
        let error = failure(&request(path(&flake), &[]));
        assert!(
            error.contains(&format!("no derivation matches `packages.*.*`, `checks.*.*` for `{}`", system::current())),
            "{error}"
        );
        assert!(error.contains("the flake has `lib`, `packages`, `packages` has `riscv64-linux`"), "{error}");
        assert!(error.contains("--all-systems"), "{error}");
    });
}

#[test]
fn a_flake_that_fails_as_a_whole_is_one_clear_error() {
    with_every_nix("a_flake_that_fails_as_a_whole_is_one_clear_error", || {
        for (text, expected) in [
            ("{ outputs = { self }: {", "is not valid: syntax error"),
            ("{ outputs = { self }: throw \"all of it\"; }", "do not evaluate: all of it"),
            (
                "{ outputs = { self }: abort \"all of it\"; }",
                "do not evaluate: evaluation aborted with the following error message: 'all of it'",
            ),
            ("{ inputs.gone.url = \"path:/nowhere/at/all\"; outputs = { self, gone }: { }; }", "/nowhere/at/all"),
            (
                "{ inputs.gone.url = \"https://localhost:1/x.tar.gz\"; outputs = { self, gone }: { }; }",
                "input `gone` of flake `",
            ),
            (
                "{ inputs.gone.url = \"git+https://localhost:1/x\"; outputs = { self, gone }: { }; }",
                "input `gone` of flake `",
            ),
        ] {
            let flake = folder(&[("flake.nix", text)]);
            let error = failure(&request(path(&flake), &[]));
            assert!(error.contains(expected), "{text}: {error}");
            assert!(!error.contains('\n'), "{text}: {error}");
        }
        let empty = folder(&[("readme", "")]);
        for reference in [path(&empty), "/nowhere/at/all"] {
            let error = failure(&request(reference, &[]));
            assert!(error.starts_with("no flake at `") && error.contains("github:owner/repo"), "{error}");
        }
        assert!(failure(&request(".#hello", &[])).contains("--select"));
        String::new()
    });
}

#[test]
fn a_locked_input_that_is_gone_is_one_clear_error() {
    with_every_nix("a_locked_input_that_is_gone_is_one_clear_error", || {
        let names: String = (0..9).map(|n| format!("p{n} = mk gone.outPath;")).collect();
        let text = format!(
            "{{ inputs.gone = {{ url = \"https://localhost:1/x.tar.gz\"; flake = false; }}; outputs = {{ self, gone }}: let {MK} in {{ packages.SYSTEM = {{ {names} }}; }}; }}"
        )
        .replace("SYSTEM", &system::current());
        let lock = r#"{"nodes":{"gone":{"flake":false,"locked":{"narHash":"sha256-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=","type":"tarball","url":"https://localhost:1/x.tar.gz"},"original":{"type":"tarball","url":"https://localhost:1/x.tar.gz"}},"root":{"inputs":{"gone":"gone"}}},"root":"root","version":7}"#;
        let flake = folder(&[("flake.nix", &text), ("flake.lock", lock)]);
        let error = failure(&request(path(&flake), &[]));
        assert!(error.contains("one of its inputs cannot be fetched: ") && error.contains("localhost:1"), "{error}");
        String::new()
    });
}

#[test]
fn inputs_are_overridden_relative_to_the_working_directory() {
    with_every_nix("inputs_are_overridden_relative_to_the_working_directory", || {
        let text = format!(
            r#"{{ inputs.stand.url = "path:/nowhere/at/all"; outputs = {{ self, stand }}: let {MK} in {{ packages.SYSTEM.a = mk stand.name; }}; }}"#
        )
        .replace("SYSTEM", &system::current());
        let both = folder(&[
            ("main/flake.nix", &text),
            ("stand-in/flake.nix", r#"{ outputs = { self }: { name = "overridden"; }; }"#),
        ]);
        std::env::set_current_dir(both.path().join("main")).unwrap();
        for replacement in
            ["path:../stand-in".to_owned(), "../stand-in".to_owned(), format!("path:{}/stand-in", path(&both))]
        {
            let override_inputs = vec![InputOverride {
                input: "stand".into(),
                reference: replacement.clone(),
                folder: PathBuf::new(),
                by_flag: true,
            }];
            let evaluation = ask(&EvaluationRequest { override_inputs, ..request("path:.", &[]) });
            assert!(evaluation.targets[0].drv_path.ends_with("-overridden.drv"), "{replacement}: {evaluation:?}");
        }
        assert!(!Path::new("flake.lock").exists());
        std::env::set_current_dir(both.path()).unwrap();
        let error = failure(&request("main", &[]));
        assert!(error.contains("registry") && error.contains("`./main`"), "{error}");
        String::new()
    });
}

#[test]
fn a_name_of_any_length_hides_no_other() {
    with_nix("a_name_of_any_length_hides_no_other", || {
        let outputs = r#"packages.SYSTEM = {
            a = mk "a"; ${builtins.concatStringsSep "" (builtins.genList (n: "\\\"x") 60000)} = mk "b"; z = mk "z";
            ${builtins.concatStringsSep "" (builtins.genList (n: "\\\"") 12000)} = mk "c";
        };"#;
        let flake = flake(&outputs.replace("SYSTEM", &system::current()));
        let evaluation = ask(&request(path(&flake), &[]));
        assert_eq!(evaluation.targets.len(), 2);
        let messages: Vec<&str> = evaluation.errors.iter().map(|error| error.message.as_str()).collect();
        assert_eq!(messages, ["its name has more than 1024 bytes"; 2]);
    });
}

#[test]
fn a_flake_may_lie_in_an_oddly_named_folder() {
    with_every_nix("a_flake_may_lie_in_an_oddly_named_folder", || {
        let text = flake_text(r#"packages.SYSTEM.a = mk "a";"#).replace("SYSTEM", &system::current());
        let all = folder(&[("with space/a$b/flake.nix", &text), ("caret^x/flake.nix", &text)]);
        for name in ["with space/a$b", "caret^x"] {
            std::env::set_current_dir(all.path().join(name)).unwrap();
            assert_eq!(names(&ask(&request(".", &[]))), ["a"], "{name}");
            // 2.8 itself takes no such name for a repository.
            if Nix::find().unwrap().version() >= (Version { major: 2, minor: 26 }) {
                commit(Path::new("."));
                assert_eq!(names(&ask(&request(".", &[]))), ["a"], "{name}");
            }
        }
        String::new()
    });
}

#[test]
fn import_from_derivation_works_when_allowed() {
    with_every_nix("import_from_derivation_works_when_allowed", || {
        let flake = flake(
            &r#"packages.SYSTEM.a = mk (import (derivation { name = "n.nix"; system = "SYSTEM"; builder = "/bin/sh"; args = [ "-c" "echo '\"imported\"' > $out" ]; }));"#
                .replace("SYSTEM", &system::current()),
        );
        let evaluation = ask(&EvaluationRequest { allow_import_from_derivation: true, ..request(path(&flake), &[]) });
        assert!(evaluation.targets[0].drv_path.ends_with("-imported.drv"), "{evaluation:?}");
        evaluation.targets[0].drv_path.to_string()
    });
}

#[test]
fn no_secret_reaches_the_evaluator() {
    with_nix("no_secret_reaches_the_evaluator", || {
        let flake = flake(&r#"packages.SYSTEM.a = mk "a";"#.replace("SYSTEM", &system::current()));
        // A `nix` that records its environment and goes on to the real one.
        let recorder = folder(&[]);
        let record = recorder.path().join("environment");
        let real = run(flake.path(), "sh", &["-c", "command -v nix"]);
        let script = format!("#!/bin/sh\nenv >> '{}'\nexec '{real}' \"$@\"\n", record.display());
        fs::write(recorder.path().join("nix"), script).unwrap();
        run(recorder.path(), "chmod", &["+x", "nix"]);
        let path_variable = format!("{}:{}", recorder.path().display(), std::env::var("PATH").unwrap());
        for (name, value) in [
            ("PATH", path_variable.as_str()),
            ("CIRCLE_TOKEN", "secret-1"),
            ("CIRCLE_CONTINUATION_KEY", "secret-2"),
            ("CACHIX_AUTH_TOKEN", "secret-3"),
            ("NIX_SIGNING_KEY", "secret-4"),
        ] {
            // SAFETY: the test runs alone in its process.
            #[allow(unsafe_code)]
            unsafe {
                std::env::set_var(name, value);
            }
        }
        assert_eq!(names(&ask(&request(self::path(&flake), &[]))), ["a"]);
        let environment = fs::read_to_string(record).unwrap();
        assert!(!environment.contains("secret"), "{environment}");
        // The version, the flake, the names with their derivations.
        assert_eq!(environment.matches("\nLC_ALL=C\n").count() + usize::from(environment.starts_with("LC_ALL=C\n")), 3);
    });
}

#[test]
fn many_attributes_with_some_bad_ones_are_all_told_apart() {
    with_nix("many_attributes_with_some_bad_ones_are_all_told_apart", || {
        let outputs = r#"packages.SYSTEM = builtins.listToAttrs (builtins.genList (n: {
              name = "a${toString n}";
              value = if n == 700 then abort "seven" else if n == 1300 then (mk "x").nope else if n == 1301 then throw "t" else mk "a${toString n}";
            }) 1500);"#;
        let flake = flake(&outputs.replace("SYSTEM", &system::current()));
        for workers in [1, 4] {
            let evaluation = ask(&EvaluationRequest {
                budget: BudgetRequest { workers: Some(workers), ..BudgetRequest::default() },
                ..request(path(&flake), &[])
            });
            assert_eq!(evaluation.targets.len(), 1497);
            let errors: Vec<_> = evaluation.errors.iter().map(|error| error.attribute.names()[2].as_str()).collect();
            assert_eq!(errors, ["a1300", "a1301", "a700"]);
        }
    });
}

#[test]
fn an_evaluator_does_not_outlive_a_killed_nixdag() {
    with_nix("an_evaluator_does_not_outlive_a_killed_nixdag", || {
        let endless = "packages.SYSTEM.a = builtins.foldl' (a: n: builtins.foldl' (x: y: x + y) 0 (builtins.genList (i: i) 1000000)) null \
             (builtins.genList (x: x) 1000000);";
        let flake = flake(&endless.replace("SYSTEM", &system::current()));
        let reference = format!("path:{}", path(&flake));
        let mut nixdag = Command::new(env!("CARGO_BIN_EXE_nixdag"))
            .args(["plan", &reference, "--available", "/dev/null"])
            .spawn()
            .unwrap();
        let evaluator = loop {
            assert!(nixdag.try_wait().unwrap().is_none(), "it ended by itself");
            let children = child_processes(nixdag.id());
            if let Some(child) = children.into_iter().find(|child| child.1.contains("--apply")) {
                break child;
            }
            thread::sleep(Duration::from_millis(20));
        };
        nixdag.kill().unwrap();
        nixdag.wait().unwrap();
        // Ends with the evaluator; a test that never ends is a failed one.
        while command_line(evaluator.0).is_some_and(|line| line == evaluator.1) {
            thread::sleep(Duration::from_millis(20));
        }
    });
}

/// Numbers and command lines of a process's children.
fn child_processes(parent: u32) -> Vec<(u32, String)> {
    let processes =
        fs::read_dir("/proc").unwrap().filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
    let is_child = |id: &u32| {
        let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
        status.lines().any(|line| line == format!("PPid:\t{parent}"))
    };
    processes.filter(is_child).filter_map(|id| Some((id, command_line(id)?))).collect()
}

fn command_line(process: u32) -> Option<String> {
    let bytes = fs::read(format!("/proc/{process}/cmdline")).ok()?;
    // A process that has ended and waits to be collected has none.
    (!bytes.is_empty()).then(|| String::from_utf8_lossy(&bytes).into_owned())
}

#[test]
fn the_last_count_is_that_of_the_result() {
    with_one_nix("the_last_count_is_that_of_the_result", || {
        let flake = flake(
            r#"packages.SYSTEM = { a = mk "a"; b = mk "b"; null = null; thrown = throw "x"; text = "s"; outside = mk "x" // { drvPath = "/x"; }; };"#
                .replace("SYSTEM", &system::current())
                .as_str(),
        );
        let last = std::sync::Mutex::new(None);
        let request = request(
            path(&flake),
            &["packages.*.*", "packages.SYSTEM.lacking"]
                .map(|text| text.replace("SYSTEM", &system::current()))
                .each_ref()
                .map(String::as_str),
        );
        let watch = |progress: &nixdag::nix::evaluate::Progress| *last.lock().unwrap() = Some(*progress);
        let evaluation = evaluate(&Nix::find().unwrap(), &request, &watch).unwrap();
        let last = last.into_inner().unwrap().unwrap();
        assert_eq!(evaluation.targets.len(), 2);
        assert_eq!(
            (last.evaluated, last.failed, last.left),
            (2, evaluation.errors.len(), 0),
            "{:#?}",
            evaluation.errors
        );
    });
}
