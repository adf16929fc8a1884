//! What the author of a fork's pull request may be after.

use super::super::line::{ALL, Asset, Attacker, CIRCLECI, Exposure, GITHUB, GITLAB, Gap, Remedy, Stop};

/// All of it.
pub const LINES: &[Exposure] = &[
    Exposure {
        attacker: Attacker::Fork,
        asset: Asset::Secrets,
        stops: &[],
        gaps: &[
            Gap {
                on: CIRCLECI,
                is_open: |_| true,
                reach: "pipelines of forks run what the fork says, with secrets if the project passes them on",
                remedy: Remedy::Elsewhere(
                    "keep `Pass secrets to builds from forked pull requests` off, as it is by default",
                ),
            },
            Gap {
                on: GITLAB,
                is_open: |_| true,
                reach: "a pipeline of a fork runs in the fork, without your variables, until a member starts it in your project",
                remedy: Remedy::Elsewhere(
                    "read what changes in `.gitlab-ci.yml`, `nixdag.yml` and the flake before `Run pipeline` on a fork's merge request",
                ),
            },
            Gap {
                on: GITHUB,
                is_open: |_| true,
                reach: "started by `pull_request_target` or `workflow_run`, a fork's text would run with the repository's secrets",
                remedy: Remedy::Elsewhere("start nixdag's workflow by `pull_request`, as `github/nixdag.yml` does"),
            },
        ],
    },
    Exposure {
        attacker: Attacker::Fork,
        asset: Asset::Signatures,
        stops: &[Stop {
            on: ALL,
            how: "a job without the key signs, saves and pushes nothing, and takes what is signed",
            tests: &[
                "without_the_key_everything_is_green_and_nothing_is_saved",
                "without_secrets_or_clients_it_builds_and_says_that_nothing_is_pushed",
            ],
        }],
        gaps: &[],
    },
];
