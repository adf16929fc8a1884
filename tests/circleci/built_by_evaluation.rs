//! What evaluation builds, since it reads from it (import from derivation), no job builds again.

use crate::support::built::{Built, OF_IMPORT_FROM_DERIVATION};
use crate::support::circleci::Status;
use crate::support::project::{Project, every_nix, figure, logs, report};

#[test]
fn what_evaluation_has_built_is_built_by_no_job() {
    for nix in every_nix() {
        let built = Built::new();
        let mut project = Project::new("tests/fixtures/import-from-derivation", &nix);
        project.replace("flake.nix", "@BUILT@", &built.path());
        project.arguments = "--allow-ifd".into();
        // As the images with Nix have it.
        project.nix_conf = "sandbox = false\n".into();
        let setup = project.setup(1);
        assert_eq!(built.sorted(), ["lib", "linked", "source", "tool"], "{}", logs(&setup));
        let outcome = project.continued(&setup, 1).run().unwrap();
        assert_eq!(outcome.status("gate"), Status::Success, "{}", logs(&outcome));
        assert_eq!(built.sorted(), OF_IMPORT_FROM_DERIVATION, "{}", logs(&outcome));
        assert_eq!(figure(&report(&outcome), "built"), 4, "{}", logs(&outcome));
        assert_eq!(outcome.status("linked"), Status::Success, "{}", logs(&outcome));
        // What jobs leave for the next pipeline is whole.
        let second = project.pipeline(2).run().unwrap();
        assert_eq!(second.status("gate"), Status::Success, "{}", logs(&second));
        assert_eq!(figure(&report(&second), "built"), 0, "{}", logs(&second));
    }
}
