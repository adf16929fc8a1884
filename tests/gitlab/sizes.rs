//! The job that holds the sizes of closures against their limits, in front of the gate.

use std::fs;

use crate::support::gitlab::Status;
use crate::support::gitlab_project::project;
use crate::support::project::one_nix;

#[test]
fn a_closure_that_is_too_large_makes_the_gate_red_when_all_else_is_built() {
    for (handoff, limit, expected) in [
        ("artifacts", "100", Status::Failed),
        ("packages", "100", Status::Failed),
        ("artifacts", "1GB", Status::Success),
    ] {
        let registry = crate::support::gitlab::registry::Registry::start(Default::default());
        let (checkout, gitlab) = project("examples/hermetic", &one_nix(2), &format!("--handoff {handoff}"));
        let file = checkout.path().join("nixdag.yml");
        let settings = fs::read_to_string(&file).unwrap_or_default();
        fs::write(&file, format!("{settings}\nsize_limits: {{ packages.*.d: {limit} }}\n")).unwrap();
        let outcome = gitlab.variable("CI_API_V4_URL", &registry.url()).run().unwrap();
        let child = &outcome.children[0];
        assert_eq!([child.status("d"), child.status("sizes")], [Status::Success, expected], "{}", child.logs());
        assert_eq!(outcome.succeeded(), expected == Status::Success, "{}", child.logs());
        // The page of the failed pipeline says it too.
        let page = child.job("report").artifacts.join(".nixdag/results/report/nixdag.html");
        let page = fs::read_to_string(page).unwrap();
        assert_eq!(page.contains("more than the limit of 100 B"), expected == Status::Failed, "{page}");
        let comment = child.job("report").artifacts.join(".nixdag/results/report/comment.md");
        let comment = fs::read_to_string(comment).unwrap();
        assert_eq!(comment.contains(" ✕ |"), expected == Status::Failed, "{comment}");
    }
}
