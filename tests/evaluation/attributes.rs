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
        assert_eq!(evaluation.says.len(), 1);
        assert_eq!(evaluation.errors.len(), 1);
        let named = ask(&flake(outputs), &[&format!("apps.{}.{{both,script}}", system::current())]);
        let messages: Vec<&str> = named.errors.iter().map(|error| error.message.as_str()).collect();
        assert_eq!(messages, ["it is an app whose program is not made by one derivation, not a derivation"; 2]);
        String::new()
    });
}
