//! What may be at an attribute beside a plain derivation: an output of one, an app.

use nixdag::nix::system;

use crate::failures::{ask, flake};
use crate::support::with_every_nix;

#[test]
fn an_output_that_its_derivation_lacks_is_a_failure_of_the_attribute() {
    with_every_nix("an_output_that_its_derivation_lacks_is_a_failure_of_the_attribute", || {
        let evaluation = ask(
            &flake(
                r#"packages.SYSTEM = let two = derivation { name = "two"; system = "SYSTEM"; builder = "/bin/sh"; outputs = [ "out" "dev" ]; }; in {
                     one = mk "one"; inherit two; dev = two.dev; lib = two // { outputName = "lib"; }; odd = mk "odd" // { outputName = "x\n" + builtins.concatStringsSep "" (builtins.genList (n: "y") 5000); };
                     made = { type = "derivation"; outputName = "lib"; inherit (two) drvPath outPath; };
                   };"#,
            ),
            &[],
        );
        let names: Vec<&str> = evaluation.targets.iter().map(|target| target.attribute.names()[2].as_str()).collect();
        assert_eq!(names, ["dev", "made", "one", "two"]);
        let [lib, odd] = &evaluation.errors[..] else { panic!("{:?}", evaluation.errors) };
        assert_eq!(lib.message, "its derivation has no output `lib` (there is `out`, `dev`)");
        assert!(odd.message.len() < 200 && !odd.message.contains('\n'), "{}", odd.message);
        String::new()
    });
}

#[test]
fn an_app_is_the_derivation_of_its_program() {
    with_every_nix("an_app_is_the_derivation_of_its_program", || {
        let outputs = r#"packages.SYSTEM.x = mk "x"; apps.SYSTEM = let app = program: { type = "app"; inherit program; }; in {
            x = app "${mk "x"}/bin/x"; u = app "${mk "y"}/bin/y" // { meta.timeout = 60; };
            script = app "${./flake.nix}"; both = app "${mk "x"}/bin/x ${mk "y"}"; none = app 5; bad = app (throw "no program");
          };"#;
        let evaluation = ask(&flake(outputs), &["apps.*.*", "packages.*.*"]);
        let names: Vec<&str> = evaluation.targets.iter().map(|target| target.attribute.names()[2].as_str()).collect();
        assert_eq!(names, ["u", "x", "x"], "{:?}", evaluation.errors);
        assert_eq!(evaluation.targets[1].drv_path, evaluation.targets[2].drv_path);
        assert_eq!(evaluation.package_settings.len(), 1);
        let [bad, none] = &evaluation.errors[..] else { panic!("{:?}", evaluation.errors) };
        assert!(bad.message.starts_with("no program"), "{}", bad.message);
        assert_eq!(none.message, "it is an app whose `program` is not a string");
        let named = ask(&flake(outputs), &[&format!("apps.{}.{{both,script}}", system::current())]);
        let messages: Vec<&str> = named.errors.iter().map(|error| error.message.as_str()).collect();
        assert_eq!(messages, ["it is an app whose program is not made by one derivation"; 2]);
        String::new()
    });
}

#[test]
fn nothing_that_is_of_the_wrong_kind_is_passed_over_where_its_place_says_what_it_has_to_be() {
    with_every_nix("nothing_that_is_of_the_wrong_kind_is_passed_over_where_its_place_says_what_it_has_to_be", || {
        let outputs = r#"
            nixosConfigurations = { good.config.system.build.toplevel = mk "host"; empty = { }; number = 3; none.config.system.build.toplevel = null; };
            darwinConfigurations = { mac.system = mk "mac"; other = { }; };
            homeConfigurations = { user.activationPackage = mk "user"; x86_64-linux.user.activationPackage = mk "u"; text.activationPackage = "x"; };
            apps.SYSTEM = { set = { }; number = 3; none = null; plain = { program = "/bin/sh"; }; script = { type = "app"; program = "/bin/sh"; }; };
            formatter.SYSTEM = 5; devShells.SYSTEM = { none = null; set = { }; }; checks.SYSTEM = { text = "x"; good = mk "check"; };"#;
        let all = [
            "nixosConfigurations.*",
            "darwinConfigurations",
            "homeConfigurations.*",
            "apps.*.*",
            "formatter.*",
            "devShells.*.*",
            "checks.*.*",
        ];
        let evaluation = ask(&flake(outputs), &all);
        let system = system::current();
        let short =
            |attribute: &nixdag::attribute::AttributePath| attribute.to_string().replace(&format!(".{system}"), "");
        let names: Vec<String> = evaluation.targets.iter().map(|target| short(&target.attribute)).collect();
        let good = ["checks.good", "darwinConfigurations.mac.system", "homeConfigurations.user.activationPackage"];
        assert_eq!(names, [&good[..], &["nixosConfigurations.good.config.system.build.toplevel"]].concat());
        // What is not written out may be missing: it is an error of its own, and does not end planning.
        assert_eq!(evaluation.absent, []);
        let errors: Vec<String> =
            evaluation.errors.iter().map(|error| format!("{}: {}", short(&error.attribute), error.message)).collect();
        assert_eq!(
            errors,
            [
                "apps.none: it is null, not a derivation",
                "apps.number: it is an integer, not a derivation",
                "apps.plain: it is a set, not a derivation",
                "apps.set: it is a set, not a derivation",
                "checks.text: it is a string, not a derivation",
                "darwinConfigurations.other.system: `darwinConfigurations.other` has no attribute `system` (there is nothing)",
                "devShells.none: it is null, not a derivation",
                "devShells.set: it is a set, not a derivation",
                "formatter: it is an integer, not a derivation",
                "homeConfigurations.text.activationPackage: it is a string, not a derivation",
                "homeConfigurations.activationPackage: `homeConfigurations.x86_64-linux` has no attribute `activationPackage` (there is `user`)",
                "nixosConfigurations.empty.config.system.build.toplevel: `nixosConfigurations.empty` has no attribute `config` (there is nothing)",
                "nixosConfigurations.none.config.system.build.toplevel: it is null, not a derivation",
                "nixosConfigurations.number.config.system.build.toplevel: an attribute above it is an integer, not a set of attributes",
            ]
        );
        String::new()
    });
}

#[test]
fn jobs_that_are_deeper_than_hydra_jobs_goes_are_mentioned() {
    with_every_nix("jobs_that_are_deeper_than_hydra_jobs_goes_are_mentioned", || {
        let deep = flake(r#"hydraJobs = { h = mk "h"; a.b.c.d.e.f = mk "deep"; a.b.c.g = mk "g"; };"#);
        let evaluation = ask(&deep, &["hydraJobs"]);
        assert_eq!((evaluation.targets.len(), evaluation.errors.len()), (2, 0));
        let [warning] = &evaluation.warnings[..] else { panic!("{:?}", evaluation.warnings) };
        assert!(warning.contains("`hydraJobs.a.b.c.d` is a set") && warning.contains("`hydraJobs.**`"), "{warning}");
        let whole = ask(&deep, &["hydraJobs.**"]);
        assert_eq!((whole.targets.len(), whole.warnings), (3, Vec::new()));
        String::new()
    });
}
