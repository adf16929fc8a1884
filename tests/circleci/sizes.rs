//! The job that holds the sizes of closures against their limits, in front of the gate.

use std::fs;

use crate::support::circleci::Status;
use crate::support::project::{Project, logs, one_nix};

#[test]
fn a_closure_that_is_too_large_makes_the_gate_red_when_all_else_is_built() {
    let project = Project::new("examples/hermetic", &one_nix(1));
    let file = project.checkout.path().join("nixdag.yml");
    let settings = fs::read_to_string(&file).unwrap_or_default();
    for (number, limit, expected) in [(1, "10 kB", Status::Success), (2, "[1GB, 5%, 100]", Status::Failed)] {
        fs::write(&file, format!("{settings}\nsize_limits: {{ packages.*.d: {limit} }}\n")).unwrap();
        let outcome = project.pipeline(number).run().unwrap();
        assert_eq!(outcome.status("d"), Status::Success, "{}", logs(&outcome));
        assert_eq!(outcome.status("sizes"), expected, "{}", logs(&outcome));
        let gate = if expected == Status::Success { Status::Success } else { Status::NotRun };
        assert_eq!(outcome.status("gate"), gate, "{}", logs(&outcome));
        let log = &outcome.job("sizes").log;
        assert!(log.contains("d: closure now 128 B; before unknown, because there is no base"), "{log}");
        assert_eq!(log.contains("more than the limit of 100 B"), expected == Status::Failed, "{log}");
    }
}
