//! The job that holds the sizes of closures against their limits, in front of the gate.

use std::fs;

use crate::support::github::Status::{Failure, Success};
use crate::support::github_project::project;
use crate::support::project::one_nix;

#[test]
fn a_closure_that_is_too_large_makes_the_gate_red_when_all_else_is_built() {
    let (checkout, mut github) = project("examples/hermetic", &one_nix(0), &[]);
    let file = checkout.path().join("nixdag.yml");
    let settings = fs::read_to_string(&file).unwrap_or_default();
    for (limit, expected) in [("100", Failure), ("1GB", Success)] {
        fs::write(&file, format!("{settings}\nsize_limits: {{ packages.*.d: {limit} }}\n")).unwrap();
        let outcome = github.run().unwrap();
        assert_eq!(outcome.result("gate"), expected, "{}", outcome.logs());
        assert_eq!(
            [outcome.status("d"), outcome.status("sizes")],
            [Some(Success), Some(expected)],
            "{}",
            outcome.logs()
        );
        let summary = &outcome.job("verdict").summary;
        assert_eq!(summary.contains("more than the limit of 100 B"), expected == Failure, "{summary}");
    }
}
