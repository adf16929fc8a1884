//! Hand-off through a binary cache: one of the project's own, and the package registry as Nix itself reads and writes it.

use crate::support::gitlab::registry::{Behaviour, Registry};
use crate::support::gitlab::{GitLab, Outcome, Status};
use crate::support::gitlab_project::{project, report};
use crate::support::project::{figure, one_nix};
use crate::support::writable_cache::WritableCache;

/// A key and its public half.
const SECRET: &str = "ours-1:CwlG7Hb0KY5y4EPbj1KKJd4BwFTllfPkIjRYzal7nf+xuZ4UzkmMf2+R20SqTtFYA7HkJBHvYDuc0AVk82fO5Q==";
const PUBLIC: &str = "ours-1:sbmeFM5JjH9vkdtEqk7RWAOx5CQR72A7nNAFZPNnzuU=";

/// Runs the hermetic example, handing off through a cache at this address, whose password is the job's token.
fn through(url: &str, turn: usize) -> Outcome {
    let arguments = format!("--handoff cache --cache {url} --signing-public-key {PUBLIC} --delivery-context signing");
    let (_checkout, gitlab) = project("examples/hermetic", &one_nix(turn), &arguments);
    let gitlab = gitlab.in_environment("signing", "NIXDAG_SIGNING_KEY", SECRET);
    let mut gitlab: GitLab = gitlab.nix_conf("netrc-file = /mnt/netrc\n");
    gitlab.before("echo 'machine 127.0.0.1 login gitlab-ci-token password glcbt-token' > /mnt/netrc");
    gitlab.run().unwrap()
}

#[test]
fn a_cache_of_ones_own_carries_what_jobs_build() {
    let cache = WritableCache::new();
    let outcome = through(cache.url(), 2);
    assert!(outcome.succeeded(), "{}", outcome.logs());
    let said = report(&outcome.children[0]);
    assert_eq!((figure(&said, "built"), said["built_twice"].as_array().map(Vec::len)), (4, Some(0)), "{said}");
    assert_eq!(cache.narinfos().len(), 4);
    assert!(!outcome.logs().contains(&SECRET[7..40]));
}

#[test]
fn nix_itself_writes_to_the_registry_only_where_gitlab_takes_passwords() {
    let cache = |behaviour| {
        let registry = Registry::start(behaviour);
        let url = format!("{}/projects/42/packages/generic/nixdag/store", registry.url());
        (through(&url, 1), registry)
    };
    let (outcome, registry) = cache(Behaviour { takes_passwords: true, ..Behaviour::default() });
    assert!(outcome.succeeded(), "{}", outcome.logs());
    assert_eq!(figure(&report(&outcome.children[0]), "built"), 4);
    assert!(registry.files().iter().any(|file| file.ends_with(".narinfo")), "{:?}", registry.files());
    // Before, a job fails and says why; `handoff: packages` works with both.
    let (outcome, _) = cache(Behaviour::default());
    assert_eq!(outcome.children[0].status("a"), Status::Failed, "{}", outcome.logs());
    let log = &outcome.children[0].job("a").log;
    assert!(log.contains("does not appear to be a binary cache"), "{log}");
}
