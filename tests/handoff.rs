//! What jobs build on empty machines reaches the jobs that need it, and is built once.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::fs;

use nixdag::build::record::Outcome;
use support::pipeline::{Pipeline, with_each_nix};

/// The diamond: b and c take a, d takes b and c. a and b are referred to at run time, by paths inside of outputs.
const DIAMOND: &str = r#"
rec {
  a = drv "a" "echo a > $out";
  b = drv "b" "echo ${a} > $out";
  c = drv "c" "read x < ${a}; echo $x c > $out";
  d = drv "d" "read b < ${b}; read a < $b; echo $a ${b} ${c} > $out";
}"#;

#[test]
fn a_diamond_on_four_empty_machines_builds_each_derivation_once() {
    with_each_nix("a_diamond_on_four_empty_machines_builds_each_derivation_once", || {
        let pipeline = Pipeline::new(
            DIAMOND,
            &[
                ("a", &["a"], &[], &[]),
                ("b", &["b"], &[], &["a"]),
                ("c", &["c"], &[], &["a"]),
                ("d", &["d"], &[], &["a", "b", "c"]),
            ],
        );
        pipeline.run_all();
        assert_eq!(pipeline.built_sorted(), ["a", "b", "c", "d"]);
        // Each job hands off its own output alone.
        for job in ["a", "b", "c", "d"] {
            assert_eq!(fs::read_dir(pipeline.handed_off(job).join("nar")).unwrap().count(), 1, "{job}");
        }
        // And with all earlier results restored nothing is built again.
        pipeline.run("d", &[]).succeeds().has("d", Outcome::Substituted);
        assert_eq!(pipeline.built().len(), 4);
    });
}
