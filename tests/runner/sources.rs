//! Derivations that are sources: a builder reads the file of another derivation, whose outputs it does not need.

use nixdag::build::record::Outcome;

use crate::support::pipeline::{Pipeline, with_each_nix};

#[test]
fn a_derivation_may_be_a_source_and_its_outputs_are_not_built() {
    with_each_nix("a_derivation_may_be_a_source_and_its_outputs_are_not_built", || {
        let pipeline = Pipeline::new(
            r#"let file = drv: builtins.unsafeDiscardOutputDependency drv.drvPath; in rec {
              leaf = drvWith "leaf" { src = builtins.toFile "leaf-src" "source"; } "echo leaf > $out";
              inner = drv "inner" "echo ${leaf} > $out";
              # One that names another one, whose file nothing else brings.
              nested = drvWith "nested" { d = file inner; } "test -s $d; echo > $out";
              lister = drvWith "lister" { d = file inner; } "test -s $d; echo $d > $out";
              deep = drvWith "deep" { d = file nested; } "test -s $d; echo > $out";
              text = drvWith "text" { list = builtins.toFile "list" (file inner); } "test -s $(cat $list); echo > $out";
              # The file of what is built anyway, and a whole closure with its outputs.
              twice = drvWith "twice" { d = file lister; } "test -s $d; echo ${lister} > $out";
              whole = drvWith "whole" { d = shared.drvPath; } "test -s $d; echo > $out";
              shared = drv "shared" "echo > $out";
              after = drv "after" "test -s $(cat ${lister}); echo ${lister} > $out";
            }"#,
            &[
                ("job", &["lister", "deep", "text", "twice", "whole", "shared"], &[], &[]),
                ("after", &["after"], &[], &["job"]),
            ],
        );
        let ran = pipeline.run("job", &[]).succeeds().has("lister", Outcome::Built).has("deep", Outcome::Built);
        assert_eq!(ran.record.unwrap().derivations.len(), 6);
        pipeline.run("after", &["--on-missing", "fail"]).succeeds().has("after", Outcome::Built);
        assert_eq!(pipeline.built_sorted(), ["after", "deep", "lister", "shared", "text", "twice", "whole"]);
    });
}
