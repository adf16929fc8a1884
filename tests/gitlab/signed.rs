//! `reuse: signed`: what one pipeline has built and signed others take from the registry of packages, whatever their branch is.

use std::fs;
use std::path::Path;

use crate::support::gitlab::event::Event;
use crate::support::gitlab::registry::{Behaviour, Registry};
use crate::support::gitlab::{GitLab, Outcome};
use crate::support::gitlab_project::{project, report};
use crate::support::project::{every_nix, figure, one_nix};
use tempfile::TempDir;

/// A key and its public half.
const SECRET: &str = "ours-1:CwlG7Hb0KY5y4EPbj1KKJd4BwFTllfPkIjRYzal7nf+xuZ4UzkmMf2+R20SqTtFYA7HkJBHvYDuc0AVk82fO5Q==";
const PUBLIC: &str = "ours-1:sbmeFM5JjH9vkdtEqk7RWAOx5CQR72A7nNAFZPNnzuU=";

/// The hermetic example, whose outputs refer to their inputs and whose protected branches have the key, and a pipeline of such a branch.
fn built(nix: &Path, handoff: &str) -> (TempDir, GitLab, Registry) {
    let registry = Registry::start(Behaviour::default());
    let arguments = format!("--reuse signed --signing-public-key {PUBLIC} --handoff {handoff}");
    let (checkout, gitlab) = project("examples/hermetic", nix, &arguments);
    replace(&checkout, "> \"$out\"", "> \"$out\"; echo \"$inputs\" >> \"$out\"");
    let gitlab = gitlab.protected_variable("NIXDAG_SIGNING_KEY", SECRET);
    let mut gitlab = gitlab.variable("CI_API_V4_URL", &registry.url());
    let outcome = gitlab.run().unwrap();
    assert_eq!(builds(&outcome), 4, "{}", outcome.logs());
    (checkout, gitlab, registry)
}

/// Changes the flake.
fn replace(checkout: &TempDir, from: &str, to: &str) {
    let flake = checkout.path().join("flake.nix");
    let text = fs::read_to_string(&flake).unwrap();
    assert!(text.contains(from), "{text}");
    fs::write(&flake, text.replace(from, to)).unwrap();
}

/// How many derivations a pipeline has built.
fn builds(outcome: &Outcome) -> u64 {
    assert!(outcome.succeeded(), "{}", outcome.logs());
    figure(&report(&outcome.children[0]), "built")
}

/// Names of signed results.
fn signed(registry: &Registry, end: &str) -> Vec<String> {
    let of_all = registry.files().into_iter();
    of_all.filter(|file| file.starts_with("nixdag-signed/1/") && file.ends_with(end)).collect()
}

#[test]
fn a_branch_without_the_key_takes_what_the_default_branch_has_signed_and_leaves_nothing() {
    for (turn, handoff) in ["packages", "artifacts"].into_iter().enumerate() {
        let (checkout, mut gitlab, registry) = built(&one_nix(2 * turn), handoff);
        assert_eq!((signed(&registry, ".narinfo").len(), signed(&registry, ".nar.zst").len()), (4, 4));
        let before = signed(&registry, "");
        gitlab.event(Event::push("topic/1"));
        // What is changed is built, and nothing else.
        let other =
            "derivation { name = \"c\"; inherit system; builder = \"/bin/sh\"; args = [ \"-c\" \"echo c > $out\" ]; }";
        replace(&checkout, "package \"c\" [ ]", other);
        let changed = gitlab.run().unwrap();
        assert_eq!(builds(&changed), 2, "{}", changed.logs());
        assert!(changed.logs().contains("signed by a trusted key"), "{}", changed.logs());
        assert_eq!(signed(&registry, ""), before, "a branch without the key left something");
        assert!(!changed.logs().contains(&SECRET[7..40]));
        assert!(!changed.children[0].file.contains("NIXDAG_REUSE"), "no cache of GitLab's is used beside");
    }
}

#[test]
fn what_others_put_under_the_names_of_signed_results_is_named_and_built_again() {
    let (_checkout, mut gitlab, registry) = built(&every_nix()[0], "artifacts");
    let infos = signed(&registry, ".narinfo");
    let change = |name: &str, from: &str, to: &str| {
        registry.change(name, |text| {
            let text = String::from_utf8(text).unwrap();
            assert!(text.contains(from), "{text}");
            text.replace(from, to).into_bytes()
        });
    };
    registry.change(&infos[0], |_| b"\x1b[31m::error::no narinfo".to_vec());
    change(&infos[1], "Sig: ours-1:", "Sig: theirs-1:");
    change(&infos[2], "FileSize: ", "FileSize: 9000000000");
    let text = String::from_utf8(registry.content(&infos[3])).unwrap();
    let nar = text.lines().find_map(|line| line.strip_prefix("URL: nar/")).unwrap();
    registry.change(&format!("nixdag-signed/1/{nar}"), |_| b"other contents".to_vec());
    gitlab.event(Event::push("topic/1"));
    let outcome = gitlab.run().unwrap();
    assert_eq!(builds(&outcome), 4, "{}", outcome.logs());
    let logs = outcome.logs();
    for words in ["damaged narinfo", "is signed with key `theirs-1`", "is said to take more bytes", "damaged NAR"] {
        assert!(logs.contains(words), "{words}: {logs}");
    }
    assert!(!logs.contains('\x1b'), "{logs}");
}

#[test]
fn a_registry_that_refuses_costs_a_warning_and_the_builds() {
    let registry =
        Registry::start(Behaviour { refuses_uploads: true, refuses_downloads: true, ..Behaviour::default() });
    let arguments = format!("--reuse signed --signing-public-key {PUBLIC} --handoff artifacts");
    let (_checkout, gitlab) = project("examples/hermetic", &every_nix()[0], &arguments);
    let gitlab = gitlab.protected_variable("NIXDAG_SIGNING_KEY", SECRET);
    let outcome = gitlab.variable("CI_API_V4_URL", &registry.url()).run().unwrap();
    assert_eq!(builds(&outcome), 4, "{}", outcome.logs());
    let log = &outcome.children[0].job("a").log;
    for words in [
        "a result of an earlier pipeline is not used: the registry answers 403",
        "later pipelines cannot take these results",
    ] {
        assert!(log.contains(words), "{words}: {log}");
    }
}
