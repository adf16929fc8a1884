//! Outputs whose paths nobody knows before they are built: they go from job to job, and a command finds them; where something is built again for
//! their sake, that is said.

use std::fs;

use crate::support::built::{Built, CONTENT_ADDRESSED, CONTENT_ADDRESSED_CONF, FOUND};
use crate::support::circleci::Status;
use crate::support::project::{Project, logs, one_nix};

fn project(nix: &std::path::Path, built: &Built) -> Project {
    let mut project = Project::new("tests/fixtures/content-addressed", nix);
    project.replace("flake.nix", "@BUILT@", &built.path());
    project.nix_conf = CONTENT_ADDRESSED_CONF.into();
    project
}

#[test]
fn a_command_finds_outputs_whose_paths_the_plan_does_not_know() {
    let nix = one_nix(2);
    let built = Built::new();
    let outcome = project(&nix, &built).pipeline(1).run().unwrap();
    assert_eq!(outcome.status("gate"), Status::Success, "{}", logs(&outcome));
    assert!(outcome.job("look").log.contains(FOUND), "{}", logs(&outcome));
    assert_eq!(built.sorted(), CONTENT_ADDRESSED, "{}", logs(&outcome));
}

#[test]
fn what_evaluation_has_built_without_a_known_path_is_built_again_and_the_plan_says_so() {
    let nix = one_nix(1);
    let built = Built::new();
    let mut project = project(&nix, &built);
    let imports = "source = mk \"source\" \"mkdir $out; echo '\\\"echo hello > $out\\\"' > $out/default.nix\" ca;\n    \
                       imported = mk \"imported\" (import \"${source}/default.nix\") { inherit source; };\n      other =";
    project.replace("flake.nix", "other =", imports);
    fs::write(project.checkout.path().join("nixdag.yml"), "").unwrap();
    project.arguments = "--allow-ifd".into();
    let setup = project.setup(1);
    assert_eq!(built.sorted(), ["source"], "{}", logs(&setup));
    let said = "evaluation has built `source`, whose output paths no plan knows: a job builds it again";
    assert!(logs(&setup).contains(said), "{}", logs(&setup));
    let outcome = project.continued(&setup, 1).run().unwrap();
    assert_eq!(outcome.status("gate"), Status::Success, "{}", logs(&outcome));
    assert_eq!(built.sorted().iter().filter(|name| *name == "source").count(), 2, "{}", logs(&outcome));
}
