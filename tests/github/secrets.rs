//! Secrets of environments: who gets them, and that nothing shows them.

use std::fs;
use std::path::Path;
use std::process::Command;

use nixdag::nix::signature::SecretKey;

use crate::support::github::GitHub;
use crate::support::github::Status::{Failure, Success};
use crate::support::github_project::{file, file_with_secrets, project_of, report};
use crate::support::project::{every_nix, figure};
use crate::support::repository;
use crate::support::writable_cache::WritableCache;

// Made for these tests with `nix key generate-secret`, and used nowhere else.
const KEY: &str = "ours-1:CwlG7Hb0KY5y4EPbj1KKJd4BwFTllfPkIjRYzal7nf+xuZ4UzkmMf2+R20SqTtFYA7HkJBHvYDuc0AVk82fO5Q==";
const TOKEN: &str = "cache-token-secret";

/// Builders write the environments of the processes above them into a file of their machine.
fn watch(checkout: &Path) {
    let path = checkout.join("flake.nix");
    let text = fs::read_to_string(&path).unwrap();
    let seen = "p=$PPID\n                  while [ $p -gt 1 ]; do\n                    IFS= read -r line < /proc/$p/environ || :\n                    echo \"$line\" >> /mnt/seen\n                    read -r i n s p r < /proc/$p/stat\n                  done\n                  words=\n";
    assert!(text.contains("words=\n"));
    fs::write(&path, text.replacen("words=\n", seen, 1)).unwrap();
}

/// The folders of machines in which a file holds a text.
fn holding(github: &GitHub, text: &str) -> String {
    let found = Command::new("grep").args(["-rlaF", "-e", text]).arg(github.state()).output().unwrap();
    String::from_utf8(found.stdout).unwrap()
}

#[test]
fn one_job_signs_and_pushes_and_no_job_that_builds_has_a_secret() {
    let nix = every_nix().remove(0);
    let cache = WritableCache::new();
    let public = SecretKey::parse(KEY).unwrap().public();
    let inputs = [
        ("sign", "separate"),
        ("push", cache.url()),
        ("signing_public_keys", &*public.to_string()),
        ("push_credentials", "CACHE_TOKEN"),
        ("delivery_contexts", "delivery"),
    ];
    let (checkout, github) = project_of(&file_with_secrets(&inputs), "examples/hermetic", &nix);
    watch(checkout.path());
    let secrets = format!("CACHE_TOKEN={TOKEN}\nNIXDAG_SIGNING_KEY={KEY}\n");
    let mut github = github.environment("delivery", "NIXDAG_SECRETS", &secrets);

    // A fork's pull request builds everything, and has nothing to sign or push with.
    github.pull_request(1, true);
    let fork = github.run().unwrap();
    assert_eq!(fork.result("gate"), Success, "{}", fork.logs());
    assert_eq!((figure(&report(&fork), "built"), cache.uploads()), (4, 0));

    github.push("main");
    let outcome = github.run().unwrap();
    assert_eq!(outcome.result("gate"), Success, "{}", outcome.logs());
    let narinfos = cache.narinfos();
    assert!(narinfos.len() == 4 && narinfos.iter().all(|text| text.contains("Sig: ours-1:")), "{narinfos:?}");
    let job = outcome.job("sign-and-push");
    assert!(job.log.contains("4 paths pushed to"), "{}", job.log);
    assert!(job.log.contains(&format!("::add-mask::{TOKEN}")), "GitHub hides it from here on");
    // Neither machines, nor what builders have seen, nor artifacts: only the line that hides it.
    let seen = holding(&github, "NIX_CONF_DIR=");
    assert_eq!(seen.lines().filter(|file| file.ends_with("/mnt/seen")).count(), 8, "{seen}");
    for text in [TOKEN, &KEY[..40]] {
        let files = holding(&github, text);
        assert!(files.lines().all(|file| file.ends_with("/log")) && files.lines().count() == 1, "{files}");
    }

    // What fails keeps everything from being signed.
    let path = checkout.path().join("flake.nix");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replacen("words=\n", "words=\n if [ \"$name\" = d ]; then exit 3; fi\n", 1)).unwrap();
    let uploads = cache.uploads();
    let failed = github.run().unwrap();
    assert_eq!((failed.result("gate"), failed.status("sign-and-push")), (Failure, None), "{}", failed.logs());
    assert_eq!(cache.uploads(), uploads);
}

#[test]
fn a_job_with_a_context_gets_the_secrets_of_that_environment_and_no_other_does() {
    let nix = every_nix().remove(0);
    let (checkout, github) = project_of(&file_with_secrets(&[]), "examples/hermetic", &nix);
    let rules = "rules:\n  - match: { attribute: \"packages.*.d\" }\n    context: licence\n";
    fs::write(checkout.path().join("nixdag.yml"), rules).unwrap();
    watch(checkout.path());
    let mut github = github
        .environment("licence", "NIXDAG_SECRETS", &format!("TOKEN={TOKEN}\nSHARE=50%25\nnot a variable\n"))
        .environment("staging", "NIXDAG_SECRETS", "TOKEN=of-another-environment");
    let outcome = github.run().unwrap();
    assert_eq!(outcome.result("gate"), Success, "{}", outcome.logs());
    assert!(outcome.job("d").log.contains(&format!("::add-mask::{TOKEN}")), "{}", outcome.job("d").log);
    assert!(outcome.job("d").log.contains("::add-mask::50%2525\n"), "GitHub reads %25 as %: {}", outcome.job("d").log);
    assert_eq!(outcome.job("d").annotations, ["error::a line of the secrets is not NAME=value; it is left out"]);
    let files = holding(&github, TOKEN);
    assert!(files.lines().count() == 1 && files.trim().ends_with("/log"), "builders do not see it: {files}");
    assert_eq!(holding(&github, "of-another-environment"), "");
}

#[test]
fn a_job_of_ones_own_signs_and_pushes_as_the_documentation_says() {
    let nix = every_nix().remove(0);
    let cache = WritableCache::new();
    let public = SecretKey::parse(KEY).unwrap().public().to_string();
    let inputs = [("sign", "separate"), ("push", cache.url()), ("signing_public_keys", &*public)];
    let page = fs::read_to_string(repository().join("docs/github.md")).unwrap();
    let job = &page[page.find("  push:\n    needs: [plan, nixdag]\n").unwrap()..];
    let job = &job[..job.find("```").unwrap()];
    // What Amazon's action sets is a secret of the repository here.
    let (before, rest) = job.split_once("      - uses: aws-actions").unwrap();
    let own = &rest[rest.find("      - uses: org/nixdag").unwrap()..];
    let secrets = "          secrets: \"${{ secrets.NIXDAG_SECRETS }}\"\n";
    let file =
        format!("{}{before}{own}{secrets}", file(&inputs)).replace("with: { plan: ", "with: { deliver: false, plan: ");
    let (_checkout, github) = project_of(&file, "examples/hermetic", &nix);
    let mut github = github.secret("NIXDAG_SECRETS", &format!("NIXDAG_SIGNING_KEY={KEY}"));
    let outcome = github.run().unwrap();
    assert_eq!([outcome.result("gate"), outcome.result("push")], [Success; 2], "{}", outcome.logs());
    assert_eq!(outcome.status("sign-and-push"), None, "{}", outcome.statuses());
    let narinfos = cache.narinfos();
    assert!(narinfos.len() == 4 && narinfos.iter().all(|text| text.contains("Sig: ours-1:")), "{narinfos:?}");
}
