//! `sign: separate`: one job signs and pushes what all others have built, and no job that builds has a secret.

use std::fs;

use crate::support::gitlab::Status;
use crate::support::gitlab::registry::{Behaviour, Registry};
use crate::support::gitlab_project::{project, report};
use crate::support::project::{figure, one_nix};
use crate::support::writable_cache::WritableCache;
use serde_json::Value;

/// A key and its public half.
const SECRET: &str = "ours-1:CwlG7Hb0KY5y4EPbj1KKJd4BwFTllfPkIjRYzal7nf+xuZ4UzkmMf2+R20SqTtFYA7HkJBHvYDuc0AVk82fO5Q==";
const PUBLIC: &str = "ours-1:sbmeFM5JjH9vkdtEqk7RWAOx5CQR72A7nNAFZPNnzuU=";

/// The builder fails where any process above it, the shell of the runner included, shows a secret.
const LOOK: &str = r#"p=$PPID
                  while [ $p -gt 1 ]; do
                    if /bin/grep -qa -e CwlG7Hb0KY5y4 -e push-token-secret /proc/$p/environ; then echo "$p has a secret"; exit 1; fi
                    read -r i n s p r < /proc/$p/stat
                  done
                  words=
"#;

#[test]
fn on_gitlab_one_job_signs_and_pushes_and_no_job_that_builds_has_a_secret() {
    for (turn, handoff) in ["packages", "artifacts"].into_iter().enumerate() {
        let (cache, registry) = (WritableCache::new(), Registry::start(Behaviour::default()));
        let arguments = format!(
            "--sign separate --handoff {handoff} --push {} --signing-public-key {PUBLIC} --push-credential PUSH_TOKEN --delivery-context signing",
            cache.url()
        );
        let (checkout, gitlab) = project("examples/hermetic", &one_nix(turn + 1), &arguments);
        let flake = checkout.path().join("flake.nix");
        let text = fs::read_to_string(&flake).unwrap();
        fs::write(&flake, text.replace("words=\n", LOOK)).unwrap();
        let gitlab = gitlab.in_environment("signing", "NIXDAG_SIGNING_KEY", SECRET);
        let gitlab = gitlab.in_environment("signing", "PUSH_TOKEN", "push-token-secret");
        let mut gitlab = gitlab.variable("CI_API_V4_URL", &registry.url());
        let outcome = gitlab.run().unwrap();
        assert!(outcome.succeeded(), "{handoff}: {}", outcome.logs());
        let child = &outcome.children[0];
        assert_eq!(figure(&report(child), "built"), 4, "{}", outcome.logs());
        let narinfos = cache.narinfos();
        assert!(narinfos.len() == 4 && narinfos.iter().all(|text| text.contains("Sig: ours-1:")), "{narinfos:?}");
        let log = &child.job("sign-and-push").log;
        assert!(log.contains("4 paths pushed to"), "{handoff}: {log}");
        assert!(!outcome.logs().contains(&SECRET[7..40]) && !outcome.logs().contains("push-token-secret"));
        // Only the one job has the environment.
        let file: Value = serde_yaml::from_str(&child.file).unwrap();
        let with: Vec<&String> = file
            .as_object()
            .unwrap()
            .iter()
            .filter(|(_, job)| job.get("environment").is_some())
            .map(|(name, _)| name)
            .collect();
        assert_eq!(with, ["sign-and-push"]);

        // A failed job keeps everything from being signed, however results travel.
        if handoff == "packages" {
            continue;
        }
        let text = fs::read_to_string(&flake).unwrap();
        let broken = "words=\n                  if [ \"$name\" = d ]; then exit 3; fi\n";
        fs::write(&flake, text.replace("words=\n", broken)).unwrap();
        let uploads = cache.uploads();
        let failed = gitlab.run().unwrap();
        let child = &failed.children[0];
        assert_eq!(
            ["c", "d", "sign-and-push", "gate"].map(|name| child.status(name)),
            [Status::Success, Status::Failed, Status::Skipped, Status::Skipped],
            "{}",
            failed.logs()
        );
        assert_eq!(cache.uploads(), uploads);
    }
}
